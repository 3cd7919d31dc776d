"""Fixtures of these tests."""

from pathlib import Path

import pytest

from tests.experiment.grid_cases import TEXT


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path
