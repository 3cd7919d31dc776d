"""What a manifest says of a run beside its numbers: how it ended, what it spent of privacy, when it reached its target."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxgossip.experiment.build.experiment import Experiment, local_steps
from jaxgossip.experiment.config.sections import Classification, Config
from jaxgossip.experiment.results.measures import named
from jaxgossip.experiment.results.target import reached
from jaxgossip.learning import DifferentialPrivacy
from jaxgossip.simulation.metrics import is_finite, lost_in, measured_in


def privacy_facts(experiment: Experiment, note: Callable[[str], None]) -> dict[str, Any]:
    """Return what the manifest says of DP-SGD, and say it: the epsilon of all nodes after all rounds; empty without.

    Raises:
        InputError: the accountant is not installed.
    """
    config = experiment.config
    if config.privacy is None or not isinstance(config.learning, Classification):
        return {}
    from jaxgossip.learning.privacy import epsilon

    steps = config.rounds * local_steps(config) + config.learning.start_steps
    mechanism = DifferentialPrivacy(config.privacy.clip, config.privacy.noise_multiplier)
    counts, batch = experiment.problem.sample_counts, config.learning.batch_size
    spent = epsilon(mechanism, steps, batch, counts, config.privacy.delta)
    found = {f"epsilon_{name}": float(value) for name, value in (("max", spent.max()), ("mean", spent.mean()))}
    told = ", ".join(f"{name.removeprefix('epsilon_')} {value:.3g}" for name, value in found.items())
    note(f"privacy: epsilon over nodes after {steps:,} steps at delta {config.privacy.delta:g}: {told}")
    finite = {name: value if math.isfinite(value) else None for name, value in found.items()}
    return {"privacy": finite | {"delta": config.privacy.delta, "steps": steps}}


def target_facts(config: Config, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the manifest says of the target: when it was first reached; empty without one."""
    return {} if config.evaluation.target is None else {"target": reached(records, config.evaluation.target)}


def ending_facts(status: str, rounds: int, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the manifest says of how a run ended.

    Args:
        status: as the engine has it, which may not know the records from before a run was resumed.
        rounds: rounds done.
        records: all of the run.

    Returns:
        status and rounds; of a diverged run diverged_round and reason, a clause; of a run that is over not_finite, the
        names of what was measured and has no finite mean in the last record, unless all is finite.
    """
    found: dict[str, Any] = {"status": status, "rounds": rounds}
    if status == "interrupted":
        return found
    # The round in which a model became NaN or infinite is not measured any more.
    lost = lost_in(records) if records[-1]["round"] == rounds else None
    if lost is not None:
        found |= {
            "status": "diverged",
            "diverged_round": lost,
            "reason": "nothing measured is a finite number any more",
        }
    elif status == "diverged":
        found |= {"diverged_round": rounds, "reason": "a model became NaN or infinite"}
    return found | unmeasured_facts(records[-1])


def unmeasured_facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``not_finite``: the names of what a record holds and has no finite number of; empty if it has of all."""
    names = [name for name in measured_in(record) if not is_finite(record.get(f"{name}_mean"))]
    names += ["consensus_distance"] * (not is_finite(record.get("consensus_distance")))
    return {"not_finite": names} if names else {}


def unmeasured_words(record: Mapping[str, Any]) -> str:
    """Return a warning that names what a record has no finite number of; empty if it has of all."""
    names = unmeasured_facts(record).get("not_finite", [])
    told = ", ".join(named(name) for name in names)
    return f"warning: no finite number in round {record['round']:,}: {told}" if names else ""
