"""Runs on meshes: over which devices a run is begun and resumed, and what its manifest tells of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxgossip.experiment.build.devices import mesh_of
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.results.inputs import CONFIG
from jaxgossip.simulation.agreement import Agreement


def over_all(config: Config, agreement: Agreement) -> Config:
    """Return the configuration of a run in several processes, which is spread over all devices unless it names a number."""
    if agreement.alone or config.device.count != 1:
        return config
    return config.model_copy(update={"device": config.device.model_copy(update={"count": 0})})


def config_of(path: Path, devices: int | None) -> Config:
    """Return the configuration of a run, with another number of devices if one is given."""
    config = load(path / CONFIG, [] if devices is None else [f"device.count={devices}"])
    former = load(path / CONFIG).device if devices is not None else config.device
    # On a mesh before, so on a mesh now, that the bits stay the same.
    blocked = former.count != 1 or former.blocked
    return (
        config
        if not blocked
        else config.model_copy(update={"device": config.device.model_copy(update={"blocked": True})})
    )


def devices_entry(config: Config) -> dict[str, Any]:
    """Return the manifest's entry ``spread``: the devices of a run on a mesh; empty without one."""
    devices = mesh_of(config.device)
    return {} if devices is None else {"spread": {"devices": devices.size, "blocked": True}}


def bearing(entries: Mapping[str, Any], what: str, config: Config) -> Any:
    """Return an entry on the origin of a run, without what has no bearing on its bits."""
    entry = entries.get(what)
    if what == "device" and entry and mesh_of(config.device) is not None:
        return {name: value for name, value in entry.items() if name != "count"}
    return entry
