"""Sequential loops over NumPy arrays on the host, compiled to machine code.

XLA's loops take some 100 ns a step on a CPU; one that is compiled here takes a few, and does not hold the interpreter's lock,
so that it runs beside a program of the device. Numba is imported when the first of them is called.
"""

import inspect
from collections.abc import Callable
from functools import cache, wraps
from types import FunctionType
from typing import Any


def host_loop[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Return a function of arrays and numbers that is compiled when it is first called.

    Its body is what Numba compiles: loops over arrays and numbers, and calls of other such functions of its module.
    Annotations are not checked, since what is called is machine code; it is kept on disk, where that can be written.

    Args:
        function: a function at module level, whose arguments are arrays and numbers.
    """

    @wraps(function)
    def compiled(*arguments: P.args, **named: P.kwargs) -> R:
        return _machine_code(_plain(function))(*arguments, **named)

    vars(compiled)["is_host_loop"] = True
    return compiled


def _plain(function: Callable[..., Any]) -> FunctionType:
    """Return a function without what wraps it, such as a check of its annotations."""
    plain = inspect.unwrap(function)
    assert isinstance(plain, FunctionType)
    return plain


@cache
def _machine_code(function: FunctionType) -> Callable[..., Any]:
    import numba  # noqa: PLC0415 - takes .3 s, which commands that need no loop do not pay

    names = {name: function.__globals__.get(name) for name in function.__code__.co_names}
    loops = {name: value for name, value in names.items() if getattr(value, "is_host_loop", False)}
    known = function.__globals__ | {name: _machine_code(_plain(value)) for name, value in loops.items() if value}
    linked = FunctionType(function.__code__, known, function.__name__, function.__defaults__)
    linked.__module__, linked.__qualname__ = function.__module__, function.__qualname__
    try:
        return numba.njit(nogil=True, cache=True)(linked)
    except RuntimeError:  # no folder in which to keep the code
        return numba.njit(nogil=True)(linked)
