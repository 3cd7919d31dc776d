"""Every mistake a user can make gives one clear message, the right exit code, and no traceback."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from jaxgossip.cli.main import main

QUADRATIC = """
name = "small"
rounds = 4
[topology]
kind = "ring"
nodes = 6
[learning]
dataset = "isotropic_quadratic"
[algorithm]
kind = "dsgd"
[optimizer]
kind = "sgd"
learning_rate = 0.1
[evaluation]
every = 2
baselines = []
"""


class Call(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Call]:
    """Return the command line, called in this process and in ``folder``."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*words: str) -> Call:
        monkeypatch.setattr(sys, "argv", ["jaxgossip", *words])
        with pytest.raises(SystemExit) as left:
            main()
        return Call(left.value.code, *capsys.readouterr())

    return invoke


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(QUADRATIC)
    (tmp_path / "classify.toml").write_text(
        QUADRATIC.replace(
            'dataset = "isotropic_quadratic"',
            'dataset = "own.csv"\ndataset_options = { header = false }\nmodel = "logistic"',
        )
        + '[partition]\nkind = "iid"\n'
    )
    (tmp_path / "split.txt").write_text("0 1\n1 2\n3 4\n4 5\n")
    (tmp_path / "torn.txt").write_text("0 1\n1\n")
    (tmp_path / "clocked.toml").write_text(QUADRATIC.replace('"dsgd"', '"gossip_learning"'))
    (tmp_path / "trace.csv").write_text("node,start_s,end_s\n0,0,2\n1,3,1\n")
    (tmp_path / "strange.csv").write_text("sender,receiver,sent_s,arrives_s\n0,1,0,1\n0,6,1,2\n")
    (tmp_path / "broken.toml").write_text("rounds = = 3\n")
    values = np.random.default_rng(0).normal(size=(40, 3))
    values[:, 2] = values[:, 0] > 0
    values[7, 1] = np.nan
    np.savetxt(tmp_path / "own.csv", values, delimiter=",")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("keep me")
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "torn.py").write_text("def mix(:\n")
    return tmp_path


BAD = """
from jaxgossip.algorithms import Algorithm, Method
from jaxgossip.schedule import Delay

def algorithm(problem, optimizer, W):
    return 1 / 0

def words():
    return "ring"

def pair(problem):
    return problem.init, None

def backwards(scale: float = 1.0):
    return Delay(lambda sender, receiver, rng: scale * (rng.random(sender.size) - 1))

def delay_of_another_shape():
    return Delay(lambda sender, receiver, rng: rng.random(1 + sender.size))

def failing_delay():
    return Delay(lambda sender, receiver, rng: sender / (1 // 0))

class Late(Method):
    def init(self, problem, key):
        return problem.init(key)

    def step(self, problem, W, state, round_):
        return state / (1 // 0), None

    def models(self, state):
        return state

def late(problem):
    return Algorithm(Late(), problem)
"""

TABLE = {
    "a misspelt key": (["run", "small.toml", "--set", "topology.nodse=6"], 2, ["topology.nodse: unknown key", "did you mean 'nodes'"]),
    "a misspelt section": (["run", "small.toml", "--set", "topologie.nodes=6"], 2, ["topologie", "did you mean 'topology'"]),
    "a misspelt name": (["run", "small.toml", "--set", "topology.kind=rign"], 2, ["unknown topology 'rign'", "did you mean 'ring'"]),
    "a wrong type": (["run", "small.toml", "--set", "rounds=many"], 2, ["rounds: expected an integer, got 'many'"]),
    "a number out of range": (["run", "small.toml", "--set", "network.drop=1.5"], 2, ["network.drop: must be at most 1, got 1.5"]),
    "a missing configuration": (["run", "nowhere.toml"], 2, ["nowhere.toml", "no such file"]),
    "a broken configuration": (["run", "broken.toml"], 2, ["broken.toml", "line 1"]),
    "a missing edge list": (["run", "small.toml", "--set", "topology={kind='edge_list', path='nowhere.txt'}"], 2, ["no such file", "nowhere.txt"]),
    "a torn edge list": (["run", "small.toml", "--set", "topology={kind='edge_list', path='torn.txt'}"], 2, ["torn.txt:2"]),
    "an impossible graph": (["run", "small.toml", "--set", "topology={kind='random_regular', nodes=7, degree=3}"], 2, ["odd"]),
    "a disconnected graph": (["run", "small.toml", "--set", "topology={kind='edge_list', path='split.txt'}"], 2, ["2 components", "allow_disconnected"]),
    "NaN data": (["run", "classify.toml"], 2, ["own.csv", "line 8", "column '1'", "the value is missing ('nan')"]),
    "a non-empty folder": (["run", "small.toml", "--out", "full"], 2, ["full is not empty"]),
    "a non-empty folder, forced": (["run", "small.toml", "--out", "full", "--force"], 2, ["full is not empty and holds no run"]),
    "no run to resume": (["resume", "full"], 2, ["full is not a run folder"]),
    "no run to plot": (["plot", "nowhere"], 2, ["nowhere"]),
    "an unknown command": (["rnu"], 2, ["No such command 'rnu'"]),
    "an unknown option": (["run", "small.toml", "--sede", "3"], 2, ["No such option: --sede"]),
    "a malformed --set": (["run", "small.toml", "--set", "rounds"], 2, ["rounds", "key.path=value"]),
    "an own function that fails": (["run", "small.toml", "--set", "algorithm={kind='bad.py:algorithm'}"], 2, ["ZeroDivisionError", "bad.py"]),
    "an own function that is missing": (["run", "small.toml", "--set", "algorithm={kind='bad.py:nothing'}"], 2, ["no function 'nothing'", "it defines: algorithm, "]),
    "an own function that is misspelt, to list": (["list", "algorithm", "bad.py:pairs"], 2, ["no function 'pairs'", "did you mean 'pair'?"]),
    "an own name that is no function": (["list", "algorithm", "bad.py:__doc__"], 2, ["'__doc__' of", "is no function"]),
    "an own file that fails, to list": (["list", "mixing", "torn.py:mix"], 2, ["torn.py cannot be imported: SyntaxError"]),
    "an own file that fails, to show": (["topology", "show", "torn.py:mix"], 2, ["torn.py cannot be imported: SyntaxError"]),
    "an unknown example": (["new", "quickstrat"], 2, ["unknown example 'quickstrat'", "did you mean 'quickstart'"]),
    "an unknown kind to list": (["list", "topolgies"], 2, ["unknown kind 'topolgies'", "did you mean 'topology'"]),
    "an own topology that is no graph": (["run", "small.toml", "--set", "topology={kind='bad.py:words'}"], 2, ["topology:", "bad.py:words returned a str, which is no graph", "return a Graph, a networkx graph"]),
    "an own algorithm of another type": (["run", "small.toml", "--set", "algorithm={kind='bad.py:pair'}"], 2, ["bad.py:pair returned a tuple", "return a jaxgossip Algorithm"]),
    "an own algorithm whose step fails": (["run", "small.toml", "--set", "algorithm={kind='bad.py:late'}"], 1, ["ZeroDivisionError", "bad.py, line"]),
    "two regularizations for Pegasos": (["run", "classify.toml", "--set", "learning.model=pegasos", "--set", "optimizer={kind='pegasos', regularization=0.1}"], 2, ["optimizer.regularization: 0.1 differs from the model's 0.0001"]),
    "a malformed trace": (["run", "clocked.toml", "--set", "churn={kind='trace', path='trace.csv'}"], 2, ["churn: ", "trace.csv:3: the interval ends at 1 s, not after 3 s"]),
    "a message to nobody": (["run", "clocked.toml", "--set", "schedule.path=strange.csv"], 2, ["schedule: ", "strange.csv:3: receiver 6 does not exist", "nodes are numbered 0 to 5"]),
    "a negative delay": (["run", "clocked.toml", "--set", "delay.kind=bad.py:backwards"], 2, ["delay: a message of node ", "takes -", "a delay is a finite number of at least 0 seconds"]),
    "delays of another shape": (["run", "clocked.toml", "--set", "delay.kind=bad.py:delay_of_another_shape"], 2, ["messages got delays of shape", "draw one a message"]),
    "an own delay that fails": (["run", "clocked.toml", "--set", "delay.kind=bad.py:failing_delay"], 1, ["ZeroDivisionError", "bad.py, line"]),
    "clocks in rounds": (["run", "small.toml", "--set", "clock.kind=poisson"], 2, ["clock: algorithm 'dsgd' runs in rounds", "jaxgossip list protocol"]),
    "messages that multiply": (["run", "clocked.toml", "--set", "tokens={kind='reactive', k=2}"], 2, ["more than 1000 messages a node within one cycle: they multiply"]),
    "a run that diverges": (["run", "small.toml", "--set", "optimizer.learning_rate=1e9", "--set", "rounds=50"], 1, ["diverged", "in round", "learning_rate"]),
}  # fmt: skip


@pytest.mark.by_default(
    "an own algorithm of another type", "an own topology that is no graph", "an own function that fails"
)
@pytest.mark.parametrize("case", TABLE)
def test_a_mistake_gives_one_clear_message_and_its_exit_code(
    case: str, folder: Path, call: Callable[..., Call]
) -> None:
    words, code, texts = TABLE[case]
    done = call(*words)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    for text in texts:
        assert text in done.stderr, done.stderr
    assert (folder / "full" / "precious.txt").read_text() == "keep me"


@pytest.mark.slow
def test_a_diverged_run_keeps_what_was_measured(folder: Path, call: Callable[..., Call]) -> None:
    words = TABLE["a run that diverges"][0]
    call(*words, "--out", "out")
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    assert manifest["status"] == "diverged"
    assert 1 < manifest["rounds"] < 50
    records = [json.loads(line) for line in (folder / "out" / "metrics.jsonl").read_text().splitlines()]
    assert records[0]["round"] == 0
    assert records[-1]["round"] < manifest["rounds"]
    assert (folder / "out" / "summary.png").is_file()
