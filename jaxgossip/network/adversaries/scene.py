"""Who lies, and one exchange as liars see it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgossip.core.arguments import check_fields, fits
from jaxgossip.core.devices.exchanges import node_sum
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Pytree
from jaxgossip.core.typing import NodeFloats, NodeMask, Rows
from jaxgossip.learning.data.backdoor import Backdoor
from jaxgossip.mixing import Faults, Operator
from jaxgossip.schedule.peers.liars import random_subset


@dataclass(frozen=True)
class Adversary(Pytree):
    """The Byzantine nodes of a network, and their attack.

    Attributes:
        name: name of the attack.
        liars: numbers of the Byzantine nodes, in ascending order.
        broadcast: scene -> (n, p), whose row j liar j sends to all its receivers; None if liars send what they hold.
        targeted: scene -> (n, p), whose row i every liar sends to node i; takes precedence over ``broadcast``.
        alone: rows (b, p) that liars hold -> (b, p), the rows that they send, of attacks that look at nothing else; runs by
            the nodes' own clocks have no others. None for other attacks.
        flips_labels: whether liars learn from flipped labels; the problem must be built accordingly, see
            :func:`jaxgossip.learning.flip_labels`.
        n_nodes: number of nodes of the network; None if unknown.
        backdoor: what liars learn from samples with a trigger; the problem must be built accordingly, see
            :func:`jaxgossip.learning.plant_backdoor`. None for nothing.
    """

    name: str
    liars: tuple[int, ...]
    broadcast: "Callable[[Scene], Rows] | None" = None
    targeted: "Callable[[Scene], Rows] | None" = None
    alone: Callable[[Rows], Rows] | None = None
    flips_labels: bool = False
    n_nodes: int | None = None
    backdoor: Backdoor | None = None

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
        if adversary.alone is not None:
            return cls(x, jnp.where(liars[:, None], adversary.alone(sent), sent), None, liars, operator, faults)
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
        number = node_sum(honest)
        mean = node_sum(honest * self.sent)[None] / number
        return mean, jnp.sqrt(node_sum(honest * jnp.square(self.sent - mean))[None] / number)

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
    return tuple(random_subset(n_nodes, fraction, rng).tolist())
