"""Choices of whom a node calls, as values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jaxgossip.core.arguments import check_fields
from jaxgossip.core.errors import InputError

Way = Literal["push", "pull", "both"]
"""Direction in which models are sent on a call: to the node called, from it, or both."""

Choice = Callable[[int, np.ndarray, np.random.Generator, np.ndarray | None], np.ndarray]
"""(cycle, node (m,) int32, rng, online (n,) bool or None for all) -> (m,) int32, whom each calls; −1 for nobody."""


@dataclass(frozen=True)
class Peers:
    """Whom nodes call.

    Attributes:
        begin: way -> a new choice for a run, which may carry state from one cycle to the next.
        changes: whether the choice depends on the cycle and on who is online.
        n_nodes: number of nodes that it is for; None for any number.
    """

    begin: Callable[[Way], Choice]
    changes: bool = False
    n_nodes: int | None = None

    def __post_init__(self) -> None:
        check_fields("peers", self)


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
