"""``jaxgossip schedule`` tells what share liars have in an overlay."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]

TEXT = """
rounds = 6
topology = { kind = "ring", nodes = 40 }
learning = { dataset = "isotropic_quadratic" }
algorithm.kind = "gossip_learning"
optimizer = { kind = "sgd", learning_rate = 0.1 }
"""


def test_shares_are_printed_and_are_numbers_by_cycle(
    called: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "lies.toml").write_text(TEXT)
    settings = ["--set", "peers={kind='newscast', view=8, liars=0.2}"]
    code, out, _ = called("schedule", "lies.toml", *settings, "--json")
    assert code == 0
    liars = json.loads(out)["liars"]
    assert list(liars) == ["views"]
    first, *_, last = shares = liars["views"]
    assert len(shares) == 7
    assert first < 0.4
    assert last > 0.9
    line = f"  liars in views        {first:.1%} at first, {last:.1%} at the end, at most {max(shares):.1%}\n"
    assert line in called("schedule", "lies.toml", *settings)[1]
    assert "liars" not in called("schedule", "lies.toml")[1]
