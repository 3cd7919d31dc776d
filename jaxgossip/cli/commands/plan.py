"""``jaxgossip plan``."""

import json
from typing import Annotated

import typer

from jaxgossip.cli.options import ConfigFile, Devices, Overrides, Picture
from jaxgossip.cli.terminal.listing import LINK
from jaxgossip.cli.terminal.output import hint, loading, say, set_options, slow, tell


def plan(
    config: ConfigFile,
    overrides: Overrides = None,
    plot: Picture = None,
    devices: Devices = None,
    link: Annotated[
        float, typer.Option(metavar="GB/S", min=0.001, help="Speed at which a device receives from others.")
    ] = LINK,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Estimate the memory and time of a run. Memory by the compiler's account, time by a short calibration."""
    loading()
    from jaxgossip.cli.terminal.listing import plan_table
    from jaxgossip.core.devices.mesh import make_cpu_devices
    from jaxgossip.experiment.config.load import load

    if plot is not None:
        from jaxgossip.plotting.style import check_picture

        check_picture(plot)
    loaded = load(config, [*(overrides or []), *([] if devices is None else [f"device.count={devices}"])])
    make_cpu_devices(loaded.device.count)
    tell(f"building {loaded.name}, compiling its programs, timing some rounds")
    from jaxgossip.experiment.planning.plan import plan as plan_run
    from jaxgossip.experiment.runs.run import precision

    with precision(loaded), slow(f"planning {loaded.name}"):
        run_plan = plan_run(loaded)
    say(json.dumps(run_plan.record(), indent=2) if as_json else plan_table(run_plan, loaded.rounds, link))
    if plot is not None:
        from jaxgossip.cli.terminal.variants import draw_partition

        draw_partition(loaded, run_plan.problem, plot, quiet=as_json)
    if not as_json and run_plan.fits:
        spread = [] if devices is None else ["--devices", devices]
        hint("jaxgossip", "run", config, *set_options(overrides), *spread)
