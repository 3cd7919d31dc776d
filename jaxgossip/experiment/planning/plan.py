"""What a run will take, before it takes it: memory by the compiler's account, time by a short calibration.

    peak = what the process holds once all is built + models and optimizer state + the largest scratch of a program

Nothing of the run is allocated for it: the programs are compiled for shapes. Seconds are those of a network of the same
kind with fewer nodes, but too many for the cache, times the number of nodes.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgossip.core.errors import InputError, JaxGossipError
from jaxgossip.core.memory import available_bytes, peak_bytes, resident_bytes
from jaxgossip.core.units import bytes_text
from jaxgossip.experiment.build.experiment import Experiment, build
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.planning.footprint import footprint, round_seconds, state_bytes, tree_bytes
from jaxgossip.topology.graph import Complete, Graph
from jaxgossip.topology.memory_check import WEIGHTED_BYTES, links_cost

SMALL_NODES = 2**10
"""Nodes of the network that tells what a node takes, before one of full size is built."""
OUTLINE_FROM = 100_000
"""Nodes from which building a network is worth a look beforehand; smaller ones are built, and judged by their shapes."""
CALIBRATION_BYTES = 2**26
"""Models of a calibration: more than caches hold, so that a node takes as long as it does among millions."""
SAME_DEGREE = 0.1
"""Networks whose mean degrees differ by less than this share take as long a node."""
SURE = 0.4
"""A run whose models, held twice, take less than this share of the free memory fits, scratch and all."""

DRAW_BYTES = 12
"""What a sample of a minibatch takes while it is drawn: a word, its rank and its number."""
SAMPLE_COPIES = 4
"""How often the samples of one node's minibatch are in memory at once, on the way to their gradient."""


@dataclass(frozen=True)
class Plan:
    """What a run takes.

    Attributes:
        nodes: number of nodes.
        links: messages a round if all links were used; None if the graph was not built, for it could not fit.
        parameters: of one model.
        parts: what memory is for, in bytes, by name.
        peak: the most that the process will hold, in bytes.
        free: what it may hold, in bytes: what it holds already, and what the system can give.
        largest: about how many nodes would fit.
        round_s: seconds a round; None if not calibrated.
    """

    nodes: int
    links: int | None
    parameters: int
    parts: Mapping[str, int]
    peak: int
    free: int
    largest: int
    round_s: float | None = None

    @property
    def fits(self) -> bool:
        """Whether the run fits into the free memory."""
        return self.peak <= self.free

    def record(self) -> dict[str, Any]:
        """Return the plan as JSON values: bytes and seconds."""
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
        }


def plan(config: Config, *, calibrate: bool = True) -> Plan:
    """Return what running ``config`` takes.

    Args:
        config: the configuration.
        calibrate: whether to measure how long a round takes.

    Raises:
        InputError: a part cannot be built.
    """
    outline = _outline(config)
    if outline is not None and not outline.fits:
        return outline
    with links_cost(WEIGHTED_BYTES):
        experiment = build(config)
    found = memory_plan(experiment)
    if not calibrate or not found.fits:
        return found
    return Plan(**{**vars(found), "round_s": _seconds_a_round(config, experiment)})


def check_outline(config: Config) -> None:
    """Raise InputError if ``config`` needs so much memory that it need not even be built."""
    outline = _outline(config)
    if outline is not None and not outline.fits:
        raise _refusal(config, outline)


def check_fits(experiment: Experiment, note: Callable[[str], None]) -> None:
    """Raise InputError if an experiment needs more memory than is free, with what it needs it for.

    Most are small, which the shapes of their state and of a minibatch show at once; only a large one is compiled to see.

    Args:
        experiment: built, and not yet run.
        note: told what takes a while.
    """
    held = resident_bytes()
    state, minibatch = state_bytes(experiment), _minibatch_bytes(experiment)
    if held + 2 * state + minibatch < SURE * (held + available_bytes()):
        return
    note(f"models and minibatches of {bytes_text(state + minibatch)}: compiling once beforehand, to see if they fit")
    found = memory_plan(experiment)
    if not found.fits:
        raise _refusal(experiment.config, found)


def _refusal(config: Config, found: Plan) -> InputError:
    parts = ", ".join(f"{name} {bytes_text(size)}" for name, size in found.parts.items())
    ways_out = [f"about {found.largest:,} nodes fit"] if found.largest else []
    if (config.learning.batch_size or 0) > 1 and found.parts["scratch of a round"] == max(found.parts.values()):
        ways_out.append(f"a learning.batch_size below {config.learning.batch_size:,} takes less")
    ways_out += ["a device.dtype of 16 bits halves the models", "--force runs it all the same"]
    return InputError(
        f"{config.name}: {found.nodes:,} nodes need about {bytes_text(found.peak)} of memory, and "
        f"{bytes_text(found.free)} can be had ({parts})",
        hint="; ".join(ways_out),
    )


def _minibatch_bytes(experiment: Experiment) -> int:
    """Return about what the minibatches of a round take: the draws of all nodes, and the samples of one node."""
    problem, batch = experiment.problem, experiment.config.learning.batch_size or 0  # some tasks have none
    sample = max((array.nbytes // len(array) for array in _arrays_of(problem) if array.ndim and len(array)), default=0)
    return batch * (DRAW_BYTES * problem.n_nodes + SAMPLE_COPIES * sample)


def memory_plan(experiment: Experiment) -> Plan:
    """Return the plan of an experiment that is built, without its times."""
    problem, before = experiment.problem, resident_bytes()
    held = footprint(experiment)
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
        "programs and libraries": max(0, now - graph - tables - samples),
    }
    peak = max(peak_bytes(), now + sum(held))
    fixed = parts["programs and libraries"] + min(samples, 2**28)
    free = available_bytes() + before
    return Plan(
        nodes=problem.n_nodes,
        links=experiment.graph.n_links,
        parameters=problem.n_params,
        parts=parts,
        peak=peak,
        free=free,
        largest=_rounded(problem.n_nodes * max(0, free - fixed) / max(1, peak - fixed)),
    )


def _outline(config: Config) -> Plan | None:
    """Return what the models and indices of a run take, by those of a network with few nodes; None where none is needed.

    Scratch is counted as one more copy of the models, about what every algorithm here needs.
    """
    nodes = getattr(config.topology, "nodes", None)
    small = _resized(config, SMALL_NODES)
    if small is None or nodes is None or nodes < OUTLINE_FROM:
        return None
    held = resident_bytes()
    try:
        experiment = build(small)
    except JaxGossipError:
        return None  # whatever is wrong with so few nodes need not be wrong with many
    problem = experiment.problem
    grown = nodes / problem.n_nodes
    state = round(grown * state_bytes(experiment))
    graph = sum(array.nbytes for array in _arrays_of(experiment.graph)) + tree_bytes(experiment.W)
    samples = 4 * 4 * nodes  # a start, two counts and a number a node, and the table of samples once
    parts = {
        "models and optimizer state": state,
        "scratch of a round": round(grown * problem.n_nodes * problem.n_params * problem.dtype.itemsize),
        "graph and mixing tables": round(grown * graph),
        "samples and their numbers": samples + sum(array.nbytes for array in _arrays_of(problem)),
        "programs and libraries": held,
    }
    peak, free = sum(parts.values()), available_bytes() + held
    return Plan(nodes, None, problem.n_params, parts, peak, free, _rounded(nodes * max(0, free - held) / (peak - held)))


def _resized(config: Config, nodes: int) -> Config | None:
    """Return the configuration with at most so many nodes; None if its topology has no number to change."""
    topology = config.topology
    if not isinstance(getattr(topology, "nodes", None), int) or getattr(topology, "shape", None) is not None:
        return None
    changed = topology.model_copy(update={"nodes": min(nodes, topology.nodes), "allow_disconnected": True})
    return config.model_copy(update={"topology": changed})


def _seconds_a_round(config: Config, experiment: Experiment) -> float:
    """Return the seconds of a round, measured on a smaller network of the same kind where there is one.

    Of the same kind are networks whose nodes have as many neighbours: links of probability p, or within a radius, become
    fewer with the nodes, and such a network is timed as it is.
    """
    row = experiment.problem.n_params * experiment.problem.dtype.itemsize
    few = 1 << (CALIBRATION_BYTES // row).bit_length()  # a power of two suits every topology
    small = _resized(config, few) if few < experiment.problem.n_nodes else None
    grown = 1.0
    if small is not None:
        with contextlib.suppress(JaxGossipError):  # what is wrong with fewer nodes need not be wrong with many
            fewer = build(small)
            if _alike(fewer.graph, experiment.graph):
                grown, experiment = experiment.problem.n_nodes / few, fewer
    return grown * round_seconds(experiment)


def _alike(few: Graph, many: Graph) -> bool:
    """Return whether nodes have about as many neighbours in both; on the complete graph nobody counts them."""
    complete = isinstance(many.structure, Complete)
    expected = many.n_links * few.n_nodes
    return complete or abs(few.n_links * many.n_nodes - expected) <= SAME_DEGREE * expected


def _arrays_of(owner: Any) -> list[Any]:
    """Return the arrays that an object holds, each once, those in its tuples and parts too."""
    found: dict[int, Any] = {}
    waiting = list(vars(owner).values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, np.ndarray | jax.Array):
            found[id(value)] = value
        elif isinstance(value, tuple):
            waiting.extend(value)
        elif hasattr(value, "nodes") and hasattr(value, "__dict__"):  # an order
            waiting.extend(vars(value).values())
    return list(found.values())


def _rounded(nodes: float) -> int:
    """Return a number of nodes with two digits, rounded down."""
    digits = 10 ** max(0, len(str(int(nodes))) - 2)
    return int(nodes) // digits * digits
