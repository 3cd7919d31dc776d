"""The report of a finished run: its final measurements, its folder and the next command."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxgossip.cli.terminal.output import entry, hint, say, tell, wrapped
from jaxgossip.core.errors import RunError
from jaxgossip.core.units import duration, joules_text
from jaxgossip.experiment.results.target import sentence
from jaxgossip.experiment.runs.run import Outcome
from jaxgossip.plotting.measures import measures_of, network_measures_of

LABELS = MappingProxyType(
    {
        "isolated": "isolated nodes, mean",
        "centralised": "centralised learner",
        "federated_averaging": "federated averaging",
    }
)


def report(outcome: Outcome, again: Sequence[object] = ()) -> None:
    """Print the outcome of a run, its folder and the next command; exit with 130 if it was interrupted.

    Args:
        outcome: outcome of the run.
        again: words of a command that repeats the run with another seed, suggested if there is no run to compare it with.

    Raises:
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
    comparable = _comparable_run(outcome)
    hint(*(again if again and not comparable else ["jaxgossip", "compare", *comparable, outcome.folder]))


def _comparable_run(outcome: Outcome) -> list[Path]:
    """Return the newest other run in the parent folder that has the same first measure, or an empty list."""
    folder, key = outcome.folder, measures_of(outcome.final["run"])[0].column
    logs = folder.parent.glob("*/metrics.jsonl")
    logs = [path for path in logs if path.parent != folder and key in _first_record(path)]
    return [max(logs, key=lambda path: path.stat().st_mtime).parent] if logs else []


def _first_record(log: Path) -> Mapping[str, Any]:
    """Return the first record of a log of measurements; empty if it cannot be read."""
    try:
        with log.open(encoding="utf-8") as lines:
            record = json.loads(lines.readline())
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _final_table(outcome: Outcome) -> None:
    run = outcome.final["run"]
    measure = measures_of(run)[0]
    rows = [("all nodes, mean", measure.column), ("worst node", measure.statistic(measure.worst))]
    took = f"in {outcome.seconds:.1f} s" if outcome.seconds else "earlier: nothing is left to do"
    say(f"\n{outcome.status} after {outcome.rounds:,} rounds {took}")
    say(f"\n{measure.name}" + f" in round {run['round']:,}, the last one measured" * (outcome.status == "diverged"))
    for label, name in [*rows, ("mean model", f"mean_model_{measure.key}")]:
        if name in run:  # measures that depend on the node do not apply to a mean model
            say(f"  {label:<22}{measure.text(run[name])}")
    for name, record in outcome.final.items():
        if name != "run" and (measure.column in record or record.get("diverged")):
            shown = "diverged" if record.get("diverged") else measure.text(record.get(measure.column))
            say(f"  {LABELS.get(name, name):<22}{shown}")
    say("")
    for attack in (other for other in measures_of(run)[1:] if other.key == "attack_success"):
        mean, worst = (attack.text(run[attack.statistic(which)]) for which in ("mean", attack.worst))
        say(entry(attack.name, f"{mean}, at the worst node {worst}"))
    for of_network in network_measures_of(run):
        say(entry(of_network.name, of_network.text(run[of_network.key])))
    requests = f", {run['requests']:,} of them requests, of no bytes" if "requests" in run else ""
    say(entry("messages", f"{run['messages']:,}{requests}"))
    metadata = f", {run['metadata_bytes']:,} of them beside the models" if run.get("metadata_bytes") else ""
    say(entry("bytes sent", f"{run['bytes_sent']:,}{metadata}"))
    if "in_flight" in run:
        say(entry("what became of them", fates(run)))
    if run.get("virtual_s") is not None:
        mean = run.get("virtual_s_mean")
        of_mean = "" if mean is None else f", {duration(mean)} for a mean node"
        say(entry("virtual time", f"{duration(run['virtual_s'])}{of_mean}"))
    if run.get("joules") is not None:
        say(
            entry("energy", f"{joules_text(run['joules'])}, {joules_text(run['training_joules'])} of them for training")
        )
    if "live_nodes" in run:
        say(entry("nodes with energy left", f"{run['live_nodes']:,}"))
    if outcome.target is not None:
        measure = next(candidate for candidate in measures_of(run) if candidate.key == outcome.target["measure"])
        say("\n" + wrapped(sentence(outcome.target, measure), 2))


def fates(record: Mapping[str, Any]) -> str:
    """Return the fates of all messages of a record, as text."""
    counts = {"delivered": record["delivered"]}
    counts |= {key.removeprefix("lost_"): count for key, count in record.items() if key.startswith("lost_")}
    return fates_text(counts | {"in flight": record["in_flight"]})


def fates_text(counts: Mapping[str, int]) -> str:
    """Return the nonzero counts by fate as percentages."""
    total = max(1, sum(counts.values()))
    return ", ".join(f"{share(count / total)} {name}" for name, count in counts.items() if count) or "none was sent"


def share(fraction: float) -> str:
    """Format a nonzero fraction in percent, never as 0 %."""
    return f"{fraction:.1%}" if fraction >= 0.001 else "under 0.1%"
