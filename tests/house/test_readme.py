"""The README is true: its Python runs, its tests exist, its commands are those of the continuous integration."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")


@pytest.mark.slow
def test_its_python_runs_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - the point of this test
    printed = capsys.readouterr().out
    assert "(414, 58)" in printed
    assert names["result"].status == "completed"
    assert names["problem"].n_shared == 57 * 3
    assert names["result"].metrics.final["test_accuracy_mean"] > 0.6


def test_every_test_it_names_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", TEXT))
    assert len(named) > 8
    for path in named:
        assert (README.parent / path).is_file(), path


def test_every_picture_and_config_it_names_exists() -> None:
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", TEXT):
        assert (README.parent / picture).is_file() or not (README.parent / ".git").exists(), picture
    for config in re.findall(r"configs/\w+\.toml", TEXT):
        assert (README.parent / config).is_file(), config


def test_its_commands_are_those_of_the_integration_script() -> None:
    script = README.parent / ".ci" / "run"
    if not script.is_file():
        pytest.skip("outside of a checkout")
    (command,) = (line for line in TEXT.splitlines() if ".venv/bin/pytest" in line)
    assert command in script.read_text(encoding="utf-8").splitlines()
