"""A large table of samples is not on every device: each has those of its own nodes, which changes no bit."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jaxgossip as jg
from jaxgossip.algorithms import Algorithm
from jaxgossip.core.devices.blocks import Layout
from jaxgossip.core.rows import bytes_a_row
from jaxgossip.learning.problem import SyntheticProblem
from jaxgossip.simulation.mesh.placement import Place, spread_one
from jaxgossip.simulation.mesh.program import MeshProgram
from tests.simulation.mesh.cases import ROUNDS, fingerprint, measured, near
from tests.simulation.mesh.test_bits import assert_alike

NODES, FEATURES = 203, 6


def classified(**options: Any) -> Algorithm:
    """Return D-SGD on few and many samples of nodes, on a graph whose rows are not in the order of the nodes."""
    graph = near(NODES)
    data = jg.learning.datasets.synthetic(samples=3000, features=FEATURES, classes=3, rng=0)
    model = jg.learning.models.softmax((FEATURES,), 3)
    chosen = {"partition": "dirichlet", "batch_size": 2, "local_test": 0.2} | options
    problem = jg.learning.classification(data, model=model, nodes=NODES, **{"order": graph.order} | chosen)
    graph = dataclasses.replace(graph, order=problem.order)
    return jg.algorithms.dsgd(problem, optax.sgd(0.1), jg.mixing.metropolis_hastings(graph))


def rated() -> Algorithm:
    problem = jg.learning.ratings(NODES, rng=0)
    return jg.algorithms.dsgd(problem, optax.sgd(0.02), jg.mixing.metropolis_hastings(jg.topology.ring(NODES)))


def server() -> Algorithm:
    return jg.algorithms.centralised(classified().problem, optax.sgd(0.1))


CASES: dict[str, tuple[Callable[[], Algorithm], dict[str, Any]]] = {
    "some nodes": (classified, {"sampled_nodes": 40}),
    "epochs of all nodes": (lambda: classified(sampling="epochs"), {}),
    "all samples": (lambda: classified(batch_size=0), {"sampled_nodes": 7}),
    "ratings": (rated, {"sampled_nodes": 40}),
    "one model": (server, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_bits_are_those_of_data_on_every_device(name: str) -> None:
    make, conditions = CASES[name]
    outcomes = [
        measured(make(), jg.mesh(devices), replicated_bytes=least, **conditions)
        for devices, least in ((3, 0), (1, 2**40))
    ]
    assert len(set(map(fingerprint, outcomes))) == 1
    assert_alike(outcomes[0], measured(make(), None, **conditions))


@pytest.mark.slow
def test_rows_that_fill_up_take_samples_that_there_are() -> None:
    """A loss may be undefined where a sample is zero: of 17 nodes, three of eight devices have none."""
    data = jg.learning.datasets.synthetic(samples=200, features=FEATURES, classes=3, rng=0)
    plain = jg.learning.models.softmax((FEATURES,), 3)

    def normalised(params: Any, x: Any) -> Any:
        return plain.apply(params, x / jnp.linalg.norm(x, axis=-1, keepdims=True))

    model = jg.learning.models.Model(plain.init, normalised)
    problem = jg.learning.classification(data, "iid", model, nodes=17)
    program = MeshProgram(jg.algorithms.centralised(problem, optax.sgd(0.1)), jg.mesh(8), replicated_bytes=0)
    assert not program.advance(program.start(), ROUNDS).diverged


class Doubled(SyntheticProblem):
    """A user's own problem that looks at the data of another one."""

    def __init__(self, inner: Any) -> None:
        self.n_nodes, self.n_params, self.dtype = inner.n_nodes, inner.n_params, inner.dtype
        self.n_shared, self.sample_counts, self._inner = inner.n_shared, inner.sample_counts, inner

    def init(self, key: Any) -> Any:
        return self._inner.init(key)

    def gradient(self, x: Any, key: Any) -> Any:
        return 2 * self._inner.gradient(x, key)

    def gradient_at(self, x: Any, nodes: Any, key: Any, numbers: Any) -> Any:
        return 2 * self._inner.gradient_at(x, nodes, key, numbers)

    def loss_at(self, x: Any, nodes: Any) -> Any:
        return self._inner.loss_at(x, nodes)

    def evaluate(self, x: Any) -> Any:
        return self._inner.evaluate(x)

    def evaluate_local(self, x: Any, nodes: Any) -> Any:
        return self._inner.evaluate_local(x, nodes)


@pytest.mark.slow
def test_a_problem_of_ones_own_may_look_at_any_data() -> None:
    mixing = jg.mixing.matching(jg.topology.ring(NODES))
    algorithm = jg.algorithms.dsgd(Doubled(classified(order=None).problem), optax.sgd(0.1), mixing)
    outcomes = [measured(algorithm, mesh, sampled_nodes=40, **parted) for mesh, parted in (
        (jg.mesh(3), {"replicated_bytes": 0}), (None, {})
    )]  # fmt: skip
    assert_alike(*outcomes)


@pytest.mark.slow
def test_a_device_has_the_samples_of_its_own_nodes_alone() -> None:
    algorithm = classified()
    problem: Any = algorithm.problem
    programs = [MeshProgram(algorithm, jg.mesh(8), replicated_bytes=least) for least in (0, 2**40)]
    layout, sizes = Layout(NODES, 8), np.diff(problem.partition.offsets)[problem.order.nodes]
    most = max(sizes[start : start + layout.rows_each].sum() for start in range(0, NODES, layout.rows_each))
    number = problem.targets.size
    saved = (number - most) * (4 * FEATURES + 4) + 4 * number  # and which sample is whose
    assert programs[1].array_bytes - programs[0].array_bytes == saved
    assert programs[0].received_bytes == programs[1].received_bytes


@pytest.mark.slow
def test_a_table_is_no_intermediate_result_of_a_row() -> None:
    """Else the memory of a row would be that of the table, and other numbers of nodes computed at a time."""
    data = jg.learning.datasets.synthetic(samples=50_000, features=FEATURES, classes=3, rng=0)
    model, key = jg.learning.models.softmax((FEATURES,), 3), jax.random.key(0)
    whole: Any = jg.learning.classification(data, "iid", model, nodes=NODES, batch_size=1)
    parted = whole.by_owner(Layout(NODES, 1), jg.mesh(1), 2**20)
    assert parted.own_nodes_only

    def of_a_row(problem: Any) -> int:
        numbers = problem._batches.numbers()
        return bytes_a_row(*problem._gradient_of_node(problem.init(key), *problem._batches.some(key), key, numbers))

    assert of_a_row(parted) < 2 * of_a_row(whole)


def test_rows_that_are_spread_already_are_filled_up() -> None:
    layout, mesh = Layout(1000, 8), jg.mesh(8)
    rows = jax.device_put(jnp.arange(1000.0), NamedSharding(mesh, PartitionSpec("nodes")))
    spread = np.asarray(spread_one(rows, Place.ROWS, layout, mesh))
    assert spread.shape == (layout.n_rows,)
    np.testing.assert_array_equal(spread[:1000], rows)


@pytest.mark.slow
def test_every_node_is_scored_on_its_own_data() -> None:
    scores = []
    for devices, least in ((3, 0), (8, 2**40)):
        program = MeshProgram(classified(), jg.mesh(devices), replicated_bytes=least)
        scores.append(jax.device_get(program.score_all(program.advance(program.start(), ROUNDS))))
    assert fingerprint(scores[0]) == fingerprint(scores[1])
    assert np.isfinite(scores[0]["local_accuracy"]).any()
