"""Checks of the engines' arguments, made before anything is compiled."""

from collections.abc import Mapping
from typing import Any

import jax

from jaxgossip.algorithms import Algorithm, GossipProtocol
from jaxgossip.algorithms.protocols.protocol import check_schedule
from jaxgossip.core.arguments import MOST_SEED, fits, is_number, shown, whole
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.network import Conditions, Energy, Speeds
from jaxgossip.topology import Graph

MOST_BYTES = 2**63 - 1
"""Largest byte budget: counters are two 32-bit words."""


def settings(
    what: str,
    *,
    seed: Any,
    evaluate_every: Any,
    sampled_nodes: Any,
    byte_budget: Any,
    matmul_precision: Any,
    **length: Any,
) -> dict[str, Any]:
    """Check the arguments that all engines take, and return them as a dict of Python values.

    Args:
        what: the function whose arguments they are, as named in messages.
        seed: seed of the run.
        evaluate_every: rounds from one evaluation to the next.
        sampled_nodes: nodes evaluated while running.
        byte_budget: bytes after which the run ends.
        matmul_precision: precision of float32 matrix products, as JAX names it.
        length: the number of rounds or cycles, by its name; it is ``rounds`` in the result.

    Raises:
        InputError: a number is not whole or out of range, or the precision is unknown.
    """
    for name, value, least, most in (
        *((name, value, 0, None) for name, value in length.items()),
        ("seed", seed, 0, MOST_SEED),
        ("evaluate_every", evaluate_every, 1, None),
        ("sampled_nodes", sampled_nodes, 1, None),
        ("byte_budget", byte_budget, 0, MOST_BYTES),
    ):
        if is_number(value) and value < least:
            raise InputError(f"{what}: {name} must be at least {least}, not {value}")
        whole(what, name, value, least, *(() if most is None else (most,)))
    try:
        with jax.default_matmul_precision(matmul_precision):
            pass
    except ValueError as error:
        hint = "'highest' is full float32; 'high' and 'default' are quicker on accelerators"
        raise InputError(f"{what}: matmul_precision cannot be {shown(matmul_precision)}", hint=hint) from error
    (rounds,) = length.values()
    return {
        "rounds": int(rounds),
        "seed": int(seed),
        "evaluate_every": int(evaluate_every),
        "sampled_nodes": int(sampled_nodes),
        "byte_budget": int(byte_budget),
        "matmul_precision": str(matmul_precision),
    }


def check_algorithm(algorithm: Any, conditions: Any, speeds: Any, energy: Any = None) -> None:
    """Raise ArgumentTypeError unless the arguments of the rounds engine are of the right types."""
    if not isinstance(algorithm, Algorithm):
        hint = "jg.algorithms.dsgd(problem, optimizer, W), or another of jg.algorithms"
        if isinstance(algorithm, GossipProtocol):
            hint = "a protocol runs on a schedule: jg.simulate_events(protocol, schedule, cycles)"
        elif callable(algorithm):
            hint = f"call it: {getattr(algorithm, '__name__', 'it')}(problem, optimizer, W)"
        raise ArgumentTypeError(f"simulate: {shown(algorithm)} is no algorithm", hint=hint)
    check_conditions("simulate", conditions)
    if speeds is not None and not isinstance(speeds, Speeds):
        raise ArgumentTypeError(
            f"simulate: {shown(speeds)} is no Speeds", hint="speeds=jg.network.speeds.constant(n_nodes)"
        )
    check_energy("simulate", energy)


def check_energy(what: str, energy: Any) -> None:
    """Raise ArgumentTypeError unless ``energy`` is None or an Energy."""
    if energy is not None and not isinstance(energy, Energy):
        raise ArgumentTypeError(
            f"{what}: {shown(energy)} is no Energy", hint="energy=jg.network.energy.constant(n_nodes)"
        )


def check_conditions(what: str, conditions: Any) -> None:
    """Raise ArgumentTypeError unless ``conditions`` are None or Conditions."""
    if conditions is not None and not isinstance(conditions, Conditions):
        named = isinstance(conditions, Mapping) and all(isinstance(name, str) for name in conditions)
        words = ", ".join(f"{name}={value!r}" for name, value in conditions.items()) if named else "noise=0.1"
        raise ArgumentTypeError(
            f"{what}: {shown(conditions)} is no Conditions", hint=f"conditions=jg.network.Conditions({words})"
        )


def check_observer(observer: Any, kind: type) -> None:
    """Raise ArgumentTypeError unless ``observer`` is None or has all public methods of ``kind``."""
    if observer is None or isinstance(observer, kind):
        return
    methods = [name for name in vars(kind) if not name.startswith("_")]
    if not all(hasattr(observer, name) for name in methods):
        raise ArgumentTypeError(
            f"{shown(observer)} is no observer", hint="a class derived from jg.simulation.Observer, made"
        )


def check_protocol(protocol: Any, schedule: Any, energy: Any = None) -> None:
    """Check the arguments of the events engine.

    Raises:
        ArgumentTypeError: ``protocol`` is not a protocol, ``schedule`` not a schedule, or ``energy`` not an Energy.
        InputError: protocol and schedule do not fit together, the rows of the problem are reordered, or ``energy`` is of
            another number of nodes or has batteries.
    """
    if not isinstance(protocol, GossipProtocol):
        hint = "jg.algorithms.gossip_learning(problem, optimizer), or another protocol of jg.algorithms"
        if isinstance(protocol, Algorithm):
            hint = "an algorithm runs in rounds: jg.simulate(algorithm, rounds)"
        raise ArgumentTypeError(f"simulate_events: {shown(protocol)} is no protocol", hint=hint)
    if not (hasattr(schedule, "cycles") and hasattr(schedule, "kinds") and hasattr(schedule, "n_nodes")):
        hint = "jg.schedule.schedule(graph, clock=…)"
        if isinstance(schedule, Graph):
            hint = "jg.schedule.schedule(graph, clock=jg.schedule.clocks.fixed(graph.n_nodes, rng))"
        raise ArgumentTypeError(f"simulate_events: {shown(schedule)} is no schedule", hint=hint)
    problem = protocol.problem
    if schedule.n_nodes != problem.n_nodes:
        raise InputError(f"a schedule of {schedule.n_nodes:,} nodes does not fit a problem of {problem.n_nodes:,}")
    check_schedule(protocol, schedule)
    check_energy("simulate_events", energy)
    if energy is not None:
        fits("energy", energy.n_nodes, "a problem", problem.n_nodes)
        energy.check_mains()
    if problem.order is not None:
        raise InputError(
            "the problem has its nodes in other rows than their numbers", hint="make it without an order: order=None"
        )
