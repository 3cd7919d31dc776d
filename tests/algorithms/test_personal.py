"""Personalised methods: fixed points and rates on quadratics, what they have in common with local SGD, and what they leave alone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import Algorithm
from jaxgossip.algorithms.personal.sparse import erk
from jaxgossip.core import counting
from jaxgossip.core.random import purpose_key, run_key
from jaxgossip.network import Conditions, Round
from tests.algorithms.q16 import ETA, RING, B, N, linear_map, of_targets, ring

A = jg.algorithms


def after(algorithm: Algorithm, rounds: int, **options: Any) -> Any:
    """Return the state after so many rounds."""
    return jg.simulate(algorithm, rounds=rounds, seed=0, evaluate_every=10**6, **options).state


@pytest.mark.parametrize("pull", [0.0, 1.0, 35.0])
def test_personal_models_of_ditto_end_between_own_targets_and_global_models(pull: float) -> None:
    with jax.enable_x64(True):
        state = after(A.ditto(of_targets(B, curvature=2.0), optax.sgd(ETA), ring(), pull=pull), 1000)
        expected = (2.0 * B[:, None] + pull * np.asarray(state.x)) / (2.0 + pull)
        np.testing.assert_allclose(state.v, expected, rtol=0, atol=1e-12)
        # Without a pull they are those of local training, with a large one the global models.
        assert np.abs(state.v - B[:, None]).max() < 1e-12 or pull > 0
        assert np.abs(state.v - state.x).max() < 0.06 * np.abs(B[:, None] - state.x).max() or pull < 35


@pytest.mark.slow
@pytest.mark.parametrize("form", ["atc", "cta", "dgd"])
def test_ditto_leaves_the_global_trajectory_alone_bit_for_bit(form: str) -> None:
    data = jg.learning.datasets.synthetic(samples=400, features=6, classes=3, rng=0)
    problem = jg.learning.supervised(
        data, "dirichlet", jg.learning.models.mlp((6,), 3, hidden=(4,)), nodes=N, alpha=0.3, batch_size=4
    )
    options = {"form": form, "local_steps": 2}
    conditions = jg.network.Conditions(drop=0.1, online=0.8, straggle=0.2)
    alone = after(A.dsgd(problem, optax.adam(0.05), ring(), **options), 20, conditions=conditions)
    beside = after(A.ditto(problem, optax.adam(0.05), ring(), pull=1.0, **options), 20, conditions=conditions)
    jax.tree.map(np.testing.assert_array_equal, alone, type(alone)(beside.x, beside.opt_state))
    assert np.abs(beside.v - beside.x).max() > 1e-2


@pytest.mark.slow
def test_which_models_of_ditto_are_evaluated() -> None:
    problem = of_targets(B)
    results = {
        name: jg.simulate(A.ditto(problem, optax.sgd(ETA), ring(), evaluated=name), rounds=5, seed=0)
        for name in ("personal", "global")
    }
    np.testing.assert_array_equal(results["personal"].x, results["personal"].state.v)
    np.testing.assert_array_equal(results["global"].x, results["global"].state.x)
    assert results["personal"].metrics.final["messages"] == results["global"].metrics.final["messages"] == 5 * 2 * N


@pytest.mark.parametrize(("pull", "spread"), [(1.0, 3.436876), (10.0, 1.932923)])
def test_the_pull_to_the_neighbours_ends_where_its_objective_is_least(pull: float, spread: float) -> None:
    with jax.enable_x64(True):
        algorithm = A.multi_task(of_targets(B), optax.sgd(ETA), ring(), pull=pull)
        x = np.asarray(after(algorithm, 1000).x)[:, 0]
        residual = (np.eye(N) + pull * (np.eye(N) - RING)) @ x - B
        roots = np.linalg.eigvals(linear_map(algorithm, ("x",)))
    assert np.abs(residual).max() < 1e-12
    assert np.ptp(x) == pytest.approx(spread, abs=6e-7)
    assert np.abs(roots).max() == pytest.approx(0.95, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("pull", [1 / ETA, 0.0])
def test_multi_task_learning_is_dgd_or_local_training_at_the_ends_of_its_pull(pull: float) -> None:
    problem = of_targets(B, noise=0.5)
    x = after(A.multi_task(problem, optax.sgd(ETA), ring(), pull=pull), 30).x
    plain = A.dsgd(problem, optax.sgd(ETA), ring(), form="dgd") if pull else A.isolated(problem, optax.sgd(ETA))
    np.testing.assert_allclose(x, after(plain, 30).x, atol=1e-5)


def test_in_further_local_steps_only_the_own_row_moves() -> None:
    rng = np.random.default_rng(0)
    problem, start = of_targets(B), rng.normal(size=(N, 1)).astype(np.float32)
    problem.init = lambda _: jnp.asarray(start)
    x = after(A.multi_task(problem, optax.sgd(ETA), ring(), pull=2.0, local_steps=3), 1).x
    expected = start.copy()
    for _ in range(3):
        slope = 2.0 * (expected - RING.diagonal()[:, None] * expected - (RING - np.diag(RING.diagonal())) @ start)
        expected = expected - ETA * (expected - B[:, None] + slope)
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-6)


CONFIDENCES = {"sure": np.ones(N), "every other": np.where(np.arange(N) % 2, 0.25, 1.0)}


def propagation(confidences: np.ndarray, targets: np.ndarray = B) -> Algorithm:
    return A.model_propagation(of_targets(targets), None, ring(), confidences=confidences, solo=targets[:, None])


@pytest.mark.parametrize(("name", "rate"), [("sure", 0.5), ("every other", 0.632456)])
def test_model_propagation_ends_at_its_closed_form_at_the_rate_of_its_map(name: str, rate: float) -> None:
    c, alpha = CONFIDENCES[name], 0.5
    with jax.enable_x64(True):
        x = np.asarray(after(propagation(c), 100).x)[:, 0]
        solo = np.zeros(N)
        roots = np.linalg.eigvals(linear_map(propagation(c, solo), ("x",)))
    P = (np.roll(np.eye(N), 1, 0) + np.roll(np.eye(N), -1, 0)) / 2
    closed = (1 - alpha) * np.linalg.solve(np.eye(N) - (1 - alpha) * np.diag(1 - c) - alpha * P, c * B)
    assert np.abs(x - closed).max() < 1e-14
    assert np.abs(roots).max() == pytest.approx(rate, abs=6e-7)
    if name == "every other":
        np.testing.assert_allclose(x[:3], [1.175478, 0.701688, 0.208590], rtol=0, atol=6e-7)
    # Where the objective is least, its slope is zero: of degree two, with μ = 1.
    slope = 2 * x - np.roll(x, 1) - np.roll(x, -1) + 2 * c * (x - B)
    assert np.abs(slope).max() < 1e-13


@pytest.mark.slow
def test_model_propagation_begins_with_what_nodes_learn_alone_and_trusts_those_with_most_samples() -> None:
    data = jg.learning.datasets.synthetic(samples=300, features=4, rng=0)
    model = jg.learning.models.logistic((4,), 2)
    problem = jg.learning.supervised(
        data, "dirichlet", model, nodes=N, alpha=0.3, batch_size=0, start_steps=30, least=1
    )
    algorithm = A.model_propagation(problem, optax.sgd(0.5), ring())
    untrained = jg.learning.started(problem, 0)
    alone = jg.simulate(A.isolated(untrained, optax.sgd(0.5)), rounds=30, seed=0, evaluate_every=30).x
    counts = np.asarray(problem.sample_counts)
    state = after(algorithm, 1)
    np.testing.assert_allclose(state.solo, alone, rtol=1e-5, atol=1e-6)
    c, solo = (counts / counts.max())[:, None], np.asarray(state.solo)
    P = (np.roll(np.eye(N), 1, 0) + np.roll(np.eye(N), -1, 0)) / 2
    np.testing.assert_allclose(state.x, (P @ solo + c * solo) / (1 + c), rtol=1e-4, atol=1e-5)
    with pytest.raises(
        jg.errors.InputError, match="takes no start steps, and the problem has 30: its solo models are given"
    ):
        A.model_propagation(problem, optax.sgd(0.5), ring(), solo=np.zeros((N, problem.n_params)))


def test_model_propagation_takes_the_mean_of_the_messages_that_arrive() -> None:
    x, lost = np.asarray(B, np.float32)[:, None], jg.network.Conditions(drop=0.4)
    algorithm = A.model_propagation(of_targets(B), None, ring(), solo=x)
    found = np.asarray(after(algorithm, 1, conditions=lost).x)
    left, right = np.roll(x, 1, 0), np.roll(x, -1, 0)
    outcomes = np.stack([(mean + x) / 2 for mean in ((left + right) / 2, left, right, x)])
    distances = np.abs(outcomes - found)[..., 0]
    assert distances.min(0).max() < 1e-5
    assert len(set(distances.argmin(0))) > 2


HEAD = ("w1", "b1")


def learners(private: tuple[str, ...] = HEAD, *, equal: bool = False, **options: Any) -> Any:
    """Return classification by a small network, of nodes with unlike samples, or with 15 each."""
    data = jg.learning.datasets.synthetic(samples=400, features=6, classes=3, rng=0)
    model = jg.learning.models.mlp((6,), 3, hidden=(4,))
    deal: dict[str, Any] = {"partition": "dirichlet", "nodes": N, "alpha": 0.3}
    if equal:
        each = np.arange(0, 15 * N + 1, 15)
        deal = {"partition": jg.learning.Partition(np.arange(15 * N, dtype=np.int32), each, np.full(N, 15, np.int32))}
    return jg.learning.supervised(data, model=model, private=private, **deal, **({"batch_size": 4} | options))


@pytest.mark.slow
def test_fedrep_without_private_columns_is_local_sgd() -> None:
    optimizer, problem = optax.sgd(0.1, momentum=0.9), learners(())
    found = after(A.fedrep(problem, optimizer, ring(), local_steps=3), 5).x
    np.testing.assert_allclose(
        found, after(A.dsgd(problem, optimizer, ring(), local_steps=3), 5).x, rtol=1e-5, atol=1e-6
    )


@pytest.mark.slow
def test_fedrep_with_nobody_to_hear_alternates_between_head_and_body() -> None:
    problem, rounds = learners(), 3
    optimizer = optax.adam(0.05)
    alone = jg.mixing.operator(jg.topology.weights.from_matrix(np.eye(N)))
    result = jg.simulate(
        A.fedrep(problem, optimizer, alone, head_steps=2, local_steps=1), rounds=rounds, seed=3, evaluate_every=rounds
    )
    key, columns = run_key(3), np.arange(problem.n_params)
    x = problem.init(purpose_key(key, "init"))
    states = [jax.vmap(optimizer.init)(x) for _ in ("head", "body")]
    gradient = jax.jit(problem.gradient)
    for number in range(rounds):
        batch = Round(jnp.int32(number), key, N).key("batch")
        for step, part in enumerate((0, 0, 1)):
            moves = (columns < problem.n_shared) == bool(part)
            slope = jnp.where(moves, gradient(x, jax.random.fold_in(batch, step)), 0)
            update, states[part] = jax.vmap(optimizer.update)(slope, states[part], x)
            x = jnp.where(moves, x + update, x)
    np.testing.assert_allclose(result.x, x, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_epochs_of_head_and_body_are_so_many_steps() -> None:
    """With nodes of as many samples, of which the head takes each once and then the body twice."""
    problem, rounds = learners(equal=True, sampling="epochs", batch_size=2), 3
    (each,) = set(np.asarray(problem.steps_an_epoch).tolist())
    options = [{"local_epochs": 2}, {"head_steps": each, "local_steps": 2 * each}]
    found = [after(A.fedrep(problem, optax.adam(0.05), ring(), **taken), rounds).x for taken in options]
    np.testing.assert_allclose(*found, atol=1e-6)
    head = {"head_epochs": 2, "local_epochs": 2}
    assert np.abs(after(A.fedrep(problem, optax.adam(0.05), ring(), **head), rounds).x - found[0]).max() > 1e-3


@pytest.mark.parametrize("options", [{"head_epochs": 1, "local_steps": 2}, {"head_steps": 1, "local_epochs": 1}])
def test_head_and_body_are_counted_alike(options: dict[str, int]) -> None:
    with pytest.raises(jg.errors.InputError, match=r"^fedrep: either head and body have steps, or both have epochs"):
        A.fedrep(learners(sampling="epochs"), optax.sgd(0.1), ring(), **options)


@pytest.mark.slow
def test_heads_do_not_know_the_network_while_the_body_is_frozen() -> None:
    problem = learners()
    labels = {name: "head" if name in HEAD else "body" for name in ("w0", "b0", *HEAD)}
    frozen = optax.multi_transform({"head": optax.sgd(0.2), "body": optax.set_to_zero()}, labels)
    complete = jg.mixing.metropolis_hastings(jg.topology.complete(N))
    runs = [jg.simulate(A.fedrep(problem, frozen, W), rounds=5, seed=0, evaluate_every=5) for W in (ring(), complete)]
    first, start = (
        np.asarray(x) for x in (runs[0].x, jg.simulate(A.fedrep(problem, frozen, ring()), rounds=0, seed=0).x)
    )
    body = slice(problem.n_shared)
    np.testing.assert_allclose(first[:, body], start[:, body], atol=1e-6)
    np.testing.assert_allclose(first, runs[1].x, atol=1e-5)
    assert np.ptp(first[:, problem.n_shared :], axis=0).min() > 1e-2
    assert runs[0].metrics.final["bytes_sent"] == 5 * 2 * N * 4 * problem.n_shared


def sparse(problem: Any, W: Any = None, **options: Any) -> Algorithm:
    return A.dispfl(problem, optax.sgd(0.1), W or ring(), **options)


def trajectory(algorithm: Algorithm, rounds: int, **options: Any) -> tuple[list[Any], list[Any]]:
    """Return (states before and after each round, traffic of each round)."""
    key, states, traffic = run_key(3), [algorithm.init(run_key(0))], []
    stepped = jax.jit(
        lambda state, number: algorithm.step(state, Round(number, key, algorithm.problem.n_nodes, **options))
    )
    for number in range(rounds):
        state, sent = stepped(states[-1], jnp.int32(number))
        states.append(state)
        traffic.append(sent)
    return states, traffic


@pytest.mark.slow
def test_masks_of_ones_average_with_uniform_weights() -> None:
    graph = jg.topology.karate()
    n = graph.n_nodes
    neighbours = graph.to_scipy().toarray() + np.eye(n)
    problem = jg.learning.isotropic_quadratic(n, dimension=5, noise=0.0, init="independent", rng=0)
    W = jg.mixing.uniform(graph)
    (before, then), _ = trajectory(sparse(problem, W, density=1.0), 1)
    mixed = neighbours / neighbours.sum(1, keepdims=True) @ np.asarray(before.x)
    np.testing.assert_allclose(then.x, mixed - 0.1 * (mixed - problem.targets), rtol=1e-5, atol=1e-6)
    assert then.masks.all()


@pytest.mark.slow
def test_masks_of_ones_take_epochs_as_dsgd_does() -> None:
    problem = learners((), sampling="epochs", batch_size=2)
    dense = after(sparse(problem, density=1.0, local_epochs=2), 4).x
    plain = after(A.dsgd(problem, optax.sgd(0.1), ring(), form="cta", local_epochs=2), 4).x
    np.testing.assert_allclose(dense, plain, rtol=1e-5, atol=1e-6)


def test_masks_that_grow_are_not_private() -> None:
    problem = learners((), privacy=jg.learning.DifferentialPrivacy(1.0, 1.0))
    with pytest.raises(jg.errors.InputError, match=r"^dispfl: masks that grow tell gradients whose noise is that of a"):
        sparse(problem)
    assert sparse(problem, share=0.0).name == "DisPFL"


def by_hand(x: np.ndarray, masks: np.ndarray, b: np.ndarray, kept: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (x, masks) after a round of quadratics on the ring, entry by entry, with ``number`` of the ones grown anew."""
    mixed = np.zeros_like(x)
    for i, j in np.argwhere(masks):
        holders = [k for k in ((i - 1) % N, i, (i + 1) % N) if masks[k, j]]
        mixed[i, j] = np.mean([x[k, j] for k in holders])
    trained = np.where(masks, mixed - 0.1 * (mixed - b), 0)
    grown = masks.copy()
    for i in range(N):
        held = np.flatnonzero(masks[i])
        grown[i, held[np.argsort(np.abs(trained[i, held]))[:number]]] = False
        free = np.flatnonzero(~grown[i])
        slope = np.abs(trained[i] - b[i])[free]
        grown[i, free[np.argsort(-slope)[:number]]] = True
        assert grown[i].sum() == kept
    return np.where(grown, trained, 0), grown


@pytest.mark.slow
def test_rounds_of_dispfl_are_those_of_one_entry_after_the_other() -> None:
    b = np.random.default_rng(0).normal(size=(N, 12))
    with jax.enable_x64(True):
        states, _ = trajectory(sparse(of_targets(b), density=0.5, share=0.8, until=8), 10)
        x, masks = np.asarray(states[0].x), np.asarray(states[0].masks)
        grew = 0
        for number, state in enumerate(states[1:]):
            share = 0.4 * (1 + np.cos(np.pi * min(number, 8) / 8))
            former = masks
            x, masks = by_hand(x, masks, b, 6, int(share * 6))
            np.testing.assert_array_equal(state.masks, masks)
            np.testing.assert_allclose(state.x, x, atol=1e-12)
            np.testing.assert_array_equal(state.is_new, (masks != former).any(1))
            grew += (masks != former).sum()
    assert grew > N
    assert not states[-1].is_new.any()


@pytest.mark.slow
def test_every_layer_keeps_its_number_of_weights_and_every_message_its_bytes() -> None:
    problem = learners(("b1",))
    algorithm = sparse(problem, density=0.4, share=0.6, local_steps=2)
    layers = algorithm.method.layers
    states, traffic = trajectory(algorithm, 12, conditions=Conditions(online=0.8, straggle=0.2, drop=0.1))
    assert [(layer.size, layer.is_shared) for layer in layers] == [(4, True), (24, True), (12, True), (3, False)]
    assert any(0 < layer.kept < layer.size for layer in layers)
    for state in states:
        for layer in layers:
            held = np.asarray(state.masks)[:, layer.start : layer.end]
            assert set(held.sum(1)) == {layer.kept}
        assert (np.asarray(state.x)[~np.asarray(state.masks)] == 0).all()
    assert (np.asarray(states[0].masks) != np.asarray(states[-1].masks)).any(1).all()
    kept = sum(layer.kept for layer in layers if layer.is_shared)
    bits = sum(layer.size for layer in layers if layer.is_shared and layer.kept < layer.size)
    unknown = np.ones(N, bool)
    for number, sent in enumerate(traffic):
        online = np.asarray(Round(jnp.int32(number), run_key(3), N, Conditions(online=0.8)).online)
        masks = 2 * (online & unknown).sum() * -(-bits // 8)
        assert counting.to_int(sent.messages) == 2 * online.sum()
        assert counting.to_int(sent.metadata_bytes) == masks
        assert counting.to_int(sent.bytes_sent) == 2 * online.sum() * 4 * kept + masks
        changed = np.asarray(states[number].masks != states[number + 1].masks).any(1)
        unknown = changed | (unknown & ~online)


@pytest.mark.slow
def test_an_entry_that_nobody_holds_stays_zero_and_others_are_learnt() -> None:
    b = 3 + np.random.default_rng(0).normal(size=(N, 40))
    states, _ = trajectory(sparse(of_targets(b), density=0.1, share=0.0), 30)
    held = np.asarray(states[0].masks).any(0)
    assert 0 < (~held).sum() < 40
    x = np.asarray(states[-1].x)
    assert (x[:, ~held] == 0).all()
    np.testing.assert_array_equal(x != 0, states[0].masks)


@pytest.mark.slow
@pytest.mark.parametrize("agree", [True, False])
def test_means_are_kept_only_where_masks_agree(agree: bool) -> None:
    algorithm = A.dispfl(of_targets(np.ones((N, 10))), optax.sgd(0.0), ring(), density=0.5, share=0.0)
    state = algorithm.init(run_key(0))
    masks = state.masks[:1].repeat(N, 0) if agree else state.masks
    x = jnp.where(masks, jnp.asarray(np.random.default_rng(0).normal(size=(N, 10)), jnp.float32), 0)
    after_one, _ = algorithm.step(state._replace(x=x, masks=masks), Round(jnp.int32(0), run_key(1), N))
    moved = np.abs(np.asarray(after_one.x).mean(0) - np.asarray(x).mean(0)).max()
    assert (moved < 1e-6) == agree


def test_layers_are_as_dense_as_erdos_renyi_kernels() -> None:
    shapes, density = [(300, 784), (300,), (100, 300), (100,), (10, 100), (10,)], 0.1
    found = erk(shapes, density)
    sizes = np.array([np.prod(shape) for shape in shapes])
    assert sizes @ found == pytest.approx(density * sizes.sum())
    assert found[1] == found[3] == found[5] == 1.0
    matrices = np.array(found)[[0, 2, 4]] / [sum(shape) / np.prod(shape) for shape in shapes[::2]]
    np.testing.assert_allclose(matrices[:2], matrices[0])
    assert found[4] == min(1.0, matrices[0] * 0.11)
    assert erk([(5,)], 0.6) == [0.6]


@pytest.mark.slow
def test_peers_that_change_need_every_mask_and_an_aggregation_is_refused() -> None:
    problem = of_targets(np.ones((N, 10)))
    W = jg.mixing.matching(jg.topology.ring(N))
    _, traffic = trajectory(sparse(problem, W, share=0.0), 3)
    assert all(counting.to_int(sent.metadata_bytes) == 2 * counting.to_int(sent.messages) for sent in traffic)
    with pytest.raises(
        jg.errors.InputError, match="aggregation 'median' does not go with dispfl, whose nodes hold different"
    ):
        trajectory(sparse(problem), 1, conditions=Conditions(aggregation=jg.network.aggregation.median()))
