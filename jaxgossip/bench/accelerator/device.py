"""The device at hand: its platform, its memory, the CPU beside it, and the time of copying a state on it."""

import contextlib
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxgossip.bench.accelerator.check import SkipError
from jaxgossip.bench.memory import available_bytes as available_host_bytes
from jaxgossip.bench.timing import Loop, seconds_a_round
from jaxgossip.core.devices import memory
from jaxgossip.core.errors import RunError
from jaxgossip.core.units import bytes_text


@dataclass(frozen=True)
class Memory:
    """Memory of the device, or of this process where the device is a CPU.

    Attributes:
        peak: the most bytes in use so far; None if the device does not tell.
        free: bytes that can still be had; None if the device does not tell.
    """

    peak: int | None
    free: int | None


def is_cpu() -> bool:
    """Return whether the default device is a CPU."""
    return jax.default_backend() == "cpu"


def device_memory() -> Memory:
    """Return the memory of the default device at this moment."""
    if is_cpu():
        return Memory(memory.peak_bytes(), available_host_bytes())
    stats = jax.local_devices()[0].memory_stats() or {}
    limit = stats.get("bytes_limit")
    return Memory(stats.get("peak_bytes_in_use"), None if limit is None else limit - stats.get("bytes_in_use", 0))


def check_room(device: int, host: int = 0) -> None:
    """Raise SkipError unless so many bytes can be had: ``device`` on the device, and ``host`` beside it on the machine."""
    free = device_memory().free
    if is_cpu():
        device, host = device + host, 0
    for needed, have, where in ((device, free, "the device"), (host, available_host_bytes(), "the machine")):
        if have is not None and needed > have:
            raise SkipError(f"needs about {bytes_text(needed)}, and {where} has {bytes_text(have)} left")


def on_cpu() -> contextlib.AbstractContextManager[Any]:
    """Return a context in which arrays and programs are made for the CPU.

    Where the default device is a CPU, it changes nothing: programs are then shared, and run a second time.

    Raises:
        RunError: JAX was told not to use the CPU.
    """
    if is_cpu():
        return contextlib.nullcontext()
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError as error:
        raise RunError(
            "JAX has no CPU to compare with", hint=f"JAX_PLATFORMS={jax.default_backend()},cpu lets it have both"
        ) from error


def copy_seconds(shape: tuple[int, int], sample_s: float) -> float:
    """Return the seconds in which the device reads a float32 array of this shape once, and writes it once."""
    # Nothing but a sum is left in the loop: a mere copy, the compiler would leave out.
    loop = Loop(lambda _, x, __: x + 1, (), jnp.zeros(shape, jnp.float32))
    return seconds_a_round(loop, 1, sample_s)
