"""What must hold between the sections of a run in which every node acts by its own clock, and of one in rounds."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from jaxgossip.experiment.config.mistakes import Problem
from jaxgossip.experiment.config.sections import OF_EVENTS, OF_ROUNDS

ROUNDS_ONLY = ("link_drop", "straggle", "noise")
"""Conditions of rounds alone."""
DRAWN = MappingProxyType(
    {
        "schedule": MappingProxyType({"exchange": None, "receive": "at_once", "useful": "always"}),
        "network": MappingProxyType({"drop": 0, "online": 1, "split": 1}),
    }
)
"""Keys that say how messages are drawn, as they are when left out: a resolved configuration has them all."""


def clock_problems(parts: Mapping[str, Any], *, events: bool) -> list[Problem]:
    """Return what is wrong between sections.

    Args:
        parts: the sections; those with a kind are checked, None where one failed, the others are as they were written.
        events: whether every node acts by its own clock.
    """
    algorithm = parts.get("algorithm")
    if algorithm is None:
        return []
    network, schedule = (_table(parts, name) for name in ("network", "schedule"))
    if not events:
        message = f"algorithm '{algorithm.kind}' runs in rounds, in which nodes have no clocks of their own"
        hint = "remove the section, or choose an algorithm of 'jaxgossip list protocol'"
        return [Problem((name,), message, hint=hint) for name in OF_EVENTS if name in parts]
    message = f"algorithm '{algorithm.kind}' runs by the nodes' own clocks, not in rounds"
    found = [Problem((name,), message, hint="remove the section") for name in OF_ROUNDS if name in parts]
    found += [Problem(("network", key), message, hint="remove it") for key in ROUNDS_ONLY if network.get(key, 0) != 0]
    if "path" in schedule:
        said = "the schedule's file says it already"
        found += [Problem((name,), said, hint="remove the section") for name in OF_EVENTS[:-1] if name in parts]
        found += [
            Problem((name, key), said, hint="remove it")
            for name, usual in DRAWN.items()
            for key, value in usual.items()
            if _table(parts, name).get(key, value) != value
        ]
        return found
    if "period_s" in schedule:
        found.append(Problem(("schedule", "period_s"), "clocks have a period of their own", hint="set clock.period_s"))
    if "churn" in parts and network.get("online", 1) != 1:
        said = "the section [churn] says already who is online"
        found.append(Problem(("network", "online"), said, hint="leave one of them out"))
    if schedule.get("useful", "always") != "always" and "tokens" not in parts:
        said = "only token accounts ask whether a model is useful"
        found.append(Problem(("schedule", "useful"), said, hint="add a section [tokens], or remove it"))
    delay, clock = parts.get("delay"), parts.get("clock")
    if delay is None or clock is None:
        return found
    takes = delay.builder_takes | clock.builder_takes
    if "speeds" in takes and "speeds" not in parts:
        found.append(Problem(("speeds",), f"missing, and delay '{delay.kind}' follows from it", hint="write [speeds]"))
    exchange = schedule.get("exchange") or ("compute_pairwise" if algorithm.kind == "ad_psgd" else None)
    if "speeds" in parts and not takes & {"speeds", "compute_s"} and exchange != "compute_pairwise":
        hint = "delay.kind = 'transfer', or clock.kind = 'by_speed'; or remove the section"
        found.append(Problem(("speeds",), "neither clock nor delay follows from it", hint=hint))
    return found


def _table(parts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = parts.get(name)
    return found if isinstance(found, Mapping) else {}
