"""The network of a run in rounds: faults, adversaries, robust aggregation, traffic, machine speeds and privacy.

Every builder raises ArgumentTypeError for arguments that are missing, unknown or, mostly, of the wrong type, and
InputError, its base class, for numbers that are NaN, infinite or not whole where they must be; bounds are under its
``Raises``.
"""

from jaxgossip import schedule  # jg.network.schedule is the former name of jg.schedule
from jaxgossip.network import adversaries, aggregation, privacy, speeds
from jaxgossip.network.adversaries import ADVERSARIES, Adversary
from jaxgossip.network.aggregation import AGGREGATIONS, Aggregation
from jaxgossip.network.conditions import Conditions, surely
from jaxgossip.network.round import Links, Round, chosen
from jaxgossip.network.speeds import SPEEDS, Speeds
from jaxgossip.network.traffic import Traffic
from jaxgossip.network.wallclock import Timing

__all__ = [
    "ADVERSARIES",
    "AGGREGATIONS",
    "SPEEDS",
    "Adversary",
    "Aggregation",
    "Conditions",
    "Links",
    "Round",
    "Speeds",
    "Timing",
    "Traffic",
    "adversaries",
    "aggregation",
    "chosen",
    "privacy",
    "schedule",
    "speeds",
    "surely",
]
