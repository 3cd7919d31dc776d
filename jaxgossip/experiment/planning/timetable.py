"""Summaries of schedules: the number of messages, their fates, and their division into waves."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.build.experiment import Experiment
from jaxgossip.schedule import Kind, Messages, Schedule, Source, files
from jaxgossip.schedule.peers import Preferences
from jaxgossip.simulation.events.segments import MessageStream

MOST_KEPT = 50_000_000
"""Largest number of messages kept for writing; each takes some fifty bytes of memory."""


@dataclass(frozen=True)
class Timetable:
    """The summary of a schedule.

    Attributes:
        cycles: number of cycles drawn.
        period_s: length of a cycle in seconds.
        messages: number of messages sent in these cycles by kind, including local events.
        fates: number of messages between nodes by fate, including those in flight at the end.
        busiest: largest number of deliveries to a node.
        idle: number of nodes that no message reached.
        waves: mean number of waves per cycle.
        in_flight: largest number of copies of models in flight at once.
        written: number of messages in the file.
        liars: shares of liars among what honest nodes hold in an overlay that is lied to, by name (``views``,
            ``samples``): at first, and after each cycle. Empty if no node lies to an overlay.
    """

    cycles: int
    period_s: float
    messages: Mapping[str, int]
    fates: Mapping[str, int]
    busiest: int
    idle: int
    waves: float
    in_flight: int
    written: int
    liars: Mapping[str, tuple[float, ...]]

    def record(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(self).items()}


def timetable(
    experiment: Experiment, cycles: int, out: Path | None = None, advanced: Callable[[int], None] = lambda _: None
) -> Timetable:
    """Summarise the first cycles of a schedule, and optionally write their messages to a file.

    Args:
        experiment: an experiment whose nodes act by their own clocks.
        cycles: number of cycles, at least 1.
        out: .npz or .csv file to write to; None for no file.
        advanced: called with the number of cycles done so far.

    Raises:
        ConfigError: the run is in rounds, or there are too many messages for a file.
        InputError: the format of the file is unknown, or its folder does not exist.
    """
    source = experiment.schedule
    if source is None:
        raise ConfigError(
            f"algorithm '{experiment.config.algorithm.kind}' runs in rounds: nobody has a clock of its own",
            hint="'jaxgossip list protocol' names those that do",
        )
    if out is not None:
        files.check(out)
    kept: list[Messages] = []
    kinds, reached = np.zeros(len(Kind), np.int64), np.zeros(source.n_nodes, np.int64)
    tapped = _TappedSource(source)
    flow, waves, slots, count = MessageStream(tapped), 0, 0, 0
    shares = source.liar_shares() if isinstance(source, Schedule) else iter(())
    in_overlay = list(islice(shares, 1))
    for cycle in range(cycles):
        work, messages = flow.next(1), tapped.latest
        count += len(messages)
        if out is not None:
            kept.append(messages)
            if count > MOST_KEPT:
                raise ConfigError(
                    f"more than {MOST_KEPT:,} messages in {cycle + 1:,} cycles", hint="give fewer --cycles"
                )
        kinds += np.bincount(messages.kind, minlength=len(Kind))
        waves, slots = waves + work.n_waves, max(slots, work.n_slots)
        reached += np.bincount(work.receiver, minlength=source.n_nodes)
        in_overlay += islice(shares, 1)
        advanced(cycle + 1)
    if out is not None:
        files.save(out, Messages.together(kept))
    tally = flow.standing.tally
    fates = {"delivered": tally.delivered, **{name.name.lower(): n for name, n in tally.lost.items()}}
    return Timetable(
        cycles=cycles,
        period_s=source.period_s,
        messages={kind.name.lower(): int(kinds[kind]) for kind in Kind if kinds[kind]},
        fates={name: n for name, n in (fates | {"in flight": tally.in_flight}).items() if n},
        busiest=int(reached.max(initial=0)),
        idle=int((reached == 0).sum()),
        waves=waves / cycles,
        in_flight=slots,
        written=count if out is not None else 0,
        liars={name: tuple(shares[name] for shares in in_overlay) for name in (in_overlay[0] if in_overlay else ())},
    )


class _TappedSource:
    """A source that keeps the messages that it has yielded last, so that a schedule is drawn only once for both uses."""

    def __init__(self, source: Source) -> None:
        self.n_nodes, self.period_s, self.kinds = source.n_nodes, source.period_s, source.kinds
        self.latest, self._source = Messages.none(), source

    def cycles(self, preferences: Preferences | None = None) -> Iterator[Messages]:
        for messages in self._source.cycles(preferences):
            self.latest = messages
            yield messages
