"""``jaxgossip plan``."""

import json
from typing import Annotated

import typer

from jaxgossip.cli.options import ConfigFile, Overrides, Picture
from jaxgossip.cli.terminal.output import hint, loading, say, set_options, slow, tell


def plan(
    config: ConfigFile,
    overrides: Overrides = None,
    plot: Picture = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Estimate the memory and time of a run. Memory by the compiler's account, time by a short calibration."""
    loading()
    from jaxgossip.cli.terminal.listing import plan_table
    from jaxgossip.experiment.config.load import load

    if plot is not None:
        from jaxgossip.plotting.style import check_picture

        check_picture(plot)
    loaded = load(config, overrides or [])
    tell(f"building {loaded.name}, compiling its programs, timing some rounds")
    from jaxgossip.experiment.planning.plan import plan as plan_run
    from jaxgossip.experiment.runs.run import precision

    with precision(loaded), slow(f"planning {loaded.name}"):
        run_plan = plan_run(loaded)
    say(json.dumps(run_plan.record(), indent=2) if as_json else plan_table(run_plan, loaded.rounds))
    if plot is not None:
        from jaxgossip.cli.terminal.variants import draw_partition

        draw_partition(loaded, run_plan.problem, plot, quiet=as_json)
    if not as_json and run_plan.fits:
        hint("jaxgossip", "run", config, *set_options(overrides))
