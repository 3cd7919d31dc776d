"""The command line: its commands and exit codes."""

import sys
import warnings
from typing import Annotated

import typer

from jaxgossip.cli.commands.bench import bench
from jaxgossip.cli.commands.info import info
from jaxgossip.cli.commands.list_names import list_names
from jaxgossip.cli.commands.new import new
from jaxgossip.cli.commands.plan import plan
from jaxgossip.cli.commands.results.compare import compare
from jaxgossip.cli.commands.results.plot import plot
from jaxgossip.cli.commands.resume import resume
from jaxgossip.cli.commands.run import run
from jaxgossip.cli.commands.schedule import schedule
from jaxgossip.cli.commands.schema import schema
from jaxgossip.cli.commands.sweep import sweep
from jaxgossip.cli.commands.validate import validate
from jaxgossip.cli.figure import figure
from jaxgossip.cli.options import Context
from jaxgossip.cli.terminal.failures import failed
from jaxgossip.cli.terminal.output import make_streams_robust, say, tell
from jaxgossip.cli.topology import app as topology_commands

app = typer.Typer(
    name="jaxgossip",
    help="Emulate whole networks of gossip learning on one machine.",
    epilog='A configuration can name code, as "file.py:function", and whatever reads it runs that code: look into '
    "one that is not your own before you run, validate or plan it.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(topology_commands)
app.add_typer(figure, name="figure")


@app.callback(invoke_without_command=True)
def _bare(
    context: Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        from jaxgossip import __version__

        say(f"jaxgossip {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        say(context.get_help())


for command in (run, resume, sweep, validate, plan, schedule, new, schema):
    app.command()(command)
app.command("list")(list_names)
for command in (plot, compare, bench, info):
    app.command()(command)


def main() -> None:
    """Run the command line and exit.

    The code is 0 on success or if the output pipe was closed, 2 for unusable input, 130 if interrupted, and 1 for every
    other failure.
    """
    make_streams_robust()
    warnings.showwarning = lambda message, *_: tell(f"warning: {message}")
    try:
        code = app(prog_name="jaxgossip", standalone_mode=False)
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 - the last resort: users never see a traceback
        code = failed(error)
    if code == 130:  # a Ctrl-C that typer has caught silently
        failed(KeyboardInterrupt())
    sys.exit(code if isinstance(code, int) else 0)
