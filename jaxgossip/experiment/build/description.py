"""What was understood of a configuration's data and sections, in words: for ``validate``, and at the beginning of a run."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxgossip.algorithms import Algorithm, GossipProtocol
from jaxgossip.core.units import counted
from jaxgossip.learning import Problem
from jaxgossip.network import Conditions

WIDTH = 80
"""Columns of a terminal."""
FEW = 10
"""So many classes are told each with its samples."""


def describe_data(problem: Problem) -> dict[str, str]:
    """Return what a problem's data are, by what it is about; empty of a problem that does not describe any."""
    describe = getattr(problem, "describe", None)
    if describe is None:
        return {}
    told = describe()
    found = _of_ratings(told) if "items" in told else _of_classes(told)
    if told["notes"]:
        found["notes"] = "; ".join(told["notes"])
    least, mean, most = told["samples_a_node"]
    spread = (
        f"{counted(least, 'sample')} on each"
        if least == most
        else f"{least:,} to {most:,} samples, {mean:,.4g} on average"
    )
    return found | {"nodes": spread}


def file_note(problem: Problem) -> str:
    """Return how a file was understood, in a sentence; empty where the data are of none."""
    describe = getattr(problem, "describe", None)
    told = {} if describe is None else describe()
    if not told.get("notes"):
        return ""
    return textwrap.fill(f"{Path(told['name']).name}: {'; '.join(told['notes'])}", WIDTH, subsequent_indent="  ")


def idle_note(algorithm: Algorithm | GossipProtocol, conditions: Conditions) -> str:
    """Return which sections change nothing that nodes learn, in a sentence; empty where all do.

    They are no mistake: methods that do not mix stand beside others in one grid.
    """
    if not isinstance(algorithm, Algorithm) or algorithm.mixings or not conditions.on_mixing:
        return ""
    idle = ", ".join(conditions.on_mixing)
    text = f"without effect in a run of {algorithm.name}, where nodes mix no models: {idle}"
    return textwrap.fill(text, WIDTH, subsequent_indent="  ")


def _of_ratings(told: Mapping[str, Any]) -> dict[str, str]:
    trained, tested = told["training_ratings"], told["test_ratings"]
    return {
        "data": f"{Path(told['name']).name}: {trained:,} ratings to train on and {tested:,} to test on, "
        f"{told['mean']:.4g} on average",
        "items": f"{told['items']:,}, rated by {told['users']:,} users",
    }


def _of_classes(told: Mapping[str, Any]) -> dict[str, str]:
    classes: Mapping[str, int] = told["classes"]
    features = f"{told['features']:,}" + (f" ({' × '.join(map(str, told['shape']))})" if len(told["shape"]) > 1 else "")
    if len(classes) <= FEW:
        each = ", ".join(f"{name} ({count:,})" for name, count in classes.items())
        spread = f"{len(classes)}: {each}"
    else:
        names = list(classes)
        spread = (
            f"{len(classes):,} of {min(classes.values()):,} to {max(classes.values()):,} samples: "
            f"{', '.join(names[: FEW - 2])}, … {names[-1]}"
        )
    samples = f"{told['training_samples']:,} samples to train on and {told['test_samples']:,} to test on"
    return {"data": f"{Path(told['name']).name}: {samples}", "features": features, "classes": spread}
