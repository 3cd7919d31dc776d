"""Algorithms: a method of pure functions on an explicit state, with the problem and the mixing that it runs on."""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxgossip.algorithms.arguments import with_layerwise
from jaxgossip.algorithms.local_steps import Batches, Steps, batches_of
from jaxgossip.algorithms.model_state import forgetful, with_state_of
from jaxgossip.core.arguments import shown
from jaxgossip.core.devices.blocks import own, row_numbers
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.pytree import Pytree, Record
from jaxgossip.core.random import purpose_key
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import NodeInts, NodeMask, PRNGKey, PyTree, Rows, narrowed, rounded, widened
from jaxgossip.core.units import rows_text
from jaxgossip.learning.nodewise import fresh_states, updates
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.optimizers.counts import at_round
from jaxgossip.learning.problem import Problem, start_steps_of
from jaxgossip.mixing import Mixing, Operator
from jaxgossip.mixing.time_varying.fragmented import Fragmented, VirtualNodes
from jaxgossip.network import Round, Traffic, chosen

SYMMETRY = 1e-6
"""Largest asymmetry of the float32 weights of a symmetric W."""


class Method(Record):
    """The rounds of a decentralised method as pure functions, independent of the problem and the mixing.

    A subclass declares its numbers, optimizers and arrays as fields, and implements :meth:`init` and :meth:`step`. Fields
    that are device arrays become arguments of the compiled program; all others are constants of it.

    >>> class Diffusion(Method):
    ...     rate: float
    ...     def init(self, problem, key):
    ...         return problem.init(key)
    ...     def step(self, problem, W, x, round_):
    ...         links = round_.links(W, problem.n_shared)
    ...         x_new = links.mix(x - self.rate * problem.gradient(x, round_.key("batch")))
    ...         return round_.keep_offline(x_new, x), links.sent(x)
    ...     def models(self, x):
    ...         return x
    >>> algorithm = Algorithm(Diffusion(0.1), problem, W)
    """

    takes_steps: ClassVar[bool] = True
    """Whether an optimizer has an effect beyond the start steps of a problem."""
    memory: ClassVar[tuple[str, ...]] = ()
    """Fields (n, p) of the state that add up gradients or displacements; batch statistics have no part in them."""
    counts: ClassVar[tuple[str, ...]] = ("steps", "rounds")
    """What learning rates can be functions of: "age" only where models have ages, "steps" only where optimizers last."""

    not_on_meshes: ClassVar[str] = ""
    """Why the method cannot be spread over devices; empty if it can."""

    @abc.abstractmethod
    def init(self, problem: Problem, key: PRNGKey) -> PyTree:
        """Return the initial state, a pytree whose per-node leaves have the node axis first."""

    @abc.abstractmethod
    def step(self, problem: Problem, W: Any, state: Any, round_: Round) -> tuple[PyTree, Traffic]:
        """Return (state, traffic) after one round.

        Randomness comes from ``round_.key(purpose)`` and mixing from ``round_.links(W, problem.n_shared)``; nothing else
        varies between rounds. For models of 16 bits the returned leaves may be float32: they are rounded once, at the end
        of the round.
        """

    def models(self, state: Any) -> Rows:
        """Return the models to evaluate, (n, p), or (1, p) if all nodes share one model."""
        return state.x

    def trains(self, problem: Problem, state: Any, round_: Round) -> NodeMask | None:
        """Return (n,) bool, which nodes do local work in this round, whatever befalls them; None if all do.

        Virtual time counts the work of no others.
        """
        del problem, state, round_

    def work(self, problem: Problem, steps: Steps) -> Steps:
        """Return all steps of a round in which nodes take so many local ``steps``: its time and its privacy are theirs."""
        del problem
        return steps

    def trainings(self, rounds: int) -> int:
        """Return in how many of the first ``rounds`` a node does local work, at most; the privacy of a run is theirs."""
        return rounds


class Algorithm(Pytree):
    """A method with the problem and the mixing that it runs on.

    Args:
        method: the method.
        problem: the learning problem.
        W: the mixing of models; None if they are not mixed.
        name: name in reports; the class name of the method by default.
        mixings: number of times that a round mixes rows as wide as a model, its cost besides gradients. If 0, noise,
            liars and aggregations have nothing to act on.

    Raises:
        ArgumentTypeError: ``method`` is not a Method, such as the functions of the first release.
    """

    method: Method
    problem: Problem
    W: Mixing | None
    name: str
    mixings: int

    def __init__(
        self,
        method: Method,
        problem: Problem,
        W: Mixing | None = None,
        *,
        name: str = "",
        mixings: int = 1,
        **former: Any,
    ) -> None:
        if not isinstance(method, Method) or former:
            raise ArgumentTypeError(
                f"Algorithm takes a method, its problem and its mixing, not {shown(method)}",
                hint="class Mine(jg.algorithms.Method) with init(self, problem, key) and step(self, problem, W, state, "
                "round_), then Algorithm(Mine(), problem, W)",
            )
        self.name, self.mixings = name or type(method).__name__, mixings
        self.method, self.problem, self.W = with_layerwise(method, problem, self.name), problem, W

    def __repr__(self) -> str:
        problem, over = self.problem, "" if self.W is None else f" over {self.W!r}"
        return f"Algorithm({self.name} on {rows_text(problem.n_nodes, problem.n_params)}{over})"

    def init(self, key: PRNGKey) -> PyTree:
        """Return the initial state."""
        return self.method.init(self.problem, key)

    def step(self, state: PyTree, round_: Round) -> tuple[PyTree, Traffic]:
        """Return (state, traffic) after one round."""
        dtype = np.dtype(self.problem.dtype)
        round_ = round_ if round_.dtype == dtype else dataclasses.replace(round_, dtype=dtype)
        after, traffic = self.method.step(self.problem, self.W, at_round(state, round_.number), round_)
        return narrowed(forgetful(self.problem, after, self.method.memory), state), traffic

    def trains(self, state: PyTree, round_: Round) -> NodeMask | None:
        """Return (n,) bool, which nodes do local work in this round, whatever befalls them; None if all do."""
        return self.method.trains(self.problem, state, round_)

    def models(self, state: PyTree) -> Rows:
        """Return the models to evaluate, (n, p), or (1, p) if all nodes share one model."""
        return models_of(self.method, self.problem, state)


def models_of(method: Any, problem: Problem, state: PyTree) -> Rows:
    """Return the models of ``state``, in the dtype of the problem."""
    return rounded(method.models(state), problem.dtype)


class TrainState(NamedTuple):
    """State of local training.

    Attributes:
        x: (n, p) models.
        opt_state: optimizer state of each node; every leaf has the node axis first.
    """

    x: Rows
    opt_state: PyTree


def start(problem: Problem, optimizer: Transformation, key: PRNGKey) -> TrainState:
    """Return the initial models and optimizer states, after the start steps of the problem.

    Every node takes its start steps from its own initial model before the first exchange, regardless of nodes being offline
    or slow. Step s draws its minibatch with ``fold_in(purpose_key(key, "start batch"), s)``.
    """
    initial = with_optimizer(problem.init(key), optimizer, nodes_of(problem), key)
    steps = start_steps_of(problem)
    batches = Batches(purpose_key(key, "start batch"), key, 0, steps)
    return _stepped(problem, optimizer, initial, batches) if steps else initial


def start_models(problem: Problem, optimizer: Transformation | None, key: PRNGKey) -> Rows:
    """Return the models (n, p) of :func:`start`, for methods without gradients; without an optimizer, the initial models."""
    if optimizer is None or not start_steps_of(problem):
        return problem.init(key)
    return start(problem, optimizer, key).x


def with_optimizer(
    x: Rows, optimizer: Transformation, nodes: NodeInts | None = None, key: PRNGKey | None = None
) -> TrainState:
    """Return the models x with new optimizer states, in float32 if the models are 16-bit.

    Args:
        x: (n, p) models.
        optimizer: any optax transformation.
        nodes: (n,) int32, the node of each row, which keys the draws of a random optimizer; None if rows are not nodes.
        key: key of the run, or of the round that renews the states, which also keys these draws; None leaves it out.
    """
    return TrainState(x, fresh_states(optimizer, widened(x), nodes, key))


def nodes_of(problem: Problem) -> NodeInts:
    """Return (n,) int32, the node of each row."""
    return row_numbers(problem.n_nodes) if problem.order is None else own(problem.order.nodes)


def descend(
    problem: Problem,
    optimizer: Transformation,
    state: TrainState,
    round_: Round,
    n_steps: Steps = 1,
    *,
    slope: Callable[[Rows], Rows] | None = None,
    drift: Rows | None = None,
    before: NodeInts | None = None,
) -> TrainState:
    """Return the state after ``n_steps`` of X ← X + update(G(X; ξ)) on each node; stragglers keep their state.

    Models of 16 bits take their steps in float32 and are rounded once, at the end.

    Args:
        problem: provides the gradients G.
        optimizer: any optax transformation, vmapped over nodes, so that clipping, for example, acts on each separately.
        state: models and optimizer states.
        round_: provides the stragglers, and the key "batch" of the minibatches: step s uses ``fold_in(key, s)``.
        n_steps: τ, number of local steps; or epochs, after which a node that has fewer minibatches waits for the others.
        slope: X (n, p) -> (n, p), added to every gradient, but to no change of batch statistics.
        drift: (n, p), added to the models after every step.
        before: (n,) number of rounds in which each node has taken as many steps; None for all rounds.
    """
    after = _stepped(problem, optimizer, state, batches_of(problem, round_, n_steps, before), slope, drift)
    return chosen(round_.works, after, state)


def _stepped(
    problem: Problem,
    optimizer: Transformation,
    state: TrainState,
    batches: Batches,
    slope: Callable[[Rows], Rows] | None = None,
    drift: Rows | None = None,
) -> TrainState:
    """Return the state after one step with each of the minibatches; nodes without a further one keep theirs."""

    def step(number: Any, state: TrainState) -> TrainState:
        gradient = problem.gradient(state.x, batches.draw(problem, number))
        if slope is not None:
            gradient = gradient + with_state_of(problem, slope(state.x), 0)
        after = apply(optimizer, gradient, state)
        after = after if drift is None else after._replace(x=after.x + drift)
        return chosen(batches.takes(number), after, state)

    return repeated(step, state, batches.most)


def repeated(step: Callable[[Any, TrainState], TrainState], state: TrainState, n_steps: int | Array) -> TrainState:
    """Return the state after ``step(0, ·)`` to ``step(n_steps − 1, ·)``, in float32 for 16-bit models, rounded at the end."""
    # A gradient reads its model twice; without this, the computation of the model, with its gather, would be repeated.
    wide = state._replace(x=widened(materialize(state.x)))
    done = step(0, wide) if isinstance(n_steps, int) and n_steps == 1 else jax.lax.fori_loop(0, n_steps, step, wide)
    return done._replace(x=narrowed(done.x, state.x))


def displacement(
    problem: Problem,
    optimizer: Transformation,
    state: TrainState,
    round_: Round,
    n_steps: Steps = 1,
    *,
    drift: Rows | None = None,
) -> tuple[Rows, PyTree]:
    """Return (U, optimizer states): the displacement (n, p) of the models by ``n_steps`` local steps; for SGD, U = −η G.

    Methods that modify the gradient step use U where their papers have −η G, and so work with any optimizer. The arguments
    are those of :func:`descend`; for models of 16 bits, U is float32.
    """
    wide = state._replace(x=widened(state.x))
    after = descend(problem, optimizer, wide, round_, n_steps, drift=drift)
    return after.x - wide.x, after.opt_state


def fresh_gradient(problem: Problem, x: Rows, round_: Round, last: Rows) -> Rows:
    """Return G(X; ξ), (n, p), in the dtype of the ``last`` gradient, which stragglers keep."""
    draw = batches_of(problem, round_, 1).draw(problem, 0)
    return materialize(chosen(round_.works, narrowed(problem.gradient(materialize(x), draw), last), last))


def step_along(
    optimizer: Transformation, direction: Rows, x: Rows, opt_state: PyTree, round_: Round
) -> tuple[Rows, PyTree]:
    """Return (U, optimizer states): the displacement (n, p) by one step with ``direction`` (n, p) as the gradient."""
    wide = widened(x)
    moved = updates(optimizer, widened(direction), opt_state, wide)
    return chosen(round_.works, moved, (jnp.zeros_like(wide), opt_state))


def apply(optimizer: Transformation, gradient: Rows, state: TrainState) -> TrainState:
    """Return the state after one optimizer step of each node with ``gradient`` (n, p)."""
    x = widened(state.x)
    step, opt_state = updates(optimizer, widened(gradient), state.opt_state, x)
    return TrainState(narrowed(jnp.asarray(optax.apply_updates(x, step)), state.x), opt_state)


def check_no_start_steps(name: str, problem: Problem, why: str) -> None:
    """Check that the problem has no start steps, for methods that cannot use them.

    Raises:
        InputError: it has.
    """
    if steps := start_steps_of(problem):
        raise InputError(
            f"{name} takes no start steps, and the problem has {steps}: {why}",
            hint="learning.start_steps = 0, or started(problem, 0)",
        )


def check_share(what: str, **values: float) -> None:
    """Check that ``values``, given by name, are above 0 and at most 1.

    Args:
        what: the function whose arguments they are, as named in messages.
        values: the arguments.

    Raises:
        InputError: one of them is not.
    """
    for name, value in values.items():
        if not 0 < value <= 1:
            raise InputError(f"{what}: {name} must be above 0 and at most 1, not {value}")


def check_rate(what: str, **values: float | Callable[[Any], Any]) -> None:
    """Check that ``values``, given by name, are positive numbers or functions of the round.

    Args:
        what: the function whose arguments they are, as named in messages.
        values: the arguments.

    Raises:
        InputError: one of them is not.
    """
    for name, value in values.items():
        if not callable(value) and not (isinstance(value, int | float) and 0 < value < math.inf):
            raise InputError(f"{what}: {name} must be a positive number or a function of the round, not {value!r}")


def check_mass(name: str, W: Mixing) -> None:
    """Check that W conserves mass, as required by push-sum methods, which divide by the mixed weights.

    Raises:
        InputError: it does not.
    """
    if W.conserves != "mass":
        raise InputError(f"{name} needs mixing that keeps mass", hint="mixing.kind = 'push_sum'")


def check_agreement(name: str, W: Mixing) -> None:
    """Check that the rows of W sum to one, unlike those of push-sum mixing.

    Raises:
        InputError: they do not.
    """
    if W.conserves != "agreement":
        raise InputError(
            f"{name} needs weights whose rows sum to one, not push-sum mixing",
            hint="mixing.kind = 'static', or algorithm.kind = 'sgp'",
        )


def fixed_operator(name: str, W: Mixing, *, symmetric: bool = True) -> Operator:
    """Return W if it is the same in every round and, if required, symmetric.

    Raises:
        InputError: it is time-varying, push-sum mixing, or not symmetric.
    """
    check_agreement(name, W)
    if not isinstance(W, Operator):
        apart = " and for all columns" if isinstance(W, Fragmented | VirtualNodes) else ""
        raise InputError(f"{name} needs the same weights in every round{apart}", hint="mixing.kind = 'static'")
    if symmetric:
        matrix = W.to_scipy()
        if abs(matrix - matrix.T).max() > SYMMETRY:
            raise InputError(f"{name} needs symmetric weights", hint="weights = 'metropolis_hastings'")
    return W
