"""Online k-means by gossip, and the agreement of its clusters with classes.

Berta, Hegedűs and Ormándi 2014, "Lightning fast asynchronous distributed k-means clustering": each node moves the nearest
centroid of a received model towards its own sample, and models are merged centroid by centroid after matching these.
"""

import math

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, PyTree
from jaxgossip.learning.models.model import Labels, Measured, Model, Scores, predict

Centroids = Float[Array, "k d"]


@guarded
def kmeans(input_shape: tuple[int, ...], n_classes: int, *, clusters: int = 2) -> Model:
    """Online k-means: s_k = −½ ‖x − c_k‖², loss ½ min_k ‖x − c_k‖²; a step of SGD moves the nearest centroid.

        c ← c + α (x − c)

    Labels are used only for the metrics: test_loss, and nmi, the normalised mutual information of clusters and classes.
    Initial centroids are standard normal, like standardised features. Berta, Hegedűs and Ormándi 2014, "Lightning fast
    asynchronous distributed k-means clustering".

    Args:
        input_shape: shape of a sample, which is flattened.
        n_classes: number of classes with which clusters are compared.
        clusters: k, the number of centroids.

    Raises:
        InputError: fewer than two clusters.
    """
    if clusters < 2:
        raise InputError(f"k-means needs at least two clusters, not {clusters}")

    def init(key: PRNGKey) -> PyTree:
        return {"centroids": jax.random.normal(key, (clusters, math.prod(input_shape)))}

    def apply(params: PyTree, x: Array) -> Scores:
        centroids = params["centroids"]
        return x @ centroids.T - (jnp.square(centroids).sum(1) + jnp.square(x).sum(1, keepdims=True)) / 2

    def loss(scores: Scores, labels: Labels) -> Array:
        del labels
        return -scores.max(1)

    def measures(scores: Scores, labels: Labels) -> Measured:
        nmi = normalised_mutual_information(predict(scores), labels, clusters, n_classes, scores.dtype)
        nmi = jnp.where(jnp.isnan(scores).any(), jnp.nan, nmi)  # a sample without a cluster is in no table
        return {"nmi": nmi, "test_loss": loss(scores, labels).mean()}

    def align(own: PyTree, heard: PyTree) -> PyTree:
        return {"centroids": match_centroids(own["centroids"], heard["centroids"])}

    return Model(init, apply, loss, prepare=_flatten, measures=measures, align=align, of=("class",))


def match_centroids(own: Centroids, heard: Centroids) -> Centroids:
    """Return the received centroids (k, d) in the order minimising Σ_k ‖own_k − heard_k‖²: an optimal assignment."""
    # ‖own‖² and ‖heard‖² add the same constant for every order.
    by_own, of_heard = optax.assignment.hungarian_algorithm(-own @ heard.T)
    return jnp.zeros_like(heard).at[by_own].set(heard[of_heard])


def normalised_mutual_information(
    first: Int[Array, " t"], second: Int[Array, " t"], n_first: int, n_second: int, dtype: jnp.dtype
) -> Float[Array, ""]:
    """Return 2 I(A; B) / (H(A) + H(B)) of two labellings of the same samples: 1 if equivalent, 0 if independent.

    It is 1 if both give all samples one label.

    Args:
        first: (t,) labels 0..n_first-1 of the samples.
        second: (t,) labels 0..n_second-1 of the same samples.
        n_first: number of labels in the first labelling.
        n_second: number of labels in the second.
        dtype: dtype of the result.
    """
    rows, columns = (
        (labels == jnp.arange(n)[:, None]).astype(dtype) for labels, n in ((first, n_first), (second, n_second))
    )
    joint = rows @ columns.T / first.shape[0]
    first_entropy, second_entropy, joint_entropy = (_entropy(p) for p in (joint.sum(1), joint.sum(0), joint))
    total = first_entropy + second_entropy
    return jnp.where(total > 0, 2 * jnp.maximum(total - joint_entropy, 0) / jnp.where(total > 0, total, 1), 1)


def _entropy(p: Float[Array, "..."]) -> Float[Array, ""]:
    return -jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0).sum()


def _flatten(x: Array) -> Array:
    return x.reshape(x.shape[0], -1)
