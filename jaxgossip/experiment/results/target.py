"""What it took to get there: the first evaluation in which the mean over nodes had reached a target."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxgossip.core import units
from jaxgossip.plotting.measures import Measure, measures_of

KEYS = ("round", "bytes_sent", "virtual_s")


def reached(records: Sequence[Mapping[str, Any]], target: float, measure: Measure | None = None) -> dict[str, Any]:
    """Return when the mean of a measure first was as good as ``target``, as JSON values.

    Args:
        records: of a run, in the order of rounds.
        target: at least this where the smallest value is the worst, such as of an accuracy; else at most this.
        measure: whose mean; the run's first measure if None.

    Returns:
        measure, target, and of the first evaluation that reached it: round, bytes_sent (all nodes together) and virtual_s
        (when that round was over everywhere); None for what is not known, all three where none reached it.
    """
    measure = measure or measures_of(records[-1])[0]
    first: Mapping[str, Any] = next((record for record in records if _as_good(record, target, measure)), {})
    return {"measure": measure.key, "target": target, **{key: first.get(key) for key in KEYS}}


def _as_good(record: Mapping[str, Any], target: float, measure: Measure) -> bool:
    value = record.get(f"{measure.key}_mean")
    if not isinstance(value, int | float):
        return False
    return value >= target if measure.worst == "min" else value <= target  # NaN is neither


def sentence(found: Mapping[str, Any], measure: Measure) -> str:
    """Return what it took, for people: ``test accuracy 85.0% after 120 rounds, 1.24 GB sent, 3 min 05 s``.

    Args:
        found: of :func:`reached`.
        measure: the measure that it names.
    """
    what = f"{measure.name} {measure.text(found['target'])}"
    if found["round"] is None:
        return f"{what} not reached"
    parts = [f"{what} after {units.counted(found['round'], 'round')}", f"{units.bytes_text(found['bytes_sent'])} sent"]
    if found["virtual_s"] is not None:
        parts.append(f"{units.duration(found['virtual_s'])} of virtual time")
    return ", ".join(parts)
