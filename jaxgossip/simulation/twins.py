"""Two objects built alike: which array of one stands in the place of which array of the other.

A program is traced from an algorithm's closures. Where those of two runs differ in the values of device arrays alone, one
trace serves both. Whatever is not understood counts as different: then each is traced, and nothing but time is lost.
"""

import enum
import functools
import types
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

_PLAIN = (
    *(bool, int, float, complex, str, bytes, type(None), type, enum.Enum, types.ModuleType),
    *(np.generic, np.dtype, jax.tree_util.PyTreeDef),
)


class Differ(Exception):  # noqa: N818 - an answer, not an error
    """The objects differ in more than the values of device arrays."""


def counterparts(one: Any, other: Any) -> dict[int, jax.Array] | None:
    """Return ``id`` of every device array within ``one`` -> the array that ``other`` has in its place.

    Args:
        one: any object; closures, methods, dataclasses and containers are walked through.
        other: likewise.

    Returns:
        The arrays, each of the shape and dtype of its counterpart; None where the objects differ in anything else.
    """
    walk = _Walk()
    try:
        walk.compare(one, other)
    except (Differ, RecursionError):
        return None
    return walk.found


class _Walk:
    def __init__(self) -> None:
        self.found: dict[int, jax.Array] = {}
        self._seen: set[tuple[int, int]] = set()

    def compare(self, a: Any, b: Any) -> None:
        if isinstance(a, _PLAIN):
            _require(type(a) is type(b) and (a is b or a == b))
            return
        if (id(a), id(b)) in self._seen:
            return
        self._seen.add((id(a), id(b)))
        if isinstance(a, jax.Array):
            self._array(a, b)
            return
        _require(type(a) is type(b))
        if isinstance(a, np.ndarray):
            # Its values may have become numbers of the program, or shapes.
            _require(a is b or (a.dtype == b.dtype and np.array_equal(a, b)))
        elif isinstance(a, types.FunctionType):
            _require(a.__code__ is b.__code__ and a.__globals__ is b.__globals__)
            self._all(a.__closure__ or (), b.__closure__ or ())
            self._all((a.__defaults__, a.__kwdefaults__, a.__dict__), (b.__defaults__, b.__kwdefaults__, b.__dict__))
        elif isinstance(a, types.CellType):
            self.compare(_content(a), _content(b))
        elif isinstance(a, types.MethodType):
            self._all((a.__func__, a.__self__), (b.__func__, b.__self__))
        elif isinstance(a, functools.partial):
            self._all((a.func, a.args, a.keywords), (b.func, b.args, b.keywords))
        elif isinstance(a, Mapping):
            _require(list(a) == list(b))
            self._all(a.values(), b.values())
        elif isinstance(a, tuple | list):
            self._all(a, b)
        elif isinstance(a, set | frozenset):
            _require(a == b)
        else:
            self._object(a, b)

    def _array(self, a: jax.Array, b: Any) -> None:
        _require(isinstance(b, jax.Array) and not isinstance(a, Tracer) and not isinstance(b, Tracer))
        _require((a.shape, a.dtype, _is_weak(a)) == (b.shape, b.dtype, _is_weak(b)))
        _require(self.found.setdefault(id(a), b) is b)  # one array stands twice here, and two there

    def _object(self, a: Any, b: Any) -> None:
        slots = [
            name
            for kind in type(a).__mro__
            for name in _names(kind.__dict__.get("__slots__", ()))
            if name not in ("__dict__", "__weakref__")
        ]
        inside = hasattr(a, "__dict__") or slots
        _require(a is b or bool(inside))
        if inside:
            self.compare(getattr(a, "__dict__", {}), getattr(b, "__dict__", {}))
            for name in slots:
                self.compare(getattr(a, name, None), getattr(b, name, None))

    def _all(self, some: Any, others: Any) -> None:
        _require(len(some) == len(others))
        for a, b in zip(some, others, strict=True):
            self.compare(a, b)


def _require(same: bool) -> None:
    if not same:
        raise Differ


def _is_weak(array: jax.Array) -> bool:
    return getattr(array, "weak_type", False)  # keys have none


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)
