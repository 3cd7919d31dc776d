"""Supervised learning: nodes predict the targets of their own samples, and are measured on a common test set."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num

from jaxgossip.core.arguments import guarded, shown, whole
from jaxgossip.core.errors import ArgumentTypeError, DataError, InputError
from jaxgossip.core.pytree import HostOnly
from jaxgossip.core.rows import blockwise, in_blocks
from jaxgossip.core.typing import NodeInts, NodeScores, Row, Rows, accumulator
from jaxgossip.learning.augmentation.draws import Augmentation, chosen_augmentations
from jaxgossip.learning.data.backdoor import Trigger
from jaxgossip.learning.data.datasets import Dataset
from jaxgossip.learning.data.targets import Target
from jaxgossip.learning.device import check_order, float_type
from jaxgossip.learning.metrics import METRICS, USUAL, Metric
from jaxgossip.learning.models.checks import check_functions
from jaxgossip.learning.models.convolutions import with_fast_convolutions
from jaxgossip.learning.models.model import LOSSES, Model, Outputs, Targets, predict
from jaxgossip.learning.models.precision import computed_in
from jaxgossip.learning.partitions.arguments import check_dataset, check_model, resolve_partition
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.learning.privacy import DifferentialPrivacy
from jaxgossip.learning.problem import started, with_init_gain
from jaxgossip.learning.samples import SampledProblem
from jaxgossip.topology import Order


class Supervised(SampledProblem):
    """Prediction of the targets of a data set that is divided over nodes; see :func:`supervised`."""

    def __init__(
        self,
        dataset: Dataset,
        partition: Partition,
        model: Model,
        *,
        metrics: Mapping[str, Metric],
        compute_dtype: np.dtype | None = None,
        **options: Any,
    ) -> None:
        kind = accumulator(options["dtype"])
        model = model.with_loss(dataset.target)
        model = computed_in(with_fast_convolutions(model, check_functions(model, dataset, kind)), compute_dtype)
        if dataset.trigger is not None and model.measures is not None:
            raise InputError(
                "the success of a backdoor is not measured of a model that has measures of its own",
                hint="a model without measures, or data without a backdoor",
            )
        self._n_classes = dataset.n_classes
        self._metrics = dict(metrics)
        self._target: Target = dataset.target
        self._described = HostOnly(dataset.describe())
        at_use = bool(options.get("augment"))
        self._trigger, self._x_triggered = HostOnly(dataset.trigger), None
        if dataset.trigger is not None:
            self._label = dataset.trigger.backdoor.label
            self._x_triggered = _stored(model, dataset.trigger.on(dataset.x_test), kind, at_use=at_use)
        x, self._x_test = (_stored(model, x, kind, at_use=at_use) for x in (dataset.x_train, dataset.x_test))
        targets = kind if dataset.target == "value" else np.dtype(np.int32)
        y, self._y_test = (jnp.asarray(y, targets) for y in (dataset.y_train, dataset.y_test))
        super().__init__(model, x, y, partition, scaling=dataset.scaling, owners=dataset.owners, **options)

    def describe(self) -> dict[str, Any]:
        """Return ``Dataset.describe`` and samples_a_node, the (min, mean, max) number of training samples of a node."""
        return self._described.value | {"samples_a_node": self.samples_a_node}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class; empty if targets are not classes."""
        return tuple(self._described.value["classes"])

    @property
    def trigger(self) -> Trigger | None:
        """The backdoor that some nodes learn; None for none."""
        return self._trigger.value

    def evaluate(self, x: Rows) -> NodeScores:
        """Return the metrics of every row on the common test set, each (s,): the model's own, or those of the targets.

        If some nodes learn a backdoor, attack_success is the share of the triggered samples of other classes than its label
        that are taken for it.
        """

        def evaluate_row(row: Row) -> Mapping[str, Array]:
            params = self.params(row)
            if self.model.measures is not None:
                return dict(self.model.measures(self._outputs(params), self._y_test))

            def terms(part: tuple[Array, Array]) -> Mapping[str, Any]:
                outputs = self.model.apply(params, self._prepared(part[0]))
                return {name: metric.terms(outputs, part[1]) for name, metric in self._metrics.items()}

            each = blockwise(terms, (self._x_test, self._y_test))
            scores = {f"test_{name}": metric.total(each[name]) for name, metric in self._metrics.items()}
            return scores | self._attack_success(params)

        return in_blocks(evaluate_row, x)

    def _attack_success(self, params: Any) -> dict[str, Array]:
        """Return attack_success () of one model; empty without a backdoor."""
        if self._x_triggered is None:
            return {}
        taken = blockwise(
            lambda x: predict(self.model.apply(params, self._prepared(x))) == self._label, self._x_triggered
        )
        others = self._y_test != self._label
        hits, misses = ((others & which).sum(dtype=self._kind) for which in (taken, ~taken))
        # Not by the number of others, which all models share: XLA would multiply by its inverse, on some meshes only.
        return {"attack_success": hits / (hits + misses)}

    @property
    def votes(self) -> bool:
        """Whether models predict classes, so that they can vote."""
        return self._target == "class" and self.model.measures is None

    def evaluate_votes(self, x: Float[Array, "s v p"]) -> NodeScores:
        """Return voted_accuracy (s,): accuracy of the majority vote of v models; ties go to the lowest class."""
        classes = jnp.arange(self._n_classes)

        def accuracy_of_votes(rows: Rows) -> Array:
            def add_vote(total: Array, row: Row) -> tuple[Array, None]:
                predicted = predict(self._outputs(self.params(row)))
                return total + (predicted[:, None] == classes), None

            start = jnp.zeros((self._y_test.shape[0], self._n_classes), jnp.int32)
            counted = jax.lax.scan(add_vote, start, rows)[0]
            right = (counted.argmax(1) == self._y_test) & counted.any(1)  # models whose scores are NaN do not vote
            return right.mean(dtype=self._kind)

        return {"voted_accuracy": in_blocks(accuracy_of_votes, x)}

    def evaluate_local(self, x: Rows, nodes: NodeInts) -> NodeScores:
        """Return the first usual metric of the targets, such as local_accuracy (s,), of x[j] on own test samples.

        They are those of the node of row ``nodes[j]``; NaN if it has none. Empty for models with metrics of their own.
        """
        if self._batches.most_test == 0 or self.model.measures is not None:
            return {}
        name = USUAL[self._target][0]
        metric, batches = METRICS[name](self._n_classes), self._batches.of_all()

        def measured(row_and_node: tuple[Row, Array]) -> Array:
            row, node = row_and_node
            sample, used, size = batches.held_out(node)
            outputs = self.model.apply(self.params(row), self._prepared(self._table.samples(sample)))
            terms = jnp.where(used, metric.terms(outputs, self._table.targets(sample)), 0)
            return jnp.where(size > 0, terms.sum(dtype=self._kind) / jnp.maximum(size, 1), jnp.nan)

        return {f"local_{name}": in_blocks(measured, (x, nodes))}

    def _outputs(self, params: Any) -> Outputs:
        """Return one model's outputs on the common test set."""
        return blockwise(lambda x: self.model.apply(params, self._prepared(x)), self._x_test)


def _stored(model: Model, x: Any, dtype: np.dtype, *, at_use: bool) -> Num[Array, "m ..."]:
    """Return samples as they are kept on the device: floats and tokens prepared for the model, uint8 as they are.

    With augmentations, which come before, floats too are prepared ``at_use``.
    """
    kind = np.dtype(x.dtype)
    if kind == np.uint8:
        return jnp.asarray(x)
    samples = jnp.asarray(x, np.int32 if kind.kind == "i" else dtype)
    return samples if at_use else model.prepare(samples)


def chosen_metrics(
    dataset: Dataset, model: Model, more: Sequence[str | Metric | Callable[[Outputs, Targets], Array]]
) -> dict[str, Metric]:
    """Return what is measured on the test set, by name: the usual metrics of the targets, the loss, and more.

    Args:
        dataset: the data set.
        model: the model, whose loss is measured.
        more: names in ``METRICS``, metrics, or functions (outputs (t, …), targets (t, …)) -> a number.

    Raises:
        InputError: an unknown name, a metric of other targets, or a model that is measured in its own way.
        ArgumentTypeError: neither a name nor a metric nor a function.
    """
    target = dataset.target
    loss = model.with_loss(target).loss
    first, *others = USUAL[target]
    metrics = {first: METRICS[first](dataset.n_classes)}
    if loss is not None and loss is not LOSSES["value"]:  # which is the mean squared error
        metrics["loss"] = Metric(loss)
    metrics |= {name: METRICS[name](dataset.n_classes) for name in others}
    for wanted in more:
        if isinstance(wanted, str):
            name, metric = wanted, METRICS.resolve(wanted)(dataset.n_classes)
        elif isinstance(wanted, Metric) or callable(wanted):
            name = getattr(wanted, "name", "") or getattr(wanted, "__name__", "metric")
            metric = wanted if isinstance(wanted, Metric) else whole_metric(wanted)
        else:
            raise ArgumentTypeError(
                f"{shown(wanted)} is no metric",
                hint=f"a function (outputs, targets) -> number, or {', '.join(METRICS)}",
            )
        if model.measures is not None:
            raise InputError(
                f"metric '{name}' is not taken of a model that has measures of its own",
                hint="no further metrics, or a model without measures",
            )
        if metric.of and target not in metric.of:
            raise InputError(
                f"metric '{name}' is of targets that are {' or '.join(metric.of)}, and {dataset.name} has {target}",
                hint=f"for these: {', '.join(name for name in METRICS if target in METRICS[name](2).of)}",
            )
        metrics[name] = metric
    return metrics


def whole_metric(function: Callable[[Outputs, Targets], Array]) -> Metric:
    """Return the metric that a function of all outputs and targets is."""
    return Metric(lambda outputs, targets: (outputs, targets), lambda both: function(*both))


def _check_arguments(name: str, given: Mapping[str, Any]) -> None:
    check_dataset(given["dataset"])
    check_model(given["model"])
    batch_size = given.get("batch_size", 1)
    if isinstance(batch_size, Integral) and batch_size < 0:
        raise DataError(f"{name}: batch_size must not be negative: {batch_size}", hint="0 takes all samples of a node")
    whole(name, "batch_size", batch_size, 0)
    whole(name, "nodes_at_a_time", given.get("nodes_at_a_time", 0), 0)
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
def supervised(
    dataset: Dataset,
    partition: Partition | str | Callable[..., Partition],
    model: Model,
    *,
    nodes: int | None = None,
    rng: np.random.Generator | int = 0,
    batch_size: int = 1,
    sampling: Literal["replacement", "epochs"] = "replacement",
    init: Literal["same", "independent"] = "same",
    init_gain: float = 1.0,
    private: Sequence[str] = (),
    dtype: DTypeLike = jnp.float32,
    order: Order | None = None,
    privacy: DifferentialPrivacy | None = None,
    start_steps: int = 0,
    metrics: Sequence[str | Metric | Callable[[Outputs, Targets], Array]] = (),
    augment: Sequence[str | Augmentation] = (),
    compute_dtype: DTypeLike | None = None,
    nodes_at_a_time: int = 0,
    **options: Any,
) -> Supervised:
    """Return the problem in which every node fits ``model`` to its own samples of ``dataset``.

    >>> supervised(data, model=logistic((57,), 2), nodes=40, partition="dirichlet", alpha=0.1, rng=0)

    Args:
        dataset: the samples, which are stored once for all nodes.
        partition: how the samples are divided: a name in ``PARTITIONS``, a function like those, or a finished partition of
            ``dataset.y_train``.
        model: what each node trains.
        nodes: number of nodes; required unless ``partition`` is a finished partition.
        rng: generator, or its seed, that divides the samples.
        batch_size: samples per gradient; 0 takes all samples of the node, exactly.
        sampling: "replacement" draws each sample of a batch independently; in "epochs" every node takes each of its samples
            once, in an order that is shuffled anew, before it takes one again; the last batch of an epoch has what is left.
        init: "same" starts all nodes from one model, "independent" draws a model for each node.
        init_gain: what is drawn of a start is multiplied by this; see :func:`.with_init_gain`.
        private: names of top-level parameters that stay on their node.
        dtype: dtype of the models; with 16 bits, samples and all computation stay in float32.
        order: the node that each row of memory holds: ``graph.order`` of the communication graph.
        privacy: clips the gradients and adds noise (DP-SGD); :func:`jaxgossip.learning.privacy.epsilon` gives the guarantee.
            A node then holds the gradients of all samples of its minibatch at once.
        start_steps: local gradient steps of every node before the first exchange; see :func:`.started`.
        metrics: what is measured besides the loss and the usual metrics of the targets: names in ``METRICS``, metrics, or
            functions (outputs (t, …), targets (t, …)) -> a number.
        augment: what changes samples at random in training, in this order: names in ``AUGMENTATIONS``, what such builders
            return (``jg.learning.augmentation.crop(padding=4)``), or functions (key, x) -> x of one sample of floats, after
            images are scaled. Every node and step draws anew for each sample; nothing is augmented in evaluation.
        compute_dtype: dtype in which the model's functions are computed, such as bfloat16; parameters, their gradients and
            losses keep theirs. None computes in the dtype of the models, of 16 bits in float32.
        nodes_at_a_time: number of nodes whose gradients are computed at a time; 0 chooses it by the device: so many that
            intermediate results fit the cache of a CPU, or an eighth of the memory of another device.
        options: further keywords of the partition function.

    Raises:
        DataError: a negative ``batch_size``, a partition of other samples or labels, an order of another number of nodes, or
            samples too unequal to be taken all at once.
        InputError: a private name that the model does not have, no parameters left to share, scores or losses of the wrong
            shape, a dtype that JAX does not support, a missing number of nodes, or augmentations that do not take the samples.
        ArgumentTypeError: ``dataset``, ``partition`` or ``model`` of another type.
    """
    parameters = list(inspect.signature(supervised).parameters)
    owned = resolve_partition(dataset, partition, nodes, rng, options, parameters)
    check_order(order, owned.n_nodes)
    kind = float_type(dtype)
    problem = Supervised(
        dataset, owned, model, metrics=chosen_metrics(dataset, model, metrics),
        batch_size=batch_size, sampling=sampling, init=init, private=tuple(private), dtype=kind, order=order,
        privacy=privacy, augment=chosen_augmentations(augment, dataset, accumulator(kind)),
        compute_dtype=None if compute_dtype is None else float_type(compute_dtype), nodes_at_a_time=nodes_at_a_time,
    )  # fmt: skip
    return started(with_init_gain(problem, init_gain), start_steps)


def _check_classes(name: str, given: Mapping[str, Any]) -> None:
    _check_arguments(name, given)
    if given["dataset"].target != "class":
        raise ArgumentTypeError(f"{name}: the targets of {given['dataset'].name} are no classes", hint="supervised(…)")


classification = guarded(inspect.unwrap(supervised), _check_classes, "classification")
"""Return :func:`supervised`, for targets that are classes."""
