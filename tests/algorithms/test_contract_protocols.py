"""What every protocol keeps, whatever it computes; over the whole registry."""

import re
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import PROTOCOLS, GossipProtocol
from jaxgossip.algorithms.protocols.protocol import Deliveries
from jaxgossip.core.random import purpose_key, run_key
from jaxgossip.schedule import Kind, Schedule, clocks, schedule
from jaxgossip.schedule.exchanges import EXCHANGES
from jaxgossip.simulation import Result, simulate_events

N, P, CYCLES = 8, 5, 4


class Case(NamedTuple):
    """A protocol as it is tried: its options, and the bytes of one of its messages, (of the model, beside it)."""

    name: str
    options: Mapping[str, Any]
    data: int
    about: int
    learns: bool = True
    exchanges: tuple[str, ...] = ("push", "pull", "push_pull")

    def make(self, problem: jg.learning.Problem) -> GossipProtocol:
        optimizer = [optax.sgd(0.1, momentum=0.5)] if self.learns else []
        return PROTOCOLS[self.name](problem, *optimizer, **self.options)

    def __str__(self) -> str:
        return " ".join([self.name, *map(str, self.options.values())])


CASES = [
    Case("gossip_learning", {}, 4 * P, 4),
    Case("gossip_learning", {"create": "update_merge", "weighting": "age"}, 4 * P, 4),
    Case("gossip_learning", {"create": "update", "local_steps": 2}, 4 * P, 4),
    Case("gossip_learning", {"create": "pass"}, 4 * P, 4),
    # Two of five columns, or three: a message is counted as the larger part.
    Case("gossip_learning", {"partner": "own", "parts": 2}, 4 * 3, 4),
    # Three of five parameters; an age, and the seed that says which.
    Case("gossip_learning", {"partner": "own", "sample": 0.6}, 4 * 3, 4 + 4),
    Case("pairwise_averaging", {}, 4 * P, 0, learns=False, exchanges=("pairwise",)),
    Case("ad_psgd", {}, 4 * P, 0, exchanges=("compute_pairwise",)),
    Case("asynchronous_push_sum", {}, 4 * P, 4, learns=False, exchanges=("split_push",)),
    Case("asynchronous_sgp", {}, 4 * P, 4, exchanges=("split_push",)),
    Case("pens", {"sampled": 2, "top": 1, "settle_at": 2}, 4 * P, 0, exchanges=("push",)),
]
each = pytest.mark.parametrize("case", CASES, ids=str)
once = pytest.mark.parametrize("case", {case.name: case for case in CASES[::-1]}.values(), ids=str)
"""The first case of each protocol, where a whole run is made."""


def quadratic(n: int = N, **options: object) -> jg.learning.Problem:
    return jg.learning.isotropic_quadratic(n, dimension=P, **{"noise": 0.5, "init": "independent", "rng": 0} | options)


def network(case: Case, n: int = N, exchange: str | None = None, **options: Any) -> Schedule:
    graph = jg.topology.ring(n) if n > 1 else jg.topology.weights.from_matrix(np.ones((1, 1))).graph
    clock = clocks.fixed(n, np.random.default_rng(1))
    parts = case.options.get("parts", 1)
    return schedule(graph, clock=clock, exchange=exchange or case.exchanges[0], parts=parts, **options)


def started(protocol: GossipProtocol) -> Any:
    return protocol.init(purpose_key(run_key(0), "init"))


def arrivals(kinds: frozenset[Kind], kind: Kind, count: int = 3) -> Deliveries:
    node = jnp.arange(count, dtype=jnp.int32)
    return Deliveries(
        node, node + 1, jnp.full(count, int(kind)), jnp.zeros(count, jnp.int32), jnp.arange(count, dtype=jnp.uint32),
        run_key(0), kinds,
    )  # fmt: skip


def rows(tree: Any, count: int = 3, first: int = 0) -> Any:
    return jax.tree.map(lambda leaf: leaf[first : first + count], tree)


def test_the_cases_cover_the_registry() -> None:
    assert {case.name for case in CASES} == set(PROTOCOLS)


@each
def test_exchanges_are_those_of_the_paper(case: Case) -> None:
    protocol = case.make(quadratic())
    assert protocol.exchanges == case.exchanges
    assert set(protocol.exchanges) <= set(EXCHANGES)


@pytest.mark.by_default("asynchronous_push_sum", "gossip_learning own 2")
@each
def test_init_message_and_deliver_are_pure(case: Case) -> None:
    protocol = case.make(quadratic())
    kinds = EXCHANGES[case.exchanges[0]].kinds - {Kind.REQUEST}

    def delivered(state: Any, heard: Any) -> list[Any]:
        return [protocol.deliver(state, heard, arrivals(kinds, kind)) for kind in sorted(kinds)]

    state, again = started(protocol), started(protocol)
    jax.tree.map(np.testing.assert_array_equal, state, again)
    heard = protocol.message(rows(state, first=1))
    traces = [jax.make_jaxpr(delivered)(rows(state), heard) for _ in range(2)]
    assert str(traces[0].jaxpr) == str(traces[1].jaxpr)
    # Neither what was sent nor where it came from has changed.
    jax.tree.map(np.testing.assert_array_equal, state, again)
    jax.tree.map(np.testing.assert_array_equal, heard, protocol.message(rows(again, first=1)))


@each
def test_a_message_is_its_sender_alone(case: Case) -> None:
    protocol = case.make(quadratic())
    state = started(protocol)
    whole = protocol.message(state)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(whole)} == {N}
    for node in (0, N - 1):
        one = protocol.message(rows(state, 1, node))
        jax.tree.map(np.testing.assert_array_equal, one, rows(whole, 1, node))


@each
def test_the_state_keeps_its_dtypes_and_float64_is_float64(case: Case) -> None:
    for dtype, wide in ((jnp.bfloat16, False), (jnp.float32, True), (jnp.float64, True)):
        with jax.enable_x64(wide):
            protocol = case.make(quadratic(dtype=dtype))
            kinds = EXCHANGES[case.exchanges[0]].kinds - {Kind.REQUEST}

            def delivered(key: jax.Array, protocol: GossipProtocol = protocol, kinds: Any = kinds) -> tuple[Any, Any]:
                state = protocol.init(key)
                heard = protocol.message(rows(state, first=1))
                return state, protocol.deliver(rows(state), heard, arrivals(kinds, Kind.MODEL))

            before, after = jax.eval_shape(delivered, run_key(0))
            assert jax.eval_shape(protocol.models, before).dtype == dtype
        leaves = [[leaf.dtype for leaf in jax.tree.leaves(one)] for one in (before, after)]
        # A delivery may compute in more digits than the state has, which the engine rounds back; never in fewer.
        assert all(jnp.promote_types(old, new) == new for old, new in zip(*leaves, strict=True))
        if dtype == jnp.float64:
            assert {one for some in leaves for one in some if jnp.issubdtype(one, jnp.floating)} == {jnp.dtype(dtype)}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_documents_its_equation_and_source(name: str) -> None:
    text = sys.modules[PROTOCOLS[name].__module__].__doc__ or ""
    assert re.search(r"(x⁺|x_?\w*|\(x_i, w_i\)) (=|←)|x⁺ =|x ← ", text), "an update rule"
    assert re.search(r"\b(19|20)\d\d\b", text), "who published it, and when"
    described = PROTOCOLS[name].__doc__ or ""
    assert described.split("\n")[0].endswith(".")
    assert "Args:" in described


@pytest.mark.slow
def test_requests_carry_no_model() -> None:
    case = CASES[0]
    final = simulate_events(case.make(quadratic()), network(case, exchange="pull"), CYCLES).metrics.final
    assert final["messages"] == 2 * N * CYCLES
    assert final["bytes_sent"] == N * CYCLES * (case.data + case.about)


@each
def test_bytes_are_those_of_the_values_and_what_is_beside_them(case: Case) -> None:
    assert case.make(quadratic()).bytes == (case.data + case.about, case.about)


@each
def test_a_message_is_as_many_bytes_as_it_says(case: Case) -> None:
    if case.options.keys() & {"parts", "sample"}:
        pytest.skip("what travels is a part of what the engine copies")
    protocol = case.make(quadratic())
    sent = jax.eval_shape(protocol.message, started(protocol))
    assert sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(sent)) == N * protocol.bytes[0]


@pytest.mark.by_default("gossip_learning")
@once
def test_where_every_message_is_lost_nobody_hears_of_another(case: Case) -> None:
    result, start = silent(case, network(case, drop=1.0))
    assert result.metrics.final["delivered"] == 0 < result.metrics.final["messages"]
    final = result.metrics.final
    assert final["bytes_sent"] == final["messages"] * (case.data + case.about)
    assert final["metadata_bytes"] == final["messages"] * case.about
    as_if_alone(case, result, start)


@pytest.mark.by_default("asynchronous_push_sum")
@once
def test_a_node_that_is_alone_calls_nobody(case: Case) -> None:
    result, start = silent(case, network(case, 1))
    assert result.status == "completed"
    assert result.metrics.final["messages"] == 0
    as_if_alone(case, result, start)


def silent(case: Case, quiet: Schedule) -> tuple[Result, np.ndarray]:
    """Return (what comes of a network in which nothing arrives, its first models); gradients are without noise."""
    protocol = case.make(quadratic(quiet.n_nodes, noise=0.0))
    return simulate_events(protocol, quiet, CYCLES), np.asarray(protocol.models(started(protocol)))


def as_if_alone(case: Case, result: Result, start: np.ndarray) -> None:
    """Models are as they were; but in AD-PSGD, a node learns whether or not it meets anybody."""
    x = np.asarray(result.x)
    if case.name != "ad_psgd":
        np.testing.assert_array_equal(x, start)
        return
    problem, nodes = quadratic(start.shape[0], noise=0.0), jnp.arange(start.shape[0])
    optimizer = optax.sgd(0.1, momentum=0.5)
    trained, steps = [jnp.asarray(start)], optimizer.init(jnp.asarray(start))
    for _ in range(CYCLES):
        gradient = problem.gradient_at(trained[-1], nodes, run_key(0), nodes.astype(jnp.uint32))
        updates, steps = optimizer.update(gradient, steps)
        trained.append(trained[-1] + updates)
    # Whose last tick comes in the second half of its cycle is still computing.
    distances = np.abs(np.stack(trained[-2:]) - x).max(axis=2)
    assert distances.min(axis=0).max() < 1e-6 < distances.max(axis=0).min()


def test_nodes_that_are_to_settle_have_a_method_that_does() -> None:
    class Mean(jg.algorithms.ProtocolMethod):
        def init(self, problem, key):
            return problem.init(key)

        def message(self, problem, state):
            return state

        def deliver(self, problem, own, heard, arrivals):
            return (own + heard) / 2

    with pytest.raises(jg.errors.ArgumentTypeError, match="Mean has no settle, and its nodes are to settle at cycle 3"):
        GossipProtocol(Mean(), quadratic(), settle_at=3)
