"""Gaussian naive Bayes with averages over samples as parameters, so that gossip can average models."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, PyTree
from jaxgossip.learning.models.model import Labels, Model, PerSample, Scores, cross_entropy_loss

LEAST_WEIGHT = 1e-6
"""Probability assigned to a class that has not been seen yet."""


@guarded
def naive_bayes(input_shape: tuple[int, ...], n_classes: int, *, smoothing: float = 0.01) -> Model:
    """Gaussian naive Bayes with averages over samples as parameters; scores are log posteriors.

        w_c = E 1{y=c},   μ_c = E[1{y=c} x] / w_c,   σ_c² = E[1{y=c} x²] / w_c − μ_c² + smoothing

    The objective ½ ‖params − (statistics of the sample)‖² is minimal at these averages: SGD at rate 1/t (optimizer
    'pegasos' with regularization 1) keeps them exactly, and the mean of two models is the model of all their samples.

    Args:
        input_shape: shape of a sample, which is flattened.
        n_classes: number of classes.
        smoothing: added to every variance, in the units of the features.

    Raises:
        InputError: a smoothing that is not positive.
    """
    if smoothing <= 0:
        raise InputError(
            f"naive Bayes needs a positive smoothing, not {smoothing:g}", hint="one sample has no variance"
        )

    def init(key: PRNGKey) -> PyTree:
        del key  # the averages start empty
        size = math.prod(input_shape)
        return {"weight": jnp.zeros(n_classes), "x": jnp.zeros((n_classes, size)), "xx": jnp.zeros((n_classes, size))}

    def apply(params: PyTree, x: Array) -> Scores:
        weight = jnp.maximum(params["weight"], LEAST_WEIGHT)
        mean = params["x"] / weight[:, None]
        variance = jnp.maximum(params["xx"] / weight[:, None] - jnp.square(mean), 0) + smoothing
        distance = (jnp.square(x[:, None] - mean) / variance + jnp.log(variance)).sum(-1)
        return jax.nn.log_softmax(jnp.log(weight) - distance / 2, -1)

    def objective(params: PyTree, x: Array, labels: Labels) -> PerSample:
        seen = (labels[:, None] == jnp.arange(n_classes)).astype(x.dtype)
        statistics = {"weight": seen, "x": seen[..., None] * x[:, None], "xx": seen[..., None] * jnp.square(x)[:, None]}
        errors = [
            jnp.square(params[name] - target).reshape(x.shape[0], -1).sum(1) for name, target in statistics.items()
        ]
        return jnp.stack(errors).sum(0) / 2

    return Model(
        init,
        apply,
        cross_entropy_loss,
        prepare=lambda x: x.reshape(x.shape[0], -1),
        objective=objective,
        of=("class",),
    )
