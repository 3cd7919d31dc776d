"""Mixing learnt from class shares, and clique averaging: what it is a matrix of, and a D-SGD without bias."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import run_key
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load

t, m = jg.topology, jg.mixing
N, CLASSES = 24, 4
SHARES = np.eye(CLASSES)[np.random.default_rng(1).permutation(np.arange(N) % CLASSES)]
GRAPH = t.ring(N)


def cliques(**options) -> m.CliqueMixing:
    return m.d_cliques(GRAPH, SHARES, **{"size": CLASSES, **options})


@pytest.mark.parametrize("joined", ["ring", "fractal", "small_world", "all"])
def test_d_cliques_mixes_by_metropolis_hastings_and_averages_within(joined: str) -> None:
    with jax.enable_x64(True):
        W = cliques(joined=joined, rng=5)
        clique = t.class_cliques(SHARES, size=CLASSES, rng=5)
        expected = t.metropolis_hastings(t.join_cliques(clique, joined=joined)).to_scipy().toarray()
        np.testing.assert_allclose(W.as_matrix(), expected, atol=1e-15)
        means = (clique[:, None] == clique) / CLASSES
        np.testing.assert_allclose(W.within.as_matrix(), means, atol=1e-15)
        x = jnp.asarray(np.random.default_rng(0).normal(size=(N, 3)))
        np.testing.assert_allclose(W(x), expected @ x, atol=1e-14)


def test_stl_fw_mixes_by_its_weights() -> None:
    with jax.enable_x64(True):
        expected = t.stl_fw(SHARES, degree=5, rng=2).to_scipy().toarray()
        np.testing.assert_allclose(m.stl_fw(GRAPH, SHARES, degree=5, rng=2).as_matrix(), expected, atol=1e-15)


def last(algorithm: jg.algorithms.Algorithm, rounds: int = 400) -> np.ndarray:
    """Return the models (n, p) after some rounds."""
    state = algorithm.init(jax.random.key(0))

    def body(number, state):
        return algorithm.step(state, jg.network.Round(number, jax.random.key(1), N))[0]

    return np.asarray(algorithm.models(jax.jit(lambda state: jax.lax.fori_loop(0, rounds, body, state))(state)))


@pytest.mark.parametrize("joined", ["ring", "all"])
def test_clique_averaging_has_no_bias_where_objectives_depend_on_the_class_alone(joined: str) -> None:
    with jax.enable_x64(True):
        targets = SHARES @ np.random.default_rng(2).normal(size=(CLASSES, 3))
        problem = jg.learning.isotropic_quadratic(N, targets=targets, noise=0.0, init="independent", dtype=jnp.float64)
        W, optimum = cliques(joined=joined), targets.mean(0)
        averaged = last(jg.algorithms.clique_averaging(problem, optax.sgd(0.2), W))
        plain = last(jg.algorithms.dsgd(problem, optax.sgd(0.2), W))
    np.testing.assert_allclose(averaged, np.broadcast_to(optimum, averaged.shape), atol=1e-12)
    assert np.abs(plain - optimum).max() > 1e-2


@pytest.mark.slow
def test_a_step_is_its_formula_also_with_momentum_and_private_columns() -> None:
    with jax.enable_x64(True):
        problem = jg.learning.isotropic_quadratic(N, dimension=3, noise=0.0, init="independent", dtype=jnp.float64)
        problem.n_shared = 2
        W = cliques()
        algorithm = jg.algorithms.clique_averaging(problem, optax.sgd(0.1, momentum=0.5), W)
        state = algorithm.init(jax.random.key(0))
        x, momentum, mean, mix = np.asarray(state.x), np.zeros((N, 3)), W.within.as_matrix(), W.as_matrix()
        for number in range(3):
            state, _ = algorithm.step(state, jg.network.Round(jnp.int32(number), jax.random.key(1), N))
            g = x - np.asarray(problem.targets)
            momentum = np.concatenate([mean @ g[:, :2], g[:, 2:]], 1) + 0.5 * momentum
            x = x - 0.1 * momentum
            x = np.concatenate([mix @ x[:, :2], x[:, 2:]], 1)
            np.testing.assert_allclose(state.x, x, atol=1e-13)


TEXT = """
[topology]
kind = "ring"
nodes = 24
[mixing]
kind = "d_cliques"
size = 4
[learning]
dataset = "synthetic"
dataset_options = { samples = 960, features = 3, classes = 4 }
model = "softmax"
[partition]
kind = "label_shards"
[algorithm]
kind = "clique_averaging"
[optimizer]
learning_rate = 0.1
"""


@pytest.mark.parametrize("kind", ["d_cliques", "stl_fw"])
def test_a_configuration_has_the_shares_of_its_partition(kind: str) -> None:
    options = ["algorithm.kind=dsgd", 'mixing={kind="stl_fw", degree=6}'] if kind == "stl_fw" else []
    experiment = build(load(TEXT, options))
    problem = experiment.problem
    shares = jg.learning.partitions.class_shares(problem.partition, problem.targets)
    rng = jg.random.host_rng(experiment.config.seed, "mixing")
    make = {"d_cliques": lambda: m.d_cliques(GRAPH, shares, size=4, rng=rng)}
    make["stl_fw"] = lambda: m.stl_fw(GRAPH, shares, degree=6, rng=rng)
    np.testing.assert_array_equal(experiment.W.as_matrix(), make[kind]().as_matrix())
    assert np.ptp(shares, axis=0).min() > 0.1


def test_each_seed_has_cliques_of_its_own_data() -> None:
    matrices = [build(load(TEXT, [f"seed={seed}"])).W.as_matrix() for seed in (0, 0, 1)]
    assert (matrices[0] == matrices[1]).all()
    assert (matrices[0] != matrices[2]).any()


@pytest.mark.slow
def test_an_experiment_learns() -> None:
    experiment = build(load(TEXT))
    state = experiment.algorithm.init(run_key(0))
    before = experiment.problem.evaluate(experiment.algorithm.models(state))["test_accuracy"].mean()
    for number in range(20):
        state, _ = experiment.algorithm.step(state, jg.network.Round(jnp.int32(number), run_key(0), N))
    after = experiment.problem.evaluate(experiment.algorithm.models(state))["test_accuracy"].mean()
    assert after > before + 0.1


@pytest.mark.wrong_types
def test_mistakes_are_named() -> None:
    problem = jg.learning.isotropic_quadratic(N)
    for make, message in (
        (lambda: m.d_cliques(t.ring(9), SHARES), "d_cliques: class_shares of 24 nodes do not fit 9 nodes"),
        (lambda: m.stl_fw(t.ring(9), SHARES), "stl_fw: class_shares of 24 nodes do not fit 9 nodes"),
        (lambda: m.stl_fw(GRAPH, SHARES, degree=1), "stl_fw is disconnected"),
        (lambda: m.d_cliques(GRAPH, SHARES, joined="star"), "d_cliques: joined cannot be 'star'"),
        (lambda: m.d_cliques(GRAPH), "d_cliques: missing"),
        (lambda: jg.algorithms.clique_averaging(problem, optax.sgd(0.1), m.uniform(GRAPH)), "mixing with cliques"),
        (
            lambda: load(TEXT.replace('"label_shards"', '"iid"'), ['learning={dataset="isotropic_quadratic"}']),
            "mixing.kind: 'd_cliques' is learnt from the classes on nodes, and 'isotropic_quadratic' has none",
        ),
    ):
        with pytest.raises(InputError) as told:
            make()
        assert message in str(told.value)
