"""``jaxgossip run``."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from jaxgossip.cli.options import Cache, ConfigFile, Devices, Overrides
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
from jaxgossip.cli.terminal.output import set_options, typed


def run(
    config: ConfigFile,
    overrides: Overrides = None,
    seed: Annotated[int | None, typer.Option(help="Seed, in place of the configuration's.")] = None,
    devices: Devices = None,
    coordinator: Coordinator = None,
    processes: Processes = None,
    process: ProcessNumber = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; by default a new one under runs/.")] = None,
    *,
    distributed: Distributed = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what is there, and run what does not seem to fit into memory.")
    ] = False,
    cache: Cache = False,
) -> None:
    """Run a configuration, and its baselines, into a folder."""
    several = Several.of(distributed=distributed, coordinator=coordinator, processes=processes, process=process)
    of_devices = [] if devices is None else [f"device.count={devices}"]
    settings = [*(overrides or []), *([] if seed is None else [f"seed={seed}"]), *of_devices]
    with joined(several) as agreement:
        from jaxgossip.cli.terminal.cache import keep_compiled
        from jaxgossip.cli.terminal.outcome import report
        from jaxgossip.experiment.config.load import load
        from jaxgossip.experiment.runs.run import run as run_experiment

        with observed(agreement) as observer:
            loaded = load(config, settings)
            if cache:
                observer.note(f"compiled programs are kept in {keep_compiled()}")
            command = shlex.join(typed())
            outcome = run_experiment(
                loaded, out=out, force=force, command=command, observer=observer, agreement=agreement
            )
    if not agreement.first:
        end_silently(outcome.status)
    other = loaded.seed + 1
    elsewhere = [] if out is None else ["--out", f"{out}-seed-{other}"]
    spread = [] if devices is None else ["--devices", devices]
    report(outcome, ["jaxgossip", "run", config, *set_options(overrides), *spread, "--seed", other, *elsewhere])
