"""Several runs of one configuration: its variants, one after the other, into one folder, one table and one picture.

    [[variants]]                                    changes of the tables above it: a table that names a kind replaces
    name = "D²"                                     the section, any other one changes its keys
    algorithm = { kind = "d2" }

A sweep that was stopped goes on where it was: runs that are complete stay, and the one that was cut off is resumed.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxgossip.core import disk
from jaxgossip.core.errors import ConfigError, RunError
from jaxgossip.experiment.config import toml
from jaxgossip.experiment.config.diagnostics import shown
from jaxgossip.experiment.config.load import check_variants, folder_name, tells_of, validate
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.results.folder import RunFolder
from jaxgossip.experiment.results.inputs import CONFIG, changed, sentence
from jaxgossip.experiment.runs.run import Outcome, resume, run
from jaxgossip.simulation import Observer

NOTE = "sweep.json"
"""What a sweep's folder says of its runs."""


@dataclass(frozen=True)
class Variant:
    """One run of a sweep.

    Attributes:
        name: as the configuration says.
        config: its own configuration, checked.
    """

    name: str
    config: Config

    @property
    def folder(self) -> str:
        """Name of its run folder."""
        return self.config.name


def variants(path: Path, overrides: Sequence[str] = ()) -> list[Variant]:
    """Return the checked variants of a configuration; without any, itself.

    Args:
        path: the TOML file.
        overrides: ``key.path=value`` each, applied before the variants' own changes.

    Raises:
        ConfigError: a variant without a name or with another's, or whatever is wrong with one of them.
    """
    tree = toml.read(path)
    for override in overrides:
        tree = toml.apply_override(tree, override)
    folder, found, names = path.absolute().parent, [], set()
    if "variants" not in tree:
        alone = validate({"name": folder_name(path.stem), **tree}, source=str(path), folder=folder)
        return [Variant(alone.name, alone)]
    listed = tree.pop("variants")
    check_variants(listed, str(path))
    for number, given in enumerate(listed):
        changes = {key: value for key, value in given.items() if key != "name"}
        name = given.get("name", tree.get("name", path.stem) if len(listed) == 1 else "")
        if not isinstance(name, str) or not name:
            said = "missing" if name == "" else f"expected a string, got {shown(name)}"
            raise ConfigError(f"{path}: variants[{number}].name: {said}", hint="every variant has a name of its own")
        slug = folder_name(name)
        if slug in names:
            raise ConfigError(f"{path}: variants[{number}].name: '{name}' names another variant too, or its folder")
        names.add(slug)
        source = f"{path} (variant '{name}')"
        found.append(Variant(name, validate(merged(tree, changes) | {"name": slug}, source=source, folder=folder)))
    return found


def merged(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested tables with ``changes`` in them: a table that names a ``kind`` replaces, others are merged."""
    found = dict(tree)
    for key, value in changes.items():
        here = found.get(key)
        if isinstance(value, Mapping) and isinstance(here, Mapping) and "kind" not in value:
            found[key] = merged(here, value)
        else:
            found[key] = value
    return found


def sweep(
    found: Sequence[Variant], out: Path, *, force: bool = False, command: str = "", observer: Observer | None = None
) -> list[Outcome]:
    """Run all variants into ``out``, one folder each; go on with a sweep that is there.

    Args:
        found: the variants.
        out: the sweep's folder.
        force: run again what is complete.
        command: what the user typed, for the manifests.
        observer: listens.

    Raises:
        ConfigError: ``out`` holds something else, a grid, or runs of other configurations.
        RunError: a run failed.
    """
    observer = observer or Observer()
    there = note_of(out)
    if there is not None and "variants" not in there:
        raise ConfigError(f"{out} holds a grid of runs", hint="choose another --out")
    for variant in found if not force else ():
        _check_variant(out / variant.folder, variant)
    disk.make_folder(out, parents=True)
    with disk.locked(out, observer.note) as lock:
        disk.remove_leftovers(out)
        names = {"variants": {variant.folder: variant.name for variant in found}}
        disk.write(out / NOTE, json.dumps(names, indent=1) + "\n")
        outcomes = []
        for number, variant in enumerate(found, start=1):
            lock.check()
            observer.note(f"[{number} of {len(found)}] {variant.name}")
            its = out / variant.folder
            if not force and RunFolder.is_begun(its):
                outcome = resume(its, observer=observer)
            else:
                RunFolder.clear_unbegun(its)
                outcome = run(variant.config, out=its, force=force, command=command, observer=observer)
            outcomes.append(outcome)
            if outcome.status == "interrupted":
                break
    return outcomes


def _check_variant(folder: Path, variant: Variant) -> None:
    """Raise ConfigError if a folder holds a run of another configuration, or of files that have changed since, or is in use."""
    resolved = folder / CONFIG
    if resolved.is_file() and not tells_of(resolved, variant.config):
        raise ConfigError(
            f"{folder} holds a run of another configuration", hint="--force runs it again, or choose another --out"
        )
    if RunFolder.is_begun(folder):
        disk.check_unlocked(folder)
        known = RunFolder(folder).manifest().get("inputs", {})
        found = changed(known, folder)
        if found:
            raise ConfigError(
                f"{sentence(found, folder)} since the run in {folder} began",
                hint="put back what was there, or choose another --out; --force runs all variants anew",
            )


def write_table(rows: Sequence[Mapping[str, Any]], out: Path, name: str = "table") -> list[Path]:
    """Write rows with the same keys to ``NAME.csv`` and ``NAME.jsonl`` in ``out``; return both."""
    if not rows:
        raise RunError("no run of the sweep has measured anything")
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    written = {out / f"{name}.csv": text.getvalue(), out / f"{name}.jsonl": lines}
    for path, content in written.items():
        disk.write(path, content)
    return list(written)


def runs_in(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of runs, each sweep as those of its runs that have measured something.

    A folder that is given twice, be it by another path or within a sweep, is there once.

    Raises:
        ConfigError: a sweep of which nothing was measured yet.
    """
    found: list[Path] = []
    for folder in folders:
        if not (folder / NOTE).is_file():
            found.append(folder)
            continue
        there = note_of(folder) or {}
        its = [folder / name for name in there.get("runs", there.get("variants", {})) if is_run(folder / name)]
        if not its:
            raise ConfigError(
                f"{folder} is a sweep of which no run has measured anything", hint="type its command again"
            )
        found += its
    once: dict[Path, Path] = {}
    for folder in found:
        once.setdefault(folder.resolve(), folder)
    return list(once.values())


def note_of(out: Path) -> dict[str, Any] | None:
    """Return what ``sweep.json`` says of the sweep in ``out``; None if there is nothing.

    Raises:
        ConfigError: ``out`` is a file, or holds something else, or what it says is damaged.
    """
    note = out / NOTE
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file, not a folder", hint="give --out another folder")
    if not note.is_file():
        if out.is_dir() and not all(disk.is_leftover(path) for path in out.iterdir()):
            raise ConfigError(f"{out} is not empty and holds no sweep", hint="choose another --out")
        return None
    try:
        there = disk.parsed_json(note.read_bytes())
    except ValueError:
        there = None
    if not isinstance(there, dict) or not (_is_of_variants(there) or _is_of_grid(there)):
        raise ConfigError(f"{note} is damaged", hint=f"remove {out}, or choose another --out")
    return there


def _is_of_variants(note: Mapping[str, Any]) -> bool:
    return isinstance(note.get("variants"), dict)


def _is_of_grid(note: Mapping[str, Any]) -> bool:
    kinds = {"grid": dict, "seeds": list, "points": dict, "runs": dict}
    lists = isinstance(note.get("grid"), dict) and all(isinstance(values, list) for values in note["grid"].values())
    return lists and all(isinstance(note.get(key), kind) for key, kind in kinds.items())


def is_run(path: Path) -> bool:
    """Return whether ``path`` holds a run that has measured something."""
    return (path / "metrics.jsonl").is_file() and RunFolder(path).log().records() != []
