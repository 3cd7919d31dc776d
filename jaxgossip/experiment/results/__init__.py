"""The results of runs, written and read: folders, logs, inputs, measures.

>>> run = jaxgossip.results.load("runs/quickstart")
>>> run.column("test_accuracy_mean")
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxgossip.experiment.results.run_data import RunData


def load(folder: str | Path) -> "RunData":
    """Load the records, baselines and scores of a run, finished or not, from its folder.

    Raises:
        ConfigError: the folder is not that of a run, or is damaged.
    """
    from jaxgossip.experiment.results.run_data import RunData

    return RunData.load(Path(folder))
