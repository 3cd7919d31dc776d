"""``jaxgossip info``."""

from jaxgossip.cli.terminal.output import loading, say


def info() -> None:
    """Show versions, devices and memory, for a report of a problem."""
    loading()
    from jaxgossip.cli.terminal.listing import machine

    say(machine())
