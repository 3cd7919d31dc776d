"""Batch statistics computed anew before evaluation, by one pass over a node's own training samples with the model as it is.

In a step of training, running means s become m s + (1 − m) t, t being the statistics of the batch. Two steps from known s give
the momentum m; one step from s = 0 then gives t. Recalibrated statistics are the mean of t over a node's batches:

    batches      of a gradient's size b: the node's samples in the order in which they are stored, ⌈samples/b⌉ batches, the last
                 filled up with the first samples again; one batch if a gradient takes all samples
    variances    the mean of those within batches, which leaves out what differs between batches; that of all samples only if
                 one batch takes them all
    dropout      as in training, drawn by the number of the batch, the same in every evaluation

One model of several nodes, as the mean model or a server's, has the mean over these nodes of what each finds with it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Pytree
from jaxgossip.core.rows import in_blocks
from jaxgossip.core.typing import NodeInts, PRNGKey, PyTree, Row, accumulator
from jaxgossip.learning.models.layout import Layout
from jaxgossip.learning.models.model import Model

PROBED = 2.0**20
"""Size of the states at which momenta are measured: far above statistics, whose rounding would else be taken for momentum."""
ROUNDING = 1e-6
"""Largest error of a momentum."""
TOLERANCE = 1e-4
"""Largest deviation from running means, relative to the numbers of which they are means."""

State = Mapping[str, PyTree]
Batch = Num[Array, "b ..."]
Models = Float[Array, "s p"]
SamplesOf = Callable[[Int[Array, ""], Int[Array, " b"]], Batch]
"""(row of a node, places among its samples) -> samples, as the model takes them."""


class Recalibration(Pytree):
    """The recalibrated state of a model.

    Attributes:
        model: the model.
        layout: where its state lies in a row.
        size: b, number of samples of a batch.
        most: the largest number of batches of a node.
        momenta: m of every number of the state; None if the model has a ``recalibrate`` of its own.
    """

    def __init__(self, model: Model, layout: Layout, size: int, most: int, momenta: State | None) -> None:
        self.model, self.layout, self.size, self.most, self.momenta = model, layout, size, most, momenta

    def __call__(self, x: Models, nodes: Int[Array, " k"], n_train: NodeInts, samples_of: SamplesOf) -> Models:
        """Return models x (s, p) with the state of the nodes of rows ``nodes`` (s,), or the mean over these for one (1, p).

        Args:
            x: the models.
            nodes: rows of nodes.
            n_train: (n,) number of samples of each row's node.
            samples_of: gives them.
        """
        columns, kind = np.flatnonzero(self.layout.is_state), accumulator(x.dtype)

        def found(row: Row, node: Int[Array, ""]) -> Array:
            params = self.layout.unravel(row.astype(kind))
            state = self._state(params, n_train[node], lambda rank: samples_of(node, rank))
            return self.layout.join({**params, **state}, kind)[columns]

        if x.shape[0] == 1:
            state = in_blocks(lambda node: found(x[0], node), nodes).mean(0, keepdims=True)
        else:
            state = in_blocks(lambda row_and_node: found(*row_and_node), (x, nodes))
        return x.at[:, columns].set(state.astype(x.dtype))

    def _state(self, params: PyTree, size: Int[Array, ""], samples: Callable[[Int[Array, " b"]], Batch]) -> State:
        """Return the state that ``size`` samples of a node give a model."""

        def batch(number: Int[Array, ""]) -> Batch:
            return samples((number * self.size + jnp.arange(self.size)) % size)

        if self.momenta is None:
            assert self.model.recalibrate is not None
            return self.model.recalibrate(params, jax.vmap(batch)(jnp.arange(self.most)), jax.random.key(0))
        zero = {name: jax.tree.map(jnp.zeros_like, params[name]) for name in self.model.state}
        count = (size + self.size - 1) // self.size

        def add(number: Int[Array, ""], total: State) -> State:
            key = jax.random.fold_in(jax.random.key(0), number)
            after = _step(self.model, params, zero, batch(number), key)
            return jax.tree.map(lambda total, after, m: total + after / (1 - m), total, after, self.momenta)

        return jax.tree.map(lambda total: total / count, jax.lax.fori_loop(0, count, add, zero))


def recalibration(
    model: Model, layout: Layout, size: int, most: int, some: Callable[[], Batch]
) -> Recalibration | None:
    """Return the recalibration of a model; None if its ``state_rule`` is another, or it has no state.

    Args:
        model: the model.
        layout: where its state lies in a row.
        size: number of samples of a batch.
        most: the largest number of batches of a node.
        some: gives some samples, as the model takes them.

    Raises:
        InputError: the state cannot be recalibrated, nothing computes it, or the model has a ``recalibrate`` in vain.
    """
    if model.recalibrate is not None and not (model.state and model.state_rule == "recalibrated"):
        raise InputError(
            f"the model has a function recalibrate, which a state that is {model.state_rule} does not use",
            hint="state_rule = 'recalibrated', with the names of the state",
        )
    if model.state and model.forward is None:
        raise InputError(
            f"nothing computes the model's state {', '.join(model.state)} in training",
            hint="give the Model a forward, which returns (outputs, state)",
        )
    if not model.state or model.state_rule != "recalibrated":
        return None
    own = model.recalibrate is not None
    return Recalibration(model, layout, size, most, None if own else _momenta(model, some(), accumulator(layout.dtype)))


def _momenta(model: Model, x: Batch, dtype: np.dtype) -> State:
    """Return m for every number of the state; raise InputError unless it becomes m s + constant with 0 ≤ m < 1."""
    key = jax.random.key(0)

    @jax.jit
    def measured() -> tuple[State, State]:
        params = jax.tree.map(lambda leaf: leaf.astype(dtype), model.init(key))
        like = {name: params[name] for name in model.state}
        large, other, small = (_drawn(like, size, number) for number, size in enumerate((PROBED, PROBED, 1.0)))
        states = (jax.tree.map(jnp.zeros_like, like), large, other, small)
        after_zero, after_large, *after = (_step(model, params, state, x, key) for state in states)
        m = jax.tree.map(lambda after, zero, before: (after - zero) / before, after_large, after_zero, large)

        def gap(m: Array, zero: Array, *states: Array) -> Array:
            pairs = zip(states[:2], states[2:], strict=True)  # what it was, and what it became
            gaps = [jnp.abs(new - zero - m * old) / (jnp.abs(zero) + jnp.abs(old)) for old, new in pairs]
            return jnp.stack(gaps).max()

        return m, jax.tree.map(gap, m, after_zero, other, small, *after)

    m, gaps = measured()
    for (path, share), gap in zip(jax.tree.flatten_with_path(m)[0], jax.tree.leaves(gaps), strict=True):
        in_range = (share >= -ROUNDING) & (share < 1 - ROUNDING)
        if not (bool(gap <= TOLERANCE) and bool(in_range.all())):
            raise InputError(
                f"the model's state {jax.tree_util.keystr(path)} cannot be recalibrated: it is no running mean of batches",
                hint="state = 'private', or give the Model a function recalibrate(params, batches, key) -> state",
            )
    return m


def _step(model: Model, params: PyTree, state: State, x: Batch, key: PRNGKey) -> State:
    """Return the state after a step of training from ``state``."""
    assert model.forward is not None
    after = model.forward({**params, **state}, x, key)[1]
    return {name: after[name] for name in model.state}


def _drawn(like: PyTree, size: float, number: int) -> Any:
    """Return an array in the place of each, with random numbers of some size; another ``number`` gives others."""
    leaves, tree = jax.tree.flatten(like)
    keys = jax.random.split(jax.random.key(number), len(leaves))
    sized = zip(keys, leaves, strict=True)
    drawn = [size * jax.random.uniform(key, leaf.shape, leaf.dtype, 0.5, 1.5) for key, leaf in sized]
    return jax.tree.unflatten(tree, drawn)
