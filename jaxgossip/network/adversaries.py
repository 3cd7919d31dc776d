"""Byzantine nodes ("liars"): the rows that they send instead of those that they hold.

Liars are omniscient (they know all rows, the honest nodes and the weights) and follow the protocol otherwise; the rows
that they hold evolve as if they were honest. With H the honest nodes, μ and σ the mean and deviation of their rows:

    bit_flip    s_j = −x_j
    constant    s_j = c in every entry
    alie        s_j = μ − z σ,  column by column,  z = Φ⁻¹((n − m − s)/(n − m)),  s = ⌊n/2 + 1⌋ − m
    ipm         s_j = −ε μ
    dissensus   to node i:  x_i − ε Σ_{j∈H} W_ij (x_j − x_i) / Σ_{j∉H} W_ij
    label_flip  s_j = x_j,  learnt from flipped labels: class c becomes C − 1 − c

Bit flip and label flip: Karimireddy, He and Jaggi 2021, "Learning from history for Byzantine robust optimization".
ALIE: Baruch, Baruch and Goldberg 2019, "A little is enough". IPM: Xie, Koyejo and Gupta 2019, "Fall of empires".
Dissensus: He, Karimireddy and Jaggi 2022, "Byzantine-robust decentralized learning via ClippedGossip", section 6.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgossip.core.arguments import check_fields, fits, guarded
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Pytree, Record
from jaxgossip.core.registry import Registry
from jaxgossip.core.typing import NodeFloats, NodeMask, Rows
from jaxgossip.mixing import Faults, Operator


@dataclass(frozen=True)
class Adversary(Pytree):
    """The Byzantine nodes of a network, and their attack.

    Attributes:
        name: name of the attack.
        liars: numbers of the Byzantine nodes, in ascending order.
        broadcast: scene -> (n, p), whose row j liar j sends to all its receivers; None if liars send what they hold.
        targeted: scene -> (n, p), whose row i every liar sends to node i; takes precedence over ``broadcast``.
        flips_labels: whether liars learn from flipped labels; the problem must be built accordingly, see
            :func:`jaxgossip.learning.flip_labels`.
        n_nodes: number of nodes of the network; None if unknown.
    """

    name: str
    liars: tuple[int, ...]
    broadcast: "Callable[[Scene], Rows] | None" = None
    targeted: "Callable[[Scene], Rows] | None" = None
    flips_labels: bool = False
    n_nodes: int | None = None

    def __post_init__(self) -> None:
        check_fields("adversary", self)

    def mask(self, n_nodes: int) -> NodeMask:
        """Return (n,) bool in order of the nodes: whether each node is a liar.

        Raises:
            InputError: the network has another size, a liar does not exist, or no node is honest.
        """
        return jnp.asarray(~self.honest(n_nodes))

    def honest(self, n_nodes: int) -> np.ndarray:
        """Return (n,) bool NumPy in order of the nodes: whether each node is honest.

        Raises:
            InputError: the network has another size, a liar does not exist, or no node is honest.
        """
        fits("an adversary", self.n_nodes, "a network", n_nodes)
        honest = np.ones(n_nodes, bool)
        for liar in self.liars:
            if not 0 <= liar < n_nodes:
                raise InputError(
                    f"adversary: node {liar} does not exist", hint=f"nodes are numbered 0 to {n_nodes - 1}"
                )
            honest[liar] = False
        if not honest.any():
            raise InputError("adversary: no node is honest", hint="a smaller fraction")
        return honest


@dataclass(frozen=True)
class Scene:
    """One exchange as the adversary sees it.

    Attributes:
        x: (n, p), the rows that nodes hold.
        sent: (n, p), the rows that nodes broadcast, including lies and noise; zero for liars of a targeted attack.
        targeted: (n, p), the row that liars of a targeted attack send to each node; None for other attacks.
        liars: (n,) bool by row; None if all nodes are honest.
        operator: W of the round.
        faults: faults of the round; None if all messages arrive.
    """

    x: Rows
    sent: Rows
    targeted: Rows | None
    liars: NodeMask | None
    operator: Operator
    faults: Faults | None

    @classmethod
    def of(
        cls,
        x: Rows,
        sent: Rows,
        operator: Operator,
        faults: Faults | None,
        adversary: Adversary | None,
        liars: NodeMask | None,
    ) -> "Scene":
        """Return the exchange in which honest nodes send ``sent``, and ``liars`` the rows of their attack."""
        truth = cls(x, sent, None, liars, operator, faults)
        if adversary is None or liars is None:
            return truth
        if adversary.targeted is not None:
            silent = cls(x, jnp.where(liars[:, None], 0, sent), None, liars, operator, faults)
            return cls(x, silent.sent, adversary.targeted(silent), liars, operator, faults)
        if adversary.broadcast is not None:
            return cls(x, jnp.where(liars[:, None], adversary.broadcast(truth), sent), None, liars, operator, faults)
        return truth

    def mean(self, weights: NodeFloats | None) -> Rows:
        """Return (n, p): the weighted mean of the rows heard, with reliabilities ``weights`` (n,) of the senders if given."""
        r = None if weights is None else weights.astype(self.x.dtype)[:, None]

        def weighed(rows: Array) -> Array:
            return rows if r is None else r * rows

        mixed = self.operator.mix(weighed(self.x), self.faults, weighed(self.sent))
        if self.targeted is not None:
            mixed = mixed + self.heard(weighed(self.lying)) * self.targeted
        return mixed if r is None else mixed / self.operator.mix(r, self.faults)

    def heard(self, rows: Rows) -> Rows:
        """Return (n, q): Σ_j W_ij rows_j over the messages of others that arrive."""
        return self.operator.hear(rows, self.faults)[1]

    def honest_mean(self) -> tuple[Float[Array, "1 p"], Float[Array, "1 p"]]:
        """Return the column-wise mean and standard deviation, (1, p) each, of the rows that honest nodes send."""
        honest = 1 - self.lying
        mean = (honest * self.sent).sum(0, keepdims=True) / honest.sum()
        return mean, jnp.sqrt((honest * jnp.square(self.sent - mean)).sum(0, keepdims=True) / honest.sum())

    @property
    def lying(self) -> Float[Array, "n 1"]:
        """(n, 1): 1 for liars, 0 for honest nodes."""
        assert self.liars is not None
        return self.liars.astype(self.x.dtype)[:, None]


def chosen_liars(
    n_nodes: int, fraction: float, nodes: Sequence[int] | None, rng: np.random.Generator | int
) -> tuple[int, ...]:
    """Return the liars: ``nodes`` if given, otherwise max(1, round(fraction · n)) nodes at random.

    Raises:
        InputError: ``fraction`` is not between 0 and 1, or ``nodes`` is empty.
    """
    if nodes is not None:
        if len(nodes) == 0:
            raise InputError("adversary: nodes names nobody", hint="give node numbers, or leave the section out")
        return tuple(sorted(set(map(int, nodes))))
    if not 0 < fraction < 1:
        raise InputError(f"adversary: fraction is between 0 and 1, not {fraction}")
    number = max(1, round(fraction * n_nodes))
    return tuple(sorted(np.random.default_rng(rng).choice(n_nodes, number, replace=False).tolist()))


class _BitFlip(Record):
    def __call__(self, scene: Scene) -> Rows:
        return -scene.sent


class _Constant(Record):
    value: float

    def __call__(self, scene: Scene) -> Rows:
        return jnp.full_like(scene.sent, self.value)


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
    return Adversary("bit_flip", liars, broadcast=_BitFlip(), n_nodes=n_nodes)


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
    return Adversary("constant", liars, broadcast=_Constant(value), n_nodes=n_nodes)


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


ADVERSARIES = Registry("adversary", [bit_flip, label_flip, alie, ipm, dissensus, constant])
"""Builders of adversaries by name, as in ``adversary.kind``."""
