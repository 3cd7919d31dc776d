"""``jaxgossip schedule``."""

from pathlib import Path
from typing import Annotated

import typer

from jaxgossip.cli.options import ConfigFile, Overrides
from jaxgossip.cli.terminal.output import loading


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
    from jaxgossip.cli.terminal.schedule import show as show_schedule

    show_schedule(config, overrides or [], cycles, out, as_json=as_json)
