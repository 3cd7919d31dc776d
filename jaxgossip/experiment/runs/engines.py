"""Chooses the engine of an experiment, rounds or events, and restores the state of a stopped run."""

from typing import Any

from jaxgossip.algorithms import Algorithm, GossipProtocol
from jaxgossip.core.errors import RunError
from jaxgossip.experiment.build.devices import mesh_of
from jaxgossip.experiment.build.experiment import Experiment
from jaxgossip.experiment.results.folder import RunFolder
from jaxgossip.simulation import EventRun, Observer, Result, RunState, checkpoint, simulate, simulate_events
from jaxgossip.simulation.events.engine import run_shapes
from jaxgossip.simulation.program import initial_shapes


def simulate_experiment(
    experiment: Experiment,
    algorithm: Algorithm | GossipProtocol,
    observer: Observer,
    *,
    rounds: int | None = None,
    faultless: bool = False,
    **start: Any,
) -> Result:
    """Simulate ``algorithm`` with the settings of an experiment.

    Args:
        experiment: the experiment.
        algorithm: the experiment's own algorithm or a baseline.
        observer: receives records and progress, and may stop the run.
        rounds: number of rounds of a baseline, which has no byte budget; None for the configuration's rounds and budget.
        faultless: whether to leave out the faults of the network and the nodes, and their batteries.
        start: ``start`` and ``start_wall_s`` of the engine, to continue a run.

    Raises:
        InputError: the algorithm cannot be spread over devices.
    """
    config = experiment.config
    budget, rounds = (config.byte_budget, config.rounds) if rounds is None else (0, rounds)
    common: dict[str, Any] = {
        "seed": config.seed,
        "evaluate_every": config.evaluation.every,
        "sampled_nodes": config.evaluation.sampled_nodes,
        "byte_budget": budget,
        "matmul_precision": config.device.matmul_precision,
        "observer": observer,
        **start,
    }
    if isinstance(algorithm, GossipProtocol):
        assert experiment.schedule is not None
        return simulate_events(algorithm, experiment.schedule, rounds, energy=experiment.energy, **common)
    # The virtual seconds of a baseline in rounds are not comparable with those of a run by events.
    in_rounds = experiment.schedule is None
    speeds, energy = (experiment.speeds, experiment.energy) if in_rounds else (None, None)
    if energy is not None and faultless:
        energy = energy.on_mains()
    conditions = None if faultless else experiment.conditions
    devices = mesh_of(config.device)
    return simulate(algorithm, rounds, conditions=conditions, speeds=speeds, energy=energy, mesh=devices, **common)


def restore(experiment: Experiment, folder: RunFolder) -> tuple[RunState | EventRun | None, dict[str, Any]]:
    """Return (state, metadata) of the newest intact checkpoint; (None, {}) if there is no checkpoint yet.

    Raises:
        RunError: all checkpoints are damaged, or the newest intact one does not fit the experiment.
    """
    if not checkpoint.metadata_files(folder.checkpoints):
        return None, {}
    algorithm, seed = experiment.algorithm, experiment.config.seed
    needed: checkpoint.FieldTypes = {"wall_s": (int, float), "numbering": str}

    def like(metadata: dict[str, Any]) -> RunState | EventRun:
        if isinstance(algorithm, GossipProtocol):
            return run_shapes(algorithm, metadata["waiting"], seed)
        timed, metered = experiment.speeds is not None, experiment.energy is not None
        return initial_shapes(algorithm, seed, timed=timed, metered=metered)

    in_events: checkpoint.FieldTypes = {"waiting": int} if isinstance(algorithm, GossipProtocol) else {}
    spread = mesh_of(experiment.config.device) is not None
    state, metadata = checkpoint.load(folder.checkpoints, like, needed={**needed, **in_events}, on_host=spread)
    if metadata["numbering"] != numbering_of(experiment):
        raise RunError(
            f"the checkpoint in {folder.checkpoints} has the nodes in other rows than this version gives them",
            hint="go on with the version it was made with (manifest.json), or start anew with 'jaxgossip run'",
        )
    return state, metadata


def numbering_of(experiment: Experiment) -> str:
    """Return the name of the order of the rows of the experiment's models; empty if they are ordered by node."""
    order = experiment.problem.order
    return "" if order is None else order.numbering
