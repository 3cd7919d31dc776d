"""The command line in a process that dies at a given moment of a run: ``process_killed.py MOMENT ROUND WORDS…``.

MOMENT is "between", before a checkpoint that is due, "during", with its part of one half written, or "never".
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from jaxgossip.cli.main import main
from jaxgossip.core import disk
from jaxgossip.experiment.runs.together import PieceObserver
from jaxgossip.simulation.mesh import stored


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def patch(moment: str, after: int) -> None:
    """Make this process die in the first checkpoint, or before it, that is due after so many rounds."""
    write, chunk = stored.write, PieceObserver.chunk

    def half(path: Path, pieces: Any) -> None:
        if moment == "during" and int(path.name.removeprefix("round-").partition(".")[0]) > after:
            path.with_name(f"{path.name}.1{disk.TEMPORARY}").write_bytes(b"PK half of it")
            die()
        write(path, pieces)

    def observed(self: PieceObserver, run: Any, wall_s: float) -> None:
        if moment == "between" and int(run.round) > after:
            die()
        chunk(self, run, wall_s)

    stored.write, PieceObserver.chunk = half, observed


if __name__ == "__main__":
    patch(sys.argv[1], int(sys.argv[2]))
    sys.argv = ["jaxgossip", *sys.argv[3:]]
    main()
