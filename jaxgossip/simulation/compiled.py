"""Pure functions compiled ahead of time, once for all inputs that differ in the values of device arrays alone.

An input is a pytree: its arrays are arguments of the program, the rest is a part of it (:mod:`jaxgossip.core.pytree`). A
program that was compiled before is used again, whoever asks.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax

from jaxgossip.core.pytree import Static, partition
from jaxgossip.core.typing import PyTree

PROGRAMS_KEPT = 64
"""Compiled programs that a process keeps for others to come."""


class Shapes(NamedTuple):
    """The shapes and dtypes of a pytree of arrays.

    Attributes:
        structure: of the tree.
        leaves: its leaves.
    """

    structure: Any
    leaves: tuple[jax.ShapeDtypeStruct, ...]

    @classmethod
    def of(cls, tree: PyTree) -> "Shapes":
        """Return those of a tree of arrays, or of what stands for some."""
        leaves, structure = jax.tree.flatten(tree)
        return cls(structure, tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves))

    def tree(self) -> PyTree:
        """Return the tree, of ``jax.ShapeDtypeStruct``."""
        return jax.tree.unflatten(self.structure, self.leaves)


class Vmapped(NamedTuple):
    """How a program serves many inputs at once: under one ``vmap`` after another, the outermost first.

    Attributes:
        sizes: of the axes.
        inputs: by axis, for every array of the input: 0 where it has that axis, None where all share it.
        arguments: likewise for every further argument, the same for all axes.
    """

    sizes: tuple[int, ...]
    inputs: tuple[tuple[int | None, ...], ...]
    arguments: tuple[int | None, ...]


ONE = Vmapped((), (), ())
"""A program serves one input."""


class Program:
    """A lowered function of (arrays of its input, further arguments), compiled when it is first needed.

    Args:
        lowered: the function, as JAX lowers it.
        donated: whether the first further argument is consumed.
    """

    def __init__(self, lowered: Any, *, donated: bool) -> None:
        self._lowered, self._donated = lowered, donated

    @functools.cached_property
    def call(self) -> Any:
        """The compiled function."""
        return self._lowered.compile()

    @property
    def scratch_bytes(self) -> int:
        """What it takes besides its arguments and what it consumes, by the compiler's account; 0 where there is none."""
        analysis = self.call.memory_analysis()
        if analysis is None:
            return 0
        fresh = analysis.output_size_in_bytes - analysis.alias_size_in_bytes if self._donated else 0
        return int(analysis.temp_size_in_bytes + fresh)


class Compiler:
    """Compiles functions of inputs.

    Args:
        matmul_precision: of float32 matrix products: "highest" is full float32 on every device.

    Attributes:
        scratch_bytes: what the hungriest program takes besides its arguments and what it consumes, by the compiler's account.
    """

    def __init__(self, matmul_precision: str = "highest") -> None:
        self._precision = matmul_precision
        self.scratch_bytes = 0

    def compile(
        self, function: Callable[..., Any], inputs: PyTree, *example: Any, donate: bool = False
    ) -> Callable[..., Any]:
        """Return ``function`` of these inputs, compiled for arguments like ``example``; with ``donate`` the first is consumed.

        Args:
            function: (inputs, *arguments) -> a pytree of arrays; pure, and the same object whenever it is the same function.
            inputs: any pytree.
            example: the arguments, or ``jax.ShapeDtypeStruct`` in their places.
            donate: whether the first argument's memory is used for what comes out.
        """
        arrays, static = partition(inputs)
        program = self.lower(function, static, arrays, example, donate=donate)
        self.scratch_bytes = max(self.scratch_bytes, program.scratch_bytes)
        return functools.partial(program.call, arrays)

    def lower(
        self,
        function: Callable[..., Any],
        static: Static,
        arrays: Sequence[Any],
        example: Sequence[Any],
        *,
        donate: bool = False,
        vmapped: Vmapped = ONE,
    ) -> Program:
        """Return the program of ``function`` for inputs of this static part, with these arrays or others like them."""
        x64 = bool(jax.config.jax_enable_x64)
        shapes = Shapes.of(list(arrays)), Shapes.of(tuple(example))
        return lowered(function, static, *shapes, self._precision, vmapped, x64=x64, donate=donate)


def compile_together(programs: Sequence[Program]) -> None:
    """Compile several programs at once: compilation leaves Python alone, and who waits for one may as well for three."""
    with ThreadPoolExecutor(max(1, len(programs))) as pool:
        for _ in pool.map(lambda program: program.call, programs):
            pass


def pure(function: Callable[..., Any], static: Static, matmul_precision: str = "highest") -> Callable[..., Any]:
    """Return ``function`` as one of (arrays of its input, further arguments)."""

    def of_arrays(arrays: Sequence[Any], *arguments: Any) -> Any:
        with jax.default_matmul_precision(matmul_precision):
            return function(static.combined(arrays), *arguments)

    return of_arrays


@functools.lru_cache(maxsize=PROGRAMS_KEPT)
def lowered(
    function: Callable[..., Any],
    static: Static,
    arrays: Shapes,
    example: Shapes,
    matmul_precision: str,
    vmapped: Vmapped = ONE,
    *,
    x64: bool,  # noqa: ARG001 - tells apart what is traced with and without it
    donate: bool,
) -> Program:
    """Return the program of ``function`` for inputs of this static part and these shapes."""
    call = pure(function, static, matmul_precision)
    for size, axes in reversed(list(zip(vmapped.sizes, vmapped.inputs, strict=True))):
        call = jax.vmap(call, in_axes=(list(axes), *vmapped.arguments), axis_size=size)
    jitted = jax.jit(call, donate_argnums=(1,) if donate else ())
    return Program(jitted.lower(arrays.tree(), *example.tree()), donated=donate)
