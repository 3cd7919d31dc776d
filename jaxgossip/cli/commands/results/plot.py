"""``jaxgossip plot``."""

from pathlib import Path
from typing import Annotated

import typer

from jaxgossip.cli.options import Axes, Metrics, RunFolders
from jaxgossip.cli.terminal.output import hint, loading, say, slow


def plot(
    runs: RunFolders,
    out: Annotated[
        Path | None, typer.Option(help="File to write (png, svg or pdf); by default summary.png in the run.")
    ] = None,
    by: Axes = None,
    metric: Metrics = None,
) -> None:
    """Draw the summary of runs anew, finished or not."""
    loading()
    from jaxgossip.core.errors import ConfigError
    from jaxgossip.experiment.plots.runs import summary
    from jaxgossip.experiment.results.run_data import RunData
    from jaxgossip.plotting.style import save_figure

    if out is not None and len(runs) > 1:
        raise ConfigError("--out takes one run", hint="'jaxgossip compare' puts several runs into one picture")
    for folder in runs:
        path = out or folder / "summary.png"
        with slow(f"drawing {path}"):
            save_figure(summary(RunData.load(folder), by or (), metric or ()), path)
        say(f"wrote {path}")
    if len(runs) > 1:
        hint("jaxgossip", "compare", *runs)
