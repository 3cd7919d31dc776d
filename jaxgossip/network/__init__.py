"""The network of a run in rounds: faults, adversaries, robust aggregation, traffic, machine speeds, energy and privacy.

Every builder raises ArgumentTypeError for arguments that are missing, unknown or, mostly, of the wrong type, and
InputError, its base class, for numbers that are NaN, infinite or not whole where they must be; bounds are under its
``Raises``.
"""

from jaxgossip import schedule  # jg.network.schedule is the former name of jg.schedule
from jaxgossip.network import adversaries, aggregation, energy, privacy, speeds
from jaxgossip.network.adversaries import ADVERSARIES, Adversary
from jaxgossip.network.aggregation import AGGREGATIONS, Aggregation
from jaxgossip.network.conditions import Conditions, surely
from jaxgossip.network.energy import ENERGIES, Energy
from jaxgossip.network.masks import both, chosen
from jaxgossip.network.meter import Meter, Metering
from jaxgossip.network.round import Links, Round
from jaxgossip.network.speeds import SPEEDS, Speeds
from jaxgossip.network.traffic import Traffic
from jaxgossip.network.wallclock import Timing

__all__ = [
    "ADVERSARIES",
    "AGGREGATIONS",
    "ENERGIES",
    "SPEEDS",
    "Adversary",
    "Aggregation",
    "Conditions",
    "Energy",
    "Links",
    "Meter",
    "Metering",
    "Round",
    "Speeds",
    "Timing",
    "Traffic",
    "adversaries",
    "aggregation",
    "both",
    "chosen",
    "energy",
    "privacy",
    "schedule",
    "speeds",
    "surely",
]
