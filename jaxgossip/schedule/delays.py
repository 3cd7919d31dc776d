"""Delays: how long messages travel.

    none       0                      constant   d                     uniform    U[a, b]
    linear     ℓ + c b                lognormal  m exp(σ N(0, 1))
    transfer   ℓ_s + ℓ_r + b/min(up_s, down_r)   for a message of b bytes from node s to node r

Uniform delays of up to ten cycles are the extreme scenario of Ormándi, Hegedűs and Jelasity 2013, "Gossip learning with
linear models on fully distributed data".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from jaxgossip.core.arguments import check_fields, guarded, number
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import Registry

Law = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""(sender (m,), receiver (m,), rng) -> (m,) seconds."""


@runtime_checkable
class Speeds(Protocol):
    """Speeds of the nodes' connections, as :func:`transfer` needs them; all arrays are (n,)."""

    @property
    def up_bytes_s(self) -> np.ndarray:
        """Upload rate of each node, in bytes per second."""
        ...

    @property
    def down_bytes_s(self) -> np.ndarray:
        """Download rate of each node, in bytes per second."""
        ...

    @property
    def latency_s(self) -> np.ndarray:
        """Latency between each node and the backbone, in seconds."""
        ...


@dataclass(frozen=True)
class Delay:
    """How long messages travel.

    Attributes:
        law: (sender (m,) int32, receiver (m,) int32, rng) -> (m,) seconds.
        least_s: lower bound on all delays, in seconds.
        n_nodes: number of nodes that it is for; None for any number.
    """

    law: Law
    least_s: float = 0.0
    n_nodes: int | None = None

    def __post_init__(self) -> None:
        number("delay", "least_s", self.least_s)
        check_fields("delay", self)

    def draw(self, sender: np.ndarray, receiver: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the delays of messages, (m,) seconds.

        Args:
            sender: (m,) int32.
            receiver: (m,) int32.
            rng: generator of the draw.

        Raises:
            InputError: a delay is negative, not finite, or below ``least_s``, or there is not one delay per message.
        """
        seconds = np.asarray(self.law(sender, receiver, rng))
        if seconds.shape != sender.shape:
            raise InputError(
                f"delay: {sender.size} messages got delays of shape {seconds.shape}", hint="draw one a message"
            )
        # Minimum and maximum propagate NaN, so that two passes find any invalid delay.
        if seconds.size and not (seconds.min() >= self.least_s and seconds.max() < math.inf):
            wrong = int(np.argmin((seconds >= self.least_s) & (seconds < math.inf)))
            raise InputError(
                f"delay: a message of node {sender[wrong]} to node {receiver[wrong]} takes {seconds[wrong]} s",
                hint=f"a delay is a finite number of at least {self.least_s:g} seconds",
            )
        return seconds


@guarded
def none() -> Delay:
    """Return no delay: messages arrive at the instant at which they are sent."""
    return _fixed(0.0)


@guarded
def constant(*, seconds: float) -> Delay:
    """Return the same delay for every message.

    Args:
        seconds: delay of every message.

    Raises:
        InputError: ``seconds`` is negative.
    """
    return _fixed(number("constant delay", "seconds", seconds))


@guarded
def uniform(*, low_s: float = 0.0, high_s: float) -> Delay:
    """Return delays that are uniform between two bounds.

    Args:
        low_s: the shortest delay, in seconds.
        high_s: the longest delay, in seconds.

    Raises:
        InputError: ``low_s`` is negative, or ``high_s`` is below it.
    """
    low_s = number("uniform delay", "low_s", low_s)
    high_s = number("uniform delay", "high_s", high_s, least=low_s)
    width_s = np.float64(high_s - low_s)  # a float64 scalar, which makes the product a float64 array

    def law(sender: np.ndarray, _: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        seconds = rng.random(sender.size, np.float32) * width_s
        seconds += low_s
        return seconds

    return Delay(law, low_s)


@guarded
def linear(message_bytes: float, *, seconds_a_byte: float, latency_s: float = 0.0) -> Delay:
    """Return a delay that grows linearly with the size of a message.

    Args:
        message_bytes: size of a message in bytes.
        seconds_a_byte: seconds per byte.
        latency_s: delay of an empty message, in seconds.

    Raises:
        InputError: a number is negative.
    """
    size = number("linear delay", "message_bytes", message_bytes)
    slope = number("linear delay", "seconds_a_byte", seconds_a_byte)
    return _fixed(number("linear delay", "latency_s", latency_s) + slope * size)


@guarded
def lognormal(*, median_s: float, sigma: float = 1.0) -> Delay:
    """Return lognormal delays: a few are far longer than most, as on the Internet.

    Args:
        median_s: median of the delays, in seconds.
        sigma: standard deviation of their logarithm.

    Raises:
        InputError: ``median_s`` is not positive, or ``sigma`` is negative.
    """
    mu = math.log(number("lognormal delay", "median_s", median_s, above=True))
    sigma = number("lognormal delay", "sigma", sigma)

    def law(sender: np.ndarray, _: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        seconds = mu + np.float64(sigma) * rng.standard_normal(sender.size, np.float32)
        return np.exp(seconds, out=seconds)

    return Delay(law)


@guarded
def transfer(speeds: Speeds, message_bytes: float) -> Delay:
    """Return the transfer time over the slower of the two nodes' connections, plus the latencies of both.

    Simultaneous transfers do not slow each other down.

    Args:
        speeds: speeds of the nodes' connections.
        message_bytes: size of a message in bytes.

    Raises:
        InputError: a rate is not positive, or ``message_bytes`` or a latency is negative.
    """
    size = number("transfer delay", "message_bytes", message_bytes)
    # b/min(u, d) = max(b/u, b/d): with seconds by node, a message takes a single maximum.
    up_s, down_s = (size / _positive(speeds, name) for name in ("up_bytes_s", "down_bytes_s"))
    latency_s = np.asarray(speeds.latency_s, np.float64)
    if latency_s.size and not latency_s.min() >= 0:
        node = int(np.argmin(latency_s >= 0))
        raise InputError(f"transfer delay: node {node} has a latency of {latency_s[node]} s", hint="at least 0")

    def law(sender: np.ndarray, receiver: np.ndarray, _: np.random.Generator) -> np.ndarray:
        seconds = np.maximum(up_s[sender], down_s[receiver])
        seconds += latency_s[sender]
        seconds += latency_s[receiver]
        return seconds

    return Delay(law, n_nodes=latency_s.size)


def _fixed(seconds: float) -> Delay:
    return Delay(lambda sender, receiver, rng: np.full(sender.size, seconds), seconds)  # noqa: ARG005 - one form for all


def _positive(speeds: Speeds, name: str) -> np.ndarray:
    rate = np.asarray(getattr(speeds, name), np.float64)
    if rate.size and not rate.min() > 0:
        node = int(np.argmin(rate > 0))
        raise InputError(f"transfer delay: {name} of node {node} is {rate[node]}", hint="give bytes a second, above 0")
    return rate


DELAYS = Registry("delay", [none, constant, uniform, linear, lognormal, transfer])
"""Delays by name."""
