"""Divides the runs of a grid into bundles, which run one after another."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxgossip.experiment.config.toml import value_text
from jaxgossip.experiment.sweeps.grid import GridRun, lifted_numbers


def name_of(run: GridRun) -> str:
    """Return the name of a run, which is that of its folder."""
    return run.config.name


def bundles(
    runs: Sequence[GridRun], missing: Sequence[GridRun], done: Sequence[str], kept: Sequence[str]
) -> list[list[GridRun]]:
    """Return the missing runs in bundles that differ only in seeds and in numbers that can be lifted.

    If all runs of a checkpointed group (``kept``, their names) are missing, they form the first bundle: with other runs among
    them the shapes would differ, and the checkpoint would be of no use. Likewise, a finished group (``done``, their names) of
    which folders are missing is the first bundle.
    """
    by_name, lacking = {name_of(run): run for run in runs}, {name_of(run) for run in missing}
    first = []
    if by_name.keys() >= set(done) and lacking & set(done):
        first = [by_name[name] for name in done]
    elif lacking >= set(kept):
        first = [by_name[name] for name in kept]
    names = {name_of(run) for run in first}
    found: dict[str, list[GridRun]] = {}
    for run in missing:
        if name_of(run) in names:
            continue
        tree = run.config.tree() | {"name": "", "seed": 0}
        for section, key in lifted_numbers(run):
            tree = _without(tree, (section, *key.split(".")))
        found.setdefault(repr(tree), []).append(run)
    return [*([first] if first else []), *found.values()]


def _without(tree: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """Return nested tables without the key at ``path``."""
    key, *rest = path
    return {
        name: _without(value, rest) if name == key else value for name, value in tree.items() if rest or name != key
    }


def in_turns(found: Sequence[list[GridRun]], devices: int) -> list[list[GridRun]]:
    """Return bundles with the runs by events regrouped: as many in each as there are devices, whatever their points.

    Those of a bundle are equally long and are evaluated equally often.
    """
    if devices == 1:
        return list(found)
    alike: dict[Any, list[GridRun]] = {}
    for bundle in found:
        config = bundle[0].config
        if config.in_events:
            alike.setdefault((config.rounds, config.evaluation.every, config.device.dtype), []).extend(bundle)
    turns = [runs[start : start + devices] for runs in alike.values() for start in range(0, len(runs), devices)]
    return [*(bundle for bundle in found if not bundle[0].config.in_events), *turns]


def label_of(bundle: Sequence[GridRun]) -> str:
    """Return the text by which a bundle is announced."""
    return ", ".join(common_values(bundle)) or bundle[0].config.algorithm.kind


def common_values(bundle: Sequence[GridRun]) -> list[str]:
    """Return the grid values that all runs of a bundle share, each as ``key=value``."""
    first = bundle[0]
    same = [key for key, value in first.values.items() if all(run.values[key] == value for run in bundle)]
    return [f"{key}={value_text(first.values[key])}" for key in same]
