"""``jaxgossip plot`` and ``compare`` with ``--metric``, at the width of a terminal."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.experiment.test_plots import edit, make  # noqa: F401 - make is a fixture


@pytest.fixture
def runs(make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:  # noqa: F811 - the fixture
    """Return the names of two run folders in the working directory, with a number of the network of the user's own."""
    for seed, name in enumerate(("a", "b")):
        folder = make(name, {"seed": seed, "rounds": 40 + seed})
        for number in range(5):
            edit(folder, number, spread=seed + number / 4)
    return ["a", "b"]


def test_a_chosen_metric_is_drawn_and_tabled(
    called: Callable[..., tuple[int, str, str]], runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = called("compare", *runs, "--metric", "spread", "--metric", "test_accuracy", "--out", "it.svg")
    assert code == 0
    cells = {line.rsplit(maxsplit=2)[0]: line.split()[-2:] for line in out.splitlines()[:-1]}
    assert cells["spread"] == ["1", "2"]
    assert cells["test accuracy, mean"] == ["84.3%", "84.3%"]
    assert not {"worst node", "consensus distance"} & set(cells)
    drawn = (tmp_path / "it.svg").read_text(encoding="utf-8")
    assert ">Spread by round</text>" in drawn
    assert "How far the models are apart" not in drawn
    code, out, _ = called("plot", "a", "--metric", "spread", "--by", "rounds", "--out", "a.svg")
    assert (code, out) == (0, "wrote a.svg\n")
    assert ">the whole network</text>" in (tmp_path / "a.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["plot", "compare"])
def test_an_unknown_metric_is_a_mistake_with_a_hint(
    command: str, called: Callable[..., tuple[int, str, str]], runs: list[str]
) -> None:
    code, _, err = called(command, *runs, "--metric", "spraed")
    assert code == 2
    assert "error: a: no metric 'spraed'\n" in err
    assert (
        "hint: did you mean 'spread'? allowed: bytes_sent, consensus_distance, messages, spread, test_accuracy" in err
    )
