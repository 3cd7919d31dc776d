"""Attacks that go as far as they can and stay as near as honest rows are: min-max and min-sum.

Liars send s = μ − γ p with the largest γ for which, over the honest rows x_i,

    min_max   max_i ‖s − x_i‖ ≤ max_{i,j} ‖x_i − x_j‖ = D
    min_sum   Σ_i ‖s − x_i‖² ≤ max_i Σ_j ‖x_i − x_j‖²

Both have a closed form: with d_i = x_i − μ, the first is γ = min_i (−p·d_i + √((p·d_i)² + ‖p‖² (D² − ‖d_i‖²))) / ‖p‖². Since
Σ_i ‖y − x_i‖² = Σ_i ‖d_i‖² + h ‖y − μ‖² for h honest rows and any y, the second is γ = max_i ‖d_i‖ / ‖p‖.

Shejwalkar and Houmansadr 2021, "Manipulating the Byzantine: optimizing model poisoning attacks and defenses", who search for γ
by bisection.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.core.arguments import guarded
from jaxgossip.core.devices.exchanges import fetch, node_max, node_min, node_sum
from jaxgossip.core.pytree import Record
from jaxgossip.core.typing import Rows
from jaxgossip.network.adversaries.scene import Adversary, Scene, chosen_liars

Direction = Literal["std", "sign", "unit"]


class _Farthest(Record):
    direction: Direction
    nearness: Literal["max", "sum_largest", "sum_smallest"]

    def __call__(self, scene: Scene) -> Rows:
        mean, deviation = scene.honest_mean()
        if self.direction == "std":
            honest = node_sum(1 - scene.lying)
            p = deviation * jnp.sqrt(honest / jnp.maximum(honest - 1, 1))
        else:
            norm = jnp.linalg.norm(mean)
            p = jnp.sign(mean) if self.direction == "sign" else mean / jnp.where(norm > 0, norm, 1)
        away = jnp.where(scene.lying > 0, 0, scene.sent - mean)  # the mean in the place of liars is never the farthest
        squares = jnp.square(away).sum(1)
        length = jnp.square(p).sum()
        if self.nearness == "max":
            along = (away * p).sum(1)
            room = jnp.maximum(_squared_diameter(away, scene.operator.n_nodes) - squares, 0)
            gamma = node_min(jnp.sqrt(jnp.square(along) + length * room) - along) / jnp.where(length > 0, length, 1)
        else:
            honest_squares = jnp.where(scene.lying[:, 0] > 0, jnp.inf, squares)
            bound = node_max(squares) if self.nearness == "sum_largest" else node_min(honest_squares)
            gamma = jnp.sqrt(bound / jnp.where(length > 0, length, 1))
        return jnp.broadcast_to(mean - gamma * p, scene.sent.shape)


def _squared_diameter(rows: Rows, n_nodes: int) -> jax.Array:
    """Return the largest squared distance between two of n rows (n, p), one row after the other."""

    def compared(row: jax.Array, farthest: jax.Array) -> jax.Array:
        return jnp.maximum(farthest, jnp.square(rows - fetch(rows, row[None])).sum(1))

    return node_max(jax.lax.fori_loop(0, n_nodes, compared, jnp.zeros_like(rows[:, 0])))


@guarded
def min_max(
    *,
    n_nodes: int,
    direction: Direction = "std",
    fraction: float = 0.1,
    nodes: list[int] | None = None,
    rng: np.random.Generator | int = 0,
) -> Adversary:
    """Send the row farthest from the honest mean that is no farther from any honest row than two honest rows are.

    Every round compares all pairs of nodes.

    Args:
        n_nodes: number of nodes.
        direction: p, in which liars leave the mean: "std", the standard deviation of every column; "sign", the sign of the
            mean; "unit", the mean divided by its norm.
        fraction: fraction of the nodes that lie, drawn at random.
        nodes: numbers of the liars, instead of ``fraction``.
        rng: random generator of the draw, or its seed.

    Raises:
        InputError: ``fraction`` is outside (0, 1), or ``nodes`` is empty.
    """
    return Adversary(
        "min_max", chosen_liars(n_nodes, fraction, nodes, rng), broadcast=_Farthest(direction, "max"), n_nodes=n_nodes
    )


@guarded
def min_sum(
    *,
    n_nodes: int,
    direction: Direction = "std",
    bound: Literal["largest", "smallest"] = "largest",
    fraction: float = 0.1,
    nodes: list[int] | None = None,
    rng: np.random.Generator | int = 0,
) -> Adversary:
    """Send the row farthest from the honest mean whose squared distances to honest rows add up to no more than theirs do.

    Args:
        n_nodes: number of nodes.
        direction: p, in which liars leave the mean: "std", the standard deviation of every column; "sign", the sign of the
            mean; "unit", the mean divided by its norm.
        bound: whose sum is not exceeded: "largest", that of the honest row farthest from the others, as in the paper;
            "smallest", that of the nearest one, as in its authors' code.
        fraction: fraction of the nodes that lie, drawn at random.
        nodes: numbers of the liars, instead of ``fraction``.
        rng: random generator of the draw, or its seed.

    Raises:
        InputError: ``fraction`` is outside (0, 1), or ``nodes`` is empty.
    """
    liars = chosen_liars(n_nodes, fraction, nodes, rng)
    attack = _Farthest(direction, "sum_largest" if bound == "largest" else "sum_smallest")
    return Adversary("min_sum", liars, broadcast=attack, n_nodes=n_nodes)
