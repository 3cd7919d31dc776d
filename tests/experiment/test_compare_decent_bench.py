"""The comparison with decent-bench: its iterates are ours, and a difference, or its absence, is an error."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_decent_bench.py"


@pytest.fixture
def script() -> ModuleType:
    if not SCRIPT.is_file():
        pytest.skip("outside of a checkout")
    spec = importlib.util.spec_from_file_location("compare_decent_bench", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_all_iterates_are_equal(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("decent_bench")
    monkeypatch.setenv("COLUMNS", "500")
    assert script.main(["--nodes", "7", "--seed", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("over 50 rounds of 7 nodes, float64")
    assert [line.split()[0] for line in lines[3 : 3 + len(script.COMPARISONS)]] == list(script.COMPARISONS)


@pytest.mark.slow
def test_iterates_that_differ_are_an_error(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def one_of_them(name: str, options: Any, task: Any, rounds: int, **_: Any) -> np.ndarray:
        """Return ours of DGD, and no number of others."""
        algorithm = script.COMPARISONS["DGD"].algorithm(task)
        models = script.run_ours(algorithm, algorithm.init(script.run_key(0)), rounds)
        return models if name == "DGD" else np.full_like(models, np.nan)

    monkeypatch.setattr(script, "run_theirs", one_of_them)
    monkeypatch.setattr(script, "version", lambda _: "0.0")
    monkeypatch.setattr(script, "COMPARISONS", {name: script.COMPARISONS[name] for name in ("DGD", "NIDS")})
    assert script.main(["--rounds", "3"]) == 1
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1] == "error: iterates differ by more than 1e-10: NIDS"
    assert printed.out.startswith(
        "greatest difference of models from those of decent-bench 0.0, over 3 rounds of 10 nodes"
    )
    assert "NIDS: its first round is a gradient step without mixing" in printed.out


def test_without_decent_bench_it_says_how_to_get_it(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "decent_array", None)
    monkeypatch.setattr(script, "version", lambda _: "0.0")
    assert script.main([]) == 1
    assert "error: decent-bench: not installed; get it with: pip install decent-bench" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--nodes", "3"], ["--rounds", "1"], ["--seed", "-1"]])
def test_what_cannot_be_compared_is_an_error_of_usage(words: list[str], script: ModuleType) -> None:
    with pytest.raises(SystemExit) as left:
        script.main(words)
    assert left.value.code == 2
