"""``jaxgossip resume``."""

from pathlib import Path
from typing import Annotated

import typer

from jaxgossip.cli.options import Cache, Devices
from jaxgossip.cli.processes import (
    Coordinator,
    Distributed,
    Processes,
    ProcessNumber,
    Several,
    end_silently,
    joined,
    observed,
)


def resume(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of an interrupted run.")],
    devices: Devices = None,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process: ProcessNumber = None,
    *,
    distributed: Distributed = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go on though its configuration or what it reads has changed since.")
    ] = False,
    cache: Cache = False,
) -> None:
    """Continue an interrupted run. It ends exactly as if it had never stopped."""
    several = Several.of(distributed=distributed, coordinator=coordinator, processes=processes, process=process)
    with joined(several) as agreement:
        from jaxgossip.cli.terminal.cache import keep_compiled
        from jaxgossip.cli.terminal.outcome import report
        from jaxgossip.experiment.runs.run import resume as resume_experiment

        with observed(agreement) as observer:
            if cache:
                observer.note(f"compiled programs are kept in {keep_compiled()}")
            outcome = resume_experiment(folder, force=force, devices=devices, observer=observer, agreement=agreement)
    if not agreement.first:
        end_silently(outcome.status)
    report(outcome)
