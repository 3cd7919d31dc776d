"""``jaxgossip bench``."""

from pathlib import Path
from typing import Annotated

import typer

from jaxgossip.cli.terminal.output import loading


def bench(
    nodes: Annotated[
        int | None, typer.Option(help="Nodes of the networks; 1,000,000 if left out, and 96 with --deep.")
    ] = None,
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
    deep: Annotated[
        bool, typer.Option("--deep", help="Measure steps of deep networks beside plain vmap(grad); takes minutes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Measure how fast this machine mixes, learns and gossips, in seconds and in multiples of a copy of the state."""
    loading()
    from jaxgossip.cli.terminal.bench import chosen_bench

    modes = {"methods": methods, "grid": grid, "events": events, "deep": deep}
    asked = [name for name, wanted in modes.items() if wanted]
    chosen_bench(asked, nodes, params, only, repeats, picture, as_json=as_json)
