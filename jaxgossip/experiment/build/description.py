"""Descriptions of the data and the sections of a configuration, for ``validate`` and at the beginning of a run."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxgossip.algorithms import Algorithm
from jaxgossip.core.units import counted, range_text
from jaxgossip.experiment.build.experiment import Experiment
from jaxgossip.learning import Problem
from jaxgossip.learning.partitions import Heterogeneity
from jaxgossip.learning.problem import start_steps_of
from jaxgossip.learning.samples import SampledProblem

WIDTH = 80
"""Width of a terminal."""
FEW = 10
"""Largest number of classes that are listed individually with their samples."""
MANY = 20
"""Number of nodes from which their numbers of samples have deciles."""


def describe_data(problem: Problem) -> dict[str, str]:
    """Describe the data of a problem, subject to text; empty if the problem does not describe its data."""
    describe = getattr(problem, "describe", None)
    if describe is None:
        return {}
    data = describe()
    description = _describe_ratings(data) if "items" in data else _describe_samples(data)
    if data["notes"]:
        description["notes"] = "; ".join(data["notes"])
    if (gain := getattr(problem, "init_gain", 1.0)) != 1:
        description["starts"] = f"drawn {gain:.4g} times as wide as usual"
    return description | (describe_nodes(problem) if isinstance(problem, SampledProblem) else {})


def describe_nodes(problem: SampledProblem) -> dict[str, str]:
    """Describe how samples, classes, owners or values fall on the nodes of a problem, subject to text."""
    found = problem.heterogeneity()
    description = {"nodes": _describe_sizes(found, problem.batch_size)}
    if found.classes is not None and found.distance is not None:
        description["skew"] = (
            f"{range_text(found.classes, 'class', 'classes')}; class shares {found.distance:.2f} from those of all nodes on "
            "average (total variation: 0 iid, up to 1)"
        )
    if found.between is not None:
        means = ""
        if found.targets is not None:
            least, median, most = (f"{value:.3g}" for value in found.targets)
            means = f"mean targets {least} to {most}, median {median}; "
        description["skew"] = f"{means}{100 * found.between:.3g} % of the variance of targets between nodes"
    if found.owners is not None:
        description["owners"] = range_text(found.owners, "owner", "owners")
    return description


def _describe_sizes(found: Heterogeneity, batch_size: int) -> str:
    """Describe the numbers of samples: the more of a summary, the more unequal they are and the more nodes there are."""
    least, *deciles, most = (round(size) for size in found.deciles)
    if least == most:
        text = f"{counted(least, 'sample')} on each"
    else:
        text = f"{least:,} to {most:,} samples, {found.mean:,.4g} on average"
    if most - least > 1:
        text += f", median {deciles[4]:,}"
    if most - least > 1 and found.nodes >= MANY:
        text += f"; deciles {', '.join(f'{size:,}' for size in deciles)}"
    if found.below_batch:
        who = (
            f"all {found.nodes:,}" if found.below_batch == found.nodes else f"{found.below_batch:,} of {found.nodes:,}"
        )
        text += f"; {who} have fewer than a batch of {batch_size:,}"
    return text


def lines_of(description: Mapping[str, str]) -> list[str]:
    """Return the lines of a description by subject, which fit a terminal; names of files and classes are kept whole."""
    blank = 15 * " "
    return [
        line
        for subject, text in description.items()
        for line in textwrap.wrap(
            text, WIDTH, initial_indent=f"  {subject:<13}", subsequent_indent=blank,
            break_long_words=False, break_on_hyphens=False,
        )
    ]  # fmt: skip


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


def _describe_samples(data: Mapping[str, Any]) -> dict[str, str]:
    classes: Mapping[str, int] = data["classes"]
    features = f"{data['features']:,}" + (f" ({' × '.join(map(str, data['shape']))})" if len(data["shape"]) > 1 else "")
    if not classes:
        spread = ""
    elif len(classes) <= FEW:
        each = ", ".join(f"{name} ({count:,})" for name, count in classes.items())
        spread = f"{len(classes)}: {each}"
    else:
        names = list(classes)
        spread = (
            f"{len(classes):,} of {min(classes.values()):,} to {max(classes.values()):,} samples: "
            f"{', '.join(names[: FEW - 2])}, … {names[-1]}"
        )
    samples = f"{data['training_samples']:,} samples to train on and {data['test_samples']:,} to test on"
    owned = f", of {data['owners']:,} owners" if data["owners"] else ""
    predicted = {"targets": data["predicted"]} if data["predicted"] else {"classes": spread}
    return {"data": f"{Path(data['name']).name}: {samples}{owned}", data["samples"]: features} | predicted
