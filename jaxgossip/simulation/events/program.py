"""A run of a protocol as compiled programs: start, execute a stretch in waves, measure, score all nodes.

    wave l:   slots ← copies of senders;      rows of receivers ← deliver(rows, what each hears)

All waves of a stretch run inside one program, which consumes models and slots and writes them in place. Waves are divided
into batches of one size, the last of each padded with deliveries to nobody.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jaxgossip.algorithms.protocol import Deliveries, GossipProtocol
from jaxgossip.core.pytree import Pytree
from jaxgossip.core.random import purpose_key, run_key
from jaxgossip.core.rows import gather
from jaxgossip.core.typing import PyTree, accumulator
from jaxgossip.schedule.messages import Kind
from jaxgossip.simulation.compiled import Compiler
from jaxgossip.simulation.events.stretches import Work
from jaxgossip.simulation.events.waves import padded, recurring
from jaxgossip.simulation.metrics import measure, sample_nodes, statistics

BATCH = 256
"""Deliveries of a batch: fewer, and starting it costs more than they do; more, and narrow waves are mostly padding. Between a
hundred and some thousand it hardly matters, from a thousand nodes to a million."""


class Carried(NamedTuple):
    """What a run carries from stretch to stretch.

    Attributes:
        state: the protocol's, node axis first.
        slots: copies that wait, slot axis first.
    """

    state: PyTree
    slots: PyTree


class Events(Pytree):
    """What a run of a protocol follows from beside its schedule, and its pure functions.

    Args:
        protocol: what nodes send, and what a message does.
        kinds: of messages that can occur.
        seed: determines, with the protocol and its schedule, every bit of the run.
        sampled_nodes: how many nodes an evaluation looks at.
    """

    def __init__(self, protocol: GossipProtocol, kinds: frozenset[Kind], *, seed: int, sampled_nodes: int) -> None:
        self.protocol, self.kinds, self.key, self.sampled_nodes = protocol, kinds, run_key(seed), sampled_nodes
        self.batch = min(BATCH, recurring(protocol.problem.n_nodes, least=1))

    def first(self) -> PyTree:
        """Return the state before the first message."""
        state = self.protocol.init(purpose_key(self.key, "init"))
        return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), state)  # no weak types

    def waves(self, carried: Carried, tables: dict[str, Array]) -> Carried:
        """Return what is carried after all waves of a stretch."""
        protocol, batch = self.protocol, self.batch
        n_slots = jax.tree.leaves(carried.slots)[0].shape[0]
        n_nodes = protocol.problem.n_nodes

        def taken(
            names: tuple[str, ...], ends: str, wave: Array, number: Array
        ) -> tuple[list[Array], Bool[Array, " b"]]:
            start = tables[ends][wave - 1] + number * batch
            some = [jax.lax.dynamic_slice_in_dim(tables[name], start, batch) for name in names]
            return some, start + jnp.arange(batch) < tables[ends][wave]

        def batches(ends: str, wave: Array) -> Array:
            return (tables[ends][wave] - tables[ends][wave - 1] + batch - 1) // batch

        def copy(wave: Array, number: Array, carried: Carried) -> Carried:
            (sender, slot), real = taken(("copy_sender", "copy_slot"), "copy_ends", wave, number)
            copies = protocol.message(_gathered(carried.state, sender))
            return carried._replace(slots=_scattered(carried.slots, jnp.where(real, slot, n_slots), copies))

        def deliver(wave: Array, number: Array, carried: Carried) -> Carried:
            names = ("sender", "slot", "receiver", "kind", "part", "number")
            (sender, slot, receiver, kind, part, numbers), real = taken(names, "ends", wave, number)
            waits = slot >= 0
            standing = protocol.message(_gathered(carried.state, jnp.where(waits, 0, sender)))
            copied = _gathered(carried.slots, jnp.where(waits, slot, 0))
            heard = jax.tree.map(partial(_either, waits), copied, standing)
            arrivals = Deliveries(receiver, sender, kind, part, numbers, self.key, self.kinds)
            rows = protocol.deliver(_gathered(carried.state, receiver), heard, arrivals)
            # All that is read is read before anything is written: else a whole array is copied with every batch.
            rows = jax.lax.optimization_barrier(rows)
            return carried._replace(state=_scattered(carried.state, jnp.where(real, receiver, n_nodes), rows))

        def wave(number: Array, carried: Carried) -> Carried:
            carried = jax.lax.fori_loop(0, batches("copy_ends", number), partial(copy, number), carried)
            return jax.lax.fori_loop(0, batches("ends", number), partial(deliver, number), carried)

        return jax.lax.fori_loop(1, tables["n_waves"] + 1, wave, carried)

    def measured(self, state: PyTree) -> dict[str, Array]:
        """Return the scalars of one evaluation."""
        protocol, problem = self.protocol, self.protocol.problem
        record = measure(problem, protocol.models(state), self.key, self.sampled_nodes)
        nodes = sample_nodes(self.key, problem.n_nodes, self.sampled_nodes)
        for name, values in protocol.scores(_gathered(state, nodes)).items():
            record |= statistics(name, values)
        return record

    def finite(self, state: PyTree) -> Array:
        """Return whether no model is NaN or infinite."""
        return jnp.isfinite(self.protocol.models(state).sum(dtype=accumulator(self.protocol.problem.dtype)))

    def scores(self, state: PyTree) -> dict[str, Array]:
        """Return every measurement for all nodes, each (n,)."""
        problem, x = self.protocol.problem, self.protocol.models(state)
        everyone = jnp.arange(problem.n_nodes, dtype=jnp.int32)
        return dict(problem.evaluate(x)) | dict(problem.evaluate_local(x, everyone)) | dict(self.protocol.scores(state))


class WaveProgram:
    """The compiled programs of one run.

    Args:
        protocol: what nodes send, and what a message does.
        kinds: of messages that can occur.
        seed: determines, with the protocol and its schedule, every bit of the run.
        sampled_nodes: how many nodes an evaluation looks at.
        matmul_precision: of float32 matrix products: "highest" is full float32 on every device.
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
            self._compiler.compile(one, events, self.like) for one in (Events.measured, Events.finite)
        )
        self._batch = events.batch
        self._programs: dict[Any, Any] = {}

    @property
    def scratch_bytes(self) -> int:
        """What the hungriest program takes besides its arguments and what it consumes, by the compiler's account."""
        return self._compiler.scratch_bytes

    def start(self) -> Carried:
        """Return the state before the first message."""
        return Carried(self._start(), self.empty_slots(recurring(0)))

    def resumed(self, state: PyTree, slots: PyTree) -> Carried:
        """Return what a checkpoint held, its copies in slots 0, 1, …"""
        have = jax.tree.leaves(slots)[0].shape[0]
        return Carried(state, _longer(slots, self.empty_slots(recurring(have) - have)))

    def empty_slots(self, count: int) -> PyTree:
        """Return ``count`` slots with nothing in them."""
        zeros = jax.tree.map(lambda leaf: np.zeros((count, *leaf.shape[1:]), leaf.dtype), self.slot_like)
        return jax.tree.map(jnp.asarray, zeros)

    def execute(self, carried: Carried, work: Work) -> Carried:
        """Return what is carried after a stretch; ``carried`` is consumed."""
        carried = Carried(carried.state, self._grown(carried.slots, work.n_slots))
        if work.n_waves:
            tables = self._tables(work)
            carried = self._program(Events.waves, self._events, carried, tables)(carried, tables)
        if work.kept.size:
            (kept,) = padded(work.kept)
            moved = self._program(_moved, (), carried.slots, kept)
            carried = Carried(carried.state, moved(carried.slots, kept))
        return carried

    def compile_for(self, work: Work, n_slots: int) -> None:
        """Compile what a stretch like ``work`` needs, with so many slots; nothing is computed."""
        if work.n_waves:
            count = recurring(n_slots)
            slots = jax.tree.map(lambda leaf: _rows(leaf, count), self.slot_like)
            self._program(Events.waves, self._events, Carried(self.like, slots), self._tables(work))

    def measure(self, state: PyTree) -> dict[str, Array]:
        """Return the scalars of one evaluation (see :func:`jaxgossip.simulation.metrics.measure`)."""
        return self._measure(state)

    def is_finite(self, state: PyTree) -> bool:
        """Return whether no model is NaN or infinite."""
        return bool(self._is_finite(state))

    def score_all(self, state: PyTree) -> dict[str, Array]:
        """Return every measurement for all nodes, each (n,)."""
        return self._compiler.compile(Events.scores, self._events, self.like)(state)

    def _program(self, function: Any, inputs: Any, first: Any, second: Any) -> Any:
        """Return the program for arguments of these shapes; a run has more of them than are kept for other runs."""
        key = (function, *(leaf.shape for leaf in jax.tree.leaves((first, second))))
        if key not in self._programs:
            self._programs[key] = self._compiler.compile(function, inputs, first, second, donate=True)
        return self._programs[key]

    def _grown(self, slots: PyTree, count: int) -> PyTree:
        have = jax.tree.leaves(slots)[0].shape[0]
        if count <= have:
            return slots
        return _longer(slots, self.empty_slots(recurring(count) - have))

    def _tables(self, work: Work) -> dict[str, Array]:
        batch = self._batch
        # A batch is a slice of so many entries, wherever it begins: the arrays go on so far behind their last entry.
        copies, deliveries = work.copy_slot.size + batch, work.receiver.size + batch
        copy_sender, copy_slot = padded(work.copy_sender, work.copy_slot, size=copies)
        names = ("sender", "slot", "receiver", "kind", "part", "number")
        named = dict(zip(names, padded(*(getattr(work, name) for name in names), size=deliveries), strict=True))
        ends = [np.append(one, np.full(recurring(one.size) - one.size, one[-1])) for one in (work.copy_ends, work.ends)]
        return named | {
            "copy_sender": copy_sender,
            "copy_slot": copy_slot,
            "copy_ends": jnp.asarray(ends[0].astype(np.int32)),
            "ends": jnp.asarray(ends[1].astype(np.int32)),
            "n_waves": jnp.asarray(np.int32(work.n_waves)),
        }


def _rows(leaf: Any, count: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype)


def _gathered(tree: PyTree, rows: Array) -> PyTree:
    return jax.tree.map(lambda leaf: gather(leaf, rows), tree)


def _scattered(tree: PyTree, rows: Array, values: PyTree) -> PyTree:
    """Return the tree with some rows rewritten, those that exist: no two are the same."""

    def one(leaf: Array, value: Array) -> Array:
        return leaf.at[rows].set(value.astype(leaf.dtype), mode="drop", unique_indices=True)

    return jax.tree.map(one, tree, values)


def _either(first: Bool[Array, " b"], a: Array, b: Array) -> Array:
    return jnp.where(first.reshape(-1, *[1] * (a.ndim - 1)), a, b)


def _longer(slots: PyTree, more: PyTree) -> PyTree:
    return jax.tree.map(lambda old, new: jnp.concatenate([jnp.asarray(old), new]), slots, more)


def _moved(_: tuple[()], slots: PyTree, kept: Array) -> PyTree:
    """Return the slots with what waits in ``kept`` moved to the first of them."""
    return jax.tree.map(lambda leaf: leaf.at[: kept.size].set(leaf[kept]) if leaf.ndim else leaf, slots)
