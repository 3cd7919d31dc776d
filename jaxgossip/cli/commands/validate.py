"""``jaxgossip validate``."""

from jaxgossip.cli.options import ConfigFile, Overrides, Picture
from jaxgossip.cli.terminal.output import loading


def validate(config: ConfigFile, overrides: Overrides = None, plot: Picture = None) -> None:
    """Check a configuration, build everything that it names, and tell how samples fall on nodes."""
    loading()
    from jaxgossip.cli.terminal.variants import validate as validate_variants

    validate_variants(config, overrides or [], plot)
