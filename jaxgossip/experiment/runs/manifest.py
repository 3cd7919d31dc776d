"""What a manifest says of a run beside its numbers: how it ended, what it spent of privacy, when it reached its target."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxgossip.experiment.build.experiment import Experiment, local_steps
from jaxgossip.experiment.config.sections import Classification, Config
from jaxgossip.experiment.results.target import reached
from jaxgossip.learning import DifferentialPrivacy
from jaxgossip.plotting.measures import named
from jaxgossip.simulation.results.endings import not_finite_entry


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


def unmeasured_words(record: Mapping[str, Any]) -> str:
    """Return a warning that names what a record has no finite number of; empty if it has of all."""
    names = not_finite_entry(record).get("not_finite", [])
    told = ", ".join(named(name) for name in names)
    return f"warning: no finite number in round {record['round']:,}: {told}" if names else ""
