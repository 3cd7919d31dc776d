"""Emulate whole networks of gossip learning on one machine.

N models are the rows of one array, a round is a sparse matrix times that array plus one vmapped local step, and the whole
loop is one compiled program.

>>> import jaxgossip as jg
>>> W = jg.mixing.metropolis_hastings(jg.topology.ring(1024))
>>> result = jg.simulate(jg.algorithms.dsgd(problem, optax.sgd(0.1), W), rounds=1000)
"""

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jaxgossip._version import __version__ as __version__

if TYPE_CHECKING:
    from jaxgossip import algorithms as algorithms
    from jaxgossip import audit as audit
    from jaxgossip import compression as compression
    from jaxgossip import errors as errors
    from jaxgossip import experiment as experiment
    from jaxgossip import learning as learning
    from jaxgossip import mixing as mixing
    from jaxgossip import network as network
    from jaxgossip import plotting as plotting
    from jaxgossip import schedule as schedule
    from jaxgossip import simulation as simulation
    from jaxgossip import theory as theory
    from jaxgossip import topology as topology
    from jaxgossip.core.devices.mesh import mesh as mesh
    from jaxgossip.experiment import results as results
    from jaxgossip.learning import optimizers as optimizers
    from jaxgossip.simulation import simulate as simulate
    from jaxgossip.simulation import simulate_events as simulate_events
    from jaxgossip.simulation import sweep as sweep

_ROOMS = (
    "algorithms",
    "audit",
    "compression",
    "errors",
    "experiment",
    "learning",
    "mixing",
    "network",
    "plotting",
    "schedule",
    "simulation",
    "theory",
    "topology",
)
_ELSEWHERE = MappingProxyType(
    {
        "optimizers": "learning.optimizers",
        "results": "experiment.results",
        # names of the first release
        **{name: f"core.{name}" for name in ("files", "random", "registry", "typing")},
    }
)
_ENGINES = ("simulate", "simulate_events", "sweep")


def __getattr__(name: str) -> Any:
    """Import a room when it is first asked for: the command line must answer before JAX is loaded."""
    if name in _ROOMS:
        return importlib.import_module(f"jaxgossip.{name}")
    if name in _ELSEWHERE:
        return importlib.import_module(f"jaxgossip.{_ELSEWHERE[name]}")
    if name in _ENGINES:
        return getattr(importlib.import_module("jaxgossip.simulation"), name)
    if name == "mesh":
        return importlib.import_module("jaxgossip.core.devices.mesh").mesh
    raise AttributeError(f"module 'jaxgossip' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*_ROOMS, "mesh", "optimizers", "results", *_ENGINES, "__version__"]
