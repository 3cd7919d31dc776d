"""Which engine runs an algorithm: rounds, or events by the nodes' own clocks; and where a run goes on."""

from typing import Any

from jaxgossip.algorithms import Algorithm, GossipProtocol
from jaxgossip.core.errors import RunError
from jaxgossip.experiment.build.experiment import Experiment
from jaxgossip.experiment.results.folder import RunFolder
from jaxgossip.simulation import EventRun, Observer, Result, RunState, checkpoint, simulate, simulate_events
from jaxgossip.simulation.events.engine import run_shapes
from jaxgossip.simulation.program import initial_shapes


def simulated(
    experiment: Experiment,
    algorithm: Algorithm | GossipProtocol,
    observer: Observer,
    *,
    rounds: int | None = None,
    faultless: bool = False,
    **start: Any,
) -> Result:
    """Simulate ``algorithm`` as the configuration says: the run itself, or a baseline of ``rounds`` rounds."""
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
        return simulate_events(algorithm, experiment.schedule, rounds, **common)
    # Seconds of baselines in rounds are no match for those of clocks.
    speeds = experiment.speeds if experiment.schedule is None else None
    conditions = None if faultless else experiment.conditions
    return simulate(algorithm, rounds, conditions=conditions, speeds=speeds, **common)


def restore(experiment: Experiment, folder: RunFolder) -> tuple[RunState | EventRun | None, dict[str, Any]]:
    """Return the newest checkpointed state, and what its note says; (None, {}) if there is none yet."""
    if not checkpoint.metadata_files(folder.checkpoints):
        return None, {}
    algorithm, seed = experiment.algorithm, experiment.config.seed
    needed: checkpoint.FieldTypes = {"wall_s": (int, float), "numbering": str}

    def like(metadata: dict[str, Any]) -> RunState | EventRun:
        if isinstance(algorithm, GossipProtocol):
            return run_shapes(algorithm, metadata["waiting"], seed)
        return initial_shapes(algorithm, seed, timed=experiment.speeds is not None)

    in_events: checkpoint.FieldTypes = {"waiting": int} if isinstance(algorithm, GossipProtocol) else {}
    state, metadata = checkpoint.load(folder.checkpoints, like, needed={**needed, **in_events})
    if metadata["numbering"] != numbering_of(experiment):
        raise RunError(
            f"the checkpoint in {folder.checkpoints} has the nodes in other rows than this version gives them",
            hint="go on with the version it was made with (manifest.json), or start anew with 'jaxgossip run'",
        )
    return state, metadata


def numbering_of(experiment: Experiment) -> str:
    """Return in which order the rows of the experiment's models stand."""
    order = experiment.problem.order
    return "" if order is None else order.numbering
