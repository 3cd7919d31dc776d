"""``jaxgossip validate``."""

from jaxgossip.cli.options import ConfigFile, Overrides
from jaxgossip.cli.terminal.output import loading


def validate(config: ConfigFile, overrides: Overrides = None) -> None:
    """Check a configuration and build everything that it names."""
    loading()
    from jaxgossip.cli.terminal.variants import validate as validate_variants

    validate_variants(config, overrides or [])
