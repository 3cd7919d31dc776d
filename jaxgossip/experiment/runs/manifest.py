"""Entries of the manifest on privacy and on the target, and the warning of measurements that are not finite."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxgossip.experiment.build.experiment import Experiment, local_steps
from jaxgossip.experiment.config.sections import Classification, Config
from jaxgossip.experiment.results.target import reached
from jaxgossip.learning import DifferentialPrivacy
from jaxgossip.plotting.measures import named
from jaxgossip.simulation.results.endings import not_finite_entry


def privacy_entry(experiment: Experiment, note: Callable[[str], None]) -> dict[str, Any]:
    """Return the manifest's entry ``privacy``, the epsilon of DP-SGD after all rounds, and note it; empty without DP-SGD.

    Raises:
        InputError: the privacy accountant is not installed.
    """
    config = experiment.config
    if config.privacy is None or not isinstance(config.learning, Classification):
        return {}
    from jaxgossip.learning.privacy import epsilon

    steps = config.rounds * local_steps(config) + config.learning.start_steps
    mechanism = DifferentialPrivacy(config.privacy.clip, config.privacy.noise_multiplier)
    counts, batch = experiment.problem.sample_counts, config.learning.batch_size
    epsilons = epsilon(mechanism, steps, batch, counts, config.privacy.delta)
    maximum, mean = float(epsilons.max()), float(epsilons.mean())
    summary = f"max {maximum:.3g}, mean {mean:.3g}"
    note(f"privacy: epsilon over nodes after {steps:,} steps at delta {config.privacy.delta:g}: {summary}")
    values = {"epsilon_max": maximum, "epsilon_mean": mean}
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return {"privacy": finite | {"delta": config.privacy.delta, "steps": steps}}


def target_entry(config: Config, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the manifest's entry ``target``, when the target was first reached; empty without a target."""
    return {} if config.evaluation.target is None else {"target": reached(records, config.evaluation.target)}


def not_finite_warning(record: Mapping[str, Any]) -> str:
    """Return a warning that names a record's measurements that are not finite; empty if all are."""
    names = not_finite_entry(record).get("not_finite", [])
    listed = ", ".join(named(name) for name in names)
    return f"warning: no finite number in round {record['round']:,}: {listed}" if names else ""
