"""``sweep`` and ``validate`` for a configuration with variants, or of a single run."""

import hashlib
import shlex
import sys
from pathlib import Path

from jaxgossip.cli.terminal.output import hint, say, set_options, slow, tell, typed, wrapped
from jaxgossip.cli.terminal.progress import watched
from jaxgossip.cli.terminal.tables import table
from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.build.description import describe_data, lines_of
from jaxgossip.experiment.build.experiment import build, check_round
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.plots.rankings import ranking
from jaxgossip.experiment.plots.runs import FEW_LINES
from jaxgossip.experiment.plots.runs import compare as draw
from jaxgossip.experiment.results.run_data import RunData, compare_table, final_numbers
from jaxgossip.experiment.runs.run import precision
from jaxgossip.experiment.sweeps.variants import is_run, sweep, variants, write_table
from jaxgossip.learning import Problem
from jaxgossip.learning.samples import SampledProblem
from jaxgossip.plotting.partitions import partition
from jaxgossip.plotting.style import check_picture, save_figure


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


def validate(config: Path, overrides: list[str], plot: Path | None = None) -> None:
    """Build everything that a configuration names, and describe it.

    Args:
        config: the configuration.
        overrides: keys that are changed.
        plot: picture of the samples on the nodes to write; None for none. Variants that divide their samples otherwise than
            those before them have further ones, with their names.

    Raises:
        InputError: the configuration is invalid, or there are no samples to draw.
    """
    if plot is not None:
        check_picture(plot)
    all_variants = variants(config, overrides)
    if len(all_variants) == 1:
        single = all_variants[0].config
        with slow("building"):
            problem, description = _describe(single)
        say(f"{config} is valid")
        say("\n".join(lines_of(description)))
        if plot is not None:
            draw_partition(single, problem, plot)
        hint("jaxgossip", "run", config, *set_options(overrides))
        return
    each, drawn = [], set[str]()
    for number, variant in enumerate(all_variants, start=1):
        tell(f"[{number} of {len(all_variants)}] building {variant.name}")
        problem, description = _describe(variant.config)
        each.append(description)
        if plot is not None and (fresh := _division(variant.config, problem)) not in drawn:
            draw_partition(variant.config, problem, plot.with_stem(f"{plot.stem}_{variant.folder}") if drawn else plot)
            drawn.add(fresh)
    common = {name: text for name, text in each[0].items() if all(other.get(name) == text for other in each)}
    heading = f"{config} is valid: {len(all_variants)} variants" + (", which have in common" if common else "")
    say("\n".join([heading, *lines_of(common)]))
    hint("jaxgossip", "sweep", config, *set_options(overrides))


def _division(config: Config, problem: Problem) -> str:
    """Return a digest of the samples of each node; empty if there are none."""
    if not isinstance(problem, SampledProblem):
        return ""
    divided = problem.partition
    arrays = (divided.order, divided.offsets, divided.n_train)
    return hashlib.sha256(
        b"".join([config.learning.dataset.encode(), *(array.tobytes() for array in arrays)])
    ).hexdigest()


def draw_partition(config: Config, problem: Problem | None, path: Path, *, quiet: bool = False) -> None:
    """Draw how samples fall on nodes into a file.

    Args:
        config: the configuration.
        problem: its problem; None if it was not built, because it could not fit.
        path: the picture.
        quiet: whether to report on stderr that it was written.

    Raises:
        ConfigError: the problem was not built, or has no samples.
    """
    if problem is None:
        raise ConfigError(f"{config.name}: no samples were divided, for the run does not fit", hint="fewer nodes")
    if not isinstance(problem, SampledProblem):
        raise ConfigError(
            f"learning: '{config.learning.dataset}' has no samples whose place on nodes could be drawn",
            hint="no --plot, or a data set: 'jaxgossip list dataset'",
        )
    kind = f", {config.partition.kind}" if config.partition is not None else ""
    with slow(f"drawing {path}"):
        figure = partition(problem, title=f"{config.name}: {Path(config.learning.dataset).name}{kind}")
        save_figure(figure, path)
    (tell if quiet else say)(f"wrote {path}")


def _describe(config: Config) -> tuple[Problem, dict[str, str]]:
    """Return the problem that a configuration builds, and a description of all that it builds, by subject."""
    with precision(config):
        experiment = build(config)
        check_round(experiment)
    graph, problem = experiment.graph.describe(), experiment.problem
    degrees = f"degree {graph['degree_min']:,} to {graph['degree_max']:,}, {graph['degree_mean']:.4g} on average"
    return problem, {
        "topology": f"{graph['name']}: {graph['nodes']:,} nodes, {graph['edges']:,} edges, {degrees}",
        **describe_data(problem),
        "learning": f"{problem.n_params:,} parameters a node, {int(problem.sample_counts.sum()):,} samples held",
        "algorithm": f"{experiment.algorithm.name}, {config.rounds:,} rounds",
    }
