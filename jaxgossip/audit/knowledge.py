"""What nodes learn of the values of others by listening: the knowledge matrix of gossip averaging and of decentralised GD.

With W_t the mixing of round t, whether it is fixed, drawn anew, or what faults have left of it, nodes hold and send

    values     X_t = W_{t−1} ⋯ W_0 X_0,                                     gossip averaging;
    updates    Y_t = P_t U + what attackers sent,   P_0 = I,  P_{t+1} = (W_t)_TT P_t + I,

the latter in decentralised GD, X_{t+1} = W_t Y_t, Y_t = X_t + U, from a common start that is known, while the update U = −ηG of
a node stays the same; T are the targets, all nodes but the attackers. Attackers know W_t, their own rows, and the rows of those
nodes that they hear, each in the rounds in which they hear it: they know K X_0 (K U), whose rows are those of these products.

    the row of node u is recovered  ⇔  e_u is in the row space of K  ⇔  (K⁺K)_uu = 1.

El Mrini, Cyffers and Bellet 2024, "Privacy attacks in decentralized learning" (ICML). Computed on the host. K has a row for
each message heard, so networks of tens of thousands of nodes are within reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgossip.audit.scene import Form, Scene
from jaxgossip.audit.spaces import FAINTEST, RECOVERED, Exact, Floating, grown, products_of, units_of
from jaxgossip.core.errors import InputError


@dataclass(frozen=True)
class Recovery:
    """What attackers have recovered, by round.

    Attributes:
        form: "values" or "updates".
        attackers: the attackers.
        first: (n,) int64, the number of rounds after which a node's row is recovered; 0 for attackers, −1 if it is never.
        rank: (T,) int64, the rank of K after 1, 2, …, T rounds.
        share: (n,) float64, (K⁺K)_uu after the last round: the share of a random row's variance that is known.
    """

    form: Form
    attackers: tuple[int, ...]
    first: np.ndarray
    rank: np.ndarray
    share: np.ndarray

    @property
    def rounds(self) -> int:
        """T, the number of rounds."""
        return self.rank.size

    @property
    def counts(self) -> np.ndarray:
        """(T,) int64: the nodes recovered after 1, 2, …, T rounds. Attackers are among them in the form "values" only."""
        return np.array([self.nodes(number).size for number in range(1, self.rounds + 1)], np.int64)

    def nodes(self, rounds: int) -> np.ndarray:
        """Return (k,) int64, the nodes recovered after so many rounds, with attackers in the form "values" only."""
        least = 0 if self.form == "values" else 1
        return np.flatnonzero((self.first >= least) & (self.first <= rounds))


def recovered(
    mixing: Any,
    attackers: int | Sequence[int],
    rounds: int | None = None,
    *,
    form: Form = "values",
    exact: bool = False,
    heard: Sequence[Sequence[int]] | None = None,
) -> Recovery:
    """Return which nodes' rows attackers recover, by round.

    >>> recovered(jg.topology.metropolis_hastings(jg.topology.path(8)), 0, 8, exact=True).counts
    array([2, 3, 4, 5, 6, 7, 8, 8])

    Exact arithmetic takes weights for the simple fractions that they are close to, and else for the very numbers that they are.
    It suits networks of up to a hundred nodes. Floating point loses directions that are too faint, and so may find fewer nodes;
    for weights that are the same in every round it builds the space step by step, and loses hardly any.

    Args:
        mixing: W for all rounds, as weights or an (n, n) matrix; or one for each round. Rows of an object array may be of
            fractions.
        attackers: a node, or several that share what they know.
        rounds: T, the number of rounds; None for as many as there are matrices.
        form: "values" for gossip averaging, "updates" for decentralised GD with constant gradients.
        exact: whether to decide in rational arithmetic.
        heard: for each round the nodes whose rows arrive at an attacker; None for those of which he takes a part.

    Raises:
        InputError: there is no such attacker or form, ``rounds`` is not given or exceeds the matrices, or ``heard`` has other
            rounds.
        GraphError: the matrices are not square, or not of one size.
    """
    scene = Scene.of("recovered", mixing, attackers, rounds, form, heard)
    first = np.full(scene.n_nodes, -1, np.int64)
    first[list(scene.attackers)] = 0
    rank, space = [], Exact(scene.n_nodes) if exact else Floating(scene.n_nodes)
    for number, _ in enumerate(grown(scene, space), start=1):
        found = space.solved()
        first[found[first[found] < 0]] = number
        rank.append(space.rank)
    return Recovery(form, scene.attackers, first, np.array(rank, np.int64), space.share())


def knowledge_matrix(
    mixing: Any,
    attackers: int | Sequence[int],
    rounds: int | None = None,
    *,
    form: Form = "values",
    heard: Sequence[Sequence[int]] | None = None,
) -> np.ndarray:
    """Return K, (r, n) float64: in the form "values" a row for each attacker, and one for each message, round by round.

    The messages of a round stand in the order of their senders. The arguments are those of :func:`recovered`.
    """
    scene = Scene.of("knowledge_matrix", mixing, attackers, rounds, form, heard)
    own = units_of(scene.n_nodes, scene.attackers if form == "values" else ())
    return np.concatenate([own, *products_of(scene)])


def reconstruct_values(
    mixing: Any,
    attackers: int | Sequence[int],
    own: np.ndarray,
    messages: Sequence[np.ndarray],
    *,
    heard: Sequence[Sequence[int]] | None = None,
) -> np.ndarray:
    """Return (n, p): the first values of gossip averaging that attackers solve for, by least squares; NaN where they cannot.

    Args:
        mixing: as of :func:`recovered`.
        attackers: a node, or several.
        own: (a, p), the attackers' own first values.
        messages: for each round (k, p), the rows that attackers hear, in the order of their senders.
        heard: as of :func:`recovered`.

    Raises:
        InputError, GraphError: as of :func:`recovered`; or there are other numbers of rows.
    """
    scene = Scene.of("reconstruct_values", mixing, attackers, len(messages), "values", heard)
    known = [np.reshape(own, (len(scene.attackers), -1)), *messages]
    matrix = knowledge_matrix(mixing, attackers, len(messages), heard=heard)
    return _solved("reconstruct_values", matrix, known)


def reconstruct_updates(
    mixing: Any,
    attackers: int | Sequence[int],
    start: np.ndarray,
    sent: Sequence[np.ndarray],
    messages: Sequence[np.ndarray],
    *,
    heard: Sequence[Sequence[int]] | None = None,
) -> np.ndarray:
    """Return (n, p): the updates −ηG of decentralised GD that attackers solve for, by least squares; NaN where they cannot.

    Args:
        mixing: as of :func:`recovered`.
        attackers: a node, or several.
        start: (p,), the model that all nodes start from.
        sent: for each round (a, p), the rows Y_t that the attackers themselves sent.
        messages: for each round (k, p), the rows Y_t that attackers hear, in the order of their senders.
        heard: as of :func:`recovered`.

    Raises:
        InputError, GraphError: as of :func:`recovered`; or there are other numbers of rows.
    """
    scene = Scene.of("reconstruct_updates", mixing, attackers, len(messages), "updates", heard)
    n, rounds, own = scene.n_nodes, len(messages), list(scene.attackers)
    if len(sent) < rounds - 1:
        raise InputError(
            f"reconstruct_updates: rows that attackers sent in {len(sent)} rounds, and {rounds} were heard"
        )
    base, known = np.broadcast_to(np.asarray(start, np.float64), (n, np.size(start))).copy(), []
    for number in range(rounds):  # the rows that targets would send without any updates
        known.append(np.asarray(messages[number], np.float64) - base[list(scene.heard[number])])
        base[own] = sent[number] if number < len(sent) else 0
        base = scene.matrices[min(number, len(scene.matrices) - 1)] @ base
    matrix = knowledge_matrix(mixing, attackers, rounds, form="updates", heard=heard)
    return _solved("reconstruct_updates", matrix, known)


def _solved(what: str, matrix: np.ndarray, known: Sequence[np.ndarray]) -> np.ndarray:
    """Return the least-squares solution (n, p) of ``matrix`` X = ``known``, with NaN for rows that are not determined."""
    values = np.concatenate([np.asarray(rows, np.float64) for rows in known])
    if values.shape[0] != matrix.shape[0]:
        raise InputError(f"{what}: {values.shape[0]} rows, and {matrix.shape[0]} are heard")
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    kept = singular > FAINTEST * singular.max(initial=0.0)
    left, singular, right = left[:, kept], singular[kept], right[kept]
    found = right.T @ ((left.T @ values) / singular[:, None])
    return np.where((np.square(right).sum(0) >= 1 - RECOVERED)[:, None], found, np.nan)
