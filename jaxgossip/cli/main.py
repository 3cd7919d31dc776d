"""The commands. Heavy rooms are imported inside them, so that ``--help`` answers at once."""

import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jaxgossip.cli.figure import figure
from jaxgossip.cli.output import fail, hint, say, tell, typed
from jaxgossip.cli.topology import app as topology_commands

if TYPE_CHECKING:
    from jaxgossip.experiment.build import Experiment
    from jaxgossip.experiment.sections import Config

app = typer.Typer(
    name="jaxgossip",
    help="Emulate whole networks of gossip learning on one machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(topology_commands)
app.add_typer(figure, name="figure")

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A configuration in TOML; 'jaxgossip new' writes one.")
]
RunFolders = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change one key of the configuration; can be repeated."),
]
Ways = Annotated[
    list[str] | None,
    typer.Option(
        metavar="rounds|bytes|seconds", help="Against what to draw; can be repeated; by default all that was kept."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
Cache = Annotated[bool, typer.Option("--cache", help="Keep compiled programs on disk, and use those of earlier runs.")]


@app.command()
def run(
    config: ConfigFile,
    overrides: Overrides = None,
    seed: Annotated[int | None, typer.Option(help="Seed, in place of the configuration's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; by default a new one under runs/.")] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what is there, and run what does not seem to fit into memory.")
    ] = False,
    cache: Cache = False,
) -> None:
    """Run a configuration, and its baselines, into a folder."""
    from jaxgossip.cli.cache import keep_compiled
    from jaxgossip.cli.progress import TerminalReporter, report, stoppable
    from jaxgossip.experiment.config import load

    settings = [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
    with stoppable() as stop:
        reporter = TerminalReporter(stop)
        loaded = load(config, settings)
        if cache:
            tell(f"compiled programs are kept in {keep_compiled()}")
        from jaxgossip.experiment.run import run as run_experiment

        report(run_experiment(loaded, out=out, force=force, command=typed(), reporter=reporter))


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of an interrupted run.")],
    *,
    cache: Cache = False,
) -> None:
    """Go on with an interrupted run; it ends exactly as if it had never stopped."""
    from jaxgossip.cli.cache import keep_compiled
    from jaxgossip.cli.progress import TerminalReporter, report, stoppable
    from jaxgossip.experiment.run import resume as resume_experiment

    with stoppable() as stop:
        if cache:
            tell(f"compiled programs are kept in {keep_compiled()}")
        report(resume_experiment(folder, reporter=TerminalReporter(stop)))


@app.command()
def sweep(
    config: ConfigFile,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid", metavar="KEY.PATH=V1,V2", help="Run every combination of these values; can be repeated."
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="K", help="Run each with K seeds, from the configuration's own.")
    ] = None,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the sweep; by default runs/NAME.")] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Start anew; what the folder holds of a sweep goes.")] = False,
    cache: Cache = False,
) -> None:
    """Run all variants of a configuration, or a grid of runs: one table, one picture. A sweep that was stopped goes on."""
    from jaxgossip.cli.cache import keep_compiled
    from jaxgossip.cli.listing import table
    from jaxgossip.cli.progress import TerminalReporter, stoppable
    from jaxgossip.experiment.plots import FEW_LINES, save_figure
    from jaxgossip.experiment.plots import compare as draw
    from jaxgossip.experiment.report import RunData, compare_table, final_numbers
    from jaxgossip.experiment.standings import standings
    from jaxgossip.experiment.sweep import is_run, variants, write_table
    from jaxgossip.experiment.sweep import sweep as run_variants

    out = out or Path("runs") / config.stem
    if grid or seeds is not None:
        from jaxgossip.cli.grid import sweep_grid

        if cache:
            tell(f"compiled programs are kept in {keep_compiled()}")
        sweep_grid(config, grid or [], 1 if seeds is None else seeds, overrides or [], out, force=force)
        return
    found = variants(config, overrides or [])
    with stoppable() as stop:
        if cache:
            tell(f"compiled programs are kept in {keep_compiled()}")
        outcomes = run_variants(found, out, force=force, command=typed(), reporter=TerminalReporter(stop))
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
    say(f"\nwrote {', '.join(map(str, written))}")
    if any(outcome.status == "interrupted" for outcome in outcomes):
        hint(f"{typed(without='--force')}   (goes on where it was stopped)")
        sys.exit(130)
    hint(f"jaxgossip plot {out / found[0].folder}")


@app.command()
def validate(config: ConfigFile, overrides: Overrides = None) -> None:
    """Check a configuration and build everything it names, without running it."""
    from jaxgossip.experiment.sweep import variants

    found = variants(config, overrides or [])
    if len(found) == 1:
        _show_parts(config, found[0].config)
        hint(f"jaxgossip run {config}")
        return
    for variant in found:
        tell(f"building {variant.name}")
        _built(variant.config)
    say(f"{config} is valid: {len(found)} variants")
    hint(f"jaxgossip sweep {config}")


def _built(loaded: "Config") -> "Experiment":
    from jaxgossip.experiment.build import build
    from jaxgossip.experiment.run import precision

    with precision(loaded):
        return build(loaded)


def _show_parts(config: Path, loaded: "Config") -> None:
    parts = _built(loaded)
    graph = parts.graph.describe()
    degrees = f"degree {graph['degree_min']:,} to {graph['degree_max']:,}, {graph['degree_mean']:.4g} on average"
    say(f"{config} is valid")
    say(f"  topology     {graph['name']}: {graph['nodes']:,} nodes, {graph['edges']:,} edges, {degrees}")
    say(
        f"  learning     {parts.problem.n_params:,} parameters a node, {int(parts.problem.sample_counts.sum()):,} samples held"
    )
    say(f"  algorithm    {parts.algorithm.name}, {loaded.rounds:,} rounds")


@app.command()
def plan(
    config: ConfigFile,
    overrides: Overrides = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Tell what a run will take: memory by the compiler's account, time by a short calibration."""
    from jaxgossip.cli.listing import plan_table
    from jaxgossip.experiment.config import load

    loaded = load(config, overrides or [])
    tell(f"building {loaded.name}, compiling its programs and timing some rounds; nothing of the run is allocated")
    from jaxgossip.experiment.plan import plan as plan_run
    from jaxgossip.experiment.run import precision

    with precision(loaded):
        found = plan_run(loaded)
    say(json.dumps(found.record(), indent=2) if as_json else plan_table(found, loaded.rounds))
    if not as_json and found.fits:
        hint(f"jaxgossip run {config}")


@app.command()
def schedule(
    config: ConfigFile,
    overrides: Overrides = None,
    cycles: Annotated[int | None, typer.Option(min=1, help="How many cycles; by default as many as rounds.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the messages to this file (.npz or .csv); schedule.path reads it.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Draw who sends to whom and when, of a run by the nodes' own clocks, without running it."""
    from jaxgossip.cli.schedule import show as show_schedule

    show_schedule(config, overrides or [], cycles, out, as_json=as_json)


@app.command()
def new(
    name: Annotated[
        str, typer.Argument(help="Which example; see the choices with 'jaxgossip list examples'.")
    ] = "quickstart",
    out: Annotated[Path | None, typer.Option(help="File to write; by default NAME.toml here.")] = None,
    *,
    force: Force = False,
) -> None:
    """Write a commented example configuration to start from."""
    from jaxgossip.experiment.examples import write_example

    written = write_example(name, out or Path(f"{name}.toml"), force=force)
    for path in written:
        say(f"wrote {path}")
    hint(f"jaxgossip run {written[0]}")


@app.command()
def schema() -> None:
    """Print the JSON schema of configurations, for editors."""
    from jaxgossip.experiment.config import json_schema

    say(json.dumps(json_schema(), indent=2))


@app.command("list")
def list_names(
    kind: Annotated[str | None, typer.Argument(help="Only this kind: topology, mixing, dataset, model, …")] = None,
) -> None:
    """List all that a configuration can name."""
    from jaxgossip.cli.listing import listing

    say(listing(kind))


@app.command()
def plot(
    runs: RunFolders,
    out: Annotated[
        Path | None, typer.Option(help="File to write (png, svg or pdf); by default summary.png in the run.")
    ] = None,
    by: Ways = None,
) -> None:
    """Draw the summary of runs anew, finished or not."""
    from jaxgossip.errors import ConfigError
    from jaxgossip.experiment.plots import save_figure, summary
    from jaxgossip.experiment.report import RunData

    if out is not None and len(runs) > 1:
        raise ConfigError("--out takes one run", hint="'jaxgossip compare' puts several runs into one picture")
    for folder in runs:
        path = out or folder / "summary.png"
        save_figure(summary(RunData.load(folder), by or ()), path)
        say(f"wrote {path}")
    if len(runs) > 1:
        hint(f"jaxgossip compare {' '.join(map(str, runs))}")


@app.command()
def compare(
    runs: RunFolders,
    out: Annotated[Path, typer.Option(help="Picture to write (png, svg or pdf).")] = Path("compare.png"),
    by: Ways = None,
    *,
    each: Annotated[
        bool, typer.Option("--each", help="Every run by itself, also those that differ in their seeds alone.")
    ] = False,
) -> None:
    """Compare runs, or the runs of sweeps: a table, and one picture; bands over seeds where there are several."""
    from jaxgossip.cli.listing import run_table, table
    from jaxgossip.errors import ConfigError
    from jaxgossip.experiment import labels
    from jaxgossip.experiment.bands import bands, summary_rows, summary_table
    from jaxgossip.experiment.plots import check_picture, common_measure, save_figure
    from jaxgossip.experiment.plots import compare as draw
    from jaxgossip.experiment.report import RunData, compare_table
    from jaxgossip.experiment.sweep import runs_in

    check_picture(out)
    loaded = [RunData.load(folder) for folder in runs_in(runs)]
    points = labels.points(loaded)
    if each or len(points) == len(loaded):
        say(run_table(compare_table(loaded)))
        figure = draw(loaded, by=by or ())
    elif by:
        raise ConfigError("bands over seeds are drawn by round alone", hint="--each draws every run, by any way")
    else:
        measure = common_measure(loaded, len(loaded))
        say(table(summary_table(summary_rows(points, measure), measure)))
        figure = bands(points, runs[0].name if len(runs) == 1 else f"{len(loaded)} runs")
    save_figure(figure, out)
    say(f"wrote {out}")


@app.command()
def bench(
    nodes: Annotated[int, typer.Option(help="Nodes of the networks.")] = 1_000_000,
    params: Annotated[int, typer.Option(help="Parameters of a model in the mixing cases.")] = 64,
    only: Annotated[str, typer.Option(metavar="NAME,...", help="Only these cases.")] = "",
    repeats: Annotated[int, typer.Option(help="Samples a case; the median counts.")] = 3,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Also measure from 1,000 to ten times --nodes, and draw it (png, svg or pdf); takes minutes.",
        ),
    ] = None,
    *,
    methods: Annotated[
        bool, typer.Option("--methods", help="Measure every algorithm beside D-SGD instead; --nodes 100000 is usual.")
    ] = False,
    grid: Annotated[
        bool, typer.Option("--grid", help="Measure a grid of 160 runs beside the same runs one by one; takes a minute.")
    ] = False,
    events: Annotated[
        bool,
        typer.Option("--events", help="Measure deliveries by the nodes' own clocks, from 1,000 to 1,000,000 nodes."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Measure how fast this machine mixes, learns and gossips, in copies of the state."""
    from jaxgossip.cli.bench import chosen_bench

    asked = [name for name, wanted in (("methods", methods), ("grid", grid), ("events", events)) if wanted]
    chosen_bench(asked, nodes, params, only, repeats, picture, as_json=as_json)


@app.command()
def info() -> None:
    """Show versions, devices and memory, for a report of a problem."""
    from jaxgossip.cli.listing import machine

    say(machine())


def main() -> None:
    """Run the command line and exit: 0 done, 1 a run failed, 2 usage or configuration, 130 interrupted."""
    from jaxgossip.errors import InputError, JaxGossipError

    warnings.showwarning = lambda message, *_: tell(f"warning: {message}")
    try:
        code = app(standalone_mode=False)
    except JaxGossipError as error:
        fail(error.message, error.hint)
        code = 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        fail("interrupted", "what was written stays; 'jaxgossip resume RUN' goes on with a run")
        code = 130
    except BrokenPipeError:
        code = 0
    except OSError as error:
        fail(
            f"{error.filename or 'a file'}: {error.strerror or error}",
            "is the folder there, writable, and the disk not full?",
        )
        code = 1
    except Exception as error:
        # The parser's own complaints, by what they can do: typer's copy of click is not ours to import.
        if not hasattr(error, "format_message"):
            raise
        fail(error.format_message(), "'jaxgossip --help' lists the commands, 'jaxgossip COMMAND --help' their options")  # pyright: ignore[reportAttributeAccessIssue]
        code = 2
    sys.exit(code if isinstance(code, int) else 0)
