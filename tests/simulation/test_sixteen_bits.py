"""Models of 16 bits: half the memory and half the bytes, sums and steps in float32, rounded once."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core import counting
from jaxgossip.core.random import purpose_key, run_key
from jaxgossip.simulation import checkpoint

t = jg.topology
N = 48
KINDS = pytest.mark.parametrize("kind", [jnp.bfloat16, jnp.float16], ids=["bfloat16", "float16"])

# built where they are used, not where tests are collected
OPERATORS = {
    "roll": lambda: jg.mixing.metropolis_hastings(t.ring(N)),
    "lattice": lambda: jg.mixing.metropolis_hastings(t.grid(N, shape=(6, 8))),
    "mean": lambda: jg.mixing.metropolis_hastings(t.complete(N)),
    "slots": lambda: jg.mixing.metropolis_hastings(t.random_regular(N, degree=16, rng=0)),
    "hybrid": lambda: jg.mixing.metropolis_hastings(t.star(N)),
    "dense": lambda: jg.mixing.dense(t.metropolis_hastings(t.ring(N))),
    "matching": lambda: jg.mixing.matching(t.complete(N)).at(jnp.int32(0), jax.random.key(0)),
    "pull": lambda: jg.mixing.pull(t.complete(N), fanout=3).at(jnp.int32(0), jax.random.key(0)),
    "push": lambda: jg.mixing.push(t.complete(N), fanout=3).at(jnp.int32(0), jax.random.key(0)),
}


@pytest.mark.by_default("slots-faultless-bfloat16", "slots-faulty-float16")
@KINDS
@pytest.mark.parametrize("faults", [False, True], ids=["faultless", "faulty"])
@pytest.mark.parametrize("name", OPERATORS)
def test_mixing_sums_in_float32_and_rounds_once(name: str, faults: bool, kind: type) -> None:
    W, x = OPERATORS[name](), jnp.asarray(np.random.default_rng(0).normal(size=(N, 5)), kind)
    key = jax.random.key(1)
    online = jax.random.uniform(key, (N,)) < 0.8
    given = jg.mixing.Faults(key, 0.2, online) if faults else None
    found, exact = W.mix(x, given), W.mix(x.astype(jnp.float32), given)
    assert found.dtype == kind
    half_a_step = float(jnp.finfo(kind).eps) / 2
    np.testing.assert_allclose(np.asarray(found, np.float32), exact, rtol=1.01 * half_a_step, atol=1e-6)


def problem(kind: type, **options: object) -> jg.learning.Problem:
    data = jg.learning.datasets.synthetic(features=5, samples=600, rng=0)
    partition = jg.learning.partitions.iid(data.y_train, N, rng=0)
    return jg.learning.classification(data, partition, jg.learning.models.logistic((5,), 2), dtype=kind, **options)


@pytest.mark.slow
@KINDS
def test_steps_too_small_for_a_model_add_up_within_a_round(kind: type) -> None:
    steps, W = 64, OPERATORS["roll"]()
    ends = {}
    for dtype in (kind, jnp.float32):
        one = jg.learning.TASKS["isotropic_quadratic"](N, dimension=3, noise=0, heterogeneity=0, dtype=dtype)
        rule = jg.algorithms.dsgd(one, optax.sgd(1e-3), W, local_steps=steps)
        ends[dtype] = np.asarray(jg.simulate(rule, rounds=1, seed=1).x, np.float32)
    step = float(jnp.finfo(kind).eps)  # a step alone would be rounded away: 1e-3 of the model
    np.testing.assert_allclose(ends[kind], ends[jnp.float32], rtol=2 * step, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("gossip", jnp.bfloat16), ("dsgd", jnp.float16), ("isolated", jnp.bfloat16), ("centralised", jnp.float16)],
)
def test_every_algorithm_learns_with_them(algorithm: str, kind: type) -> None:
    accuracies = []
    for dtype in (kind, jnp.float32):
        task = problem(dtype, batch_size=4)
        words = {"W": OPERATORS["matching"]()} if algorithm in ("gossip", "dsgd") else {}
        rule = jg.algorithms.ALGORITHMS[algorithm](task, optax.sgd(0.2, momentum=0.9), **words)
        result = jg.simulate(rule, rounds=40, evaluate_every=40)
        assert result.x.dtype == dtype
        assert {leaf.dtype for leaf in jax.tree.leaves(result.state.opt_state)} <= {
            np.dtype("float32"),
            np.dtype("int32"),
        }
        accuracies.append(result.metrics.final["test_accuracy_mean"])
    assert abs(accuracies[0] - accuracies[1]) < 0.03


@pytest.mark.slow
def test_a_message_has_half_the_bytes() -> None:
    sent = []
    for dtype in (jnp.bfloat16, jnp.float32):
        rule = jg.algorithms.dsgd(problem(dtype), optax.sgd(0.1), OPERATORS["roll"]())
        sent.append(jg.simulate(rule, rounds=3).metrics.final["bytes_sent"])
    assert 2 * sent[0] == sent[1] == 3 * 2 * N * 6 * 4


@pytest.mark.slow
@KINDS
def test_what_a_method_has_widened_travels_and_stays_in_16_bits(kind: type) -> None:
    class Diffusion(jg.algorithms.Method):
        def init(self, problem, key):
            return problem.init(key)

        def step(self, problem, W, x, round_):
            links, half = round_.links(W, problem.n_shared), x - jnp.float32(0.1) * x
            assert half.dtype == jnp.float32
            assert links.mix(half).dtype == kind
            weight = jnp.ones((N, 1), jnp.float32)
            assert links.mix(weight, payload="weight").dtype == jnp.float32
            return half + links.mix(half), links.sent(half, metadata=(weight,))

        def models(self, x):
            return x + jnp.float32(0)

    task = jg.learning.TASKS["isotropic_quadratic"](N, dimension=3, noise=0, init="independent", dtype=kind)
    rule = jg.algorithms.Algorithm(Diffusion(), task, OPERATORS["roll"]())
    result = jg.simulate(rule, rounds=1)
    x = task.init(purpose_key(run_key(0), "init"))
    half = x - jnp.float32(0.1) * x
    expected = (half + OPERATORS["roll"]()(half.astype(kind))).astype(kind)
    assert result.state.dtype == result.x.dtype == kind
    np.testing.assert_array_equal(np.asarray(result.x, np.float32), np.asarray(expected, np.float32))
    assert result.metrics.final["bytes_sent"] == 2 * N * (3 * 2 + 4)


@pytest.mark.slow
def test_large_halves_do_not_count_as_diverged() -> None:
    one = jg.learning.TASKS["isotropic_quadratic"](N, dimension=3, noise=0, heterogeneity=0, dtype=jnp.float16)
    one.targets = one.targets + 6e4  # their sum is beyond float16
    result = jg.simulate(jg.algorithms.dsgd(one, optax.sgd(1.0), OPERATORS["roll"]()), rounds=2)
    assert result.status == "completed"
    assert counting.to_int(result.run.traffic.messages) == 2 * 2 * N


@KINDS
def test_a_checkpoint_gives_the_same_bits_back(kind: type, tmp_path: Path) -> None:
    tree = {"x": jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), kind), "age": jnp.arange(4)}
    checkpoint.save(tmp_path, tree, round_number=1, metadata={})
    back, _ = checkpoint.load(tmp_path, tree)
    assert back["x"].dtype == kind
    np.testing.assert_array_equal(np.asarray(back["x"]).view(np.uint16), np.asarray(tree["x"]).view(np.uint16))
