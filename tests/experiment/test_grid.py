"""Grids of runs: replicas under one program are the runs they would be alone; options and their errors."""

import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.config.toml import split
from jaxgossip.experiment.plots.bands import bands, summary_rows
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.experiment.sweeps import grid_run
from jaxgossip.experiment.sweeps.grid import expand, lifted_numbers, parse_axis
from jaxgossip.experiment.sweeps.grid_run import run_grid
from jaxgossip.simulation import simulate
from tests.experiment.grid_cases import Listener, alone, assert_same, records, run_text


@pytest.mark.parametrize(
    ("options", "overrides", "programs"),
    [
        pytest.param(
            ["topology.kind=ring,complete", "optimizer.learning_rate=0.05,0.2"], [], 2, marks=pytest.mark.slow
        ),
        pytest.param(
            ["network.drop=0,0.4"],
            ["network.online=0.7", "network.straggle=0.3", "optimizer.kind=adam"],
            2,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["optimizer.momentum=0.5,0.9"],
            ["partition.kind=dirichlet", "mixing.kind=matching", "network.drop=0.2"],
            1,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["network.noise=0.1,0.2"],
            ["topology.kind=erdos_renyi", "topology.mean_degree=5", "byte_budget=3000"],
            None,
            marks=pytest.mark.slow,
        ),
        pytest.param(["optimizer.learning_rate=0.05,0.2"], ["device.dtype=float64"], 1, marks=pytest.mark.slow),
        pytest.param(["optimizer.learning_rate=0.05,0.2"], ["device.dtype=bfloat16"], 1, marks=pytest.mark.slow),
        pytest.param(
            ["optimizer.learning_rate=0.05,0.2"],
            ["privacy.clip=1.0", "privacy.noise_multiplier=0.5"],
            1,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["adversary.kind=bit_flip,alie"],
            ["adversary.fraction=0.25", "topology.kind=complete", "aggregation.kind=median"],
            2,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_every_run_of_a_grid_is_what_it_is_alone(config, tmp_path, options, overrides, programs) -> None:
    grid, listener = expand(config, options, 2, overrides), Listener()
    outcome = run_grid(grid, tmp_path / "out", observer=listener)
    assert outcome.done == len(grid.runs)
    for run in grid.runs if overrides == [] else grid.runs[1:3]:
        assert_same(records(tmp_path / "out" / run.config.name), alone(run))
    if programs is not None:
        assert listener.compilations == programs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "seeds"), [(["optimizer.learning_rate=0.1,0.05"], 1), (["network.online=0.6,0.8"], 2), ([], 3)]
)
def test_a_grid_of_nodes_with_sessions_is_each_run_alone(config, tmp_path, options, seeds) -> None:
    grid = expand(config, options, seeds, ["network.online=0.6", "network.session=2"])
    assert run_grid(grid, tmp_path / "out").done == len(grid.runs)
    for run in grid.runs:
        assert_same(records(tmp_path / "out" / run.config.name), alone(run))


@pytest.mark.slow
def test_samples_of_unequal_nodes_are_taken_whole_in_programs_of_their_own(config, tmp_path) -> None:
    grid, listener = expand(config, [], 2, ["partition.kind=dirichlet", "learning.batch_size=0"]), Listener()
    run_grid(grid, tmp_path / "out", observer=listener)
    assert listener.compilations == 2  # padded to the largest node, another number of samples for each seed
    for run in grid.runs:
        assert_same(records(tmp_path / "out" / run.config.name), alone(run))


@pytest.mark.slow
def test_a_replica_stays_what_it_is_when_replicas_are_added(config, tmp_path) -> None:
    few = expand(config, ["optimizer.learning_rate=0.1,0.2"], 2)
    many = expand(config, ["optimizer.learning_rate=0.1,0.2,0.3"], 5)
    for name, grid in (("few", few), ("many", many)):
        run_grid(grid, tmp_path / name)
    for run in few.runs:
        mine, its = (records(tmp_path / name / run.config.name) for name in ("few", "many"))
        assert_same(mine, its)


@pytest.mark.slow
def test_one_that_diverges_stops_no_other(config, tmp_path) -> None:
    overrides = ["learning.batch_size=1", "rounds=40"]
    tree = (
        config.read_text()
        .replace('model = "logistic"\nbatch_size = 2\n', "")
        .replace("synthetic", "isotropic_quadratic")
    )
    config.write_text(tree.replace("{ samples = 200, features = 4 }", "{ dimension = 3 }"))
    grid, listener = expand(config, ["optimizer.learning_rate=0.1,1e3"], 2, overrides[1:]), Listener()
    outcome = run_grid(grid, tmp_path / "out", observer=listener)
    good, bad = grid.runs[:2], grid.runs[2:]
    assert set(outcome.diverged) == {run.config.name for run in bad}
    assert listener.compilations == 1
    assert_same(records(tmp_path / "out" / good[1].config.name), alone(good[1]))
    for run in bad[:1]:
        assert_same(records(tmp_path / "out" / run.config.name), alone(run))
        told = RunData.load(tmp_path / "out" / run.config.name)
        assert told.diverged_round == simulate(build(load(run_text(run))).algorithm, 40, seed=run.config.seed).rounds
    loaded = [RunData.load(tmp_path / "out" / run.config.name) for run in (good[0], bad[0])]
    points = [(run.values, [it]) for run, it in zip((good[0], bad[0]), loaded, strict=True)]
    rows = summary_rows(points, loaded[0].measures[0])
    assert [row["diverged"] for row in rows] == [0, 1]
    assert rows[1]["mean"] is None
    figure = bands(points, "page")
    assert [text.get_text().partition(" ")[2] for text in figure.legends[0].get_texts()] == ["", "(diverged)"]
    assert "1 of 2 runs diverged" in figure.get_suptitle()
    dotted = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    before = loaded[1].column("distance_to_optimum_mean")
    np.testing.assert_allclose(dotted[0].get_ydata(), before[np.isfinite(before)], rtol=1e-9)
    assert len(bands(points[1:], "page").axes[0].lines) == 1  # alone, it is drawn as well


@pytest.mark.parametrize("overrides", [[], ["topology.degree=3"]])
def test_kinds_with_keys_of_their_own_are_shown_as_tables(config, overrides) -> None:
    with pytest.raises(ConfigError, match=r"topology.degree: (missing|unknown key)") as raised:
        expand(config, ["topology.kind=ring,random_regular"], 1, overrides)
    option = shlex.split(raised.value.hint.splitlines()[-1].partition("--grid ")[2])[0]
    degree = 3 if overrides else 4
    tables = ({"kind": "ring", "nodes": 8}, {"kind": "random_regular", "nodes": 8, "degree": degree})
    assert parse_axis(option).values == tables
    assert len(expand(config, [option]).runs) == 2


@pytest.mark.parametrize(
    ("options", "seeds", "message"),
    [
        (["topology.kind"], 1, "no '='"),
        (["topology.kind="], 1, "--grid topology.kind: no values"),
        (["topology.kind=ring,,star"], 1, "--grid topology.kind: an empty value"),
        (["topology.kind=ring,ring"], 1, "stands there twice"),
        (["topology.kind=ring", "topology.kind=star"], 1, "--grid topology.kind: given twice"),
        (["seed=1,2"], 1, "seeds are no axis"),
        (["name=a,b"], 1, "'name' cannot be varied"),
        (["device.count=1,2"], 1, "all runs share the devices"),
        (["device={count=1},{count=2}"], 1, "all runs share the devices"),
        (["optimizer.learing_rate=0.1"], 1, "optimizer.learing_rate: unknown key"),
        (["topology.kind=ring,rong"], 1, r"topology.kind=rong.*'rong'"),
        (["rounds.x=1"], 1, "'rounds' is a value, not a table"),
        (["rounds=" + "9" * 5000], 1, "--grid rounds=9+…9+: an integer of thousands of digits"),
        (["topology.kind=" + "[" * 500 + "]" * 500], 1, "nested more than 32 deep"),
        ([], 0, "--seeds 0"),
        (["rounds=1,2"], 10**9, "a grid of 2,000,000,000 runs"),
    ],
)
def test_errors_name_the_key(config, options, seeds, message) -> None:
    with pytest.raises(ConfigError, match=message):
        expand(config, options, seeds)


def test_a_run_of_a_grid_has_one_device_of_those_of_the_grid(config) -> None:
    grid = expand(config, ["topology.kind=ring,star"], 1, ["device.count=3"])
    assert grid.devices == 3
    assert {run.config.device.count for run in grid.runs} == {1}
    assert grid.runs == expand(config, ["topology.kind=ring,star"]).runs


def test_variants_have_no_grid(config) -> None:
    config.write_text(config.read_text() + '[[variants]]\nname = "a"\n')
    with pytest.raises(ConfigError, match=r"variants: a configuration with \[\[variants\]\] has no grid"):
        expand(config, ["rounds=1,2"])


def test_values_are_read_as_toml() -> None:
    assert parse_axis("a.b=1,0.5,true,ring").values == (1, 0.5, True, "ring")
    assert parse_axis("a.b=[1,2],[3]").values == ([1, 2], [3])
    assert split("'a,b',{x=1,y=2},(3,4)") == ["'a,b'", "{x=1,y=2}", "(3,4)"]


def test_numbers_that_rule_faults_out_stay_in_the_program(config) -> None:
    grid = expand(config, ["network.drop=0,0.2", "network.online=1,0.5", "optimizer.learning_rate=0.1"])
    assert [len(lifted_numbers(run)) for run in grid.runs] == [1, 2, 2, 3]


@pytest.mark.slow
def test_runs_of_two_precisions_share_no_table_of_weights(config, tmp_path) -> None:
    shared = grid_run.Shared()
    for run in expand(config, ["device.dtype=float32,float64"], 1, ["topology={kind='star', nodes=40}"]).runs:
        with grid_run.precision(run.config):
            W, dtype = build(run.config, shared=shared).W, run.config.device.dtype
            assert W.self_weight.dtype == dtype
            assert build(run.config, shared=shared).W is W


def test_values_that_are_tables_are_told_by_their_kinds(config, tmp_path) -> None:
    option = "topology={kind='ring',nodes=16},{nodes=16,kind='random_regular',degree=4}"
    grid = expand(config, [option])
    assert grid.points == ["topology=ring (nodes 16)", "topology=random_regular (nodes 16, degree 4)"]
    assert [run.config.name for run in grid.runs] == ["ring_nodes_16-seed_3", "random_regular_nodes_16_degree_4-seed_3"]
    assert grid.runs[0].cells == {"topology": "ring (nodes 16)"}
    options = expand(config, ["learning.dataset_options={samples=100,features=4},{samples=200,features=4}"])
    assert options.points[0] == "learning.dataset_options=samples 100, features 4"


def test_draws_under_vmap_are_those_alone() -> None:
    keys = jnp.stack([jax.random.key(seed) for seed in range(3)])
    both = jax.vmap(lambda key: jax.random.bits(key, (5,)))(keys)
    np.testing.assert_array_equal(both[1], jax.random.bits(jax.random.key(1), (5,)))


@pytest.mark.slow
def test_a_group_too_large_is_run_in_parts(config, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("jaxgossip.simulation.layout.available_bytes", lambda: 2 * 2 * 72 * 8 * 6 * 4)
    grid, listener = expand(config, ["optimizer.learning_rate=0.1,0.2"], 3), Listener()
    run_grid(grid, tmp_path / "out", observer=listener)
    assert 1 < listener.compilations < 6
    for run in grid.runs[1::3]:
        assert_same(records(tmp_path / "out" / run.config.name), alone(run))
