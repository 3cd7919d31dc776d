"""Attacks of a formula each: the row that liars send in the place of their own."""

from statistics import NormalDist

import jax.numpy as jnp
import numpy as np

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Record
from jaxgossip.core.typing import Rows
from jaxgossip.network.adversaries.scene import Adversary, Scene, chosen_liars


class _BitFlip(Record):
    def __call__(self, rows: Rows) -> Rows:
        return -rows


class _Constant(Record):
    value: float

    def __call__(self, rows: Rows) -> Rows:
        return jnp.full_like(rows, self.value)


class _Alie(Record):
    z: float

    def __call__(self, scene: Scene) -> Rows:
        mean, deviation = scene.honest_mean()
        return jnp.broadcast_to(mean - self.z * deviation, scene.sent.shape)


class _Ipm(Record):
    epsilon: float

    def __call__(self, scene: Scene) -> Rows:
        return jnp.broadcast_to(-self.epsilon * scene.honest_mean()[0], scene.sent.shape)


class _Dissensus(Record):
    epsilon: float

    def __call__(self, scene: Scene) -> Rows:
        share, honest = (scene.heard(senders) for senders in (scene.lying, 1 - scene.lying))
        pull = scene.heard(scene.sent) - honest * scene.x
        return scene.x - self.epsilon * pull / jnp.where(share > 0, share, 1)


@guarded
def bit_flip(
    *, n_nodes: int, fraction: float = 0.1, nodes: list[int] | None = None, rng: np.random.Generator | int = 0
) -> Adversary:
    """Send the negative of the model.

    Args:
        n_nodes: number of nodes.
        fraction: fraction of the nodes that lie, drawn at random.
        nodes: numbers of the liars, instead of ``fraction``.
        rng: random generator of the draw, or its seed.

    Raises:
        InputError: ``fraction`` is outside (0, 1), or ``nodes`` is empty.
    """
    liars = chosen_liars(n_nodes, fraction, nodes, rng)
    return Adversary("bit_flip", liars, alone=_BitFlip(), n_nodes=n_nodes)


@guarded
def constant(
    *,
    n_nodes: int,
    value: float = 1e3,
    fraction: float = 0.1,
    nodes: list[int] | None = None,
    rng: np.random.Generator | int = 0,
) -> Adversary:
    """Send the same number for every parameter.

    Args:
        n_nodes: number of nodes.
        value: the number.
        fraction: fraction of the nodes that lie, drawn at random.
        nodes: numbers of the liars, instead of ``fraction``.
        rng: random generator of the draw, or its seed.

    Raises:
        InputError: ``fraction`` is outside (0, 1), or ``nodes`` is empty.
    """
    liars = chosen_liars(n_nodes, fraction, nodes, rng)
    return Adversary("constant", liars, alone=_Constant(value), n_nodes=n_nodes)


@guarded
def alie(
    *,
    n_nodes: int,
    z: float | None = None,
    fraction: float = 0.1,
    nodes: list[int] | None = None,
    rng: np.random.Generator | int = 0,
) -> Adversary:
    """Send μ − zσ, column by column, with the mean and standard deviation of the honest rows: ALIE.

    Baruch, Baruch and Goldberg 2019, "A little is enough".

    Args:
        n_nodes: number of nodes.
        z: number of standard deviations below the mean; by default such that liars and the honest nodes still farther
            below form a majority.
        fraction: fraction of the nodes that lie, drawn at random.
        nodes: numbers of the liars, instead of ``fraction``.
        rng: random generator of the draw, or its seed.

    Raises:
        InputError: z has no default for this number of liars, ``fraction`` is outside (0, 1), or ``nodes`` is empty.
    """
    liars = chosen_liars(n_nodes, fraction, nodes, rng)
    if z is None:
        m = len(liars)
        needed = n_nodes // 2 + 1 - m
        if not 0 < needed < n_nodes - m:
            raise InputError(f"adversary: alie has no z for {m} liars among {n_nodes} nodes", hint="give z")
        z = NormalDist().inv_cdf((n_nodes - m - needed) / (n_nodes - m))
    return Adversary("alie", liars, broadcast=_Alie(float(z)), n_nodes=n_nodes)


@guarded
def ipm(
    *,
    n_nodes: int,
    epsilon: float = 0.1,
    fraction: float = 0.1,
    nodes: list[int] | None = None,
    rng: np.random.Generator | int = 0,
) -> Adversary:
    """Send a negative multiple of the honest nodes' mean: inner product manipulation.

    Args:
        n_nodes: number of nodes.
        epsilon: ε, the factor.
        fraction: fraction of the nodes that lie, drawn at random.
        nodes: numbers of the liars, instead of ``fraction``.
        rng: random generator of the draw, or its seed.

    Raises:
        InputError: ``fraction`` is outside (0, 1), or ``nodes`` is empty.
    """
    liars = chosen_liars(n_nodes, fraction, nodes, rng)
    return Adversary("ipm", liars, broadcast=_Ipm(epsilon), n_nodes=n_nodes)


@guarded
def dissensus(
    *,
    n_nodes: int,
    epsilon: float = 1.0,
    fraction: float = 0.1,
    nodes: list[int] | None = None,
    rng: np.random.Generator | int = 0,
) -> Adversary:
    """Send each node a row that cancels the pull of its honest neighbours, or drives it away from them.

    Args:
        n_nodes: number of nodes.
        epsilon: ε; 1 cancels the pull of honest neighbours, larger values drive nodes apart.
        fraction: fraction of the nodes that lie, drawn at random.
        nodes: numbers of the liars, instead of ``fraction``.
        rng: random generator of the draw, or its seed.

    Raises:
        InputError: ``fraction`` is outside (0, 1), or ``nodes`` is empty.
    """
    liars = chosen_liars(n_nodes, fraction, nodes, rng)
    return Adversary("dissensus", liars, targeted=_Dissensus(epsilon), n_nodes=n_nodes)


@guarded
def label_flip(
    *, n_nodes: int, fraction: float = 0.1, nodes: list[int] | None = None, rng: np.random.Generator | int = 0
) -> Adversary:
    """Learn from flipped labels, class c as C − 1 − c, and send the model honestly.

    Args:
        n_nodes: number of nodes.
        fraction: fraction of the nodes that do so, drawn at random.
        nodes: numbers of these nodes, instead of ``fraction``.
        rng: random generator of the draw, or its seed.

    Raises:
        InputError: ``fraction`` is outside (0, 1), or ``nodes`` is empty.
    """
    return Adversary("label_flip", chosen_liars(n_nodes, fraction, nodes, rng), flips_labels=True, n_nodes=n_nodes)
