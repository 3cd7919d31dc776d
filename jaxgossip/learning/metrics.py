"""Metrics of a model's outputs on test samples, for each kind of targets.

A metric makes one number of terms, one for each sample, so that a large test set is evaluated a block of samples at a time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgossip.core.registry import Registry
from jaxgossip.learning.data.targets import Target
from jaxgossip.learning.models.model import Outputs, Targets, predict, token_loss

Terms = Any
"""What a metric needs of each sample: arrays (b, …) in any pytree."""


@dataclass(frozen=True)
class Metric:
    """A metric of outputs on test samples.

    Attributes:
        terms: (outputs (b, …), targets (b, …)) -> (b, …), what it needs of each sample.
        combine: the terms of all samples (t, …) -> (); None is their mean.
        of: the targets that it is for; empty for any.
    """

    terms: Callable[[Outputs, Targets], Terms]
    combine: Callable[[Terms], Float[Array, ""]] | None = None
    of: tuple[Target, ...] = ()

    def total(self, terms: Terms) -> Float[Array, ""]:
        """Return the metric, given the terms of all samples."""
        return terms.mean() if self.combine is None else self.combine(terms)


def accuracy(n_classes: int) -> Metric:
    """Share of the samples, or of the tokens of all samples, whose class is predicted.

    Args:
        n_classes: number of classes.
    """
    del n_classes
    return Metric(_right, of=("class", "sequence"))


def top_5_accuracy(n_classes: int) -> Metric:
    """Share of the samples whose class is among the five with the largest scores.

    Args:
        n_classes: number of classes.
    """
    del n_classes
    return Metric(_among_five, of=("class",))


def macro_f1(n_classes: int) -> Metric:
    """Mean over classes of F1 = 2 TP/(2 TP + FP + FN); classes that neither occur nor are predicted are left out.

    Args:
        n_classes: number of classes.
    """
    return Metric(_predicted_and_true, _ByClass(n_classes, _mean_f1), of=("class",))


def balanced_accuracy(n_classes: int) -> Metric:
    """Mean over classes of the share of their samples that are recognised; classes that do not occur are left out.

    Args:
        n_classes: number of classes.
    """
    return Metric(_predicted_and_true, _ByClass(n_classes, _mean_recall), of=("class",))


def mse(n_classes: int) -> Metric:
    """Mean squared error, over samples and the values of each.

    Args:
        n_classes: 0.
    """
    del n_classes
    return Metric(_squared_errors, of=("value",))


def mae(n_classes: int) -> Metric:
    """Mean absolute error, over samples and the values of each.

    Args:
        n_classes: 0.
    """
    del n_classes
    return Metric(_absolute_errors, of=("value",))


def r2(n_classes: int) -> Metric:
    """Coefficient of determination, 1 − Σ (y − s)²/Σ (y − ȳ)², the mean over the values of a sample.

    Args:
        n_classes: 0.
    """
    del n_classes
    return Metric(_errors_and_targets, _determination, of=("value",))


def perplexity(n_classes: int) -> Metric:
    """Exponential of the mean cross-entropy of a token.

    Args:
        n_classes: number of tokens.
    """
    del n_classes
    return Metric(token_loss, _exponential, of=("sequence",))


METRICS = Registry("metric", [accuracy, top_5_accuracy, macro_f1, balanced_accuracy, mse, mae, r2, perplexity])
"""Metrics that ``evaluation.metrics`` can name; each is recorded after "test_"."""
USUAL: Mapping[Target, tuple[str, ...]] = MappingProxyType(
    {"class": ("accuracy",), "value": ("mse", "mae", "r2"), "sequence": ("accuracy", "perplexity")}
)
"""What is always measured, besides the loss, by the kind of targets; the first also on the nodes' own test samples."""


# The functions stand here, not in the builders: two metrics of one kind are then equal, and their programs shared.


def _right(outputs: Outputs, targets: Targets) -> Terms:
    found = (predict(outputs) == targets).astype(outputs.dtype)
    return found if found.ndim == 1 else found.mean(1)


def _among_five(outputs: Outputs, targets: Targets) -> Terms:
    if outputs.ndim == 1:
        return (~jnp.isnan(outputs)).astype(outputs.dtype)
    at_target = jnp.take_along_axis(outputs, targets[:, None], 1)
    first = ((outputs > at_target).sum(1) < 5) & ~jnp.isnan(outputs).any(1)
    return first.astype(outputs.dtype)


def _squared_errors(outputs: Outputs, targets: Targets) -> Terms:
    return jnp.square(_errors(outputs, targets)).mean(1)


def _absolute_errors(outputs: Outputs, targets: Targets) -> Terms:
    return jnp.abs(_errors(outputs, targets)).mean(1)


def _errors_and_targets(outputs: Outputs, targets: Targets) -> Terms:
    return jnp.stack([_errors(outputs, targets), targets.reshape(targets.shape[0], -1)], -1)


def _determination(terms: Terms) -> Float[Array, ""]:
    errors, targets = terms[..., 0], terms[..., 1]
    return (1 - jnp.square(errors).sum(0) / jnp.square(targets - targets.mean(0)).sum(0)).mean()


def _exponential(losses: Terms) -> Float[Array, ""]:
    return jnp.exp(losses.mean())


def _errors(outputs: Outputs, targets: Targets) -> Float[Array, "b k"]:
    return (outputs.reshape(targets.shape) - targets).reshape(targets.shape[0], -1)


def _predicted_and_true(outputs: Outputs, targets: Targets) -> Terms:
    return jnp.stack([predict(outputs), targets], 1)


@dataclass(frozen=True)
class _ByClass:
    """Combines predicted and true classes (t, 2) by how often each class is recognised, predicted and true, each (c,)."""

    n_classes: int
    mean: Callable[[Array, Array, Array], Float[Array, ""]]

    def __call__(self, pairs: Terms) -> Float[Array, ""]:
        predicted, true = (pairs[:, which, None] == jnp.arange(self.n_classes) for which in (0, 1))
        return self.mean((predicted & true).sum(0), predicted.sum(0), true.sum(0))


def _mean_f1(right: Array, predicted: Array, true: Array) -> Float[Array, ""]:
    return _mean_where(2 * right, predicted + true)


def _mean_recall(right: Array, predicted: Array, true: Array) -> Float[Array, ""]:
    del predicted
    return _mean_where(right, true)


def _mean_where(parts: Array, wholes: Array) -> Float[Array, ""]:
    """Return the mean of parts/wholes over those whose whole is not zero."""
    there = wholes > 0
    return jnp.where(there, parts / jnp.where(there, wholes, 1), 0).sum() / there.sum()
