"""Contacts of nodes that meet: read from traces, or made by nodes that move."""

from jaxgossip.core.registry import Registry
from jaxgossip.schedule.contacts.contacts import Contacts as Contacts
from jaxgossip.schedule.contacts.files import Trace as Trace
from jaxgossip.schedule.contacts.files import from_file as from_file
from jaxgossip.schedule.contacts.files import read as read
from jaxgossip.schedule.contacts.files import save as save
from jaxgossip.schedule.contacts.paths import Reachability as Reachability
from jaxgossip.schedule.contacts.paths import reachability as reachability
from jaxgossip.schedule.contacts.satellites import satellites as satellites
from jaxgossip.schedule.contacts.sources import ContactSource as ContactSource
from jaxgossip.schedule.contacts.sources import moving as moving
from jaxgossip.schedule.contacts.sources import recorded as recorded
from jaxgossip.schedule.contacts.walks import manhattan as manhattan
from jaxgossip.schedule.contacts.walks import random_direction as random_direction
from jaxgossip.schedule.contacts.walks import random_waypoint as random_waypoint

MOVEMENTS = Registry("movement", [random_waypoint, random_direction, manhattan, satellites])
"""Movements by name."""

CONTACTS = Registry("contacts", {"from_file": from_file, **MOVEMENTS})
"""Contacts by name: of a file, or of a movement."""
