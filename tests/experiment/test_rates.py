"""Learning rates that change, masks and clipping in configurations, with --set, and as axes of a sweep."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.build.optimizers import with_horizon
from jaxgossip.experiment.config.load import json_schema, load, resolved_toml
from jaxgossip.experiment.plots.labels import description
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.experiment.results.stored import config_at
from jaxgossip.experiment.sweeps.grid import expand, lifted_numbers
from jaxgossip.experiment.sweeps.grid_run import run_grid
from jaxgossip.learning import RATES
from jaxgossip.learning.nodewise import fresh_states, updates
from jaxgossip.learning.optimizers.counts import at_round, counts_in
from tests.experiment.grid_cases import TEXT, Listener, alone, assert_same, records

RATE = "optimizer.learning_rate={kind='warmup_cosine', peak=0.1, warmup=2, end=0.01, by='rounds'}"
MLP = ["learning.model=mlp", "learning.model_options.hidden=[3]"]
EVENTS = ["algorithm={kind='gossip_learning'}", "optimizer.learning_rate={kind='linear', start=0.1, over=9}"]
OUTER = [
    "algorithm.kind=outer_gossip",
    "outer={kind='sgd', momentum=0.9, learning_rate={kind='linear', start=0.5, end=0.1}}",
]
OWN = """
import optax

def halving(*, start: float, over: int):
    return optax.exponential_decay(start, over, 0.5)

def no_function(*, start: float):
    return start
"""


def steps_of(settings: list[str], rounds: list[int]) -> list[float]:
    """Return the learning rates of a configuration's rounds: what a gradient of ones is multiplied by."""
    experiment = build(load(TEXT, settings))
    optimizer, row = experiment.in_rounds.method.optimizer, jnp.ones((1, experiment.problem.n_params))
    state = fresh_states(optimizer, row)
    return [-float(updates(optimizer, row, at_round(state, number), row)[0][0, 0]) for number in rounds]


@pytest.mark.slow
def test_a_table_is_the_schedule_of_that_name() -> None:
    config = load(TEXT, [RATE])
    assert load(resolved_toml(config)) == config
    assert config.tree()["optimizer"]["learning_rate"]["start"] == 0.0
    expected = optax.warmup_cosine_decay_schedule(0.0, 0.1, 2, 7, 0.01)  # 7 rounds, as over is left out
    np.testing.assert_allclose(steps_of([RATE], [*range(9)]), [expected(t) for t in range(9)], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("settings", "over"),
    [([], 7), (["optimizer.learning_rate.by=steps"], 7 * 3 + 4), (["optimizer.learning_rate.over=5"], 5)],
)
def test_the_run_is_the_horizon_that_is_left_out(settings: list[str], over: int) -> None:
    config = load(TEXT, [RATE, "algorithm.local_steps=3", "learning.start_steps=4", *settings])
    assert with_horizon(config, config.optimizer, lambda: 3).learning_rate.over == over


def test_values_are_set_by_their_paths() -> None:
    config = load(TEXT, [RATE, "optimizer.learning_rate.peak=0.3", "optimizer.clip_norm=2", "optimizer.kind=adamw"])
    assert (config.optimizer.learning_rate.peak, config.optimizer.clip_norm) == (0.3, 2)
    with pytest.raises(ConfigError, match=r"'optimizer\.learning_rate' is a value, not a table"):
        load(TEXT, ["optimizer.learning_rate.peak=0.3"])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (["optimizer.learning_rate.kind=warmup_cosin"], r"learning_rate\.kind: unknown .* 'warmup_cosin'\n?.*'warmup_cosine'"),
        (["optimizer.learning_rate.pek=1"], r"optimizer\.learning_rate\.pek: unknown key .did you mean 'peak'"),
        (["optimizer.learning_rate={peak=1}"], r"optimizer\.learning_rate\.kind: missing"),
        (["optimizer.learning_rate.by=round"], r"optimizer\.learning_rate\.by: expected 'steps', 'rounds' or 'age'"),
        (["optimizer.learning_rate.warmup=7"], r"optimizer\.learning_rate: warmup_cosine: a warm-up of 7 leaves nothing of 7"),
        (["optimizer.learning_rate.by=age"], r"algorithm: D-SGD \(ATC\) has no learning rates by age"),
        (["optimizer={kind='pegasos', learning_rate={kind='constant', value=1}}"], r"optimizer\.learning_rate: unknown key"),
        ([*OUTER, "outer.learning_rate.by=age"], r"algorithm: outer optimizer over gossip has no learning rates by age"),
        ([*OUTER, "outer.learning_rate.strt=1"], r"outer\.learning_rate\.strt: unknown key .did you mean 'start'"),
        (["optimizer.clip_norm=0"], r"optimizer\.clip_norm: must be greater than 0"),
        (["optimizer.weight_decay_mask=kernels"], r"weight_decay_mask: unknown key .*'weight_decay_mask' is a key of"),
        (["evaluation.baselines=['federated_averaging']", "optimizer.learning_rate.by=steps"], "begins every round with new"),
        ([*EVENTS, "optimizer.learning_rate.by=rounds"], r"learning_rate\.by: there are no rounds where nodes act by their own"),
        ([*EVENTS[:1], "optimizer.learning_rate={kind='linear', start=0.1}"], r"learning_rate\.over: missing, and how many"),
    ],
)  # fmt: skip
def test_mistakes_are_told(settings: list[str], text: str) -> None:
    with pytest.raises((ConfigError, InputError), match=text):
        build(load(TEXT, [RATE, *settings]))


@pytest.mark.slow
@pytest.mark.parametrize("by", ["steps", "rounds"])
def test_outer_rates_change_over_the_rounds_of_the_run(by: str) -> None:
    """A node takes one outer step in a round, so that both counts are one."""
    config = load(TEXT, [*OUTER, f"outer.learning_rate.by={by}"])
    assert load(resolved_toml(config)) == config
    experiment = build(config)
    outer = optax.sgd(optax.linear_schedule(0.5, 0.1, 7), momentum=0.9)
    expected = jg.algorithms.outer_gossip(
        experiment.problem, experiment.optimizer, experiment.W, outer=jg.optimizers.counted(outer, by="rounds")
    )
    found = [jg.simulate(run, 7, seed=0, evaluate_every=7).x for run in (experiment.in_rounds, expected)]
    np.testing.assert_array_equal(*found)
    constant = build(load(TEXT, [*OUTER[:1], "outer={kind='sgd', momentum=0.9, learning_rate=0.5}"])).in_rounds
    assert np.abs(jg.simulate(constant, 7, seed=0, evaluate_every=7).x - found[0]).max() > 1e-4


@pytest.mark.parametrize("by", ["steps", "age"])
def test_gossip_learning_counts_steps_or_ages(by: str) -> None:
    experiment = build(load(TEXT, [*EVENTS, f"optimizer.learning_rate.by={by}"]))
    row = jnp.ones(experiment.problem.n_params)
    assert counts_in(jax.eval_shape(experiment.optimizer.init, row)) == (by,)


def test_ones_own_schedule_is_named_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    table = f"optimizer.learning_rate={{kind='{tmp_path}/mine.py:halving', start=0.4, over=2, by='rounds'}}"
    np.testing.assert_allclose(steps_of([table], [0, 2, 4]), [0.4, 0.2, 0.1], rtol=1e-6)
    experiment = build(load(TEXT, [table]))
    assert f"{tmp_path}/mine.py:halving" in experiment.own
    with pytest.raises(ConfigError, match=r"optimizer\.learning_rate: .*mine\.py:no_function returned"):
        build(load(TEXT, [f"optimizer.learning_rate={{kind='{tmp_path}/mine.py:no_function', start=0.4}}"]))
    outer = f"outer={{kind='sgd', learning_rate={{kind='{tmp_path}/mine.py:halving', start=0.4, over=2}}}}"
    assert f"{tmp_path}/mine.py:halving" in build(load(TEXT, [*OUTER[:1], outer])).own


@pytest.mark.slow
def test_gradients_are_clipped_and_kernels_alone_decay() -> None:
    adamw = "optimizer={kind='adamw', learning_rate=0.1, weight_decay=0.5, weight_decay_mask='kernels'}"
    for mask, decaying in (("'kernels'", {"w0", "w1"}), ("['*1']", {"w1", "b1"})):
        experiment = build(load(TEXT, [*MLP, adamw, f"optimizer.weight_decay_mask={mask}"]))
        optimizer, row = experiment.in_rounds.method.optimizer, jnp.ones((1, experiment.problem.n_params))
        step, _ = updates(optimizer, jnp.zeros_like(row), fresh_states(optimizer, row), row)
        moved = experiment.problem.params(step[0])
        assert {name for name, leaf in moved.items() if jnp.abs(leaf).max() > 0} == decaying
    experiment = build(load(TEXT, ["optimizer.clip_norm=0.5", "optimizer.clip_value=2"]))
    optimizer, row = experiment.in_rounds.method.optimizer, 3 * jnp.ones((1, experiment.problem.n_params))
    step, _ = updates(optimizer, row, fresh_states(optimizer, row), row)
    np.testing.assert_allclose(jnp.linalg.norm(step), 0.1 * 0.5, rtol=1e-5)


def test_seeds_share_one_optimizer() -> None:
    from jaxgossip.experiment.build.builders import Shared

    shared, settings = Shared(), [RATE, "optimizer.clip_norm=1.0"]
    one, other = (build(load(TEXT, [*settings, f"seed={seed}"]), shared=shared).optimizer for seed in (0, 1))
    assert one is other
    longer = build(load(TEXT, [*settings, "rounds=9"]), shared=shared).optimizer
    assert longer is not one


@pytest.mark.slow
def test_a_sweep_of_peaks_and_norms_is_one_program(tmp_path: Path) -> None:
    path, listener = tmp_path / "small.toml", Listener()
    path.write_text(TEXT)
    axes = ["optimizer.learning_rate.peak=0.1,0.2", "optimizer.clip_norm=0.05,1.0"]
    grid = expand(path, axes, 1, [RATE])
    keys = {("optimizer", "learning_rate.peak"), ("optimizer", "clip_norm")}
    assert all(lifted_numbers(run).keys() == keys for run in grid.runs)
    run_grid(grid, tmp_path / "out", observer=listener)
    assert listener.compilations == 1
    found = [records(tmp_path / "out" / run.config.name) for run in grid.runs]
    assert len({record[-1]["consensus_distance"] for record in found}) == 4
    for run, record in zip(grid.runs[1:3], found[1:3], strict=True):
        assert_same(record, alone(run))
    folder = tmp_path / "out" / grid.runs[0].config.name
    assert config_at(folder / "config.toml")["optimizer"]["clip_norm"] == 0.05
    assert "sgd warmup_cosine" in description(RunData.load(folder))
    constants = expand(path, ["optimizer.learning_rate.warmup=1,2"], 1, [RATE])
    assert all(not lifted_numbers(run) for run in constants.runs)  # a count is a constant of the program


@pytest.mark.parametrize("section", ["optimizer", "outer"])
def test_the_schema_knows_the_table(section: str) -> None:
    schema = json_schema()["properties"][section]
    kinds = {kind["properties"]["kind"].get("const"): kind for kind in schema["oneOf"]}
    number, table = kinds["adamw"]["properties"]["learning_rate"]["anyOf"]
    assert number["type"] == "number"
    names = [kind["properties"]["kind"].get("const") for kind in table["oneOf"]]
    assert [name for name in names if name] == list(RATES)
    assert "learning_rate" not in kinds["pegasos"]["properties"]
