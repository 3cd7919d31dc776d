"""Entry point of the ``jaxgossip`` command: requests huge memory pages for large runs, then runs the command line.

The models of nodes that meet at random are scattered over gigabytes, and with 4 KiB pages every access to one waits for a
page-table walk: rounds take up to 50 % longer. If the kernel grants huge pages on request (``transparent_hugepage/enabled``
says ``[madvise]``), glibc's allocator requests them only if configured before the process starts, so the command restarts
itself once with GLIBC_TUNABLES set. If that variable is set already, even to nothing, it is left alone.
"""

import os
import sys
from pathlib import Path

LARGE = ("run", "resume", "bench", "plan")
"""Commands that may use gigabytes."""
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TUNABLE = "glibc.malloc.hugetlb=1"


def start() -> None:
    """Run the command line, with huge pages if they must be requested."""
    try:
        if wants_huge_pages(sys.argv[1:], os.environ.get("GLIBC_TUNABLES"), ENABLED):
            os.environ["GLIBC_TUNABLES"] = TUNABLE
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very command
        from jaxgossip.cli.main import main

        main()
    except KeyboardInterrupt:  # while loading, or while exiting
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)


def wants_huge_pages(words: list[str], tunables: str | None, enabled: Path) -> bool:
    """Return whether to restart: for a command for large runs, without tunables, on a kernel that waits for requests.

    Args:
        words: words of the command line, without the name of the program.
        tunables: the environment's GLIBC_TUNABLES, or None if it is not set.
        enabled: the kernel's file with the state of huge pages.
    """
    if tunables is not None or not words or words[0] not in LARGE or "--help" in words:
        return False
    try:
        return "[madvise]" in enabled.read_text(encoding="utf-8")
    except OSError:
        return False
