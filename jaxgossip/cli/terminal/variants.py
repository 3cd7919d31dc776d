"""``sweep`` and ``validate`` for a configuration with variants, or of a single run."""

import shlex
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from jaxgossip.cli.terminal.output import hint, say, set_options, slow, tell, typed, wrapped
from jaxgossip.cli.terminal.progress import watched
from jaxgossip.cli.terminal.tables import table
from jaxgossip.experiment.build.description import WIDTH, describe_data
from jaxgossip.experiment.build.experiment import build, check_round
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.plots.rankings import ranking
from jaxgossip.experiment.plots.runs import FEW_LINES
from jaxgossip.experiment.plots.runs import compare as draw
from jaxgossip.experiment.results.run_data import RunData, compare_table, final_numbers
from jaxgossip.experiment.runs.run import precision
from jaxgossip.experiment.sweeps.variants import is_run, sweep, variants, write_table
from jaxgossip.plotting.style import save_figure


def sweep_variants(config: Path, overrides: list[str], out: Path, *, force: bool) -> None:
    """Run all variants of a configuration, or continue a sweep that was stopped, and report the results.

    Raises:
        ConfigError: a variant or the folder is invalid.
    """
    all_variants = variants(config, overrides)
    with watched() as display:
        outcomes = sweep(all_variants, out, force=force, command=shlex.join(typed()), observer=display)
    folders = {variant.name: out / variant.folder for variant in all_variants}
    loaded = {name: RunData.load(path) for name, path in folders.items() if is_run(path)}
    rows = [{"variant": name, **row} for name, row in zip(loaded, compare_table(list(loaded.values())), strict=True)]
    keys = [key for key in rows[0] if key != "run" and any(row[key] != "–" for row in rows)] if rows else []
    say(table([{key: row[key] for key in keys} for row in rows]))
    numbers = [{"variant": name, **final_numbers(run)} for name, run in loaded.items()]
    written = [*write_table(numbers, out), out / "compare.png"]
    few = len(loaded) <= FEW_LINES
    runs, names = list(loaded.values()), list(loaded)
    save_figure(draw(runs, names) if few else ranking(runs, names, config.stem), written[-1])
    say("\n" + wrapped(f"wrote {', '.join(map(str, written))}"))
    diverged = [name for name, run in loaded.items() if run.diverged_round is not None]
    if diverged:
        say(wrapped(f"{len(diverged)} of {len(loaded)} runs diverged: {', '.join(diverged)}"))
    if any(outcome.status == "interrupted" for outcome in outcomes):
        hint(*typed(without="--force"), note="goes on where it was stopped")
        sys.exit(130)
    hint("jaxgossip", "plot", out / all_variants[0].folder)


def validate(config: Path, overrides: list[str]) -> None:
    """Build everything that a configuration names, and describe it.

    Raises:
        InputError: the configuration is invalid.
    """
    all_variants = variants(config, overrides)
    if len(all_variants) == 1:
        with slow("building"):
            description = _describe(all_variants[0].config)
        say(f"{config} is valid")
        _show(description)
        hint("jaxgossip", "run", config, *set_options(overrides))
        return
    each = []
    for number, variant in enumerate(all_variants, start=1):
        tell(f"[{number} of {len(all_variants)}] building {variant.name}")
        each.append(_describe(variant.config))
    common = {name: text for name, text in each[0].items() if all(other.get(name) == text for other in each)}
    say(f"{config} is valid: {len(all_variants)} variants" + (", which have in common" if common else ""))
    _show(common)
    hint("jaxgossip", "sweep", config, *set_options(overrides))


def _describe(config: Config) -> dict[str, str]:
    """Return a description of what a configuration builds, by subject."""
    with precision(config):
        experiment = build(config)
        check_round(experiment)
    graph, problem = experiment.graph.describe(), experiment.problem
    degrees = f"degree {graph['degree_min']:,} to {graph['degree_max']:,}, {graph['degree_mean']:.4g} on average"
    return {
        "topology": f"{graph['name']}: {graph['nodes']:,} nodes, {graph['edges']:,} edges, {degrees}",
        **describe_data(problem),
        "learning": f"{problem.n_params:,} parameters a node, {int(problem.sample_counts.sum()):,} samples held",
        "algorithm": f"{experiment.algorithm.name}, {config.rounds:,} rounds",
    }


def _show(description: Mapping[str, str]) -> None:
    for name, text in description.items():
        # names of files and classes are kept whole
        lines = textwrap.wrap(text, WIDTH - 15, break_long_words=False, break_on_hyphens=False)
        say(f"  {name:<13}" + ("\n" + 15 * " ").join(lines))
