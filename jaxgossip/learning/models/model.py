"""The model that a node trains: parameters as any pytree, outputs from samples, and a loss from outputs.

objective of a node = mean over its samples of loss(apply(params, x), y) + (regularization/2) ‖params‖²
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num

from jaxgossip.core.arguments import guarded, shown
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, PyTree
from jaxgossip.learning.data.targets import Target

PerSample = Float[Array, " b"]
Scores = PerSample | Float[Array, "b c"]
Labels = Int[Array, " b"]
Outputs = Float[Array, "b ..."]
Targets = Num[Array, "b ..."]
Loss = Callable[[Outputs, Targets], PerSample]
StateRule = Literal["mixed", "private", "recalibrated"]
Measured = Mapping[str, Float[Array, ""]]


def identity(x: Array) -> Array:
    """Return x."""
    return x


@dataclass(frozen=True)
class Model:
    """A model, as functions of its parameters.

    Attributes:
        init: key -> params, a pytree of float arrays.
        apply: (params, x (b, …)) -> outputs. For classes, scores: either (b,) for two classes, positive for class 1, or
            (b, classes). For values, (b,) or (b, k), as the targets are; one value of a sample may be (b, 1). For sequences,
            scores (b, t, tokens).
        loss: (outputs, targets (b, …)) -> (b,), one loss per sample; None is the usual one of the targets, of
            ``LOSSES``.
        regularization: weight of ‖params‖²/2 in the objective.
        prepare: x (b, …) -> the x of ``apply``: preprocessing without parameters, computed once for all samples, or at
            use for images of uint8 and with augmentations.
        objective: (params, x (b, …), targets (b, …)) -> (b,): minimised instead of the loss where it is not a function of
            the outputs; None uses the loss.
        forward: (params, x (b, …), key) -> (outputs, state), what training computes where that is not ``apply``: with dropout,
            drawn by the key, or with batch statistics. The state has what is updated without gradients, by name; empty if
            nothing is. None trains with ``apply``.
        state: names of the top-level entries of ``params`` that no gradient moves, such as "batch_stats".
        state_rule: what becomes of the state. "mixed": it travels and is mixed like parameters. "private": it stays on its
            node. "recalibrated": it stays, too, and before a model is evaluated it is computed anew, with the model as it is,
            by one pass over the node's own training samples; see :mod:`.recalibration`.
        measures: (outputs, targets (t, …)) -> name -> (): the model's own metrics on the common test set; None takes those of
            the targets.
        align: (own params, heard params) -> heard params, with the parts in the order of the receiver's own, for models
            whose parts are interchangeable; None if they are not.
        of: the targets that it is for; empty for any.
        recalibrate: (params, batches (k, b, …), key) -> the state, by name, that k batches of a node's samples give it, for a
            recalibrated state that is not running means; nodes with fewer batches than others begin again with the first
            samples. None takes the state for running means.
    """

    init: Callable[[PRNGKey], PyTree]
    apply: Callable[[PyTree, Array], Outputs]
    loss: Loss | None = None
    regularization: float = 0.0
    prepare: Callable[[Array], Array] = identity
    objective: Callable[[PyTree, Array, Array], PerSample] | None = None
    forward: Callable[[PyTree, Array, PRNGKey], tuple[Outputs, Mapping[str, PyTree]]] | None = None
    state: tuple[str, ...] = ()
    state_rule: StateRule = "mixed"
    measures: Callable[[Outputs, Targets], Measured] | None = None
    align: Callable[[PyTree, PyTree], PyTree] | None = None
    of: tuple[Target, ...] = ()
    recalibrate: Callable[[PyTree, Array, PRNGKey], Mapping[str, PyTree]] | None = None

    def with_loss(self, target: Target) -> "Model":
        """Return the model with the usual loss of its targets, if it has none of its own."""
        return self if self.loss is not None else replace(self, loss=LOSSES[target])

    def losses(self, params: PyTree, x: Array, y: Array) -> PerSample:
        """Return (b,), what training minimises, for each sample; the model has a loss (:meth:`with_loss`)."""
        if self.objective is not None:
            return self.objective(params, x, y)
        assert self.loss is not None
        return self.loss(self.apply(params, x), y)


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


def mean_squared_loss(outputs: Outputs, targets: Targets) -> PerSample:
    """Return the squared error, the mean over the values of a sample."""
    return jnp.square(outputs.reshape(targets.shape) - targets).reshape(targets.shape[0], -1).mean(1)


def token_loss(scores: Float[Array, "b t c"], tokens: Int[Array, "b t"]) -> PerSample:
    """Return −log softmax(scores) at the token, the mean over the tokens of a sample."""
    flat = cross_entropy_loss(scores.reshape(-1, scores.shape[-1]), tokens.reshape(-1))
    return flat.reshape(tokens.shape).mean(1)


LOSSES: Mapping[Target, Loss] = MappingProxyType(
    {"class": cross_entropy_loss, "value": mean_squared_loss, "sequence": token_loss}
)
"""The usual loss of each kind of targets."""


def sign(labels: Labels, like: Array) -> PerSample:
    """Return labels 0 and 1 as −1 and +1 in the dtype of ``like``."""
    return (2 * labels - 1).astype(like.dtype)


def predict(scores: Outputs) -> Int[Array, "b ..."]:
    """Return the predicted class: the sign of scores (b,), or the argmax of (…, classes); -1, no class, if one is NaN."""
    if scores.ndim == 1:
        return jnp.where(jnp.isnan(scores), -1, (scores > 0).astype(jnp.int32))
    return jnp.where(jnp.isnan(scores).any(-1), -1, scores.argmax(-1).astype(jnp.int32))


@guarded
def from_functions(
    init: Callable[[PRNGKey], PyTree],
    apply: Callable[[PyTree, Array], Outputs],
    loss: Literal["logistic", "hinge", "squared", "cross_entropy", "mean_squared", "tokens"] | Loss | None = None,
    regularization: float = 0.0,
    prepare: Callable[[Array], Array] = identity,
) -> Model:
    """Make a model from two functions.

    Args:
        init: key -> params, any pytree of float arrays.
        apply: (params, x (b, …)) -> outputs, as :class:`Model` says.
        loss: a name, or (outputs, targets) -> (b,); None is cross-entropy for classes and tokens, and the mean squared error
            for values.
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
        "mean_squared": mean_squared_loss,
        "tokens": token_loss,
    }
    if loss is not None and not callable(loss) and not (isinstance(loss, str) and loss in named):
        raise InputError(f"from_functions: unknown loss {shown(loss)}", hint=f"allowed: {', '.join(named)}")
    if regularization < 0:
        raise InputError(f"from_functions: regularization must not be negative: {regularization}")
    return Model(init, apply, named[loss] if isinstance(loss, str) else loss, regularization, prepare)
