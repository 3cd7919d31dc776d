"""What a run leaves behind, written and read: folder, log, inputs, measures.

>>> run = jaxgossip.results.load("runs/quickstart")
>>> run.column("test_accuracy_mean")
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxgossip.experiment.results.run_data import RunData


def load(folder: str | Path) -> "RunData":
    """Return what the folder of a run holds, finished or not: its records, baselines and scores.

    Raises:
        ConfigError: no run folder, or one that was damaged.
    """
    from jaxgossip.experiment.results.run_data import RunData

    return RunData.load(Path(folder))
