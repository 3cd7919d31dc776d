"""``jaxgossip new``."""

from pathlib import Path
from typing import Annotated

import typer

from jaxgossip.cli.options import Force
from jaxgossip.cli.terminal.output import hint, say


def new(
    name: Annotated[
        str, typer.Argument(help="Which example; see the choices with 'jaxgossip list examples'.")
    ] = "quickstart",
    out: Annotated[Path | None, typer.Option(help="File to write; by default NAME.toml here.")] = None,
    *,
    force: Force = False,
) -> None:
    """Write a commented example configuration to start from."""
    from jaxgossip.experiment.config import toml
    from jaxgossip.experiment.config.examples import write_example

    written = write_example(name, out or Path(f"{name}.toml"), force=force)
    for path in written:
        say(f"wrote {path}")
    hint("jaxgossip", "sweep" if "variants" in toml.read(written[0]) else "run", written[0])
