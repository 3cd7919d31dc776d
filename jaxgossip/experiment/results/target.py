"""The cost of reaching a target: the first evaluation in which the mean over nodes had reached it."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxgossip.core import units
from jaxgossip.plotting.measures import Measure, measures_of

KEYS = ("round", "bytes_sent", "virtual_s", "joules")


def reached(records: Sequence[Mapping[str, Any]], target: float, measure: Measure | None = None) -> dict[str, Any]:
    """Return when the mean of a measure first was as good as ``target``, as JSON values.

    Args:
        records: records of a run, in the order of rounds.
        target: a lower bound if the smallest value is the worst, as for an accuracy; otherwise an upper bound.
        measure: the measure; None for the run's first one.

    Returns:
        measure, target, and of the first evaluation that reached it: round, bytes_sent and joules (of all nodes together)
        and virtual_s (when all nodes had finished that round); None if unknown, and if no evaluation reached the target.
    """
    measure = measure or measures_of(records[-1])[0]
    first: Mapping[str, Any] = next((record for record in records if _as_good(record, target, measure)), {})
    return {"measure": measure.key, "target": target, **{key: first.get(key) for key in KEYS}}


def _as_good(record: Mapping[str, Any], target: float, measure: Measure) -> bool:
    value = record.get(measure.column)
    if not isinstance(value, int | float):
        return False
    return value >= target if measure.worst == "min" else value <= target  # NaN is neither


def sentence(first: Mapping[str, Any], measure: Measure) -> str:
    """Return the cost in words: ``test accuracy 85.0% after 120 rounds, 1.24 GB sent, 3 min 05 s of virtual time``.

    Args:
        first: result of :func:`reached`.
        measure: the measure that it names.
    """
    what = f"{measure.name} {measure.text(first['target'])}"
    if first["round"] is None:
        return f"{what} not reached"
    rounds, sent = units.counted(first["round"], "round"), units.bytes_text(first["bytes_sent"])
    phrases = [f"{what} after {rounds}", f"{sent} sent"]
    if first["virtual_s"] is not None:
        phrases.append(f"{units.duration(first['virtual_s'])} of virtual time")
    if first.get("joules") is not None:  # runs of earlier releases have none
        phrases.append(f"{units.joules_text(first['joules'])} spent")
    return ", ".join(phrases)
