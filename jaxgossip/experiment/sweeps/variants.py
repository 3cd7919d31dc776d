"""Variants of a configuration, run one after another into one folder.

    [[variants]]                                    changes to the tables above: a table with a kind replaces its section,
    name = "D²"                                     any other table changes the keys that it contains
    algorithm = { kind = "d2" }

A sweep that was stopped continues when it is run again: finished runs are kept, and the interrupted run is resumed.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxgossip.core import disk
from jaxgossip.core.disk import METRICS, SWEEP
from jaxgossip.core.errors import ConfigError, RunError
from jaxgossip.core.files import folder_name
from jaxgossip.experiment.config import toml
from jaxgossip.experiment.config.diagnostics import shown
from jaxgossip.experiment.config.load import check_variants, tells_of, validate
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.results.folder import RunFolder
from jaxgossip.experiment.results.inputs import CONFIG, changed, sentence
from jaxgossip.experiment.runs.run import Outcome, resume, run
from jaxgossip.simulation import Observer


@dataclass(frozen=True)
class Variant:
    """One run of a sweep.

    Attributes:
        name: name of the variant in the configuration.
        config: the variant's validated configuration, whose name is that of the run folder.
    """

    name: str
    config: Config

    @property
    def folder(self) -> str:
        """Name of the run folder."""
        return self.config.name


def variants(path: Path, overrides: Sequence[str] = ()) -> list[Variant]:
    """Return the validated variants of a configuration; if it has none, the configuration itself as the only one.

    Args:
        path: the TOML file.
        overrides: ``--set`` options, each ``key.path=value``, applied before the variants' changes.

    Raises:
        ConfigError: a variant is invalid, or has no name or that of another variant.
    """
    tree = toml.read(path)
    for override in overrides:
        tree = toml.apply_override(tree, override)
    folder, validated, names = path.absolute().parent, [], set()
    if "variants" not in tree:
        alone = validate({"name": folder_name(path.stem), **tree}, source=str(path), folder=folder)
        return [Variant(alone.name, alone)]
    listed = tree.pop("variants")
    check_variants(listed, str(path))
    for number, table in enumerate(listed):
        changes = {key: value for key, value in table.items() if key != "name"}
        name = table.get("name", tree.get("name", path.stem) if len(listed) == 1 else "")
        if not isinstance(name, str) or not name:
            problem = "missing" if name == "" else f"expected a string, got {shown(name)}"
            raise ConfigError(f"{path}: variants[{number}].name: {problem}", hint="every variant has a name of its own")
        slug = folder_name(name)
        if slug in names:
            raise ConfigError(f"{path}: variants[{number}].name: '{name}' names another variant too, or its folder")
        names.add(slug)
        source = f"{path} (variant '{name}')"
        variant_tree = merged(tree, changes) | {"name": slug}
        validated.append(Variant(name, validate(variant_tree, source=source, folder=folder)))
    return validated


def merged(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``tree`` with ``changes``: a table with a ``kind`` replaces the one of its key, other tables are merged."""
    result = dict(tree)
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping) and "kind" not in value:
            result[key] = merged(old, value)
        else:
            result[key] = value
    return result


def sweep(
    chosen: Sequence[Variant], out: Path, *, force: bool = False, command: str = "", observer: Observer | None = None
) -> list[Outcome]:
    """Run variants into ``out``, one folder each, continuing a sweep that is already in it.

    Args:
        chosen: the variants to run.
        out: folder of the sweep.
        force: whether to run finished variants again.
        command: command line of the user, for the manifests.
        observer: receives records and progress, and may stop the sweep.

    Returns:
        The outcomes of the variants in order, up to the first that is interrupted.

    Raises:
        ConfigError: ``out`` holds something else, a grid, runs of other configurations, or runs whose inputs have changed.
        RunError: a run failed.
    """
    observer = observer or Observer()
    stored = read_sweep_file(out)
    if stored is not None and "variants" not in stored:
        raise ConfigError(f"{out} holds a grid of runs", hint="choose another --out")
    for variant in chosen if not force else ():
        _check_variant(out / variant.folder, variant)
    disk.make_folder(out, parents=True)
    with disk.locked(out, observer.note) as lock:
        disk.remove_leftovers(out)
        names = {"variants": {variant.folder: variant.name for variant in chosen}}
        disk.write(out / SWEEP, json.dumps(names, indent=1) + "\n")
        outcomes = []
        for number, variant in enumerate(chosen, start=1):
            lock.check()
            observer.note(f"[{number} of {len(chosen)}] {variant.name}")
            folder = out / variant.folder
            if not force and RunFolder.is_begun(folder):
                outcome = resume(folder, observer=observer)
            else:
                RunFolder.clear_unbegun(folder)
                outcome = run(variant.config, out=folder, force=force, command=command, observer=observer)
            outcomes.append(outcome)
            if outcome.status == "interrupted":
                break
    return outcomes


def _check_variant(folder: Path, variant: Variant) -> None:
    """Raise ConfigError if a folder holds a run of another configuration or with changed inputs, or is in use."""
    resolved = folder / CONFIG
    if resolved.is_file() and not tells_of(resolved, variant.config):
        raise ConfigError(
            f"{folder} holds a run of another configuration", hint="--force runs it again, or choose another --out"
        )
    if RunFolder.is_begun(folder):
        disk.check_unlocked(folder)
        recorded = RunFolder(folder).manifest().get("inputs", {})
        changes = changed(recorded, folder)
        if changes:
            raise ConfigError(
                f"{sentence(changes, folder)} since the run in {folder} began",
                hint="put back what was there, or choose another --out; --force runs all variants anew",
            )


def write_table(rows: Sequence[Mapping[str, Any]], out: Path, name: str = "table") -> list[Path]:
    """Write rows with equal keys to ``NAME.csv`` and ``NAME.jsonl`` in ``out``, and return the two paths.

    Raises:
        RunError: there are no rows.
    """
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


def run_folders(folders: Sequence[Path]) -> list[Path]:
    """Return the run folders among ``folders``, with sweeps replaced by those of their runs that have records.

    Duplicates are removed, also those given by different paths or as part of a sweep.

    Raises:
        ConfigError: a sweep has no run with records, or its ``sweep.json`` is damaged.
    """
    runs: list[Path] = []
    for folder in folders:
        if not (folder / SWEEP).is_file():
            runs.append(folder)
            continue
        stored = read_sweep_file(folder) or {}
        names = stored.get("runs", stored.get("variants", {}))
        measured = [folder / name for name in names if is_run(folder / name)]
        if not measured:
            raise ConfigError(
                f"{folder} is a sweep of which no run has measured anything", hint="type its command again"
            )
        runs += measured
    unique: dict[Path, Path] = {}
    for folder in runs:
        unique.setdefault(folder.resolve(), folder)
    return list(unique.values())


def read_sweep_file(out: Path) -> dict[str, Any] | None:
    """Return the contents of ``sweep.json`` in ``out``; None if ``out`` is missing or empty.

    Raises:
        ConfigError: ``out`` is a file, holds something other than a sweep, or its ``sweep.json`` is damaged.
    """
    file = out / SWEEP
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file, not a folder", hint="give --out another folder")
    if not file.is_file():
        if out.is_dir() and not all(disk.is_leftover(path) for path in out.iterdir()):
            raise ConfigError(f"{out} is not empty and holds no sweep", hint="choose another --out")
        return None
    try:
        stored = disk.parsed_json(file.read_bytes())
    except ValueError:
        stored = None
    if not isinstance(stored, dict) or not (_is_of_variants(stored) or _is_of_grid(stored)):
        raise ConfigError(f"{file} is damaged", hint=f"remove {out}, or choose another --out")
    return stored


def _is_of_variants(stored: Mapping[str, Any]) -> bool:
    return isinstance(stored.get("variants"), dict)


def _is_of_grid(stored: Mapping[str, Any]) -> bool:
    types = {"grid": dict, "seeds": list, "points": dict, "runs": dict}
    grid = stored.get("grid")
    lists = isinstance(grid, dict) and all(isinstance(values, list) for values in grid.values())
    return lists and all(isinstance(stored.get(key), kind) for key, kind in types.items())


def is_run(path: Path) -> bool:
    """Return whether ``path`` holds a run with records."""
    return (path / METRICS).is_file() and RunFolder(path).log().records() != []
