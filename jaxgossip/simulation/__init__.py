"""Engines that run algorithms and protocols, with their metrics, results and checkpoints."""

from jaxgossip.simulation.events.engine import EventRun as EventRun
from jaxgossip.simulation.events.engine import simulate_events as simulate_events
from jaxgossip.simulation.listening.observer import Observer as Observer
from jaxgossip.simulation.metrics import Metrics as Metrics
from jaxgossip.simulation.program import Program as Program
from jaxgossip.simulation.program import RunState as RunState
from jaxgossip.simulation.results.result import Result as Result
from jaxgossip.simulation.results.sweep_result import SweepResult as SweepResult
from jaxgossip.simulation.results.sweep_result import SweepRun as SweepRun
from jaxgossip.simulation.rounds import simulate as simulate
from jaxgossip.simulation.sweeps import sweep as sweep
