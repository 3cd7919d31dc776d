"""How wide the starts of nodes are drawn, by ``learning.init_gain`` and the mixing."""

from jaxgossip.experiment.build.builders import errors_of
from jaxgossip.experiment.config.learning import Learning
from jaxgossip.learning import Problem, with_init_gain
from jaxgossip.mixing import Mixing, centrality_gain


def init_gain(learning: Learning, W: Mixing | None) -> float:
    """Return by what the starts that nodes draw are multiplied.

    Raises:
        InputError: it is to follow from the mixing, and does not.
    """
    gain = learning.init_gain
    if not isinstance(gain, str):
        return float(gain)
    assert W is not None
    with errors_of("learning.init_gain", gain):
        return centrality_gain(W)


def gained(problem: Problem, gain: float) -> Problem:
    """Return the problem with starts multiplied by ``gain``.

    Raises:
        InputError: it does not draw its starts.
    """
    with errors_of("learning.init_gain", ""):
        return with_init_gain(problem, gain)
