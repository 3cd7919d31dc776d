"""Arrays that a function closes over become arguments of its compiled program.

``jax.jit`` writes closed-over arrays into the program as constants: a data set of a gigabyte would be compiled. Algorithms
close over their problem and their mixing all the same, which keeps them readable; the engine lifts the arrays out again.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.core import eval_jaxpr

from jaxgossip.typing import PyTree


def hoist(function: Callable[..., Any], *example: PyTree) -> tuple[list[jax.Array], Callable[..., Any]]:
    """Return (arrays, pure) with ``pure(arrays, *args) == function(*args)`` and no array left inside ``pure``.

    Args:
        function: takes and returns pytrees of arrays.
        example: arguments, concrete or ``jax.ShapeDtypeStruct``, with the shapes of all later calls.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*example)
    structure = jax.tree.structure(shape)

    def pure(arrays: list[jax.Array], *args: PyTree) -> PyTree:
        outputs = eval_jaxpr(closed.jaxpr, arrays, *jax.tree.leaves(args))
        return jax.tree.unflatten(structure, outputs)

    return list(closed.consts), pure
