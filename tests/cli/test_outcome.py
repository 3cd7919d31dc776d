"""What a run says at its end, exactly, and the next command, which can be typed."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]

SMALL = """
rounds = 4
topology = { kind = "ring", nodes = 4 }
learning = { dataset = "synthetic", dataset_options = { samples = 200, features = 3 }, model = "logistic" }
optimizer.learning_rate = 0.1
evaluation = { every = 2, baselines = ["isolated"] }
"""


def next_of(out: str) -> list[str]:
    return shlex.split(out.rsplit("next: ", maxsplit=1)[1])


@pytest.mark.slow
def test_accuracies_are_percentages_with_one_digit_everywhere(
    called: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "my run.toml").write_text(SMALL)
    code, out, err = called("run", "my run.toml", "--out", "some runs/a", "--set", "rounds=6")
    assert code == 0
    lines = out.splitlines()
    assert lines[1].startswith("completed after 6 rounds in ")
    assert lines[3] == "test accuracy"
    shares = {line[:24].strip(): line[24:] for line in lines[4:8]}
    assert list(shares) == ["all nodes, mean", "worst node", "mean model", "isolated nodes, mean"]
    assert all(share.endswith("%") and share[-3] == "." for share in shares.values())
    assert f"round 6 of 6, test accuracy {shares['all nodes, mean']}\n" in err
    assert f"test accuracy, mean      {shares['all nodes, mean']}\n" in called("compare", "some runs/a")[1]
    for line in (out + err).splitlines():
        assert len(line) <= 80 or line.startswith("next: "), line
    again = ["jaxgossip", "run", "my run.toml", "--set", "rounds=6", "--seed", "1", "--out", "some runs/a-seed-1"]
    assert next_of(out) == again
    code, out, _ = called(*again[1:])
    assert code == 0
    assert next_of(out) == ["jaxgossip", "compare", "some runs/a", "some runs/a-seed-1"]
    assert called(*next_of(out)[1:])[0] == 0
    (tmp_path / "some runs/begun").mkdir()
    (tmp_path / "some runs/begun/metrics.jsonl").touch()  # newer, and nothing is measured yet
    assert next_of(called("resume", "some runs/a-seed-1")[1]) == [
        "jaxgossip",
        "compare",
        "some runs/a",
        "some runs/a-seed-1",
    ]


@pytest.mark.slow
def test_the_next_command_compares_nothing_that_has_no_measurement_in_common(called: Call, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    for name, record in {"ratings": '{"round": 0, "rmse_mean": 1.0}', "cut": '{"round": 0, "rm', "none": ""}.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "metrics.jsonl").write_text(record)
    code, out, _ = called("run", "small.toml", "--out", "runs/a")
    assert code == 0
    assert next_of(out) == ["jaxgossip", "run", "small.toml", "--seed", "1", "--out", "runs/a-seed-1"]
    code, out, _ = called("resume", "runs/a")
    assert (code, out.splitlines()[1]) == (0, "completed after 4 rounds earlier: nothing is left to do")


@pytest.mark.by_default("validate")
@pytest.mark.parametrize("command", ["validate", "plan"])
def test_what_was_set_is_set_in_the_next_command_too(called: Call, tmp_path: Path, command: str) -> None:
    (tmp_path / "my run.toml").write_text(SMALL)
    code, out, _ = called(
        command, "my run.toml", "--set", "learning.model_options={regularization=0.1}", "--set", "seed=2"
    )
    assert code == 0
    expected = [
        "jaxgossip",
        "run",
        "my run.toml",
        "--set",
        "learning.model_options={regularization=0.1}",
        "--set",
        "seed=2",
    ]
    assert next_of(out) == expected
