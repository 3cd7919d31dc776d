"""The compiled rounds lower for cpu, cuda and tpu, for every algorithm and every operator, without such a device."""

import jax
import jax.numpy as jnp
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import ALGORITHMS
from jaxgossip.mixing import MIXINGS
from jaxgossip.simulation import Program
from jaxgossip.topology import weights

t = jg.topology
PLATFORMS = ("cpu", "cuda", "tpu")

OPERATORS = {
    "roll": lambda: jg.mixing.metropolis_hastings(t.ring(16)),
    "lattice": lambda: jg.mixing.metropolis_hastings(t.grid(16, shape=(4, 4))),
    "flip": lambda: jg.mixing.metropolis_hastings(t.hypercube(16)),
    "mean": lambda: jg.mixing.metropolis_hastings(t.complete(16)),
    "slots": lambda: jg.mixing.metropolis_hastings(t.random_regular(16, degree=4, rng=0)),
    "hybrid": lambda: jg.mixing.metropolis_hastings(t.star(100)),
    "dense": lambda: jg.mixing.dense(weights.metropolis_hastings(t.ring(16))),
    "periodic": lambda: jg.mixing.periodic([weights.uniform(t.ring(16)), weights.uniform(t.star(16))]),
    **{kind: (lambda kind=kind: MIXINGS[kind](t.complete(16))) for kind in MIXINGS},
    "matching on a graph": lambda: jg.mixing.matching(t.random_regular(16, degree=4, rng=0)),
}


def lowers_everywhere(algorithm: jg.algorithms.Algorithm, **conditions: float) -> None:
    program = Program(algorithm, conditions=jg.network.Conditions(**conditions))
    function, (arrays, like, until) = program.lowerable()

    def exported(data: list[jax.Array], like, until):
        # keys have no form outside of JAX: they travel as their words
        return function(
            [jax.random.wrap_key_data(a) if k else a for a, k in zip(data, is_key, strict=True)], like, until
        )

    is_key = [jnp.issubdtype(array.dtype, jax.dtypes.prng_key) for array in arrays]
    data = [jax.random.key_data(a) if k else a for a, k in zip(arrays, is_key, strict=True)]
    result = jax.export.export(jax.jit(exported), platforms=PLATFORMS)(data, like, until)
    assert result.platforms == PLATFORMS


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_lowers_for_every_platform(name: str) -> None:
    W = OPERATORS[name]()
    problem = jg.learning.isotropic_quadratic(W.n_nodes, dimension=5, rng=0)
    lowers_everywhere(jg.algorithms.dsgd(problem, optax.sgd(0.1), W))
    lowers_everywhere(jg.algorithms.gossip(problem, optax.sgd(0.1), W, weighting="age"), drop=0.1, online=0.9)


@pytest.mark.parametrize(
    ("name", "model"),
    [*((name, "logistic") for name in ALGORITHMS), *(("dsgd", m) for m in ("pegasos", "softmax", "mlp", "cnn"))],
)
def test_every_algorithm_lowers_for_every_platform(name: str, model: str) -> None:
    data = jg.learning.datasets.synthetic(samples=200, features=64, rng=0)
    part = jg.learning.partitions.iid(data.y_train, 16, rng=0)
    problem = jg.learning.classification(data, part, jg.learning.MODELS[model]((64,), 2), batch_size=4)
    W = (jg.mixing.metropolis_hastings(t.ring(16)),) if name in ("gossip", "dsgd") else ()
    lowers_everywhere(ALGORITHMS[name](problem, optax.adam(0.1), *W))
