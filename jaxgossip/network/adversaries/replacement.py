"""Model replacement: a lie that makes the weighted mean of a node the liar's own model.

Liar j has the model x_j that it wants others to have: its own, learnt from its own data, perhaps poisoned. It sends to node i

    s = x_i + (x_j − x_i) / W_ij,    so that    X⁺_i = x_i + Σ_{k∈H} W_ik (x_k − x_i) + (x_j − x_i),

which is x_j where the honest neighbours agree with node i. A node that hears several liars gets from all of them the row that
replaces it by their weighted mean, with their weight Σ_{j∉H} W_ij in the place of W_ij. Told so every round, nodes settle where
honest neighbours have a weight below 1/2; above, they overshoot the liar's model by more and more, and diverge.

Bagdasaryan, Veit, Hua, Estrin and Shmatikov 2020, "How to backdoor federated learning", equation 3, with W_ij for η/n.
"""

import jax.numpy as jnp
import numpy as np

from jaxgossip.core.arguments import guarded
from jaxgossip.core.pytree import Record
from jaxgossip.core.typing import Rows
from jaxgossip.network.adversaries.scene import Adversary, Scene, chosen_liars


class ModelReplacement(Record):
    """Send each node the row that replaces its model by the weighted mean of the liars' models."""

    def __call__(self, scene: Scene) -> Rows:
        """Return (n, p): what every liar sends to each node."""
        share = scene.heard(scene.lying)
        pull = scene.heard(scene.lying * scene.x) - share * scene.x
        # One division: of two by the same number XLA makes one on some meshes, and not on others.
        return scene.x + pull / jnp.where(share > 0, jnp.square(share), 1)


@guarded
def model_replacement(
    *, n_nodes: int, fraction: float = 0.1, nodes: list[int] | None = None, rng: np.random.Generator | int = 0
) -> Adversary:
    """Send each node a row that makes its weighted mean the liar's own model, as far as its honest neighbours agree with it.

    Args:
        n_nodes: number of nodes.
        fraction: fraction of the nodes that lie, drawn at random.
        nodes: numbers of the liars, instead of ``fraction``.
        rng: random generator of the draw, or its seed.

    Raises:
        InputError: ``fraction`` is outside (0, 1), or ``nodes`` is empty.
    """
    liars = chosen_liars(n_nodes, fraction, nodes, rng)
    return Adversary("model_replacement", liars, targeted=ModelReplacement(), n_nodes=n_nodes)
