"""Contacts of nodes that meet: read from traces, or made by nodes that move."""

from types import MappingProxyType

from jaxgossip.core.registry import Registry
from jaxgossip.schedule.contacts.contacts import Contacts as Contacts
from jaxgossip.schedule.contacts.satellites import satellites as satellites
from jaxgossip.schedule.contacts.sources import ContactSource as ContactSource
from jaxgossip.schedule.contacts.sources import moving as moving
from jaxgossip.schedule.contacts.sources import recorded as recorded
from jaxgossip.schedule.contacts.walks import manhattan as manhattan
from jaxgossip.schedule.contacts.walks import random_direction as random_direction
from jaxgossip.schedule.contacts.walks import random_waypoint as random_waypoint
