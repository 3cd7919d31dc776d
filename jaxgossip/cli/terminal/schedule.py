"""Output of ``schedule``: the messages of a configuration by the nodes' own clocks, before any model is computed."""

import json
import time
from pathlib import Path

from jaxgossip.cli.terminal.outcome import fates_text
from jaxgossip.cli.terminal.output import entry, hint, say, set_options, slow, tell, wrapped
from jaxgossip.core.units import count_text, duration
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.planning.timetable import Timetable, timetable
from jaxgossip.experiment.runs.run import precision

PROGRESS_S = 2.0
"""Least number of seconds between reports of progress."""


def show(config: Path, overrides: list[str], cycles: int | None, out: Path | None, *, as_json: bool) -> None:
    """Draw the schedule of a configuration, print a summary, and optionally write the messages to a file.

    Args:
        config: the TOML file.
        overrides: overrides of the form ``key.path=value``.
        cycles: number of cycles; None for as many as the run has rounds.
        out: file to write the messages to; None for no file.
        as_json: print one JSON object and nothing else.

    Raises:
        ConfigError: the run is in rounds, or the configuration is invalid.
        InputError: the format of the file is unknown, or its folder does not exist.
    """
    loaded = load(config, overrides)
    wanted = loaded.rounds if cycles is None else cycles
    tell(f"building {loaded.name}, drawing {wanted:,} cycles")

    last_report = time.perf_counter()

    def advanced(done: int) -> None:
        nonlocal last_report
        if time.perf_counter() - last_report > PROGRESS_S:
            last_report = time.perf_counter()
            tell(f"  cycle {done:,} of {wanted:,}")

    with precision(loaded):
        with slow("building"):
            experiment = build(loaded)
        summary = timetable(experiment, wanted, out, advanced)
    say(json.dumps(summary.record(), indent=2) if as_json else _table(summary))
    if out is not None and not as_json:
        say(f"\nwrote {summary.written:,} messages to {out}")
        say(wrapped(f'schedule.path = "{out}" takes the place of clock, peers, delay, churn, tokens and losses'))
    if not as_json:
        hint("jaxgossip", "run", config, *set_options(overrides))


def _table(summary: Timetable) -> str:
    period = "" if summary.period_s == 1 else f" of {duration(summary.period_s)}"
    kinds = ", ".join(f"{kind} {count_text(number)}" for kind, number in summary.messages.items()) or "none"
    lines = [
        f"{summary.cycles:,} cycles{period}, {duration(summary.cycles * summary.period_s)} of virtual time",
        "",
        entry("sent, by kind", kinds),
        entry("what became of them", fates_text(summary.fates)),
        entry("reached", f"at most {summary.busiest:,} deliveries to a node, {summary.idle:,} nodes by none"),
        entry("waves", f"{summary.waves:.1f} a cycle: steps one after the other, whatever the number of nodes"),
        entry("in flight", f"at most {summary.in_flight:,} copies of models at once"),
        *(entry(f"liars in {name}", _shares(shares)) for name, shares in summary.liars.items()),
    ]
    return "\n".join(lines)


def _shares(shares: tuple[float, ...]) -> str:
    return f"{shares[0]:.1%} at first, {shares[-1]:.1%} at the end, at most {max(shares):.1%}"
