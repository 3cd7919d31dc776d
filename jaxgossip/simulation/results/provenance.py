"""The provenance of a result: the versions, device and flags needed to reproduce it bit for bit."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from jaxgossip import __version__
from jaxgossip.core.devices.determinism import compiler_options


def provenance() -> dict[str, Any]:
    """Return versions, device, flags and the state of the git checkout, as JSON values."""
    device = jax.devices()[0]
    return {
        "versions": {
            "jaxgossip": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("jax", "jaxlib", "optax", "numpy", "scipy")},
        },
        "device": {
            "platform": device.platform,
            "kind": device.device_kind,
            "count": jax.device_count(),
            "machine": platform.machine(),
            "system": platform.system(),
            "cores": os.cpu_count(),
        },
        "flags": {
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
            "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", ""),
            "jax_enable_x64": bool(jax.config.jax_enable_x64),
            "jax_threefry_partitionable": bool(jax.config.jax_threefry_partitionable),
            **compiler_options(),
        },
        "allocator": os.environ.get("GLIBC_TUNABLES", ""),
        "git": git_state(Path(__file__).parent),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit of the git checkout of jaxgossip at ``folder``, and whether it is clean; None without a checkout."""

    def git(*arguments: str) -> str | None:
        try:
            command = ["git", "-C", str(folder), *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603 - fixed arguments
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    # A copy installed inside another repository must not report the commit of that repository.
    if git("ls-files", "--error-unmatch", str(Path(__file__))) is None:
        return None
    changes = git("status", "--porcelain")
    return {"commit": git("rev-parse", "HEAD"), "clean": changes == ""}
