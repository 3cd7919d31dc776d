"""Gaussian naive Bayes whose parameters are averages over samples, so that gossip can take means of them."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, PyTree
from jaxgossip.learning.models.model import Labels, Model, PerSample, Scores, cross_entropy_loss

LEAST_WEIGHT = 1e-6
"""A class that was not seen yet counts as this likely."""


@guarded
def naive_bayes(input_shape: tuple[int, ...], n_classes: int, *, smoothing: float = 0.01) -> Model:
    """Gaussian naive Bayes: parameters are averages over samples, which gossip can average; scores = log posterior.

        w_c = E 1{y=c},   μ_c = E[1{y=c} x] / w_c,   σ_c² = E[1{y=c} x²] / w_c − μ_c² + smoothing

    The objective ½ ‖params − (what the sample shows)‖² is the least at these averages: SGD at rate 1/t (optimizer
    'pegasos' with regularization 1) keeps them exactly, and the mean of two models is that of their samples.

    Args:
        input_shape: shape of a sample; flattened.
        n_classes: number of classes.
        smoothing: added to every variance; of standardised features, it is in units of theirs.

    Raises:
        InputError: a smoothing that is not positive.
    """
    if smoothing <= 0:
        raise InputError(
            f"naive Bayes needs a positive smoothing, not {smoothing:g}", hint="one sample has no variance"
        )

    def init(key: PRNGKey) -> PyTree:
        del key  # averages of nothing yet
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
        shown = {"weight": seen, "x": seen[..., None] * x[:, None], "xx": seen[..., None] * jnp.square(x)[:, None]}
        apart = [jnp.square(params[name] - shown[name]).reshape(x.shape[0], -1).sum(1) for name in shown]
        return jnp.stack(apart).sum(0) / 2

    return Model(init, apply, cross_entropy_loss, prepare=lambda x: x.reshape(x.shape[0], -1), objective=objective)
