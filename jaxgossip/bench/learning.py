"""The learning cases: a local step of all nodes, and a whole round of gossip learning, against vectorised NumPy.

Memory traffic in copies of the state: a local step reads and writes each row once, which is 1 copy (samples stay in cache);
a whole round also reads the partner's row, which makes 1.5 copies.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgossip import mixing, topology
from jaxgossip.algorithms import Algorithm, gossip
from jaxgossip.algorithms.base import TrainState, descend, start
from jaxgossip.bench import reference
from jaxgossip.bench.case import Case, Setting
from jaxgossip.bench.mixing import traffic
from jaxgossip.bench.timing import Loop, ProgramRounds
from jaxgossip.core.random import host_rng, run_key
from jaxgossip.core.typing import PRNGKey
from jaxgossip.learning import models, optimizers, partitions
from jaxgossip.learning.data import datasets
from jaxgossip.learning.data.arrays import Dataset
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.learning.supervised import Supervised, classification
from jaxgossip.network import Round

Order = Literal["merge_update", "update_merge"]
REGULARIZATION = 1e-4
LEARNING_RATE = 0.1
MLP_NODES = 1000
"""Largest number of perceptrons: they are bound by arithmetic, so more would only take longer."""
MLP_SIZES = (64, 32, 10)
MLP_BATCH = 32


def descent(problem: Supervised, optimizer: Transformation, seed: int) -> Loop:
    """Return rounds in which every node takes one step, without mixing, from the problem's initial models."""
    key = run_key(seed)

    def step(inputs: tuple[Supervised, PRNGKey], state: TrainState, number: jax.Array) -> TrainState:
        problem, key = inputs
        return descend(problem, optimizer, state, Round(number, key, problem.n_nodes))

    state = start(problem, optimizer, key)
    return Loop(step, (problem, key), jax.tree.map(lambda leaf: jnp.array(leaf, leaf.dtype), state))


def logistic_step(setting: Setting) -> Case:
    """Return the case of a step of logistic regression on one sample per node (Spambase, 58 parameters).

    Traffic: 1 copy.
    """
    n = setting.nodes
    data = datasets.spambase(rng=setting.seed)
    deal = partitions.one_sample(np.asarray(data.y_train), n, rng=setting.seed)
    problem = classification(data, deal, models.logistic((57,), 2))
    x, table = np.zeros((n, problem.n_params), np.float32), reference.Table.of(data)
    step = partial(reference.logistic_step, x, table, deal.order, LEARNING_RATE)
    rounds = descent(problem, optax.sgd(LEARNING_RATE), setting.seed)
    return Case(x.shape, traffic(0), n, "node", rounds, step, "NumPy")


def mlp_step(setting: Setting) -> Case:
    """Return the case of a gradient step of 64-32-10 perceptrons on batches of 32, for at most 1,000 nodes.

    Traffic: 1 copy, negligible beside the arithmetic.
    """
    n, (d, h, c) = min(setting.nodes, MLP_NODES), MLP_SIZES
    data = datasets.synthetic(samples=4000, features=d, classes=c, rng=setting.seed)
    rows, labels = np.asarray(data.x_train, np.float32), np.asarray(data.y_train)
    deal = partitions.fixed_size(labels, n, samples=MLP_BATCH, rng=setting.seed)
    problem = classification(data, deal, models.mlp((d,), c, hidden=(h,)), batch_size=MLP_BATCH)
    x, rng = np.array(problem.init(run_key(setting.seed))), host_rng(setting.seed, "bench batch")
    own = deal.order.reshape(n, MLP_BATCH)

    def step() -> None:
        batch = np.take_along_axis(own, rng.integers(MLP_BATCH, size=own.shape), 1)
        reference.mlp_step(x, rows[batch], labels[batch], MLP_SIZES, LEARNING_RATE)

    rounds = descent(problem, optax.sgd(LEARNING_RATE), setting.seed)
    return Case(x.shape, traffic(0), n, "node", rounds, step, "NumPy")


def round_update_merge(setting: Setting) -> Case:
    """Return the case of a round of gossip learning on Spambase, Pegasos, random matching: update, then merge.

    Traffic: 1.5 copies.
    """
    return _gossip(setting, "update_merge")


def round_merge_update(setting: Setting) -> Case:
    """Return the case of a round of gossip learning on Spambase, Pegasos, random matching: merge, then update.

    Traffic: 1.5 copies.
    """
    return _gossip(setting, "merge_update")


def _gossip(setting: Setting, order: Order) -> Case:
    n, rng = setting.nodes, host_rng(setting.seed, "bench matching")
    algorithm, data, deal = gossip_of_pegasos(setting, order)
    rounds = ProgramRounds(algorithm, setting.seed)
    shape = n, algorithm.problem.n_params
    state = reference.Gossip(np.zeros(shape, np.float32), np.zeros(n, np.int32))
    table = reference.Table.of(data)

    def step() -> None:
        partner = reference.random_matching(n, rng)
        reference.gossip_round(state, partner, table, deal.order, REGULARIZATION, order)

    return Case(shape, traffic(1), n, "node", rounds, step, "NumPy")


def gossip_of_pegasos(setting: Setting, order: Order) -> tuple[Algorithm, Dataset, Partition]:
    """Return gossip learning of Pegasos on Spambase by random matchings, its data, and the one sample that each node holds.

    Args:
        setting: number of nodes and seed.
        order: ``merge_update`` or ``update_merge``.
    """
    data = datasets.spambase(rng=setting.seed)
    deal = partitions.one_sample(np.asarray(data.y_train), setting.nodes, rng=setting.seed)
    problem = classification(data, deal, models.pegasos((57,), 2, regularization=REGULARIZATION))
    optimizer = optimizers.pegasos(regularization=REGULARIZATION)
    return gossip(problem, optimizer, mixing.matching(topology.complete(setting.nodes)), order=order), data, deal
