"""The canary: products and own kernels on very many rows of three numbers, against NumPy in float64.

JAX has miscompiled a batched product of small matrices on the CPU: above 32,768 rows and at odd numbers of them, thousands
of rows were wrong. Small tests cannot notice such a thing.
"""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip import mixing, topology
from jaxgossip.algorithms import gossip
from jaxgossip.bench import reference
from jaxgossip.bench.accelerator.check import Check, Found, Sizes, compared, together
from jaxgossip.bench.learning import LEARNING_RATE, Order
from jaxgossip.bench.timing import ProgramRounds
from jaxgossip.core.random import host_rng, run_key
from jaxgossip.learning import models, optimizers, partitions
from jaxgossip.learning.data import datasets
from jaxgossip.learning.data.arrays import Dataset
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.learning.quadratics import least_squares
from jaxgossip.learning.supervised import classification
from jaxgossip.mixing.time_varying.peers import RandomMatching
from jaxgossip.network import Round
from jaxgossip.simulation.compiled import Compiler

COLUMNS = 3
REGULARIZATION = 1e-2
"""Of Pegasos: its first steps are of the order of its inverse, and the scale of their rounding errors with them."""
TOLERANCE = 1e-4
"""Of gradients: an exponential or two, and sums of three numbers that may cancel."""


def checks(sizes: Sizes) -> Iterator[Check]:
    """Yield every kernel at every number of rows."""
    kernels: dict[str, Callable[[int], Found]] = {
        "products of matrices": products,
        "logistic gradients": logistic_gradients,
        "gradients of least squares": square_gradients,
        "a random matching": matching,
        "merge, then update": partial(gossip_round, order="merge_update"),
        "update, then merge": partial(gossip_round, order="update_merge"),
    }
    for n in sizes.rows:
        for name, kernel in kernels.items():
            yield Check(f"{name}, {n:,} rows", partial(kernel, n))


def rows(n: int, columns: int = COLUMNS) -> np.ndarray:
    """Return (n, columns) float32 standard normal numbers."""
    return host_rng(0, "accelerator rows").standard_normal((n, columns), np.float32)


def products(n: int) -> Found:
    """Check Σ (M x)² of every row x, the pattern that was miscompiled."""
    matrix, x = rows(COLUMNS), rows(n)
    with jax.default_matmul_precision("highest"):
        found = jax.jit(jax.vmap(lambda row: jnp.sum((jnp.asarray(matrix) @ row) ** 2)))(x)
    expected = ((x.astype(np.float64) @ matrix.T.astype(np.float64)) ** 2).sum(axis=1)
    return compared(np.asarray(found), expected)


def logistic_gradients(n: int) -> Found:
    """Check a step of logistic regression of every node on its own sample."""
    data, deal = _one_sample_each(n)
    problem = classification(data, deal, models.logistic((COLUMNS - 1,), 2))
    x = rows(n)
    # Compiled as runs are, with products in full precision.
    gradient = Compiler().compile(lambda problem, x: problem.gradient(x, run_key(0)), problem, jnp.asarray(x))
    expected = x.astype(np.float64)
    reference.logistic_step(expected, reference.Table.of(data, np.float64), deal.order, LEARNING_RATE)
    return compared(np.asarray(gradient(jnp.asarray(x))), (x - expected) / LEARNING_RATE, TOLERANCE)


def square_gradients(n: int) -> Found:
    """Check the gradient of every node's two random linear equations."""
    problem, x = least_squares(n, dimension=COLUMNS, samples=2, heterogeneity=1.0), rows(n)
    gradient = Compiler().compile(lambda problem, x: problem.gradient(x, run_key(0)), problem, jnp.asarray(x))
    a, y = np.asarray(problem.a, np.float64), np.asarray(problem.y, np.float64)
    residual = np.einsum("nmd,nd->nm", a, x.astype(np.float64)) - y
    return compared(np.asarray(gradient(jnp.asarray(x))), np.einsum("nmd,nm->nd", a, residual) / 2, TOLERANCE)


def matching(n: int) -> Found:
    """Check that partners are each other's, all different, and that at most one node has none."""
    drawn = mixing.matching(topology.complete(n))
    assert isinstance(drawn, RandomMatching)
    partner = np.asarray(Compiler().compile(RandomMatching.partners, drawn, run_key(0))(run_key(0)))
    node = np.arange(n)
    back = partner[np.clip(partner, 0, n - 1)]
    alone = int((partner == node).sum())
    wrong = int((back != node).sum()) + abs(alone - n % 2)
    figures = {"wrong_rows": wrong, "rows": n}
    return Found(f"{wrong:,} of {n:,} partners wrong", figures, "failed" if wrong else "ok")


def gossip_round(n: int, order: Order) -> Found:
    """Check two whole rounds of gossip learning with Pegasos, run by the engine."""
    data, deal = _one_sample_each(n)
    problem = classification(data, deal, models.pegasos((COLUMNS - 1,), 2, regularization=REGULARIZATION))
    W = mixing.matching(topology.complete(n))
    rounds = ProgramRounds(gossip(problem, optimizers.pegasos(regularization=REGULARIZATION), W, order=order), 0)
    rounds(2)
    assert rounds.run is not None
    state = reference.Gossip(np.zeros((n, COLUMNS)), np.zeros(n, np.int32))
    table = reference.Table.of(data, np.float64)
    for number in range(2):
        partner = partners(W, number, n)
        reference.gossip_round(state, partner, table, deal.order, REGULARIZATION, order)
    found = rounds.run.state
    return together(
        {
            "models": compared(np.asarray(found.x), state.x, TOLERANCE),
            "ages": compared(np.asarray(found.age), state.age, 0.0),
        }
    )


def partners(W: mixing.Mixing, number: int, n: int) -> np.ndarray:
    """Return (n,) int32: the partner of every node in a round of a run of seed 0, itself if it has none."""
    drawn = jax.jit(lambda number: Round(number, run_key(0), n).links(W).operator.by_slots().take(jnp.arange(n), 0))
    return np.asarray(drawn(jnp.int32(number)))


def _one_sample_each(n: int) -> tuple[Dataset, Partition]:
    data = datasets.synthetic(samples=1000, features=COLUMNS - 1, rng=0)
    return data, partitions.one_sample(np.asarray(data.y_train), n, rng=0)
