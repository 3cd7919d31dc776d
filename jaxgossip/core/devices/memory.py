"""Memory of the machine and of this process, in bytes."""

import math
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MEMINFO = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
CGROUP = Path("/sys/fs/cgroup")
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


def total_bytes() -> int:
    """Return the size of the machine's memory in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def available_bytes() -> int:
    """Return the bytes that this process can still allocate, on the system and within its container (cgroup v2).

    A container's page cache counts as free, for it is reclaimed on demand. Without ``/proc/meminfo``, the total memory
    stands for what is free.
    """
    free = _kilobytes(MEMINFO, "MemAvailable") if MEMINFO.is_file() else total_bytes()
    limit, used, stat = (CGROUP / f"memory.{name}" for name in ("max", "current", "stat"))
    if limit.is_file() and used.is_file() and limit.read_text().strip().isdigit():
        lines = (line.split() for line in (stat.read_text().splitlines() if stat.is_file() else ()))
        cached = sum(int(size) for name, size in lines if name in ("active_file", "inactive_file"))
        free = min(free, int(limit.read_text()) - int(used.read_text()) + cached)
    return max(free, 0)


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes, or its peak where the present value is not reported."""
    return _kilobytes(_STATUS, "VmRSS") if _STATUS.is_file() else peak_bytes()


def device_free_bytes(devices: Sequence[Any] | None = None) -> int | None:
    """Return the bytes that are free on the fullest of some devices; None if they use the machine's own memory.

    Args:
        devices: the devices; None for all of this process.
    """
    import jax  # noqa: PLC0415 - the command line must answer before JAX is loaded

    stats = [device.memory_stats() or {} for device in (jax.local_devices() if devices is None else devices)]
    if not all("bytes_limit" in of_device for of_device in stats):
        return None
    return min(of_device["bytes_limit"] - of_device.get("bytes_in_use", 0) for of_device in stats)


def peak_bytes() -> int:
    """Return the peak resident memory of this process in bytes.

    On Linux it is read from ``/proc``: getrusage's value is inherited through fork and exec, so that a small process
    started by a large one would seem large.
    """
    if _STATUS.is_file() and "VmHWM:" in _STATUS.read_text():
        return _kilobytes(_STATUS, "VmHWM")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def bytes_unit(largest: float) -> tuple[float, str]:
    """Return the decimal unit (its size in bytes, its name) in which ``largest`` bytes are a number from 1 to 999."""
    # a value that three digits would round up to 1000 takes the next unit
    return next((unit for unit in _BYTES if largest >= 0.9995 * unit[0]), _BYTES[-1])


def bytes_text(value: float | None) -> str:
    """Format bytes in a decimal unit: ``1.24 GB``; a dash if the number is None or not finite."""
    if value is None or not math.isfinite(value):
        return "–"
    size, name = bytes_unit(value)
    return f"{value:.0f} B" if name == "B" else f"{value / size:.3g} {name}"


def _kilobytes(path: Path, name: str) -> int:
    line = next(line for line in path.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])
