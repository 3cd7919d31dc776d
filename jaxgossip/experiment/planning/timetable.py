"""What a schedule holds: how many messages, what becomes of them, how far they divide into waves."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.build.experiment import Experiment
from jaxgossip.schedule import Kind, Messages, Source, files
from jaxgossip.schedule.peers import Preferences
from jaxgossip.simulation.events.stretches import Flow

MOST_KEPT = 50_000_000
"""Messages that are held to be written; each takes some fifty bytes of memory."""


@dataclass(frozen=True)
class Timetable:
    """What a schedule holds.

    Attributes:
        cycles: how many were drawn.
        period_s: seconds of a cycle.
        messages: by kind, those sent within these cycles; a node's own doings are no messages, and counted here too.
        fates: what became of those between nodes, by reason, those in flight at the end among them.
        busiest: most deliveries to one node.
        idle: nodes that nothing reached.
        waves: waves a cycle, on average.
        in_flight: copies of models that wait at once, at most.
        written: messages in the file.
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

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(self).items()}


def timetable(
    experiment: Experiment, cycles: int, out: Path | None = None, advanced: Callable[[int], None] = lambda _: None
) -> Timetable:
    """Return what the first cycles of a schedule hold, and write them to a file if asked to.

    Args:
        experiment: of a run by the nodes' own clocks.
        cycles: how many.
        out: .npz or .csv; None: no file.
        advanced: told how many cycles are done.

    Raises:
        ConfigError: a run in rounds, or more messages than a file should hold.
        InputError: no such kind of file, or no such folder.
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
    heard = _Overheard(source)
    flow, waves, slots, count = Flow(heard), 0, 0, 0
    for cycle in range(cycles):
        work, messages = flow.next(1), heard.latest
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
        advanced(cycle + 1)
    if out is not None:
        files.save(out, Messages.together(kept))
    tally = flow.tally
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
    )


class _Overheard:
    """A source, and what it has yielded last: a schedule is drawn once, to be levelled and to be told of."""

    def __init__(self, source: Source) -> None:
        self.n_nodes, self.period_s, self.kinds = source.n_nodes, source.period_s, source.kinds
        self.latest, self._source = Messages.none(), source

    def cycles(self, preferences: Preferences | None = None) -> Iterator[Messages]:
        for messages in self._source.cycles(preferences):
            self.latest = messages
            yield messages
