"""The provenance of a result: versions, device and flags, enough to reproduce it bit for bit."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from jaxgossip import __version__


def provenance() -> dict[str, Any]:
    """Return versions, device, flags and the state of the checkout, as JSON values."""
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
        },
        "allocator": os.environ.get("GLIBC_TUNABLES", ""),
        "git": git_state(Path(__file__).parent),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit of the checkout that contains ``folder``, and whether it is clean; None outside of a checkout."""

    def ask(*words: str) -> str | None:
        try:
            command = ["git", "-C", str(folder), *words]
            answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603 - our words
        except (OSError, subprocess.SubprocessError):
            return None
        return answer.stdout.strip()

    # A copy installed inside another repository must not report the commit of that repository.
    if ask("ls-files", "--error-unmatch", str(Path(__file__))) is None:
        return None
    changes = ask("status", "--porcelain")
    return {"commit": ask("rev-parse", "HEAD"), "clean": changes == ""}
