"""What a network learns: one objective a node, seen as rows of parameters; and classes learnt from a divided data set."""

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
from jaxgossip.core.blocks import in_blocks
from jaxgossip.core.errors import ArgumentTypeError, DataError, InputError
from jaxgossip.core.pytree import Aside
from jaxgossip.core.typing import Align, DrawNumbers, NodeFloats, NodeInts, NodeScores, PRNGKey, Row, Rows, accumulator
from jaxgossip.learning.data.datasets import Dataset
from jaxgossip.learning.device import check_order, float_type
from jaxgossip.learning.models.functions import check_functions
from jaxgossip.learning.models.model import Measured, Model, predict
from jaxgossip.learning.partitions.dividing import check_dataset, check_model, divided
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.learning.privacy import DifferentialPrivacy
from jaxgossip.learning.samples import Sampled
from jaxgossip.topology import Order


@runtime_checkable
class Problem(Protocol):
    """The task of a whole network, as algorithms and engines see it.

    Attributes:
        n_nodes: number of nodes.
        n_params: parameters of one model, the columns of a row.
        n_shared: leading columns that are exchanged; the rest is private to its node.
        dtype: of the models. Those of 16 bits are computed with in float32.
        order: in which rows the nodes stand, the graph's own; None where row i is node i.
    """

    n_nodes: int
    n_params: int
    n_shared: int
    dtype: np.dtype
    order: Order | None

    @property
    def sample_counts(self) -> NodeFloats | np.ndarray:
        """(n,) float32, training samples of each row's node."""
        ...

    @property
    def align(self) -> Align | None:
        """(own (b, p), heard (b, p)) -> heard (b, p): puts the parts of each heard model in the order of one's own.

        They are merged after it; None where there is nothing to align.
        """
        ...

    def init(self, key: PRNGKey) -> Rows:
        """Return the initial models (n, p)."""
        ...

    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (n, p): a stochastic gradient of each node's own objective at its own row; ``key`` draws the samples."""
        ...

    def gradient_at(self, x: Rows, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> Rows:
        """Return (b, p): a stochastic gradient, at x[j] (b, p), of the objective of the node of row ``nodes[j]``.

        A node may occur many times, or never. What entry j draws is a function of (key, numbers[j]) alone, and so stays
        the same whatever stands beside it. Neither ``nodes`` nor ``numbers`` is checked: nodes lie within 0..n-1.
        """
        ...

    def mean_gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return (1, p): the mean over all nodes of the gradients of the same draws at one model x (1, p)."""
        ...

    def loss_at(self, x: Rows, nodes: NodeInts) -> NodeFloats:
        """Return (b,): the objective of the node of row ``nodes[j]`` at x[j] (b, p), over all that it trains on."""
        ...

    def evaluate(self, x: Rows) -> NodeScores:
        """Return what each row of x (s, p) achieves on common data: name -> (s,)."""
        ...

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return what x[j] achieves on data of the node of row ``nodes[j]`` that it does not train on; empty if none."""
        ...


def start_steps_of(problem: Problem) -> int:
    """Return how many local gradient steps every node takes before the first exchange: 0, unless it was told otherwise."""
    return getattr(problem, "start_steps", 0)


def started[P](problem: P, start_steps: int) -> P:
    """Return the problem whose nodes take so many local gradient steps, each from its own initial model, at the start.

    These come before round 0, the first exchange: what is measured of round 0 has learned already, and ages count from
    there. They cost no messages and no virtual time.

    Args:
        problem: any.
        start_steps: optimizer steps of every node.

    Raises:
        InputError: a number below 0, or an own problem that cannot be given an attribute ``start_steps``.
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


class Classification(Sampled):
    """A data set divided over nodes, and a model; see :func:`classification`."""

    def __init__(self, dataset: Dataset, partition: Partition, model: Model, **options: Any) -> None:
        kind = accumulator(options["dtype"])
        check_functions(model, dataset, kind)
        self._n_classes = dataset.n_classes
        self._described = Aside(dataset.describe())
        x, self._x_test = (model.prepare(jnp.asarray(x, kind)) for x in (dataset.x_train, dataset.x_test))
        y, self._y_test = (jnp.asarray(y, jnp.int32) for y in (dataset.y_train, dataset.y_test))
        super().__init__(model, x, y, partition, **options)

    def describe(self) -> dict[str, Any]:
        """Return what is known of the data: ``Dataset.describe`` and samples_a_node, (min, mean, max) of those trained on."""
        return self._described.value | {"samples_a_node": self.samples_a_node}

    def evaluate(self, x: Rows) -> NodeScores:
        """Return what the model measures, else test_accuracy and test_loss, (s,) of every row on the common test set."""

        def one(row: Row) -> Measured:
            return dict(self.model.measured(self.model.apply(self.params(row), self._x_test), self._y_test))

        return in_blocks(one, x)

    @property
    def votes(self) -> bool:
        """Whether its models predict classes, of which a majority can be taken."""
        return self.model.measures is None

    def evaluate_votes(self, x: Float[Array, "s v p"]) -> NodeScores:
        """Return voted_accuracy (s,): of the class that most of v models predict, the first of several alike."""
        classes = jnp.arange(self._n_classes)

        def one(rows: Rows) -> Array:
            def votes(total: Array, row: Row) -> tuple[Array, None]:
                named = predict(self.model.apply(self.params(row), self._x_test))
                return total + (named[:, None] == classes), None

            start = jnp.zeros((self._y_test.shape[0], self._n_classes), jnp.int32)
            counted = jax.lax.scan(votes, start, rows)[0]
            right = (counted.argmax(1) == self._y_test) & counted.any(1)  # of models whose scores are NaN none votes
            return right.mean(dtype=self._kind)

        return {"voted_accuracy": in_blocks(one, x)}

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return local_accuracy (s,): of x[j] on the test split of the node of row ``nodes[j]``; NaN without one.

        Nothing of a model with measures of its own, which need not predict classes.
        """
        if self._most_test == 0 or self.model.measures is not None:
            return {}

        def one(row_and_node: tuple[Row, Array]) -> Array:
            row, node = row_and_node
            sample, used, size = self._held_out(node)
            right = predict(self.model.apply(self.params(row), self._x[sample])) == self._y[sample]
            return jnp.where(size > 0, (right & used).sum(dtype=self._kind) / jnp.maximum(size, 1), jnp.nan)

        return {"local_accuracy": in_blocks(one, (x, nodes))}


def _check_arguments(name: str, given: Mapping[str, Any]) -> None:
    check_dataset(given["dataset"])
    check_model(given["model"])
    private, order, privacy = (given.get(one) for one in ("private", "order", "privacy"))
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
    """Return the problem in which every node fits ``model`` to its own part of ``dataset``.

    >>> classification(data, model=logistic((57,), 2), nodes=40, partition="dirichlet", alpha=0.1, rng=0)

    Args:
        dataset: samples, held once.
        partition: how they are divided: a name of ``PARTITIONS``, a function like those, or a partition of
            ``dataset.y_train`` that is there already.
        model: what each node trains.
        nodes: number of nodes, where samples are divided here.
        rng: divides them; an int is a seed.
        batch_size: samples of a node in a gradient, drawn with replacement; 0 takes all it has, exactly.
        init: whether all nodes start from one model, or each from a draw of its own.
        private: names of top-level parameters that stay on their node.
        dtype: of models; samples are float32 where models have 16 bits, and so is all that is computed of them.
        order: in which rows of memory the nodes stand, ``graph.order`` of the graph that they talk on.
        privacy: clips and noises the gradients (DP-SGD); :func:`jaxgossip.learning.privacy.epsilon` says what it buys.
            A node then holds the gradients of all samples of its minibatch at once.
        start_steps: local gradient steps of every node before the first exchange, see :func:`started`.
        options: keywords of what divides the samples.

    Raises:
        DataError: ``batch_size`` negative, a partition of other samples or labels, an order of other nodes, or samples
            too unequal to be taken all at once.
        InputError: a private name that the model does not have, nothing left to share, scores or losses of the wrong
            shape, a dtype that JAX does not have, or no number of nodes to divide samples over.
        ArgumentTypeError: something else in the place of a data set, a partition or a model.
    """
    if isinstance(batch_size, Integral) and batch_size < 0:
        raise DataError(f"batch_size must not be negative: {batch_size}", hint="0 takes all samples of a node")
    whole("classification", "batch_size", batch_size, 0)
    parameters = list(inspect.signature(classification).parameters)
    owned = divided(dataset, partition, nodes, rng, options, parameters)
    check_order(order, owned.n_nodes)
    found = Classification(
        dataset, owned, model,
        batch_size=batch_size, init=init, private=tuple(private), dtype=float_type(dtype), order=order, privacy=privacy,
    )  # fmt: skip
    return started(found, start_steps)
