"""Whether a method keeps the rows at hand apart, as on a mesh it must: they are those of one block, not of all nodes.

Two traces of a round, for blocks of different length, tell which axes are those of rows; what adds, sorts or picks along them
in a method's own code would see one block, and nothing else would say so.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxgossip.core.devices.traced import CALLS, programs_in

PACKAGE = str(Path(__file__).parents[2]) + os.sep
ALONG = frozenset({"cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"})


def own_uses_of_rows(shorter: Any, longer: Any) -> list[str]:
    """Return where, and by which operation, code outside the package uses rows together: one line each.

    Args:
        shorter: the program for a block, a jaxpr.
        longer: the same for a block of one row more.
    """
    return list(dict.fromkeys(_found(shorter, longer)))


def _found(shorter: Any, longer: Any, caller: Any = None) -> Iterator[str]:
    for one, other in zip(shorter.eqns, longer.eqns, strict=False):
        if not _alike(one, other):  # it depends on the number of rows; from here on the traces cannot be compared
            if line := _own_line(caller or one):
                yield f"{one.primitive.name} at {line}"
            return
        # What is within a call may have been traced before, for another line.
        place = caller or (one if one.primitive.name in CALLS else None)
        inner = list(zip(programs_in(one), programs_in(other), strict=True))
        for parts in inner:
            yield from _found(*parts, place)
        if not inner and _mixes(one, _row_axes(one.invars, other.invars), _row_axes(one.outvars, other.outvars)):
            line = _own_line(place or one)
            if line:
                yield f"{one.primitive.name} at {line}"


def _alike(one: Any, other: Any) -> bool:
    """Return whether two operations differ in the lengths of axes at most."""

    def form(equation: Any) -> Any:
        entries = (*equation.invars, *equation.outvars)
        ranks = [len(getattr(entry.aval, "shape", ())) for entry in entries]
        return equation.primitive, ranks, len(equation.invars), len(programs_in(equation))

    return form(one) == form(other)


def _row_axes(some: Sequence[Any], others: Sequence[Any]) -> list[set[int]]:
    """Return, for each array, the axes whose length follows the number of rows."""
    shapes = ([getattr(entry.aval, "shape", ()) for entry in entries] for entries in (some, others))
    pairs = zip(*shapes, strict=True)
    return [{axis for axis, (a, b) in enumerate(zip(*pair, strict=True)) if a != b} for pair in pairs]


def _mixes(equation: Any, inputs: list[set[int]], outputs: list[set[int]]) -> bool:
    """Return whether an operation uses several rows together, or one of a fixed number."""
    name, params = equation.primitive.name, equation.params
    if not inputs or not any(inputs):
        return False
    if (name.startswith("reduce_") and "axes" in params) or name in {"argmax", "argmin"}:
        return bool(inputs[0] & set(params["axes"]))
    if name in ALONG:
        return params["axis"] in inputs[0]
    if name == "sort":
        return any(params["dimension"] in axes for axes in inputs)
    if name == "dot_general":
        (left, right), _ = params["dimension_numbers"]
        return bool(inputs[0] & set(left) or inputs[1] & set(right))
    if name in {"slice", "dynamic_slice"}:
        return not inputs[0] <= outputs[0]
    return False


def _own_line(equation: Any) -> str:
    """Return the line, outside the package and JAX, that an operation stems from; empty if it is none of a user."""
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback is not None else ():
        if frame.file_name.startswith(PACKAGE):
            return ""
        if f"{os.sep}jax{os.sep}" not in frame.file_name:
            return f"{Path(frame.file_name).name}:{frame.line_num}"
    return ""
