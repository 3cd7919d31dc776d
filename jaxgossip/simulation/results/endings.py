"""The manifest's entries on how a run ended."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxgossip.plotting.measures import network_measures_of
from jaxgossip.simulation.loop import Status
from jaxgossip.simulation.metrics import first_lost_round, is_finite, measurement_names


def ending_entries(status: str, rounds: int, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the manifest's entries on how a run ended.

    Args:
        status: status according to the engine, which may not have the records made before the run was resumed.
        rounds: rounds completed.
        records: all records of the run.

    Returns:
        ``status`` and ``rounds``; for a diverged run also ``diverged_round`` and ``reason``; for a run that was not
        interrupted also ``not_finite``, the names of measurements without a finite mean in the last record, if there are any.
    """
    entries: dict[str, Any] = {"status": status, "rounds": rounds}
    if status == "interrupted":
        return entries
    # There is no record of a round in which a model became NaN or infinite.
    lost = first_lost_round(records) if records[-1]["round"] == rounds else None
    if lost is not None:
        entries |= {
            "status": "diverged",
            "diverged_round": lost,
            "reason": "nothing measured is a finite number any more",
        }
    elif status == "diverged":
        entries |= {"diverged_round": rounds, "reason": "a model became NaN or infinite"}
    return entries | not_finite_entry(records[-1])


def not_finite_entry(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry ``not_finite``, the names of a record's measurements that are not finite; empty if all are."""
    names = [name for name in measurement_names(record) if not is_finite(record.get(f"{name}_mean"))]
    names += [measure.key for measure in network_measures_of(record) if not is_finite(record[measure.key])]
    return {"not_finite": names} if names else {}


def final_status(records: Sequence[Mapping[str, Any]], *, diverged: bool, stopped: bool) -> Status:
    """Return the status of a run that has ended with these records; ``stopped`` is whether an observer stopped it."""
    if diverged or (not stopped and first_lost_round(records) is not None):
        return "diverged"
    return "interrupted" if stopped else "completed"
