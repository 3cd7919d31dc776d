"""``sweep --grid``: runs a grid, and reports it as a table, a summary over seeds and a figure."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxgossip.cli.terminal.output import hint, say, slow, tell, typed, wrapped
from jaxgossip.cli.terminal.progress import watched
from jaxgossip.cli.terminal.tables import table
from jaxgossip.core.devices.mesh import make_cpu_devices
from jaxgossip.core.units import counted
from jaxgossip.experiment.plots.bands import bands, summary_rows, summary_table
from jaxgossip.experiment.plots.rows import common_measure
from jaxgossip.experiment.results.run_data import RunData, final_numbers
from jaxgossip.experiment.sweeps.grid import Grid, expand
from jaxgossip.experiment.sweeps.grid_run import run_grid
from jaxgossip.experiment.sweeps.variants import is_run, write_table
from jaxgossip.plotting.style import save_figure


def sweep_grid(
    config: Path, options: Sequence[str], n_seeds: int, overrides: Sequence[str], out: Path, *, force: bool
) -> None:
    """Run a grid, or continue one that was stopped, and report the results.

    Raises:
        ConfigError: an option, a run or the folder is invalid.
        InputError: there are fewer devices than the configuration asks for.
    """
    with slow("checking every run of the grid"):
        grid = expand(config, options, n_seeds, overrides)
    make_cpu_devices(grid.devices)
    command = shlex.join(typed())
    first, last = grid.seeds[0], grid.seeds[-1]
    seeds = f"seed {first}" if first == last else f"seeds {first} to {last}"
    tell(f"{counted(len(grid.runs), 'run')}: {counted(len(grid.points), 'point')}, {seeds}")
    with watched() as display:
        outcome = run_grid(grid, out, force=force, command=command, observer=display)
    _report(grid, out)
    kept = f", {outcome.kept} {'was' if outcome.kept == 1 else 'were'} there before" if outcome.kept else ""
    diverged = f", {len(outcome.diverged)} diverged" if outcome.diverged else ""
    say(f"{counted(outcome.done, 'run')} in {outcome.seconds:.1f} s{kept}{diverged}")
    if outcome.interrupted:
        hint(*typed(without="--force"), note="goes on where it was stopped")
        sys.exit(130)
    hint("jaxgossip", "compare", out, note="or some of its runs; --each draws every run by itself")


def _report(grid: Grid, out: Path) -> None:
    existing = [name for name in (run.config.name for run in grid.runs) if is_run(out / name)]
    if not existing:
        return
    tell("reading what was measured, drawing compare.png")
    loaded = {name: RunData.load(out / name) for name in existing}
    measure = common_measure(list(loaded.values()))
    numbers = [
        {**run.cells, "seed": run.config.seed, **final_numbers(loaded[run.config.name], measure)}
        for run in grid.runs
        if run.config.name in loaded
    ]
    points = []
    for point in grid.points:
        members = [run for run in grid.runs if run.point == point and run.config.name in loaded]
        if members:
            points.append((members[0].cells, [loaded[run.config.name] for run in members]))
    rows = summary_rows(points, measure)
    say(table(summary_table(rows, measure)))
    written = [*write_table(numbers, out), *write_table(rows, out, "summary"), out / "compare.png"]
    save_figure(bands(points, grid.base.name), written[-1])
    say("\n" + wrapped(f"wrote {', '.join(map(str, written))}"))
