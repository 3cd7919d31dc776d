"""``python -m jaxgossip`` is the command line."""

from jaxgossip.cli.start import start

start()
