"""Commands in processes of their own."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LIMIT_S = 150
"""Seconds after which a command has failed; those that lose a process may take two minutes."""
ENVIRONMENT = {
    "GLIBC_TUNABLES": "",  # do not start anew for huge pages
    "JAX_PLATFORMS": "cpu",
    "OMP_NUM_THREADS": "1",
}


def start(words: Sequence[object], folder: Path, driver: Sequence[object] = ("-m", "jaxgossip")) -> subprocess.Popen:
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, *map(str, driver), *map(str, words)]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    """Wait for a command, and return (code, stdout, stderr)."""
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    return process.returncode, out, err


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def ended_both(both: tuple[subprocess.Popen, subprocess.Popen]) -> list[tuple[int, str, str]]:
    try:
        return [ended(process) for process in both]
    finally:
        for process in both:
            process.kill()
