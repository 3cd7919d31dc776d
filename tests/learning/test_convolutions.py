"""Convolutions of users' own models, which are computed as their fastest form on a CPU."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgossip.learning import models as m
from jaxgossip.learning.data.arrays import from_arrays
from jaxgossip.learning.models.convolutions import FastConvolutions, with_fast_convolutions
from jaxgossip.learning.supervised import supervised

KEY = jax.random.key(0)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 5), (2, 1), padding=((0, 2), (1, 3)))(x))
        x = nn.Conv(4, (3, 3), feature_group_count=2, kernel_dilation=2)(x)  # as it is
        return nn.Dense(3)(nn.relu(nn.Conv(2, (1, 1))(x)).reshape(x.shape[0], -1))


def of_linen() -> m.Model:
    return m.from_linen(Net(), (9, 8, 2))


def of_equinox() -> m.Model:
    def make(key):
        first, last = jax.random.split(key)
        layers = [
            eqx.nn.Lambda(lambda x: jnp.moveaxis(x, -1, 0)),
            eqx.nn.Conv2d(2, 3, 3, 2, 1, key=first),
            eqx.nn.Lambda(lambda x: jax.nn.relu(x).ravel()),
            eqx.nn.Linear(60, 3, key=last),
        ]
        return eqx.nn.Sequential(layers)

    return m.from_equinox(make)


def convolutions(function, *arguments) -> int:
    return str(jax.make_jaxpr(function)(*arguments)).count("conv_general_dilated[")


@pytest.mark.by_default("of_equinox-0")
@pytest.mark.parametrize(("make", "left"), [(of_linen, 1), (of_equinox, 0)])
def test_own_models_keep_their_values_and_gradients(make, left: int) -> None:
    model, rng = make(), np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 9, 8, 2)), jnp.float32)
    fast = with_fast_convolutions(model, jax.ShapeDtypeStruct(x.shape, x.dtype))
    shapes = jax.eval_shape(model.init, KEY)
    params = jax.tree.map(lambda like: jnp.asarray(0.3 * rng.normal(size=like.shape), like.dtype), shapes)
    assert convolutions(model.apply, params, x) > left == convolutions(fast.apply, params, x)

    def loss(params, apply):
        return jnp.square(apply(params, x)).sum()

    of_both = jax.jit(lambda params: [jax.value_and_grad(loss)(params, one.apply) for one in (fast, model)])
    for own, other in zip(*map(jax.tree.leaves, of_both(params)), strict=True):
        np.testing.assert_allclose(own, other, rtol=2e-5, atol=2e-5)


def test_a_problem_trains_with_them() -> None:
    data = from_arrays(np.ones((20, 9, 8, 2), np.float32), np.arange(20) % 3, rng=0)
    model = of_linen()
    first, again = (supervised(data, "iid", model, nodes=2, batch_size=2) for _ in range(2))
    assert first.model == again.model  # and so they share their programs
    assert isinstance(first.model.apply, FastConvolutions)
    models = jax.eval_shape(first.init, KEY)
    assert convolutions(first.gradient, models, KEY) == 3  # of the one with groups, and its gradients
    own = supervised(data, "iid", m.cnn((9, 8, 2), 3), nodes=2, batch_size=2)
    assert not isinstance(own.model.apply, FastConvolutions)
