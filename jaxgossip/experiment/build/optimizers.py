"""Building of each node's optimizer: by its name, with a learning rate that may change, and clipping of its gradients."""

from collections.abc import Callable, Mapping
from typing import Any

import optax

from jaxgossip.algorithms.local_steps import Epochs, Steps
from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.build.builders import Builder
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
    rate = getattr(section, RATE, None)
    rate = rate if isinstance(rate, RateSection) else None
    replaced = {} if rate is None else {RATE: part.section(f"optimizer.{RATE}", rate, RATES, Callable)}
    built = part.section("optimizer", section, OPTIMIZERS, optax.GradientTransformation, replaced=replaced)
    limits = {} if "clip_norm" in section.builder_keys else {"norm": section.clip_norm}
    limits |= {} if "clip_value" in section.builder_keys else {"value": section.clip_value}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    if not arrays:
        if rate is not None:
            built = part.shared.get(("counted", built, rate.by), lambda: counted(built, rate.by))
        if limits:
            inner, key = built, ("clipped", built, repr(limits))
            built = part.shared.get(key, lambda: clipped(inner, **limits))
        return built
    return _of_arrays(section, rate, limits, arrays)


def with_horizon(config: Config, section: OptimizerSection, local_steps: Callable[[], Steps]) -> OptimizerSection:
    """Return the section with the counts of the whole run in its learning rate where ``over`` is left out.

    Args:
        config: the configuration.
        section: its section of the optimizer.
        local_steps: returns the local steps of a round.

    Raises:
        ConfigError: the rate counts steps, of which nodes take different numbers.
    """
    rate = getattr(section, RATE, None)
    if not isinstance(rate, RateSection) or rate.keywords().get("over", 0) is not None:
        return section
    over = config.rounds
    if rate.by != "rounds":
        steps = local_steps()
        if isinstance(steps, Epochs):
            raise ConfigError(
                "optimizer.learning_rate.over: nodes take different numbers of steps in an epoch",
                hint='give the number of steps over which the rate changes, or by = "rounds"',
            )
        over = config.learning.start_steps + config.rounds * steps
    return section.model_copy(update={RATE: rate.model_copy(update={rate.builder_keys["over"]: over})})


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
