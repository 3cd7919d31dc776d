"""The compiled programs of a protocol run: initialise, execute a segment in waves, measure, score all nodes.

    wave l:   slots ← copies of senders;      rows of receivers ← deliver(rows, messages)

All waves of a segment run inside one program, which updates models and slots in place. Waves are divided into batches of equal
size; the last batch of each wave is padded with deliveries that have no effect.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jaxgossip.algorithms.protocols.protocol import Deliveries, GossipProtocol
from jaxgossip.core.pytree import Pytree
from jaxgossip.core.random import purpose_key, run_key
from jaxgossip.core.rows import gather
from jaxgossip.core.typing import PyTree, accumulator
from jaxgossip.learning.problem import as_evaluated
from jaxgossip.schedule.messages import Kind
from jaxgossip.simulation.compiled import Compiler
from jaxgossip.simulation.events.segments import WavePlan
from jaxgossip.simulation.metrics import HonestNodes, measure, sample_nodes, statistics

BATCH = 256
"""Deliveries per batch. In smaller batches overhead dominates; in larger ones narrow waves are mostly padding. From a thousand
to a million nodes, anything between a hundred and a few thousand performs about equally well."""


LEAST = 1024
"""Minimum length of the padded arrays of a segment, so that all shorter segments share one program."""


class Carried(NamedTuple):
    """The device arrays carried from segment to segment.

    Attributes:
        state: the protocol's state, node axis first.
        slots: copies in flight, slot axis first.
    """

    state: PyTree
    slots: PyTree


class Events(Pytree):
    """The inputs of a protocol run other than its schedule, and its pure functions.

    Args:
        protocol: what nodes send, and how they process messages.
        kinds: kinds of messages that can occur.
        seed: seed of all random draws; together with protocol and schedule it determines every bit of the run.
        sampled_nodes: maximum number of nodes per evaluation.
    """

    def __init__(self, protocol: GossipProtocol, kinds: frozenset[Kind], *, seed: int, sampled_nodes: int) -> None:
        self.protocol, self.kinds, self.key, self.sampled_nodes = protocol, kinds, run_key(seed), sampled_nodes
        honest = protocol.method.honest(protocol.problem.n_nodes)
        self.honest = None if honest is None else HonestNodes.of(honest, None)
        self.batch = min(BATCH, recurring(protocol.problem.n_nodes, least=1))

    def first(self) -> PyTree:
        """Return the state before the first message."""
        state = self.protocol.init(purpose_key(self.key, "init"))
        return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), state)  # no weak types

    def waves(self, carried: Carried, tables: dict[str, Array]) -> Carried:
        """Return the carried arrays after all waves of a segment."""
        protocol, batch = self.protocol, self.batch
        n_slots = jax.tree.leaves(carried.slots)[0].shape[0]
        n_nodes = protocol.problem.n_nodes

        def entries(
            names: tuple[str, ...], ends: str, wave: Array, number: Array
        ) -> tuple[list[Array], Bool[Array, " b"]]:
            start = tables[ends][wave - 1] + number * batch
            slices = [jax.lax.dynamic_slice_in_dim(tables[name], start, batch) for name in names]
            return slices, start + jnp.arange(batch) < tables[ends][wave]

        def batches(ends: str, wave: Array) -> Array:
            return (tables[ends][wave] - tables[ends][wave - 1] + batch - 1) // batch

        def copy(wave: Array, number: Array, carried: Carried) -> Carried:
            (sender, slot), real = entries(("copy_sender", "copy_slot"), "copy_ends", wave, number)
            copies = protocol.message(_gathered(carried.state, sender))
            return carried._replace(slots=_scattered(carried.slots, jnp.where(real, slot, n_slots), copies))

        def deliver(wave: Array, number: Array, carried: Carried) -> Carried:
            names = ("sender", "slot", "receiver", "kind", "part", "number")
            (sender, slot, receiver, kind, part, numbers), real = entries(names, "ends", wave, number)
            waits = slot >= 0
            current = protocol.message(_gathered(carried.state, jnp.where(waits, 0, sender)))
            copied = _gathered(carried.slots, jnp.where(waits, slot, 0))
            received = jax.tree.map(partial(_either, waits), copied, current)
            arrivals = Deliveries(receiver, sender, kind, part, numbers, self.key, self.kinds)
            rows = protocol.deliver(_gathered(carried.state, receiver), received, arrivals)
            # The barrier forces all reads before the write; otherwise XLA copies the whole array for every batch.
            rows = jax.lax.optimization_barrier(rows)
            return carried._replace(state=_scattered(carried.state, jnp.where(real, receiver, n_nodes), rows))

        def wave(number: Array, carried: Carried) -> Carried:
            carried = jax.lax.fori_loop(0, batches("copy_ends", number), partial(copy, number), carried)
            return jax.lax.fori_loop(0, batches("ends", number), partial(deliver, number), carried)

        return jax.lax.fori_loop(1, tables["n_waves"] + 1, wave, carried)

    def measured(self, state: PyTree) -> dict[str, Array]:
        """Return the scalars of one evaluation."""
        protocol, problem = self.protocol, self.protocol.problem
        record = measure(problem, protocol.models(state), self.key, self.sampled_nodes, self.honest)
        nodes = sample_nodes(self.key, problem.n_nodes, self.sampled_nodes, self.honest)
        for name, values in protocol.scores(_gathered(state, nodes), nodes).items():
            record |= statistics(name, values)
        return record

    def finite(self, state: PyTree) -> Array:
        """Return whether no model is NaN or infinite."""
        return jnp.isfinite(self.protocol.models(state).sum(dtype=accumulator(self.protocol.problem.dtype)))

    def scores(self, state: PyTree) -> dict[str, Array]:
        """Return every measurement for all nodes, each (n,)."""
        problem, x = self.protocol.problem, self.protocol.models(state)
        everyone = jnp.arange(problem.n_nodes, dtype=jnp.int32)
        x = as_evaluated(problem, x, everyone)
        scores = dict(problem.evaluate(x)) | dict(problem.evaluate_local(x, everyone))
        scores |= dict(self.protocol.scores(state, everyone))
        if self.honest is None:
            return scores
        honest = jnp.zeros(problem.n_nodes, bool).at[self.honest.rows].set(True)
        return {name: jnp.where(honest, values, jnp.nan) for name, values in scores.items()}


class WaveProgram:
    """The compiled programs of one run.

    Args:
        protocol: what nodes send, and how they process messages.
        kinds: kinds of messages that can occur.
        seed: seed of all random draws; together with protocol and schedule it determines every bit of the run.
        sampled_nodes: maximum number of nodes per evaluation.
        matmul_precision: precision of float32 matrix products; "highest" is full float32 on every device.
    """

    def __init__(
        self,
        protocol: GossipProtocol,
        kinds: frozenset[Kind],
        *,
        seed: int = 0,
        sampled_nodes: int = 1000,
        matmul_precision: str = "highest",
    ) -> None:
        self.protocol, self._compiler = protocol, Compiler(matmul_precision)
        self._events = events = Events(protocol, kinds, seed=seed, sampled_nodes=sampled_nodes)
        self._start = self._compiler.compile(Events.first, events)
        self.like = jax.eval_shape(events.first)
        self.slot_like = jax.eval_shape(protocol.message, jax.tree.map(lambda leaf: _rows(leaf, 1), self.like))
        self._measure, self._is_finite = (
            self._compiler.compile(function, events, self.like) for function in (Events.measured, Events.finite)
        )
        self._batch = events.batch
        self._programs: dict[Any, Any] = {}

    @property
    def scratch_bytes(self) -> int:
        """Largest number of bytes that a program needs beyond its arguments and donated buffers, as the compiler estimates."""
        return self._compiler.scratch_bytes

    def start(self) -> Carried:
        """Return the state before the first message."""
        return Carried(self._start(), self.empty_slots(recurring(0)))

    def resumed(self, state: PyTree, slots: PyTree) -> Carried:
        """Return the carried arrays of a checkpoint, whose copies are in slots 0, 1, …"""
        have = jax.tree.leaves(slots)[0].shape[0]
        return Carried(state, _longer(slots, self.empty_slots(recurring(have) - have)))

    def empty_slots(self, count: int) -> PyTree:
        """Return ``count`` slots filled with zeros."""
        zeros = jax.tree.map(lambda leaf: np.zeros((count, *leaf.shape[1:]), leaf.dtype), self.slot_like)
        return jax.tree.map(jnp.asarray, zeros)

    def execute(self, carried: Carried, plan: WavePlan) -> Carried:
        """Return the carried arrays after a segment; ``carried`` is donated."""
        carried = Carried(carried.state, self._grown(carried.slots, plan.n_slots))
        if plan.n_waves:
            tables = self._tables(plan)
            carried = self._program(Events.waves, self._events, carried, tables)(carried, tables)
        return carried

    def compile_for(self, plan: WavePlan, n_slots: int) -> None:
        """Compile the program that a segment like ``plan`` needs, with ``n_slots`` slots, without running it."""
        if plan.n_waves:
            count = recurring(n_slots)
            slots = jax.tree.map(lambda leaf: _rows(leaf, count), self.slot_like)
            self._program(Events.waves, self._events, Carried(self.like, slots), self._tables(plan))

    def measure(self, state: PyTree) -> dict[str, Array]:
        """Return the scalars of one evaluation (see :func:`jaxgossip.simulation.metrics.measure`)."""
        return self._measure(state)

    def is_finite(self, state: PyTree) -> Array:
        """Return () bool: whether no model is NaN or infinite."""
        return self._is_finite(state)

    def score_all(self, state: PyTree) -> dict[str, Array]:
        """Return every measurement for all nodes, each (n,)."""
        return self._compiler.compile(Events.scores, self._events, self.like)(state)

    def _program(self, function: Any, inputs: Any, first: Any, second: Any) -> Any:
        """Return the program for arguments of these shapes, cached here since a run may need more than the process caches."""
        key = (function, *(leaf.shape for leaf in jax.tree.leaves((first, second))))
        if key not in self._programs:
            self._programs[key] = self._compiler.compile(function, inputs, first, second, donate=True)
        return self._programs[key]

    def _grown(self, slots: PyTree, count: int) -> PyTree:
        have = jax.tree.leaves(slots)[0].shape[0]
        if count <= have:
            return slots
        return _longer(slots, self.empty_slots(recurring(count) - have))

    def _tables(self, plan: WavePlan) -> dict[str, Array]:
        batch = self._batch
        # A batch is a slice of fixed length: the arrays are padded by a batch, so that no slice reaches beyond their end.
        copies, deliveries = plan.copy_slot.size + batch, plan.receiver.size + batch
        copy_sender, copy_slot = _padded(plan.copy_sender, plan.copy_slot, size=copies)
        names = ("sender", "slot", "receiver", "kind", "part", "number")
        named = dict(zip(names, _padded(*(getattr(plan, name) for name in names), size=deliveries), strict=True))
        copy_ends, delivery_ends = (
            np.append(ends, np.full(recurring(ends.size) - ends.size, ends[-1])) for ends in (plan.copy_ends, plan.ends)
        )
        return named | {
            "copy_sender": copy_sender,
            "copy_slot": copy_slot,
            "copy_ends": jnp.asarray(copy_ends.astype(np.int32)),
            "ends": jnp.asarray(delivery_ends.astype(np.int32)),
            "n_waves": jnp.asarray(np.int32(plan.n_waves)),
        }


def recurring(size: int, least: int = LEAST) -> int:
    """Return the smallest power of two that is at least ``size`` and ``least``; padded lengths recur, and so do programs."""
    return 1 << (max(least, size) - 1).bit_length()


def _padded(*arrays: np.ndarray, size: int = 0) -> tuple[Array, ...]:
    """Return the arrays on the device, zero-padded to a :func:`recurring` length of at least ``size``."""
    length = recurring(max(size, arrays[0].size))
    return tuple(jnp.asarray(np.concatenate([array, np.zeros(length - array.size, array.dtype)])) for array in arrays)


def _rows(leaf: Any, count: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype)


def _gathered(tree: PyTree, rows: Array) -> PyTree:
    return jax.tree.map(lambda leaf: gather(leaf, rows), tree)


def _scattered(tree: PyTree, rows: Array, values: PyTree) -> PyTree:
    """Return the tree with ``rows`` rewritten; rows must be distinct, and those out of range are ignored."""

    def scattered(leaf: Array, value: Array) -> Array:
        return leaf.at[rows].set(value.astype(leaf.dtype), mode="drop", unique_indices=True)

    return jax.tree.map(scattered, tree, values)


def _either(first: Bool[Array, " b"], a: Array, b: Array) -> Array:
    return jnp.where(first.reshape(-1, *[1] * (a.ndim - 1)), a, b)


def _longer(slots: PyTree, more: PyTree) -> PyTree:
    return jax.tree.map(lambda old, new: jnp.concatenate([jnp.asarray(old), new]), slots, more)
