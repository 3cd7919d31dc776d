"""Where the ``jaxgossip`` command begins: large runs ask for huge memory pages, then the command line takes over.

Models of nodes that meet at random lie anywhere in gigabytes, and with pages of 4 KiB every visit to one waits for a walk
through the page tables: rounds take up to half as long again. Where the kernel gives huge pages to those who ask
(``transparent_hugepage/enabled`` says ``[madvise]``), glibc's allocator asks if it is told to before the process starts:
so the command starts itself anew, once, with GLIBC_TUNABLES set. Whoever sets that variable, even to nothing, is left alone.
"""

import os
import sys
from pathlib import Path

LARGE = ("run", "resume", "bench", "plan")
"""Commands that may hold gigabytes."""
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TUNABLE = "glibc.malloc.hugetlb=1"


def start() -> None:
    """Run the command line, with huge pages where they have to be asked for."""
    try:
        if wants_huge_pages(sys.argv[1:], os.environ.get("GLIBC_TUNABLES"), ENABLED):
            os.environ["GLIBC_TUNABLES"] = TUNABLE
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very command
        from jaxgossip.cli.main import main

        main()
    except KeyboardInterrupt:  # while it loads, or while it leaves
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)


def wants_huge_pages(words: list[str], tunables: str | None, enabled: Path) -> bool:
    """Return whether to start anew: a command for large runs, no tunables set, and a kernel that waits to be asked.

    Args:
        words: of the command line, the program's name left out.
        tunables: the environment's GLIBC_TUNABLES.
        enabled: the kernel's file.
    """
    if tunables is not None or not words or words[0] not in LARGE or "--help" in words:
        return False
    try:
        return "[madvise]" in enabled.read_text(encoding="utf-8")
    except OSError:
        return False
