"""``jaxgossip compare``."""

from pathlib import Path
from typing import Annotated

import typer

from jaxgossip.cli.options import Axes, Metrics, RunFolders
from jaxgossip.cli.terminal.output import loading, say, slow


def compare(
    runs: RunFolders,
    out: Annotated[Path, typer.Option(help="Picture to write (png, svg or pdf).")] = Path("compare.png"),
    by: Axes = None,
    metric: Metrics = None,
    *,
    each: Annotated[
        bool, typer.Option("--each", help="Every run by itself, also those that differ in their seeds alone.")
    ] = False,
) -> None:
    """Compare runs or sweeps: one table, one picture. With bands over seeds where there are several."""
    loading()
    from jaxgossip.cli.terminal.tables import run_table, table
    from jaxgossip.core.errors import ConfigError
    from jaxgossip.experiment.plots import labels
    from jaxgossip.experiment.plots.bands import bands, summary_rows, summary_table
    from jaxgossip.experiment.plots.rows import shown_measures
    from jaxgossip.experiment.plots.runs import compare as draw
    from jaxgossip.experiment.results.run_data import RunData, compare_table
    from jaxgossip.experiment.sweeps.variants import run_folders
    from jaxgossip.plotting.style import check_picture, save_figure

    check_picture(out)
    with slow("reading runs"):
        loaded = [RunData.load(folder) for folder in run_folders(runs)]
    points, metrics = labels.points(loaded), metric or ()
    if each or len(points) == len(loaded):
        say(run_table(compare_table(loaded, metrics)))
        figure = draw(loaded, by=by or (), metrics=metrics)
    elif by:
        raise ConfigError("bands over seeds are drawn by round alone", hint="--each draws every run, by any way")
    else:
        measure, *more = shown_measures(loaded, metrics)
        say(table(summary_table(summary_rows(points, measure, more), measure, more)))
        figure = bands(points, runs[0].name if len(runs) == 1 else f"{len(loaded)} runs", metrics)
    with slow("drawing"):
        save_figure(figure, out)
    say(f"wrote {out}")
