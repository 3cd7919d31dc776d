"""Schedules of asynchronous networks: who sends to whom and when, drawn on the host before any model is computed.

Every builder raises ArgumentTypeError for arguments that are missing, unknown or, mostly, of the wrong type, and
InputError, its base class, for numbers that are NaN, infinite or not whole where they must be; bounds are under its
``Raises``.
"""

from jaxgossip.schedule import churn as churn
from jaxgossip.schedule import clocks as clocks
from jaxgossip.schedule import contacts as contacts
from jaxgossip.schedule import delays as delays
from jaxgossip.schedule import files as files
from jaxgossip.schedule import peers as peers
from jaxgossip.schedule import tokens as tokens
from jaxgossip.schedule.churn import CHURNS as CHURNS
from jaxgossip.schedule.churn import Churn as Churn
from jaxgossip.schedule.clocks import CLOCKS as CLOCKS
from jaxgossip.schedule.clocks import Clock as Clock
from jaxgossip.schedule.contacts import CONTACTS as CONTACTS
from jaxgossip.schedule.contacts import MOVEMENTS as MOVEMENTS
from jaxgossip.schedule.contacts import Contacts as Contacts
from jaxgossip.schedule.contacts import ContactSource as ContactSource
from jaxgossip.schedule.delays import DELAYS as DELAYS
from jaxgossip.schedule.delays import Delay as Delay
from jaxgossip.schedule.exchanges import EXCHANGES as EXCHANGES
from jaxgossip.schedule.messages import Fate as Fate
from jaxgossip.schedule.messages import Kind as Kind
from jaxgossip.schedule.messages import Messages as Messages
from jaxgossip.schedule.peers import PEERS as PEERS
from jaxgossip.schedule.peers import Peers as Peers
from jaxgossip.schedule.schedule import ANSWERED as ANSWERED
from jaxgossip.schedule.schedule import Schedule as Schedule
from jaxgossip.schedule.schedule import Source as Source
from jaxgossip.schedule.schedule import schedule as schedule
from jaxgossip.schedule.tokens import TOKEN_ACCOUNTS as TOKEN_ACCOUNTS
from jaxgossip.schedule.tokens import TokenAccount as TokenAccount
