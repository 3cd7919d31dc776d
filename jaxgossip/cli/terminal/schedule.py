"""``jaxgossip schedule``: what the nodes' own clocks make of a configuration, before any model is touched."""

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

TOLD_S = 2.0
"""Progress is told at most once in so many seconds."""


def show(config: Path, overrides: list[str], cycles: int | None, out: Path | None, *, as_json: bool) -> None:
    """Draw the schedule of a configuration, print what it holds, and write it if asked to.

    Args:
        config: the TOML file.
        overrides: ``key.path=value`` each.
        cycles: how many; None: as many as the run has rounds.
        out: file of messages; None: none is written.
        as_json: print one JSON object and nothing else.

    Raises:
        ConfigError: a run in rounds, or whatever is wrong with the configuration.
    """
    loaded = load(config, overrides)
    wanted = loaded.rounds if cycles is None else cycles
    tell(f"building {loaded.name}, drawing {wanted:,} cycles")

    told = time.perf_counter()

    def advanced(done: int) -> None:
        nonlocal told
        if time.perf_counter() - told > TOLD_S:
            told = time.perf_counter()
            tell(f"  cycle {done:,} of {wanted:,}")

    with precision(loaded):
        with slow("building"):
            experiment = build(loaded)
        found = timetable(experiment, wanted, out, advanced)
    say(json.dumps(found.record(), indent=2) if as_json else _table(found))
    if out is not None and not as_json:
        say(f"\nwrote {found.written:,} messages to {out}")
        say(wrapped(f'schedule.path = "{out}" takes the place of clock, peers, delay, churn, tokens and losses'))
    if not as_json:
        hint("jaxgossip", "run", config, *set_options(overrides))


def _table(found: Timetable) -> str:
    period = "" if found.period_s == 1 else f" of {duration(found.period_s)}"
    kinds = ", ".join(f"{kind} {count_text(number)}" for kind, number in found.messages.items()) or "none"
    lines = [
        f"{found.cycles:,} cycles{period}, {duration(found.cycles * found.period_s)} of virtual time",
        "",
        entry("sent, by kind", kinds),
        entry("what became of them", fates_text(found.fates)),
        entry("reached", f"at most {found.busiest:,} deliveries to a node, {found.idle:,} nodes by none"),
        entry("waves", f"{found.waves:.1f} a cycle: steps one after the other, whatever the number of nodes"),
        entry("in flight", f"at most {found.in_flight:,} copies of models at once"),
    ]
    return "\n".join(lines)
