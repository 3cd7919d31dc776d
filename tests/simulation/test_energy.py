"""Energy of runs: counts against a loop over nodes, batteries that put nodes offline, and the account of every protocol."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip import algorithms, mixing, topology
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.network import Conditions, Energy, energy, speeds
from jaxgossip.network.meter import to_counts
from jaxgossip.schedule import CHURNS, DELAYS, clocks, schedule
from jaxgossip.simulation import simulate, simulate_events, sweep
from tests.algorithms.test_contract_protocols import CASES, Case, network, quadratic

N, P = 12, 5
ROW = 4 * P
FAULTS = Conditions(drop=0.2, online=0.8, straggle=0.3)


def wheel() -> topology.Graph:
    """A ring of which node 0 also hears node 4, and node 4 node 0."""
    pairs = np.array([(i, (i + 1) % N) for i in range(N)] + [(0, 4)])
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return topology.from_links(N, both[:, 0], both[:, 1], name="wheel")


def dsgd(graph: topology.Graph | None = None, **options: Any) -> jg.algorithms.Algorithm:
    problem = jg.learning.isotropic_quadratic(N, dimension=P, noise=0.5, rng=0, init="independent")
    return algorithms.dsgd(problem, optax.sgd(0.1), mixing.metropolis_hastings(graph or topology.ring(N)), **options)


def machines(**options: Any) -> Energy:
    """Machines all of which differ."""
    made = energy.constant(N, **options)
    return replace(made, work_j=0.01 * np.arange(1.0, N + 1), received_j_byte=1e-5 * np.arange(N))


def by_hand(graph: topology.Graph, spends: Energy, rounds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """Return (works, bytes sent, bytes received) of every node, and how many have energy left after each round."""
    hears = graph.to_scipy().toarray() != 0
    counts, left = np.zeros((3, N)), []
    for _ in range(rounds + 1):
        joules = spends.work_j * counts[0] + spends.sent_j_byte * counts[1] + spends.received_j_byte * counts[2]
        alive = joules < spends.battery_j * (1 - 1e-12)
        left.append(int(alive.sum()))
        if len(left) <= rounds:
            counts += alive * np.array([np.ones(N), ROW * hears.sum(0), ROW * (hears & alive).sum(1)])
    return *counts.astype(np.int64), left


@pytest.mark.parametrize("battery", [pytest.param(None, marks=pytest.mark.slow), 0.12])
def test_counts_are_those_of_a_loop_over_nodes(battery: float | None) -> None:
    spends, rounds = machines(battery_j=battery, sent_j_byte=1e-4), 14
    result = simulate(dsgd(wheel()), rounds, energy=spends, evaluate_every=1)
    works, sent, received, left = by_hand(wheel(), spends, rounds)
    meter = result.run.meter
    np.testing.assert_array_equal(meter.works, works)
    np.testing.assert_array_equal(to_counts(meter.sent), sent)
    np.testing.assert_array_equal(to_counts(meter.received), received)
    final, total = result.metrics.final, spends.spent(works, sent, received)
    assert final["joules"] == pytest.approx(total.total.sum(), rel=1e-14)
    assert final["training_joules"] == pytest.approx(total.training.sum(), rel=1e-14)
    assert final["bytes_sent"] == sent.sum()
    np.testing.assert_array_equal(result.spent(spends).total, total.total)
    if battery is None:
        assert "live_nodes" not in result.metrics.names
    else:
        assert len(set(left)) > 5
        np.testing.assert_array_equal(result.metrics["live_nodes"], left)


@pytest.mark.slow
def test_a_node_without_energy_stays_as_it_is() -> None:
    spends = replace(machines(), battery_j=np.where(np.arange(N) < 3, 0.02, np.inf))
    early, late = (simulate(dsgd(), rounds, energy=spends).x for rounds in (4, 9))
    np.testing.assert_array_equal(early[:3], late[:3])
    assert (np.abs(early[3:] - late[3:]).max(1) > 1e-3).all()


@pytest.mark.parametrize(("rounds", "lasts"), [(3.0, 3), (2.5, 3), pytest.param(1e-9, 1, marks=pytest.mark.slow)])
def test_a_battery_of_b_rounds_lasts_so_many(rounds: float, lasts: int) -> None:
    spends = energy.constant(N, sample_j=0.1, sent_j_byte=1e-3)  # 0.1 and twice 20 bytes: 0.14 J, which is rounded
    result = simulate(dsgd(), 6, energy=replace(spends, battery_j=np.full(N, rounds * 0.14)))
    np.testing.assert_array_equal(result.run.meter.works, lasts)


@pytest.mark.slow
def test_skiptrain_divides_the_energy_of_training_and_no_other() -> None:
    problem, W = dsgd().problem, mixing.metropolis_hastings(topology.ring(N))
    spends = energy.constant(N, sample_j=0.1, received_j_byte=1e-6)
    finals = [
        simulate(algorithms.skiptrain(problem, optax.sgd(0.1), W, mixing_rounds=gamma), 20, energy=spends).metrics.final
        for gamma in (0, 1, 4)
    ]
    np.testing.assert_allclose([f["training_joules"] for f in finals], 2.0 * N / np.array([1, 2, 5]), rtol=1e-14)
    np.testing.assert_allclose(
        [f["joules"] - f["training_joules"] for f in finals], 20 * 2 * N * ROW * 41e-6, rtol=1e-12
    )


@pytest.mark.slow
def test_losses_cost_their_senders_and_idle_watts_all_the_time() -> None:
    spends = machines(sent_j_byte=1e-4)
    final = simulate(dsgd(), 5, energy=spends, conditions=Conditions(drop=1.0)).metrics.final
    assert final["joules"] == pytest.approx(5 * (spends.work_j.sum() + 2 * N * ROW * 1e-4), rel=1e-14)
    timed = simulate(dsgd(), 5, energy=replace(spends, idle_w=np.arange(1.0, N + 1)), speeds=speeds.lognormal(N, 3))
    plain = simulate(dsgd(), 5, energy=spends).metrics.final["joules"]
    assert timed.metrics.final["joules"] == pytest.approx(plain + np.arange(1.0, N + 1) @ timed.virtual_s, rel=1e-14)


@pytest.mark.slow
def test_chunks_orders_meshes_and_replicas_keep_one_account() -> None:
    spends = machines(battery_j=0.3, sent_j_byte=1e-4)
    keywords: dict[str, Any] = {"energy": spends, "conditions": FAULTS, "evaluate_every": 3}
    whole = simulate(dsgd(), 12, **keywords)
    half = simulate(dsgd(), 5, **keywords)
    rest = simulate(dsgd(), 12, start=half.run, **keywords)
    jax.tree.map(np.testing.assert_array_equal, rest.run, whole.run)
    on_mesh = simulate(dsgd(), 12, mesh=jg.mesh(1), **keywords)
    jax.tree.map(np.testing.assert_array_equal, on_mesh.run.meter, whole.run.meter)
    together = sweep(dsgd(), 12, seeds=[0, 7], **keywords)
    for run, alone in zip(together, (whole, simulate(dsgd(), 12, seed=7, **keywords)), strict=True):
        for name in ("joules", "training_joules", "live_nodes"):
            np.testing.assert_array_equal(run.metrics[name], alone.metrics[name])
    plain = topology.random_regular(N, degree=4, rng=2)
    order = topology.Order(np.random.default_rng(5).permutation(N).astype(np.int32))
    graph = replace(plain, order=order)
    task = jg.learning.isotropic_quadratic(N, dimension=P, noise=0.5, rng=0, order=order)
    moved = algorithms.dsgd(task, optax.sgd(0.1), mixing.metropolis_hastings(graph))
    found, expected = (simulate(algorithm, 12, **keywords) for algorithm in (moved, dsgd(plain)))
    np.testing.assert_array_equal(found.spent(spends).total, expected.spent(spends).total)
    np.testing.assert_allclose(found.metrics["joules"], expected.metrics["joules"], rtol=1e-14)


@pytest.mark.slow
def test_the_byte_budget_knows_who_has_energy_left() -> None:
    spends = energy.constant(N, sample_j=0.1, battery_j=0.2)
    result = simulate(dsgd(), 9, energy=spends, byte_budget=5 * N * ROW)
    # Two rounds of 24 messages; in the third nobody sends, so that the budget of 60 lasts.
    assert (result.rounds, result.metrics.final["bytes_sent"]) == (9, 4 * N * ROW)


def of_protocol(case: Case) -> Any:
    """Return a protocol whose optimizers count their steps."""
    counting = optax.GradientTransformation(
        lambda _: jnp.zeros((), jnp.int32),
        lambda gradient, taken, _=None: (jax.tree.map(lambda g: -0.1 * g, gradient), taken + 1),
    )
    optimizer = [counting] if case.learns else []
    return jg.algorithms.PROTOCOLS[case.name](quadratic(), *optimizer, **case.options)


def in_events(case: Case) -> jg.schedule.Source:
    rng, graph = np.random.default_rng(2), topology.ring(8)
    churn = CHURNS["exponential"](8, rng, 9.0, mean_online_s=3.0, mean_offline_s=1.0)
    delay = DELAYS["constant"](seconds=0.3) if case.exchanges[0] in ("push", "pull") else DELAYS["none"]()
    clock = clocks.fixed(8, rng)
    parts = case.options.get("parts", 1)
    return schedule(graph, clock=clock, delay=delay, churn=churn, drop=0.2, exchange=case.exchanges[0], parts=parts)


@pytest.mark.by_default("ad_psgd")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_protocols_train_as_often_as_their_optimizers_count(case: Case) -> None:
    spends = replace(energy.constant(8, sample_j=0.5, sent_j_byte=1e-3), received_j_byte=1e-3 * np.arange(8))
    protocol = of_protocol(case)
    result = simulate_events(protocol, in_events(case), 9, energy=spends, evaluate_every=2)
    final = result.metrics.final
    steps = int(jax.tree.leaves(result.run.state.opt_state)[0].sum()) if case.learns else 0
    twice = 2 if case.options.get("create") == "update_merge" else 1
    assert final["training_joules"] == 0.5 * twice * steps / case.options.get("local_steps", 1)
    received = final["joules"] - final["training_joules"] - 1e-3 * final["bytes_sent"]
    assert 0 < received < 7e-3 * final["bytes_sent"]
    even = simulate_events(protocol, in_events(case), 9, energy=replace(spends, received_j_byte=np.ones(8)))
    heard = even.metrics.final["joules"] - even.metrics.final["training_joules"] - 1e-3 * final["bytes_sent"]
    assert heard == pytest.approx(final["delivered"] * protocol.bytes[0], rel=1e-12)


@pytest.mark.slow
def test_a_resumed_run_by_clocks_keeps_the_account() -> None:
    case = next(case for case in CASES if case.name == "pens")
    spends = energy.constant(8, idle_w=2.0, received_j_byte=1e-5)
    whole = simulate_events(of_protocol(case), in_events(case), 9, energy=spends)
    half = simulate_events(of_protocol(case), in_events(case), 5, energy=spends)
    rest = simulate_events(of_protocol(case), in_events(case), 9, energy=spends, start=half.run)
    assert rest.metrics.final["joules"] == whole.metrics.final["joules"] > 2.0 * 8 * 9
    together = sweep(of_protocol(case), 9, schedule=in_events(case), energy=spends)
    assert together[0].metrics.final["joules"] == whole.metrics.final["joules"]


@pytest.mark.wrong_types
def test_what_does_not_fit_is_refused() -> None:
    case = CASES[0]
    with pytest.raises(InputError, match="energy of 5 nodes for a network of 12"):
        simulate(dsgd(), 1, energy=energy.constant(5))
    with pytest.raises(InputError, match="idle_w is of virtual time, and this run keeps none"):
        simulate(dsgd(), 1, energy=energy.constant(N, idle_w=1.0))
    with pytest.raises(ArgumentTypeError, match=r"simulate: 5 is no Energy"):
        simulate(dsgd(), 1, energy=5)
    with pytest.raises(InputError, match="a battery puts nodes offline in runs in rounds"):
        simulate_events(of_protocol(case), network(case), 1, energy=energy.constant(8, battery_j=1.0))
    with pytest.raises(InputError, match="energy of 5 nodes does not fit a problem of 8 nodes"):
        simulate_events(of_protocol(case), network(case), 1, energy=energy.constant(5))


@pytest.mark.slow
def test_without_it_nothing_is_kept_and_with_it_no_model_changes() -> None:
    metered, plain = (simulate(dsgd(), 4, conditions=FAULTS, energy=given) for given in (machines(), None))
    np.testing.assert_array_equal(metered.x, plain.x)
    assert plain.run.meter is None
    assert plain.spent(machines()) is None
    assert not {"joules", "training_joules", "live_nodes"} & set(plain.metrics.names)
