"""LT-ADMM: ADMM over links with local training, X (n, p), Z (m, p) on directed links, d_i neighbours, G stochastic gradients:

    Φ ← Φ − η G(Φ) − β (ρ d_i x_i − Σ_j z_ij), H times from Φ = X;   X⁺ = Φ
    z_ij⁺ = (1 − α) z_ij − α (z_ji − 2 ρ x_j⁺),   z_ij = ρ x_i at first             z_ji − 2 ρ x_j⁺ is what j sends to i

With variance reduction (LT-ADMM-VR), Z_i a table of the last gradient of every sample of a node, ξ a minibatch,

    G(Φ) = mean over ξ of (∇f(Φ; ξ) − Z(ξ)) + mean Z,  then Z(ξ) ← ∇f(Φ; ξ)

where Z is renewed, to ∇f(X; ·) of all samples when a round begins, or kept from round to round. It ends at the optimum, where
stochastic gradients leave a floor.

Ren, Bastianello, Johansson and Parisini 2024, "Distributed learning by local training ADMM", algorithm 1; 2025,
"Communication-efficient stochastic distributed learning". With z_ij = ρ x_i the first local steps are plain ones.
"""

from typing import Any, Literal, NamedTuple, override

import jax.numpy as jnp

from jaxgossip.algorithms.arguments import algorithm, check_positive
from jaxgossip.algorithms.base import Algorithm, Method, TrainState, check_share, displacement, fixed_operator, start
from jaxgossip.algorithms.exact.finite_sums import (
    all_gradients,
    check_single_samples,
    most_samples,
    saga_displacement,
)
from jaxgossip.algorithms.exact.on_links import LinkVariables, OnLinks
from jaxgossip.algorithms.local_steps import Steps, batches_of, chosen_steps
from jaxgossip.algorithms.model_state import with_state_of
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, PyTree, Rows, widened
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem
from jaxgossip.mixing import Mixing
from jaxgossip.network import Round, Traffic


class LTState(NamedTuple):
    """State of LT-ADMM.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node.
        z: (m, q) z_ij in the shared columns of each directed link.
        of_samples: the table of gradients of samples, if it is kept; otherwise empty.
    """

    x: Rows
    opt_state: PyTree
    z: OnLinks
    of_samples: PyTree = ()


class LTADMM(Method):
    """See :func:`lt_admm`.

    Attributes:
        most: number of training samples of the node that has most, if there is a table; otherwise 0.
    """

    not_on_meshes = "its state is of links, which are not spread over devices"

    optimizer: Transformation
    local_steps: Steps
    correction: float
    penalty: float
    relaxation: float
    variables: LinkVariables
    variance_reduction: Literal["none", "renewed", "kept"]
    most: int

    @override
    def init(self, problem: Problem, key: PRNGKey) -> LTState:
        initial = start(problem, self.optimizer, key)
        shared = widened(initial.x)[:, : problem.n_shared]
        kept = self.variance_reduction == "kept"
        of_samples = all_gradients(problem, initial.x, key, self.most) if kept else ()
        return LTState(*initial, self.variables.of_receivers(self.penalty * shared), of_samples)

    @override
    def step(self, problem: Problem, W: Mixing, state: LTState, round_: Round) -> tuple[LTState, Traffic]:
        links, before = round_.links(W, problem.n_shared), TrainState(state.x, state.opt_state)
        links.check_plain("lt_admm")
        x = widened(state.x)
        shared = jnp.arange(x.shape[1]) < problem.n_shared
        own = jnp.where(shared, self.penalty * self.variables.degrees.astype(x.dtype), 0) * x
        drift = with_state_of(problem, self.correction * (self.variables.summed(state.z, x) - own), 0.0)
        u, opt_state, of_samples = self._local(problem, state, round_, drift)
        half = materialize(x + u)
        # Batch statistics travel as they are, in the place of z − 2ρx, and are mixed by the weights of W.
        new = TrainState(with_state_of(problem, half, links.mix(half)), opt_state)
        after = round_.keep_offline(new, before)
        z = self.variables.exchanged(state.z, after.x, links, self.penalty, self.relaxation)
        return LTState(after.x, after.opt_state, z, of_samples), links.sent(state.x)

    def _local(self, problem: Any, state: LTState, round_: Round, drift: Rows) -> tuple[Rows, PyTree, PyTree]:
        """Return (Φ − X, optimizer states, table), the table as it is kept."""
        before, steps = TrainState(state.x, state.opt_state), self.local_steps
        if self.variance_reduction == "none":
            return *displacement(problem, self.optimizer, before, round_, steps, drift=drift), ()
        if kept := self.variance_reduction == "kept":
            table = state.of_samples
        else:
            draw = batches_of(problem, round_, steps).draw(problem, 0)
            table = all_gradients(problem, widened(state.x), draw, self.most)
        u, opt_state, table = saga_displacement(problem, self.optimizer, before, round_, steps, table, drift)
        return u, opt_state, table if kept else ()


@algorithm
def lt_admm(
    problem: Problem,
    optimizer: Transformation,
    W: Mixing,
    *,
    correction: float = 0.05,
    penalty: float = 0.5,
    relaxation: float = 0.5,
    local_steps: int | None = None,
    local_epochs: int | None = None,
    variance_reduction: Literal["none", "renewed", "kept"] = "none",
) -> Algorithm:
    """Run LT-ADMM: local steps that variables on the links pull together; no bias with heterogeneous data.

    Args:
        problem: the learning problem.
        optimizer: any optax transformation, for the local steps; the theory assumes a constant step size.
        W: symmetric mixing, the same in every round, of which only the links matter; its weights mix batch statistics.
        correction: β, the step along the pull in each local step; β ρ d_i H must be below 2.
        penalty: ρ, of each link.
        relaxation: α.
        local_steps: H, optimizer steps per node and round; 4 if neither this nor ``local_epochs`` is given.
        local_epochs: in its place, passes of every node through its own samples in a round, with ``sampling="epochs"``; a node
            with fewer minibatches than others takes fewer steps, and waits.
        variance_reduction: whether the gradients of minibatches are corrected by a table of the last gradient of every sample:
            "renewed" computes all of it when a round begins, so that the first step has no noise, and virtual clocks count such
            a round like others; "kept" goes on with it from round to round, (n, m, p) numbers if m is the largest number of
            samples of a node.

    Raises:
        InputError: ``correction`` or ``penalty`` is not positive, ``relaxation`` is outside (0, 1], the local steps or epochs
            cannot be taken (:func:`.chosen_steps`), W is time-varying or not symmetric, or there is a table and the problem has
            no samples, private gradients or models with batch statistics; in the first round, if the network has noise, liars
            or an aggregation.
    """
    check_positive("lt_admm", correction=correction, penalty=penalty)
    check_share("lt_admm", relaxation=relaxation)
    steps = chosen_steps("lt_admm", problem, local_steps, local_epochs, default=4)
    reduced = variance_reduction != "none"
    if reduced:
        check_single_samples("lt_admm", problem, instead="variance_reduction = 'none'")
    most = most_samples(problem) if reduced else 0
    variables = LinkVariables(fixed_operator("lt_admm", W).to_scipy())
    method = LTADMM(optimizer, steps, correction, penalty, relaxation, variables, variance_reduction, most)
    return Algorithm(method, problem, W, name="LT-ADMM-VR" if reduced else "LT-ADMM")
