"""Sweeps from Python: each run is what it is alone, families compile once, what is stopped is kept, mistakes are named."""

import signal

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.errors import ArgumentTypeError, InputError
from jaxgossip.simulation import Observer, SweepResult
from tests.simulation.test_listening import NETWORK, N, Presses, protocol, pythons_own_handler  # noqa: F401 - a fixture

ROUNDS = 12
W = jg.mixing.metropolis_hastings(jg.topology.ring(N))


def make(rate, noise: float = 0.5) -> jg.algorithms.Algorithm:
    problem = jg.learning.isotropic_quadratic(N, dimension=2, noise=noise, rng=0)
    return jg.algorithms.dsgd(problem, jg.optimizers.Optimizer(optax.sgd, {"learning_rate": rate}), W)


def own(rate: float, seed: int) -> jg.algorithms.Algorithm:
    """Return an algorithm whose data are drawn by the seed."""
    problem = jg.learning.isotropic_quadratic(N, dimension=3, noise=0.5, rng=seed)
    return jg.algorithms.dsgd(problem, optax.adam(rate), jg.mixing.matching(jg.topology.complete(N)))


def speeds(seed: int) -> jg.network.Speeds:
    """Return machines that are drawn by the seed."""
    return jg.network.speeds.lognormal(N, rng=seed, compute_s=0.05, up_mbit_s=2.0, down_mbit_s=2.0)


class Counts(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.compilations = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def compiled(self, seconds: float) -> None:
        self.compilations += 1


@pytest.fixture(scope="module")
def counts() -> Counts:
    return Counts()


@pytest.fixture(scope="module")
def swept(counts: Counts) -> SweepResult:
    """Two rates, which are JAX arrays, and two losses of messages, which are not: two families of two rates and two seeds."""
    return jg.sweep(
        make, ROUNDS, grid={"rate": jnp.array([0.1, 0.05]), "drop": [0.0, 0.3]}, seeds=2, evaluate_every=4,
        conditions=jg.network.Conditions, observer=counts,
    )  # fmt: skip


def test_a_family_compiles_once(swept: SweepResult, counts: Counts) -> None:
    assert counts.compilations == 2
    assert counts.notes == [f"compiling D-SGD (ATC) for 4 runs, program {number} of 2" for number in (1, 2)]
    assert (len(swept), swept.status, swept.asked) == (8, "completed", 8)


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 7])
def test_a_row_is_what_simulate_gives_at_its_point(swept: SweepResult, place: int) -> None:
    run = swept[place]
    conditions = jg.network.Conditions(drop=run.point["drop"])
    alone = jg.simulate(make(run.point["rate"]), ROUNDS, seed=run.seed, evaluate_every=4, conditions=conditions)
    assert run.metrics.names == alone.metrics.names
    for name in set(run.metrics.names) - {"wall_s"}:
        np.testing.assert_allclose(run.metrics[name], alone.metrics[name], rtol=2e-5, atol=1e-7, err_msg=name)


def test_rows_come_seed_by_seed_within_point_by_point(swept: SweepResult) -> None:
    rows = swept.table()
    expected = [(rate, drop, seed) for rate in (0.1, 0.05) for drop in (0.0, 0.3) for seed in (0, 1)]
    assert [(row["rate"], row["drop"], row["seed"]) for row in rows] == expected
    assert {row["status"] for row in rows} == {"completed"}
    assert {type(value) for row in rows for value in row.values()} <= {int, float, str}
    np.testing.assert_array_equal(swept["distance_to_optimum"], [row["distance_to_optimum_mean"] for row in rows])
    records = swept.records()
    assert [record["round"] for record in records[:4]] == [0, 4, 8, 12]
    assert len(records) == 8 * 4


def test_means_and_deviations_are_over_seeds(swept: SweepResult) -> None:
    ends = swept["consensus_distance"].reshape(4, 2)
    rows = swept.summary("consensus_distance")
    np.testing.assert_allclose([row["mean"] for row in rows], ends.mean(1))
    np.testing.assert_allclose([row["std"] for row in rows], ends.std(1, ddof=1))
    assert [(row["runs"], row["diverged"]) for row in rows] == [(2, 0)] * 4
    rounds, mean, std = swept.curve("consensus_distance", rate=0.05, drop=0.3)
    assert list(rounds) == [0, 4, 8, 12]
    assert (mean[-1], std[-1]) == (rows[-1]["mean"], rows[-1]["std"])
    assert swept.where(rate=0.05).points == swept.points[2:]


def test_a_sweep_is_shown_in_one_line_and_drawn(swept: SweepResult) -> None:
    import matplotlib.pyplot as plt

    assert repr(swept).startswith("SweepResult(4 points (rate × drop) × 2 seeds: 8 completed in ")
    assert repr(swept[1]) == "SweepRun(rate=0.1, drop=0, seed=1: completed after 12 rounds; 4 evaluations)"
    axes = swept.plot()
    assert [line.get_label() for line in axes.lines] == [
        f"rate={rate}, drop={drop}" for rate in ("0.1", "0.05") for drop in ("0", "0.3")
    ]
    np.testing.assert_allclose(axes.lines[3].get_ydata(), swept.curve(rate=0.05, drop=0.3)[1])
    assert axes.get_ylabel() == "squared distance to the optimum"
    assert swept.where(drop=0.3).plot("bytes_sent", ax=axes) is axes
    plt.close(axes.figure)


def test_one_that_diverges_is_left_out_of_the_means() -> None:
    found = jg.sweep(make, ROUNDS, grid={"rate": jnp.array([0.1, 1e20])}, seeds=2, evaluate_every=4)
    assert [run.status for run in found] == ["completed"] * 2 + ["diverged"] * 2
    assert found.status == "completed"
    fine, lost = found.summary()
    assert (fine["diverged"], lost["diverged"]) == (0, 2)
    assert np.isfinite(fine["mean"])
    assert np.isnan([lost["mean"], lost["std"]]).all()
    assert "2 completed, 2 diverged" in repr(found)


@pytest.mark.slow
def test_what_takes_a_seed_is_made_for_each() -> None:
    asked: list[tuple[float, int]] = []

    def own(rate: float, seed: int) -> jg.algorithms.Algorithm:
        asked.append((rate, seed))
        return make(jnp.float32(rate))

    found = jg.sweep(own, 0, grid={"rate": [0.1]}, seeds=[5, 3])
    assert asked == [(0.1, 5), (0.1, 3)]
    assert [run.seed for run in found] == [5, 3]


@pytest.mark.slow
def test_several_algorithms_go_by_name() -> None:
    named = jg.sweep({"slow": lambda rate: make(rate / 10), "fixed": make}, 0, grid=[{"rate": 0.1}])
    assert [run.point for run in named] == [{"algorithm": "slow", "rate": 0.1}, {"algorithm": "fixed", "rate": 0.1}]
    one = make(0.1)
    assert [run.point for run in jg.sweep([one, one], 0)] == [{"algorithm": one.name}, {"algorithm": f"{one.name} #2"}]
    assert [run.point for run in jg.sweep(one, 0, seeds=2)] == [{}, {}]


@pytest.mark.slow
def test_protocols_run_one_by_one_on_their_schedule() -> None:
    found = jg.sweep(protocol(), 4, seeds=2, evaluate_every=2, schedule=NETWORK)
    for run in found:
        alone = jg.simulate_events(protocol(), NETWORK, 4, seed=run.seed, evaluate_every=2)
        for name in set(run.metrics.names) - {"wall_s"}:
            np.testing.assert_array_equal(run.metrics[name], alone.metrics[name], err_msg=name)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_what_is_under_way() -> None:
    class Later(Presses):
        """Presses in the second family."""

        def begin(self, name: str, rounds: int, done: int) -> None:
            self.families = getattr(self, "families", 0) + 1

        def advanced(self, rounds_done: int) -> None:
            if self.families == 2:
                super().advanced(rounds_done)

    found = jg.sweep(make, ROUNDS, grid={"rate": [0.1, 0.05, 0.01]}, seeds=2, evaluate_every=1, observer=Later(1))
    assert [(run.status, run.rounds, len(run.metrics)) for run in found] == [
        ("completed", ROUNDS, ROUNDS + 1), ("completed", ROUNDS, ROUNDS + 1), ("interrupted", 1, 2), ("interrupted", 1, 2),
    ]  # fmt: skip
    assert (found.status, found.asked) == ("interrupted", 6)
    assert "2 completed, 2 interrupted, 2 not begun" in repr(found)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


MISTAKES = {
    "a name that nothing takes": (
        lambda: jg.sweep(make, 1, grid={"rat": [1]}),
        "sweep: make does not take 'rat', nor does anything else (def make(rat): …, or conditions=lambda rat: …)",
    ),
    "a name that is missing": (
        lambda: jg.sweep(make, 1),
        "sweep: make: missing a required argument: 'rate' (what it takes by name are names of the grid, or it has a default)",
    ),
    "seeds in the grid": (
        lambda: jg.sweep(make, 1, grid={"rate": [0.1], "seed": [1]}),
        "sweep: 'seed' cannot be a name of the grid (seeds=… gives the seeds)",
    ),
    "an algorithm takes nothing": (
        lambda: jg.sweep([make(0.1)], 1, grid={"rate": [0.1]}),
        "sweep: the function of 'D-SGD (ATC)' does not take 'rate', nor does anything else (an algorithm as it is takes nothing: give a function)",
    ),
    "a value for a list": (
        lambda: jg.sweep(make, 1, grid={"rate": 0.1}),
        "sweep: the values of 'rate' are 0.1, not a list (grid={'rate': [0.1, 0.05], 'n': [16, 64]}, or a list of points, [{'rate': 0.1, 'n': 16}, …])",
    ),
    "no algorithm comes back": (
        lambda: jg.sweep(lambda rate: rate, 1, grid={"rate": [0.1]}),
        "sweep: make gives 0.1 at {'rate': 0.1}, which is no algorithm (def make(rate): return jg.algorithms.dsgd(problem, optax.sgd(rate), W))",
    ),
    "a protocol without a schedule": (
        lambda: jg.sweep(protocol(), 1),
        f"sweep: {protocol().name} is a protocol, and runs on a schedule (sweep(…, schedule=jg.schedule.schedule(graph, clock=…)), or a function that makes one of a point's values)",
    ),
    "seeds that are the same": (lambda: jg.sweep(make(0.1), 1, seeds=[1, 1]), "sweep: seeds are not all different (seeds=[0, 1, 2, 3])"),
    "no seeds": (lambda: jg.sweep(make(0.1), 1, seeds=0), "sweep: seeds must be a whole number of at least 1, not 0"),
    "no algorithm": (
        lambda: jg.sweep(3, 1),
        "sweep: 3 makes no algorithm (def make(rate): return jg.algorithms.dsgd(problem, optax.sgd(rate), W))",
    ),
}  # fmt: skip


@pytest.mark.wrong_types
@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named_with_a_way_out(name: str) -> None:
    call, message = MISTAKES[name]
    with pytest.raises(InputError) as raised:
        call()
    assert str(raised.value) == message


@pytest.mark.wrong_types
def test_points_of_a_sweep_are_asked_for_by_their_names(swept: SweepResult) -> None:
    with pytest.raises(InputError, match=r"the sweep has no 'rat' \(its grid: rate = 0.1, 0.05; drop = 0, 0.3\)"):
        swept.where(rat=0.1)
    with pytest.raises(InputError, match="2 points of the sweep, not one"):
        swept.curve(rate=0.1)
    with pytest.raises(InputError, match="no metric 'accuracy'"):
        swept.summary("accuracy")
    with pytest.raises(ArgumentTypeError):
        jg.sweep(make(0.1), 1, seeds="four")


@pytest.mark.slow
def test_budgets_speeds_and_seeds_of_problems_are_those_of_simulate() -> None:
    asked = {"evaluate_every": 3, "byte_budget": 1500, "sampled_nodes": 4}
    faults = jg.network.Conditions(drop=0.2, online=0.8)
    found = jg.sweep(
        own, 60, grid=[{"rate": 0.1}, {"rate": 0.02}], seeds=[4, 9], conditions=faults, speeds=speeds, **asked
    )
    for run in found:
        alone = jg.simulate(
            own(run.point["rate"], run.seed), 60, seed=run.seed, conditions=faults, speeds=speeds(run.seed), **asked
        )
        assert (run.status, run.rounds) == (alone.status, alone.rounds)
        assert run.rounds < 60
        for name in set(run.metrics.names) - {"wall_s"}:
            np.testing.assert_allclose(run.metrics[name], alone.metrics[name], rtol=1e-4, atol=1e-6, err_msg=name)
