"""How a run ended, as its manifest tells it."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxgossip.simulation.metrics import is_finite, lost_in, measured_in


def ending_facts(status: str, rounds: int, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the manifest says of how a run ended.

    Args:
        status: as the engine has it, which may not know the records from before a run was resumed.
        rounds: rounds done.
        records: all of the run.

    Returns:
        status and rounds; of a diverged run diverged_round and reason, a clause; of a run that is over not_finite, the
        names of what was measured and has no finite mean in the last record, unless all is finite.
    """
    found: dict[str, Any] = {"status": status, "rounds": rounds}
    if status == "interrupted":
        return found
    # The round in which a model became NaN or infinite is not measured any more.
    lost = lost_in(records) if records[-1]["round"] == rounds else None
    if lost is not None:
        found |= {
            "status": "diverged",
            "diverged_round": lost,
            "reason": "nothing measured is a finite number any more",
        }
    elif status == "diverged":
        found |= {"diverged_round": rounds, "reason": "a model became NaN or infinite"}
    return found | unmeasured_facts(records[-1])


def unmeasured_facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``not_finite``: the names of what a record holds and has no finite number of; empty if it has of all."""
    names = [name for name in measured_in(record) if not is_finite(record.get(f"{name}_mean"))]
    names += ["consensus_distance"] * (not is_finite(record.get("consensus_distance")))
    return {"not_finite": names} if names else {}
