"""Message conditions: what arrives, who takes part, who lies, what it costs, how long it takes."""

from jaxgossip import schedule as schedule
from jaxgossip.network import adversaries as adversaries
from jaxgossip.network import aggregation as aggregation
from jaxgossip.network import privacy as privacy
from jaxgossip.network import speeds as speeds
from jaxgossip.network.adversaries import ADVERSARIES as ADVERSARIES
from jaxgossip.network.adversaries import Adversary as Adversary
from jaxgossip.network.aggregation import AGGREGATIONS as AGGREGATIONS
from jaxgossip.network.aggregation import Aggregation as Aggregation
from jaxgossip.network.conditions import Conditions as Conditions
from jaxgossip.network.conditions import surely as surely
from jaxgossip.network.round import Links as Links
from jaxgossip.network.round import Round as Round
from jaxgossip.network.round import chosen as chosen
from jaxgossip.network.speeds import SPEEDS as SPEEDS
from jaxgossip.network.speeds import Speeds as Speeds
from jaxgossip.network.traffic import Traffic as Traffic
from jaxgossip.network.wallclock import Timing as Timing
