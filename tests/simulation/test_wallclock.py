"""Virtual seconds: the recursion against an event-by-event simulation of machines, and what follows by hand."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip import algorithms, mixing, topology
from jaxgossip.algorithms import Algorithm
from jaxgossip.core import counting
from jaxgossip.core.random import run_key
from jaxgossip.mixing import Mixing
from jaxgossip.network import Conditions, Round, Speeds, speeds
from jaxgossip.network.wallclock import LinkTransfer, Machines, Occasional, ServerTransfer, UnequalTransfer
from jaxgossip.simulation import Program, checkpoint
from jaxgossip.simulation.program import initial_shapes
from tests.algorithms.cases import CASES, SERVERS, Case
from tests.algorithms.cases import N as CASE_N

N, P, ROUNDS = 24, 5, 9
SLOW = {"compute_s": 1.0, "up_mbit_s": 4e-4, "down_mbit_s": 3e-4, "latency_s": 0.2, "latency_sigma": 0.7}
FAULTS = Conditions(drop=0.15, online=0.8, straggle=0.3, link_drop=0.1)


def drawn(n: int = N, seed: int = 3) -> Speeds:
    """Speeds at which work, latency and both bandwidths all matter for messages of a few bytes."""
    return speeds.lognormal(n, seed, **SLOW)


def problem(n: int = N) -> jg.learning.Problem:
    return jg.learning.averaging(n, dimension=P, rng=0)


def averaging(W: Mixing, n: int = N) -> Algorithm:
    return algorithms.averaging(problem(n), optax.identity(), W)


def by_events(
    machines: Speeds,
    rounds: int,
    size: int,
    links: Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Return when each node is done with ``rounds`` rounds, event by event: works, sends, waits for what reaches it.

    ``links(r)``: (sent [i, j]: j sends to i, arrived likewise, who is online, who works).
    """
    n = machines.n_nodes
    table = [links(r) for r in range(rounds)]
    finished, at = np.zeros(n), np.zeros(n, int)
    heard = np.zeros((rounds, n), int)
    worked = np.zeros((rounds, n), bool)
    latest = np.zeros((rounds, n))
    events: list[tuple[float, int, str, int, int]] = []
    order = iter(range(10**9))

    def begin(node: int, when: float) -> None:
        at_round = at[node]
        if at_round == rounds:
            finished[node] = when
            return
        _, _, online, works = table[at_round]
        spent = machines.compute_s[node] if online[node] and works[node] else 0.0
        heapq.heappush(events, (when + spent, next(order), "worked", at_round, node))

    def maybe_done(r: int, node: int) -> None:
        if worked[r, node] and heard[r, node] == table[r][1][node].sum():
            at[node] += 1
            begin(node, latest[r, node])

    for node in range(n):
        begin(node, 0.0)
    while events:
        now, _, what, r, node = heapq.heappop(events)
        sent, arrived, _, _ = table[r]
        latest[r, node] = max(latest[r, node], now)
        if what == "worked":
            worked[r, node] = True
            for to in np.flatnonzero(arrived[:, node]):
                rate = min(
                    machines.up_bytes_s[node] / sent[:, node].sum(), machines.down_bytes_s[to] / arrived[to].sum()
                )
                delay = machines.latency_s[node] + machines.latency_s[to] + size / rate
                heapq.heappush(events, (now + delay, next(order), "heard", r, int(to)))
        else:
            heard[r, node] += 1
        maybe_done(r, node)
    return finished


def links_of(W: Mixing, conditions: Conditions, seed: int, *, pulled: bool = False):
    """Return the links of every round of a run, from its own keys."""

    def links(number: int):
        n = W.n_nodes
        round_ = Round(jnp.int32(number), run_key(seed), n, conditions)
        found = round_.links(W)
        there = found.operator.as_matrix() != 0
        np.fill_diagonal(there, val=False)
        online, works = (
            np.ones(n, bool) if mask is None else np.asarray(mask) for mask in (round_.online, round_.works)
        )
        rows, sent = jnp.arange(n), there & online[None]
        if pulled:
            sent = sent & online[:, None]
        if found.faults is None:
            return sent, there, online, works
        return sent, there & np.asarray(found.faults.arrive(rows[:, None], rows[None])), online, works

    return links


def some(cases: Sequence[Any]) -> list[Any]:
    """Return all cases, of which one in four is tried by default, and the others with the slow tests."""
    return [
        case if number % 4 == 0 else pytest.param(case, marks=pytest.mark.slow) for number, case in enumerate(cases)
    ]


def mixings() -> dict[str, Mixing]:
    complete, W = topology.complete(N), mixing.metropolis_hastings
    return {
        "ring": W(topology.ring(N)),
        "torus": W(topology.torus(N)),
        "hypercube": W(topology.hypercube(16)),
        "irregular": W(topology.barabasi_albert(N, m=2, rng=1)),
        "star": W(topology.star(N)),
        "complete": W(complete),
        "matching": mixing.matching(complete),
        "push": mixing.push(complete, fanout=2),
        "pull": mixing.pull(complete, fanout=2),
        "one-peer": mixing.one_peer_exponential(complete),
        "sequence": mixing.base_k_plus_one(complete, degree=2),
    }


@pytest.mark.by_default("star-False")
@pytest.mark.parametrize(("name", "faulty"), [("star", False), ("push", False), *((name, True) for name in mixings())])
def test_clocks_are_those_of_an_event_by_event_simulation(name: str, faulty: bool) -> None:
    W = mixings()[name]
    n, conditions = W.n_nodes, FAULTS if faulty else Conditions()
    result = jg.simulate(averaging(W, n), ROUNDS, seed=4, conditions=conditions, speeds=drawn(n))
    expected = by_events(drawn(n), ROUNDS, 4 * P, links_of(W, conditions, 4, pulled=name == "pull"))
    np.testing.assert_allclose(result.virtual_s, expected, rtol=1e-12)
    assert result.metrics.final["virtual_s"] == result.virtual_s.max()
    assert result.metrics.final["virtual_s_mean"] == pytest.approx(expected.mean(), rel=1e-12)


@pytest.mark.slow
def test_directed_links_of_push_sum_and_what_travels_beside_the_model() -> None:
    rng = np.random.default_rng(3)
    first, second = np.nonzero((rng.random((N, N)) < 0.15) & ~np.eye(N, dtype=bool))
    W = mixing.push_sum(topology.from_links(N, first, second, name="drawn", directed=True))
    algorithm = algorithms.push_sum(problem(), optax.identity(), W)
    result = jg.simulate(algorithm, ROUNDS, seed=4, conditions=FAULTS, speeds=drawn())
    final = result.metrics.final
    size = final["bytes_sent"] // final["messages"]
    assert size == 4 * P + 4
    np.testing.assert_allclose(result.virtual_s, by_events(drawn(), ROUNDS, size, links_of(W, FAULTS, 4)), rtol=1e-12)


@pytest.mark.slow
def test_equal_machines_on_a_regular_graph_by_hand() -> None:
    W, rounds = mixing.metropolis_hastings(topology.torus(16)), 50
    even = speeds.constant(16, compute_s=0.25, up_mbit_s=8e-4, down_mbit_s=4e-4, latency_s=0.125)
    result = jg.simulate(averaging(W, 16), rounds, evaluate_every=1, speeds=even)
    a_round = 0.25 + 2 * 0.125 + 4 * P * 4 / 50  # 50 bytes a second from four at once
    np.testing.assert_allclose(result.metrics["virtual_s"], a_round * np.arange(rounds + 1), rtol=1e-13)


def test_messages_of_gigabytes_are_counted_in_full() -> None:
    W, even = mixing.metropolis_hastings(topology.complete(8)), speeds.constant(8, latency_s=0.0)
    with jax.enable_x64(True):
        machines = Machines(
            *(jnp.asarray(one) for one in (even.compute_s, even.up_bytes_s, even.down_bytes_s, even.latency_s))
        )
        after = LinkTransfer(W, None, 10**9).after(jnp.zeros(8), machines)
    np.testing.assert_allclose(after, 7 * 10**9 / 2.5e6, rtol=1e-14)


@pytest.mark.slow
def test_one_slow_node_delays_one_more_hop_of_a_ring_each_round() -> None:
    compute = np.full(N, 1.0)
    compute[0] = 11.0
    machines = replace(speeds.constant(N, up_mbit_s=1e6, down_mbit_s=1e6, latency_s=0.0), compute_s=compute)
    W = mixing.metropolis_hastings(topology.ring(N))
    hops = np.minimum(np.arange(N), N - np.arange(N))
    for rounds in (1, 3, 8):
        # The k-th round at distance d can wait for node 0's round k − d + 1, whose work the later rounds follow.
        expected = np.where(hops <= rounds, 11.0 * (rounds - np.maximum(hops - 1, 0)) + np.maximum(hops - 1, 0), rounds)
        result = jg.simulate(averaging(W), rounds, speeds=machines)
        np.testing.assert_allclose(result.virtual_s, np.maximum(expected, rounds), atol=1e-4)


@pytest.mark.slow
def test_nobody_waits_for_who_is_offline_and_their_clocks_stand() -> None:
    slow = replace(speeds.constant(N), compute_s=np.full(N, 2.0))
    W, gone = mixing.metropolis_hastings(topology.complete(N)), Conditions(online=0.0)
    assert jg.simulate(averaging(W), 5, conditions=gone, speeds=slow).metrics.final["virtual_s"] == 0
    some = Conditions(online=0.5, session=1000)
    result = jg.simulate(averaging(W), 5, seed=2, conditions=some, speeds=slow)
    online = np.asarray(Round(jnp.int32(0), run_key(2), N, some).online)
    assert (result.virtual_s[~online] == 0).all()
    assert (result.virtual_s[online] > 10).all()


@pytest.mark.slow
def test_without_messages_every_node_goes_its_own_way_and_one_common_model_makes_all_wait() -> None:
    task, machines = jg.learning.isotropic_quadratic(N, dimension=P, rng=0), drawn()
    alone = jg.simulate(algorithms.isolated(task, optax.sgd(0.1)), 7, speeds=machines)
    np.testing.assert_allclose(alone.virtual_s, 7 * machines.compute_s, rtol=1e-14)
    central = jg.simulate(algorithms.centralised(task, optax.sgd(0.1)), 7, speeds=machines)
    np.testing.assert_allclose(central.virtual_s, 7 * machines.compute_s.max(), rtol=1e-14)
    server = jg.simulate(algorithms.federated_averaging(task, optax.sgd(0.1)), 7, speeds=machines)
    each = machines.compute_s + 2 * machines.latency_s
    each = each + 4 * P / machines.up_bytes_s + 4 * P / machines.down_bytes_s
    np.testing.assert_allclose(server.virtual_s, 7 * each.max(), rtol=1e-14)


@pytest.mark.slow
def test_mixings_in_a_row_are_exchanges_in_a_row() -> None:
    W = mixing.metropolis_hastings(topology.torus(16))
    even = speeds.constant(16, compute_s=0.25, up_mbit_s=4e-4, down_mbit_s=4e-4, latency_s=0.125)
    task = jg.learning.isotropic_quadratic(16, dimension=P, rng=0)
    several = algorithms.muffliato(task, optax.sgd(0.1), W, gossip_steps=3)
    final = jg.simulate(several, 4, speeds=even).metrics.final
    assert final["messages"] == 4 * 3 * 64
    assert final["virtual_s"] == pytest.approx(4 * (0.25 + 3 * (0.25 + 4 * P * 4 / 50)), rel=1e-13)
    # Losses of the clock are those of the mixing: with all lost, only the work remains.
    lost = jg.simulate(several, 4, conditions=Conditions(drop=1.0), speeds=even).metrics.final
    assert lost["virtual_s"] == pytest.approx(4 * 0.25, rel=1e-13)


@pytest.mark.slow
def test_a_millisecond_counts_after_a_million_seconds() -> None:
    machines = replace(speeds.constant(2), compute_s=np.array([1e6, 1e-3]))
    program = Program(algorithms.isolated(problem(2), optax.sgd(0.1)), speeds=machines)
    clock = program.advance(program.start(), 1).clock
    late = np.asarray(clock).copy()
    late[1] = late[0]
    run = program.start()
    run = replace(program.advance(run, 1), clock=jnp.asarray(late))
    after = np.asarray(program.advance(run, 1001).clock).view(np.float64)[:, 0]
    assert after[1] == pytest.approx(1e6 + 1.0, abs=1e-6)


@pytest.mark.slow
def test_chunks_and_resumed_runs_give_the_same_bits(tmp_path: Path) -> None:
    W = mixing.matching(topology.complete(N))
    program = Program(averaging(W), seed=1, conditions=FAULTS, speeds=drawn())
    whole = program.advance(program.start(), 20)
    pieces = program.start()
    for until in (1, 2, 7, 20):
        pieces = program.advance(pieces, until)
    half = program.advance(program.start(), 11)
    checkpoint.save(tmp_path, half, round_number=11, metadata={})
    restored, _ = checkpoint.load(tmp_path, initial_shapes(averaging(W), 1, timed=True))
    resumed = program.advance(restored, 20)
    for other in (pieces, resumed):
        jax.tree.map(np.testing.assert_array_equal, other, whole)


@pytest.mark.slow
def test_keeping_time_changes_no_model_and_without_it_nothing_is_kept() -> None:
    timed, plain = (jg.simulate(averaging(mixings()["push"]), 8, conditions=FAULTS, speeds=s) for s in (drawn(), None))
    np.testing.assert_array_equal(timed.x, plain.x)
    assert plain.run.clock is None
    assert plain.virtual_s is None
    assert not {"virtual_s", "virtual_s_mean"} & set(plain.metrics.names)
    assert len(jax.tree.leaves(timed.run)) == len(jax.tree.leaves(plain.run)) + 1


@pytest.mark.by_default("admm penalty=0.5 local_steps=3", "chebyshev", "dsgd")
@pytest.mark.parametrize("case", some(CASES), ids=str)
def test_the_exchanges_of_every_algorithm_carry_all_that_it_sends(case: Case) -> None:
    algorithm = case.make(jg.learning.isotropic_quadratic(CASE_N, dimension=P, rng=0), optax.sgd(0.1))

    def traffic(number):
        state = algorithm.init(jax.random.key(0))
        round_ = Round(number, run_key(1), CASE_N, Conditions(online=0.8), timed=True)
        return algorithm.step(state, round_)[1]

    def carried(exchange):
        if isinstance(exchange, Occasional):
            return exchange.takes_place.astype(jnp.uint32) * carried(exchange.transfer)
        if isinstance(exchange, ServerTransfer):
            return counting.times(counting.total(exchange.nodes.astype(jnp.uint32)), exchange.received + exchange.sent)
        links = counting.times(exchange.operator.messages(exchange.faults), exchange.size * exchange.repeats)
        if isinstance(exchange, UnequalTransfer):
            longer = counting.total((exchange.operator.sent(exchange.faults) * exchange.more).astype(jnp.uint32))
            return counting.add(links, longer)
        return links

    def metered(exchange):
        """Count what every node sends, and what servers send to nodes: all of these bytes are of this run's traffic."""
        inner = exchange.transfer if isinstance(exchange, Occasional) else exchange
        with jax.enable_x64(True):
            up, down = exchange.carried()
            total = up.sum() + (down.sum() if isinstance(inner, ServerTransfer) else 0)
            return jax.lax.bitcast_convert_type(total, jnp.uint32)[::-1]

    @jax.jit
    def every(number):
        sent = traffic(number)
        held = (reduce(counting.add, map(each, sent.exchanges), counting.count(0)) for each in (carried, metered))
        return sent.bytes_sent, *held

    sent, held, counted = zip(*(map(counting.to_int, every(jnp.int32(number))) for number in range(6)), strict=True)
    assert any(sent) == any(held) == bool(case.messages)  # some have exchanges in a few rounds only
    if case.name in SERVERS:  # what is sent to nodes that are offline nobody waits for, and no node receives
        assert all(part <= whole for part, whole in zip(held, sent, strict=True))
        assert all(part <= whole for part, whole in zip(counted, sent, strict=True))
        assert any(counted)
    else:
        assert held == counted == sent


@pytest.mark.slow
def test_rows_in_another_order_keep_each_node_its_own_clock() -> None:
    plain = topology.random_regular(N, degree=4, rng=2)
    graph = replace(plain, order=topology.Order(np.random.default_rng(5).permutation(N).astype(np.int32)))
    machines, W = drawn(), mixing.metropolis_hastings(graph)
    task = jg.learning.averaging(N, dimension=P, rng=0, order=graph.order)
    result = jg.simulate(algorithms.averaging(task, optax.identity(), W), ROUNDS, speeds=machines)
    expected = jg.simulate(averaging(mixing.metropolis_hastings(plain)), ROUNDS, speeds=machines)
    np.testing.assert_allclose(result.virtual_s, expected.virtual_s, rtol=1e-14)


def test_speeds_of_another_network_are_refused() -> None:
    with pytest.raises(jg.errors.InputError, match="speeds of 5 nodes for a network of 24"):
        jg.simulate(averaging(mixings()["ring"]), 1, speeds=speeds.constant(5))
