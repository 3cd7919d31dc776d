"""Programs taken apart."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.core.devices.traced import evaluated, without_barriers


def test_barriers_around_inputs_alone_are_dropped_and_no_others() -> None:
    """A barrier with a literal in it, or with what has been computed, stays."""

    def program(x: jax.Array, y: jax.Array) -> Any:
        x, y = jax.lax.optimization_barrier(jax.lax.optimization_barrier((x, y)))
        z, two = jax.lax.optimization_barrier((y, 2.0))
        return jax.lax.optimization_barrier(x * two) + z

    x, y = jnp.arange(3.0), jnp.ones(3)
    whole = jax.make_jaxpr(program)(x, y).jaxpr
    rest, given = without_barriers(list(whole.eqns), dict(zip(whole.invars, (x, y), strict=True)))
    barriers = [equation for equation in rest if equation.primitive.name == "optimization_barrier"]
    assert [len(equation.invars) for equation in barriers] == [2, 1]
    (found,) = evaluated(rest, list(rest[-1].outvars), given)
    np.testing.assert_array_equal(found, program(x, y))
