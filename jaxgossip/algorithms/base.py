"""What an algorithm is: a method, pure functions over an explicit state, on a problem and over a mixing."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgossip.core.arguments import shown
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.pytree import Pytree, Record
from jaxgossip.core.random import purpose_key
from jaxgossip.core.typing import NodeInts, PRNGKey, PyTree, Rows, narrowed, rounded, widened
from jaxgossip.core.units import rows_text
from jaxgossip.learning.nodewise import fresh_states, updates
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.problem import Problem, start_steps_of
from jaxgossip.mixing import Mixing, Operator
from jaxgossip.network import Round, Traffic, chosen

SYMMETRY = 1e-6
"""Weights of a symmetric W, held in float32, agree to this."""


class Method(Record):
    """What one round of a decentralised method is, whatever is learnt and whoever talks to whom: pure functions.

    A subclass names its numbers, optimizers and arrays as fields, and fills in :meth:`init` and :meth:`step`. Device arrays
    among the fields are arguments of the compiled program; anything else is a part of it.

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

    @abc.abstractmethod
    def init(self, problem: Problem, key: PRNGKey) -> PyTree:
        """Return the state before the first round, a pytree whose per-node leaves have the node axis first."""

    @abc.abstractmethod
    def step(self, problem: Problem, W: Any, state: Any, round_: Round) -> tuple[PyTree, Traffic]:
        """Return (state, traffic) after one round.

        Randomness comes from ``round_.key(purpose)``, mixing from ``round_.links(W)``, and nothing else varies. Where
        models have 16 bits, leaves of the state may come back in float32: they are rounded once, when the round is over.
        """

    def models(self, state: Any) -> Rows:
        """Return the models that are evaluated: (n, p), or (1, p) where one model serves all nodes."""
        return state.x


class Algorithm(Pytree):
    """A method on one problem, over one mixing.

    Args:
        method: what a round is.
        problem: what is learnt.
        W: how models meet; None where they do not.
        name: what reports call it; by default that of the method's class.
        mixings: how many times a round mixes rows as wide as a model: what it costs beside its gradients. With 0, noise,
            liars and aggregations have nothing to act on.

    Raises:
        ArgumentTypeError: functions in the place of a method, as the first release took them.
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
        self.method, self.problem, self.W = method, problem, W
        self.name, self.mixings = name or type(method).__name__, mixings

    def __repr__(self) -> str:
        problem, over = self.problem, "" if self.W is None else f" over {self.W!r}"
        return f"Algorithm({self.name} on {rows_text(problem.n_nodes, problem.n_params)}{over})"

    def init(self, key: PRNGKey) -> PyTree:
        """Return the state before the first round."""
        return self.method.init(self.problem, key)

    def step(self, state: PyTree, round_: Round) -> tuple[PyTree, Traffic]:
        """Return (state, traffic) after one round."""
        round_ = dataclasses.replace(round_, dtype=np.dtype(self.problem.dtype))
        after, traffic = self.method.step(self.problem, self.W, state, round_)
        return narrowed(after, state), traffic

    def models(self, state: PyTree) -> Rows:
        """Return (n, p), or (1, p) where one model serves all: the models that are evaluated."""
        return models_of(self.method, self.problem, state)


def models_of(method: Any, problem: Problem, state: PyTree) -> Rows:
    """Return the models that a method has in ``state``, in the problem's dtype."""
    return rounded(method.models(state), problem.dtype)


class TrainState(NamedTuple):
    """The state of plain local training.

    Attributes:
        x: (n, p) models.
        opt_state: the optimizer's state of each node, every leaf with the node axis first.
    """

    x: Rows
    opt_state: PyTree


def start(problem: Problem, optimizer: Transformation, key: PRNGKey) -> TrainState:
    """Return the initial models with an optimizer state a node, both after the problem's start steps.

    Every node takes these from its own initial model, before anything is exchanged, whoever may be offline or slow. Step s
    draws its minibatch with ``fold_in(purpose_key(key, "start batch"), s)``.
    """
    begun = with_optimizer(problem.init(key), optimizer, nodes_of(problem), key)
    steps = start_steps_of(problem)
    return _stepped(problem, optimizer, begun, purpose_key(key, "start batch"), steps) if steps else begun


def start_models(problem: Problem, optimizer: Transformation, key: PRNGKey) -> Rows:
    """Return the models (n, p) of :func:`start`, for methods that take no gradient in a round."""
    return start(problem, optimizer, key).x if start_steps_of(problem) else problem.init(key)


def with_optimizer(
    x: Rows, optimizer: Transformation, nodes: NodeInts | None = None, key: PRNGKey | None = None
) -> TrainState:
    """Return the models x with a fresh optimizer state each, of 32 bits where the models have 16.

    Args:
        x: (n, p) models.
        optimizer: any optax transformation.
        nodes: (n,) the node of each row: what an optimizer draws is a node's own; None: no row is a node's.
        key: of the run, or of the round in which states are made anew: what an optimizer draws is that one's own too.
    """
    return TrainState(x, fresh_states(optimizer, widened(x), nodes, key))


def nodes_of(problem: Problem) -> NodeInts:
    """Return (n,) int32: the node of each row."""
    return jnp.arange(problem.n_nodes, dtype=jnp.int32) if problem.order is None else jnp.asarray(problem.order.nodes)


def descend(
    problem: Problem,
    optimizer: Transformation,
    state: TrainState,
    round_: Round,
    n_steps: int = 1,
    *,
    slope: Callable[[Rows], Rows] | None = None,
    drift: Rows | None = None,
) -> TrainState:
    """Return the state after ``n_steps`` of X ← X + update(G(X; ξ)), each node by itself; stragglers stay as they are.

    Models of 16 bits take their steps in float32 and are rounded once, at the end.

    Args:
        problem: gives G.
        optimizer: any optax transformation; it is vmapped, so that each node is clipped, scaled and decayed alone.
        state: models and optimizer states.
        round_: draws the minibatches, by its key "batch": step s uses ``fold_in(key, s)``; and says who straggles.
        n_steps: local steps τ.
        slope: of X (n, p), (n, p) that is added to every gradient.
        drift: (n, p) that is added to the models after every step.
    """
    after = _stepped(problem, optimizer, state, round_.key("batch"), n_steps, slope, drift)
    return chosen(round_.works, after, state)


def _stepped(
    problem: Problem,
    optimizer: Transformation,
    state: TrainState,
    batch: PRNGKey,
    n_steps: int,
    slope: Callable[[Rows], Rows] | None = None,
    drift: Rows | None = None,
) -> TrainState:
    """Return the state after ``n_steps``, the minibatch of each drawn by ``fold_in(batch, step)``."""

    def step(number: Any, state: TrainState) -> TrainState:
        gradient = problem.gradient(state.x, jax.random.fold_in(batch, number))
        after = apply(optimizer, gradient if slope is None else gradient + slope(state.x), state)
        return after if drift is None else after._replace(x=after.x + drift)

    # A gradient reads its model twice: what made the model would otherwise be computed twice, a gather among it.
    wide = state._replace(x=widened(once(state.x)))
    done = step(0, wide) if n_steps == 1 else jax.lax.fori_loop(0, n_steps, step, wide)
    return done._replace(x=narrowed(done.x, state.x))


def displacement(
    problem: Problem,
    optimizer: Transformation,
    state: TrainState,
    round_: Round,
    n_steps: int = 1,
    *,
    drift: Rows | None = None,
) -> tuple[Rows, PyTree]:
    """Return (U, optimizer states): by what ``n_steps`` local steps would move the models, (n, p); for SGD U = −η G.

    Methods that add something of their own to a step write U where their papers write −η G, and take any optimizer. The
    arguments are those of :func:`descend`; U of 16-bit models is float32.
    """
    wide = state._replace(x=widened(state.x))
    after = descend(problem, optimizer, wide, round_, n_steps, drift=drift)
    return after.x - wide.x, after.opt_state


def once[T](rows: T) -> T:
    """Return ``rows`` (any pytree), computed once.

    What is used in several places, a mixed row or a step, would otherwise be computed anew in each: gathers and gradients.
    """
    return jax.lax.optimization_barrier(rows)


def fresh_gradient(problem: Problem, x: Rows, round_: Round, last: Rows) -> Rows:
    """Return G(X; ξ) (n, p) of this round, in the dtype of the ``last`` one; of stragglers, that one."""
    batch = jax.random.fold_in(round_.key("batch"), 0)
    return once(chosen(round_.works, narrowed(problem.gradient(once(x), batch), last), last))


def along(optimizer: Transformation, direction: Rows, x: Rows, opt_state: PyTree, round_: Round) -> tuple[Rows, PyTree]:
    """Return (U, optimizer states): the optimizer's step along ``direction`` (n, p) in the place of a gradient."""
    wide = widened(x)
    moved = updates(optimizer, widened(direction), opt_state, wide)
    return chosen(round_.works, moved, (jnp.zeros_like(wide), opt_state))


def apply(optimizer: Transformation, gradient: Rows, state: TrainState) -> TrainState:
    """Return the state after one optimizer step along ``gradient`` (n, p), each node by itself."""
    x = widened(state.x)
    step, opt_state = updates(optimizer, widened(gradient), state.opt_state, x)
    return TrainState(narrowed(jnp.asarray(optax.apply_updates(x, step)), state.x), opt_state)


def no_start_steps(name: str, problem: Problem, why: str) -> None:
    """Raise InputError if the problem has start steps, which ``name`` has no use for."""
    if steps := start_steps_of(problem):
        raise InputError(
            f"{name} takes no start steps, and the problem has {steps}: {why}",
            hint="learning.start_steps = 0, or started(problem, 0)",
        )


def at_least_one(name: str, value: int) -> None:
    """Raise InputError unless ``value`` is 1 or more."""
    if value < 1:
        raise InputError(f"{name} must be at least 1, not {value}")


def between(name: str, value: float, low: float, high: float) -> None:
    """Raise InputError unless low < value ≤ high."""
    if not low < value <= high:
        raise InputError(f"{name} must be above {low:g} and at most {high:g}, not {value}")


def needs_mass(name: str, W: Mixing) -> None:
    """Raise InputError unless W keeps mass: push-sum methods divide by the weight that mixes along."""
    if W.conserves != "mass":
        raise InputError(f"{name} needs mixing that keeps mass", hint="mixing.kind = 'push_sum'")


def needs_agreement(name: str, W: Mixing) -> None:
    """Raise InputError if the rows of W do not sum to one, as those of push-sum mixing do not."""
    if W.conserves != "agreement":
        raise InputError(
            f"{name} needs weights whose rows sum to one, not push-sum mixing",
            hint="mixing.kind = 'static', or algorithm.kind = 'sgp'",
        )


def fixed(name: str, W: Mixing, *, symmetric: bool = True) -> Operator:
    """Return W if it is the same in every round.

    Raises:
        InputError: it varies with time, or is not symmetric where it has to be.
    """
    needs_agreement(name, W)
    if not isinstance(W, Operator):
        raise InputError(f"{name} needs the same weights in every round", hint="mixing.kind = 'static'")
    if symmetric:
        matrix = W.to_scipy()
        if abs(matrix - matrix.T).max() > SYMMETRY:
            raise InputError(f"{name} needs symmetric weights", hint="weights = 'metropolis_hastings'")
    return W
