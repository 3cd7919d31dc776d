"""The machine's memory: what is free, what this process holds and has held, in bytes."""

import math
import os
import resource
import sys
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
CGROUP = Path("/sys/fs/cgroup")
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


def total_bytes() -> int:
    """Return the memory of the machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def available_bytes() -> int:
    """Return how much this process may still take: what the system can give, or what its container has left.

    Pages of files that a container holds are given back when memory is asked for: they count as free.
    """
    free = _kilobytes(MEMINFO, "MemAvailable") if MEMINFO.is_file() else total_bytes()
    limit, used, parts = (CGROUP / f"memory.{name}" for name in ("max", "current", "stat"))
    if limit.is_file() and used.is_file() and limit.read_text().strip().isdigit():
        lines = (line.split() for line in (parts.read_text().splitlines() if parts.is_file() else ()))
        cached = sum(int(size) for name, size in lines if name in ("active_file", "inactive_file"))
        free = min(free, int(limit.read_text()) - int(used.read_text()) + cached)
    return max(free, 0)


def resident_bytes() -> int:
    """Return what this process holds in memory now; at systems that do not tell, the most that it has held."""
    return _kilobytes(_STATUS, "VmRSS") if _STATUS.is_file() else peak_bytes()


def peak_bytes() -> int:
    """Return the most that this process has held in memory.

    Of Linux's two figures, that of the memory itself: getrusage's is handed on through fork and exec, so that a small
    process that a large one starts seems to have been large.
    """
    if _STATUS.is_file() and "VmHWM:" in _STATUS.read_text():
        return _kilobytes(_STATUS, "VmHWM")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def bytes_unit(largest: float) -> tuple[float, str]:
    """Return the decimal unit (its size in bytes, its name) in which ``largest`` bytes are a number from 1 to 999."""
    # what three digits round up to a thousand is one of the next unit
    return next((unit for unit in _BYTES if largest >= 0.9995 * unit[0]), _BYTES[-1])


def bytes_text(value: float | None) -> str:
    """Return bytes in a decimal unit: ``1.24 GB``."""
    if value is None or not math.isfinite(value):
        return "–"
    size, name = bytes_unit(value)
    return f"{value:.0f} B" if name == "B" else f"{value / size:.3g} {name}"


def _kilobytes(path: Path, name: str) -> int:
    line = next(line for line in path.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])
