"""The log of a run's records, one JSON object per line, and the check that it is unchanged since the run wrote it."""

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
"""Keys that the first release did not write, and that may first appear where a run of that release is resumed."""


@dataclass(frozen=True)
class MetricsLog:
    """A file of records, one JSON object per line; an incomplete last line, left if the process was killed, is ignored.

    Attributes:
        path: the file.
        first_round: of the first record; that of a run which began where another ended is not 0.
    """

    path: Path
    first_round: int = 0

    def append(self, record: Mapping[str, Any]) -> bytes:
        """Append a record durably, and return its line."""
        line = json.dumps(strict_json(record))
        disk.append(self.path, line + "\n")
        return line.encode()

    def lines(self) -> list[bytes]:
        """Return all complete lines, without line breaks."""
        return self.path.read_bytes().split(b"\n")[:-1] if self.path.is_file() else []

    def records(self, every: int | None = None) -> list[Record]:
        """Return all complete records.

        Args:
            every: rounds between evaluations; None if that is not to be checked.

        Raises:
            ConfigError: a line is not a record, or rounds are out of order; names the file and the line.
        """
        return self._checked(self.lines(), every)

    def seal(self) -> Seal:
        """Return the seal of all complete records."""
        return Sealing(self.lines()).seal

    def check(self, seal: Seal | None, every: int | None = None, last_round: int | None = None) -> list[Record]:
        """Return all records of a completed log.

        Args:
            seal: the seal of the log when it was completed; None if unknown.
            every: see :meth:`records`.
            last_round: round of the last record; None if unknown.

        Raises:
            ConfigError: the log has changed since, or is invalid; see :meth:`records`.
        """
        records = self.records(every) if seal is None else self._sealed(self.lines(), seal, every)
        if not records or (last_round is not None and records[-1]["round"] < last_round):
            what = "no record" if last_round is None else f"no record, and the run went on to round {last_round:,}"
            raise self._damaged(len(records) + 1, what)
        return records

    def keep(self, last_round: int, every: int, seal: Seal | None = None) -> tuple[list[Record], Sealing]:
        """Drop all records after a round, and return (the remaining records, their seal to continue with).

        Args:
            last_round: round of the checkpoint from which a run is resumed; −1 drops all records.
            every: rounds between evaluations.
            seal: seal of the records up to the checkpoint; None if unknown.

        Raises:
            ConfigError: these records are not those that the run had written; names the file and the line.
        """
        lines = self.lines()
        if last_round < 0:
            kept = []
        elif seal is not None:
            kept = lines[: seal.records]
        else:
            kept = self._until(lines, last_round)
        records = self._checked(kept, every) if seal is None else self._sealed(kept, seal, every)
        if seal is None and last_round >= 0 and (not records or records[-1]["round"] + every < last_round):
            raise self._damaged(len(records) + 1, f"no record, and the checkpoint is of round {last_round:,}")
        if self.path.is_file():
            disk.write(self.path, b"".join(line + b"\n" for line in kept))
        return records, Sealing(kept)

    def _until(self, lines: Sequence[bytes], last_round: int) -> list[bytes]:
        kept: list[bytes] = []
        for number, line in enumerate(lines, start=1):
            if self._record(line, number)["round"] > last_round:
                break
            kept.append(line)
        return kept

    def _sealed(self, lines: Sequence[bytes], seal: Seal, every: int | None) -> list[Record]:
        intact = Sealing(lines).seal == seal  # even if --force continued with another evaluation.every
        records = self._checked(lines, None if intact else every)
        if len(records) < seal.records:
            raise self._damaged(len(records) + 1, f"no record, and the run had written {seal.records:,}")
        if len(records) > seal.records:
            raise self._damaged(seal.records + 1, f"a record, and the run had written {seal.records:,}")
        if not intact:
            raise self._damaged(None, "its records are not those that the run wrote: they were changed since")
        return records

    def _checked(self, lines: Sequence[bytes], every: int | None) -> list[Record]:
        records: list[Record] = []
        for number, line in enumerate(lines, start=1):
            record = self._record(line, number)
            self._check_follows(records[-1] if records else None, record, number)
            records.append(record)
        if every is not None:
            self._check_rounds(records, every)
        return records

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
        round_number = record["round"]
        if before is None:
            if round_number != self.first_round:
                raise self._damaged(
                    number, f"round {round_number:,}, and records begin with round {self.first_round:,}"
                )
            return
        if record.get("diverged"):  # the record that closes the log of a baseline repeats its last numbers
            if round_number < before["round"]:
                raise self._damaged(number, f"round {round_number:,} after round {before['round']:,}")
            record = {key: value for key, value in record.items() if key != "diverged"}
        elif round_number <= before["round"]:
            raise self._damaged(number, f"round {round_number:,} after round {before['round']:,}")
        differing = (record.keys() - before.keys() - LATER_KEYS) | (before.keys() - record.keys())
        if differing:
            other = min(differing)
            raise self._damaged(number, f"'{other}' is in this record or in the one before it, and not in both")

    def _check_rounds(self, records: Sequence[Record], every: int) -> None:
        """Check that records are ``every`` rounds apart; only the last one may be earlier, where the run ended."""
        for place, record in enumerate(records):
            round_number, due = record["round"], place * every
            if round_number == due or record.get("diverged"):
                continue
            if place < len(records) - 1 or round_number > due:
                raise self._damaged(place + 1, f"round {round_number:,}, where round {due:,} belongs")

    def _damaged(self, number: int | None, what: str) -> ConfigError:
        where = self.path if number is None else f"{self.path}:{number}"
        folder = self.path.parent.parent if self.path.parent.name == "baselines" else self.path.parent
        return ConfigError(f"{where}: {what}", hint=f"put the file back as the run left it, or {rerun_hint(folder)}")


def rerun_hint(folder: Path) -> str:
    """Return the part of a hint on how to repeat the run in a folder."""
    config, out = (shlex.quote(str(path)) for path in (folder / "config.toml", folder))
    return f"run it again: 'jaxgossip run {config} --out {out} --force'"
