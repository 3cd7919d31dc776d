"""Which values ``evaluation.target`` may have: it is compared with the first measure of the data's targets."""

from typing import Literal

from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import offers
from jaxgossip.experiment.config.diagnostics import Diagnostic, shown
from jaxgossip.experiment.config.learning import Classification

type Target = Literal["class", "value", "sequence"]
"""What a target is, as ``jaxgossip.learning`` has it, which is slow to import."""
PATH = ("evaluation", "target")


def known_targets(learning: Classification) -> Target | None:
    """Return what the targets of the data are; None if that is not known before they are read, and a model made.

    Data sets and models of the user's own, or of other packages, may have any targets and measures.
    """
    for kind, name in (("dataset", learning.dataset), ("model", learning.model)):
        if ":" in name or name in offers(kind):
            return None
    keywords = learning.dataset_options.keywords()
    if "target" in keywords:
        return keywords["target"]
    return "sequence" if "tokens" in keywords else "class"  # data sets that can choose their tokens are texts


def unreachable(target: float, targets: Target) -> Diagnostic | None:
    """Return what is wrong with a value that the first measure of ``targets`` cannot have; None if nothing is.

    Args:
        target: ``evaluation.target``.
        targets: what the targets of the data are: accuracies are measured of classes, mean squared errors of values,
            perplexities of sequences.
    """
    if targets == "class" and target > 1:
        message = f"an accuracy is a fraction of at most 1, got {shown(target)}"
        return Diagnostic(PATH, message, hint="0.85 means 85 % of the test samples")
    if targets == "sequence" and target < 1:
        message = f"a perplexity, which is measured of sequences, is at least 1, got {shown(target)}"
        return Diagnostic(PATH, message, hint="8.0 means: as unsure as among 8 equally likely tokens")
    return None


def check_target(target: float | None, targets: Target) -> None:
    """Check ``evaluation.target`` once the data are read.

    Raises:
        ConfigError: the first measure of these targets cannot have this value.
    """
    fault = None if target is None else unreachable(target, targets)
    if fault is not None:
        raise ConfigError(f"{'.'.join(fault.path)}: {fault.message}", hint=fault.hint)
