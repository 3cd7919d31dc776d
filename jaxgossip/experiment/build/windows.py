"""Windows of mixing: rounds in which models are mixed over more links than in others."""

from jaxgossip.core.errors import ConfigError
from jaxgossip.core.units import counted
from jaxgossip.experiment.build.builders import errors_of
from jaxgossip.experiment.config.sections import MixingSection
from jaxgossip.mixing import Mixing, windowed


def in_windows(W: Mixing, section: MixingSection, rounds: int) -> Mixing:
    """Return W with the window of its section, if there is one, in a run of so many rounds."""
    window = section.window
    if window is None:
        return W
    with errors_of("mixing", "window"):
        start = window.start if window.start >= 0 else rounds + window.start
        if not 0 <= start < rounds:
            raise ConfigError(
                f"start = {window.start} is no round of {counted(rounds, 'round')}",
                hint=f"from 0 to {rounds - 1}, or from -{rounds} to -1 from the end",
            )
        return windowed(W, start=start, rounds=window.rounds, degree=window.degree)
