"""Descriptions of the data and the sections of a configuration, for ``validate`` and at the beginning of a run."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxgossip.algorithms import Algorithm
from jaxgossip.core.units import counted
from jaxgossip.experiment.build.experiment import Experiment
from jaxgossip.learning import Problem
from jaxgossip.learning.problem import start_steps_of

WIDTH = 80
"""Width of a terminal."""
FEW = 10
"""Largest number of classes that are listed individually with their samples."""


def describe_data(problem: Problem) -> dict[str, str]:
    """Describe the data of a problem, subject to text; empty if the problem does not describe its data."""
    describe = getattr(problem, "describe", None)
    if describe is None:
        return {}
    data = describe()
    description = _describe_ratings(data) if "items" in data else _describe_classes(data)
    if data["notes"]:
        description["notes"] = "; ".join(data["notes"])
    least, mean, most = data["samples_a_node"]
    spread = (
        f"{counted(least, 'sample')} on each"
        if least == most
        else f"{least:,} to {most:,} samples, {mean:,.4g} on average"
    )
    return description | {"nodes": spread}


def file_note(problem: Problem) -> str:
    """Return a sentence on how a data file was interpreted; empty if there is no file."""
    describe = getattr(problem, "describe", None)
    data = {} if describe is None else describe()
    if not data.get("notes"):
        return ""
    return textwrap.fill(f"{Path(data['name']).name}: {'; '.join(data['notes'])}", WIDTH, subsequent_indent="  ")


def idle_notes(experiment: Experiment) -> list[str]:
    """Return a sentence for each reason why some sections have no effect on learning.

    They are not mistakes, for a grid may contain methods that mix or take steps, and others that do not.
    """
    algorithm, conditions = experiment.algorithm, experiment.conditions
    idle: dict[str, str] = {}
    if isinstance(algorithm, Algorithm) and not algorithm.mixings and conditions.on_mixing:
        idle["where nodes mix no models"] = ", ".join(conditions.on_mixing)
    if experiment.config.optimizer is not None and not _takes_steps(experiment):
        idle["where no steps are taken with it"] = "optimizer"
    texts = [f"without effect in a run of {algorithm.name}, {reason}: {what}" for reason, what in idle.items()]
    return [textwrap.fill(text, WIDTH, subsequent_indent="  ") for text in texts]


def _takes_steps(experiment: Experiment) -> bool:
    """Return whether the algorithm, its start or a baseline takes steps with the optimizer of the configuration."""
    algorithm = experiment.algorithm
    steps = (
        not isinstance(algorithm, Algorithm) or algorithm.method.takes_steps or start_steps_of(algorithm.problem) > 0
    )
    return bool(experiment.baselines) or (steps and "optimizer" in experiment.config.algorithm.builder_takes)


def _describe_ratings(data: Mapping[str, Any]) -> dict[str, str]:
    trained, tested = data["training_ratings"], data["test_ratings"]
    return {
        "data": f"{Path(data['name']).name}: {trained:,} ratings to train on and {tested:,} to test on, "
        f"{data['mean']:.4g} on average",
        "items": f"{data['items']:,}, rated by {data['users']:,} users",
    }


def _describe_classes(data: Mapping[str, Any]) -> dict[str, str]:
    classes: Mapping[str, int] = data["classes"]
    features = f"{data['features']:,}" + (f" ({' × '.join(map(str, data['shape']))})" if len(data["shape"]) > 1 else "")
    if len(classes) <= FEW:
        each = ", ".join(f"{name} ({count:,})" for name, count in classes.items())
        spread = f"{len(classes)}: {each}"
    else:
        names = list(classes)
        spread = (
            f"{len(classes):,} of {min(classes.values()):,} to {max(classes.values()):,} samples: "
            f"{', '.join(names[: FEW - 2])}, … {names[-1]}"
        )
    samples = f"{data['training_samples']:,} samples to train on and {data['test_samples']:,} to test on"
    return {"data": f"{Path(data['name']).name}: {samples}", "features": features, "classes": spread}
