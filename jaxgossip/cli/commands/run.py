"""``jaxgossip run``."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from jaxgossip.cli.options import Cache, ConfigFile, Overrides
from jaxgossip.cli.terminal.output import loading, set_options, tell, typed


def run(
    config: ConfigFile,
    overrides: Overrides = None,
    seed: Annotated[int | None, typer.Option(help="Seed, in place of the configuration's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; by default a new one under runs/.")] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what is there, and run what does not seem to fit into memory.")
    ] = False,
    cache: Cache = False,
) -> None:
    """Run a configuration, and its baselines, into a folder."""
    loading()
    from jaxgossip.cli.terminal.cache import keep_compiled
    from jaxgossip.cli.terminal.outcome import report
    from jaxgossip.cli.terminal.progress import watched
    from jaxgossip.experiment.config.load import load

    settings = [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
    with watched() as display:
        loaded = load(config, settings)
        if cache:
            tell(f"compiled programs are kept in {keep_compiled()}")
        from jaxgossip.experiment.runs.run import run as run_experiment

        command = shlex.join(typed())
        outcome = run_experiment(loaded, out=out, force=force, command=command, observer=display)
        other = loaded.seed + 1
        elsewhere = [] if out is None else ["--out", f"{out}-seed-{other}"]
        report(outcome, ["jaxgossip", "run", config, *set_options(overrides), "--seed", other, *elsewhere])
