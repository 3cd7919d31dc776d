"""Redraw the pictures in ``figures/`` from the shipped configurations.

Usage: python scripts/update_figures.py [NAME ...]
"""

import sys
import tempfile
from pathlib import Path

from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.runs.run import run

ROOT = Path(__file__).parent.parent
NAMES = ("quickstart", "digits_noniid", "ring_sgd", "own_graph")


def main(names: list[str]) -> None:
    """Run each configuration and save its summary."""
    for name in names or NAMES:
        with tempfile.TemporaryDirectory() as folder:
            outcome = run(load(ROOT / "configs" / f"{name}.toml"), out=Path(folder) / "run", command=" ".join(sys.argv))
            target = ROOT / "figures" / f"{name}.png"
            target.write_bytes((outcome.folder / "summary.png").read_bytes())
            print(f"wrote {target.relative_to(ROOT)}")


main(sys.argv[1:])
