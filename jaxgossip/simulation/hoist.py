"""Arrays that a function closes over become arguments of its compiled program.

``jax.jit`` writes closed-over arrays into the program as constants: a data set of a gigabyte would be compiled. Algorithms
close over their problem and their mixing all the same, which keeps them readable; the engine lifts the arrays out again.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_jaxpr

from jaxgossip.core.typing import PyTree

_ADDRESS = re.compile(r"0x[0-9a-f]+")


@dataclass(frozen=True, eq=False)
class Traced:
    """A function as its program and the arrays that it closes over.

    Attributes:
        closed: the program, a closed jaxpr.
        structure: of what it returns.
    """

    closed: Any
    structure: Any

    @property
    def arrays(self) -> list[jax.Array]:
        """The arrays that the function closes over, in the order in which ``pure`` takes them."""
        return list(self.closed.consts)

    def pure(self, arrays: list[jax.Array], *args: PyTree) -> PyTree:
        """Return what the function gives for ``args`` with ``arrays`` in the place of its own."""
        outputs = eval_jaxpr(self.closed.jaxpr, arrays, *jax.tree.leaves(args))
        return jax.tree.unflatten(self.structure, outputs)

    def text(self) -> str:
        """Return the program in words: equal texts compute the same of the same arrays, shapes and literals among them."""
        held = [digest(array) for array in _held(self.closed.jaxpr)]
        return "\n".join([_ADDRESS.sub("", str(self.closed.jaxpr)), str(self.structure), *held])


def trace(function: Callable[..., Any], *example: PyTree) -> Traced:
    """Trace a function, which computes nothing.

    Args:
        function: takes and returns pytrees of arrays.
        example: arguments, concrete or ``jax.ShapeDtypeStruct``, with the shapes of all later calls.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*example)
    return Traced(closed, jax.tree.structure(shape))


def hoist(function: Callable[..., Any], *example: PyTree) -> tuple[list[jax.Array], Callable[..., Any]]:
    """Return (arrays, pure) with ``pure(arrays, *args) == function(*args)`` and no array left inside ``pure``.

    Args:
        function: takes and returns pytrees of arrays.
        example: arguments, concrete or ``jax.ShapeDtypeStruct``, with the shapes of all later calls.
    """
    traced = trace(function, *example)
    return traced.arrays, traced.pure


def digest(array: Any) -> str:
    """Return a short text that equal arrays, of one dtype and shape, and no others share."""
    is_key = isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
    values = np.asarray(jax.random.key_data(array) if is_key else array)
    found = blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16).hexdigest()
    return f"{array.dtype}{list(array.shape)} {found}"


def _held(jaxpr: Any) -> Iterator[Any]:
    """Yield the arrays that programs within a program hold, which its text does not show."""
    for equation in jaxpr.eqns:
        for value in equation.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                if isinstance(part, np.ndarray):
                    yield part
                yield from getattr(part, "consts", ())
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from _held(inner)
