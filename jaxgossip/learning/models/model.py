"""The model that a node trains: parameters as any pytree, scores from samples, and a loss from scores.

objective of a node = mean over its samples of loss(apply(params, x), y) + (regularization/2) ‖params‖²
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgossip.core.arguments import guarded, shown
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, PyTree

PerSample = Float[Array, " b"]
Scores = PerSample | Float[Array, "b c"]
Labels = Int[Array, " b"]
Loss = Callable[[Scores, Labels], PerSample]
Measured = Mapping[str, Float[Array, ""]]


def identity(x: Array) -> Array:
    """Return x."""
    return x


@dataclass(frozen=True)
class Model:
    """A model, as functions of its parameters.

    Attributes:
        init: key -> params, a pytree of float arrays.
        apply: (params, x (b, …)) -> scores, either (b,) for two classes, positive for class 1, or (b, classes).
        loss: (scores, labels (b,) int) -> (b,), one loss per sample.
        regularization: weight of ‖params‖²/2 in the objective.
        prepare: x (b, …) -> the x of ``apply``: preprocessing without parameters, computed once for all samples.
        objective: (params, x (b, …), labels (b,)) -> (b,): minimised instead of the loss where it is not a function of the
            scores; None uses the loss.
        measures: (scores, labels (t,)) -> name -> (): metrics on the common test set; None gives accuracy and loss.
        align: (own params, heard params) -> heard params, with the parts in the order of the receiver's own, for models
            whose parts are interchangeable; None if they are not.
    """

    init: Callable[[PRNGKey], PyTree]
    apply: Callable[[PyTree, Array], Scores]
    loss: Loss
    regularization: float = 0.0
    prepare: Callable[[Array], Array] = identity
    objective: Callable[[PyTree, Array, Array], PerSample] | None = None
    measures: Callable[[Scores, Labels], Measured] | None = None
    align: Callable[[PyTree, PyTree], PyTree] | None = None

    def losses(self, params: PyTree, x: Array, y: Array) -> PerSample:
        """Return (b,), what training minimises, for each sample."""
        return self.loss(self.apply(params, x), y) if self.objective is None else self.objective(params, x, y)

    def measured(self, scores: Scores, labels: Labels) -> Measured:
        """Return the metrics of one model on a test set."""
        if self.measures is not None:
            return self.measures(scores, labels)
        loss = self.loss(scores, labels).mean()
        return {"test_accuracy": (predict(scores) == labels).mean(dtype=loss.dtype), "test_loss": loss}


def logistic_loss(scores: Scores, labels: Labels) -> PerSample:
    """Return log(1 + exp(−y s)), y = ±1."""
    return jax.nn.softplus(-sign(labels, scores) * scores)


def hinge_loss(scores: Scores, labels: Labels) -> PerSample:
    """Return max(0, 1 − y s), y = ±1; at the hinge itself the subgradient is 0, as in Pegasos."""
    margin = sign(labels, scores) * scores
    return jnp.where(margin < 1, 1 - margin, 0)


def squared_loss(scores: Scores, labels: Labels) -> PerSample:
    """Return (s − y)²/2, y = ±1."""
    return jnp.square(scores - sign(labels, scores)) / 2


def cross_entropy_loss(scores: Scores, labels: Labels) -> PerSample:
    """Return −log softmax(scores) at the label."""
    # Selected by comparison, as the gradient of indexing is a scatter; samples are columns as in builders._dense.
    scores = scores.T
    at_label = jnp.arange(scores.shape[0])[:, None] == labels
    return jax.nn.logsumexp(scores, 0) - jnp.where(at_label, scores, 0).sum(0)


def sign(labels: Labels, like: Array) -> PerSample:
    """Return labels 0 and 1 as −1 and +1 in the dtype of ``like``."""
    return (2 * labels - 1).astype(like.dtype)


def predict(scores: Scores) -> Labels:
    """Return the predicted class: the sign of scores (b,), or the argmax of (b, classes); -1, no class, if one is NaN."""
    if scores.ndim == 1:
        return jnp.where(jnp.isnan(scores), -1, (scores > 0).astype(jnp.int32))
    return jnp.where(jnp.isnan(scores).any(-1), -1, scores.argmax(-1).astype(jnp.int32))


@guarded
def from_functions(
    init: Callable[[PRNGKey], PyTree],
    apply: Callable[[PyTree, Array], Scores],
    loss: Literal["logistic", "hinge", "squared", "cross_entropy"] | Loss = "cross_entropy",
    regularization: float = 0.0,
    prepare: Callable[[Array], Array] = identity,
) -> Model:
    """Make a model from two functions.

    Args:
        init: key -> params, any pytree of float arrays.
        apply: (params, x (b, …)) -> scores, (b,) or (b, classes).
        loss: a name, or (scores, labels) -> (b,).
        regularization: weight of ‖params‖²/2 in the objective.
        prepare: x (b, …) -> the x of ``apply``, computed once for all samples.

    Raises:
        InputError: an unknown loss or a negative regularization.
    """
    named: dict[str, Loss] = {
        "logistic": logistic_loss,
        "hinge": hinge_loss,
        "squared": squared_loss,
        "cross_entropy": cross_entropy_loss,
    }
    if not callable(loss) and not (isinstance(loss, str) and loss in named):
        raise InputError(f"from_functions: unknown loss {shown(loss)}", hint=f"allowed: {', '.join(named)}")
    if regularization < 0:
        raise InputError(f"from_functions: regularization must not be negative: {regularization}")
    return Model(init, apply, named[loss] if isinstance(loss, str) else loss, regularization, prepare)
