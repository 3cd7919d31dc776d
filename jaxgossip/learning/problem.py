"""The learning problem of a network, one objective per node over rows of parameters; and classification."""

import abc
import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxgossip.core.arguments import guarded, shown, whole
from jaxgossip.core.errors import ArgumentTypeError, DataError, InputError
from jaxgossip.core.pytree import HostOnly, Pytree
from jaxgossip.core.rows import in_blocks
from jaxgossip.core.typing import Align, DrawNumbers, NodeFloats, NodeInts, NodeScores, PRNGKey, Row, Rows, accumulator
from jaxgossip.learning.data.datasets import Dataset
from jaxgossip.learning.device import check_order, float_type
from jaxgossip.learning.models.checks import check_functions
from jaxgossip.learning.models.model import Measured, Model, predict
from jaxgossip.learning.partitions.arguments import check_dataset, check_model, resolve_partition
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.learning.privacy import DifferentialPrivacy
from jaxgossip.learning.samples import SampledProblem
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
        wide = jnp.broadcast_to(x.astype(accumulator(self.dtype)), (self.n_nodes, self.n_params))
        return self.gradient(wide, key).mean(0, keepdims=True).astype(x.dtype)

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return an empty mapping: there are no held-out data."""
        del x, nodes
        return {}


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


class Classification(SampledProblem):
    """Classification of a data set that is divided over nodes; see :func:`classification`."""

    def __init__(self, dataset: Dataset, partition: Partition, model: Model, **options: Any) -> None:
        kind = accumulator(options["dtype"])
        check_functions(model, dataset, kind)
        self._n_classes = dataset.n_classes
        self._described = HostOnly(dataset.describe())
        x, self._x_test = (model.prepare(jnp.asarray(x, kind)) for x in (dataset.x_train, dataset.x_test))
        y, self._y_test = (jnp.asarray(y, jnp.int32) for y in (dataset.y_train, dataset.y_test))
        super().__init__(model, x, y, partition, **options)

    def describe(self) -> dict[str, Any]:
        """Return ``Dataset.describe`` and samples_a_node, the (min, mean, max) number of training samples of a node."""
        return self._described.value | {"samples_a_node": self.samples_a_node}

    def evaluate(self, x: Rows) -> NodeScores:
        """Return the model's own measures, or else test_accuracy and test_loss, (s,), of every row on the common test set."""

        def evaluate_row(row: Row) -> Measured:
            return dict(self.model.measured(self.model.apply(self.params(row), self._x_test), self._y_test))

        return in_blocks(evaluate_row, x)

    @property
    def votes(self) -> bool:
        """Whether models predict classes, so that they can vote."""
        return self.model.measures is None

    def evaluate_votes(self, x: Float[Array, "s v p"]) -> NodeScores:
        """Return voted_accuracy (s,): accuracy of the majority vote of v models; ties go to the lowest class."""
        classes = jnp.arange(self._n_classes)

        def accuracy_of_votes(rows: Rows) -> Array:
            def add_vote(total: Array, row: Row) -> tuple[Array, None]:
                predicted = predict(self.model.apply(self.params(row), self._x_test))
                return total + (predicted[:, None] == classes), None

            start = jnp.zeros((self._y_test.shape[0], self._n_classes), jnp.int32)
            counted = jax.lax.scan(add_vote, start, rows)[0]
            right = (counted.argmax(1) == self._y_test) & counted.any(1)  # models whose scores are NaN do not vote
            return right.mean(dtype=self._kind)

        return {"voted_accuracy": in_blocks(accuracy_of_votes, x)}

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return local_accuracy (s,): accuracy of x[j] on the local test set of row ``nodes[j]``'s node; NaN if it has none.

        Empty for models with their own measures, which need not predict classes.
        """
        if self._most_test == 0 or self.model.measures is not None:
            return {}

        def accuracy(row_and_node: tuple[Row, Array]) -> Array:
            row, node = row_and_node
            sample, used, size = self._held_out(node)
            right = predict(self.model.apply(self.params(row), self._x[sample])) == self._y[sample]
            return jnp.where(size > 0, (right & used).sum(dtype=self._kind) / jnp.maximum(size, 1), jnp.nan)

        return {"local_accuracy": in_blocks(accuracy, (x, nodes))}


def _check_arguments(name: str, given: Mapping[str, Any]) -> None:
    check_dataset(given["dataset"])
    check_model(given["model"])
    private, order, privacy = (given.get(argument) for argument in ("private", "order", "privacy"))
    if isinstance(private, str):
        raise ArgumentTypeError(f"{name}: private is a list of names", hint=f"private=[{private!r}]")
    if order is not None and not isinstance(order, Order):
        hint = "order=graph.order" if hasattr(order, "order") else ""
        raise ArgumentTypeError(f"{name}: {shown(order)} is no order of nodes", hint=hint)
    if privacy is not None and not isinstance(privacy, DifferentialPrivacy):
        hint = "privacy=jg.learning.DifferentialPrivacy(clip, noise_multiplier)"
        raise ArgumentTypeError(f"{name}: {shown(privacy)} is no DifferentialPrivacy", hint=hint)


def _checked[**P, R](builder: Callable[P, R]) -> Callable[P, R]:
    return guarded(builder, _check_arguments)


@_checked
def classification(
    dataset: Dataset,
    partition: Partition | str | Callable[..., Partition],
    model: Model,
    *,
    nodes: int | None = None,
    rng: np.random.Generator | int = 0,
    batch_size: int = 1,
    init: Literal["same", "independent"] = "same",
    private: Sequence[str] = (),
    dtype: DTypeLike = jnp.float32,
    order: Order | None = None,
    privacy: DifferentialPrivacy | None = None,
    start_steps: int = 0,
    **options: Any,
) -> Classification:
    """Return the problem in which every node fits ``model`` to its own samples of ``dataset``.

    >>> classification(data, model=logistic((57,), 2), nodes=40, partition="dirichlet", alpha=0.1, rng=0)

    Args:
        dataset: the samples, which are stored once for all nodes.
        partition: how the samples are divided: a name in ``PARTITIONS``, a function like those, or a finished partition of
            ``dataset.y_train``.
        model: what each node trains.
        nodes: number of nodes; required unless ``partition`` is a finished partition.
        rng: generator, or its seed, that divides the samples.
        batch_size: samples per gradient, drawn with replacement; 0 takes all samples of the node, exactly.
        init: "same" starts all nodes from one model, "independent" draws a model for each node.
        private: names of top-level parameters that stay on their node.
        dtype: dtype of the models; with 16 bits, samples and all computation stay in float32.
        order: the node that each row of memory holds: ``graph.order`` of the communication graph.
        privacy: clips the gradients and adds noise (DP-SGD); :func:`jaxgossip.learning.privacy.epsilon` gives the guarantee.
            A node then holds the gradients of all samples of its minibatch at once.
        start_steps: local gradient steps of every node before the first exchange; see :func:`started`.
        options: further keywords of the partition function.

    Raises:
        DataError: a negative ``batch_size``, a partition of other samples or labels, an order of another number of nodes, or
            samples too unequal to be taken all at once.
        InputError: a private name that the model does not have, no parameters left to share, scores or losses of the wrong
            shape, a dtype that JAX does not support, or a missing number of nodes.
        ArgumentTypeError: ``dataset``, ``partition`` or ``model`` of another type.
    """
    if isinstance(batch_size, Integral) and batch_size < 0:
        raise DataError(
            f"classification: batch_size must not be negative: {batch_size}", hint="0 takes all samples of a node"
        )
    whole("classification", "batch_size", batch_size, 0)
    parameters = list(inspect.signature(classification).parameters)
    owned = resolve_partition(dataset, partition, nodes, rng, options, parameters)
    check_order(order, owned.n_nodes)
    problem = Classification(
        dataset, owned, model,
        batch_size=batch_size, init=init, private=tuple(private), dtype=float_type(dtype), order=order, privacy=privacy,
    )  # fmt: skip
    return started(problem, start_steps)
