"""Rules between the sections of runs by the nodes' own clocks, and of runs in rounds."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from jaxgossip.experiment.config.diagnostics import Diagnostic
from jaxgossip.experiment.config.sections import OF_EVENTS, OF_ROUNDS

ROUNDS_ONLY = ("link_drop", "link_burst")
"""Conditions that only runs in rounds have."""
DRAWN = MappingProxyType(
    {
        "schedule": MappingProxyType({"exchange": None, "receive": "at_once", "useful": "always"}),
        "network": MappingProxyType({"drop": 0, "online": 1, "split": 1}),
    }
)
"""Keys that determine how messages are drawn, with their defaults, which a resolved configuration contains."""


def clock_diagnostics(sections: Mapping[str, Any], *, events: bool) -> list[Diagnostic]:
    """Return the violations of the rules between sections.

    Args:
        sections: the sections; those with a kind are checked models, or None if invalid, and others are as written.
        events: whether every node acts by its own clock.
    """
    algorithm = sections.get("algorithm")
    if algorithm is None:
        return []
    network, schedule = (_table(sections, name) for name in ("network", "schedule"))
    if not events:
        message = f"algorithm '{algorithm.kind}' runs in rounds, in which nodes have no clocks of their own"
        hint = "remove the section, or choose an algorithm of 'jaxgossip list protocol'"
        violations = [Diagnostic((name,), message, hint=hint) for name in OF_EVENTS if name in sections]
        return violations + _contacts_of_rounds(sections)
    message = f"algorithm '{algorithm.kind}' runs by the nodes' own clocks, not in rounds"
    violations = [Diagnostic((name,), message, hint="remove the section") for name in OF_ROUNDS if name in sections]
    violations += [
        Diagnostic(("network", key), message, hint="remove it") for key in ROUNDS_ONLY if network.get(key, 0) != 0
    ]
    if "path" in schedule:
        message = "the schedule's file says it already"
        violations += [
            Diagnostic((name,), message, hint="remove the section")
            for name in (*OF_EVENTS[:-1], "contacts")
            if name in sections
        ]
        violations += [
            Diagnostic((name, key), message, hint="remove it")
            for name, usual in DRAWN.items()
            for key, value in usual.items()
            if _table(sections, name).get(key, value) != value
        ]
        return violations
    if "period_s" in schedule:
        message = "clocks have a period of their own"
        violations.append(Diagnostic(("schedule", "period_s"), message, hint="set clock.period_s"))
    if "churn" in sections and network.get("online", 1) != 1:
        message = "the section [churn] says already who is online"
        violations.append(Diagnostic(("network", "online"), message, hint="leave one of them out"))
    if schedule.get("useful", "always") != "always" and "tokens" not in sections:
        message = "only token accounts ask whether a model is useful"
        violations.append(Diagnostic(("schedule", "useful"), message, hint="add a section [tokens], or remove it"))
    violations += _contacts_of_events(sections, schedule)
    delay, clock = sections.get("delay"), sections.get("clock")
    if delay is None or clock is None:
        return violations
    takes = delay.builder_takes | clock.builder_takes
    if "speeds" in takes and "speeds" not in sections:
        message = f"missing, and delay '{delay.kind}' follows from it"
        violations.append(Diagnostic(("speeds",), message, hint="write [speeds]"))
    exchange = schedule.get("exchange") or ("compute_pairwise" if algorithm.kind == "ad_psgd" else None)
    if "speeds" in sections and not takes & {"speeds", "compute_s"} and exchange != "compute_pairwise":
        hint = "delay.kind = 'transfer', or clock.kind = 'by_speed'; or remove the section"
        violations.append(Diagnostic(("speeds",), "neither clock nor delay follows from it", hint=hint))
    return violations


def _contacts_of_rounds(sections: Mapping[str, Any]) -> list[Diagnostic]:
    """Return the violations of the rules on contacts in runs in rounds."""
    contacts, mixing = sections.get("contacts"), sections.get("mixing")
    if mixing is None:
        return []
    mixed = "contacts" in mixing.builder_takes
    if mixed and "contacts" not in sections:
        message = f"missing, and mixing '{mixing.kind}' follows from it"
        return [Diagnostic(("contacts",), message, hint='write [contacts] with a kind, such as "random_waypoint"')]
    if contacts is None:
        return []
    if not mixed:
        message = f"mixing '{mixing.kind}' does not follow from it"
        return [Diagnostic(("contacts",), message, hint="mixing.kind = 'contacts', or remove the section")]
    if contacts.rate_bytes_s is not None:
        message = "in rounds, messages take no time"
        return [
            Diagnostic(
                ("contacts", "rate_bytes_s"), message, hint="remove it, mixing.least_s leaves out short contacts"
            )
        ]
    return []


def _contacts_of_events(sections: Mapping[str, Any], schedule: Mapping[str, Any]) -> list[Diagnostic]:
    """Return the violations of the rules on contacts where every node acts by its own clock."""
    if "contacts" not in sections:
        return []
    peers, violations = sections.get("peers"), []
    if peers is not None and peers.kind != "uniform":
        message = "the section [contacts] says whom nodes call: any of those that they are in contact with"
        violations.append(Diagnostic(("peers",), message, hint="remove the section"))
    if "tokens" in sections:
        message = "token accounts know no contacts"
        violations.append(Diagnostic(("tokens",), message, hint="remove this section, or [contacts]"))
    receive = schedule.get("receive", "at_once")
    if receive != "at_once":
        message = f"'{receive}' knows no contacts"
        violations.append(Diagnostic(("schedule", "receive"), message, hint="'at_once', or remove [contacts]"))
    return violations


def _table(sections: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = sections.get(name)
    return table if isinstance(table, Mapping) else {}
