"""What a run says when it is over: what was measured, where it is, and the next command."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxgossip.cli.terminal.output import entry, hint, say, tell, wrapped
from jaxgossip.core.errors import RunError
from jaxgossip.core.units import duration, scientific
from jaxgossip.experiment.results.target import sentence
from jaxgossip.experiment.runs.run import Outcome
from jaxgossip.plotting.measures import measures_of

LABELS = MappingProxyType(
    {
        "isolated": "isolated nodes, mean",
        "centralised": "centralised learner",
        "federated_averaging": "federated averaging",
    }
)


def report(outcome: Outcome, again: Sequence[object] = ()) -> None:
    """Print what became of a run, where it is, and the next command.

    Args:
        outcome: of the run.
        again: words of a command that runs it with another seed, the next where there is nothing to compare it with.

    Raises:
        KeyboardInterrupt: the run was interrupted, after saying how to go on.
        RunError: the run diverged.
    """
    if outcome.status == "interrupted":
        tell(f"interrupted after round {outcome.rounds:,}; where it stands is saved in {outcome.folder}")
        hint("jaxgossip", "resume", outcome.folder)
        sys.exit(130)
    _final_table(outcome)
    say("\n" + wrapped(f"results in {outcome.folder}, picture in {outcome.folder / 'summary.png'}"))
    if outcome.status == "diverged":
        raise RunError(
            f"{outcome.ending}; what was measured before is kept",
            hint="a smaller optimizer.learning_rate is the usual cure",
        )
    beside = _beside(outcome)
    hint(*(again if again and not beside else ["jaxgossip", "compare", *beside, outcome.folder]))


def _beside(outcome: Outcome) -> list[Path]:
    """Return the newest other run beside a run's folder that has measured something of what it has, or nothing."""
    folder, key = outcome.folder, f"{measures_of(outcome.final['run'])[0].key}_mean"
    logs = [path for path in folder.parent.glob("*/metrics.jsonl") if path.parent != folder and key in _first(path)]
    return [max(logs, key=lambda path: path.stat().st_mtime).parent] if logs else []


def _first(log: Path) -> Mapping[str, Any]:
    """Return the first record of another run's measurements; nothing if there is none that can be read."""
    try:
        with log.open(encoding="utf-8") as lines:
            record = json.loads(lines.readline())
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _final_table(outcome: Outcome) -> None:
    run = outcome.final["run"]
    measure = measures_of(run)[0]
    key = measure.key

    def text(value: float | None) -> str:
        return "–" if value is None else measure.text(value)

    rows = [("all nodes, mean", f"{key}_mean"), ("worst node", f"{key}_{measure.worst}")]
    took = f"in {outcome.seconds:.1f} s" if outcome.seconds else "earlier: nothing is left to do"
    say(f"\n{outcome.status} after {outcome.rounds:,} rounds {took}")
    say(f"\n{measure.name}" + f" in round {run['round']:,}, the last one measured" * (outcome.status == "diverged"))
    for label, name in [*rows, ("mean model", f"mean_model_{key}")]:
        if name in run:  # what only nodes can tell says nothing of a mean model
            say(f"  {label:<22}{text(run[name])}")
    for name, record in outcome.final.items():
        if name != "run" and (f"{key}_mean" in record or record.get("diverged")):
            shown = "diverged" if record.get("diverged") else text(record.get(f"{key}_mean"))
            say(f"  {LABELS.get(name, name):<22}{shown}")
    say(f"\n  consensus distance    {scientific(run['consensus_distance'])}")
    asked = f", {run['requests']:,} of them requests, of no bytes" if "requests" in run else ""
    say(entry("messages", f"{run['messages']:,}{asked}"))
    beside = f", {run['metadata_bytes']:,} of them beside the models" if run.get("metadata_bytes") else ""
    say(entry("bytes sent", f"{run['bytes_sent']:,}{beside}"))
    if "in_flight" in run:
        say(entry("what became of them", fates(run)))
    if run.get("virtual_s") is not None:
        mean = run.get("virtual_s_mean")
        beside = "" if mean is None else f", {duration(mean)} for a mean node"
        say(entry("virtual time", f"{duration(run['virtual_s'])}{beside}"))
    if outcome.target is not None:
        measure = next(one for one in measures_of(run) if one.key == outcome.target["measure"])
        say("\n" + wrapped(sentence(outcome.target, measure), 2))


def fates(record: Mapping[str, Any]) -> str:
    """Return what became of all messages of a record."""
    counts = {"delivered": record["delivered"]}
    counts |= {key.removeprefix("lost_"): count for key, count in record.items() if key.startswith("lost_")}
    return fates_text(counts | {"in flight": record["in_flight"]})


def fates_text(counts: Mapping[str, int]) -> str:
    """Return counts by fate as shares of all, those that are not 0."""
    total = max(1, sum(counts.values()))
    return ", ".join(f"{share(count / total)} {name}" for name, count in counts.items() if count) or "none was sent"


def share(fraction: float) -> str:
    """Return a share in percent, never as 0 % where it is not."""
    return f"{fraction:.1%}" if fraction >= 0.001 else "under 0.1%"
