"""What an asynchronous network does, drawn on the host before any model is touched: who sends to whom, and when."""

from jaxgossip.network.schedule import files as files
from jaxgossip.network.schedule.churn import CHURNS as CHURNS
from jaxgossip.network.schedule.churn import Churn as Churn
from jaxgossip.network.schedule.clocks import CLOCKS as CLOCKS
from jaxgossip.network.schedule.clocks import Clock as Clock
from jaxgossip.network.schedule.delays import DELAYS as DELAYS
from jaxgossip.network.schedule.delays import Delay as Delay
from jaxgossip.network.schedule.exchanges import EXCHANGES as EXCHANGES
from jaxgossip.network.schedule.messages import Fate as Fate
from jaxgossip.network.schedule.messages import Kind as Kind
from jaxgossip.network.schedule.messages import Messages as Messages
from jaxgossip.network.schedule.peers import PEERS as PEERS
from jaxgossip.network.schedule.peers import Peers as Peers
from jaxgossip.network.schedule.schedule import ANSWERED as ANSWERED
from jaxgossip.network.schedule.schedule import Schedule as Schedule
from jaxgossip.network.schedule.schedule import Source as Source
from jaxgossip.network.schedule.schedule import schedule as schedule
from jaxgossip.network.schedule.tokens import TOKEN_ACCOUNTS as TOKEN_ACCOUNTS
from jaxgossip.network.schedule.tokens import TokenAccount as TokenAccount
