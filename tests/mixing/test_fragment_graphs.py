"""DivShare, Mosaic and Shatter: which graphs fragments have, and how fast they contract."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core import counting
from jaxgossip.core.random import run_key
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load
from jaxgossip.network import Conditions, Round
from jaxgossip.theory import predictions
from jaxgossip.theory.plots.fragments import closed_form, joint, pair, rate

m, t = jg.mixing, jg.topology
N, P = 16, 6


def links_of(W: Any, number: int = 0, conditions: Conditions | None = None) -> Any:
    return Round(jnp.int32(number), run_key(2), N, conditions or Conditions()).links(W, P)


def rows() -> jax.Array:
    return jax.random.normal(run_key(4), (N, P))


@pytest.mark.by_default("divshare")
@pytest.mark.parametrize("kind", ["divshare", "mosaic"])
def test_one_fragment_is_epidemic_learning_bit_for_bit(kind: str) -> None:
    one = {"divshare": lambda: m.divshare(t.complete(N), fragments=1, fanout=2)}
    one["mosaic"] = lambda: m.mosaic(t.ring(N), fragments=1, degree=3)
    usual = {"divshare": m.push(t.complete(N), fanout=2), "mosaic": m.fresh_regular(t.ring(N), degree=3)}[kind]
    for conditions in (Conditions(), Conditions(drop=0.2, online=0.8)):
        whole, found = (links_of(W, 1, conditions).mix(rows()) for W in (usual, one[kind]()))
        np.testing.assert_array_equal(whole, found)


@pytest.mark.parametrize(
    ("W", "degree"),
    [
        (m.divshare(t.complete(N), fragments=3, fanout=2), 2),
        (m.mosaic(t.ring(N), fragments=3, degree=4), 4),
    ],
    ids=["divshare", "mosaic"],
)
def test_every_fragment_is_mixed_over_a_graph_of_its_own(W: Any, degree: int) -> None:
    """Columns of fragment f are W_f X; all W_f differ, and from round to round; every node sends s messages a fragment."""
    links, x = links_of(W), np.asarray(rows())
    parts, mixed = links.operator.operators, np.asarray(links.mix(rows()))
    matrices = [part.as_matrix() for part in parts]
    for matrix, columns in zip(matrices, links.operator.columns(P), strict=True):
        np.testing.assert_allclose(mixed[:, columns], matrix @ x[:, columns], atol=1e-6)
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
        assert ((matrix > 0).sum(0) == degree + 1).all()
    assert len({matrix.tobytes() for matrix in [*matrices, links_of(W, 1).operator.operators[0].as_matrix()]}) == 4
    assert sorted(np.concatenate(links.operator.columns(P))) == list(range(P))
    sent = links.sent(rows())
    assert counting.to_int(sent.messages) == 3 * degree * N
    assert counting.to_int(sent.bytes_sent) == degree * P * 4 * N
    np.testing.assert_array_equal(links.operator.sent(None), 3 * degree)


@pytest.mark.slow
@pytest.mark.parametrize(("fragments", "degree"), [(1, 3), (3, 2), (3, 7)])
def test_virtual_nodes_are_on_one_regular_graph(fragments: int, degree: int) -> None:
    """Each of the nK hears s others, of any fragment; an entry is the mean of a node's own and all that are heard of it."""
    links, x = links_of(m.shatter(t.ring(N), fragments=fragments, degree=degree)), np.asarray(rows())
    mixed, parts = np.asarray(links.mix(rows())), links.operator.operators
    reached = np.stack([np.asarray(part.targets) for part in parts])
    np.testing.assert_array_equal(np.bincount(reached.ravel(), minlength=N), fragments * degree)
    own = reached == np.arange(N)[:, None]
    assert (fragments == 1) == (not own.any())
    for f, columns in enumerate(links.operator.columns(P)):
        heard, count = x[:, columns].copy(), np.ones((N, 1))
        for sender, receiver in zip(*np.nonzero(~own[f]), strict=True):
            heard[reached[f, sender, receiver]] += x[sender, columns]
            count[reached[f, sender, receiver]] += 1
        np.testing.assert_allclose(mixed[:, columns], heard / count, atol=1e-5)
    sent = links.sent(rows())
    assert counting.to_int(sent.messages) == fragments * degree * N - own.sum()
    assert counting.to_int(sent.bytes_sent) == counting.to_int(sent.messages) * P // fragments * 4


@pytest.mark.slow
def test_a_virtual_node_meets_any_other_as_often() -> None:
    """Of two nodes with two each: in a third of the links, the other one of its node, which carries nothing."""
    W = m.shatter(t.complete(2), fragments=2, degree=1)
    sent = jax.vmap(lambda key: W.at(jnp.int32(0), key).sent(None))(jax.random.split(run_key(5), 3000))
    assert np.mean(sent) == pytest.approx(2 * 2 / 3, abs=0.05)


def sampled(W: Any, number: int, n_rounds: int) -> np.ndarray:
    """Return (rounds, fragments, n, n): W_f of all fragments in as many rounds."""
    wide = jnp.tile(jnp.eye(N), (1, number))
    mixed = jax.jit(jax.vmap(lambda key: W.at(jnp.int32(0), key)(wide)))(jax.random.split(run_key(7), n_rounds))
    return np.moveaxis(np.asarray(mixed, np.float64).reshape(n_rounds, N, number, N), 2, 1)


def traces(W: np.ndarray, other: np.ndarray) -> float:
    """Return the mean over rounds of tr(Wᵀ Π V)/(n − 1), which is that of xᵀWᵀΠVx/‖Πx‖² over all x, less the mean's share."""
    centred = W - W.mean(1, keepdims=True)
    return float((centred * other).sum((1, 2)).mean() / (N - 1))


@pytest.mark.slow
@pytest.mark.parametrize(("s", "beta"), [(2, 0.288889), (4, 0.146667)])
def test_regular_graphs_leave_beta_within_and_its_square_between_fragments(s: int, beta: float) -> None:
    W = sampled(m.fragmented(m.fresh_regular(t.ring(N), degree=s), fragments=2, columns="blocks"), 2, 4000)
    assert predictions.oracle_beta(N, s) == pytest.approx(beta, abs=5e-7)
    assert (1 - s / (N - 1)) / (s + 1) == pytest.approx(beta, abs=5e-7)
    within, between = [traces(W[:, f], W[:, f]) for f in (0, 1)], traces(W[:, 0], W[:, 1])
    assert within == pytest.approx([beta, beta], rel=1e-4)
    assert between == pytest.approx(beta**2, rel=0.01)
    mean = W.mean((0, 1))
    np.testing.assert_allclose(mean, 1 / N + beta * (np.eye(N) - 1 / N), atol=0.02)


@pytest.mark.slow
def test_divshare_leaves_what_epidemic_learning_does() -> None:
    W = m.divshare(t.complete(N), fragments=2, fanout=2)
    drawn = [W.at(jnp.int32(0), key).operators for key in jax.random.split(run_key(3), 3)]
    assert all(isinstance(part, type(drawn[0][0])) for parts in drawn for part in parts)
    matrices = sampled(m.fragmented(m.push(t.complete(N), fanout=2), fragments=2, columns="blocks"), 2, 6000)
    # The mean drifts: what is left is measured from the mean before.
    left = [np.square(matrices[:, f] - 1 / N).sum((1, 2)).mean() / (N - 1) for f in (0, 1)]
    assert left == pytest.approx([predictions.local_beta(N, 2)] * 2, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("s", "r", "one", "two"),
    [(2, 0.9, 0.260722, 0.168163), (4, 0.9, 0.132367, 0.076007), (2, 0.5, 0.1625, 0.108550)],
)
def test_rates_of_two_columns_on_one_and_on_two_graphs(s: int, r: float, one: float, two: float) -> None:
    """The closed forms are the exact map's rates; with factors between fragments as sampled they are so within 1 %."""
    for fragments, expected in ((1, one), (2, two)):
        assert rate(pair(r), s, fragments) == pytest.approx(expected, abs=6e-7)
        assert closed_form(r, s, fragments) == pytest.approx(expected, abs=6e-7)
        assert rate(pair(0.0), s, fragments) == pytest.approx(rate(pair(0.0), s, 1))
    W = sampled(m.fragmented(m.fresh_regular(t.ring(N), degree=s), fragments=2, columns="blocks"), 2, 4000)
    factors = np.array([[traces(W[:, f], W[:, g]) for g in (0, 1)] for f in (0, 1)])
    step = np.eye(2) - 0.5 * pair(r)
    found = np.abs(np.linalg.eigvals(factors.reshape(-1, 1) * np.kron(step, step))).max()
    assert found == pytest.approx(two, rel=0.01)


def test_more_fragments_contract_faster_only_where_entries_move_together() -> None:
    rates = [rate(joint(), 2, k) for k in (1, 2, 4, 8)]
    np.testing.assert_allclose(rates, [0.260722, 0.185190, 0.143017, 0.118324], atol=6e-7)
    apart = np.diag(np.linspace(0.1, 1, 8))
    assert np.ptp([rate(apart, 2, k) for k in (1, 2, 4, 8)]) < 1e-12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: m.divshare(t.ring(N), fragments=0), "divshare: fragments must be at least 1, not 0"),
        (lambda: m.divshare(t.ring(N), fanout=0), "divshare: fanout must be at least 1, not 0"),
        (lambda: m.divshare(t.static_exponential(N)), "random peers need an undirected graph"),
        (lambda: m.mosaic(t.ring(N), fragments=-1), "mosaic: fragments must be at least 1, not -1"),
        (lambda: m.mosaic(t.ring(N), degree=N), "mosaic: degree must be from 1 to 15 on 16 nodes, not 16"),
        (lambda: m.shatter(t.ring(N), fragments=0), "shatter: fragments must be at least 1, not 0"),
        (
            lambda: m.shatter(t.ring(N), fragments=2, degree=32),
            "shatter: degree must be from 1 to 31 on 32 virtual nodes, not 32",
        ),
        (lambda: m.shatter(t.ring(N), degree=0), "shatter: degree must be from 1 to 127 on 128 virtual nodes, not 0"),
        (lambda: m.shatter(t.ring(2**16), fragments=2**15), "shatter: 2,147,483,648 virtual nodes are too many"),
        (
            lambda: m.mosaic(t.ring(N), fragments=2**26),
            "mosaic: the programs of 67,108,864 fragments with 7 peers each",
        ),
    ],
)
def test_options_out_of_range_are_named(make: Any, message: str) -> None:
    with pytest.raises(jg.errors.GraphError, match=message):
        make()


def test_a_configuration_names_them_and_its_seed_shuffles_the_columns() -> None:
    def built(kind: str, seed: int) -> Any:
        text = f"""
        rounds = 2
        seed = {seed}
        topology = {{ kind = "ring", nodes = 8 }}
        mixing = {{ kind = "{kind}", fragments = 3 }}
        learning = {{ dataset = "isotropic_quadratic", dataset_options = {{ dimension = 40 }} }}
        algorithm = {{ kind = "averaging" }}
        """
        return build(load(text)).W

    for kind in ("divshare", "mosaic", "shatter"):
        seeds = [int(built(kind, seed).seed) for seed in (0, 0, 1)]
        assert seeds[0] == seeds[1] != seeds[2]
        assert built(kind, 0).fragments == 3
