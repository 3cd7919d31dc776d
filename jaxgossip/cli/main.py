"""The commands. Heavy rooms are imported inside them, so that ``--help`` answers at once."""

import json
import shlex
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from jaxgossip.cli.failures import failed
from jaxgossip.cli.figure import figure
from jaxgossip.cli.output import hint, loading, printable, say, set_options, slow, tell, typed
from jaxgossip.cli.topology import app as topology_commands

app = typer.Typer(
    name="jaxgossip",
    help="Emulate whole networks of gossip learning on one machine.",
    epilog='A configuration can name code, as "file.py:function", and whatever reads it runs that code: look into '
    "one that is not your own before you run, validate or plan it.",
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


@app.callback(invoke_without_command=True)
def _bare(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from jaxgossip import __version__

        say(f"jaxgossip {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        say(context.get_help())


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
    loading()
    from jaxgossip.cli.cache import keep_compiled
    from jaxgossip.cli.outcome import report
    from jaxgossip.cli.progress import TerminalReporter, stoppable
    from jaxgossip.experiment.config import load

    settings = [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
    with stoppable() as stop:
        reporter = TerminalReporter(stop)
        loaded = load(config, settings)
        if cache:
            tell(f"compiled programs are kept in {keep_compiled()}")
        from jaxgossip.experiment.run import run as run_experiment

        command = shlex.join(typed())
        outcome = run_experiment(loaded, out=out, force=force, command=command, reporter=reporter)
        other = loaded.seed + 1
        elsewhere = [] if out is None else ["--out", f"{out}-seed-{other}"]
        report(outcome, ["jaxgossip", "run", config, *set_options(overrides), "--seed", other, *elsewhere])


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of an interrupted run.")],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Go on though its configuration or what it reads has changed since.")
    ] = False,
    cache: Cache = False,
) -> None:
    """Go on with an interrupted run. It ends exactly as if it had never stopped."""
    loading()
    from jaxgossip.cli.cache import keep_compiled
    from jaxgossip.cli.outcome import report
    from jaxgossip.cli.progress import TerminalReporter, stoppable
    from jaxgossip.experiment.run import resume as resume_experiment

    with stoppable() as stop:
        if cache:
            tell(f"compiled programs are kept in {keep_compiled()}")
        report(resume_experiment(folder, force=force, reporter=TerminalReporter(stop)))


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
    """Run all variants of a configuration, or a grid of runs.

    They end in one table and one picture. A sweep that was stopped goes on.
    """
    loading()
    from jaxgossip.cli.cache import keep_compiled
    from jaxgossip.cli.grid import sweep_grid
    from jaxgossip.cli.variants import sweep_variants

    out = out or Path("runs") / config.stem
    if cache:
        tell(f"compiled programs are kept in {keep_compiled()}")
    if grid or seeds is not None:
        sweep_grid(config, grid or [], 1 if seeds is None else seeds, overrides or [], out, force=force)
    else:
        sweep_variants(config, overrides or [], out, force=force)


@app.command()
def validate(config: ConfigFile, overrides: Overrides = None) -> None:
    """Check a configuration and build all that it names."""
    loading()
    from jaxgossip.cli.variants import validate as validate_variants

    validate_variants(config, overrides or [])


@app.command()
def plan(
    config: ConfigFile,
    overrides: Overrides = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Tell what memory and time a run will take. Memory by the compiler's account, time by a short calibration."""
    loading()
    from jaxgossip.cli.listing import plan_table
    from jaxgossip.experiment.config import load

    loaded = load(config, overrides or [])
    tell(f"building {loaded.name}, compiling its programs, timing some rounds")
    from jaxgossip.experiment.plan import plan as plan_run
    from jaxgossip.experiment.run import precision

    with precision(loaded), slow(f"planning {loaded.name}"):
        found = plan_run(loaded)
    say(json.dumps(found.record(), indent=2) if as_json else plan_table(found, loaded.rounds))
    if not as_json and found.fits:
        hint("jaxgossip", "run", config, *set_options(overrides))


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
    """Draw who sends to whom and when, without any learning. For runs by the nodes' own clocks."""
    loading()
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
    from jaxgossip.experiment import toml
    from jaxgossip.experiment.examples import write_example

    written = write_example(name, out or Path(f"{name}.toml"), force=force)
    for path in written:
        say(f"wrote {path}")
    hint("jaxgossip", "sweep" if "variants" in toml.read(written[0]) else "run", written[0])


@app.command()
def schema() -> None:
    """Print the JSON schema of configurations, for editors."""
    loading()
    from jaxgossip.experiment.config import json_schema

    say(json.dumps(json_schema(), indent=2))


@app.command("list")
def list_names(
    kind: Annotated[str | None, typer.Argument(help="Only this kind: topology, mixing, dataset, model, …")] = None,
    name: Annotated[str | None, typer.Argument(help="One name of it, with its keys: topology ring")] = None,
) -> None:
    """List all that a configuration can name, and the keys of each."""
    loading()
    from jaxgossip.cli.names import listing

    say(listing(kind, name))
    if kind is None:
        hint("jaxgossip", "list", "topology", "ring", note="the keys of one name")


@app.command()
def plot(
    runs: RunFolders,
    out: Annotated[
        Path | None, typer.Option(help="File to write (png, svg or pdf); by default summary.png in the run.")
    ] = None,
    by: Ways = None,
) -> None:
    """Draw the summary of runs anew, finished or not."""
    loading()
    from jaxgossip.errors import ConfigError
    from jaxgossip.experiment.plots import save_figure, summary
    from jaxgossip.experiment.report import RunData

    if out is not None and len(runs) > 1:
        raise ConfigError("--out takes one run", hint="'jaxgossip compare' puts several runs into one picture")
    for folder in runs:
        path = out or folder / "summary.png"
        with slow(f"drawing {path}"):
            save_figure(summary(RunData.load(folder), by or ()), path)
        say(f"wrote {path}")
    if len(runs) > 1:
        hint("jaxgossip", "compare", *runs)


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
    """Compare runs or sweeps: one table, one picture. With bands over seeds where there are several."""
    loading()
    from jaxgossip.cli.tables import run_table, table
    from jaxgossip.errors import ConfigError
    from jaxgossip.experiment import labels
    from jaxgossip.experiment.bands import bands, summary_rows, summary_table
    from jaxgossip.experiment.plots import check_picture, common_measure, save_figure
    from jaxgossip.experiment.plots import compare as draw
    from jaxgossip.experiment.report import RunData, compare_table
    from jaxgossip.experiment.sweep import runs_in

    check_picture(out)
    with slow("reading runs"):
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
    with slow("drawing"):
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
    """Measure how fast this machine mixes, learns and gossips. Told in seconds, and in copies of the state."""
    loading()
    from jaxgossip.cli.bench import chosen_bench

    asked = [name for name, wanted in (("methods", methods), ("grid", grid), ("events", events)) if wanted]
    chosen_bench(asked, nodes, params, only, repeats, picture, as_json=as_json)


@app.command()
def info() -> None:
    """Show versions, devices and memory, for a report of a problem."""
    loading()
    from jaxgossip.cli.listing import machine

    say(machine())


def main() -> None:
    """Run the command line and exit: 0 done, 1 a run failed, 2 usage or configuration, 130 interrupted."""
    printable()
    warnings.showwarning = lambda message, *_: tell(f"warning: {message}")
    try:
        code = app(prog_name="jaxgossip", standalone_mode=False)
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 - the last resort: nobody may see a traceback
        code = failed(error)
    if code == 130:  # a Ctrl-C that typer has caught, and says nothing of
        failed(KeyboardInterrupt())
    sys.exit(code if isinstance(code, int) else 0)
