"""Output of ``plan`` and ``info``."""

import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxgossip.experiment.planning.plan import Plan

LINK = 12.5
"""Gigabytes a second that a device receives from others, unless told otherwise: 100 Gbit/s."""


def _devices(plan: "Plan", link: float) -> list[str]:
    """Return lines on what each device of a mesh has, and what it receives from others."""
    from jaxgossip.core.units import bytes_text, counted, duration

    free = "" if plan.device_free is None else f" of {bytes_text(plan.device_free)} free"
    lines = [f"{counted(plan.devices, 'device')}: {bytes_text(plan.device_bytes)}{free} on each"]
    if plan.devices > 1:
        seconds = plan.received_bytes / (link * 1e9)
        time = duration(seconds) if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"
        lines.append(f"received by each: {bytes_text(plan.received_bytes)} a round, {time} at {link:g} GB/s")
    return lines


def plan_table(plan: "Plan", rounds: int, link: float = LINK) -> str:
    """Format the memory and time that a run takes, and how samples fall on its nodes.

    Args:
        plan: the plan.
        rounds: number of rounds of the run.
        link: gigabytes a second that a device receives from others.
    """
    from jaxgossip.core.units import bytes_text, count_text, counted, duration
    from jaxgossip.experiment.build.description import describe_nodes, lines_of
    from jaxgossip.learning.samples import SampledProblem

    links = "" if plan.links is None else f", {count_text(plan.links)} links"
    lines = [f"{plan.nodes:,} nodes{links}, {plan.parameters:,} parameters each", ""]
    if isinstance(plan.problem, SampledProblem):
        lines += ["samples", *lines_of(describe_nodes(plan.problem)), ""]
    lines.append("memory")
    lines += [f"  {name:<28}{bytes_text(size):>10}" for name, size in plan.parts.items()]
    lines += [f"  {'at its peak':<28}{bytes_text(plan.peak):>10}", f"  {'free':<28}{bytes_text(plan.free):>10}", ""]
    if plan.device_free is not None or plan.devices > 1:
        lines += [*_devices(plan, link), ""]
    if (some := plan.nodes_at_a_time) is not None:
        of_nodes = "all nodes at once" if some >= plan.nodes else f"{counted(some, 'node')} at a time"
        lines += [f"gradients are computed of {of_nodes}", ""]
    if plan.links is None:
        lines += ["by a network of few nodes of the same kind: this one is too large to be built", ""]
    if not plan.fits:
        lines.append("it does not fit" + (f"; about {plan.largest:,} nodes would" if plan.largest else ""))
    elif plan.round_s is not None:
        total = duration(rounds * plan.round_s)
        speed = count_text(plan.nodes / plan.round_s)
        lines.append(f"time: {duration(plan.round_s)} a round, {speed} node-updates/s; {rounds:,} rounds in {total},")
        lines.append("compilation, evaluations and baselines not counted")
    return "\n".join(lines)


def machine() -> str:
    """Return versions, devices, cores and memory."""
    from jaxgossip.simulation.results.provenance import provenance

    origin = provenance()
    lines = [f"{name:<12} {number}" for name, number in origin["versions"].items()]
    device = origin["device"]
    lines.append(f"{'device':<12} {device['count']} x {device['kind']} ({device['platform']})")
    lines.append(f"{'a run uses':<12} {_used(device['platform'], device['count'])}")
    lines.append(f"{'machine':<12} {device['system']} {device['machine']}, {device['cores']} cores, {_memory()}")
    lines += [f"{name:<12} {value}" for name, value in origin["flags"].items() if name.isupper() and value]
    lines.append(f"{'allocator':<12} {origin['allocator'] or 'as it is'}")
    extra = "installed" if importlib.util.find_spec("sklearn") else "missing: pip install 'jaxgossip[data]'"
    lines.append(f"{'extra data':<12} {extra}")
    return "\n".join(lines)


def _used(platform: str, count: int) -> str:
    import jax

    from jaxgossip.core.devices.memory import device_free_bytes

    if platform == "cpu":
        return "one device and all cores; --devices N makes N devices of them"
    free = device_free_bytes(jax.devices())
    room = "" if free is None else f", {free / 2**30:.1f} GiB free" + (" on each" if count > 1 else "")
    return "one device" + (f"; --devices {count} spreads it over all" if count > 1 else "") + room


def _memory() -> str:
    from jaxgossip.core.devices.memory import available_bytes, total_bytes

    return f"{total_bytes() / 2**30:.1f} GiB memory, {available_bytes() / 2**30:.1f} GiB available"
