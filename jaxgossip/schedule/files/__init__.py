"""Files of a schedule: messages, and who was online when; read and written."""

from jaxgossip.schedule.files.messages import Recorded as Recorded
from jaxgossip.schedule.files.messages import check as check
from jaxgossip.schedule.files.messages import read as read
from jaxgossip.schedule.files.messages import save as save
