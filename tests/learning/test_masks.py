"""Weight decay by names of parameters, Muon by its name, and clipping, on the model of each node."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import InputError
from jaxgossip.learning.nodewise import fresh_states, updates
from jaxgossip.learning.optimizers import OPTIMIZERS, clipped, layerwise, parameters_named

DECAY = {"adafactor": "weight_decay_rate"}
MASKED = ["adafactor", "adamw", "adan", "lamb", "lars", "lion", "muon", "nadamw"]


@pytest.fixture(scope="module")
def problem() -> jg.learning.Problem:
    data = jg.learning.datasets.synthetic(samples=60, features=6, classes=3, rng=0)
    model = jg.learning.models.mlp((6,), 3, hidden=(4,))
    return jg.learning.supervised(data, "iid", model, nodes=1, batch_size=0, dtype=jnp.float32)


def shrunk(problem, optimizer) -> dict[str, float]:
    """Return by how much each parameter of a model of ones changes in a step without a gradient."""
    row = jnp.ones((1, problem.n_params))
    optimizer = layerwise(problem, optimizer)
    step, _ = updates(optimizer, jnp.zeros_like(row), fresh_states(optimizer, row), row)
    return {name: float(jnp.abs(leaf).max()) for name, leaf in problem.params(step[0]).items()}


@pytest.mark.by_default("adamw")
@pytest.mark.parametrize("name", MASKED)
def test_only_kernels_decay(name: str, problem: jg.learning.Problem) -> None:
    found = shrunk(
        problem, OPTIMIZERS[name](0.1, **{DECAY.get(name, "weight_decay"): 0.5}, weight_decay_mask="kernels")
    )
    matrices = {key for key, leaf in problem.params(problem.init(jax.random.key(0))[0]).items() if leaf.ndim == 2}
    assert matrices == {"w0", "w1"}
    assert {key for key, change in found.items() if change > 0} == matrices


def test_names_and_patterns_choose_what_decays(problem: jg.learning.Problem) -> None:
    for names, chosen in ((["w1"], {"w1"}), (["?0"], {"w0", "b0"}), (["b1", "w*"], {"b1", "w0", "w1"})):
        found = shrunk(problem, OPTIMIZERS["adamw"](0.1, weight_decay=0.5, weight_decay_mask=names))
        assert {key for key, change in found.items() if change > 0} == chosen
    nested = {"block": {"dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}, "head": {"bias": jnp.ones(1)}}
    assert parameters_named(["*/kernel", "head"])(nested) == {
        "block": {"dense": {"kernel": True, "bias": False}}, "head": {"bias": True},
    }  # fmt: skip


def test_optaxs_own_masks_still_work(problem: jg.learning.Problem) -> None:
    def first(params):
        return {key: key.endswith("0") for key in params}

    for keywords in ({"mask": first}, {"weight_decay_mask": first}):
        found = shrunk(problem, OPTIMIZERS["adamw"](0.1, weight_decay=0.5, **keywords))
        assert {key for key, change in found.items() if change > 0} == {"w0", "b0"}


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"weight_decay_mask": ["kernel"]}, "the model has no parameter 'kernel'"),
        ({"weight_decay_mask": "kernel"}, "no parameters are called 'kernel'"),
        ({"weight_decay_mask": 5}, "weight_decay_mask must be 'kernels' or a list of names, not 5"),
        ({"weight_decay_mask": ["w0", 5]}, "weight_decay_mask must be 'kernels' or a list of names"),
        ({"weight_decay_mask": "kernels", "weight_decay": 0.0}, "weight_decay_mask without weight_decay has no effect"),
        ({"weight_decay_mask": "kernels", "mask": None}, "mask and weight_decay_mask are the same"),
    ],
)
def test_masks_without_effect_are_told(problem: jg.learning.Problem, keywords: dict, text: str) -> None:
    with pytest.raises(InputError, match=text):
        jg.algorithms.isolated(problem, OPTIMIZERS["adamw"](0.1, **keywords))


def test_a_model_without_names_has_no_kernels() -> None:
    with pytest.raises(InputError, match="the model is one array, whose parts have no names"):
        jg.algorithms.isolated(
            jg.learning.isotropic_quadratic(2, dimension=3), OPTIMIZERS["adamw"](0.1, weight_decay_mask="kernels")
        )


@pytest.mark.slow
def test_muon_by_name_is_muon_on_the_matrices(problem: jg.learning.Problem) -> None:
    row = problem.init(jax.random.key(1))
    gradient = problem.gradient(row, jax.random.key(0))
    named, optaxs = layerwise(problem, OPTIMIZERS["muon"](0.05)), layerwise(problem, optax.contrib.muon(0.05))
    by_name, by_optax, by_row = (
        updates(one, gradient, fresh_states(one, row), row)[0] for one in (named, optaxs, OPTIMIZERS["muon"](0.05))
    )
    np.testing.assert_array_equal(by_name, by_optax)
    step = problem.params(by_name[0] - by_row[0])
    assert all(jnp.abs(step[key]).max() > 1e-3 for key in ("w0", "w1"))
    assert all(jnp.abs(step[key]).max() < 1e-6 for key in ("b0", "b1"))  # Adam's in both
    # the steps of muon are nearly orthogonal: their singular values lie near the learning rate
    values = jnp.linalg.svd(problem.params(by_name[0])["w0"], compute_uv=False)
    assert 0.5 < values.min() / 0.05 < values.max() / 0.05 < 2


def test_gradients_are_clipped_by_value_then_by_norm() -> None:
    gradient = jnp.asarray([[3.0, -4.0, 0.0], [0.3, 0.4, 0.0]])
    for limits, expected in (
        ({"norm": 1.0}, [[0.6, -0.8, 0], [0.3, 0.4, 0]]),
        ({"value": 0.35}, [[0.35, -0.35, 0], [0.3, 0.35, 0]]),
        ({"value": 3.0, "norm": 1.0}, [[0.5**0.5, -(0.5**0.5), 0], [0.3, 0.4, 0]]),
    ):
        optimizer = clipped(optax.sgd(1.0), **limits)
        step, _ = updates(optimizer, gradient, fresh_states(optimizer, gradient), gradient)
        np.testing.assert_allclose(step, -np.asarray(expected), rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "limits", "text"),
    [
        (optax.sgd(0.1), {}, "neither norm nor value is given"),
        (optax.sgd(0.1), {"norm": 0.0}, "norm must be above 0"),
        (0.1, {"norm": 1.0}, "0.1 is no optimizer"),
    ],
)
def test_clipping_without_effect_is_told(given: object, limits: dict, text: str) -> None:
    with pytest.raises(InputError, match=text):
        clipped(given, **limits)
