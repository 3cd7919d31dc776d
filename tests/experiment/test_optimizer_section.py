"""The section [optimizer] is demanded by algorithms and baselines that take steps, and told where it has no effect."""

from pathlib import Path

import pytest

import jaxgossip as jg
from jaxgossip.algorithms import ALGORITHMS, PROTOCOLS, Algorithm
from jaxgossip.core.arguments import may_be_none
from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load, resolved_toml
from jaxgossip.experiment.runs.run import announced_build, run
from jaxgossip.experiment.sweeps.grid import expand
from jaxgossip.experiment.sweeps.grid_run import run_grid
from tests.experiment.grid_cases import Listener

TEXT = """
name = "small"
rounds = 2
[topology]
kind = "ring"
nodes = 8
[learning]
dataset = "averaging"
[algorithm]
kind = "averaging"
"""
OPTIMIZER = "optimizer={kind='sgd', learning_rate=0.1}"
NO_BASELINES = "evaluation.baselines=[]"
BY_ITSELF = {"averaging", "shift_register", "chebyshev", "halving_windows", "push_sum", "model_propagation"}
"""Algorithms whose rounds take no steps: an optimizer is there for the start steps alone."""
OWN = """
import jaxgossip as jg
import optax


class Still(jg.algorithms.Method):
    def init(self, problem, key):
        return problem.init(key)

    def step(self, problem, W, x, round_):
        return x, round_.links(W, problem.n_shared).sent(x)

    def models(self, x):
        return x


def without(problem, W):
    return jg.algorithms.Algorithm(Still(), problem, W, name="without")


def default(problem, W, optimizer=optax.sgd(0.1)):
    assert optimizer is not None
    return jg.algorithms.Algorithm(Still(), problem, W, name="default")


def taking(problem, optimizer, W):
    return jg.algorithms.Algorithm(Still(), problem, W, name="taking")
"""


def kinds(name: str) -> list[str]:
    return [f"algorithm.kind={name}", *(["mixing.kind=push_sum"] if name == "push_sum" else [])]


def notes(*settings: str, folder: Path | None = None) -> list[str]:
    listener = Listener()
    announced_build(load(TEXT, settings, folder=folder), listener)
    return [" ".join(note.split()) for note in listener.notes if "without effect" in note]


def test_averages_take_no_steps_of_their_own() -> None:
    free = {
        name for registry in (ALGORITHMS, PROTOCOLS) for name in registry if may_be_none(registry[name], "optimizer")
    }
    assert free == BY_ITSELF | {"pairwise_averaging", "asynchronous_push_sum"}


@pytest.mark.parametrize("name", [*sorted(BY_ITSELF), "pairwise_averaging", "asynchronous_push_sum"])
def test_an_average_needs_no_optimizer(name: str) -> None:
    config = load(TEXT, kinds(name))
    assert config.optimizer is None
    assert config.evaluation.baselines == ()
    assert load(resolved_toml(config)) == config
    experiment = build(config)
    assert experiment.optimizer is None
    if isinstance(experiment.algorithm, Algorithm):
        assert not experiment.algorithm.method.takes_steps
    assert notes(*kinds(name), OPTIMIZER) == []  # the baselines take it
    (note,) = notes(*kinds(name), OPTIMIZER, NO_BASELINES)
    assert note.startswith("without effect in a run of ")
    assert note.endswith(", where no steps are taken with it: optimizer")


def test_it_runs_without(tmp_path: Path) -> None:
    outcome = run(load(TEXT), out=tmp_path / "run")
    assert outcome.status == "completed"
    assert "[optimizer]" not in (tmp_path / "run" / "config.toml").read_text()


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name not in BY_ITSELF])
def test_whatever_takes_steps_demands_one(name: str) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.learning_rate: missing"):
        load(TEXT, kinds(name))


def test_baselines_and_start_steps_demand_one() -> None:
    with pytest.raises(ConfigError, match="optimizer: missing, and algorithm 'averaging' does without, but no basel"):
        load(TEXT, ["evaluation.baselines=['isolated']"])
    with pytest.raises(ConfigError, match=r"optimizer: missing, and learning\.start_steps are taken with it"):
        load(TEXT, ["learning.start_steps=2"])
    assert notes(OPTIMIZER, NO_BASELINES, "learning.start_steps=2") == []


def test_ones_own_algorithm_is_asked_what_it_takes(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    for name in ("without", "default"):
        config = load(TEXT, [f"algorithm.kind=mine.py:{name}"], folder=tmp_path)
        assert config.optimizer is None
        assert build(config).algorithm.name == name
    with pytest.raises(ConfigError, match=r"optimizer\.learning_rate: missing"):
        load(TEXT, ["algorithm.kind=mine.py:taking"], folder=tmp_path)
    given = [OPTIMIZER, NO_BASELINES]
    assert notes("algorithm.kind=mine.py:without", *given, folder=tmp_path) == [
        "without effect in a run of without, where no steps are taken with it: optimizer"
    ]
    assert notes("algorithm.kind=mine.py:default", *given, folder=tmp_path) == []
    assert notes("algorithm.kind=mine.py:taking", *given, folder=tmp_path) == []


@pytest.mark.slow
def test_a_grid_says_so_once(tmp_path: Path) -> None:
    path, listener = tmp_path / "small.toml", Listener()
    path.write_text(TEXT)
    grid = expand(path, ["algorithm.kind=dsgd,averaging"], 2, [OPTIMIZER, NO_BASELINES])
    run_grid(grid, tmp_path / "out", observer=listener)
    assert [" ".join(note.split()) for note in listener.notes if "without effect" in note] == [
        "without effect in a run of averaging, where no steps are taken with it: optimizer"
    ]


def test_python_takes_none_where_no_steps_are_taken() -> None:
    graph = jg.topology.ring(8)
    problem, W = jg.learning.averaging(8), jg.mixing.metropolis_hastings(graph)
    assert jg.algorithms.averaging(problem, None, W).problem is problem
    with pytest.raises(InputError, match="averaging: the problem has 3 start steps, which are taken with an optimizer"):
        jg.algorithms.averaging(jg.learning.started(problem, 3), None, W)
    with pytest.raises(InputError, match="None is no optimizer"):
        jg.algorithms.dsgd(problem, None, W)
