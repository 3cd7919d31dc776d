"""Entries of the manifest on privacy and on the target, and the warning of measurements that are not finite."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxgossip.algorithms import Algorithm
from jaxgossip.algorithms.local_steps import Epochs, steps_of_nodes
from jaxgossip.experiment.build.experiment import Experiment
from jaxgossip.experiment.config.learning import Classification
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.results.target import reached
from jaxgossip.learning import DifferentialPrivacy
from jaxgossip.plotting.measures import named
from jaxgossip.simulation.results.endings import not_finite_entry


def privacy_entry(experiment: Experiment, note: Callable[[str], None]) -> dict[str, Any]:
    """Return the manifest's entry ``privacy``, the epsilon of DP-SGD after all rounds, and note it; empty without DP-SGD.

    Where nodes go through epochs, a sample is in one minibatch of each: for it, an epoch is one step with all samples.

    Raises:
        InputError: the privacy accountant is not installed.
    """
    config = experiment.config
    if config.privacy is None or not isinstance(config.learning, Classification):
        return {}
    from jaxgossip.learning.privacy import epsilon

    mechanism, delta = DifferentialPrivacy(config.privacy.clip, config.privacy.noise_multiplier), config.privacy.delta
    counts, batch = np.asarray(experiment.problem.sample_counts), config.learning.batch_size
    epochs = epochs_begun(experiment)
    if epochs is None:
        assert isinstance(experiment.work, int)
        steps = rounds_of_work(experiment) * experiment.work + config.learning.start_steps
        epsilons, taken = epsilon(mechanism, steps, batch, counts, delta), {"steps": steps}
    else:
        epsilons, taken = np.empty(counts.size), {"epochs": int(epochs.max())}
        for number in np.unique(epochs):
            nodes = epochs == number
            epsilons[nodes] = epsilon(mechanism, int(number), 0, counts[nodes], delta)
    ((unit, number),) = taken.items()
    maximum, mean = float(epsilons.max()), float(epsilons.mean())
    summary = f"max {maximum:.3g}, mean {mean:.3g}"
    note(f"privacy: epsilon over nodes after {number:,} {unit} at delta {config.privacy.delta:g}: {summary}")
    values = {"epsilon_max": maximum, "epsilon_mean": mean}
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return {"privacy": finite | {"delta": delta} | taken}


def epochs_begun(experiment: Experiment) -> Int[np.ndarray, " n"] | None:
    """Return (n,) how many epochs each row's node has begun after all rounds; None if samples are drawn independently."""
    problem, start = experiment.problem, experiment.config.learning.start_steps
    rounds = rounds_of_work(experiment)
    each = getattr(problem, "steps_an_epoch", None)
    if each is None:
        return None
    each = np.asarray(each)
    if isinstance(experiment.work, Epochs):
        return -(-start // each) + rounds * experiment.work.number
    return -(-(start + rounds * np.asarray(steps_of_nodes(problem, experiment.work))) // each)


def rounds_of_work(experiment: Experiment) -> int:
    """Return in how many rounds nodes do local work, at most: all, unless the method has rounds without."""
    algorithm, rounds = experiment.algorithm, experiment.config.rounds
    return algorithm.method.trainings(rounds) if isinstance(algorithm, Algorithm) else rounds


def target_entry(config: Config, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the manifest's entry ``target``, when the target was first reached; empty without a target."""
    return {} if config.evaluation.target is None else {"target": reached(records, config.evaluation.target)}


def not_finite_warning(record: Mapping[str, Any]) -> str:
    """Return a warning that names a record's measurements that are not finite; empty if all are."""
    names = not_finite_entry(record).get("not_finite", [])
    listed = ", ".join(named(name) for name in names)
    return f"warning: no finite number in round {record['round']:,}: {listed}" if names else ""
