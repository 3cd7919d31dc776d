"""Small problems for the tests of this room, with their gradients and scores written out in NumPy."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxgossip.learning import classification, models
from jaxgossip.learning.data.datasets import Dataset
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.learning.supervised import Supervised

KEY = jax.random.key(0)
D, M, N = 4, 12, 4
UNEVEN = Partition(
    np.random.default_rng(9).permutation(M).astype(np.int32),
    np.array([0, 1, 4, 9, 12]),
    np.array([1, 2, 5, 1], np.int32),
)
"""Four nodes with 1, 3, 5 and 3 samples, of which 0, 1, 0 and 2 are held out as local test sets."""


def dataset(classes: int = 2, m: int = M, d: int = D) -> Dataset:
    rng = np.random.default_rng(classes)
    parts = [rng.normal(size=(size, d)).astype(np.float32) for size in (m, 7)]
    labels = [(np.arange(size) % classes).astype(np.int32) for size in (m, 7)]
    return Dataset("made", parts[0], labels[0], parts[1], labels[1], classes)


def linear_squared(regularization: float = 0.0) -> models.Model:
    logistic = models.logistic((D,), 2)
    return models.from_functions(logistic.init, logistic.apply, "squared", regularization, logistic.prepare)


MODELS: dict[str, tuple[int, Callable[..., models.Model]]] = {
    "logistic": (2, lambda r: models.logistic((D,), 2, regularization=r)),
    "pegasos": (2, lambda r: models.pegasos((D,), 2, regularization=r)),
    "squared": (2, linear_squared),
    "softmax": (3, lambda r: models.softmax((D,), 3, regularization=r)),
    "mlp": (3, lambda r: models.mlp((D,), 3, hidden=(5,), regularization=r)),
}

EACH_IN_ITS_TYPES = pytest.mark.parametrize(
    ("name", "dtype"), [*((name, np.float64) for name in MODELS), ("logistic", np.float32), ("mlp", np.float32)]
)


def scores_and_gradient(name: str, p: dict, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict]:
    """Return scores, mean loss and its gradient, written out in NumPy, without the regularisation."""
    if "w" in p:
        s, sign = x @ p["w"][:-1] + p["w"][-1], 2.0 * y - 1
        loss, slope = {
            "logistic": (np.log(1 + np.exp(-sign * s)), -sign / (1 + np.exp(sign * s))),
            "pegasos": (np.maximum(0, 1 - sign * s), -sign * (sign * s < 1)),
            "squared": ((s - sign) ** 2 / 2, s - sign),
        }[name]
        return s, loss.mean(), {"w": np.append(x.T @ slope / len(y), slope.mean())}
    hidden, inside = x, None
    if "w1" in p:
        inside = x @ p["w0"].T + p["b0"]
        hidden = np.maximum(0, inside)
    last = "1" if "w1" in p else "0"
    s = hidden @ p["w" + last].T + p["b" + last]
    shares = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    loss = -np.log(shares[np.arange(len(y)), y]).mean()
    slope = (shares - np.eye(3)[y]) / len(y)
    gradient = {"w" + last: slope.T @ hidden, "b" + last: slope.sum(0)}
    if inside is not None:
        back = slope @ p["w1"] * (inside > 0)
        gradient |= {"w0": back.T @ x, "b0": back.sum(0)}
    return s, loss, gradient


def parameters_of(model: models.Model, row: np.ndarray) -> dict[str, np.ndarray]:
    with jax.enable_x64(True):
        unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), model.init(KEY)))[1]
        return {name: np.asarray(value) for name, value in unravel(jnp.asarray(row, jnp.float64)).items()}


def as_row(gradient: dict) -> np.ndarray:
    return np.concatenate([np.ravel(gradient[name]) for name in sorted(gradient)])


def reference_gradient(name: str, model: models.Model, data: Dataset, row: np.ndarray, mine: np.ndarray) -> np.ndarray:
    x, y = np.asarray(data.x_train, np.float64)[mine], np.asarray(data.y_train)[mine]
    gradient = scores_and_gradient(name, parameters_of(model, row), x, y)[2]
    return as_row(gradient) + model.regularization * row


def gradient_of(task: Supervised, x: np.ndarray, key: jax.Array = KEY) -> np.ndarray:
    return np.asarray(jax.jit(task.gradient)(jnp.asarray(x), key))


def rows(n: int, p: int, dtype: type = np.float64) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, p)).astype(dtype)


def drawing_problem(batch_size: int, partition: Partition = UNEVEN) -> Supervised:
    """Make a problem whose gradients count draws: sample j is the unit vector e_j, and the loss is the score."""
    unit = np.eye(M, dtype=np.float32)
    labels = (np.arange(M) % 2).astype(np.int32)
    model = models.from_functions(lambda _: jnp.zeros(M), lambda w, x: x @ w, lambda s, _: s)
    return classification(Dataset("unit", unit, labels, unit, labels, 2), partition, model, batch_size=batch_size)


def random_words(function: Callable, *arguments) -> int:
    return str(jax.make_jaxpr(function)(*arguments)).count("random_bits")


def scratch(function: Callable, *arguments) -> int:
    """Return the bytes that a compiled function needs besides its arguments, without running it."""
    analysis = jax.jit(function).lower(*arguments).compile().memory_analysis()
    return analysis.temp_size_in_bytes
