"""``jaxgossip schema``."""

import json

from jaxgossip.cli.terminal.output import loading, say


def schema() -> None:
    """Print the JSON schema of configurations, for editors."""
    loading()
    from jaxgossip.experiment.config.load import json_schema

    say(json.dumps(json_schema(), indent=2))
