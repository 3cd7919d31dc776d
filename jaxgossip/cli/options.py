"""Arguments and options shared by several commands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from typer import Context
else:  # what commands are given is no typer.Context, but of the class that this one is derived from
    Context = typer.Context.__base__

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A configuration in TOML; 'jaxgossip new' writes one.")
]
RunFolders = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change one key of the configuration; can be repeated."),
]
Axes = Annotated[
    list[str] | None,
    typer.Option(
        metavar="rounds|bytes|seconds|joules",
        help="Against what to draw; can be repeated; by default all that was kept.",
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="What to show: a measure of nodes, or any other name in metrics.jsonl; can be repeated; by default the first "
        "measure and consensus_distance.",
    ),
]
Picture = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE", help="Draw how samples and classes fall on nodes, and write it (png, svg or pdf)."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
Devices = Annotated[
    int | None,
    typer.Option(metavar="N", help="Spread the nodes over N devices, 0 for all; in place of device.count."),
]
Cache = Annotated[bool, typer.Option("--cache", help="Keep compiled programs on disk, and use those of earlier runs.")]
