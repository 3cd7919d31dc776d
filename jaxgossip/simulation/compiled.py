"""Functions compiled ahead of time, with the arrays that they close over as arguments, and what memory they take."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from jaxgossip.simulation.hoist import hoist


class Compiler:
    """Compiles the functions of one run.

    Args:
        matmul_precision: of float32 matrix products: "highest" is full float32 on every device.

    Attributes:
        scratch_bytes: what the hungriest program takes besides its arguments and what it consumes, by the compiler's account.
    """

    def __init__(self, matmul_precision: str = "highest") -> None:
        self._precision = matmul_precision
        self.scratch_bytes = 0

    def trace(self, function: Callable[..., Any], *example: Any) -> tuple[list[jax.Array], Callable[..., Any]]:
        """Return (arrays, pure): what ``function`` closes over, and the function of these and its own arguments."""
        with jax.default_matmul_precision(self._precision):
            return hoist(function, *example)

    def compile(self, function: Callable[..., Any], *example: Any, donate: bool = False) -> Callable[..., Any]:
        """Return ``function`` compiled for arguments like ``example``; with ``donate`` its first one is consumed."""
        arrays, pure = self.trace(function, *example)
        compiled = jax.jit(pure, donate_argnums=(1,) if donate else ()).lower(arrays, *example).compile()
        analysis = compiled.memory_analysis()
        if analysis is not None:
            fresh = analysis.output_size_in_bytes - analysis.alias_size_in_bytes if donate else 0
            self.scratch_bytes = max(self.scratch_bytes, int(analysis.temp_size_in_bytes + fresh))
        return partial(compiled, arrays)
