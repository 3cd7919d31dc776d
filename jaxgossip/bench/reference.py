"""Reference implementations in vectorised NumPy: what a careful user would write without jaxgossip.

The rows of x (n, p) are models, ``samples`` (n,) is the row of the table that each node holds, and signs are ±1. All steps
work in place in the dtype of x; a test compares them with the compiled programs in float64.
"""

from typing import NamedTuple

import numpy as np

from jaxgossip.learning.data.arrays import Dataset


class Table(NamedTuple):
    """A data set of two classes in the form that the NumPy steps take.

    Attributes:
        rows: (m, p) samples, with a last column of ones for the bias.
        signs: (m,) classes as ±1.
    """

    rows: np.ndarray
    signs: np.ndarray

    @classmethod
    def of(cls, data: Dataset, dtype: type[np.floating] = np.float32) -> "Table":
        """Return the training samples of ``data``."""
        rows = np.concatenate([data.x_train, np.ones((len(data.x_train), 1))], axis=1)
        return cls(rows.astype(dtype), 2 * np.asarray(data.y_train, dtype) - 1)


class Gossip(NamedTuple):
    """The state of gossip learning: models x (n, p) and their ages (n,) int32. Updated in place."""

    x: np.ndarray
    age: np.ndarray


def random_matching(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n,) partners of a uniform perfect matching; one node is its own partner if n is odd."""
    order = rng.permutation(n)
    first, second = order[0 : n - n % 2 : 2], order[1::2]
    partner = np.arange(n)
    partner[first], partner[second] = second, first
    return partner


def merge(state: Gossip, partner: np.ndarray) -> None:
    """Average each model with its partner's and keep the larger age: x_i ← (x_i + x_j)/2, t_i ← max(t_i, t_j)."""
    heard = state.x[partner]
    np.add(state.x, heard, out=state.x)
    np.multiply(state.x, state.x.dtype.type(0.5), out=state.x)
    np.maximum(state.age, state.age[partner], out=state.age)


def pegasos(state: Gossip, table: Table, samples: np.ndarray, regularization: float) -> None:
    """Take a Pegasos step on each node's sample: w ← (1 − ηλ) w + η [y⟨w, z⟩ < 1] y z with η = 1/(λ (t + 1))."""
    x, kind = state.x, state.x.dtype.type
    rows, signs = table.rows[samples], table.signs[samples]
    rate = (1 / (regularization * (state.age + 1.0))).astype(kind)
    margin = signs * np.einsum("np,np->n", x, rows)
    push = np.where(margin < 1, rate * signs, kind(0))
    x *= (1 - rate * kind(regularization))[:, None]
    rows *= push[:, None]
    x += rows
    np.add(state.age, 1, out=state.age)


def gossip_round(
    state: Gossip, partner: np.ndarray, table: Table, samples: np.ndarray, regularization: float, order: str
) -> None:
    """Run one round of gossip learning with Pegasos.

    Args:
        state: models and ages, updated in place.
        partner: (n,) the partner of each node.
        table: the samples.
        samples: (n,) the sample that each node holds.
        regularization: λ.
        order: ``merge_update`` or ``update_merge``.
    """
    if order == "update_merge":
        pegasos(state, table, samples, regularization)
        merge(state, partner)
    else:
        merge(state, partner)
        pegasos(state, table, samples, regularization)


def logistic_step(x: np.ndarray, table: Table, samples: np.ndarray, learning_rate: float) -> None:
    """Take a step of logistic regression on each node's sample: w ← w + η σ(−y⟨w, z⟩) y z."""
    rows, signs = table.rows[samples], table.signs[samples]
    margin = signs * np.einsum("np,np->n", x, rows)
    push = x.dtype.type(learning_rate) * signs / (1 + np.exp(np.clip(margin, -80, 80)))
    rows *= push[:, None]
    x += rows


class Layers(NamedTuple):
    """Perceptrons of d inputs, h hidden units and c outputs, as views of x.

    The columns of x hold b₀, b₁, w₀, w₁ in this order.

    Attributes:
        b0: (n, h) hidden biases.
        b1: (n, c) output biases.
        w0: (n, h, d) input-to-hidden weights.
        w1: (n, c, h) hidden-to-output weights.
    """

    b0: np.ndarray
    b1: np.ndarray
    w0: np.ndarray
    w1: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, sizes: tuple[int, int, int]) -> "Layers":
        """Return views of x (n, p) for layers of ``sizes`` (d, h, c)."""
        n, (d, h, c) = len(x), sizes
        b0, b1, w0, w1 = np.split(x, np.cumsum([h, c, d * h]), axis=1)
        return cls(b0, b1, w0.reshape(n, h, d), w1.reshape(n, c, h))


def mlp_step(x: np.ndarray, z: np.ndarray, labels: np.ndarray, sizes: tuple[int, int, int], rate: float) -> None:
    """Take a gradient step on the mean cross entropy of each node's batch.

    Args:
        x: (n, p) perceptrons with one hidden layer of rectified units; updated in place.
        z: (n, b, d) samples.
        labels: (n, b) classes.
        sizes: (d, h, c).
        rate: learning rate.
    """
    layers = Layers.of(x, sizes)
    hidden = np.maximum(z @ layers.w0.swapaxes(1, 2) + layers.b0[:, None], 0)
    scores = hidden @ layers.w1.swapaxes(1, 2) + layers.b1[:, None]
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    error = scores / scores.sum(-1, keepdims=True)
    np.put_along_axis(error, labels[..., None], np.take_along_axis(error, labels[..., None], -1) - 1, -1)
    error *= x.dtype.type(rate / z.shape[1])
    below = (error @ layers.w1) * (hidden > 0)
    gradients = (below.sum(1), error.sum(1), below.swapaxes(1, 2) @ z, error.swapaxes(1, 2) @ hidden)
    x -= np.concatenate([part.reshape(len(x), -1) for part in gradients], axis=1)
