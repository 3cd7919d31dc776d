"""``jaxgossip resume``."""

from pathlib import Path
from typing import Annotated

import typer

from jaxgossip.cli.options import Cache
from jaxgossip.cli.terminal.output import loading, tell


def resume(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of an interrupted run.")],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Go on though its configuration or what it reads has changed since.")
    ] = False,
    cache: Cache = False,
) -> None:
    """Continue an interrupted run. It ends exactly as if it had never stopped."""
    loading()
    from jaxgossip.cli.terminal.cache import keep_compiled
    from jaxgossip.cli.terminal.outcome import report
    from jaxgossip.cli.terminal.progress import watched
    from jaxgossip.experiment.runs.run import resume as resume_experiment

    with watched() as display:
        if cache:
            tell(f"compiled programs are kept in {keep_compiled()}")
        report(resume_experiment(folder, force=force, observer=display))
