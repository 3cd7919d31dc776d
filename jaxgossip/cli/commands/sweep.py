"""``jaxgossip sweep``."""

from pathlib import Path
from typing import Annotated

import typer

from jaxgossip.cli.options import Cache, ConfigFile, Overrides
from jaxgossip.cli.terminal.output import loading, tell


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
    devices: Annotated[
        int | None,
        typer.Option(metavar="N", help="Spread the runs over N devices, 0 for all; in place of device.count."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the sweep; by default runs/NAME.")] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Start anew; what the folder holds of a sweep goes.")] = False,
    cache: Cache = False,
) -> None:
    """Run all variants of a configuration, or a grid of runs.

    They end in one table and one picture. A sweep that was stopped goes on.
    """
    loading()
    from jaxgossip.cli.terminal.cache import keep_compiled
    from jaxgossip.cli.terminal.grid import sweep_grid
    from jaxgossip.cli.terminal.variants import sweep_variants

    out = out or Path("runs") / config.stem
    settings = [*(overrides or []), *([] if devices is None else [f"device.count={devices}"])]
    if cache:
        tell(f"compiled programs are kept in {keep_compiled()}")
    if grid or seeds is not None:
        sweep_grid(config, grid or [], 1 if seeds is None else seeds, settings, out, force=force)
    else:
        sweep_variants(config, settings, out, force=force)
