"""Buffers that every step of a loop fills anew, and that the loop allocates once.

XLA fills a new buffer with zeros on a CPU: where memory is slow, that takes as long as any other pass over the state.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.core import ShapedArray
from jax.extend.core import (
    ClosedJaxpr,  # pyright: ignore[reportPrivateImportUsage] - exported, but not by the stubs
    Primitive,
    jaxpr_as_fun,
)
from jaxtyping import Array

from jaxgossip.core.devices.traced import program_of
from jaxgossip.core.typing import PyTree

buffer_p = Primitive("buffer")


@buffer_p.def_abstract_eval
def _shape(*, shape: tuple[int, ...], dtype: Any) -> Any:
    return ShapedArray(shape, dtype)


class Workspace:
    """The buffers of a step, found while it is traced.

    Attributes:
        latest: for each buffer, the array that is stored in it at the end of the step.
    """

    def __init__(self) -> None:
        self.latest: list[Array] = []

    def take(self, shape: tuple[int, ...], dtype: Any) -> tuple[int, Array]:
        """Return (number of a buffer, the buffer), which holds anything."""
        self.latest.append(buffer_p.bind(shape=shape, dtype=dtype))
        return len(self.latest) - 1, self.latest[-1]

    def keep(self, number: int, array: Array) -> None:
        """Note that an array is stored in the place of a buffer."""
        self.latest[number] = array


def while_loop(
    again: Callable[[PyTree], Array], step: Callable[[PyTree], PyTree], state: PyTree, workspace: Workspace
) -> PyTree:
    """Return the state after steps as long as ``again(state)``, like ``jax.lax.while_loop``.

    Args:
        again: whether there is another step.
        step: state -> state; what it takes from the workspace is carried from step to step.
        state: what the loop begins with.
        workspace: that of the step, empty before.
    """

    def traced(state: PyTree) -> tuple[PyTree, list[Array]]:
        return step(state), workspace.latest

    closed, (shapes, _) = jax.make_jaxpr(traced, return_shape=True)(state)
    outer, tree = closed.jaxpr, jax.tree.structure(shapes)
    buffers = [equation for equation in outer.eqns if equation.primitive is buffer_p]
    others = [equation for equation in outer.eqns if equation.primitive is not buffer_p]
    inputs = [*outer.constvars, *(buffer.outvars[0] for buffer in buffers), *outer.invars]
    body = jaxpr_as_fun(
        ClosedJaxpr(program_of(inputs, list(outer.outvars), others, len(outer.constvars)), closed.consts)
    )

    def one(carry: tuple[PyTree, list[Array]]) -> tuple[PyTree, list[Array]]:
        state, filled = carry
        results = body(*filled, *jax.tree.leaves(state))
        return jax.tree.unflatten(tree, results[: tree.num_leaves]), results[tree.num_leaves :]

    empty = [jax.lax.empty(buffer.params["shape"], buffer.params["dtype"]) for buffer in buffers]
    return jax.lax.while_loop(lambda carry: again(carry[0]), one, (state, empty))[0]
