"""Pictures of what is not a run, and helpers: the style, axes for common quantities, layouts of graphs.

>>> jg.plotting.partition(problem).savefig("partition.png")
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxgossip.plotting.partitions import partition as partition


def __getattr__(name: str) -> Any:
    """Import a picture when it is first asked for: those of topologies are drawn without JAX."""
    if name == "partition":
        return importlib.import_module("jaxgossip.plotting.partitions").partition
    raise AttributeError(f"module 'jaxgossip.plotting' has no attribute '{name}'")


def __dir__() -> list[str]:
    return ["partition"]
