"""Fragments with mixing of their own: what is mixed, lost, counted and waited for by fragment, and what is refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core import counting
from jaxgossip.core.random import run_key
from jaxgossip.mixing.fragments import of_fragment
from jaxgossip.network import Conditions, Round
from tests.algorithms.q16 import N, ring

m, t, A = jg.mixing, jg.topology, jg.algorithms
P = 5
FAULTS = Conditions(drop=0.3, online=0.7, link_drop=0.2)


def task(**options: Any) -> Any:
    return jg.learning.isotropic_quadratic(N, dimension=P, noise=0.1, rng=0, **options)


def links_of(W: Any, conditions: Conditions | None = None, n_shared: int | None = P) -> Any:
    return Round(jnp.int32(3), run_key(2), N, conditions or Conditions()).links(W, n_shared)


def rows(width: int = P) -> jax.Array:
    return jax.random.normal(run_key(4), (N, width))


def results(algorithm: Any, **options: Any) -> Any:
    return jg.simulate(algorithm, 3, speeds=jg.network.speeds.lognormal(N, rng=0), evaluate_every=3, **options)


def equal(one: Any, other: Any, *, messages: int = 1, rtol: float = 0) -> None:
    np.testing.assert_allclose(one.x, other.x, rtol=rtol, atol=rtol)
    assert one.metrics.final["bytes_sent"] == other.metrics.final["bytes_sent"] > 0
    assert messages * one.metrics.final["messages"] == other.metrics.final["messages"]


USUAL = {
    "static": ring,
    "hubs": lambda: m.metropolis_hastings(t.star(N)),
    "fresh": lambda: m.fresh_regular(t.ring(N), degree=3),
    "push": lambda: m.push(t.complete(N), fanout=2),
    "matching": lambda: m.matching(t.complete(N)),
}


@pytest.mark.by_default("hubs")
@pytest.mark.parametrize("kind", USUAL)
def test_one_fragment_is_the_row_bit_for_bit(kind: str) -> None:
    usual = USUAL[kind]()
    for conditions in (Conditions(), FAULTS, Conditions(noise=0.1, drop=0.2)):
        whole, one = (links_of(W, conditions) for W in (usual, m.fragmented(usual, fragments=1)))
        np.testing.assert_array_equal(whole.mix(rows()), one.mix(rows()))
        np.testing.assert_array_equal(whole.operator.sent(whole.faults), one.operator.sent(one.faults))
        for count in ("messages", "bytes_sent"):
            assert counting.to_int(getattr(whole.sent(rows()), count)) == counting.to_int(
                getattr(one.sent(rows()), count)
            )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["static", "hubs"])
@pytest.mark.parametrize("columns", ["shuffled", "blocks"])
def test_fragments_of_one_matrix_are_the_row_bit_for_bit(kind: str, columns: Any) -> None:
    """Also where links fail and nodes are offline, for these are the same for all fragments; and noise is of entries."""
    usual = USUAL[kind]()
    for conditions in (Conditions(), Conditions(online=0.7, link_drop=0.2), Conditions(noise=0.1)):
        for fragments in (2, P):
            W = m.fragmented(usual, fragments=fragments, columns=columns)
            whole, apart = links_of(usual, conditions), links_of(W, conditions)
            np.testing.assert_array_equal(whole.mix(rows()), apart.mix(rows()))
            sent = [links.sent(rows()) for links in (whole, apart)]
            assert counting.to_int(sent[0].bytes_sent) == counting.to_int(sent[1].bytes_sent)
            assert fragments * counting.to_int(sent[0].messages) == counting.to_int(sent[1].messages)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dsgd", "gradient_tracking"])
def test_runs_of_one_and_of_all_fragments_are_those_of_rows(name: str) -> None:
    """The same bits, bytes and, where all fragments weigh as much, seconds.

    A program of whole rounds joins multiplications and additions of columns otherwise than of rows: these agree to rounding.
    """
    for conditions in (Conditions(), Conditions(link_drop=0.2, online=0.8)):
        whole, one, each = (
            results(A.ALGORITHMS[name](task(), optax.sgd(0.1), W), conditions=conditions)
            for W in (ring(), m.fragmented(ring(), fragments=1), m.fragmented(ring(), fragments=P))
        )
        equal(whole, one)
        equal(whole, each, messages=P, rtol=1e-6)
        assert whole.metrics.final["virtual_s"] == one.metrics.final["virtual_s"]
        assert whole.metrics.final["virtual_s"] == pytest.approx(each.metrics.final["virtual_s"], rel=1e-12)


@pytest.mark.slow
def test_every_fragment_has_its_own_matrix() -> None:
    """Columns [0, 1], [2, 3] and [4] of blocks; in shuffled ones, every column is mixed by one of the matrices."""
    mixings = [ring(), m.metropolis_hastings(t.complete(N)), m.metropolis_hastings(t.hypercube(N))]
    matrices, x = [W.as_matrix() for W in mixings], np.asarray(rows())
    mixed = links_of(m.fragmented(mixings, columns="blocks")).mix(rows())
    of_column = [0, 1, 1, 2, 2]
    for column, number in enumerate(of_column):
        np.testing.assert_allclose(mixed[:, column], matrices[number] @ x[:, column], atol=1e-6)
    shuffled = np.asarray(links_of(m.fragmented(mixings, rng=1)).mix(rows()))
    fits = [[np.allclose(shuffled[:, c], W @ x[:, c], atol=1e-6) for W in matrices] for c in range(P)]
    assert np.sum(fits, axis=1).tolist() == [1] * P
    assert np.sum(fits, axis=0).tolist() == [1, 2, 2]
    others = links_of(m.fragmented(mixings, rng=2)).mix(rows())
    assert not np.array_equal(shuffled, others)


@pytest.mark.slow
def test_columns_are_divided_evenly_and_differ_by_seed() -> None:
    W = links_of(m.fragmented(ring(), fragments=3), n_shared=None).operator
    assert W.widths(8) == (2, 3, 3)
    assert W.widths(9) == (3, 3, 3)
    for width in (16, 40):  # tabulated, and not
        columns, place = map(np.asarray, W.places_of(width))
        np.testing.assert_array_equal(columns[place], np.arange(width))
        assert not np.array_equal(columns, np.arange(width))


@pytest.mark.slow
def test_a_row_of_fewer_numbers_has_fewer_fragments() -> None:
    links = links_of(m.fragmented(ring(), fragments=8), n_shared=3)
    assert len(links.operator.operators) == 3
    sent = links.sent(rows(3))
    assert counting.to_int(sent.messages) == 3 * 2 * N
    assert counting.to_int(sent.bytes_sent) == 3 * 4 * 2 * N
    assert m.fragmented(ring(), fragments=8).at(jnp.int32(0), run_key(0))(rows(3)).shape == (N, 3)


@pytest.mark.slow
def test_faults_act_on_each_fragment() -> None:
    """Whatever is asked is what the operators of the fragments say, whose messages are lost by themselves."""
    W = m.fragmented(m.fresh_regular(t.ring(N), degree=3), fragments=3, columns="blocks")
    links = links_of(W, FAULTS)
    found, faults, x, values = links.operator, links.faults, rows(), rows()[:, 0]
    apart = [of_fragment(faults, number) for number in range(3)]
    bounds = [0, 1, 3, 5]
    expected = [part.mix(x[:, bounds[f] : bounds[f + 1]], apart[f]) for f, part in enumerate(found.operators)]
    np.testing.assert_array_equal(links.mix(x), jnp.concatenate(expected, axis=1))
    arriving, arrives = (
        found.arriving(faults),
        [part.arriving(of) for part, of in zip(found.operators, apart, strict=True)],
    )
    received = [part.received(of) for part, of in zip(found.operators, arrives, strict=True)]
    highest = [part.highest(values, of) for part, of in zip(found.operators, arrives, strict=True)]
    np.testing.assert_array_equal(found.received(arriving), np.sum(received, axis=0))
    np.testing.assert_array_equal(found.highest(values, arriving), np.max(highest, axis=0))
    assert counting.to_int(found.messages(faults)) == int(found.sent(faults).sum())
    everyone = jnp.arange(N)
    for conditions, same in ((Conditions(drop=0.3), False), (Conditions(link_drop=0.3), True)):
        met: Any = [of_fragment(links_of(W, conditions).faults, number) for number in range(3)]
        fates = [faults.arrive(everyone[:, None], everyone) for faults in met]
        assert all(np.array_equal(fates[0], fate) for fate in fates[1:]) == same
        if not same:  # independent: .7² of pairs reach their receiver in two fragments
            both = [fates[one] & fates[other] for one, other in ((0, 1), (0, 2), (1, 2))]
            assert np.mean(both) == pytest.approx(0.49, abs=0.06)
    met = [of_fragment(links_of(W, Conditions(drop=0.3, link_drop=0.3)).faults, number) for number in range(3)]
    arrived = [np.mean(faults.arrive(everyone[:, None], everyone)) for faults in met]
    assert arrived == pytest.approx([0.49] * 3, abs=0.07)


def test_the_bytes_of_a_fragment_are_its_numbers_and_what_travels_beside_them() -> None:
    """Of 5 columns in 3 fragments: 1, 2 and 2; an age goes with each message."""
    links = links_of(m.fragmented(ring(), fragments=3))
    age = jnp.zeros(N, jnp.int32)
    for traffic, data, extra in (
        (links.sent(rows()), P, 0),
        (links.sent(rows(), rows()), 2 * P, 0),
        (links.sent(rows(), metadata=(age,)), P, 3),
        (links.sent(rows(), metadata=(age,), repeats=2), 2 * P, 6),
    ):
        repeats = 2 if extra == 6 else 1
        assert counting.to_int(traffic.messages) == repeats * 3 * 2 * N
        assert counting.to_int(traffic.metadata_bytes) == 4 * 2 * N * extra
        assert counting.to_int(traffic.bytes_sent) == 4 * 2 * N * (data + extra)


@pytest.mark.slow
def test_seconds_are_those_of_all_messages_of_fragments_at_once() -> None:
    """Equal nodes without latency: a ring of 5 numbers takes as long in 3 fragments; lines are shared by bytes."""
    for line in ("up_mbit_s", "down_mbit_s"):
        mbit = {"up_mbit_s": 1.0, "down_mbit_s": 1.0, line: 64e-6}  # 8 bytes a second
        speeds = jg.network.speeds.constant(N, compute_s=1e-9, latency_s=0.0, **mbit)
        for W in (ring(), m.fragmented(ring(), fragments=3)):
            ran = jg.simulate(A.dsgd(task(), optax.sgd(0.1), W), 1, speeds=speeds)
            assert ran.metrics.final["virtual_s"] == pytest.approx(2 * P * 4 / 8)


@pytest.mark.slow
def test_rules_and_liars_act_on_each_fragment() -> None:
    """Clipping sees the distances of a fragment alone; medians of columns are those of rows."""
    W = m.fragmented(ring(), fragments=2, columns="blocks")
    for kind, same in (("median", True), ("clipped", False)):
        rule = jg.network.AGGREGATIONS[kind](**({"radius": 0.5} if kind == "clipped" else {}))
        liars = jg.network.adversaries.bit_flip(n_nodes=N, nodes=[3])
        conditions = Conditions(aggregation=rule, adversary=liars)
        whole, apart = links_of(ring(), conditions).mix(rows()), links_of(W, conditions).mix(rows())
        assert np.array_equal(whole, apart) == same
        parts = [links_of(ring(), conditions, None).mix(rows()[:, cut]) for cut in (slice(0, 2), slice(2, 5))]
        np.testing.assert_allclose(apart, jnp.concatenate(parts, axis=1), atol=1e-6)
    needs = jg.network.AGGREGATIONS["bulyan"](liars=1)
    needs.check_mixing(m.fragmented(m.metropolis_hastings(t.complete(N))))
    with pytest.raises(jg.errors.InputError, match="neighbours or more at every node"):
        needs.check_mixing(W)


def test_reliabilities_of_senders_weigh_in_each_fragment() -> None:
    W, r = m.fragmented(m.matching(t.complete(N)), fragments=2, columns="blocks"), jnp.arange(1.0, N + 1)
    links, x = links_of(W), rows()
    mixed = links.mix(x, r)
    for part, cut in zip(links.operator.operators, (slice(0, 2), slice(2, 5)), strict=True):
        matrix = part.as_matrix() * np.asarray(r)
        np.testing.assert_allclose(mixed[:, cut], matrix @ x[:, cut] / matrix.sum(1, keepdims=True), rtol=1e-5)


def test_own_weights_are_those_of_the_column() -> None:
    W = m.fragmented([ring(), m.metropolis_hastings(t.complete(N))], columns="blocks")
    kept = links_of(W, n_shared=4).kept(rows())
    np.testing.assert_allclose(kept, np.broadcast_to([1 / 3, 1 / 3, 1 / N, 1 / N, 1], (N, P)), rtol=1e-6)
    assert links_of(ring()).kept(rows()).shape == (N, 1)


@pytest.mark.slow
def test_windows_are_of_every_fragment() -> None:
    W = m.windowed(m.mosaic(t.ring(N), fragments=2, degree=2), start=3)
    np.testing.assert_allclose(links_of(W).mix(rows()), np.broadcast_to(rows().mean(0), (N, P)), atol=1e-6)
    assert counting.to_int(links_of(W).sent(rows()).bytes_sent) == N * (N - 1) * P * 4
    outside = Round(jnp.int32(2), run_key(2), N)
    usual, found = (outside.links(each, P).operator for each in (W.usual, W))
    np.testing.assert_allclose(found.mix(rows(), None), usual.mix(rows(), None), atol=1e-6)
    dense = links_of(m.windowed(W.usual, start=3, degree=5)).operator.operators
    assert not np.array_equal(dense[0].as_matrix(), dense[1].as_matrix())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gossip", "admm", "ditto", "multi_task", "model_propagation", "slowmo"])
def test_methods_that_mix_rows_mix_fragments(name: str) -> None:
    """The same bits in one fragment as of rows; several draw peers of their own, and send as many bytes."""
    options = {"gossip": {"weighting": "age"}}.get(name, {})
    optimizer = None if name == "model_propagation" else optax.sgd(0.1)
    usual = m.fresh_regular(t.ring(N), degree=3)
    whole, one, three = (
        results(A.ALGORITHMS[name](task(), optimizer, W, **options))
        for W in (usual, m.fragmented(usual, fragments=1), m.fragmented(usual, fragments=3))
    )
    equal(whole, one)
    assert three.metrics.final["messages"] == 3 * whole.metrics.final["messages"]
    assert not np.array_equal(whole.x, three.x)
    extra = three.metrics.final["metadata_bytes"]
    assert three.metrics.final["bytes_sent"] - extra == whole.metrics.final["bytes_sent"] - extra / 3


@pytest.mark.wrong_types
def test_what_fragments_cannot_be_is_refused() -> None:
    W, top_k = m.mosaic(t.ring(N), fragments=2, degree=2), jg.compression.top_k(fraction=0.5)
    for build, message in (
        (lambda: A.chebyshev(task(), None, W), "chebyshev needs the same weights in every round and for all columns"),
        (lambda: A.sgp(task(), optax.sgd(0.1), W), "sgp needs mixing that keeps mass"),
        (lambda: A.epidemic(task(), optax.sgd(0.1), W), "epidemic learning needs peers that are new in every round"),
        (lambda: A.sparta(task(), optax.sgd(0.1), W), "sparta needs mixing of whole rows"),
        (lambda: A.streaming_diloco(task(), optax.sgd(0.1), W), "streaming_diloco needs mixing of whole rows"),
        (lambda: A.dispfl(task(), optax.sgd(0.1), W), "dispfl needs mixing of whole rows"),
        (lambda: A.choco(task(), optax.sgd(0.1), W, top_k), "choco needs mixing of whole rows"),
        (lambda: links_of(W).sent_bytes(8), "mixing in fragments goes with methods that send whole rows"),
        (links_of(W).operator.as_matrix, "W is another in each of 2 fragments"),
        (links_of(W).operator.by_slots, "what a node hears is another in each of 2 fragments"),
        (lambda: links_of(W).kept(), "a node's own weight is another in each of 2 fragments"),
        (lambda: m.fragmented(m.push_sum(t.ring(N))), "fragmented: push-sum mixing has no fragments"),
        (lambda: m.fragmented(W), "fragmented: W has fragments already"),
        (lambda: m.fragmented(t.ring(N)), "fragmented: W must be mixing, or one for each fragment, not"),
        (
            lambda: m.fragmented([ring(), m.matching(t.complete(8))]),
            "fragmented: all fragments need mixing on the same nodes",
        ),
        (lambda: m.fragmented([ring(), ring()], fragments=3), "fragmented: 2 mixings are not of fragments = 3"),
        (lambda: m.fragmented([]), "fragmented: there is no mixing"),
        (lambda: m.fragmented(ring(), fragments=0), "fragmented: fragments must be at least 1, not 0"),
    ):
        with pytest.raises(jg.errors.InputError, match=message):
            build()
