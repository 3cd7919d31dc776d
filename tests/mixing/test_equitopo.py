"""EquiTopo: random offsets contract as predicted, in pairs or directed; and sequences that end at the mean, as mixings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core import counting
from jaxgossip.mixing import Faults
from jaxgossip.mixing.operators.structured import Roll
from jaxgossip.mixing.time_varying.equitopo import paired

t, m = jg.topology, jg.mixing
KEYS = jax.random.split(jax.random.key(0), 4000)


def at(schedule: m.TimeVarying, seed: int = 0, number: int = 0) -> np.ndarray:
    return schedule.at(jnp.int32(number), jax.random.key(seed)).as_matrix()


def one_by_one(n: int, offset: int, start: int) -> np.ndarray:
    """Return whom each node meets, as algorithm 2 of the paper says it: a loop over nodes."""
    partner = np.arange(n)
    for i in np.roll(np.arange(n), -start):
        j = (i + offset) % n
        if partner[i] == i and partner[j] == j:
            partner[i], partner[j] = j, i
    return partner


@pytest.mark.slow
def test_pairs_are_those_of_the_papers_loop() -> None:
    for n in range(2, 16):
        meet = jax.jit(jax.vmap(lambda offset, start, n=n: paired(n, offset, start)))
        offset, start = (grid.ravel() for grid in np.meshgrid(np.arange(1, n), np.arange(n)))
        near = np.minimum(offset, n - offset)
        # An offset above n/2 is the opposite one from another start on.
        found = meet(jnp.asarray(near), jnp.asarray((start - np.where(offset > near, near, 0)) % n))
        np.testing.assert_array_equal(found, [one_by_one(n, o, s) for o, s in zip(offset, start, strict=True)])


@pytest.mark.parametrize("eta", [0.5, 1.0])
@pytest.mark.parametrize("kind", ["od_equi_dyn", "ou_equi_dyn"])
def test_a_round_has_the_papers_weights(kind: str, eta: float) -> None:
    n = 13
    for seed in range(8):
        W = m.MIXINGS[kind](t.ring(n), eta=eta).at(jnp.int32(0), jax.random.key(seed))
        matrix = W.as_matrix()
        links = (matrix > 0) & ~np.eye(n, dtype=bool)
        np.testing.assert_allclose(matrix[links], eta * (n - 1) / n, rtol=1e-6)
        np.testing.assert_allclose([matrix.sum(0), matrix.sum(1)], 1, atol=1e-6)
        if kind == "od_equi_dyn":
            distances = (np.nonzero(links)[1] - np.nonzero(links)[0]) % n
            assert len(distances) == n
            assert len(set(distances)) == 1
        else:
            np.testing.assert_array_equal(matrix, matrix.T)
            assert links.sum(1).max() == 1
        assert counting.to_int(W.messages(None)) == links.sum()


def left(schedule: m.TimeVarying, x: np.ndarray) -> np.ndarray:
    """Return (seeds,): what a round leaves of ‖Πx‖²."""
    column = jnp.asarray(x - x.mean())[:, None]
    after = jax.jit(jax.vmap(lambda key: schedule.at(jnp.int32(0), key)(column)[:, 0]))(KEYS)
    return np.asarray((after**2).sum(1) / (column**2).sum())


@pytest.mark.by_default("2")
@pytest.mark.parametrize("n", [2, 12, 300])
def test_od_equi_dyn_leaves_half_of_1_minus_1_over_n(n: int) -> None:
    x = np.random.default_rng(0).normal(size=n)
    assert left(m.od_equi_dyn(t.complete(n)), x).mean() == pytest.approx((1 - 1 / n) / 2, rel=0.02, abs=1e-6)


@pytest.mark.slow
def test_ou_equi_dyn_leaves_0_558() -> None:
    n = 300
    found = [left(m.ou_equi_dyn(t.complete(n)), np.random.default_rng(seed).normal(size=n)).mean() for seed in range(3)]
    assert np.mean(found) == pytest.approx(0.558, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["od_equi_dyn", "ou_equi_dyn", "base_k_plus_one", "hyper_hypercube"])
def test_what_is_lost_stays_with_its_receiver(kind: str) -> None:
    n = 16
    W = m.MIXINGS[kind](t.complete(n)).at(jnp.int32(1), jax.random.key(1))
    online = jax.random.uniform(jax.random.key(3), (n,)) < 0.7
    matrix = np.asarray(W.mix(jnp.eye(n), Faults(jax.random.key(2), 0.3, online)))
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    kept = matrix[~np.asarray(online)]
    np.testing.assert_array_equal(kept, np.eye(n)[~np.asarray(online)])
    np.testing.assert_array_equal(np.asarray(W.mix(jnp.eye(n), Faults(jax.random.key(2), 1.0))), np.eye(n))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["equi_static", "u_equi_static"])
def test_static_circulants_roll_with_one_number_a_slot(kind: str) -> None:
    W = m.MIXINGS[kind](t.complete(40), degree=60, rng=1)  # some offsets are drawn more than once
    assert isinstance(W, Roll)
    assert all(weight.ndim == 0 for weight in W.weights)
    expected = getattr(t, kind)(40, 60, rng=1).to_scipy().toarray()
    np.testing.assert_allclose(W.as_matrix(), expected, atol=1e-7)
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(W(x)), expected @ x, atol=1e-5)


@pytest.mark.by_default("1-1")
@pytest.mark.parametrize(("n", "degree"), [(1, 1), (6, 1), (25, 3), (60, 2)])
def test_base_k_plus_one_is_the_mean_after_its_last_round(n: int, degree: int) -> None:
    sequence = t.base_k_plus_one(n, degree)
    with jax.enable_x64(True):
        schedule = m.base_k_plus_one(t.complete(n), degree=degree)
        total = np.eye(n)
        for number in range(len(sequence)):
            W = at(schedule, number=number + len(sequence))  # the second time around
            np.testing.assert_array_equal(W, sequence[number].to_scipy().toarray())
            total = W @ total
    assert np.abs(total - 1 / n).max() < 1e-12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: m.od_equi_dyn(t.complete(1)), "od_equi_dyn needs at least two nodes"),
        (lambda: m.ou_equi_dyn(t.complete(5), eta=0.0), "ou_equi_dyn: eta must be above 0 and at most 1, not 0.0"),
        (lambda: m.hyper_hypercube(t.complete(6)), "hyper_hypercube: 6 nodes have the prime factor 3"),
        (lambda: m.base_k_plus_one(t.complete(6), degree=0), "degree must be at least 1, not 0"),
    ],
)
def test_impossible_schedules_are_clear_errors(make, message: str) -> None:
    with pytest.raises(jg.errors.GraphError, match=message):
        make()
