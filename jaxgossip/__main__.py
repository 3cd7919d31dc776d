"""``python -m jaxgossip`` is the command line."""

from jaxgossip.cli.main import main

main()
