"""Loading of configurations: from a TOML file to a checked, resolved configuration, with all mistakes in a single error.

A section's keys depend on the builder that it names, so a configuration is read in two steps: the builders are looked up,
then every table is checked against the model derived from its builder. Rules between sections are checked last.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxgossip.core.errors import ConfigError
from jaxgossip.core.files import folder_name
from jaxgossip.experiment.config import catalogue as catalogues
from jaxgossip.experiment.config import toml
from jaxgossip.experiment.config.catalogue import Catalogue
from jaxgossip.experiment.config.describe import json_schema, resolved_toml
from jaxgossip.experiment.config.diagnostics import Diagnostic, config_error, in_order, shown
from jaxgossip.experiment.config.learning import Classification
from jaxgossip.experiment.config.sections import Config, RateSection
from jaxgossip.experiment.config.targets import known_targets, unreachable
from jaxgossip.experiment.config.validation import ConfigReader

__all__ = ["Config", "json_schema", "load", "resolved_toml", "tells_of", "validate"]


def load(
    source: Path | str,
    overrides: Sequence[str] = (),
    *,
    folder: Path | None = None,
    catalogue: Catalogue | None = None,
) -> Config:
    """Return the checked configuration of a TOML file or text.

    Args:
        source: a path, or the TOML text itself: a str of several lines or with a ``=``.
        overrides: overrides of the form ``key.path=value``, as for ``--set``.
        folder: what relative paths are relative to; if None, the folder of the file, or the working directory for a text.
        catalogue: what the configuration can name; the built-in registries if None.

    Raises:
        ConfigError: the configuration is invalid; lists all mistakes, one per line, as "file: key.path: message", with
            their hints.
    """
    if isinstance(source, str) and ("\n" in source or ("=" in source and not Path(source).exists())):
        name, tree = "<text>", toml.parse(source, "<text>")
        folder, stem = folder or Path.cwd(), "run"
    else:
        path = Path(source)
        name, tree = str(source), toml.read(path)
        folder, stem = folder or path.absolute().parent, folder_name(path.stem)
    for override in overrides:
        tree = toml.apply_override(tree, override)
    if "variants" in tree:
        check_variants(tree["variants"], name)
        hint = f"'jaxgossip sweep {shlex.quote(name)}' runs all of them"
        raise ConfigError(f"{name}: variants: {len(tree['variants'])} runs in one configuration", hint=hint)
    return validate({"name": stem, **tree}, source=name, folder=folder, catalogue=catalogue)


def tells_of(path: Path, config: Config) -> bool:
    """Return whether the file of a resolved configuration holds ``config``, whichever version wrote it.

    Keys that the version did not know have their defaults, and comments are ignored.
    """
    try:
        return path.read_bytes() == resolved_toml(config).encode() or load(path).tree() == config.tree()
    except ConfigError:
        return False


def check_variants(listed: Any, source: str) -> None:
    """Check that ``variants`` is a nonempty list of tables.

    Raises:
        ConfigError: it is not; the message begins with ``source``.
    """
    if not isinstance(listed, list) or not all(isinstance(variant, Mapping) for variant in listed) or not listed:
        raise ConfigError(
            f"{source}: variants: expected tables", hint="write [[variants]] with a name and what changes"
        )


def validate(
    tree: Mapping[str, Any], *, source: str = "configuration", folder: Path, catalogue: Catalogue | None = None
) -> Config:
    """Return the checked configuration of nested tables; see :func:`load`.

    Args:
        tree: the tables, including ``name``.
        source: name of the configuration in errors.
        folder: what relative paths are relative to.
        catalogue: what the configuration can name; the built-in registries if None.

    Raises:
        ConfigError: the configuration is invalid; lists all mistakes, one per line.
    """
    reader = ConfigReader(catalogue or catalogues.standard(), folder)
    sections = reader.sections(tree)
    config = reader.config(sections)
    diagnostics = [*reader.diagnostics, *(diagnostic for rule in RULES for diagnostic in rule(sections))]
    if config is None or diagnostics:
        raise config_error(source, in_order(diagnostics, tree))
    return config


def _one_sample_keeps_no_test(sections: Mapping[str, Any]) -> list[Diagnostic]:
    partition = sections.get("partition")
    if partition is None or partition.kind != "one_sample" or partition.local_test == 0:
        return []
    message = f"a node with one sample has none to keep for its own test, got {shown(partition.local_test)}"
    return [Diagnostic(("partition", "local_test"), message, hint="set it to 0, or choose another partition")]


def _own_partition_takes_local_test(sections: Mapping[str, Any]) -> list[Diagnostic]:
    partition = sections.get("partition")
    if partition is None or ":" not in partition.kind or partition.local_test == 0:
        return []
    if "local_test" in partition.keywords():
        return []
    message = f"{partition.kind} has no parameter local_test, so it would have no effect"
    return [
        Diagnostic(("partition", "local_test"), message, hint="take local_test: float = 0.0 in it, or leave it out")
    ]


def _pegasos_has_one_regularization(sections: Mapping[str, Any]) -> list[Diagnostic]:
    learning, optimizer = sections.get("learning"), sections.get("optimizer")
    if not isinstance(learning, Classification) or optimizer is None:
        return []
    if (learning.model, optimizer.kind) != ("pegasos", "pegasos"):
        return []
    model, step = learning.model_options.keywords()["regularization"], optimizer.keywords()["regularization"]
    if model == step:
        return []
    message = (
        f"{step:g} differs from the model's {model:g}: Pegasos steps by 1/(regularization * age) of one and the same"
    )
    hint = "set learning.model_options.regularization and optimizer.regularization alike"
    return [Diagnostic(("optimizer", "regularization"), message, hint=hint)]


def _compression_has_its_algorithm(sections: Mapping[str, Any]) -> list[Diagnostic]:
    algorithm, compression = sections.get("algorithm"), sections.get("compression")
    if algorithm is None:
        return []
    compresses = "compressor" in algorithm.builder_takes
    if compresses and "compression" not in sections:
        message = f"missing, and algorithm '{algorithm.kind}' compresses what it sends"
        return [Diagnostic(("compression",), message, hint='write [compression] with a kind, such as "top_k"')]
    if compression is not None and not compresses:
        message = f"algorithm '{algorithm.kind}' compresses nothing"
        return [Diagnostic(("compression",), message, hint="remove the section, or algorithm.kind = 'choco'")]
    return []


def _outer_steps_have_their_algorithm(sections: Mapping[str, Any]) -> list[Diagnostic]:
    algorithm = sections.get("algorithm")
    if sections.get("outer") is None or algorithm is None or "outer" in algorithm.builder_takes:
        return []
    message = f"algorithm '{algorithm.kind}' takes no outer steps"
    return [Diagnostic(("outer",), message, hint="remove the section, or algorithm.kind = 'outer_gossip'")]


def _learning_rates_have_their_count(sections: Mapping[str, Any]) -> list[Diagnostic]:
    optimizer, evaluation = sections.get("optimizer"), sections.get("evaluation")
    rate = getattr(optimizer, "learning_rate", None)
    if not isinstance(rate, RateSection):
        return []
    path, found = ("optimizer", "learning_rate"), []
    if "schedule" in sections:
        if rate.by == "rounds":
            message = "there are no rounds where nodes act by their own clocks"
            found.append(Diagnostic((*path, "by"), message, hint="by = 'steps', or by = 'age' in gossip learning"))
        if rate.keywords().get("over", 0) is None:
            message = "missing, and how many steps nodes take follows from their clocks and messages"
            found.append(
                Diagnostic((*path, "over"), message, hint="the count at which the learning rate is at its end")
            )
    baselines = evaluation.get("baselines", ()) if isinstance(evaluation, Mapping) else ()
    if rate.by != "rounds" and "federated_averaging" in baselines:
        message = f"baseline 'federated_averaging' begins every round with new optimizers, got '{rate.by}'"
        found.append(Diagnostic((*path, "by"), message, hint="by = 'rounds', or leave the baseline out"))
    return found


def _steps_have_an_optimizer(sections: Mapping[str, Any]) -> list[Diagnostic]:
    algorithm, learning = sections.get("algorithm"), sections.get("learning")
    if algorithm is None or "optimizer" in sections:
        return []
    evaluation = sections.get("evaluation")
    baselines = evaluation.get("baselines") if isinstance(evaluation, Mapping) else None
    hint = "write [optimizer] with a learning_rate"
    if baselines:
        message = f"missing, and algorithm '{algorithm.kind}' does without, but no baseline does"
        return [Diagnostic(("optimizer",), message, hint=f"{hint}, or evaluation.baselines = []")]
    if learning is not None and learning.start_steps and "optimizer" in algorithm.builder_takes:
        message = "missing, and learning.start_steps are taken with it"
        return [Diagnostic(("optimizer",), message, hint=f"{hint}, or learning.start_steps = 0")]
    return []


def _centrality_has_starts_and_mixing(sections: Mapping[str, Any]) -> list[Diagnostic]:
    learning, algorithm = sections.get("learning"), sections.get("algorithm")
    if learning is None or algorithm is None or learning.init_gain != "centrality":
        return []
    path = ("learning", "init_gain")
    if learning.init == "same":
        message = "nodes that all start from one model agree on it as it is, got 'centrality'"
        return [Diagnostic(path, message, hint="learning.init = 'independent', or init_gain = 1")]
    if "W" not in algorithm.builder_takes:
        message = f"algorithm '{algorithm.kind}' mixes with no weights, got 'centrality'"
        return [Diagnostic(path, message, hint="a number, such as the root of the number of nodes")]
    return []


def _data_can_be_poisoned(sections: Mapping[str, Any]) -> list[Diagnostic]:
    adversary, learning = sections.get("adversary"), sections.get("learning")
    if adversary is None or learning is None or isinstance(learning, Classification):
        return []
    missing = {"label_flip": "labels to flip", "backdoor": "samples that carry a trigger"}.get(adversary.kind)
    if missing is None:
        return []
    message = f"'{learning.dataset}' has no {missing}"
    return [Diagnostic(("adversary", "kind"), message, hint="choose another kind, or a data set")]


def _class_shares_have_classes(sections: Mapping[str, Any]) -> list[Diagnostic]:
    mixing, learning = sections.get("mixing"), sections.get("learning")
    if mixing is None or "class_shares" not in mixing.builder_takes or learning is None:
        return []
    if isinstance(learning, Classification):
        return []
    message = f"'{mixing.kind}' is learnt from the classes on nodes, and '{learning.dataset}' has none"
    return [Diagnostic(("mixing", "kind"), message, hint="choose another kind, or a data set of classes")]


def _privacy_has_samples(sections: Mapping[str, Any]) -> list[Diagnostic]:
    learning = sections.get("learning")
    if sections.get("privacy") is None or learning is None or isinstance(learning, Classification):
        return []
    return [Diagnostic(("privacy",), f"'{learning.dataset}' has no samples to keep private", hint="remove the section")]


def _target_can_be_reached(sections: Mapping[str, Any]) -> list[Diagnostic]:
    evaluation, learning = sections.get("evaluation"), sections.get("learning")
    target = evaluation.get("target") if isinstance(evaluation, Mapping) else None
    if not isinstance(learning, Classification) or not isinstance(target, int | float) or target <= 0:
        return []
    targets = known_targets(learning)
    fault = None if targets is None else unreachable(target, targets)
    return [] if fault is None else [fault]


RULES: tuple[Callable[[Mapping[str, Any]], list[Diagnostic]], ...] = (
    _one_sample_keeps_no_test,
    _own_partition_takes_local_test,
    _pegasos_has_one_regularization,
    _compression_has_its_algorithm,
    _outer_steps_have_their_algorithm,
    _learning_rates_have_their_count,
    _steps_have_an_optimizer,
    _centrality_has_starts_and_mixing,
    _data_can_be_poisoned,
    _class_shares_have_classes,
    _privacy_has_samples,
    _target_can_be_reached,
)
"""Rules between keys: (sections, None for invalid ones) -> diagnostics."""
