"""``sweep`` and ``validate`` of a configuration with variants, or with one run alone."""

import shlex
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from jaxgossip.cli.terminal.output import hint, say, set_options, slow, tell, typed, wrapped
from jaxgossip.cli.terminal.progress import watched
from jaxgossip.cli.terminal.tables import table
from jaxgossip.experiment.build.description import WIDTH, data_facts
from jaxgossip.experiment.build.experiment import build, check_round
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.plots.rankings import standings
from jaxgossip.experiment.plots.runs import FEW_LINES
from jaxgossip.experiment.plots.runs import compare as draw
from jaxgossip.experiment.results.run_data import RunData, compare_table, final_numbers
from jaxgossip.experiment.runs.run import precision
from jaxgossip.experiment.sweeps.variants import is_run, sweep, variants, write_table
from jaxgossip.plotting.style import save_figure


def sweep_variants(config: Path, overrides: list[str], out: Path, *, force: bool) -> None:
    """Run all variants of a configuration and tell what they gave; go on with a sweep that was stopped.

    Raises:
        ConfigError: a variant, or the folder.
    """
    found = variants(config, overrides)
    with watched() as display:
        outcomes = sweep(found, out, force=force, command=shlex.join(typed()), observer=display)
    there = {variant.name: out / variant.folder for variant in found}
    loaded = {name: RunData.load(path) for name, path in there.items() if is_run(path)}
    rows = [{"variant": name, **row} for name, row in zip(loaded, compare_table(list(loaded.values())), strict=True)]
    told = [key for key in rows[0] if key != "run" and any(row[key] != "–" for row in rows)] if rows else []
    say(table([{key: row[key] for key in told} for row in rows]))
    numbers = [{"variant": name, **final_numbers(run)} for name, run in loaded.items()]
    written = [*write_table(numbers, out), out / "compare.png"]
    few = len(loaded) <= FEW_LINES
    runs, names = list(loaded.values()), list(loaded)
    save_figure(draw(runs, names) if few else standings(runs, names, config.stem), written[-1])
    say("\n" + wrapped(f"wrote {', '.join(map(str, written))}"))
    lost = [name for name, run in loaded.items() if run.diverged_round is not None]
    if lost:
        say(wrapped(f"{len(lost)} of {len(loaded)} runs diverged: {', '.join(lost)}"))
    if any(outcome.status == "interrupted" for outcome in outcomes):
        hint(*typed(without="--force"), note="goes on where it was stopped")
        sys.exit(130)
    hint("jaxgossip", "plot", out / found[0].folder)


def validate(config: Path, overrides: list[str]) -> None:
    """Build what a configuration names, and tell what that is.

    Raises:
        InputError: whatever is wrong with it.
    """
    found = variants(config, overrides)
    if len(found) == 1:
        with slow("building"):
            facts = _facts(found[0].config)
        say(f"{config} is valid")
        _show(facts)
        hint("jaxgossip", "run", config, *set_options(overrides))
        return
    each = []
    for number, variant in enumerate(found, start=1):
        tell(f"[{number} of {len(found)}] building {variant.name}")
        each.append(_facts(variant.config))
    common = {name: words for name, words in each[0].items() if all(facts.get(name) == words for facts in each)}
    say(f"{config} is valid: {len(found)} variants" + (", which have in common" if common else ""))
    _show(common)
    hint("jaxgossip", "sweep", config, *set_options(overrides))


def _facts(loaded: Config) -> dict[str, str]:
    """Return what a configuration builds, in words."""
    with precision(loaded):
        parts = build(loaded)
        check_round(parts)
    graph = parts.graph.describe()
    degrees = f"degree {graph['degree_min']:,} to {graph['degree_max']:,}, {graph['degree_mean']:.4g} on average"
    return {
        "topology": f"{graph['name']}: {graph['nodes']:,} nodes, {graph['edges']:,} edges, {degrees}",
        **data_facts(parts.problem),
        "learning": f"{parts.problem.n_params:,} parameters a node, {int(parts.problem.sample_counts.sum()):,} samples held",
        "algorithm": f"{parts.algorithm.name}, {loaded.rounds:,} rounds",
    }


def _show(facts: Mapping[str, str]) -> None:
    for name, words in facts.items():
        # names of files and classes are not torn apart
        lines = textwrap.wrap(words, WIDTH - 15, break_long_words=False, break_on_hyphens=False)
        say(f"  {name:<13}" + ("\n" + 15 * " ").join(lines))
