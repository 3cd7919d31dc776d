"""Optimizers that draw random numbers: every node's noise is its own, as optax alone would draw with that node's key."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.random import purpose_key, run_key
from jaxgossip.learning.nodewise import KeyedState, check_optimizer, fresh_states, updates

N, P, ROUNDS = 5, 3, 4


def own(key: Any) -> optax.GradientTransformation:
    """Return a custom transformation that keeps its key in a dict, beside a pair of numbers that is not a key."""

    def init(params: Any) -> Any:
        return {"key": key, "pair": jnp.zeros(2, jnp.uint32), "sum": jnp.zeros_like(params)}

    def update(gradient: Any, state: Any, params: Any = None) -> Any:
        del params
        following, now = jax.random.split(state["key"])
        drawn = jax.random.normal(now, gradient.shape)
        return -0.1 * gradient + drawn, {"key": following, "pair": state["pair"], "sum": state["sum"] + drawn}

    return optax.GradientTransformation(init, update)


WITH_KEY: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "noisy_sgd": lambda key: optax.noisy_sgd(0.1, eta=0.3, gamma=0.55, key=key),
    "add_noise in a chain": lambda key: optax.chain(optax.add_noise(0.3, 0.55, key), optax.adam(0.1)),
    "own, a typed key": own,
}


def task(**options: Any) -> Any:
    targets = np.arange(N * P, dtype=np.float64).reshape(N, P)
    return jg.learning.isotropic_quadratic(N, targets=targets, noise=0.0, **options)


def alone(optimizer: optax.GradientTransformation, x: np.ndarray, target: np.ndarray) -> jax.Array:
    """Return one model after some rounds of optax alone."""
    row, state = jnp.asarray(x), optimizer.init(jnp.asarray(x))
    for _ in range(ROUNDS):
        update, state = optimizer.update(row - target, state, row)
        row = optax.apply_updates(row, update)
    return row


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "noisy_sgd" else pytest.mark.slow) for name in WITH_KEY]
)
def test_each_node_draws_what_optax_alone_draws_with_its_key(name: str) -> None:
    make, problem = WITH_KEY[name], task()
    result = jg.simulate(jg.algorithms.isolated(problem, make(jax.random.key(7))), ROUNDS)
    start = np.asarray(jg.simulate(jg.algorithms.isolated(problem, optax.sgd(0.0)), 0).x)
    word = jax.random.bits(purpose_key(purpose_key(run_key(0), "init"), "optimizer"))
    for node in range(N):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(7), node), word)
        expected = alone(make(key), start[node], np.asarray(problem.targets[node]))
        np.testing.assert_allclose(result.x[node], expected, rtol=2e-6, atol=2e-6)
    gradient_free = np.asarray(result.x) - np.asarray(
        jg.simulate(jg.algorithms.isolated(problem, make(jax.random.key(8))), ROUNDS).x
    )
    assert np.unique(np.round(gradient_free, 4), axis=0).shape == (N, P)


@pytest.mark.slow
def test_noise_is_another_with_another_seed() -> None:
    noisy = optax.noisy_sgd(0.1, eta=0.3, gamma=0.55, key=1)
    problem = task()
    for algorithm in (jg.algorithms.isolated, jg.algorithms.centralised, jg.algorithms.federated_averaging):
        one, again, other = (jg.simulate(algorithm(problem, noisy), 2, seed=seed).x for seed in (0, 0, 1))
        assert np.array_equal(one, again)
        assert np.all(np.asarray(one) != np.asarray(other))


def test_bare_words_are_keys_only_where_something_is_drawn() -> None:
    x, nodes = jnp.ones((N, P)), jnp.arange(N)
    states = fresh_states(own(jax.random.PRNGKey(7)), x, nodes)
    assert isinstance(states, KeyedState)
    expected = jnp.stack([jax.random.fold_in(jax.random.PRNGKey(7), node) for node in range(N)])
    assert np.array_equal(states.state["key"], expected)
    still = optax.GradientTransformation(lambda _: jnp.array([3, 4], jnp.uint32), lambda g, s, _=None: (g, s))
    assert np.array_equal(fresh_states(still, x, nodes), np.tile([3, 4], (N, 1)))


def test_states_without_keys_are_those_of_optax() -> None:
    x = jnp.ones((N, P))
    for optimizer in (optax.sgd(0.1), optax.adam(0.1), optax.chain(optax.clip(1.0), optax.sgd(0.1, momentum=0.9))):
        states = fresh_states(optimizer, x, jnp.arange(N))
        plain = jax.vmap(optimizer.init)(x)
        assert jax.tree.structure(states) == jax.tree.structure(plain)
        assert jax.tree.all(jax.tree.map(np.array_equal, states, plain))


@pytest.mark.slow
def test_noise_follows_the_node_and_not_its_row() -> None:
    order = jg.topology.Order(np.array([3, 0, 4, 1, 2], np.int32))
    noisy = optax.noisy_sgd(0.1, eta=0.3, gamma=0.55, key=1)
    straight, turned = (jg.simulate(jg.algorithms.isolated(task(order=one), noisy), ROUNDS).x for one in (None, order))
    np.testing.assert_allclose(straight, turned, rtol=1e-6)


@pytest.mark.slow
def test_a_run_that_goes_on_draws_as_one_that_was_never_stopped() -> None:
    W = jg.mixing.metropolis_hastings(jg.topology.ring(N))
    noisy = optax.chain(optax.add_noise(0.3, 0.55, 1), optax.sgd(0.1, momentum=0.9))
    whole = jg.simulate(jg.algorithms.dsgd(task(), noisy, W), 6)
    half = jg.simulate(jg.algorithms.dsgd(task(), noisy, W), 3)
    assert np.array_equal(jg.simulate(jg.algorithms.dsgd(task(), noisy, W), 6, start=half.run).x, whole.x)


@pytest.mark.slow
def test_the_server_has_fresh_noise_in_every_round() -> None:
    problem = jg.learning.isotropic_quadratic(1, targets=np.zeros((1, 200)), noise=0.0)
    steps = []
    for rounds in (1, 2):
        noisy = optax.noisy_sgd(1.0, eta=1.0, gamma=0.0, key=1)  # a step of 1 ends at the target: what is left is noise
        steps.append(np.asarray(jg.simulate(jg.algorithms.federated_averaging(problem, noisy), rounds).x[0]))
    assert abs(np.corrcoef(*steps)[0, 1]) < 0.3
    assert np.std(steps) == pytest.approx(1, abs=0.15)


@pytest.mark.slow
def test_nodes_with_clocks_of_their_own_draw_by_themselves() -> None:
    s, noisy = jg.schedule, optax.noisy_sgd(1.0, eta=1.0, gamma=0.0, key=1)
    problem = jg.learning.isotropic_quadratic(N, targets=np.zeros((N, 50)), noise=0.0)
    network = s.schedule(jg.topology.complete(N), clock=s.CLOCKS["synchronous"](N))
    x = np.asarray(jg.simulate_events(jg.algorithms.gossip_learning(problem, noisy), network, 5).x)
    assert np.abs(np.corrcoef(x) - np.eye(N)).max() < 0.6


def closed() -> optax.GradientTransformation:
    def update(gradient: Any, count: Any, params: Any = None) -> Any:
        del params
        return gradient + jax.random.normal(jax.random.fold_in(jax.random.key(0), count), gradient.shape), count + 1

    return optax.GradientTransformation(lambda _: jnp.int32(0), update)


PLAIN = "(an optimizer of gradients and models alone, such as optax.sgd(0.1) or optax.adam(1e-3))"
SGD = optax.sgd(0.1)
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a learning rate": (lambda: 0.1, "0.1 is no optimizer (optax.sgd(0.1))"),
    "a name": (lambda: "adam", "'adam' is no optimizer (optax.adam(learning_rate))"),
    "a builder": (lambda: optax.adam, "the function adam is no optimizer (call it: optax.adam(learning_rate))"),
    "nothing": (lambda: None, "None is no optimizer (optax.sgd(0.1), or any other optax transformation)"),
    "several steps in one": (lambda: optax.MultiSteps(SGD, 2), "a MultiSteps is no optimizer (its gradient_transformation())"),
    "lookahead": (lambda: optax.lookahead(SGD, 5, 0.5), f"optimizer Lookahead keeps two models, of which one is its own {PLAIN}"),
    "sam": (lambda: optax.contrib.sam(SGD, optax.sgd(0.05)), f"optimizer SAM alternates between a model and one that is worse on purpose {PLAIN}"),
    "schedule-free": (lambda: optax.contrib.schedule_free(SGD, 0.1), f"optimizer ScheduleFree keeps the model that counts in its own state, beside the one that it steps from {PLAIN}"),
    "lbfgs": (optax.lbfgs, f"optimizer scale_by_zoom_linesearch needs 'value', 'grad', and 'value_fn' beside a gradient, which no algorithm here hands on {PLAIN}"),
    "backtracking": (lambda: optax.chain(SGD, optax.scale_by_backtracking_linesearch(10)), f"optimizer scale_by_backtracking_linesearch needs 'value', 'grad', and 'value_fn' beside a gradient, which no algorithm here hands on {PLAIN}"),
    "polyak": (optax.polyak_sgd, f"optimizer scale_by_polyak needs 'value' beside a gradient, which no algorithm here hands on {PLAIN}"),
    "plateau": (lambda: optax.chain(SGD, optax.contrib.reduce_on_plateau()), f"optimizer reduce_on_plateau needs 'value' beside a gradient, which no algorithm here hands on {PLAIN}"),
    "gradients of samples": (lambda: optax.contrib.differentially_private_aggregate(1.0, 0.1, 0), f"optimizer differentially_private_aggregate turns a gradient of 3 numbers into an array of shape () {PLAIN}"),
    "a key for all": (closed, "optimizer closed draws from one key for all nodes (keep the key in the optimizer's state, as optax.add_noise(eta, gamma, key) does: each node then has its own)"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_needs_more_than_a_gradient_is_refused_by_name(case: str) -> None:
    make, text = REFUSED[case]
    with pytest.raises(InputError) as caught:
        jg.algorithms.isolated(task(), make())
    assert str(caught.value) == text


@pytest.mark.by_default("optimizer0")
@pytest.mark.parametrize(
    "optimizer",
    [
        optax.MultiSteps(SGD, 2).gradient_transformation(),
        optax.inject_hyperparams(optax.adam)(1e-3),
        optax.apply_if_finite(SGD, 3),
        optax.masked(SGD, lambda _: True),
        optax.contrib.prodigy(),
        optax.identity(),
    ],
)
def test_other_transformations_are_taken(optimizer: Any) -> None:
    check_optimizer(optimizer, P, jnp.float32)
    x = jnp.ones((N, P))
    update, _ = updates(optimizer, x, fresh_states(optimizer, x, jnp.arange(N)), x)
    assert update.shape == (N, P)


def test_what_is_no_optimizer_is_a_type_error() -> None:
    with pytest.raises(ArgumentTypeError):
        check_optimizer(0.1, P, jnp.float32)
