"""The scene of an attack by listening: who listens to whom in which rounds, over which mixing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from jaxgossip.core.arguments import shown, whole
from jaxgossip.core.errors import GraphError, InputError
from jaxgossip.topology import Weights

Form = Literal["values", "updates"]
"""Whose rows attackers look for: the first values of gossip averaging, or the constant updates of decentralised GD."""


@dataclass(frozen=True)
class Scene:
    """Who listens to whom, in which rounds, over which mixing.

    Attributes:
        n_nodes: number of nodes.
        attackers: the attackers.
        form: "values" or "updates".
        matrices: W_t, (n, n) CSR of float64, of each round; a single one if all rounds have the same.
        rational: the same as (row, column) entries by row, of rounds that have them as fractions; None elsewhere.
        heard: of each round the nodes whose rows arrive, in ascending order and without attackers.
    """

    n_nodes: int
    attackers: tuple[int, ...]
    form: Form
    matrices: tuple[sp.csr_array, ...]
    rational: tuple[Any, ...]
    heard: tuple[tuple[int, ...], ...]

    @classmethod
    def of(
        cls,
        what: str,
        mixing: Any,
        attackers: int | Sequence[int],
        rounds: int | None,
        form: Form,
        heard: Sequence[Sequence[int]] | None,
    ) -> "Scene":
        """Check the arguments of ``what``, and return what they say.

        Raises:
            InputError, GraphError: see :func:`recovered`.
        """
        if form not in ("values", "updates"):
            raise InputError(f"{what}: form must be 'values' or 'updates', not {shown(form)}")
        single, given = True, [mixing]
        matrix = isinstance(mixing, np.ndarray) and mixing.ndim == 2
        if not (matrix or isinstance(mixing, Weights) or sp.issparse(mixing)):
            single, given = False, list(mixing)
        if not given:
            raise InputError(f"{what}: there are no rounds", hint="W, or one matrix for each round")
        if rounds is None and single:
            raise InputError(f"{what}: of one W for all rounds it must be said how many these are", hint="rounds=10")
        rounds = len(given) if rounds is None else whole(what, "rounds", rounds, 1)
        if not single and rounds > len(given):
            raise InputError(f"{what}: {rounds} rounds of {len(given)} matrices")
        if all(each is given[0] for each in given):
            given = given[:1]
        matrices = tuple(_matrix(what, each) for each in given[:rounds])
        n = n_rows(matrices[0])
        if any(n_rows(matrix) != n for matrix in matrices):
            raise GraphError(f"{what}: matrices of several numbers of nodes")
        own = checked_attackers(what, attackers, n)
        if heard is None:
            listened = [_senders(matrix, own) for matrix in matrices]
            listened = listened * (rounds if len(listened) == 1 else 1)
        else:
            if len(heard) < rounds:
                raise InputError(f"{what}: who is heard is given for {len(heard)} of {rounds} rounds")
            listened = [tuple(sorted({int(node) for node in of_round} - set(own))) for of_round in heard[:rounds]]
        return cls(n, own, form, matrices, tuple(given[:rounds]), tuple(listened))

    @property
    def fixed(self) -> bool:
        """Whether the same nodes are heard in all rounds, over the same W, so that the space of K is a Krylov space."""
        return len(self.matrices) == 1 and len(set(self.heard)) == 1


def checked_attackers(what: str, attackers: int | Sequence[int], n_nodes: int) -> tuple[int, ...]:
    """Return the attackers in ascending order.

    Raises:
        InputError: there is none, or no such node, or no target is left.
    """
    nodes = np.unique(np.atleast_1d(np.asarray(attackers)))
    if nodes.size == 0 or nodes.dtype.kind not in "iu" or nodes[0] < 0 or nodes[-1] >= n_nodes:
        raise InputError(f"{what}: attackers must be nodes from 0 to {n_nodes - 1:,}, not {shown(attackers)}")
    if nodes.size == n_nodes:
        raise InputError(f"{what}: all {n_nodes:,} nodes are attackers, and none is left to learn about")
    return tuple(nodes.tolist())


def _matrix(what: str, mixing: Any) -> sp.csr_array:
    matrix: Any = mixing.to_scipy() if isinstance(mixing, Weights) else mixing
    if not sp.issparse(matrix):
        matrix = np.asarray(matrix).astype(np.float64)
    shape = np.shape(matrix) if isinstance(matrix, np.ndarray) else matrix.shape
    if len(shape) != 2 or shape[0] != shape[1]:
        raise GraphError(f"{what}: mixing is a matrix (n, n), not of shape {shape}")
    return sp.csr_array(matrix, dtype=np.float64)


def _senders(matrix: sp.csr_array, attackers: Sequence[int]) -> tuple[int, ...]:
    rows = matrix[list(attackers)]
    return tuple(sorted(set(rows.indices[rows.data != 0].tolist()) - set(attackers)))


def n_rows(matrix: sp.csr_array) -> int:
    """Return the number of rows of a matrix."""
    return matrix.indptr.size - 1
