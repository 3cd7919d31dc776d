"""The rounds engine: chunks, seeds, divergence, resumption in memory, sharing of programs, export."""

import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.simulation import Observer, Program, checkpoint
from jaxgossip.simulation.metrics import Metrics, sample_nodes, statistics
from jaxgossip.simulation.program import initial_shapes

N, P = 12, 5


def algorithm(learning_rate: float = 0.1, n: int = N) -> jg.algorithms.Algorithm:
    problem = jg.learning.isotropic_quadratic(n, dimension=P, noise=0.5, rng=0)
    return jg.algorithms.dsgd(problem, optax.adam(learning_rate), jg.mixing.matching(jg.topology.complete(n)))


FAULTS = jg.network.Conditions(drop=0.2, online=0.8)


def same(a, b) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.slow
def test_chunks_of_any_size_give_the_same_bits() -> None:
    program = Program(algorithm(), seed=1, conditions=FAULTS)
    whole = program.advance(program.start(), 40)
    pieces = program.start()
    for until in (1, 2, 7, 30, 40):
        pieces = program.advance(pieces, until)
    same(pieces, whole)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    runs = [jg.simulate(algorithm(), 20, seed=seed, conditions=FAULTS) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    assert np.abs(np.asarray(runs[0].x) - np.asarray(runs[2].x)).max() > 1e-3


@pytest.mark.slow
def test_a_result_is_shown_in_one_line() -> None:
    shown = repr(jg.simulate(algorithm(), 20, evaluate_every=10))
    assert re.fullmatch(
        r"Result\(D-SGD \(ATC\) on 12 nodes × 5 parameters: completed after 20 rounds in [\d.]+ m?s; "
        r"3 evaluations, squared distance to the optimum 0\.\d+\)",
        shown,
    )


@pytest.mark.slow
def test_evaluating_changes_no_bit() -> None:
    runs = [jg.simulate(algorithm(), 20, evaluate_every=every, sampled_nodes=s) for every, s in ((1, 3), (20, 12))]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    assert list(runs[0].metrics["round"]) == list(range(21))
    assert list(runs[1].metrics["round"]) == [0, 20]


def test_a_run_goes_on_from_where_it_was() -> None:
    whole = jg.simulate(algorithm(), 30, seed=1)
    half = jg.simulate(algorithm(), 15, seed=1)
    rest = jg.simulate(algorithm(), 30, seed=1, start=half.run)
    same(rest.run, whole.run)
    assert rest.metrics.final["consensus_distance"] == whole.metrics.final["consensus_distance"]
    assert list(rest.metrics["round"]) == [20, 30]


def test_divergence_is_an_outcome_with_its_round() -> None:
    problem = jg.learning.isotropic_quadratic(N, dimension=P, noise=0.0, rng=0)
    run = jg.algorithms.isolated(problem, optax.sgd(1e3))
    result = jg.simulate(run, 200, evaluate_every=5)
    assert result.status == "diverged"
    x, rounds = np.asarray(jg.simulate(run, 0).x, np.float32), 0
    targets = np.asarray(problem.targets)
    with np.errstate(over="ignore", invalid="ignore"):
        while np.isfinite(x.sum()):
            x, rounds = x - np.float32(1e3) * (x - targets), rounds + 1
    assert abs(result.rounds - rounds) <= 1
    assert result.metrics.final["round"] < result.rounds
    assert np.isfinite(result.metrics["consensus_distance"][0])


@pytest.mark.slow
def test_an_observer_can_stop_a_run() -> None:
    class Stop(Observer):
        done = 0

        def advanced(self, rounds_done: int) -> None:
            self.done = rounds_done

        def should_stop(self) -> bool:
            return self.done >= 10

    result = jg.simulate(algorithm(), 1000, observer=Stop())
    assert result.status == "interrupted"
    assert 10 <= result.rounds < 1000
    same(jg.simulate(algorithm(), 1000, start=result.run).run, jg.simulate(algorithm(), 1000).run)


def test_consensus_distance_and_statistics_are_their_formulas() -> None:
    result = jg.simulate(algorithm(), 10)
    x = np.asarray(result.x, np.float64)
    np.testing.assert_allclose(
        result.metrics.final["consensus_distance"], ((x - x.mean(0)) ** 2).sum(1).mean(), rtol=1e-5
    )
    values = result.node_scores["distance_to_optimum"]
    assert values.shape == (N,)
    for name, expected in {
        "mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max(),
        "q05": np.quantile(values, 0.05), "q50": np.median(values), "q95": np.quantile(values, 0.95),
    }.items():  # fmt: skip
        np.testing.assert_allclose(result.metrics.final[f"distance_to_optimum_{name}"], expected, rtol=1e-5)
    mean_model = ((x.mean(0) - np.asarray(algorithm().problem.optimum)) ** 2).sum()
    np.testing.assert_allclose(result.metrics.final["mean_model_distance_to_optimum"], mean_model, rtol=1e-4)


def test_nodes_without_a_measurement_are_left_out() -> None:
    record = statistics("local_accuracy", jnp.asarray([0.5, jnp.nan, 1.0]))
    assert float(record["local_accuracy_mean"]) == 0.75
    assert float(record["local_accuracy_min"]) == 0.5


@pytest.mark.slow
def test_sampled_nodes_are_distinct_and_fixed_by_the_key() -> None:
    nodes = np.asarray(sample_nodes(jax.random.key(0), 1000, 50))
    assert len(set(nodes)) == 50
    assert (np.diff(nodes) > 0).all()
    assert not np.array_equal(nodes, sample_nodes(jax.random.key(1), 1000, 50))
    np.testing.assert_array_equal(sample_nodes(jax.random.key(0), 10, 50), np.arange(10))


class Counted(jg.algorithms.Method):
    """One step of gradient descent, which notes whenever it is traced."""

    rate: float | jax.Array
    note: Callable[[str], None]

    def init(self, problem, key):
        return problem.init(key)

    def step(self, problem, W, x, round_):
        self.note("step")
        links = round_.links(W, problem.n_shared)
        return links.mix(x - self.rate * problem.gradient(x, round_.key("batch"))), links.sent(x)

    def models(self, state):
        return state


@pytest.mark.slow
def test_runs_that_differ_in_arrays_alone_share_their_programs() -> None:
    """Seeds, data, weights and numbers that are device arrays: nothing is traced anew but a check of the shapes."""
    noted: list[str] = []
    note = noted.append
    rings = [jg.mixing.metropolis_hastings(jg.topology.ring(n)) for n in (12, 12, 13)]

    def traced(rate, W, seed: int) -> int:
        before = len(noted)
        problem = jg.learning.isotropic_quadratic(W.n_nodes, dimension=3, rng=seed)
        jg.simulate(jg.algorithms.Algorithm(Counted(rate, note), problem, W), rounds=2, seed=seed)
        return len(noted) - before

    first = traced(jnp.float32(0.1), rings[0], 0)
    again = traced(jnp.float32(0.2), rings[1], 1)
    assert again < first
    assert traced(0.1, rings[0], 0) > again  # Python's number is a part of the program
    assert traced(jnp.float32(0.1), rings[2], 0) > again


@pytest.mark.slow
def test_the_compiled_round_holds_no_data() -> None:
    program = Program(algorithm(n=4096))
    function, arguments = program.lowerable()
    assert len(jax.jit(function).lower(*arguments).as_text()) < 300_000


def test_metrics_are_columns_by_name_and_records_by_number() -> None:
    metrics = Metrics([{"round": 0, "a": 1.0}, {"round": 5, "a": 2.0}])
    np.testing.assert_array_equal(metrics["a"], [1.0, 2.0])
    assert metrics[-1]["round"] == 5
    with pytest.raises(KeyError, match="no metric 'b'; there are: round, a"):
        metrics["b"]


@pytest.mark.parametrize(("name", "value"), [("rounds", -1), ("evaluate_every", 0), ("sampled_nodes", 0)])
def test_numbers_out_of_range_are_named(name: str, value: int) -> None:
    options = {"rounds": 3, name: value}
    with pytest.raises(jg.errors.InputError, match=f"^simulate: {name} must be at least"):
        jg.simulate(algorithm(), **options)


@pytest.mark.slow
def test_products_keep_full_float32_precision_unless_asked_otherwise() -> None:
    problem = jg.learning.least_squares(4, dimension=3, samples=5, rng=0)
    run = jg.algorithms.isolated(problem, optax.sgd(0.1))

    def text(**options) -> str:
        function, arguments = Program(run, **options).lowerable()
        return jax.jit(function).lower(*arguments).as_text()

    assert "dot_general" in text()
    assert "DEFAULT" not in "".join(line for line in text().splitlines() if "dot_general" in line)
    assert "HIGHEST" in text()


def test_a_checkpoint_gives_back_every_bit(tmp_path) -> None:
    program = Program(algorithm(), seed=1)
    run = program.advance(program.start(), 17)
    checkpoint.save(tmp_path, run, round_number=17, metadata={"wall_s": 1.5})
    restored, facts = checkpoint.load(tmp_path, initial_shapes(algorithm(), 1))
    same(restored, run)
    assert facts["round"] == 17
    assert facts["wall_s"] == 1.5


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path) -> None:
    for number in (1, 2, 3):
        checkpoint.save(tmp_path, {"x": jnp.full(3, float(number))}, round_number=number, metadata={})
    assert len(list(tmp_path.glob("*.json"))) == 2
    newest = tmp_path / "round-000000003.npz"
    newest.write_bytes(newest.read_bytes()[:-7])
    with pytest.warns(jg.errors.JaxGossipWarning, match=r"round-000000003\.npz is damaged"):
        restored, facts = checkpoint.load(tmp_path, {"x": jnp.zeros(3)})
    assert facts["round"] == 2
    np.testing.assert_array_equal(restored["x"], 2)
    (tmp_path / "round-000000002.npz").unlink()
    with (
        pytest.warns(jg.errors.JaxGossipWarning),
        pytest.raises(jg.errors.RunError, match=r"no checkpoint in .* is intact"),
    ):
        checkpoint.load(tmp_path, {"x": jnp.zeros(3)})


def test_a_checkpoint_of_another_shape_is_refused(tmp_path) -> None:
    checkpoint.save(tmp_path, {"x": jnp.zeros(3)}, round_number=1, metadata={})
    with pytest.raises(jg.errors.RunError, match="another shape"):
        checkpoint.load(tmp_path, {"x": jnp.zeros(4)})
