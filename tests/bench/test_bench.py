"""The benchmark: its traffic, its NumPy references against the programs they are compared with, its report."""

import inspect
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from matplotlib.text import Text

from jaxgossip import mixing, topology
from jaxgossip.algorithms import gossip
from jaxgossip.algorithms.base import descend, start
from jaxgossip.bench import memory, reference, scaling
from jaxgossip.bench.case import Case, Measured, Setting
from jaxgossip.bench.chart import chart
from jaxgossip.bench.events import bench_events
from jaxgossip.bench.grids import CONFIG, bench_grid
from jaxgossip.bench.report import CASES, bench, measure
from jaxgossip.bench.table import EXPLANATION, HEADER, number, rows, title
from jaxgossip.bench.timing import Copy, Loop, ProgramRounds, reference_seconds, seconds_a_round
from jaxgossip.core.errors import InputError, RunError
from jaxgossip.core.random import run_key
from jaxgossip.learning import models, optimizers, partitions
from jaxgossip.learning.data import datasets
from jaxgossip.learning.supervised import classification
from jaxgossip.network import Round
from jaxgossip.simulation.program import Program

SMALL = Setting(nodes=100, params=3)
FAST = 1e-4
POINT = Measured("star", (1000, 58), 1e-5, 1e-4, 2.0, 1998, "edge", 0.5, "scipy CSR @ X", 3e-4)


@pytest.mark.by_default("matching-None-100", "logistic_step-1-100")
@pytest.mark.parametrize(
    ("name", "traffic", "items"),
    [
        ("ring", 2, 200),
        ("random_8_regular", 5, 800),
        ("random_16_regular", 9, 1600),
        ("small_world", 5, 800),
        ("star", 1.99, 198),  # k = 2 · 99/100
        ("complete_mean", 1, 100),
        ("matching_mixing", 1.5, 100),
        ("matching", None, 100),
        ("logistic_step", 1, 100),
        ("mlp_step", 1, 100),
        ("round_update_merge", 1.5, 100),
        ("round_merge_update", 1.5, 100),
    ],
)
def test_traffic_is_that_counted_by_hand(name: str, traffic: float | None, items: int) -> None:
    case = CASES[name](SMALL)
    assert case.traffic == pytest.approx(traffic)
    assert case.items == items


@pytest.mark.parametrize("name", ["random_geometric", "barabasi_albert"])
def test_traffic_of_irregular_graphs_counts_the_mean_degree(name: str) -> None:
    case = CASES[name](SMALL)
    assert case.traffic == pytest.approx((case.items / 100 + 2) / 2)


@pytest.mark.by_default("ring", "complete_mean")
@pytest.mark.parametrize("name", ["ring", "barabasi_albert", "complete_mean"])
def test_the_program_and_the_reference_of_a_mixing_case_do_the_same(name: str) -> None:
    case = CASES[name](SMALL)
    case.rounds(3)
    for _ in range(3):
        case.reference()
    closure = inspect.unwrap(case.reference).__closure__
    x = next(cell.cell_contents for cell in closure if np.shape(cell.cell_contents) == (100, 3))
    np.testing.assert_allclose(np.asarray(case.rounds.state), x, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["merge_update", "update_merge"])
def test_the_numpy_round_is_the_round_of_the_engine(order: str) -> None:
    n, data = 101, datasets.spambase()
    deal = partitions.one_sample(data.y_train, n)
    W = mixing.matching(topology.complete(n))
    with jax.enable_x64(True):
        model = models.pegasos((57,), 2, regularization=1e-4)
        problem = classification(data, deal, model, dtype=np.float64)
        program = Program(gossip(problem, optimizers.pegasos(regularization=1e-4), W, order=order), seed=3)
        table = reference.Table.of(data, np.float64)
        state = reference.Gossip(np.zeros((n, 58)), np.zeros(n, np.int32))
        partners = jax.jit(lambda done: Round(done, run_key(3), n).links(W).operator.sources[0])
        run = program.start()
        for done in range(6):
            partner = np.asarray(partners(jnp.int32(done)))
            reference.gossip_round(state, partner, table, deal.order, 1e-4, order)
            run = program.advance(run, done + 1)
            np.testing.assert_allclose(state.x, np.asarray(run.state.x), rtol=1e-9, atol=1e-9 * np.abs(state.x).max())
            np.testing.assert_array_equal(state.age, np.asarray(run.state.age))
    assert np.ptp(state.x, axis=0).max() > 1  # the models learnt, and differ


def test_the_numpy_logistic_step_is_the_programs() -> None:
    data = datasets.spambase()
    deal = partitions.one_sample(data.y_train, 40)
    with jax.enable_x64(True):
        problem = classification(data, deal, models.logistic((57,), 2), dtype=np.float64)
        x = np.random.default_rng(0).normal(size=(40, 58))
        expected = x - 0.1 * np.asarray(jax.jit(problem.gradient)(jnp.asarray(x), run_key(0)))
        reference.logistic_step(x, reference.Table.of(data, np.float64), deal.order, 0.1)
    np.testing.assert_allclose(x, expected, rtol=1e-12)


@pytest.mark.slow
def test_the_numpy_mlp_step_is_the_programs() -> None:
    rng = np.random.default_rng(0)
    data = datasets.from_arrays(rng.normal(size=(200, 6)), rng.integers(3, size=200))
    deal = partitions.fixed_size(data.y_train, 8, samples=5)
    with jax.enable_x64(True):
        model = models.mlp((6,), 3, hidden=(4,))
        problem = classification(data, deal, model, batch_size=0, init="independent", dtype=np.float64)
        state = start(problem, optax.sgd(0.1), run_key(0))
        x, own = np.array(state.x), deal.order.reshape(8, 5)
        expected = jax.jit(
            lambda state: descend(problem, optax.sgd(0.1), state, Round(jnp.int32(0), run_key(0), problem.n_nodes)).x
        )(state)
        rows, labels = np.asarray(data.x_train, np.float64)[own], np.asarray(data.y_train)[own]
        reference.mlp_step(x, rows, labels, (6, 4, 3), 0.1)
    np.testing.assert_allclose(x, np.asarray(expected), rtol=1e-10)
    assert not np.allclose(x, np.asarray(state.x))


@pytest.mark.parametrize("n", [2, 7, 10])
def test_the_numpy_matching_is_an_involution_that_leaves_one_at_most(n: int) -> None:
    partner = reference.random_matching(n, np.random.default_rng(0))
    np.testing.assert_array_equal(partner[partner], np.arange(n))
    assert (partner == np.arange(n)).sum() == n % 2


def test_a_loop_counts_its_rounds_and_keeps_arrays_out_of_the_program() -> None:
    table = jnp.arange(1000, dtype=jnp.float32)
    loop = Loop(lambda table, x, number: x + number + table, table, jnp.zeros(1000, jnp.float32))
    loop(3)
    loop(1)
    np.testing.assert_array_equal(np.asarray(loop.state), 0 + 1 + 2 + 3 + 4 * np.arange(1000))
    assert any(array.shape == (1000,) for array in loop._program[0])
    assert loop.scratch_bytes >= 0


@pytest.mark.slow
def test_rounds_that_diverge_are_not_timed() -> None:
    data = datasets.spambase()
    problem = classification(data, partitions.one_sample(data.y_train, 8), models.logistic((57,), 2))
    W = mixing.matching(topology.complete(8))
    rounds = ProgramRounds(gossip(problem, optax.sgd(float("inf")), W), seed=0)
    with pytest.raises(RunError, match="diverged in round 1"):
        rounds(2)


def test_seconds_are_those_of_one_round() -> None:
    calls: list[int] = []

    def rounds(count: int) -> None:
        calls.append(count)
        time.sleep(1e-4 * count)

    assert seconds_a_round(rounds, repeats=3, sample_s=1e-3) >= 1e-4
    assert calls[0] == 2  # the warm-up
    assert calls[-3:] == [calls[-1]] * 3
    assert calls[-1] >= 10
    assert reference_seconds(lambda: None, 1e-3) >= 0
    assert min(Copy((10, 3)).samples(0)) > 0


def test_numbers_derived_from_a_measurement() -> None:
    assert pytest.approx(10) == POINT.copies
    assert pytest.approx(5) == POINT.times_traffic
    assert POINT.item_ns == pytest.approx(1e5 / 1998)
    assert pytest.approx(3) == POINT.speedup
    assert POINT.record()["times_traffic"] == POINT.times_traffic


@pytest.mark.slow
def test_a_report_holds_each_chosen_case_in_the_order_of_the_registry() -> None:
    heard: list[str] = []
    report = bench(SMALL, only=("logistic_step", "ring"), repeats=1, sample_s=FAST, begun=heard.append)
    record = json.loads(json.dumps(report.record()))
    assert [case["name"] for case in record["cases"]] == heard == ["ring", "logistic_step"]
    assert {"machine", "load", "copy_s", "nodes", "params", "seed", "repeats"} <= set(record)
    assert record["machine"]["versions"]["jaxgossip"]
    assert [case["shape"] for case in record["cases"]] == [[100, 3], [100, 58]]
    for case in record["cases"]:
        assert case["round_s"] > 0
        assert case["copies"] == pytest.approx(case["round_s"] / case["copy_s"])
        assert case["times_traffic"] == pytest.approx(case["copies"] / case["traffic_copies"])
        assert case["speedup"] == pytest.approx(case["reference_s"] / case["round_s"])
        assert case["scratch_states"] >= 0
    assert title(report).startswith("100 nodes, 3 float32 parameters: one copy of the state (1.2 kB) takes ")
    assert [list(row) for row in rows(report)] == [list(HEADER)] * 2
    assert [row["case"] for row in rows(report)] == heard
    assert EXPLANATION.startswith("copies: a round in copies of its state")


def test_a_case_without_traffic_or_an_account_of_memory_shows_a_dash() -> None:
    class Silent:
        scratch_bytes = None

        def __call__(self, rounds: int) -> None:
            time.sleep(1e-4 * rounds)

    case = Case((4, 2), None, 4, "node", Silent(), lambda: None, "nothing")
    found = measure("silent", case, 1, FAST, compare=False)
    assert found.times_traffic is None
    assert found.scratch_states is None
    assert np.isnan(found.reference_s)
    assert [number(value) for value in (None, 0.0123, 1.234, 12.34, 1234.5)] == ["–", "0.012", "1.23", "12.3", "1,234"]


@pytest.mark.parametrize(
    ("wrong", "message", "hint"),
    [
        ({"only": ("rign",)}, "unknown benchmark case 'rign'", "did you mean 'ring'?"),
        ({"repeats": 0}, "repeats must be at least 1, not 0", "usual"),
        ({"setting": Setting(10**12)}, r"1,000,000,000,000 nodes .* can be had", "--nodes"),
    ],
)
def test_impossible_wishes(wrong: dict, message: str, hint: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        bench(**{"setting": SMALL, **wrong})
    assert hint in caught.value.hint


@pytest.mark.parametrize(("nodes", "params", "message"), [(99, 64, "at least 100 nodes"), (100, 0, "at least 1 param")])
def test_sizes_out_of_bounds(nodes: int, params: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Setting(nodes, params)


@pytest.mark.slow
def test_scaling_takes_powers_of_ten_and_leaves_out_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scaling.sizes(10**7) == (10**3, 10**4, 10**5, 10**6, 10**7)
    assert scaling.sizes(9_999) == (1000,)
    monkeypatch.setattr(scaling, "available_bytes", lambda: scaling.needed_bytes("random_8_regular", 1000, 256) - 1)
    notes: list[str] = []
    found = scaling.scale(Setting(100, 256), 10_000, repeats=1, sample_s=FAST, note=notes.append)
    assert [point.shape for point in found["round_merge_update"].points] == [(1000, 58)]
    assert found["round_merge_update"].skipped == (10_000,)
    assert found["random_8_regular"].skipped == (1000, 10_000)
    assert any("10,000 nodes left out" in note for note in notes)
    record = json.dumps({name: series.record() for name, series in found.items()}, allow_nan=False)
    assert '"speedup": null' in record
    assert memory.available_bytes() > 2**20


def test_the_chart_shows_lines_and_traffic_and_what_was_left_out() -> None:
    series = scaling.Scaling((POINT,), (10_000_000,))
    machine = {"device": {"cores": 2, "platform": "cpu"}, "versions": {"jax": "0.12"}}
    figure = chart(dict.fromkeys(scaling.SERIES, series), 64, machine)
    (axes,) = figure.axes
    assert {axes.get_xscale(), axes.get_yscale()} == {"log"}
    lines = {line.get_label(): float(line.get_ydata()[0]) for line in axes.lines}
    assert lines["round: merge, then update"] == pytest.approx(100)  # ns
    assert lines["the same round in vectorised NumPy"] == pytest.approx(300)
    assert lines["traffic of a round: 1.5 copies"] == pytest.approx(20)  # this point's own: 2 copies of 10 µs
    words = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "10,000,000 nodes" in words
    assert "nanoseconds per node-update" in words


@pytest.mark.slow
def test_a_grid_is_timed_beside_its_runs_alone() -> None:
    config = (
        CONFIG.replace("nodes = 256", "nodes = 8")
        .replace("rounds = 100", "rounds = 4")
        .replace("every = 20", "every = 2")
    )
    found = bench_grid(
        config=config, axes=("topology.kind=ring,star", "optimizer.learning_rate=0.1,0.2"), seeds=1, commands=0
    )
    assert found.runs == 4
    assert len(found.times) == 4
    assert found.apart < 1e-5
    record = found.record()
    assert record["ways"][0]["x_grid"] == 1
    assert all(way["seconds"] > 0 for way in record["ways"])


@pytest.mark.slow
def test_deliveries_are_timed_with_their_schedule() -> None:
    found = bench_events((64, 128), stretches=1, messages=512)
    assert [(one.setting, one.nodes) for one in found] == [(s, n) for s in ("calm", "failures") for n in (64, 128)]
    for one in found:
        parts = one.schedule_us + one.level_us + one.execute_us
        assert one.record()["per_s"] == pytest.approx(1e6 / parts)
        assert min(one.schedule_us, one.execute_us) > 0
    calm, failures = found[0].deliveries, found[2].deliveries
    assert 400 < calm < 620  # what was sent before arrives as well
    assert failures == pytest.approx(0.45 * 512, rel=0.25)  # half of them lost, and of the others one in ten
