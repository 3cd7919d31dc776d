"""``jaxgossip list``."""

from typing import Annotated

import typer

from jaxgossip.cli.terminal.output import hint, loading, say


def list_names(
    kind: Annotated[str | None, typer.Argument(help="Only this kind: topology, mixing, dataset, model, …")] = None,
    name: Annotated[
        str | None, typer.Argument(help="One name of it, or your own file.py:function, with its keys: topology ring")
    ] = None,
) -> None:
    """List everything that a configuration can name, and the keys of each."""
    loading()
    from jaxgossip.cli.terminal.names import listing

    say(listing(kind, name))
    if kind is None:
        hint("jaxgossip", "list", "topology", "ring", note="the keys of one name")
