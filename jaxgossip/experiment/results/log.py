"""The log of a run's records, one JSON object a line, and whether it is what the run wrote."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxgossip.core import disk
from jaxgossip.core.disk import Seal, Sealing, strict_json
from jaxgossip.core.errors import ConfigError

type Record = dict[str, Any]

LATER_KEYS = frozenset({"requests"})
"""What records have that the first release did not write: they may begin where a run of its goes on."""


@dataclass(frozen=True)
class MetricsLog:
    """A file of records, one JSON object a line; a line torn by a kill is as if it had never been begun.

    Attributes:
        path: the file.
        first_round: of the first record; that of a run which began where another ended is not 0.
    """

    path: Path
    first_round: int = 0

    def append(self, record: Mapping[str, Any]) -> bytes:
        """Append a record, see it to the disk, and return its line."""
        line = json.dumps(strict_json(record))
        disk.append(self.path, line + "\n")
        return line.encode()

    def lines(self) -> list[bytes]:
        """Return all whole lines, without their ends."""
        return self.path.read_bytes().split(b"\n")[:-1] if self.path.is_file() else []

    def records(self, every: int | None = None) -> list[Record]:
        """Return all whole records.

        Args:
            every: rounds from one evaluation to the next, as far as that is to be checked, too.

        Raises:
            ConfigError: a line that holds none, or rounds that do not follow one another; it names file and line.
        """
        return self._checked(self.lines(), every)

    def seal(self) -> Seal:
        """Return the seal of all whole records."""
        return Sealing(self.lines()).seal

    def check(self, seal: Seal | None, every: int | None = None, last_round: int | None = None) -> list[Record]:
        """Return all records of a log that is complete.

        Args:
            seal: what it was when it was completed; None if nobody kept that.
            every: as of :meth:`records`.
            last_round: of the last record; None if nobody knows.

        Raises:
            ConfigError: it is not what it was; or as of :meth:`records`.
        """
        found = self.records(every) if seal is None else self._sealed(self.lines(), seal, every)
        if not found or (last_round is not None and found[-1]["round"] < last_round):
            what = "no record" if last_round is None else f"no record, and the run went on to round {last_round:,}"
            raise self._damaged(len(found) + 1, what)
        return found

    def keep(self, last_round: int, every: int, seal: Seal | None = None) -> tuple[list[Record], Sealing]:
        """Drop records after a round and return (those that stay, their seal to go on with).

        Args:
            last_round: of the checkpoint that a run goes on from; −1: all records go.
            every: rounds from one evaluation to the next.
            seal: of the records that the checkpoint stands on; None if nobody kept it.

        Raises:
            ConfigError: the records up to there are not those that the run had written; it names file and line.
        """
        lines = self.lines()
        if last_round < 0:
            kept = []
        elif seal is not None:
            kept = lines[: seal.records]
        else:
            kept = self._until(lines, last_round)
        found = self._checked(kept, every) if seal is None else self._sealed(kept, seal, every)
        if seal is None and last_round >= 0 and (not found or found[-1]["round"] + every < last_round):
            raise self._damaged(len(found) + 1, f"no record, and the checkpoint is of round {last_round:,}")
        if self.path.is_file():
            disk.write(self.path, b"".join(line + b"\n" for line in kept))
        return found, Sealing(kept)

    def _until(self, lines: Sequence[bytes], last_round: int) -> list[bytes]:
        kept: list[bytes] = []
        for number, line in enumerate(lines, start=1):
            if self._record(line, number)["round"] > last_round:
                break
            kept.append(line)
        return kept

    def _sealed(self, lines: Sequence[bytes], seal: Seal, every: int | None) -> list[Record]:
        whole = Sealing(lines).seal == seal  # also where --force goes on with another evaluation.every
        found = self._checked(lines, None if whole else every)
        if len(found) < seal.records:
            raise self._damaged(len(found) + 1, f"no record, and the run had written {seal.records:,}")
        if len(found) > seal.records:
            raise self._damaged(seal.records + 1, f"a record, and the run had written {seal.records:,}")
        if not whole:
            raise self._damaged(None, "its records are not those that the run wrote: they were changed since")
        return found

    def _checked(self, lines: Sequence[bytes], every: int | None) -> list[Record]:
        found: list[Record] = []
        for number, line in enumerate(lines, start=1):
            record = self._record(line, number)
            self._check_follows(found[-1] if found else None, record, number)
            found.append(record)
        if every is not None:
            self._check_schedule(found, every)
        return found

    def _record(self, line: bytes, number: int) -> Record:
        try:
            record = disk.parsed_json(line, strict=True)
        except ValueError as error:
            raise self._damaged(number, "not a record") from error
        if not isinstance(record, dict) or type(record.get("round")) is not int or record["round"] < 0:
            raise self._damaged(number, "not a record")
        for key, value in record.items():
            if isinstance(value, bool) != (key == "diverged") or not isinstance(value, bool | int | float | None):
                raise self._damaged(number, f"{key} is no number")
        return record

    def _check_follows(self, before: Record | None, record: Record, number: int) -> None:
        at = record["round"]
        if before is None:
            if at != self.first_round:
                raise self._damaged(number, f"round {at:,}, and records begin with round {self.first_round:,}")
            return
        if record.get("diverged"):  # what closes the log of a baseline repeats its last numbers
            if at < before["round"]:
                raise self._damaged(number, f"round {at:,} after round {before['round']:,}")
            record = {key: value for key, value in record.items() if key != "diverged"}
        elif at <= before["round"]:
            raise self._damaged(number, f"round {at:,} after round {before['round']:,}")
        differing = (record.keys() - before.keys() - LATER_KEYS) | (before.keys() - record.keys())
        if differing:
            other = min(differing)
            raise self._damaged(number, f"'{other}' is in this record or in the one before it, and not in both")

    def _check_schedule(self, records: Sequence[Record], every: int) -> None:
        """Every record but the last stands in a round of the schedule; the last may be where the run ended."""
        for place, record in enumerate(records):
            at, due = record["round"], place * every
            if at == due or record.get("diverged"):
                continue
            if place < len(records) - 1 or at > due:
                raise self._damaged(place + 1, f"round {at:,}, where round {due:,} belongs")

    def _damaged(self, number: int | None, what: str) -> ConfigError:
        where = self.path if number is None else f"{self.path}:{number}"
        folder = self.path.parent.parent if self.path.parent.name == "baselines" else self.path.parent
        return ConfigError(f"{where}: {what}", hint=f"put the file back as the run left it, or {anew(folder)}")


def anew(folder: Path) -> str:
    """Return how to run again what stands in a run folder, as a part of a hint."""
    config, out = (shlex.quote(str(path)) for path in (folder / "config.toml", folder))
    return f"run it again: 'jaxgossip run {config} --out {out} --force'"
