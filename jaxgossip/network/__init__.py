"""Message conditions: what arrives, who takes part, what it costs."""

from jaxgossip.network.conditions import Conditions as Conditions
from jaxgossip.network.round import Links as Links
from jaxgossip.network.round import Round as Round
from jaxgossip.network.traffic import Traffic as Traffic
