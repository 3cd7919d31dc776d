"""Learning rates that change with a count t: schedules of optax under short names, for configurations and from Python.

    constant         η = value
    linear           from start to end in a straight line over ``over`` counts, then end
    cosine           η = end + (start − end) (1 + cos(π t/over))/2, then end
    warmup_constant  from start to peak in a straight line over ``warmup`` counts, then peak
    warmup_cosine    the same, then from peak to end by half a cosine until ``over``
    exponential      η = start · factor^(t/every), bounded by end
    step             η = start · factor^(number of boundaries that t has reached)
    inverse_sqrt     from start to peak over ``warmup`` counts, then η = peak √(warmup/t)

What t counts, a node's own steps, rounds, or the age of a model, is decided by :func:`.counted`; in a configuration by the
key ``by``. Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts"
(cosine); Vaswani et al. 2017, "Attention is all you need", section 5.3 (inverse square root).
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import optax
from jax import Array

from jaxgossip.core.arguments import guarded, is_number, number, whole
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Record
from jaxgossip.core.registry import Builder, Registry

VALUES = ("value", "start", "peak", "end")
"""Keywords that are learning rates, and may be device arrays; all others are constants of a program."""

Value = float | Array
"""A learning rate: a number, or a scalar array on the device."""


class Rate(Record):
    """A learning rate that is rebuilt wherever it is used, so that its ``VALUES`` may be device arrays.

    Attributes:
        builder: function from keywords to an optax schedule, such as those of this module.
        keywords: keyword arguments of the builder.
    """

    builder: Builder
    keywords: dict[str, Any]

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in self.keywords.items())
        return f"{getattr(self.builder, '__name__', self.builder)}({given})"

    def __call__(self, count: Any) -> Any:
        """Return the learning rate at ``count``."""
        return self.builder(**self.keywords)(count)


@guarded
def constant(*, value: Value) -> optax.Schedule:
    """Keep the learning rate as it is.

    Args:
        value: the learning rate.

    Raises:
        InputError: a value below 0.
    """
    _check_rates("constant", value=value)
    return optax.constant_schedule(value)


@guarded
def linear(*, start: Value, end: Value = 0.0, over: int | None = None) -> optax.Schedule:
    """Go from one learning rate to another in a straight line.

    Args:
        start: the learning rate at count 0.
        end: the learning rate from count ``over`` on.
        over: counts until ``end``; those of the whole run if a configuration leaves it out.

    Raises:
        InputError: a learning rate below 0, or ``over`` missing or below 1.
    """
    _check_rates("linear", start=start, end=end)
    return optax.linear_schedule(start, end, _horizon("linear", over))


@guarded
def cosine(*, start: Value, end: Value = 0.0, over: int | None = None) -> optax.Schedule:
    """Go from one learning rate to another by half a cosine.

    Args:
        start: the learning rate at count 0, above 0.
        end: the learning rate from count ``over`` on.
        over: counts until ``end``; those of the whole run if a configuration leaves it out.

    Raises:
        InputError: a learning rate out of range, or ``over`` missing or below 1.
    """
    _check_rates("cosine", end=end)
    _check_rates("cosine", above=True, start=start)
    return optax.cosine_decay_schedule(start, _horizon("cosine", over), alpha=end / start)


@guarded
def warmup_constant(*, peak: Value, warmup: int, start: Value = 0.0) -> optax.Schedule:
    """Warm up in a straight line, then keep the learning rate.

    Args:
        peak: the learning rate after the warm-up.
        warmup: counts of the warm-up.
        start: the learning rate at count 0.

    Raises:
        InputError: a learning rate below 0, or a warm-up below 1.
    """
    _check_rates("warmup_constant", peak=peak, start=start)
    return optax.warmup_constant_schedule(start, peak, whole("warmup_constant", "warmup", warmup, 1))


@guarded
def warmup_cosine(
    *, peak: Value, warmup: int, start: Value = 0.0, end: Value = 0.0, over: int | None = None
) -> optax.Schedule:
    """Warm up in a straight line, then decay by half a cosine.

    Args:
        peak: the learning rate after the warm-up, above 0.
        warmup: counts of the warm-up.
        start: the learning rate at count 0.
        end: the learning rate from count ``over`` on.
        over: counts until ``end``, including the warm-up; those of the whole run if a configuration leaves it out.

    Raises:
        InputError: a learning rate out of range, a warm-up below 1, or ``over`` missing or not above the warm-up.
    """
    _check_rates("warmup_cosine", start=start, end=end)
    _check_rates("warmup_cosine", above=True, peak=peak)
    rest = _horizon("warmup_cosine", over, after=whole("warmup_cosine", "warmup", warmup, 1))
    # What optax.warmup_cosine_decay_schedule returns, without its comparison of the peak, which may be traced, with 0.
    rise, fall = optax.linear_schedule(start, peak, warmup), optax.cosine_decay_schedule(peak, rest, alpha=end / peak)
    return optax.join_schedules([rise, fall], [warmup])


@guarded
def exponential(
    *, start: Value, factor: float, every: int = 1, end: Value | None = None, staircase: bool = False
) -> optax.Schedule:
    """Multiply the learning rate by a factor every so many counts.

    Args:
        start: the learning rate at count 0.
        factor: what it is multiplied by in ``every`` counts.
        every: counts of one factor.
        end: bound of the learning rate: from below if the factor is below 1, else from above. None for no bound.
        staircase: whether it changes only at multiples of ``every``, not at each count.

    Raises:
        InputError: a learning rate below 0, a factor of 0 or less, or ``every`` below 1.
    """
    _check_rates("exponential", start=start)
    if end is not None:
        _check_rates("exponential", end=end)
    number("exponential", "factor", factor, above=True)
    whole("exponential", "every", every, 1)
    return optax.exponential_decay(start, every, factor, staircase=staircase, end_value=end)


@guarded
def step(*, start: Value, boundaries: Sequence[int], factor: float = 0.1) -> optax.Schedule:
    """Multiply the learning rate by a factor at given counts.

    Args:
        start: the learning rate at count 0.
        boundaries: the counts from which on it is multiplied once more, in ascending order.
        factor: what it is multiplied by.

    Raises:
        InputError: a learning rate or factor below 0, or boundaries that are missing, below 1, or do not ascend.
    """
    _check_rates("step", start=start)
    number("step", "factor", factor)
    places = [whole("step", f"boundaries[{place}]", value, 1) for place, value in enumerate(boundaries)]
    if not places or any(one >= other for one, other in itertools.pairwise(places)):
        raise InputError(f"step: boundaries must ascend, not {places}", hint="boundaries = [1000, 2000]")
    return optax.piecewise_constant_schedule(start, dict.fromkeys(places, factor))


@guarded
def inverse_sqrt(*, peak: Value, warmup: int, start: Value = 0.0) -> optax.Schedule:
    """Warm up in a straight line, then decay by the inverse square root of the count.

    Args:
        peak: the learning rate after the warm-up.
        warmup: counts of the warm-up; at four times as many, the learning rate is half of the peak.
        start: the learning rate at count 0.

    Raises:
        InputError: a learning rate below 0, or a warm-up below 1.
    """
    _check_rates("inverse_sqrt", peak=peak, start=start)
    rise = optax.linear_schedule(start, peak, whole("inverse_sqrt", "warmup", warmup, 1))

    def fall(count: Any) -> Any:
        # It is computed during the warm-up, too, when the count since its end is negative.
        return peak * jnp.sqrt(warmup / (warmup + jnp.maximum(count, 0)))

    return optax.join_schedules([rise, fall], [warmup])


def _check_rates(name: str, *, above: bool = False, **rates: Any) -> None:
    """Raise InputError for a learning rate below 0, or equal to it if ``above``; arrays are not checked: they may be traced."""
    for key, rate in rates.items():
        if getattr(rate, "shape", None) != () or is_number(rate):
            number(name, key, rate, above=above)


def _horizon(name: str, over: int | None, after: int = 0) -> int:
    """Return the counts from ``after`` until ``over``; raise InputError unless there are some."""
    if over is None:
        raise InputError(
            f"{name}: over is missing", hint="over is the count at which the learning rate reaches its end"
        )
    if whole(name, "over", over, 1) <= after:
        raise InputError(
            f"{name}: a warm-up of {after:,} leaves nothing of {over:,}", hint="over includes the warm-up: set it above"
        )
    return over - after


RATES = Registry(
    "learning rate", [constant, linear, cosine, warmup_constant, warmup_cosine, exponential, step, inverse_sqrt]
)
"""Builders that ``optimizer.learning_rate.kind`` can name."""
