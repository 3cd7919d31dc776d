"""The compiled rounds lower for cpu, cuda and tpu, for every algorithm and every operator, without such a device."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.pytree import partition
from jaxgossip.mixing import MIXINGS
from jaxgossip.network import ADVERSARIES, AGGREGATIONS, Adversary
from jaxgossip.simulation.compiled import pure
from jaxgossip.simulation.program import UNTIL, Run
from jaxgossip.topology import weights
from tests.algorithms.cases import CASES, Case, first_of_each

t = jg.topology
PLATFORMS = ("cpu", "cuda", "tpu")

OF_CLASSES = ("d_cliques", "stl_fw")
OF_MORE = ("from_file", "contacts", *OF_CLASSES)
"""Mixings that are made of more than a graph."""
OPERATORS = {
    "roll": lambda: jg.mixing.metropolis_hastings(t.ring(16)),
    "lattice": lambda: jg.mixing.metropolis_hastings(t.grid(16, shape=(4, 4))),
    "flip": lambda: jg.mixing.metropolis_hastings(t.hypercube(16)),
    "mean": lambda: jg.mixing.metropolis_hastings(t.complete(16)),
    "slots": lambda: jg.mixing.metropolis_hastings(t.random_regular(16, degree=4, rng=0)),
    "hybrid": lambda: jg.mixing.metropolis_hastings(t.star(100)),
    "dense": lambda: jg.mixing.dense(weights.metropolis_hastings(t.ring(16))),
    "periodic": lambda: jg.mixing.periodic([weights.uniform(t.ring(16)), weights.uniform(t.star(16))]),
    **{kind: (lambda kind=kind: MIXINGS[kind](t.complete(16))) for kind in MIXINGS if kind not in OF_MORE},
    **{kind: (lambda kind=kind: MIXINGS[kind](t.complete(16), np.eye(4)[np.arange(16) % 4])) for kind in OF_CLASSES},
    "contacts": lambda: jg.mixing.contacts(
        t.complete(16), jg.schedule.contacts.random_waypoint(16, 0, side_m=20.0, range_m=8.0), 4, period_s=10.0
    ),
    "fresh regular of degree 3": lambda: jg.mixing.fresh_regular(t.complete(16), degree=3),
    "push-sum on a directed graph": lambda: jg.mixing.push_sum(t.static_exponential(16)),
    "push-sum on a star": lambda: jg.mixing.push_sum(t.star(100)),
    "push-sum to random peers": lambda: jg.mixing.push_sum(t.ring(16), peers="random"),
    "push-sum to one peer": lambda: jg.mixing.push_sum(t.ring(16), peers="exponential"),
    "matching on a graph": lambda: jg.mixing.matching(t.random_regular(16, degree=4, rng=0)),
}


def lowers_everywhere(
    algorithm: jg.algorithms.Algorithm, *, speeds: jg.network.Speeds | None = None, **conditions: object
) -> None:
    # Of the run, and not of its program: that would be compiled for this machine, which says nothing about others.
    run = Run(algorithm, conditions=jg.network.Conditions(**conditions), speeds=speeds)
    arrays, static = partition(run)
    function = pure(Run.rounds, static)

    def exported(data: list[jax.Array], like, until):
        # keys have no form outside of JAX: they travel as their words
        return function(
            [jax.random.wrap_key_data(a) if k else a for a, k in zip(data, is_key, strict=True)], like, until
        )

    is_key = [jnp.issubdtype(array.dtype, jax.dtypes.prng_key) for array in arrays]
    data = [jax.random.key_data(a) if k else a for a, k in zip(arrays, is_key, strict=True)]
    result = jax.export.export(jax.jit(exported), platforms=PLATFORMS)(data, run.like(), UNTIL)
    assert result.platforms == PLATFORMS


@pytest.mark.by_default("static")
@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_lowers_for_every_platform(name: str) -> None:
    W = OPERATORS[name]()
    problem = jg.learning.isotropic_quadratic(W.n_nodes, dimension=5, rng=0)
    if W.conserves == "mass":
        lowers_everywhere(jg.algorithms.sgp(problem, optax.sgd(0.1), W))
        lowers_everywhere(jg.algorithms.push_diging(problem, optax.sgd(0.1), W), drop=0.1, online=0.9)
        return
    lowers_everywhere(jg.algorithms.dsgd(problem, optax.sgd(0.1), W))
    lowers_everywhere(jg.algorithms.gossip(problem, optax.sgd(0.1), W, weighting="age"), drop=0.1, online=0.9)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
def test_the_clocks_of_every_operator_lower_for_every_platform(name: str) -> None:
    W = OPERATORS[name]()
    problem = jg.learning.isotropic_quadratic(W.n_nodes, dimension=5, rng=0)
    make = jg.algorithms.sgp if W.conserves == "mass" else jg.algorithms.dsgd
    algorithm, speeds = make(problem, optax.sgd(0.1), W), jg.network.speeds.normal(W.n_nodes)
    lowers_everywhere(algorithm, speeds=speeds)
    lowers_everywhere(algorithm, speeds=speeds, drop=0.1, online=0.9, straggle=0.1)


def logistic(model: str = "logistic", n: int = 16, adversary: Adversary | None = None) -> jg.learning.Problem:
    data = jg.learning.datasets.synthetic(samples=200, features=64, rng=0)
    part = jg.learning.partitions.iid(data.y_train, n, rng=0)
    if adversary is not None and adversary.flips_labels:
        data, part = jg.learning.flip_labels(data, part, adversary.liars)
    if adversary is not None and adversary.backdoor is not None:
        data, part = jg.learning.plant_backdoor(data, part, adversary.liars, adversary.backdoor)
    return jg.learning.classification(data, part, jg.learning.MODELS[model]((64,), 2), batch_size=4)


@pytest.mark.by_default("halving_windows")
@pytest.mark.parametrize("case", first_of_each(CASES), ids=str)
def test_every_algorithm_lowers_for_every_platform(case: Case) -> None:
    lowers_everywhere(case.make(logistic(), optax.adam(0.1)), drop=0.1, online=0.9, straggle=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["pegasos", "softmax", "mlp", "cnn"])
def test_every_model_lowers_for_every_platform(model: str) -> None:
    W = jg.mixing.metropolis_hastings(t.ring(16))
    lowers_everywhere(jg.algorithms.dsgd(logistic(model), optax.adam(0.1), W))


def robust(problem: jg.learning.Problem | None = None, **conditions: object) -> None:
    problem = problem or jg.learning.isotropic_quadratic(16, dimension=5, rng=0)
    W = jg.mixing.metropolis_hastings(t.random_regular(16, degree=6, rng=0))
    lowers_everywhere(jg.algorithms.dsgd(problem, optax.sgd(0.1), W), drop=0.1, **conditions)


@pytest.mark.slow
@pytest.mark.parametrize("name", AGGREGATIONS)
def test_every_aggregation_lowers_for_every_platform(name: str) -> None:
    robust(aggregation=AGGREGATIONS[name]())


@pytest.mark.slow
@pytest.mark.parametrize("radius", ["cs_plus", "oracle", 1.0])
def test_every_radius_of_clipping_lowers_for_every_platform(radius: str | float) -> None:
    robust(aggregation=AGGREGATIONS["clipped"](radius=radius), adversary=ADVERSARIES["constant"](n_nodes=16))


@pytest.mark.slow
@pytest.mark.parametrize("name", ADVERSARIES)
def test_every_adversary_lowers_for_every_platform(name: str) -> None:
    adversary = ADVERSARIES[name](n_nodes=16, fraction=0.2)
    poisons = adversary.flips_labels or adversary.backdoor is not None
    robust(logistic(adversary=adversary) if poisons else None, adversary=adversary)


@pytest.mark.slow
def test_all_conditions_at_once_lower_for_every_platform() -> None:
    robust(
        online=0.9, link_drop=0.1, link_burst=4.0, session=5, straggle=0.2, split=2, split_at=3, heal_at=9, noise=0.1
    )
