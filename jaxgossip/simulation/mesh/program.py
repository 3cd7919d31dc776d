"""The compiled programs of a run whose nodes are spread over a mesh: those of one block of rows, run for all blocks.

The whole loop over rounds is one program under ``shard_map``; its state is donated. What moves between devices is what the
exchanges of the round move, and nothing else.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxgossip.algorithms import Algorithm
from jaxgossip.core.devices.blocks import Block, Layout, for_block
from jaxgossip.core.devices.determinism import compiler_options
from jaxgossip.core.devices.processes import on_host
from jaxgossip.core.devices.program import on_blocks
from jaxgossip.core.devices.transport import Moved
from jaxgossip.core.devices.workspace import Workspace, while_loop
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import partition
from jaxgossip.core.typing import PyTree
from jaxgossip.learning.samples import SampledProblem
from jaxgossip.mixing import Operator
from jaxgossip.mixing.on_mesh import on_mesh
from jaxgossip.mixing.operator import TimeVarying
from jaxgossip.network import Conditions, Energy, Meter, Speeds
from jaxgossip.simulation.checks import check_models
from jaxgossip.simulation.compiled import Compiler
from jaxgossip.simulation.mesh.placement import Place, places, spec, spread, spread_one
from jaxgossip.simulation.mesh.rows_apart import own_uses_of_rows
from jaxgossip.simulation.mesh.spread_run import SpreadRun
from jaxgossip.simulation.program import Evaluation, Run, RunState, by_node

REPLICATED_BYTES = 2**28
"""Size of a table of samples from which on each device has those of its own nodes alone, 256 MiB by default."""


class MeshProgram:
    """The compiled programs of one run on a mesh; its interface is that of :class:`.program.Program`.

    Args:
        algorithm: the algorithm to run.
        mesh: a mesh with the axis "nodes".
        seed: seed of all random draws; together with the algorithm it determines every bit of the run.
        conditions: faults of the network and the nodes; none by default.
        sampled_nodes: maximum number of nodes per evaluation.
        byte_budget: the run ends before all nodes together have sent more than this many bytes; 0 for no limit.
        matmul_precision: precision of float32 matrix products; "highest" is full float32 on every device.
        speeds: speeds of the nodes' machines, for virtual clocks; None to keep no clocks.
        energy: what the nodes' machines spend; None to keep no account of it.
        replicated_bytes: size of a table of samples from which on each device has those of its own nodes alone.

    Raises:
        InputError: the algorithm cannot be spread over devices, or there are more devices than blocks of rows; or a method of
            the user's own uses rows together where it would see those of one block.

    Attributes:
        rounds: the compiled program that advances a run, a ``jax.stages.Compiled``.
        moved: what a round moves between devices, exchange by exchange.
        metering: the account of energy; None if none is kept.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        mesh: Mesh,
        *,
        seed: int = 0,
        conditions: Conditions | None = None,
        sampled_nodes: int = 1000,
        byte_budget: int = 0,
        matmul_precision: str = "highest",
        speeds: Speeds | None = None,
        energy: Energy | None = None,
        replicated_bytes: int = REPLICATED_BYTES,
    ) -> None:
        self.algorithm, self.mesh, self._precision = algorithm, mesh, matmul_precision
        problem = algorithm.problem
        self.layout = Layout(problem.n_nodes, mesh.size)
        check_spread(algorithm, self.layout)
        whole = Run(
            algorithm, seed=seed, conditions=conditions, sampled_nodes=sampled_nodes, byte_budget=byte_budget,
            speeds=speeds, energy=energy,
        )  # fmt: skip
        self.metering = whole.metering
        self.like = whole.like()
        check_models(algorithm, self.like)
        run = self._on_mesh(whole, replicated_bytes)
        leaves = jax.tree.leaves(run)
        declared = [place for place, leaf in zip(places(run), leaves, strict=True) if isinstance(leaf, jax.Array)]
        arrays, self._static = partition(run)
        self._of_arrays = declared
        self._arrays = spread(arrays, declared, self.layout, mesh)
        self._of_state = self._state_places()
        self._check_rows()
        self._scratch = 0
        moved: list[Moved] = []
        self._start = self._compiled(lambda run: run.initialization.state(), self._of_state)
        self.rounds = self._compiled(
            Run.rounds, self._of_state, self._state_shapes(), donate=True, loops=True, moved=moved
        )
        self.moved = tuple(moved)
        self._measure = self._compiled(
            lambda run, state: run.evaluation.measured_rows(state), None, self._state_shapes()
        )
        self._whole = whole.evaluation

    @property
    def scratch_bytes(self) -> int:
        """Largest number of bytes that a program needs on a device beyond its arguments and donated buffers."""
        return self._scratch

    @property
    def array_bytes(self) -> int:
        """Bytes of data, tables and state on a device."""
        state = zip(jax.tree.leaves(self.like), jax.tree.leaves(self._of_state), strict=True)
        arrays = sum(array.addressable_data(0).nbytes for array in self._arrays)
        return arrays + sum(
            (self.layout.rows_each if place is Place.ROWS else 1) * _bytes_of(leaf, place) for leaf, place in state
        )

    @property
    def received_bytes(self) -> int:
        """Number of bytes that a device receives from others in a round, if all is sent in one pass."""
        return sum(exchange.received * exchange.times for exchange in self.moved)

    def start(self) -> RunState:
        """Return the state before the first round, spread over the devices."""
        return self._start(self._arrays)

    def spread(self, run: RunState) -> RunState:
        """Return a state with a row for each node, spread over the devices."""
        return jax.tree.map(lambda leaf, place: spread_one(leaf, place, self.layout, self.mesh), run, self._of_state)

    def kept(self, run: RunState) -> SpreadRun:
        """Return a state as observers have it."""
        return SpreadRun(run, self._of_state, self.layout.n_nodes)

    def clock(self, run: RunState) -> np.ndarray | None:
        """Return the virtual clocks (n, 2) of all nodes, on the host; None if none are kept."""
        return None if run.clock is None else on_host(run.clock)[: self.layout.n_nodes]

    def meter(self, run: RunState) -> Meter | None:
        """Return the meters of all nodes, on the host; None if none are kept."""
        n = self.layout.n_nodes
        return None if run.meter is None else jax.tree.map(lambda leaf: on_host(leaf)[:n], run.meter)

    def advance(self, run: RunState, until: int) -> RunState:
        """Return the run after round ``until``, or where it ended earlier; ``run`` is donated."""
        return self.rounds(self._arrays, run, jnp.asarray(until, jnp.int32))

    def measure(self, run: RunState) -> dict[str, jax.Array]:
        """Return the scalars of one evaluation (see :func:`jaxgossip.simulation.metrics.measure`)."""
        measured = jax.tree.map(_on_one_device, self._measure(self._arrays, run))
        # On one device, by the program that any mesh uses: how XLA rounds on several would differ from one.
        return Compiler(self._precision).compile(Evaluation.summary, self._whole, measured)(measured)

    def score_all(self, run: RunState) -> dict[str, jax.Array]:
        """Return every measurement for all nodes, each (n,) by node number."""
        program = self._compiled(lambda run, state: run.evaluation.scores(state), None, self._state_shapes())
        scores = jax.tree.map(_on_one_device, program(self._arrays, run))
        return by_node(scores, self.algorithm.problem.order)

    def _on_mesh(self, run: Run, replicated_bytes: int) -> Run:
        """Return a run with its mixing and its data as the devices have them."""
        problem, method = self.algorithm.problem, self.algorithm.method
        # Methods and problems of the user's own may look at the data of any node.
        parted = isinstance(problem, SampledProblem) and _is_ours(problem) and _is_ours(method)

        def spread(part: Any) -> Any:
            if isinstance(part, Operator | TimeVarying):
                return on_mesh(part, self.layout)
            return part.by_owner(self.layout, self.mesh, replicated_bytes) if part is problem and parted else part

        return jax.tree.map(
            spread, run, is_leaf=lambda part: part is problem or isinstance(part, Operator | TimeVarying)
        )

    def _state_places(self) -> RunState:
        """Return the place of each leaf of the state: rows are the leaves whose first axis follows the size of a block."""
        shapes = [self._shapes_in(self.layout.block_rows + extra) for extra in (0, 1)]
        return jax.tree.map(lambda one, other: Place.ROWS if one.shape != other.shape else Place.ALL, *shapes)

    def _shapes_in(self, n_rows: int) -> RunState:
        """Return the shapes of the state of a block of ``n_rows``."""

        def state(arrays: list[Any]) -> RunState:
            with for_block(self._block_of(n_rows)):
                return self._static.combined(arrays).initialization.state()

        return jax.eval_shape(state, self._array_shapes(n_rows))

    def _check_rows(self) -> None:
        """Check that a method of the user's own keeps the rows of a block apart."""
        if _is_ours(self.algorithm.method):
            return

        def step(n_rows: int) -> Any:
            def step(arrays: list[Any], state: RunState) -> RunState:
                with for_block(self._block_of(n_rows)):
                    return self._static.combined(arrays).step(state)

            return jax.make_jaxpr(step)(self._array_shapes(n_rows), self._shapes_in(n_rows)).jaxpr

        if found := own_uses_of_rows(step(self.layout.block_rows), step(self.layout.block_rows + 1)):
            raise InputError(
                f"{self.algorithm.name}: {', '.join(found)} would see the rows of one block, not of all nodes",
                hint="node_sum, node_mean and others of jaxgossip.core.devices.exchanges; or run without a mesh",
            )

    def _block_of(self, n_rows: int) -> Block:
        return self.layout.block(jnp.int32(0))._replace(n_rows=n_rows)

    def _array_shapes(self, n_rows: int) -> list[jax.ShapeDtypeStruct]:
        lengths = {Place.ROWS: n_rows, Place.DEVICES: 1}
        return [
            jax.ShapeDtypeStruct((lengths[place], *array.shape[1:]) if place in lengths else array.shape, array.dtype)
            for array, place in zip(self._arrays, self._of_arrays, strict=True)
        ]

    def _state_shapes(self) -> tuple[RunState]:
        def shape(leaf: Any, place: Place) -> jax.ShapeDtypeStruct:
            rows = (self.layout.n_rows, *leaf.shape[1:]) if place is Place.ROWS else leaf.shape
            return jax.ShapeDtypeStruct(rows, leaf.dtype)

        return (jax.tree.map(shape, self.like, self._of_state),)

    def _compiled(
        self, function: Callable[..., PyTree], of_results: Any, example: tuple[Any, ...] = (), **options: Any
    ) -> Any:
        lowered = self._lowered(function, of_results, example, **options)
        compiled = lowered.compile(compiler_options=compiler_options())
        analysis = compiled.memory_analysis()
        if analysis is not None:
            fresh = analysis.output_size_in_bytes - analysis.alias_size_in_bytes if options.get("donate") else 0
            self._scratch = max(self._scratch, int(analysis.temp_size_in_bytes + fresh))
        return compiled

    def _lowered(
        self,
        function: Callable[..., PyTree],
        of_results: Any,
        example: tuple[Any, ...] = (),
        *,
        donate: bool = False,
        loops: bool = False,
        moved: list[Moved] | None = None,
    ) -> Any:
        of_arrays = [place is Place.ROWS for place in self._of_arrays]
        of_state = jax.tree.map(lambda place: place is Place.ROWS, self._of_state)

        def on_block(arrays: list[Any], *state: RunState) -> PyTree:
            with jax.default_matmul_precision(self._precision):
                return function(self._static.combined(arrays), *state)

        def each(arrays: list[Any], *state: RunState) -> PyTree:
            program = on_blocks(on_block, self.layout, (of_arrays, *[of_state] * len(state)))
            results, kinds = program(arrays, *state)
            return jax.tree.map(self._as_rows, results, kinds, of_state) if of_results is self._of_state else results

        def rounds(arrays: list[Any], state: RunState, until: Any) -> RunState:
            step = on_blocks(
                lambda arrays, state: self._static.combined(arrays).step(state),
                self.layout,
                (of_arrays, of_state),
                moved,
                workspace := Workspace(),
            )

            def one(state: RunState) -> RunState:
                with jax.default_matmul_precision(self._precision):
                    results, kinds = step(arrays, state)
                return jax.tree.map(self._as_rows, results, kinds, of_state)

            return while_loop(lambda run: (run.round < until) & ~run.diverged & ~run.spent, one, state, workspace)

        in_specs: list[Any] = [[spec(place) for place in self._of_arrays]]
        shapes: list[Any] = [[jax.ShapeDtypeStruct(array.shape, array.dtype) for array in self._arrays], *example]
        if example:
            in_specs.append(jax.tree.map(spec, self._of_state))
        if loops:
            in_specs.append(spec(Place.ALL))
            shapes.append(jax.ShapeDtypeStruct((), np.int32))
        out_specs = jax.tree.map(spec, of_results) if of_results is self._of_state else spec(Place.ALL)
        mapped = jax.shard_map(
            rounds if loops else each, mesh=self.mesh, in_specs=tuple(in_specs), out_specs=out_specs, check_vma=False
        )
        return jax.jit(mapped, donate_argnums=(1,) if donate else ()).lower(*shapes)

    def _as_rows(self, value: Any, kind: bool, wanted: bool) -> jax.Array:
        """Return a result that is the same for all blocks as rows, if it is to be of rows."""
        if kind or not wanted:
            return jnp.asarray(value)
        whole = jnp.broadcast_to(value, (self.layout.blocks_each, *value.shape))
        return whole.reshape(self.layout.rows_each, *value.shape[1:])


def _is_ours(part: object) -> bool:
    """Return whether the class of something is one of this package, not of the user's own."""
    return type(part).__module__.partition(".")[0] == __name__.partition(".")[0]


def _bytes_of(leaf: Any, place: Place) -> int:
    """Return the bytes of a row of an array, or of all of it if it has no rows."""
    shape = leaf.shape[1:] if place is Place.ROWS else leaf.shape
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(leaf.dtype).itemsize


def _on_one_device(array: jax.Array) -> jax.Array:
    """Return the copy that the first device of this process has, of an array that all devices have."""
    return jnp.asarray(array.addressable_data(0))


def check_spread(algorithm: Algorithm, layout: Layout) -> None:
    """Check that an algorithm can be spread over the devices of a mesh.

    Raises:
        InputError: it cannot, or there are more devices than blocks of rows.
    """
    if reason := getattr(type(algorithm.method), "not_on_meshes", ""):
        raise InputError(
            f"{algorithm.name} runs on one device only: {reason}", hint="device.count = 1, or without a mesh"
        )
    blocks = -(-layout.n_nodes // layout.block_rows)
    if layout.n_devices > blocks:
        raise InputError(
            f"{layout.n_nodes:,} nodes are {blocks} blocks of {layout.block_rows:,}, and cannot be spread over "
            f"{layout.n_devices} devices",
            hint=f"device.count = {blocks} or less",
        )
