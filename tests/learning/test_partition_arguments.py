"""Arguments of a problem: partitions are built or checked in one place, and other types raise errors with hints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.learning.partitions import BY_CLASS
from jaxgossip.learning.partitions.partition import fingerprint

MODEL = jg.learning.models.logistic((2,), 2)
parts = jg.learning.partitions


def data() -> Any:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2))
    return jg.learning.from_arrays(x, (x[:, 0] > 0).astype(int), owners=np.arange(120) // 6, name="table")


OPTIONS: dict[str, dict[str, Any]] = {
    "iid": {"local_test": 0.2},
    "fixed_size": {"samples": 7},
    "one_sample": {},
    "dirichlet": {"alpha": 0.2},
    "label_shards": {"shards": 3},
    "quantity_skew": {"exponent": 0.5},
    "stratified": {},
    "label_quantity": {"classes": 2},
    "by_owner": {},
}


def owners_for(kind: str) -> dict[str, Any]:
    return {"owners": data().owners} if kind == "by_owner" else {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", jg.learning.PARTITIONS)
def test_a_task_that_divides_its_samples_itself_is_the_one_made_by_hand(kind: str) -> None:
    options = OPTIONS[kind]
    by_hand = jg.learning.PARTITIONS[kind](data().y_train, 9, rng=3, **options, **owners_for(kind))
    one = jg.learning.classification(data(), by_hand, MODEL, batch_size=2)
    for given in (kind, jg.learning.PARTITIONS[kind]):
        other = jg.learning.classification(data(), given, MODEL, nodes=9, rng=3, batch_size=2, **options)
        x, key = one.init(jax.random.key(0)) + 1, jax.random.key(1)
        assert np.array_equal(one.sample_counts, other.sample_counts)
        assert np.array_equal(one.gradient(x, key), other.gradient(x, key))


@pytest.mark.parametrize("kind", jg.learning.PARTITIONS)
def test_a_partition_knows_of_which_samples_it_is(kind: str) -> None:
    labels = data().y_train
    made = jg.learning.PARTITIONS[kind](labels, 9, rng=3, **OPTIONS[kind], **owners_for(kind))
    assert made.n_samples == 108
    assert made.labels == (fingerprint(labels) if jg.learning.PARTITIONS[kind] in BY_CLASS else "")


def test_a_fingerprint_is_of_the_classes_and_not_of_their_names() -> None:
    assert (
        fingerprint([0, 1, 1, 2]) == fingerprint(np.array([0, 1, 1, 2], np.int64)) == fingerprint(["a", "b", "b", "c"])
    )
    assert fingerprint([0, 1, 1, 2]) == fingerprint([3, 5, 5, 9])
    assert len({fingerprint(labels) for labels in ([0, 1, 1, 2], [0, 1, 2, 1], [1, 0, 0, 2], [0, 1, 1], [])}) == 5


def test_a_partition_of_the_labels_it_was_made_of_is_taken_whatever_their_type() -> None:
    made = parts.dirichlet(data().y_train.astype(np.int64) + 3, 9, rng=0)
    assert jg.learning.classification(data(), made, MODEL).n_nodes == 9


def of_package(name: str, package: str) -> type:
    """Return a class as if it came from another package."""
    return type(name, (), {"__module__": f"{package}.module", "init": print, "apply": print})


FLAX = "(from_functions(lambda key: module.init(key, x)['params'], lambda p, x: module.apply({'params': p}, x)), x being some samples)"
NNX = "(graph, params, rest = nnx.split(module, nnx.Param, ...), then from_functions(lambda key: params, lambda p, x: nnx.merge(graph, p, rest)(x)))"
EQX = "(params, static = eqx.partition(module, eqx.is_inexact_array), then from_functions(lambda key: params, lambda p, x: jax.vmap(eqx.combine(p, static))(x)))"
NAMES = "(partition is a name (iid, fixed_size, one_sample, quantity_skew, by_owner, dirichlet, label_shards, label_quantity, stratified), a Partition, or what divides labels)"
SOME = "(one of jg.learning.models, called with input_shape and n_classes; or from_functions(init, apply))"


def task(dataset: Any = None, partition: Any = "iid", model: Any = MODEL, **options: Any) -> Any:
    nodes = {} if isinstance(partition, jg.learning.Partition) else {"nodes": 9}
    return jg.learning.classification(data() if dataset is None else dataset, partition, model, **nodes | options)


def with_statistics(key: Any) -> Any:
    return {"params": {"w": jnp.zeros(2)}, "batch_stats": {"mean": jnp.zeros(2)}}


def without_chance(labels: Any, n_nodes: int) -> Any:
    return parts.iid(labels, n_nodes)


def swapped_init(key: Any) -> Any:
    return {"w": jax.random.normal(key, (2,))}


def swapped_apply(params: Any, x: Any) -> Any:
    return x @ params["w"]


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "a data set's name": (lambda: task("spambase"), "'spambase' is no data set (jg.learning.datasets.spambase())"),
    "a path": (lambda: task("table.csv"), "'table.csv' is no data set (jg.learning.load_file('table.csv'))"),
    "a data set that was not loaded": (lambda: task(jg.learning.datasets.spambase), "the function spambase is no data set (call it: jg.learning.datasets.spambase())"),
    "an array": (lambda: task(np.zeros((4, 2))), "an array is no data set (jg.learning.from_arrays(x, y))"),
    "a list of rows": (lambda: task([[0.0, 1.0]]), "a list is no data set (Dataset, from_arrays(x, y), load_file(path), or one of jg.learning.datasets)"),
    "swapped": (lambda: task(parts.iid(data().y_train, 9), data()), "a Partition is no data set (the order is classification(dataset, partition, model))"),
    "a misspelt partition": (lambda: task(partition="dirichlett"), "unknown partition 'dirichlett' (did you mean 'dirichlet'? allowed: by_owner, dirichlet, fixed_size, iid, label_quantity, label_shards, one_sample, quantity_skew, stratified)"),
    "a misspelt option": (lambda: task(partition="dirichlet", alhpa=0.1), "partition 'dirichlet' has no option 'alhpa' (did you mean 'alpha'? allowed: alpha, least, local_test)"),
    "a misspelt parameter": (lambda: task(batchsize=4), "classification has no parameter 'batchsize' (did you mean 'batch_size'?)"),
    "a misspelt parameter beside a partition": (lambda: task(partition=parts.iid(data().y_train, 9), privat=["w"]), "classification has no parameter 'privat' (did you mean 'private'?)"),
    "an option beside a partition": (lambda: task(partition=parts.iid(data().y_train, 9), alpha=0.1), "classification has no parameter 'alpha' (options divide samples: give them with partition='dirichlet' or another name, in place of a partition)"),
    "a number for a partition": (lambda: task(partition=9), f"an int is no partition of table {NAMES}"),
    "what divides nothing": (lambda: task(partition=lambda labels, n_nodes, rng: labels[:n_nodes] + (rng == 0)), f"an array is no partition of table {NAMES}"),
    "no number of nodes": (lambda: task(nodes=None), "table is to be divided over how many nodes? (nodes=graph.n_nodes)"),
    "a graph for a number of nodes": (lambda: task(nodes=jg.topology.ring(9)), "classification: nodes must be a whole number, not a Graph (give its n_nodes)"),
    "labels and nodes swapped": (lambda: parts.dirichlet(9, data().y_train), "partition 'dirichlet' divides labels, not an int (partitions.dirichlet(data.y_train, n_nodes, …))"),
    "a data set for labels": (lambda: parts.iid(data(), 9), "partition 'iid' divides labels, not a Dataset (partitions.iid(data.y_train, n_nodes, …))"),
    "one-hot labels": (lambda: parts.iid(np.eye(9), 9), "partition 'iid' divides labels, not an array of shape (9, 9) (one a sample)"),
    "a graph for the nodes of a partition": (lambda: parts.iid(data().y_train, jg.topology.ring(9)), "iid: n_nodes must be a whole number of at least 1, not a Graph (give its n_nodes)"),
    "a model's name": (lambda: task(model="logistic"), "'logistic' is no model (jg.learning.models.logistic(input_shape, n_classes))"),
    "a model that was not made": (lambda: task(model=jg.learning.models.logistic), f"the function logistic is no model {SOME}"),
    "two functions": (lambda: task(model=(print, print)), "a tuple is no model (jg.learning.from_functions(init, apply))"),
    "a flax module": (lambda: task(model=of_package("Dense", "flax")()), f"a Dense is no model {FLAX}"),
    "an equinox module": (lambda: task(model=of_package("MLP", "equinox")()), f"an MLP is no model {EQX}"),
    "a class of flax": (lambda: task(model=of_package("Dense", "flax")), f"the class Dense is no model {FLAX}"),
    "a module of nnx": (lambda: task(model=of_package("Linear", "flax.nnx")()), f"a Linear is no model {NNX}"),
    "another pair of init and apply": (lambda: task(model=of_package("Transformed", "haiku")()), "a Transformed is no model (from_functions(lambda key: model.init(key, x), lambda p, x: model.apply(p, …, x)))"),
    "running statistics": (lambda: task(model=jg.learning.from_functions(with_statistics, lambda p, x: x @ p["params"]["w"])), "init returns batch_stats beside params, which no gradient moves (init returns module.init(key, x)['params'] alone; take a module without running statistics, such as LayerNorm in the place of BatchNorm)"),
    "functions swapped": (lambda: task(model=jg.learning.from_functions(swapped_apply, swapped_init)), "the model's init raised TypeError: swapped_apply() missing 1 required positional argument: 'x' (init(key) -> params, floats in any pytree)"),
    "a model of other samples": (lambda: task(model=jg.learning.models.logistic((57,), 2)), "the model's apply raised TypeError: dot_general requires contracting dimensions to have the same shape, got (3,) and (58,) (apply(params, x), x of two samples being of shape (2, 3))"),
    "a number for a shape": (lambda: jg.learning.models.logistic(57, 2), "logistic: input_shape must be a list, not 57"),
    "half a width": (lambda: jg.learning.models.mlp((4,), 2, hidden=(8.5,)), "mlp: hidden[0] must be a whole number, not 8.5"),
    "a name for private ones": (lambda: task(private="head"), "classification: private is a list of names (private=['head'])"),
    "another start": (lambda: task(init="Same"), "classification: init cannot be 'Same' (did you mean 'same'? allowed: independent, same)"),
    "privacy in a dict": (lambda: task(privacy={"clip": 1.0}), "classification: a dict is no DifferentialPrivacy (privacy=jg.learning.DifferentialPrivacy(clip, noise_multiplier))"),
    "a graph for an order": (lambda: task(order=jg.topology.ring(9)), "classification: a Graph is no order of nodes (order=graph.order)"),
    "no type": (lambda: task(dtype="float3"), "'float3' is no dtype (dtype is bfloat16, float16, float32 or float64)"),
    "one node for many": (lambda: jg.learning.flip_labels(data(), parts.iid(data().y_train, 9), 3), "flip_labels: nodes is a list of node numbers, not 3"),
    "a negative seed": (lambda: parts.iid(data().y_train, 9, rng=-1), "iid: rng must be a generator or a seed of at least 0, not -1"),
    "a key of JAX for a seed": (lambda: task(rng=jax.random.key(0)), "classification: rng must be a generator or a seed of at least 0, not an array (rng=0, or numpy.random.default_rng(0))"),
    "a divider without chance": (lambda: task(partition=without_chance), "the function without_chance takes no rng (it divides as (labels, n_nodes, rng) -> Partition)"),
    "lists for arrays": (lambda: jg.learning.Dataset("mine", [[0.0], [1.0]], [0, 1], [[0.0]], [0], 2), "mine: training samples and labels are arrays (from_arrays(x, y) takes lists)"),
    "half a column": (lambda: jg.learning.datasets.read_csv("a.csv", label_column=0.0), "read_csv: label_column must be a name or a whole number, not 0.0"),
    "one column to drop": (lambda: jg.learning.datasets.read_csv("a.csv", drop=1), "read_csv: drop must be a list, not 1"),
    "a word for a header": (lambda: jg.learning.datasets.read_csv("a.csv", header="no"), "read_csv: header must be True or False, not 'no'"),
    "half a sample a batch": (lambda: task(batch_size=0.5), "classification: batch_size must be a whole number of at least 0, not 0.5"),
    "an endless batch": (lambda: task(batch_size=2**31), "classification: batch_size must be at most 2,147,483,647, not 2,147,483,648"),
}  # fmt: skip


@pytest.mark.wrong_types
@pytest.mark.parametrize("case", MISTAKES)
def test_what_belongs_elsewhere_is_named_with_the_right_call(case: str) -> None:
    make, text = MISTAKES[case]
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value) == text


def test_a_function_of_a_file_that_divides_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def part(labels, n_nodes, rng):\n    return [labels] * n_nodes\n")
    name = f"{tmp_path / 'mine.py'}:part"
    with pytest.raises(ArgumentTypeError, match=f"^{name} returned a list, which is no partition of table"):
        task(partition=name)


def test_the_wrong_kind_of_thing_is_a_type_error_too() -> None:
    with pytest.raises(TypeError, match="is no model"):
        task(model=3)
    assert issubclass(ArgumentTypeError, InputError)


def test_parameters_called_params_may_have_others_beside_them() -> None:
    def init(key: Any) -> Any:
        return {"params": jax.random.normal(key, (2, 2)), "bias": jnp.zeros(2)}

    model = jg.learning.from_functions(init, lambda p, x: x @ p["params"] + p["bias"])
    assert task(model=model).n_params == 6
