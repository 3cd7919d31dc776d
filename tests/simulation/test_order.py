"""Where a node's row stands in memory changes nothing that the node draws, hears or learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.network import Conditions
from jaxgossip.topology import Graph, Order, weights

t = jg.topology
N = 60


def ordered(graph: Graph) -> Graph:
    return dataclasses.replace(graph, order=Order(np.random.default_rng(5).permutation(N).astype(np.int32)))


GRAPHS = {
    "slots": t.random_regular(N, degree=4, rng=0),
    "hybrid": t.barabasi_albert(N, m=2, rng=0),
    "star": t.star(N),
}
MIXINGS = {
    "static": jg.mixing.metropolis_hastings,
    "matching": jg.mixing.matching,
    "pull": lambda graph: jg.mixing.pull(graph, fanout=2),
    "push": lambda graph: jg.mixing.push(graph, fanout=1),
}


def result(
    graph: Graph, mixing: str, task: str, dtype: np.dtype | type = jnp.float32, **options: object
) -> jg.simulation.Result:
    data = jg.learning.datasets.synthetic(features=5, samples=400, classes=2, rng=0)
    if task == "classification":
        partition = jg.learning.partitions.dirichlet(data.y_train, N, alpha=1.0, local_test=0.3, rng=0)
        model = jg.learning.models.logistic((5,), 2)
        problem = jg.learning.classification(
            data, partition, model, batch_size=3, init="independent", order=graph.order
        )
    else:
        make = jg.learning.TASKS[task]
        batch = {"batch_size": 5} if task == "least_squares" else {}
        problem = make(N, dimension=5, init="independent", rng=0, order=graph.order, dtype=dtype, **batch)
    step = jg.algorithms.gossip(
        problem, optax.sgd(0.1, momentum=0.5), MIXINGS[mixing](graph), scores=np.arange(1.0, N + 1)
    )
    return jg.simulate(step, rounds=6, seed=3, evaluate_every=3, **{"sampled_nodes": 10, **options})


FAULTS = {"faultless": None, "faulty": Conditions(drop=0.3, online=0.7)}
CHOSEN = [("slots", "static", "faulty"), ("slots", "matching", "faultless")]
CHOSEN += [("hybrid", "pull", "faulty"), ("star", "push", "faulty")]
"""Every graph, every mixing and every fate once or twice."""


@pytest.mark.slow
@pytest.mark.parametrize(("graph", "mixing", "faults"), CHOSEN)
def test_the_order_of_rows_changes_nothing(graph: str, mixing: str, faults: str) -> None:
    plain = result(GRAPHS[graph], mixing, "classification", conditions=FAULTS[faults])
    moved = result(ordered(GRAPHS[graph]), mixing, "classification", conditions=FAULTS[faults])
    # Not bit for bit: the last rows of an array go through other instructions than the others, with another exp.
    np.testing.assert_allclose(moved.x, plain.x, rtol=1e-5, atol=1e-6)
    for name, scores in plain.node_scores.items():
        np.testing.assert_allclose(moved.node_scores[name], scores, rtol=1e-5, err_msg=name)
    for name in ("messages", "bytes_sent"):
        np.testing.assert_array_equal(moved.metrics[name], plain.metrics[name])
    np.testing.assert_array_equal(moved.state.age, plain.state.age)
    for name in plain.metrics.names:  # means over all rows are summed in another order
        if name != "wall_s":
            np.testing.assert_allclose(moved.metrics[name], plain.metrics[name], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["isotropic_quadratic", "least_squares"])
def test_quadratics_draw_by_node_too(task: str) -> None:
    # In float64, where rounding, by other instructions for the last rows, is far below any wrong draw.
    with jax.enable_x64(True):
        graphs = (GRAPHS["slots"], ordered(GRAPHS["slots"]))
        plain, moved = (result(graph, "matching", task, dtype=jnp.float64) for graph in graphs)
    assert moved.x.dtype == np.float64
    np.testing.assert_allclose(moved.x, plain.x, rtol=1e-12)


@pytest.mark.parametrize("graph", GRAPHS)
def test_an_ordered_operator_is_the_permuted_matrix(graph: str) -> None:
    moved = ordered(GRAPHS[graph])
    plain = jg.mixing.table_operator(weights.metropolis_hastings(GRAPHS[graph])).as_matrix()
    W = jg.mixing.table_operator(weights.metropolis_hastings(moved))
    nodes = moved.order.nodes
    np.testing.assert_array_equal(W.as_matrix(), plain[np.ix_(nodes, nodes)])
    x = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    np.testing.assert_allclose(W(jnp.asarray(x)), W.as_matrix() @ x, atol=1e-6)


def test_a_problem_in_other_rows_than_its_mixing_is_an_error() -> None:
    problem = jg.learning.TASKS["isotropic_quadratic"](N, order=None)
    step = jg.algorithms.dsgd(problem, optax.sgd(0.1), jg.mixing.metropolis_hastings(ordered(GRAPHS["slots"])))
    with pytest.raises(jg.errors.InputError, match="the mixing and the problem have the nodes in different rows"):
        jg.simulate(step, rounds=1)


def test_an_order_of_other_nodes_is_an_error() -> None:
    with pytest.raises(jg.errors.DataError, match="an order of 60 nodes does not fit a problem of 12"):
        jg.learning.TASKS["isotropic_quadratic"](12, order=ordered(GRAPHS["slots"]).order)


@pytest.mark.slow
def test_every_node_is_measured_on_its_own_data() -> None:
    """If all nodes are evaluated, the statistics of a record are those of the nodes' final scores, in any order of rows."""
    graph = ordered(GRAPHS["slots"])
    done = result(graph, "static", "classification", sampled_nodes=N)
    scores = done.node_scores["local_accuracy"]
    for name, expected in (("mean", np.nanmean(scores)), ("min", np.nanmin(scores)), ("max", np.nanmax(scores))):
        np.testing.assert_allclose(done.metrics.final[f"local_accuracy_{name}"], expected, rtol=1e-6)
