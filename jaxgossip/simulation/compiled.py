"""Ahead-of-time compilation of pure functions, shared by all inputs that differ only in the values of device arrays.

An input is a pytree: its arrays become arguments of the program, everything else becomes part of the program (see
:mod:`jaxgossip.core.pytree`). Compiled programs are cached for the whole process. A program for many inputs at once may be
spread over the devices of a mesh, each of which processes its own inputs.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgossip.core.devices.determinism import compiler_options
from jaxgossip.core.devices.mesh import REPLICAS
from jaxgossip.core.pytree import Static, partition
from jaxgossip.core.typing import PyTree

MAX_CACHED_PROGRAMS = 64
"""Number of programs that the cache of the process holds."""


class Shapes(NamedTuple):
    """The shapes and dtypes of a pytree of arrays.

    Attributes:
        structure: structure of the tree.
        leaves: shape and dtype of each leaf.
    """

    structure: Any
    leaves: tuple[jax.ShapeDtypeStruct, ...]

    @classmethod
    def of(cls, tree: PyTree) -> "Shapes":
        """Return the shapes of a tree whose leaves have a ``shape`` and a ``dtype``."""
        leaves, structure = jax.tree.flatten(tree)
        return cls(structure, tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves))

    def tree(self) -> PyTree:
        """Return a tree of ``jax.ShapeDtypeStruct``."""
        return jax.tree.unflatten(self.structure, self.leaves)


class Vmapped(NamedTuple):
    """The nested ``vmap`` axes over which a program processes many inputs at once, outermost first.

    Attributes:
        sizes: size of each axis.
        inputs: for each axis, the ``in_axes`` of the input's arrays: 0 if an array has the axis, None if it is shared.
        arguments: ``in_axes`` of the further arguments, the same for every axis.
        mesh: the devices over which the outermost axis is divided evenly; None for a single device.
    """

    sizes: tuple[int, ...]
    inputs: tuple[tuple[int | None, ...], ...]
    arguments: tuple[int | None, ...]
    mesh: Mesh | None = None

    @property
    def sizes_on_a_device(self) -> tuple[int, ...]:
        """Size of each axis on one device."""
        return self.sizes if self.mesh is None else (self.sizes[0] // self.mesh.size, *self.sizes[1:])

    def specs(self) -> tuple[Any, ...]:
        """Return how the arguments of the program are divided over the mesh: (those of the input's arrays, further ones)."""
        return [_spec(axis) for axis in self.inputs[0]], *map(_spec, self.arguments)


def _spec(axis: int | None) -> PartitionSpec:
    return PartitionSpec() if axis is None else PartitionSpec(REPLICAS)


UNBATCHED = Vmapped((), (), ())
"""No axes: a program for a single input."""


class Program:
    """A lowered function of (arrays of the input, *further arguments), compiled on first use.

    Args:
        lowered: a ``jax.stages.Lowered``.
        donated: whether the first further argument is donated.
    """

    def __init__(self, lowered: Any, *, donated: bool) -> None:
        self._lowered, self._donated = lowered, donated

    @functools.cached_property
    def call(self) -> Any:
        """The compiled function."""
        return self._lowered.compile(compiler_options=compiler_options())

    @property
    def scratch_bytes(self) -> int:
        """Bytes needed beyond the arguments and donated buffers, according to the compiler; 0 if it gives no estimate."""
        analysis = self.call.memory_analysis()
        if analysis is None:
            return 0
        fresh = analysis.output_size_in_bytes - analysis.alias_size_in_bytes if self._donated else 0
        return int(analysis.temp_size_in_bytes + fresh)


class Compiler:
    """Compiles pure functions of an input.

    Args:
        matmul_precision: precision of float32 matrix products; "highest" is full float32 on every device.

    Attributes:
        scratch_bytes: largest ``Program.scratch_bytes`` among the programs compiled so far.
    """

    def __init__(self, matmul_precision: str = "highest") -> None:
        self._precision = matmul_precision
        self.scratch_bytes = 0

    def compile(
        self, function: Callable[..., Any], inputs: PyTree, *example: Any, donate: bool = False
    ) -> Callable[..., Any]:
        """Return ``function`` bound to ``inputs`` and compiled for arguments shaped like ``example``.

        Args:
            function: (inputs, *arguments) -> pytree of arrays; pure. The cache compares functions by identity.
            inputs: any pytree.
            example: the arguments, or a ``jax.ShapeDtypeStruct`` for each.
            donate: whether the first argument is donated, that is, its memory is reused for the output.
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
        vmapped: Vmapped = UNBATCHED,
    ) -> Program:
        """Return the program of ``function`` for inputs with this static part and arrays of these shapes and dtypes."""
        x64, device = bool(jax.config.jax_enable_x64), jax.config.jax_default_device
        shapes = Shapes.of(list(arrays)), Shapes.of(tuple(example))
        return lowered(function, static, *shapes, self._precision, vmapped, x64=x64, device=device, donate=donate)


def compile_together(programs: Sequence[Program]) -> None:
    """Compile several programs in parallel threads: XLA releases the GIL while it compiles."""
    with ThreadPoolExecutor(max(1, len(programs))) as pool:
        for _ in pool.map(lambda program: program.call, programs):
            pass


def pure(function: Callable[..., Any], static: Static, matmul_precision: str = "highest") -> Callable[..., Any]:
    """Return ``function`` as a function of (arrays of the input, *further arguments)."""

    def of_arrays(arrays: Sequence[Any], *arguments: Any) -> Any:
        with jax.default_matmul_precision(matmul_precision):
            return function(static.combined(arrays), *arguments)

    return of_arrays


@functools.lru_cache(maxsize=MAX_CACHED_PROGRAMS)
def lowered(
    function: Callable[..., Any],
    static: Static,
    arrays: Shapes,
    example: Shapes,
    matmul_precision: str,
    vmapped: Vmapped = UNBATCHED,
    *,
    x64: bool,  # noqa: ARG001 - part of the cache key: tracing depends on it
    device: Any = None,  # noqa: ARG001 - part of the cache key: the program is compiled for it
    donate: bool,
) -> Program:
    """Return the program of ``function`` for inputs with this static part and these shapes."""
    call, shardings = pure(function, static, matmul_precision), {}
    for size, axes in reversed(list(zip(vmapped.sizes_on_a_device, vmapped.inputs, strict=True))):
        call = jax.vmap(call, in_axes=(list(axes), *vmapped.arguments), axis_size=size)
    if vmapped.mesh is not None:
        mesh, specs = vmapped.mesh, vmapped.specs()
        # Mapped by hand, not by the partitioner, which would exchange rows between devices wherever nodes meet. What is
        # replicated is not tracked (check_vma): loops of algorithms begin with constants and end with what differs.
        call = jax.shard_map(call, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(REPLICAS), check_vma=False)
        shardings = {"in_shardings": jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)}
    jitted = jax.jit(call, donate_argnums=(1,) if donate else (), **shardings)
    return Program(jitted.lower(arrays.tree(), *example.tree()), donated=donate)
