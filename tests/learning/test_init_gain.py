"""Gains of starts: what is drawn and exchanged is multiplied, bit for bit, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import InputError

KEY, N, GAIN = jax.random.key(3), 4, 2.0


def two_layers(key: jax.Array) -> dict[str, jax.Array]:
    return {
        "bias": jnp.zeros(3),
        "head": jax.random.normal(jax.random.fold_in(key, 1), (3, 2)),
        "scale": jnp.ones(3),
        "weights": jax.random.normal(key, (2, 3)),
    }


def supervised(**options):
    data = jg.learning.from_arrays(np.ones((8, 2), np.float32), np.arange(8) % 2, test_fraction=0.25, rng=0)
    model = jg.learning.from_functions(
        two_layers, lambda p, x: (jnp.tanh(x @ p["weights"] + p["bias"]) * p["scale"]) @ p["head"]
    )
    return jg.learning.supervised(data, "iid", model, nodes=N, **{"init": "independent", **options})


@pytest.mark.by_default("float32-same")
@pytest.mark.parametrize("init", ["same", "independent"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_drawn_parameters_are_wider_and_constants_are_not(dtype: type, init: str) -> None:
    plain, wide = (supervised(dtype=dtype, init=init, init_gain=gain) for gain in (1.0, GAIN))
    for row, other in zip(plain.init(KEY), wide.init(KEY), strict=True):
        before, after = plain.params(row), wide.params(other)
        for name, factor in {"weights": GAIN, "head": GAIN, "scale": 1, "bias": 1}.items():
            np.testing.assert_array_equal(after[name], factor * before[name])


def test_private_parameters_are_never_mixed_and_stay_as_they_are_drawn() -> None:
    plain, wide = (supervised(private=["head"], init_gain=gain) for gain in (1.0, GAIN))
    for row, other in zip(plain.init(KEY), wide.init(KEY), strict=True):
        before, after = plain.params(row), wide.params(other)
        np.testing.assert_array_equal(after["weights"], GAIN * before["weights"])
        np.testing.assert_array_equal(after["head"], before["head"])


@pytest.mark.parametrize("task", ["isotropic_quadratic", "least_squares"])
@pytest.mark.parametrize("init", ["same", "independent"])
def test_quadratics_start_wider(task: str, init: str) -> None:
    problem = getattr(jg.learning, task)(N, dimension=3, init=init)
    wide = jg.learning.with_init_gain(problem, GAIN)
    np.testing.assert_array_equal(wide.init(KEY), GAIN * problem.init(KEY))
    np.testing.assert_array_equal(jg.learning.with_init_gain(wide, 1.0).init(KEY), problem.init(KEY))


@pytest.mark.slow
def test_factors_of_items_are_wider_and_those_of_users_are_not() -> None:
    problem = jg.learning.ratings(5, items=5, rank=2, ratings_a_user=5, init="independent")
    before, after = (np.asarray(one.init(KEY)) for one in (problem, jg.learning.with_init_gain(problem, GAIN)))
    np.testing.assert_array_equal(after, np.where(np.arange(before.shape[1]) < problem.n_shared, GAIN, 1) * before)


@pytest.mark.wrong_types
def test_gains_that_cannot_be_used_are_named() -> None:
    problem = jg.learning.isotropic_quadratic(N)
    for wrong in (0.0, -1.0, float("nan"), float("inf"), "centrality", None):
        with pytest.raises(InputError, match="init_gain"):
            jg.learning.with_init_gain(problem, wrong)
    with pytest.raises(InputError, match="does not draw its models with a gain"):
        jg.learning.with_init_gain(jg.learning.averaging(N), GAIN)
