"""The weights of nodes in what they agree on: published gains, powers of W, and who is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import GraphError, InputError
from jaxgossip.mixing import centrality
from jaxgossip.mixing.centrality import centrality_gain, perron_vector

t, m = jg.topology, jg.mixing
GRAPHS = {"karate": t.karate(), "star": t.star(16), "ring": t.ring(16), "davis": t.davis()}


def limit(W: jg.mixing.Operator) -> np.ndarray:
    """Return a row of W^∞, by squaring."""
    power = W.as_matrix()
    for _ in range(20):
        power = power @ power
        power /= power.sum(1, keepdims=True)
    return power[0]


def uneven(n: int) -> jg.mixing.Operator:
    """Return W of random weights, whose v has no formula; node 0 hears nobody who is not heard back."""
    rng = np.random.default_rng(3)
    matrix = rng.random((n, n)) * (rng.random((n, n)) < 0.3) + np.eye(n)
    return m.operator(t.weights.from_matrix(matrix / matrix.sum(1, keepdims=True)))


@pytest.mark.parametrize(
    ("name", "gain"), [("karate", 4.813599), ("star", 2.587702), ("ring", 4.0), ("davis", 5.188745)]
)
def test_the_gains_of_uniform_weights(name: str, gain: float) -> None:
    assert centrality_gain(m.uniform(GRAPHS[name])) == pytest.approx(gain, abs=5e-7)


def test_nodes_that_average_all_they_hear_weigh_by_what_they_hear() -> None:
    graph = GRAPHS["karate"]
    heard = graph.degrees + 1
    np.testing.assert_array_equal(perron_vector(m.uniform(graph)), heard / heard.sum())
    lazy = m.static(graph, weights="uniform", lazy=True)
    np.testing.assert_array_equal(perron_vector(lazy), heard / heard.sum())


@pytest.mark.parametrize("weights", ["metropolis_hastings", "best_constant", "sinkhorn"])
def test_all_weigh_the_same_where_the_mean_is_kept(weights: str) -> None:
    W = m.static(GRAPHS["star"], weights=weights)
    np.testing.assert_array_equal(perron_vector(W), np.full(16, 1 / 16))
    assert centrality_gain(W) == 4


@pytest.mark.parametrize("dense", [True, False], ids=["solved", "iterated"])
def test_other_weights_are_those_of_the_powers_of_w(dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(centrality, "DENSE_NODES", 500 if dense else 0)
    with jax.enable_x64(True):
        W = uneven(30)
        np.testing.assert_allclose(perron_vector(W), limit(W), rtol=1e-9)


def test_who_only_listens_has_no_weight() -> None:
    matrix = np.array([[0.5, 0.5, 0, 0], [0.25, 0.75, 0, 0], [0.1, 0, 0.9, 0], [0, 0, 0.5, 0.5]])
    with jax.enable_x64(True):
        W = m.operator(t.weights.from_matrix(matrix))
        np.testing.assert_allclose(perron_vector(W), [1 / 3, 2 / 3, 0, 0], atol=1e-15)


@pytest.mark.by_default("matching")
@pytest.mark.parametrize(
    "W",
    [m.matching(t.ring(16)), m.base_k_plus_one(t.ring(16)), m.push_sum(t.star(16)), m.uniform(t.complete(16))],
    ids=["matching", "base_k_plus_one", "push_sum", "complete"],
)
def test_mixing_that_keeps_the_mean_or_the_mass_has_root_n(W: jg.mixing.Mixing) -> None:
    assert centrality_gain(W) == pytest.approx(4, rel=1e-12)


@pytest.mark.parametrize("name", ["karate", "star", "davis"])
def test_starts_as_wide_agree_on_a_model_of_the_usual_deviation(name: str) -> None:
    columns = 20_000
    with jax.enable_x64(True):
        W = m.uniform(GRAPHS[name])
        problem = jg.learning.isotropic_quadratic(
            W.n_nodes, dimension=columns, init="independent", dtype=jnp.float64, rng=0
        )
        wide = jg.learning.with_init_gain(problem, centrality_gain(W))
        x = np.asarray(wide.init(jax.random.key(0)))
        agreed = np.linalg.matrix_power(W.as_matrix(), 2000) @ x
    error = 4 / np.sqrt(2 * columns)  # four standard errors of a deviation
    np.testing.assert_allclose(x.std(1), centrality_gain(W), rtol=1.5 * error)
    np.testing.assert_allclose(agreed.std(1), 1, rtol=error)


@pytest.mark.wrong_types
def test_networks_without_one_agreement_are_refused() -> None:
    apart = t.from_scipy(np.kron(np.eye(2), np.ones((3, 3)) - np.eye(3)))
    with pytest.raises(GraphError, match="2 parts that hear nothing of each other"):
        centrality_gain(m.uniform(apart))
    with pytest.raises(GraphError, match="does not keep the mean"):
        centrality_gain(m.pull(t.ring(16)))
    with pytest.raises(GraphError, match="agrees on the mean"):
        perron_vector(m.push_sum(t.star(4)))
    for function, wrong in ((perron_vector, m.matching(t.ring(4))), (centrality_gain, t.ring(4))):
        with pytest.raises(InputError, match="W must be"):
            function(wrong)
