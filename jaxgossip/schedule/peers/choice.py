"""Choices of whom a node calls, as values, and overlays, whose members nodes call."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxgossip.core.arguments import check_fields
from jaxgossip.core.errors import InputError
from jaxgossip.schedule.peers.liars import Liars

Way = Literal["push", "pull", "both"]
"""Direction in which models are sent on a call: to the node called, from it, or both."""

Choice = Callable[[int, np.ndarray, np.random.Generator, np.ndarray | None], np.ndarray]
"""(cycle, node (m,) int32, rng, online (n,) bool or None for all) -> (m,) int32, whom each calls; −1 for nobody."""


@dataclass(frozen=True)
class Overlay:
    """A network of views, which its own gossip renews once a cycle; nodes call members of their views.

    Attributes:
        first: the state before cycle 0; the type of states is the protocol's own.
        step: (state, cycle, online (n,) bool or None for all, rng) -> the state after a cycle.
        call: (state, node (m,) int32, rng) -> (m,) int32, whom each calls; −1 for nobody.
        held: state -> what nodes hold, by name (``views``, ``samples``): (n, c) int32, −1 in empty places.
        liars: nodes that lie to the overlay; None if all are honest.
    """

    first: Any
    step: Callable[[Any, int, np.ndarray | None, np.random.Generator], Any]
    call: Callable[[Any, np.ndarray, np.random.Generator], np.ndarray]
    held: Callable[[Any], Mapping[str, np.ndarray]]
    liars: Liars | None = None

    def begin(self, _: Way) -> Choice:
        """Return a new choice for a run: among members of the views after the cycle's gossip, in any direction."""
        state, stepped = self.first, -1

        def choose(cycle: int, node: np.ndarray, rng: np.random.Generator, online: np.ndarray | None) -> np.ndarray:
            nonlocal state, stepped
            while stepped < cycle:
                stepped += 1
                state = self.step(state, stepped, online, rng)
            return self._called(state, node, rng)

        return choose

    def _called(self, state: Any, node: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        peer = self.call(state, node, rng)
        if self.liars is not None:
            lying = self.liars.lies[node]
            peer[lying] = self.liars.victims(int(lying.sum()), rng)
        return peer

    def liar_shares(
        self, rng: Callable[[int], np.random.Generator], online: Callable[[int], np.ndarray | None]
    ) -> Iterator[dict[str, float]]:
        """Yield the shares of liars among what honest nodes hold, by name: at first, and after cycle 0, 1, …, endlessly.

        Args:
            rng: cycle -> the generator that the choice of a run is given in it.
            online: cycle -> who is online in it, (n,) bool; None for all.

        Raises:
            InputError: nobody lies.
        """
        liars, state, cycle = self.liars, self.first, 0
        if liars is None:
            raise InputError("overlay: no node lies", hint="peers with a share of liars")
        while True:
            yield {name: liars.share(members) for name, members in self.held(state).items()}
            state = self.step(state, cycle, online(cycle), rng(cycle))
            cycle += 1


@dataclass(frozen=True)
class Peers:
    """Whom nodes call.

    Attributes:
        begin: way -> a new choice for a run, which may carry state from one cycle to the next.
        changes: whether the choice depends on the cycle and on who is online.
        n_nodes: number of nodes that it is for; None for any number.
        overlay: the overlay whose members are called; None if there is none.
    """

    begin: Callable[[Way], Choice]
    changes: bool = False
    n_nodes: int | None = None
    overlay: Overlay | None = None

    def __post_init__(self) -> None:
        check_fields("peers", self)


def members_of(overlay: Overlay, n_nodes: int) -> Peers:
    """Return the members of an overlay's views as peers.

    Args:
        overlay: the overlay.
        n_nodes: number of its nodes.
    """
    return Peers(overlay.begin, changes=True, n_nodes=n_nodes, overlay=overlay)


@dataclass
class Preferences:
    """Preferences of nodes for each other, which are learnt during the run.

    Attributes:
        prefers: (n, n) bool; row i: whom node i calls from now on, if any of them are among those that it may call. None
            while there are no preferences yet.
    """

    prefers: np.ndarray | None = None


def checked(choice: Choice, n_nodes: int) -> Choice:
    """Return a choice that raises InputError if a node calls itself or a node that does not exist.

    Args:
        choice: any choice, possibly a user's own.
        n_nodes: number of nodes.
    """

    def choose(cycle: int, node: np.ndarray, rng: np.random.Generator, online: np.ndarray | None) -> np.ndarray:
        peer = choice(cycle, node, rng, online)
        if peer.size and (peer.max() >= n_nodes or (peer == node).any()):
            wrong = int(np.argmax((peer >= n_nodes) | (peer == node)))
            raise InputError(
                f"peers: node {node[wrong]} calls node {peer[wrong]}",
                hint=f"call another of the nodes 0 to {n_nodes - 1}, or -1 for nobody",
            )
        return peer

    return choose
