"""The events engine equals one event after the other, to 1e-12, whatever is sent, lost, late or cut into stretches."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgossip import algorithms as alg
from jaxgossip import learning
from jaxgossip.algorithms.protocols.protocol import GossipProtocol
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import hashed_uniform, purpose_key, run_key
from jaxgossip.schedule import Fate, Kind, Messages, Source
from jaxgossip.schedule.files.messages import Recorded
from jaxgossip.simulation import simulate_events
from jaxgossip.simulation.events import program
from tests.simulation.one_by_one import Masses, Pairs, Pens, Reference, Walks

N, D, CYCLES = 9, 4, 5
RATE = 0.1


class Drawn:
    """A schedule of random messages: late, lost, asked for, at equal times, sent later than decided."""

    period_s = 1.0

    def __init__(self, kinds: set[Kind], seed: int, *, delay: float, ties: bool, parts: int = 1) -> None:
        self.n_nodes, self.kinds = N, frozenset(kinds)
        self._seed, self._delay, self._ties, self._parts = seed, delay, ties, parts

    def cycles(self, preferences: object = None) -> Iterator[Messages]:
        del preferences
        rng, event = np.random.default_rng(self._seed), 0
        kinds = np.array(sorted(self.kinds))
        for cycle in range(CYCLES + 1):
            m = int(rng.integers(0, 3 * N))
            sent = cycle + rng.random(m) * 1.4  # some are sent in the next cycle
            sent = np.round(4 * sent) / 4 if self._ties else sent
            kind = rng.choice(kinds, m)
            sender, receiver = rng.integers(N, size=(2, m))
            receiver = np.where((kind == Kind.SPLIT) | (kind == Kind.LEARN), sender, receiver)
            fate = np.where(rng.random(m) < 0.7, 0, rng.integers(len(Fate), size=m))
            number = event + rng.permutation(m)
            event += m
            late = self._delay * rng.random(m) * rng.integers(0, 2, m)
            late = np.round(4 * late) / 4 if self._ties else late  # and some arrive as a cycle ends
            number = number // 3 if self._ties else number  # three messages are one event
            yield Messages.of(
                sender, receiver, sent, sent + late, number,
                kind=kind, fate=fate, part=rng.integers(self._parts, size=m),
            )  # fmt: skip


def quadratic() -> Any:
    return learning.least_squares(N, dimension=D, init="independent", samples=3, batch_size=0, dtype=np.float64)


def gradient(problem: Any) -> Callable[[np.ndarray, int], np.ndarray]:
    a, y = np.asarray(problem.a), np.asarray(problem.y)
    return lambda x, node: a[node].T @ (a[node] @ x - y[node]) / y.shape[1]


def loss(problem: Any) -> Callable[[np.ndarray, int], float]:
    a, y = np.asarray(problem.a), np.asarray(problem.y)
    return lambda x, node: float(np.square(a[node] @ x - y[node]).mean() / 2)


MODEL, PASSED, REQUEST, SPLIT, LEARN = Kind

WALKS: dict[str, dict[str, Any]] = {
    "RW": {"create": "update"},
    "MU": {},
    "UM": {"create": "update_merge"},
    "pass": {"create": "pass"},
    "own": {"partner": "own"},
    "by age": {"partner": "own", "weighting": "age", "local_steps": 2},
    "limited": {"weighting": "age", "age_gap": 2},
    "parts": {"partner": "own", "parts": 3, "weighting": "age"},
    "sampled": {"partner": "own", "sample": 0.5},
}


def compared(protocol: GossipProtocol, reference: Reference, schedule: Source, every: int) -> tuple[Any, Reference]:
    """Run both to the end, and compare models and counts."""
    result = simulate_events(protocol, schedule, CYCLES, evaluate_every=every)
    count = reference.run(list(islice(schedule.cycles(), CYCLES)), CYCLES)
    np.testing.assert_allclose(np.asarray(result.x), reference.x, rtol=1e-12, atol=1e-12)
    final = result.metrics.final
    told = {"messages": "sent", "delivered": "delivered", "in_flight": "in_flight"}
    told |= {f"lost_{fate.name.lower()}": fate.name for fate in Fate if fate}
    assert {key: final[key] for key in told} == {key: count[name] for key, name in told.items()}
    lost = sum(count[fate.name] for fate in Fate if fate)
    assert final["messages"] == final["delivered"] + lost + final["in_flight"]
    return result, reference


random_schedules = (st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 2.5]), st.booleans(), st.sampled_from([1, 2, 5]))


@pytest.mark.slow
@pytest.mark.parametrize("name", WALKS)
@settings(deadline=None, max_examples=4)
@given(*random_schedules)
def test_walks(name: str, seed: int, delay: float, ties: bool, every: int) -> None:
    with jax.enable_x64(True):
        problem, options = quadratic(), WALKS[name]
        protocol = alg.gossip_learning(problem, optax.sgd(lambda age: RATE / (1 + age)), **options)
        named = {"local_steps": "steps"}
        rules = {named.get(key, key): value for key, value in options.items() if key != "sample"}
        if "sample" in options:
            rules["travels"] = staticmethod(travels(options["sample"]))
        start = protocol.models(protocol.init(key_of()))
        reference = type("Options", (Walks,), rules)(start, gradient(problem), lambda age: RATE / (1 + age), D)
        schedule = Drawn({MODEL, PASSED, REQUEST}, seed, delay=delay, ties=ties, parts=options.get("parts", 1))
        compared(protocol, reference, schedule, every)


def travels(share: float) -> Callable[[int], np.ndarray]:
    """Return which parameters a message carries, as the run with seed 0 draws them."""
    key = purpose_key(run_key(0), "sampled parameters")
    drawn = np.asarray(hashed_uniform(key, jnp.arange(4 * N * CYCLES, dtype=jnp.uint32), D)) < share
    assert 0.3 < drawn.mean() < 0.7
    return lambda number: drawn[number]


@pytest.mark.slow
def test_where_stretches_end_changes_no_bit_of_what_is_drawn() -> None:
    problem = learning.least_squares(N, dimension=D, samples=7, batch_size=2, init="independent")
    protocol = alg.gossip_learning(problem, optax.sgd(RATE), local_steps=2)
    source = Drawn({MODEL}, 5, delay=2.5, ties=True)
    found = [np.asarray(simulate_events(protocol, source, CYCLES, evaluate_every=every).x) for every in (1, 2, 5)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    other = np.asarray(simulate_events(protocol, source, CYCLES, seed=1).x)
    assert np.abs(other - found[0]).max() > 0.01


def key_of() -> jax.Array:
    return purpose_key(run_key(0), "init")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pairwise_averaging", "ad_psgd", "asynchronous_push_sum", "asynchronous_sgp"])
@settings(deadline=None, max_examples=4)
@given(*random_schedules)
def test_pairs_and_masses(name: str, seed: int, delay: float, ties: bool, every: int) -> None:
    with jax.enable_x64(True):
        problem, learns = quadratic(), name in ("ad_psgd", "asynchronous_sgp")
        protocol = alg.PROTOCOLS[name](problem, *([optax.sgd(RATE)] if learns else []))
        kind = type("Options", (Masses if "push" in name or "sgp" in name else Pairs,), {"learns": learns})
        reference = kind(protocol.models(protocol.init(key_of())), gradient(problem), lambda _: RATE, D)
        kinds = {"ad_psgd": {MODEL, LEARN}, "pairwise_averaging": {MODEL}}.get(name, {MODEL, SPLIT})
        compared(protocol, reference, Drawn(kinds, seed, delay=delay, ties=ties), every)


@pytest.mark.slow
@settings(deadline=None, max_examples=4)
@given(*random_schedules)
def test_pens(seed: int, delay: float, ties: bool, every: int) -> None:
    with jax.enable_x64(True):
        problem = quadratic()
        protocol = alg.pens(problem, optax.sgd(RATE), sampled=3, top=2, settle_at=100)
        reference = Pens(protocol.models(protocol.init(key_of())), gradient(problem), lambda _: RATE, D)
        reference.loss = loss(problem)
        result, _ = compared(protocol, reference, Drawn({MODEL}, seed, delay=delay, ties=ties), every)
        for counts, name in ((result.state.heard, "heard"), (result.state.selected, "selected")):
            expected = [np.bincount(node[name], minlength=N) for node in reference.nodes]
            np.testing.assert_array_equal(np.asarray(counts), expected)
        _, prefers = protocol.settle(result.state)
        counted = np.array([np.bincount(node["heard"], minlength=N) for node in reference.nodes])
        taken = np.array([np.bincount(node["selected"], minlength=N) for node in reference.nodes])
        np.testing.assert_array_equal(np.asarray(prefers), 3 * taken > 2 * counted)


@pytest.mark.slow
def test_masses_in_flight_included_are_kept() -> None:
    with jax.enable_x64(True):
        problem = learning.isotropic_quadratic(N, dimension=D, init="independent", dtype=np.float64)
        protocol = alg.asynchronous_push_sum(problem)
        start = protocol.init(key_of())
        rng, event = np.random.default_rng(3), 0

        class Halves(Drawn):
            def cycles(self, preferences: object = None) -> Iterator[Messages]:
                del preferences
                nonlocal event
                for cycle in range(CYCLES):
                    m = 2 * N
                    sender, receiver = rng.integers(N, size=(2, m))
                    sent = cycle + rng.random(m)
                    split = Messages.of(sender, sender, sent, sent, event + 2 * np.arange(m), kind=SPLIT)
                    push = Messages.of(sender, receiver, sent, sent + 2 * rng.random(m), event + 2 * np.arange(m) + 1)
                    event += 2 * m
                    yield Messages.together([split, push])

        result = simulate_events(protocol, Halves({MODEL, SPLIT}, 0, delay=2.0, ties=False), CYCLES)
        state, slots = result.run.state, result.run.slots
        assert result.metrics.final["in_flight"] == slots.w.shape[0] > 0
        for whole, mine, flying in ((start.x, state.x, slots.x), (start.w, state.w, slots.w)):
            np.testing.assert_allclose(mine.sum(0) + flying.sum(0), whole.sum(0), rtol=1e-13)


class Decided:
    """Messages that are all decided in the first cycle."""

    n_nodes, period_s, kinds = N, 1.0, frozenset({MODEL})

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def cycles(self, preferences: object = None) -> Iterator[Messages]:
        del preferences
        yield self._messages
        while True:
            yield Messages.none()


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 2, 5])
def test_waves_of_several_batches(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "BATCH", 4)
    with jax.enable_x64(True):
        problem = quadratic()
        protocol = alg.gossip_learning(problem, optax.sgd(RATE))
        reference = Walks(protocol.models(protocol.init(key_of())), gradient(problem), lambda _: RATE, D)
        compared(protocol, reference, Drawn({MODEL}, 7, delay=2.5, ties=True), every)


@pytest.mark.slow
def test_messages_of_one_event_act_in_order_wherever_stretches_end() -> None:
    """The first message is decided first and sent last; both reach node 2 at one time, one of them from a stretch before."""
    messages = Messages.of([0, 1], [2, 2], [1.2, 0.5], [1.5, 1.5], [0, 0])
    with jax.enable_x64(True):
        problem = quadratic()
        protocol = alg.pairwise_averaging(problem)
        start = np.asarray(protocol.init(key_of()))
        for every in (1, 2):
            x = np.asarray(simulate_events(protocol, Decided(messages), 2, evaluate_every=every).x)
            np.testing.assert_allclose(x[2], ((start[2] + start[0]) / 2 + start[1]) / 2, rtol=1e-14)


def test_a_budget_of_bytes_ends_the_run_before_it_is_exceeded() -> None:
    """Nine messages of 32 bytes a cycle."""
    sent = np.arange(9 * CYCLES) / 9
    source = Recorded(
        N, 1.0, Messages.of(np.arange(sent.size) % N, (np.arange(sent.size) + 1) % N, sent, sent, range(sent.size))
    )
    with jax.enable_x64(True):
        protocol = alg.pairwise_averaging(quadratic())
        for budget, cycles in ((3 * 288 - 1, 2), (3 * 288, 3), (0, CYCLES)):
            result = simulate_events(protocol, source, CYCLES, byte_budget=budget)
            assert (result.status, result.rounds) == ("completed", cycles)
            assert result.metrics.final["bytes_sent"] == cycles * 288


def test_a_schedule_of_other_nodes_is_refused() -> None:
    problem = learning.isotropic_quadratic(5, dimension=D, init="independent")
    with pytest.raises(InputError, match=r"^a schedule of 9 nodes does not fit a problem of 5$"):
        simulate_events(alg.pairwise_averaging(problem), Drawn({MODEL}, 0, delay=1, ties=False), 2)
