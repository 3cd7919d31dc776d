"""Files of schedules: messages, and traces of who was online when."""

from jaxgossip.schedule.files.messages import Recorded as Recorded
from jaxgossip.schedule.files.messages import check as check
from jaxgossip.schedule.files.messages import read as read
from jaxgossip.schedule.files.messages import save as save
