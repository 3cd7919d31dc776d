"""Ditto over gossip: global models X (n, p) by D-SGD, and beside each a personal model V (n, p) pulled towards it:

    X⁺ as of D-SGD;   V⁺ = V − η (G(V) + λ (V − X))   in each local step, X as before the round

The personal models send nothing and never touch the global ones, which are those of D-SGD bit for bit. Both take the same
minibatches. On f_i = (a/2)(x − b_i)² the personal models end at (a b_i + λ x_i)/(a + λ): λ = 0 is local training, and a large
λ gives the global models.

Li, Hu, Beirami and Smith 2021, "Ditto: Fair and robust federated learning through personalization", algorithm 1, in which a
server holds one global model; here it is each node's own.
"""

from typing import Literal, NamedTuple, override

from jaxgossip.algorithms.arguments import algorithm
from jaxgossip.algorithms.base import Algorithm, TrainState, check_agreement, descend
from jaxgossip.algorithms.local_steps import chosen_steps
from jaxgossip.algorithms.sgd.dsgd import DSGD
from jaxgossip.core.errors import InputError
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class DittoState(NamedTuple):
    """State of Ditto.

    Attributes:
        x: (n, p) global models, one at each node.
        opt_state: optimizer state of the global model of each node.
        v: (n, p) personal models.
        personal_state: optimizer state of the personal model of each node.
    """

    x: Rows
    opt_state: PyTree
    v: Rows
    personal_state: PyTree


class Ditto(DSGD):
    """See :func:`ditto`."""

    pull: float
    evaluated: Literal["personal", "global"]

    @override
    def init(self, problem: Problem, key: PRNGKey) -> DittoState:  # pyright: ignore[reportIncompatibleMethodOverride]
        initial = super().init(problem, key)
        return DittoState(*initial, *initial)

    @override
    def step(self, problem: Problem, W: Mixing, state: DittoState, round_: Round) -> tuple[DittoState, Traffic]:  # pyright: ignore[reportIncompatibleMethodOverride]
        trained, traffic = super().step(problem, W, TrainState(state.x, state.opt_state), round_)
        own, anchor = TrainState(state.v, state.personal_state), widened(state.x)
        personal = descend(
            problem, self.optimizer, own, round_, self.local_steps, slope=lambda v: self.pull * (v - anchor)
        )
        return DittoState(*trained, *round_.keep_offline(personal, own)), traffic

    @override
    def models(self, state: DittoState) -> Rows:
        return state.v if self.evaluated == "personal" else state.x


@algorithm
def ditto(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    pull: float = 0.1,
    evaluated: Literal["personal", "global"] = "personal",
    form: Literal["atc", "cta", "dgd"] = "atc",
    local_steps: int | None = None,
    local_epochs: int | None = None,
) -> Algorithm:
    """Run Ditto over gossip: D-SGD, and at every node a personal model that is pulled towards the node's global one.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, applied to each model separately; each has a state of its own.
        W: mixing of the global models, fixed or time-varying.
        pull: λ; 0 trains the personal models alone.
        evaluated: which models are evaluated and returned: the "personal" ones, or the "global" ones.
        form: order of the steps of the global models, see :func:`.dsgd`.
        local_steps: optimizer steps per model and round, which virtual clocks count once; 1 if neither this nor
            ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.

    Raises:
        InputError: ``pull`` is negative, the local steps or epochs cannot be taken (:func:`.chosen_steps`), or W is push-sum
            mixing.
    """
    steps = chosen_steps("ditto", problem, local_steps, local_epochs)
    if pull < 0:
        raise InputError(f"ditto: pull must be at least 0, not {pull}", hint="pull = 0 trains personal models alone")
    check_agreement("ditto", W)

    return Algorithm(Ditto(optimizer, form, steps, pull, evaluated), problem, W, name="Ditto")
