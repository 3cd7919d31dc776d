"""What every algorithm keeps, whatever it computes; parametrised over the registry."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import ALGORITHMS, Algorithm
from jaxgossip.network import Conditions
from jaxgossip.simulation.program import first, initial_shapes

N, P = 12, 5
VARIANTS = {
    "gossip": [{}, {"order": "update_merge"}, {"weighting": "age"}, {"weighting": "samples"}, {"payload": "update"}, {"payload": "gradient"}, {"local_steps": 3}],
    "dsgd": [{}, {"form": "cta"}, {"form": "dgd"}, {"local_steps": 3}],
    "isolated": [{}, {"local_steps": 3}],
    "centralised": [{}, {"local_steps": 3}],
}  # fmt: skip
CASES = [(name, options) for name, variants in VARIANTS.items() for options in variants]
each = pytest.mark.parametrize(("name", "options"), CASES, ids=str)
each_communicating = pytest.mark.parametrize(
    ("name", "options"), [case for case in CASES if case[0] in ("gossip", "dsgd")], ids=str
)


def quadratic(n: int = N, **options) -> jg.learning.Problem:
    return jg.learning.isotropic_quadratic(n, dimension=P, **{"noise": 0.5, "rng": 0} | options)


def make(name: str, options: dict, problem=None, W=None, optimizer=None) -> Algorithm:
    problem = problem or quadratic()
    optimizer = optimizer or optax.sgd(0.1, momentum=0.5)
    arguments = (problem, optimizer) if name in ("isolated", "centralised") else (
        problem, optimizer, W if W is not None else jg.mixing.metropolis_hastings(jg.topology.ring(N)))  # fmt: skip
    return ALGORITHMS[name](*arguments, **options)


def x_after(algorithm: Algorithm, rounds: int = 7, **options) -> np.ndarray:
    return np.asarray(jg.simulate(algorithm, rounds, evaluate_every=rounds, seed=3, **options).x)


def test_the_cases_cover_the_registry() -> None:
    assert set(VARIANTS) == set(ALGORITHMS)


@each
def test_init_and_step_are_pure(name: str, options: dict) -> None:
    algorithm = make(name, options)
    key = jax.random.key(0)
    a, b = algorithm.init(key), algorithm.init(key)
    jax.tree.map(np.testing.assert_array_equal, a, b)
    round_ = jg.network.Round(jnp.int32(4), key, N)
    jax.tree.map(np.testing.assert_array_equal, algorithm.step(a, round_), algorithm.step(b, round_))
    jax.tree.map(np.testing.assert_array_equal, a, b)


@each
def test_one_node_is_plain_training(name: str, options: dict) -> None:
    problem = quadratic(1)
    W = jg.mixing.operator(jg.topology.weights.from_matrix(np.ones((1, 1))))
    plain = x_after(make("isolated", {"local_steps": options.get("local_steps", 1)}, problem))
    np.testing.assert_allclose(x_after(make(name, options, problem, W)), plain, rtol=1e-6, atol=1e-7)

    x, state = jnp.zeros(P), optax.sgd(0.1, momentum=0.5).init(jnp.zeros(P))  # the same, written out
    x = (
        problem.init(jax.random.key(0))[0] * 0
        + np.asarray(first(make("isolated", {}, problem), jax.random.key(3)).state.x)[0]
    )
    for number in range(7):
        key = jg.network.Round(jnp.int32(number), jax.random.key(3), 1).key("batch")
        for step in range(options.get("local_steps", 1)):
            gradient = problem.gradient(x[None], jax.random.fold_in(key, step))[0]
            updates, state = optax.sgd(0.1, momentum=0.5).update(gradient, state)
            x = x + updates
    np.testing.assert_allclose(plain[0], x, rtol=1e-5, atol=1e-6)


@each
def test_nothing_happens_to_nodes_that_are_never_online(name: str, options: dict) -> None:
    if name == "centralised":
        pytest.skip("the centralised learner has no network")
    algorithm = make(name, options)
    np.testing.assert_array_equal(
        x_after(algorithm, conditions=Conditions(online=0.0)),
        x_after(algorithm, rounds=1, conditions=Conditions(online=0.0)),
    )
    start = np.asarray(first(algorithm, jax.random.key(3)).state.x)
    np.testing.assert_array_equal(x_after(algorithm, conditions=Conditions(online=0.0)), start)


@each_communicating
def test_all_messages_dropped_is_isolated_training(name: str, options: dict) -> None:
    alone = x_after(make("isolated", {"local_steps": options.get("local_steps", 1)}))
    np.testing.assert_allclose(
        x_after(make(name, options), conditions=Conditions(drop=1.0)), alone, rtol=2e-6, atol=1e-7
    )


@each
def test_zero_faults_is_the_faultless_run(name: str, options: dict) -> None:
    np.testing.assert_array_equal(
        x_after(make(name, options)), x_after(make(name, options), conditions=Conditions(drop=0.0, online=1.0))
    )


@each_communicating
def test_faults_change_the_run(name: str, options: dict) -> None:
    assert (
        np.abs(x_after(make(name, options)) - x_after(make(name, options), conditions=Conditions(drop=0.5))).max()
        > 1e-3
    )
    assert (
        np.abs(x_after(make(name, options)) - x_after(make(name, options), conditions=Conditions(online=0.5))).max()
        > 1e-3
    )


@each
def test_the_state_keeps_the_problems_dtype(name: str, options: dict) -> None:
    assert initial_shapes(make(name, options)).state.x.dtype == jnp.float32
    x_after(make(name, options))
    with jax.enable_x64(True):
        result = jg.simulate(make(name, options, quadratic(dtype=jnp.float64)), 2)
        floats = [leaf.dtype for leaf in jax.tree.leaves(result.state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        assert set(floats) == {jnp.dtype("float64")}
        mixed = jg.simulate(make(name, options, quadratic(dtype=jnp.float32)), 2)
        assert mixed.x.dtype == jnp.float32


@each
def test_relabelling_the_nodes_relabels_the_result(name: str, options: dict) -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(N)  # new node i is old node order[i]
    graph = jg.topology.erdos_renyi(N, p=0.5, rng=1)
    adjacency = graph.to_scipy().toarray()
    relabelled = jg.topology.from_scipy(adjacency[np.ix_(order, order)])
    targets = np.random.default_rng(2).normal(size=(N, P))
    runs = []
    for g, b in ((graph, targets), (relabelled, targets[order])):
        problem = quadratic(noise=0.0, targets=b)
        runs.append(x_after(make(name, options, problem, jg.mixing.metropolis_hastings(g))))
    expected = runs[0][order] if runs[0].shape[0] == N else runs[0]
    np.testing.assert_allclose(runs[1], expected, atol=2e-6)


@each
def test_traffic_is_counted_exactly(name: str, options: dict) -> None:
    algorithm = make(name, options)
    final = jg.simulate(algorithm, 7, evaluate_every=7).metrics.final
    messages = 7 * 2 * N if name in ("gossip", "dsgd") else 0  # a ring: everybody sends to two
    aged = name == "gossip" and (options.get("payload", "model") == "model" or options.get("weighting") == "age")
    assert final["messages"] == messages
    assert final["bytes_sent"] == messages * 4 * (P + aged)


@each
def test_every_algorithm_documents_its_equation_and_source(name: str, options: dict) -> None:
    import sys

    del options
    text = sys.modules[ALGORITHMS[name].__module__].__doc__ or ""
    assert "X⁺" in text
    assert ALGORITHMS[name].__doc__.split("\n")[0].endswith(".")
    assert "Args:" in ALGORITHMS[name].__doc__


def test_the_complete_graph_with_one_local_step_is_centralised_sgd() -> None:
    problem = quadratic()
    W = jg.mixing.metropolis_hastings(jg.topology.complete(N))
    central = x_after(make("centralised", {}, problem, optimizer=optax.sgd(0.1)))
    network = x_after(make("dsgd", {}, problem, W, optax.sgd(0.1)))
    np.testing.assert_allclose(network, np.broadcast_to(central, (N, P)), atol=1e-6)


def test_a_step_that_changes_its_state_is_named() -> None:
    problem = quadratic()

    def step(state, round_):
        return state._replace(x=state.x[:, :2]), jg.network.Traffic.none()

    good = make("isolated", {}, problem)
    bad = Algorithm(good.init, step, problem, name="mine")
    with pytest.raises(
        jg.errors.RunError, match=r"mine: step turns state\.x from float32\[12, 5\] into float32\[12, 2\]"
    ):
        jg.simulate(bad, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"local_steps": 0}, "local_steps must be at least 1, not 0"),
        ({"payload": "update", "order": "merge_update"}, "order = 'merge_update' applies to payload = 'model' only"),
        ({"payload": "gradient", "local_steps": 2}, "one gradient travels a round"),
        ({"scores": np.ones(N), "weighting": "age"}, "exclude each other"),
        ({"scores": np.ones(3)}, "scores must be 12 positive numbers"),
        ({"scores": -np.ones(N)}, "scores must be 12 positive numbers"),
    ],
)
def test_gossip_refuses_options_that_exclude_each_other(options: dict, message: str) -> None:
    with pytest.raises(jg.errors.InputError, match=message):
        make("gossip", options)


def test_reliabilities_refuse_negative_weights() -> None:
    W = jg.mixing.best_constant(jg.topology.star(N))
    with pytest.raises(jg.errors.InputError, match="reliabilities need weights that are not negative"):
        make("gossip", {"weighting": "age"}, W=W)
