"""Epidemic learning: a local step, then mixing on a new random graph each round, X (n, p):

    X½ = X − η G(X),   X⁺ = W_t X½

    oracle   W_t averages over a fresh s-regular graph:            a round leaves β = (1 − s/(n−1))/(s + 1) of E‖X − X̄‖²
    local    each node sends to s random others and averages with what arrives:     β = (1 − (1 − s/(n−1))ⁿ)/s − 1/(n−1)

The local form needs no coordination, but its mean drifts; both mix better than any fixed graph of degree s.

De Vos, Farhadkhani, Guerraoui, Kermarrec, Pires and Sharma 2023, "Epidemic learning: boosting decentralized learning with
randomized communication", algorithms 1 and 2.
"""

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm
from jaxgossip.algorithms.local_steps import chosen_steps
from jaxgossip.algorithms.sgd.dsgd import DSGD
from jaxgossip.core.errors import InputError
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.mixing.time_varying.fresh import FreshRegular
from jaxgossip.mixing.time_varying.peers import RandomPush


@algorithm
def epidemic(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run epidemic learning: D-SGD with new random peers each round.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each node separately.
        W: ``push`` on the complete graph (the local form), or ``fresh_regular`` (the oracle form).
        local_steps: optimizer steps per node and round; 1 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: the local steps or epochs cannot be taken (:func:`.chosen_steps`), or W is neither.
    """
    steps = chosen_steps("epidemic", problem, local_steps, local_epochs)
    if not isinstance(W, FreshRegular | RandomPush):
        raise InputError(
            "epidemic learning needs peers that are new in every round",
            hint="mixing.kind = 'push' (local) or 'fresh_regular' (oracle)",
        )
    form = "oracle" if isinstance(W, FreshRegular) else "local"

    return Algorithm(DSGD(optimizer, "atc", steps), problem, W, name=f"epidemic learning ({form})")
