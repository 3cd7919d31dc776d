"""Checks of the parameters of generators, and of matrices from the user."""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse as sp

from jaxgossip.core.errors import GraphError

MAX_NODES = 2**31 - 1
"""Largest int32, in which neighbour lists hold node numbers."""


def whole_number(topology: str, name: str, value: Any, minimum: int, hint: str = "") -> int:
    """Return ``value`` as an int of at least ``minimum``.

    Args:
        topology: name of the generator in messages.
        name: name of the parameter.
        value: the caller's value.
        minimum: lower bound.
        hint: what to do if the value is smaller.

    Raises:
        GraphError: the value is not a whole number, or too small.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise GraphError(f"{topology}: {name} must be a whole number, not {value!r}")
    if value < minimum:
        raise GraphError(f"{topology}: {name} must be at least {minimum}, not {value}", hint=hint)
    return int(value)


def node_count(topology: str, nodes: Any, minimum: int = 1, hint: str = "") -> int:
    """Return ``nodes`` as an int from ``minimum`` to ``MAX_NODES``.

    Raises:
        GraphError: the value is not a whole number, too small or too large.
    """
    nodes = whole_number(topology, "nodes", nodes, minimum, hint)
    if nodes > MAX_NODES:
        raise GraphError(f"{topology}: nodes must be at most {MAX_NODES}, not {nodes}", hint="node numbers are int32")
    return nodes


def real_number(topology: str, name: str, value: Any, low: float, high: float, hint: str = "") -> float:
    """Return ``value`` as a float in [low, high].

    Raises:
        GraphError: the value is not a number, not finite, or out of bounds.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
        raise GraphError(f"{topology}: {name} must be a finite number, not {value!r}")
    number = float(value)
    if not low <= number <= high:
        raise GraphError(f"{topology}: {name} must be from {low:g} to {high:g}, not {number:g}", hint=hint)
    return number


def probability(topology: str, name: str, value: Any) -> float:
    """Return ``value`` as a float in [0, 1].

    Raises:
        GraphError: the value is not a number from 0 to 1.
    """
    return real_number(topology, name, value, 0.0, 1.0, hint=f"{name} is a probability")


def one_of_two(topology: str, first: str, a: Any, second: str, b: Any) -> None:
    """Check that exactly one of two parameters is given.

    Raises:
        GraphError: both or neither are.
    """
    if (a is None) == (b is None):
        how = "neither" if a is None else "both"
        raise GraphError(
            f"{topology}: {how} of {first} and {second} {'is' if a is None else 'are'} given",
            hint=f"give exactly one of {first} and {second}",
        )


def square_matrix(owner: str, matrix: Any) -> sp.csr_array:
    """Return a user's dense or sparse matrix as (n, n) float64 CSR, with duplicates summed and zeros removed.

    Raises:
        GraphError: the matrix is not square, is empty, or holds anything but finite real numbers.
    """
    square = finite_matrix(owner, matrix)
    sides = sides_of(square)
    if sides[0] != sides[1]:
        raise GraphError(f"{owner}: the matrix has shape {sides}", hint="it must be square: (n, n)")
    return square


def sides_of(matrix: sp.csr_array) -> tuple[int, int]:
    """Return the numbers of rows and columns of a matrix."""
    shape = matrix.shape
    assert shape is not None  # as scipy's stubs allow
    return int(shape[0]), int(shape[1])


def finite_matrix(owner: str, matrix: Any) -> sp.csr_array:
    """Return a user's dense or sparse matrix, square or not, as float64 CSR, with duplicates summed and zeros removed.

    Raises:
        GraphError: the matrix does not have two axes, is empty, or holds anything but finite real numbers.
    """
    try:
        matrix = sp.coo_array(matrix) if sp.issparse(matrix) else np.asarray(matrix)
    except ValueError as error:  # rows of different lengths
        raise GraphError(f"{owner}: no matrix can be made of it: {error}", hint="it must be square: (n, n)") from error
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise GraphError(f"{owner}: the matrix has shape {tuple(matrix.shape)}", hint="it must be square: (n, n)")
    if matrix.dtype.kind not in "biuf":
        raise GraphError(f"{owner}: the matrix holds {matrix.dtype}", hint="it must hold booleans, integers or floats")
    # In booleans or small integers, the sum of duplicates could wrap around to zero.
    csr = sp.csr_array(matrix.astype(np.float64))
    csr.sum_duplicates()
    csr.eliminate_zeros()
    if not np.isfinite(csr.data).all():
        row = int(np.searchsorted(csr.indptr, np.flatnonzero(~np.isfinite(csr.data))[0], side="right")) - 1
        raise GraphError(f"{owner}: row {row} of the matrix holds a number that is not finite")
    return csr


def class_shares_of(owner: str, class_shares: Any) -> np.ndarray:
    """Return class shares (n, C) as float64.

    Raises:
        GraphError: they are not those of at least one node, or a row is not of shares that sum to one.
    """
    try:
        shares = np.asarray(class_shares, np.float64)
    except (TypeError, ValueError):
        shares = np.empty(0)
    hint = "jg.learning.partitions.class_shares(partition, labels) returns them"
    if shares.ndim != 2 or not shares.size:
        raise GraphError(f"{owner}: class_shares must be (n, C) numbers, not of shape {shares.shape}", hint=hint)
    wrong = ~((shares >= 0).all(1) & (np.abs(shares.sum(1) - 1) <= 1e-6))  # also of NaN
    if wrong.any():
        node = int(wrong.argmax())
        raise GraphError(f"{owner}: the class_shares of node {node} are no shares that sum to one", hint=hint)
    return shares / shares.sum(1, keepdims=True)
