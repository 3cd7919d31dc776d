"""The learning problem of a network: one objective per node, over rows of parameters."""

import abc
import copy
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxgossip.core.arguments import number, whole
from jaxgossip.core.devices.blocks import count_rows
from jaxgossip.core.devices.exchanges import node_mean
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Pytree
from jaxgossip.core.typing import Align, DrawNumbers, NodeFloats, NodeInts, NodeScores, PRNGKey, Rows, accumulator
from jaxgossip.topology import Order


@runtime_checkable
class Problem(Protocol):
    """The learning problem of a whole network, as algorithms and engines see it.

    Attributes:
        n_nodes: number of nodes.
        n_params: number of parameters of one model, the columns of a row.
        n_shared: number of leading columns that are exchanged; the rest are private to their node.
        dtype: dtype of the models; models of 16 bits are computed with in float32.
        order: the node that each row holds, as in the graph; None if row i is node i.
    """

    n_nodes: int
    n_params: int
    n_shared: int
    dtype: np.dtype
    order: Order | None

    @property
    def sample_counts(self) -> NodeFloats | np.ndarray:
        """(n,) float32, the number of training samples of each row's node."""
        ...

    @property
    def align(self) -> Align | None:
        """Alignment of received models, (own (b, p), heard (b, p)) -> heard (b, p), applied before merging.

        It reorders the parts of each received model to match those of the receiver's own; None if there is nothing to align.
        """
        ...

    def init(self, key: PRNGKey) -> Rows:
        """Return the initial models (n, p)."""
        ...

    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (n, p): a stochastic gradient of each node's objective at its own row; ``key`` draws the samples."""
        ...

    def gradient_at(self, x: Rows, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> Rows:
        """Return (b, p): a stochastic gradient at x[j] of the objective of the node of row ``nodes[j]``.

        A node may occur any number of times. Entry j draws as a function of (key, numbers[j]) alone, whatever else is in the
        batch. Neither ``nodes`` nor ``numbers`` is checked: nodes must lie within 0..n-1.
        """
        ...

    def mean_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (1, p): the mean over all nodes of their gradients, with the same draws, at one model x (1, p)."""
        ...

    def loss_at(self, x: Rows, nodes: NodeInts) -> NodeFloats:
        """Return (b,): the objective of the node of row ``nodes[j]`` at x[j], over all of its training samples."""
        ...

    def evaluate(self, x: Rows) -> NodeScores:
        """Return metrics of each row of x (s, p) on common test data: name -> (s,)."""
        ...

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return metrics of x[j] on held-out data of the node of row ``nodes[j]``: name -> (s,); empty if there is none."""
        ...


@runtime_checkable
class FiniteSum(Protocol):
    """What methods that reduce variance need besides a :class:`Problem`: objectives that are means over samples.

    The problems of this package have it. It cannot be had for objectives that are known by their noisy gradients alone.
    """

    @property
    def sample_counts(self) -> NodeFloats | np.ndarray:
        """(n,) float32, the number of training samples of each row's node."""
        ...

    def full_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (n, p): the gradient of each node's objective over all of its samples, at its own row."""
        ...

    def draw_samples(self, key: PRNGKey) -> tuple[Int[Array, "n m"], Bool[Array, "n m"] | None]:
        """Return the minibatches of ``gradient`` as numbers (n, m) among each node's own samples, and which of them count."""
        ...

    def sample_gradient(self, x: Rows, number: NodeInts, key: PRNGKey) -> Rows:
        """Return (n, p): the gradient of each node on its sample ``number[i]`` alone, regularization included."""
        ...


@runtime_checkable
class BatchLosses(Protocol):
    """What rules that compare the losses of models need besides a :class:`Problem`. The problems of this package have it."""

    def batch_loss(self, x: Rows, key: PRNGKey) -> NodeFloats:
        """Return (n,): the loss of each row on a minibatch of its node, which ``key`` draws, or without noise."""
        ...


class SyntheticProblem(Pytree, abc.ABC):
    """Base class of problems without a data set: there is nothing to align, and there are no data to hold out.

    Subclasses set ``n_nodes``, ``n_params`` and ``dtype``, and implement :meth:`gradient` and the rest of :class:`Problem`.
    """

    n_nodes: int
    n_params: int
    dtype: np.dtype
    order: Order | None = None
    align: Align | None = None

    @abc.abstractmethod
    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (n, p): a stochastic gradient of each node's objective at its own row."""

    def mean_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (1, p), the mean gradient over nodes, with the same draws, at one x."""
        wide = jnp.broadcast_to(x.astype(accumulator(self.dtype)), (count_rows(self.n_nodes), self.n_params))
        return node_mean(self.gradient(wide, key), self.n_nodes).astype(x.dtype)

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return an empty mapping: there are no held-out data."""
        del x, nodes
        return {}


def as_evaluated(problem: Problem, x: Float[Array, "s p"], nodes: NodeInts) -> Float[Array, "s p"]:
    """Return models x (s, p) as they are evaluated at the nodes of rows ``nodes`` (s,).

    A problem may have a method ``recalibrated(x, nodes)`` for it, which computes batch statistics anew on the nodes' data and
    takes the mean over ``nodes`` for a single model (1, p); by default, models are evaluated as they are.
    """
    recalibrated = getattr(problem, "recalibrated", None)
    return x if recalibrated is None else recalibrated(x, nodes)


def has_own_data_only(problem: Problem) -> bool:
    """Return whether each device of a mesh has the data of its own nodes alone, so that others cannot be measured there."""
    return getattr(problem, "own_nodes_only", False)


def start_steps_of(problem: Problem) -> int:
    """Return the number of local gradient steps that every node takes before the first exchange; 0 by default."""
    return getattr(problem, "start_steps", 0)


def started[P](problem: P, start_steps: int) -> P:
    """Return the problem with ``start_steps`` local gradient steps at every node, from its initial model, before round 0.

    Models evaluated after round 0, the first exchange, have therefore been trained already, and their ages include these
    steps. The steps cost no messages and no virtual time.

    Args:
        problem: any problem.
        start_steps: number of optimizer steps of every node.

    Raises:
        InputError: a negative number, or a custom problem that does not accept an attribute ``start_steps``.
    """
    steps = whole("started", "start_steps", start_steps, 0)
    if getattr(problem, "start_steps", 0) == steps:
        return problem
    other = copy.copy(problem)
    try:
        object.__setattr__(other, "start_steps", steps)
    except AttributeError as error:
        raise InputError(
            f"{type(problem).__name__} cannot be given start_steps", hint="leave room for an attribute start_steps"
        ) from error
    return other


def with_init_gain[P](problem: P, init_gain: float) -> P:
    """Return the problem with wider or narrower starts: what is drawn for a model's exchanged parameters, times ``init_gain``.

    Mixing averages starts that are drawn independently, so nodes agree on a much smaller model than one that is drawn;
    :func:`jaxgossip.mixing.centrality_gain` makes up for it. What starts at a constant, as biases and the scales of
    normalizations do, stays as it is, and so do private parameters.

    Args:
        problem: a problem that draws its models.
        init_gain: the factor; 1 draws as usual.

    Raises:
        InputError: a factor that is not a positive number, or a problem that has none.
    """
    gain = number("with_init_gain", "init_gain", init_gain, above=True)
    if getattr(problem, "init_gain", 1.0) == gain:
        return problem
    if not hasattr(problem, "init_gain"):
        raise InputError(
            f"{type(problem).__name__} does not draw its models with a gain",
            hint="init_gain = 1; or give the problem an attribute init_gain = 1.0, by which its init multiplies",
        )
    other = copy.copy(problem)
    object.__setattr__(other, "init_gain", gain)
    return other
