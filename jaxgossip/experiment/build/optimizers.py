"""Building of each node's optimizers: by name, with a learning rate that may change, and clipping of gradients."""

from collections.abc import Callable, Mapping
from typing import Any

import optax

from jaxgossip.algorithms.local_steps import Epochs, Steps
from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.build.builders import Builder
from jaxgossip.experiment.config.schema import Section
from jaxgossip.experiment.config.sections import Config, OptimizerSection, RateSection
from jaxgossip.learning import OPTIMIZERS, RATES
from jaxgossip.learning.optimizers import Optimizer, Rate, Transformation, clipped, counted

RATE = "learning_rate"


def build_optimizer(
    config: Config, part: Builder, arrays: Mapping[str, Any], local_steps: Callable[[], Steps]
) -> Transformation | None:
    """Build the optimizer; None if there is no section.

    Args:
        config: the configuration.
        part: calls the builders.
        arrays: key of the section, such as ``clip_norm`` or ``learning_rate.peak`` -> an array in place of its number.
        local_steps: returns the local steps of a round, for rates that change over the whole run.

    Raises:
        InputError: it cannot be built.
    """
    section = config.optimizer
    if section is None:
        return None
    section = with_horizon(config, section, local_steps)
    rate, built = _changing_rate(section), _at_rate(part, "optimizer", section)
    limits = {} if "clip_norm" in section.builder_keys else {"norm": section.clip_norm}
    limits |= {} if "clip_value" in section.builder_keys else {"value": section.clip_value}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    if not arrays:
        if limits:
            inner, key = built, ("clipped", built, repr(limits))
            built = part.shared.get(key, lambda: clipped(inner, **limits))
        return built
    return _of_arrays(section, rate, limits, arrays)


def build_outer(config: Config, part: Builder) -> Transformation | None:
    """Build the outer optimizer, which takes a step in each round; None if there is no section.

    Args:
        config: the configuration.
        part: calls the builders.

    Raises:
        InputError: it cannot be built.
    """
    section = config.outer
    return None if section is None else _at_rate(part, "outer", _over_the_run(section, lambda _: config.rounds))


def _at_rate(part: Builder, name: str, section: Section) -> Transformation:
    """Return the optimizer of a section called ``name``, with its learning rate, if it changes, by what that counts."""
    rate = _changing_rate(section)
    replaced = {} if rate is None else {RATE: part.section(f"{name}.{RATE}", rate, RATES, Callable)}
    built = part.section(name, section, OPTIMIZERS, optax.GradientTransformation, replaced=replaced)
    return built if rate is None else part.shared.get(("counted", built, rate.by), lambda: counted(built, rate.by))


def _changing_rate(section: Section) -> RateSection | None:
    rate = getattr(section, RATE, None)
    return rate if isinstance(rate, RateSection) else None


def _over_the_run[S: Section](section: S, counts: Callable[[RateSection], int]) -> S:
    """Return the section with what its learning rate ``counts`` in the run as ``over`` of that, where it is left out."""
    rate = _changing_rate(section)
    if rate is None or rate.keywords().get("over", 0) is not None:
        return section
    return section.model_copy(update={RATE: rate.model_copy(update={rate.builder_keys["over"]: counts(rate)})})


def with_horizon(config: Config, section: OptimizerSection, local_steps: Callable[[], Steps]) -> OptimizerSection:
    """Return the section with the counts of the whole run in its learning rate where ``over`` is left out.

    Args:
        config: the configuration.
        section: its section of the optimizer.
        local_steps: returns the local steps of a round.

    Raises:
        ConfigError: the rate counts steps, of which nodes take different numbers.
    """

    def counts(rate: RateSection) -> int:
        if rate.by == "rounds":
            return config.rounds
        steps = local_steps()
        if isinstance(steps, Epochs):
            raise ConfigError(
                "optimizer.learning_rate.over: nodes take different numbers of steps in an epoch",
                hint='give the number of steps over which the rate changes, or by = "rounds"',
            )
        return config.learning.start_steps + config.rounds * steps

    return _over_the_run(section, counts)


def _of_arrays(
    section: OptimizerSection, rate: RateSection | None, limits: Mapping[str, Any], arrays: Mapping[str, Any]
) -> Optimizer:
    """Return the optimizer with arrays in place of some numbers, in a form in which they are arguments of a program."""
    keywords = section.keywords() | {key: value for key, value in arrays.items() if key in section.builder_keys}
    if rate is not None:
        of_rate = {key.removeprefix(f"{RATE}."): value for key, value in arrays.items() if key.startswith(f"{RATE}.")}
        keywords[RATE] = Rate(RATES[rate.kind], rate.keywords() | of_rate)
    optimizer = Optimizer(OPTIMIZERS[section.kind], keywords)
    if rate is not None:
        optimizer = Optimizer(counted, {"optimizer": optimizer, "by": rate.by})
    if limits:
        numbers = {name: arrays.get(f"clip_{name}", limit) for name, limit in limits.items()}
        optimizer = Optimizer(clipped, {"optimizer": optimizer, **numbers})
    return optimizer
