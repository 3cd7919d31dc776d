"""What one sees of a value in a notebook: one line with its sizes and key numbers, and never its arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.pytree import partition

RING = jg.topology.ring(1024)
SOME = jg.topology.random_regular(40, degree=8, rng=0)
W = jg.mixing.metropolis_hastings(SOME)
QUADRATIC = jg.learning.isotropic_quadratic(40, dimension=3, noise=0.5, rng=0)
ALGORITHM = jg.algorithms.dsgd(QUADRATIC, optax.sgd(0.1), W)
PROTOCOL = jg.algorithms.gossip_learning(QUADRATIC, optax.sgd(0.1))
NETWORK = jg.schedule.schedule(
    SOME,
    clock=jg.schedule.clocks.fixed(40, np.random.default_rng(0)),
    drop=0.25,
    delay=jg.schedule.delays.uniform(low_s=1.0, high_s=2.0),
)
WORDS = {
    "Graph(ring: 1,024 nodes, degree 2)": RING,
    "Graph(random_regular: 40 nodes, 160 edges)": SOME,
    "Roll(1,024 nodes, 2,048 messages a round)": jg.mixing.metropolis_hastings(RING),
    "Slots(40 nodes, 320 messages a round)": W,
    "RandomMatching(40 nodes, changes by round)": jg.mixing.matching(SOME),
    "Mass(40 nodes, keeps mass)": jg.mixing.push_sum(SOME),
    "IsotropicQuadratic(40 nodes × 3 parameters, curvature 1, noise 0.5)": QUADRATIC,
    "LeastSquares(4 nodes × 2 parameters, 3 samples a node, all of them in a gradient)": jg.learning.least_squares(
        4, dimension=2, samples=3, rng=0
    ),
    "Optimizer(sgd, learning_rate=0.1)": jg.optimizers.Optimizer(optax.sgd, {"learning_rate": jnp.float32(0.1)}),
    "Algorithm(D-SGD (ATC) on 40 nodes × 3 parameters over Slots(40 nodes, 320 messages a round))": ALGORITHM,
    "GossipProtocol(gossip learning on 40 nodes × 3 parameters, by push or pull or push_pull)": PROTOCOL,
    "Schedule(push on Graph(random_regular: 40 nodes, 160 edges), cycles of 1 s, messages take time, "
    "25% of messages lost, seed 0)": NETWORK,
    "Partition(4 nodes, 9 samples: each trains on 2 to 3)": jg.learning.partitions.iid(np.zeros(9, int), 4, rng=0),
}


@pytest.mark.parametrize("words", WORDS)
def test_values_are_one_line(words: str) -> None:
    assert repr(WORDS[words]) == words


def test_problems_of_samples_are_one_line() -> None:
    data = jg.learning.from_arrays(np.arange(24.0).reshape(12, 2), np.arange(12) % 2, test_fraction=0.25, rng=0)
    model = jg.learning.models.logistic((2,), 2)
    problem = jg.learning.classification(data, "iid", model, nodes=3, batch_size=2)
    assert repr(problem) == "Supervised(3 nodes × 3 parameters, 9 samples, 2 of a node in a gradient)"


@pytest.mark.slow
def test_states_show_shapes() -> None:
    run = jg.simulate(ALGORITHM, 0).run
    assert repr(run) == "RunState((40, 3) float32)"


def test_what_is_traced_is_shown_too() -> None:
    seen: list[str] = []

    def traced(problem: jg.learning.Problem, W: jg.mixing.Operator, rate: jax.Array) -> jax.Array:
        algorithm = jg.algorithms.dsgd(problem, jg.optimizers.Optimizer(optax.sgd, {"learning_rate": rate}), W)
        seen.extend(map(repr, (algorithm, algorithm.method)))
        return rate

    parts, rest = partition((QUADRATIC, W))
    jax.eval_shape(lambda arrays, rate: traced(*rest.combined(arrays), rate), parts, jnp.float32(1))
    assert seen[0] == repr(ALGORITHM)
    assert len(seen[1].splitlines()) == 1
