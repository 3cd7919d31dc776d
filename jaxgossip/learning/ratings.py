"""Matrix factorisation with one user per node, whose private factors never leave it.

    r_ui ≈ μ + b_u + b_i + ⟨p_u, q_i⟩

Item factors q_i and biases b_i are exchanged; the user's own p_u and b_u are private columns, the last of a row. Hegedűs,
Danner and Jelasity 2020, "Decentralized recommendation based on matrix factorization: a comparison of gossip and federated
learning"; the model and its regularization: Koren, Bell and Volinsky 2009, "Matrix factorization techniques for
recommender systems".
"""

import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float64, Int

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import DataError
from jaxgossip.core.pytree import HostOnly
from jaxgossip.core.rows import in_blocks
from jaxgossip.core.typing import NodeInts, NodeScores, PRNGKey, PyTree, Row, Rows, accumulator
from jaxgossip.learning.data.readers.rating_files import read_ratings
from jaxgossip.learning.device import check_order, float_type
from jaxgossip.learning.models.model import Model
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.learning.samples import SampledProblem
from jaxgossip.topology import Order

BLOCK_USERS = 2**14
"""Number of users whose items are drawn at a time."""


class RatingTable(NamedTuple):
    """Ratings, sorted by user.

    Attributes:
        user: (m,) int, user of each rating, ascending.
        item: (m,) int, item of each rating.
        rating: (m,) float64, the ratings.
        n_items: number of items.
    """

    user: Int[np.ndarray, " m"]
    item: Int[np.ndarray, " m"]
    rating: Float64[np.ndarray, " m"]
    n_items: int


class Ratings(SampledProblem):
    """See :func:`ratings`.

    Attributes:
        mean: μ, the mean of all training ratings.
    """

    def __init__(
        self,
        table: RatingTable,
        partition: Partition,
        rank: int,
        regularization: float,
        *,
        name: str,
        notes: tuple[str, ...],
        **options: Any,
    ) -> None:
        self._described = HostOnly({"name": name, "items": table.n_items, "notes": notes})
        counts = np.diff(partition.offsets)
        rank_of = np.arange(partition.order.size) - np.repeat(partition.offsets[:-1], counts)
        trained = partition.order[rank_of < np.repeat(partition.n_train, counts)]
        self.mean = float(table.rating[trained].mean())
        y = jnp.asarray(table.rating, accumulator(options["dtype"]))
        model = factorisation(table.n_items, rank, self.mean, regularization)
        private = ("user", "user_bias")
        super().__init__(
            model, jnp.asarray(table.item, jnp.int32), y, partition, private=private, privacy=None, **options
        )

    def describe(self) -> dict[str, Any]:
        """Return a summary of the ratings.

        Returns:
            name, users, items, training_ratings, test_ratings, mean, samples_a_node ((min, mean, max) training ratings of a
            node) and notes.
        """
        return self._described.value | {
            "users": self.n_nodes,
            "training_ratings": int(np.asarray(self.sample_counts, np.float64).sum()),
            "test_ratings": int(self._batches.n_test.sum()),
            "mean": self.mean,
            "samples_a_node": self.samples_a_node,
        }

    def evaluate(self, x: Rows) -> NodeScores:
        """Return an empty mapping: no rating is common to all users."""
        del x
        return {}

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return rmse (s,): root mean square error of x[j] on the held-out ratings of the user of row ``nodes[j]``.

        It is NaN for a user without held-out ratings.
        """
        if self._batches.most_test == 0:
            return {}
        batches = self._batches.of_all()

        def rmse(row_and_node: tuple[Row, Array]) -> Array:
            row, node = row_and_node
            sample, used, size = batches.held_out(node)
            error = self.model.apply(self.params(row), self._table.samples(sample)) - self._table.targets(sample)
            mean = jnp.where(used, jnp.square(error), 0).sum() / jnp.maximum(size, 1)
            return jnp.where(size > 0, jnp.sqrt(mean), jnp.nan)

        return {"rmse": in_blocks(rmse, (x, nodes))}


def factorisation(n_items: int, rank: int, mean: float, regularization: float) -> Model:
    """Return one user's model, with loss ½ (r − μ − b_u − b_i − ⟨p_u, q_i⟩)² + λ/2 (b_u² + b_i² + ‖p_u‖² + ‖q_i‖²) per rating.

    Only the parameters that a rating involves are regularised. Factors start normal with variance 1/rank, biases at zero.

    Args:
        n_items: number of items.
        rank: length of a factor.
        mean: μ, the mean rating.
        regularization: λ, weight of the regularization.
    """

    def init(key: PRNGKey) -> PyTree:
        of_items, of_user = jax.random.split(key)
        factors = {"items": jax.random.normal(of_items, (n_items, rank)), "user": jax.random.normal(of_user, (rank,))}
        biases = {"item_biases": jnp.zeros(n_items), "user_bias": jnp.zeros(())}
        return biases | {name: rank**-0.5 * factor for name, factor in factors.items()}

    def apply(params: PyTree, item: Int[Array, " b"]) -> Float[Array, " b"]:
        bias = mean + params["user_bias"] + params["item_biases"][item]
        return bias + params["items"][item] @ params["user"]

    def loss(scores: Array, rating: Array) -> Array:
        return jnp.square(rating - scores) / 2

    def objective(params: PyTree, item: Int[Array, " b"], rating: Array) -> Array:
        of_item = jnp.square(params["items"][item]).sum(-1) + jnp.square(params["item_biases"][item])
        of_user = jnp.square(params["user"]).sum() + jnp.square(params["user_bias"])
        return loss(apply(params, item), rating) + regularization / 2 * (of_item + of_user)

    return Model(init, apply, loss, objective=objective)


@guarded
def ratings(
    n_nodes: int,
    *,
    path: Path | None = None,
    columns: tuple[str, ...] | None = None,
    delimiter: str | None = None,
    duplicates: Literal["refuse", "last", "mean"] = "refuse",
    items: int = 100,
    rank: int = 5,
    ratings_a_user: int = 20,
    noise: float = 0.1,
    regularization: float = 0.05,
    held_out: float = 0.2,
    batch_size: int = 1,
    init: Literal["same", "independent"] = "same",
    rng: np.random.Generator | int = 0,
    dtype: DTypeLike = jnp.float32,
    order: Order | None = None,
) -> Ratings:
    """Recommendation by matrix factorisation with one user per node; user factors stay private, item factors are exchanged.

    Without a file, synthetic ratings are 3 + b_u + b_i + ⟨p_u, q_i⟩ + noise, with biases of standard deviation ½ and products
    of standard deviation 1. The metric is rmse, the error on each user's held-out ratings.

    Args:
        n_nodes: number of users.
        path: a file with a user, an item and a rating per line; ratings are synthetic without one.
        columns: "user", "item" and "rating" in the order of the file's columns, with "_" for columns to skip. By default they
            are inferred from the names in the first line, or else are user, item, rating.
        delimiter: field separator of the file, one character or "::"; detected by default.
        duplicates: how to treat several ratings of one item by one user in the file: "refuse" raises an error, "last" keeps
            the last, "mean" averages them.
        items: number of items in synthetic ratings.
        rank: length of the factors, and of those that generate synthetic ratings.
        ratings_a_user: number of different items that each user rates in synthetic ratings.
        noise: standard deviation of the noise in synthetic ratings.
        regularization: λ, weight of the squared factors and biases that a rating involves.
        held_out: fraction of each user's ratings held out as its local test set, rounded down.
        batch_size: ratings per step, drawn with replacement; 0 takes all of the user's ratings.
        init: "same" starts all nodes from one model, "independent" draws a model for each node.
        rng: generator, or its seed, that draws synthetic ratings and selects the held-out ones.
        dtype: dtype of the models.
        order: the node that each row of memory holds: ``graph.order`` of the communication graph.

    Raises:
        DataError: a size below one, more ratings per user than items, a negative number, a fraction that holds out no
            rating, a file option without a ``path``, a file that cannot be read or has a different number of users, or
            an order of a different number of nodes.
        InputError: no node, or a dtype that JAX does not support.
    """
    if rank < 1 or items < 1 or ratings_a_user < 1:
        raise DataError(f"items, rank and ratings_a_user are at least 1, not {items}, {rank} and {ratings_a_user}")
    if noise < 0 or regularization < 0 or batch_size < 0 or not 0 <= held_out < 1:
        raise DataError(
            f"ratings need noise, regularization and batch_size ≥ 0 and 0 ≤ held_out < 1, "
            f"not {noise:g}, {regularization:g}, {batch_size} and {held_out:g}"
        )
    check_order(order, n_nodes)
    rng = np.random.default_rng(rng)
    if path is None:
        if columns is not None or delimiter is not None or duplicates != "refuse":
            raise DataError("columns, delimiter and duplicates are of a file of ratings", hint="give its path")
        if ratings_a_user > items:
            raise DataError(
                f"nobody can rate {ratings_a_user} of {items} items", hint="fewer ratings_a_user, more items"
            )
        table, notes = synthetic_ratings(n_nodes, items, rank, ratings_a_user, noise, rng), ()
    else:
        file = read_ratings(path, columns=columns, delimiter=delimiter, duplicates=duplicates)
        notes = file.notes
        table = RatingTable(file.user, file.item, file.rating, int(file.item.max()) + 1)
        if (users := int(file.user.max()) + 1) != n_nodes:
            raise DataError(
                f"{path}: {users:,} users, but {n_nodes:,} nodes", hint=f"one user a node: topology.nodes = {users}"
            )
    partition = _hold_out(table.user, n_nodes, held_out, rng)
    kind = float_type(dtype)
    return Ratings(
        table, partition, rank, regularization, name=str(path or "made up"), notes=notes,
        batch_size=batch_size, init=init, dtype=kind, order=order,
    )  # fmt: skip


def synthetic_ratings(
    n_users: int, items: int, rank: int, ratings_a_user: int, noise: float, rng: np.random.Generator
) -> RatingTable:
    """Return ratings generated by a low-rank matrix, as described in :func:`ratings`."""
    scale = rank**-0.25  # the product of two such factors has deviation 1
    p, q = (scale * rng.normal(size=(size, rank)) for size in (n_users, items))
    b_user, b_item = (rng.normal(scale=0.5, size=size) for size in (n_users, items))
    drawn = []
    for start in range(0, n_users, BLOCK_USERS):
        chance = rng.random((min(BLOCK_USERS, n_users - start), items), dtype=np.float32)
        drawn.append(np.argsort(chance, axis=1)[:, :ratings_a_user].astype(np.int32))
    item = np.concatenate(drawn)
    rating = 3 + b_user[:, None] + b_item[item] + np.einsum("ur,umr->um", p, q[item])
    rating += noise * rng.normal(size=rating.shape)
    user = np.repeat(np.arange(n_users, dtype=np.int32), ratings_a_user)
    return RatingTable(user, item.ravel(), rating.ravel(), items)


def _hold_out(user: np.ndarray, n_users: int, held_out: float, rng: np.random.Generator) -> Partition:
    """Return the partition of each user's ratings in random order, the last ones held out."""
    counts = np.bincount(user, minlength=n_users)
    order = np.lexsort((rng.random(user.size), user)).astype(np.int32)
    n_test = np.floor(np.round(held_out * counts, 6)).astype(np.int32)
    if held_out > 0 and not n_test.any():
        most = int(counts.max())
        enough = f"held_out = {math.ceil(100 / most) / 100:g}, or " if most > 1 else ""
        raise DataError(
            f"held_out = {held_out:g} leaves no user a rating to test on: the most that one has is {most}",
            hint=f"{enough}more ratings a user",
        )
    return Partition(order, np.concatenate([[0], counts.cumsum()]), (counts - n_test).astype(np.int32))
