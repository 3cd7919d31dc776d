"""Estimates of the memory and time of a run: memory as reported by the compiler, time by a short calibration.

    peak = memory of the process once everything is built + models and optimizer state + largest scratch of a program
           + what measuring and drawing take

Nothing of the run is allocated: the programs are compiled for shapes. The time is measured on a network of the same kind
with fewer nodes, yet too many for the cache, and scaled to the number of nodes.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from jaxgossip.core.devices.memory import available_bytes, device_free_bytes, peak_bytes, resident_bytes
from jaxgossip.core.errors import InputError, JaxGossipError
from jaxgossip.core.units import bytes_text
from jaxgossip.experiment.build.experiment import Experiment, build
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.planning.footprint import footprint, round_seconds, state_bytes, tree_bytes
from jaxgossip.learning import Problem
from jaxgossip.learning.minibatches import Minibatches
from jaxgossip.learning.samples import SampledProblem
from jaxgossip.learning.table import Table
from jaxgossip.topology import Order
from jaxgossip.topology.graph import Complete, Graph
from jaxgossip.topology.memory_check import WEIGHTED_BYTES, links_cost

SMALL_NODES = 2**10
"""Nodes of the small network from which the memory per node is estimated before a large one is built."""
OUTLINE_FROM = 100_000
"""Number of nodes from which memory is estimated before building; smaller networks are built and judged by their shapes."""
CALIBRATION_BYTES = 2**26
"""Size of the models in a calibration: more than caches hold, so that a node takes as long as it does among millions."""
SAME_DEGREE = 0.1
"""Relative difference of mean degrees below which networks are taken to need the same time per node."""
SURE = 0.4
"""A run surely fits, including scratch, if twice its models take less than this share of the free memory."""
MEASURING_BYTES = 5 * 2**24
"""What a run takes beyond its models and programs: baselines' programs, threads' buffers, records, the picture. Resident memory
of runs of 10² to 10⁶ nodes was 29 to 64 MB above the rest."""

DRAW_BYTES = 12
"""Bytes per sample of a minibatch while it is drawn: a word, its rank and its number."""
SAMPLE_COPIES = 4
"""Number of copies of the samples of a node's minibatch in memory while the gradient is computed."""


@dataclass(frozen=True)
class Plan:
    """The estimated memory and time of a run.

    Attributes:
        nodes: number of nodes.
        links: number of directed links; None if the graph was not built, because it could not fit.
        parameters: number of parameters of a model.
        parts: bytes of memory by purpose.
        peak: peak memory of the process in bytes.
        free: memory that the process may use in bytes, including what it holds already.
        largest: approximate largest number of nodes that would fit.
        round_s: seconds per round; None if not calibrated.
        problem: the problem of the run; None if it was not built, because it could not fit.
        nodes_at_a_time: number of nodes whose gradients are computed at a time; None if they train no model on samples.
        devices: number of devices that the nodes are spread over.
        device_bytes: bytes of state, data, tables and temporary memory on a device; None if the run was not built.
        device_free: free bytes of a device; None if devices use the machine's own memory.
        received_bytes: bytes that a device receives from others in a round.
    """

    nodes: int
    links: int | None
    parameters: int
    parts: Mapping[str, int]
    peak: int
    free: int
    largest: int
    round_s: float | None = None
    problem: Problem | None = field(default=None, repr=False, compare=False)
    nodes_at_a_time: int | None = None
    devices: int = 1
    device_bytes: int | None = None
    device_free: int | None = None
    received_bytes: int = 0

    @property
    def fits(self) -> bool:
        """Whether the run fits into the free memory, of the machine and of each device that has memory of its own."""
        of_device = self.device_bytes is None or self.device_free is None or self.device_bytes <= self.device_free
        return self.peak <= self.free and of_device

    def record(self) -> dict[str, Any]:
        """Return the plan as JSON values: bytes, seconds, and how samples fall on nodes, where there are some."""
        problem = self.problem
        sampled = {}
        if isinstance(problem, SampledProblem):
            sampled = {"nodes_at_a_time": self.nodes_at_a_time, "heterogeneity": problem.heterogeneity().record()}
        return {
            "nodes": self.nodes,
            "links": self.links,
            "parameters": self.parameters,
            "bytes": dict(self.parts),
            "peak_bytes": self.peak,
            "free_bytes": self.free,
            "fits": self.fits,
            "largest_nodes": self.largest,
            "round_s": self.round_s,
            "devices": self.devices,
            "device_bytes": self.device_bytes,
            "device_free_bytes": self.device_free,
            "received_bytes": self.received_bytes,
            **sampled,
        }


def plan(config: Config, *, calibrate: bool = True) -> Plan:
    """Estimate the memory and time of a run of ``config``.

    Args:
        config: the configuration.
        calibrate: whether to measure the time of a round.

    Raises:
        InputError: a part cannot be built.
    """
    outline = _outline(config)
    if outline is not None and not outline.fits:
        return outline
    with links_cost(WEIGHTED_BYTES):
        experiment = build(config)
    estimate = memory_plan(experiment)
    if not calibrate or not estimate.fits:
        return estimate
    return replace(estimate, round_s=_seconds_a_round(config, experiment))


def check_outline(config: Config) -> None:
    """Raise InputError if ``config`` clearly needs too much memory, before anything is built."""
    outline = _outline(config)
    if outline is not None and not outline.fits:
        raise _refusal(config, outline)


def check_fits(experiment: Experiment, note: Callable[[str], None]) -> None:
    """Raise InputError, which itemises the memory by purpose, if an experiment needs more than is free.

    Most are seen to be small from the shapes of state and minibatch; only large ones are compiled to decide.

    Args:
        experiment: an experiment that is built and not yet run.
        note: receives a message before a long computation.
    """
    held = resident_bytes()
    state, minibatch = state_bytes(experiment), _minibatch_bytes(experiment)
    on_device, of_device = device_free_bytes(), 2 * state + minibatch
    is_small = on_device is None or of_device < SURE * on_device
    if is_small and held + of_device < SURE * (held + available_bytes()):
        return
    note(f"models and minibatches of {bytes_text(state + minibatch)}: compiling once beforehand, to see if they fit")
    estimate = memory_plan(experiment)
    if not estimate.fits:
        raise _refusal(experiment.config, estimate)


def _refusal(config: Config, estimate: Plan) -> InputError:
    parts = ", ".join(f"{name} {bytes_text(size)}" for name, size in estimate.parts.items())
    hints = [f"about {estimate.largest:,} nodes fit"] if estimate.largest else []
    if (config.learning.batch_size or 0) > 1 and estimate.parts["scratch of a round"] == max(estimate.parts.values()):
        hints.append(f"a learning.batch_size below {config.learning.batch_size:,} takes less")
    if estimate.device_free is not None and (estimate.device_bytes or 0) > estimate.device_free:
        return InputError(
            f"{config.name}: {estimate.nodes:,} nodes need about {bytes_text(estimate.device_bytes)} on each device, and "
            f"{bytes_text(estimate.device_free)} are free there",
            hint="; ".join(["--devices N spreads them over N devices", *hints, "--force runs it all the same"]),
        )
    hints += ["a device.dtype of 16 bits halves the models", "--force runs it all the same"]
    return InputError(
        f"{config.name}: {estimate.nodes:,} nodes need about {bytes_text(estimate.peak)} of memory, and "
        f"{bytes_text(estimate.free)} can be had ({parts})",
        hint="; ".join(hints),
    )


def _minibatch_bytes(experiment: Experiment) -> int:
    """Estimate the bytes of the minibatches of a round: the draws of all nodes, and the samples of one node."""
    problem, batch = experiment.problem, experiment.config.learning.batch_size or 0  # some tasks have none
    sample = max((array.nbytes // len(array) for array in _arrays_of(problem) if array.ndim and len(array)), default=0)
    return batch * (DRAW_BYTES * problem.n_nodes + SAMPLE_COPIES * sample)


def memory_plan(experiment: Experiment) -> Plan:
    """Return the plan of a built experiment, without its time."""
    problem, before = experiment.problem, resident_bytes()
    held, on_devices = footprint(experiment)
    tables = tree_bytes(experiment.W)
    graph = sum(array.nbytes for array in _arrays_of(experiment.graph))
    samples = sum(array.nbytes for array in _arrays_of(problem))
    now = resident_bytes()
    parts = {
        "models and optimizer state": held.state,
        **({"copies in flight": held.copies, "schedule": held.messages} if experiment.schedule is not None else {}),
        "scratch of a round": held.scratch,
        "graph and mixing tables": graph + tables,
        "samples and their numbers": samples,
        **({"copies on the devices": held.spread} if on_devices is not None else {}),
        "programs and libraries": max(0, now - graph - tables - samples),
        "measuring and drawing": MEASURING_BYTES,
    }
    peak = max(peak_bytes(), now + sum(held) + MEASURING_BYTES)
    fixed = parts["programs and libraries"] + MEASURING_BYTES + min(samples, 2**28)
    free = available_bytes() + before
    return Plan(
        nodes=problem.n_nodes,
        links=experiment.graph.n_links,
        parameters=problem.n_params,
        parts=parts,
        peak=peak,
        free=free,
        largest=_rounded(problem.n_nodes * max(0, free - fixed) / max(1, peak - fixed)),
        problem=problem,
        nodes_at_a_time=problem.nodes_at_a_time if isinstance(problem, SampledProblem) else None,
        devices=1 if on_devices is None else on_devices.devices,
        device_bytes=sum(held) + tables + samples if on_devices is None else on_devices.bytes_each,
        device_free=device_free_bytes(),
        received_bytes=0 if on_devices is None else on_devices.received,
    )


def _outline(config: Config) -> Plan | None:
    """Extrapolate the memory of a run from a network with few nodes; None if the network is small enough to be built.

    Scratch is estimated as one more copy of the models, roughly what every algorithm here needs.
    """
    nodes = getattr(config.topology, "nodes", None)
    small = _resized(config, SMALL_NODES)
    if small is None or nodes is None or nodes < OUTLINE_FROM:
        return None
    held = resident_bytes()
    try:
        experiment = build(small)
    except JaxGossipError:
        return None  # an error with so few nodes need not occur with many
    problem = experiment.problem
    scale = nodes / problem.n_nodes
    state = round(scale * state_bytes(experiment))
    graph = sum(array.nbytes for array in _arrays_of(experiment.graph)) + tree_bytes(experiment.W)
    samples = 4 * 4 * nodes  # a start, two counts and a number per node; the table of samples is shared
    parts = {
        "models and optimizer state": state,
        "scratch of a round": round(scale * problem.n_nodes * problem.n_params * problem.dtype.itemsize),
        "graph and mixing tables": round(scale * graph),
        "samples and their numbers": samples + sum(array.nbytes for array in _arrays_of(problem)),
        "programs and libraries": held,
        "measuring and drawing": MEASURING_BYTES,
    }
    peak, free, fixed = sum(parts.values()), available_bytes() + held, held + MEASURING_BYTES
    return Plan(
        nodes, None, problem.n_params, parts, peak, free, _rounded(nodes * max(0, free - fixed) / (peak - fixed))
    )


def _resized(config: Config, nodes: int) -> Config | None:
    """Return the configuration with at most ``nodes`` nodes; None if the number of nodes of its topology is fixed."""
    topology = config.topology
    if not isinstance(getattr(topology, "nodes", None), int) or getattr(topology, "shape", None) is not None:
        return None
    changed = topology.model_copy(update={"nodes": min(nodes, topology.nodes), "allow_disconnected": True})
    return config.model_copy(update={"topology": changed})


def _seconds_a_round(config: Config, experiment: Experiment) -> float:
    """Return the seconds of a round, measured on a smaller network of the same kind if there is one.

    Networks are of the same kind if their nodes have as many neighbours. With links of probability p, or within a radius,
    smaller networks have fewer neighbours, so that these are timed at full size.
    """
    row = experiment.problem.n_params * experiment.problem.dtype.itemsize
    few = 1 << (CALIBRATION_BYTES // row).bit_length()  # a power of two suits every topology
    small = _resized(config, few) if few < experiment.problem.n_nodes else None
    scale = 1.0
    if small is not None:
        with contextlib.suppress(JaxGossipError):  # an error with fewer nodes need not occur with many
            smaller = build(small)
            if _have_same_degree(smaller.graph, experiment.graph):
                scale, experiment = experiment.problem.n_nodes / few, smaller
    return scale * round_seconds(experiment)


def _have_same_degree(few: Graph, many: Graph) -> bool:
    """Return whether two graphs have about the same mean degree, or the larger one is complete, which needs no lists."""
    complete = isinstance(many.structure, Complete)
    expected = many.n_links * few.n_nodes
    return complete or abs(few.n_links * many.n_nodes - expected) <= SAME_DEGREE * expected


def _arrays_of(owner: Any) -> list[Any]:
    """Return the distinct arrays that an object holds, including those in its tuples, orders, tables and minibatches."""
    arrays: dict[int, Any] = {}
    waiting = list(vars(owner).values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, np.ndarray | jax.Array):
            arrays[id(value)] = value
        elif isinstance(value, tuple):
            waiting.extend(value)
        elif isinstance(value, Minibatches | Order | Table):
            waiting.extend(vars(value).values())
    return list(arrays.values())


def _rounded(nodes: float) -> int:
    """Round a number of nodes down to two significant digits."""
    digits = 10 ** max(0, len(str(int(nodes))) - 2)
    return int(nodes) // digits * digits
