"""Every compressor: a contraction with its stated δ, independent of the numbering of nodes, with exact message sizes."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgossip.compression import (
    COMPRESSORS,
    Compressor,
    Size,
    bfloat16,
    float16,
    identity,
    low_rank,
    qsgd,
    random_k,
    sign,
    top_k,
)
from jaxgossip.core.errors import ConfigError, InputError

F4, F2, F8 = np.dtype("f4"), np.dtype("f2"), np.dtype("f8")
ALL = [COMPRESSORS[name]() for name in COMPRESSORS]
VARIANTS = [*ALL, top_k(fraction=0.5), qsgd(levels=3), low_rank(rank=2), random_k(fraction=0.6, rescale=True)]
KEY = jax.random.key(7)


def rows(n: int, p: int, seed: int = 0, dtype=np.float32) -> jax.Array:
    """Return rows whose scales differ a thousandfold, like those of a model's layers."""
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(n, p)) * 10.0 ** rng.uniform(-1.5, 1.5, size=(1, p)), dtype)


@functools.cache
def compiled(compressor: Compressor):
    return jax.jit(compressor.__call__)


def draws(compressor: Compressor, row: np.ndarray, n: int, seed: int = 3) -> np.ndarray:
    """Return Q(row) at n nodes, as float64."""
    x = jnp.broadcast_to(jnp.asarray(row, jnp.float32), (n, len(row)))
    return np.asarray(compiled(compressor)(x, jax.random.key(seed)), np.float64)


def over_keys(compressor: Compressor, x: jax.Array, n: int) -> np.ndarray:
    """Return (n, rows, p), Q(x) for n keys."""
    keys = jax.random.split(jax.random.key(11), n)
    return np.asarray(jax.jit(jax.vmap(lambda key: compressor(x, key)))(keys), np.float64)


@pytest.mark.by_default("sign-shape24", "float16-shape18", "sign-shape16", "bfloat16-shape7")
@pytest.mark.parametrize(
    ("compressor", "shape"),
    [*((c, (6, 37)) for c in VARIANTS), *((c, (4, 3)) for c in ALL), *((c, (5, 1)) for c in ALL)],
    ids=lambda c: getattr(c, "name", c),
)
def test_permuting_nodes_permutes_results_bit_for_bit(compressor: Compressor, shape: tuple[int, int]) -> None:
    x = rows(*shape)
    order = np.random.default_rng(1).permutation(shape[0]).astype(np.int32)
    sent = np.asarray(compiled(compressor)(x, KEY, jnp.arange(shape[0], dtype=jnp.int32)))
    permuted = np.asarray(compiled(compressor)(x[order], KEY, jnp.asarray(order)))
    assert sent.shape == shape
    assert sent.dtype == x.dtype
    assert np.array_equal(permuted, sent[order])


@pytest.mark.slow
@pytest.mark.parametrize("compressor", [top_k(), random_k(), qsgd(), low_rank()], ids=lambda c: c.name)
def test_replicas_under_vmap_are_those_of_single_runs(compressor: Compressor) -> None:
    xs, keys = jnp.stack([rows(6, 37, 1), jnp.round(rows(6, 37, 2))]), jax.random.split(KEY, 2)
    together = jax.jit(jax.vmap(compressor.__call__))(xs, keys)
    apart = [compiled(compressor)(x, key) for x, key in zip(xs, keys, strict=True)]
    np.testing.assert_allclose(together, np.stack(apart), rtol=1e-5, atol=1e-5)


@pytest.mark.by_default("qsgd-float32", "bfloat16-float32", "low_rank-float32", "top_k-float32")
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("compressor", ALL, ids=lambda c: c.name)
def test_zero_rows_stay_zero(compressor: Compressor, dtype) -> None:
    x = rows(6, 37).at[1].set(0).astype(dtype)
    sent = compiled(compressor)(x, KEY)
    assert sent.dtype == dtype
    assert not np.asarray(sent[1], np.float32).any()
    assert np.isfinite(np.asarray(sent, np.float32)).all()


@pytest.mark.by_default("top_k", "qsgd", "float16")
@pytest.mark.parametrize("compressor", ALL, ids=lambda c: c.name)
def test_sixteen_bit_rows_are_computed_in_float32(compressor: Compressor) -> None:
    x = rows(6, 37).astype(jnp.bfloat16)
    expected = compiled(compressor)(x.astype(jnp.float32), KEY).astype(jnp.bfloat16)
    np.testing.assert_allclose(
        np.asarray(compiled(compressor)(x, KEY), np.float32), np.asarray(expected, np.float32), rtol=2**-7
    )


@pytest.mark.by_default("bfloat16", "none")
@pytest.mark.parametrize("compressor", ALL, ids=lambda c: c.name)
def test_double_precision_is_kept(compressor: Compressor) -> None:
    """Scaling by 1 + 2⁻⁴⁰, which float32 cannot distinguish from 1, scales the result: all but casts are homogeneous."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 37)))
        nodes, apply = jnp.arange(6, dtype=jnp.int32), jax.jit(compressor.apply)
        sent, scaled = (np.asarray(apply(factor * x, KEY, nodes)) for factor in (1.0, 1 + 2.0**-40))
        assert sent.dtype == np.float64
        if compressor.name not in ("float16", "bfloat16"):
            np.testing.assert_allclose(scaled - sent, sent * 2.0**-40, atol=2.0**-46 * np.abs(sent).max(), rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("compressor", ALL, ids=lambda c: c.name)
def test_none_means_that_row_i_is_node_i(compressor: Compressor) -> None:
    x = rows(6, 37)
    numbered = compiled(compressor)(x, KEY, jnp.arange(6, dtype=jnp.int32))
    assert np.array_equal(compiled(compressor)(x, KEY), numbered)


def contraction(compressor: Compressor, row: np.ndarray, n: int = 4000) -> tuple[float, float]:
    """Return the mean of ‖Q(x) − x‖²/‖x‖² over draws, and its standard error."""
    error = ((draws(compressor, row, n) - row) ** 2).sum(1) / (row**2).sum()
    return error.mean(), error.std() / math.sqrt(n) + 1e-6


@pytest.mark.slow
def test_random_k_contracts_by_exactly_k_over_p() -> None:
    row = np.asarray(rows(1, 20, 4))[0].astype(np.float64)
    error, spread = contraction(random_k(fraction=0.25), row)
    assert error == pytest.approx(1 - 5 / 20, abs=5 * spread)
    error, spread = contraction(random_k(fraction=0.25, rescale=True), row)
    assert error == pytest.approx(20 / 5 - 1, abs=5 * spread)


@pytest.mark.by_default("64-64")
@pytest.mark.parametrize(("levels", "p"), [(1, 3), (4, 64), (64, 64)])
def test_qsgd_contracts_by_one_over_tau(levels: int, p: int) -> None:
    row = np.random.default_rng(p).normal(size=p).astype(np.float32).astype(np.float64)
    tau = 1 + min(p / levels**2, math.sqrt(p) / levels)
    error, spread = contraction(qsgd(levels=levels), row)
    assert error <= 1 - 1 / tau + 5 * spread
    error, spread = contraction(qsgd(levels=levels, rescale=False), row)
    assert error <= tau - 1 + 5 * spread


@pytest.mark.slow
@pytest.mark.parametrize("compressor", [qsgd(levels=2, rescale=False), random_k(rescale=True)], ids=lambda c: c.name)
def test_unscaled_qsgd_and_rescaled_random_k_are_unbiased(compressor: Compressor) -> None:
    row, n = np.linspace(-2, 3, 20), 40_000
    sent = draws(compressor, row, n)
    assert np.all(np.abs(sent.mean(0) - row) < 5 * sent.std(0) / math.sqrt(n) + 1e-6)
    # Over the keys of many rounds too, for one node.
    sent = over_keys(compressor, jnp.asarray(row[None], jnp.float32), 4000)[:, 0]
    assert np.all(np.abs(sent.mean(0) - row) < 5 * sent.std(0) / math.sqrt(4000) + 1e-6)


def test_qsgd_sends_whole_levels_of_the_norm_and_never_more_than_there_are() -> None:
    levels, row = 16, np.array([3.0, -4.0, 0.0])
    level = draws(qsgd(levels=levels, rescale=False), row, 2000) * levels / 5
    np.testing.assert_allclose(level, np.round(level), atol=1e-4)
    assert set(np.round(level[:, 0])) == {9, 10}  # 9.6
    assert set(np.round(level[:, 1])) == {-12, -13}  # -12.8
    alone = draws(qsgd(levels=levels, rescale=False), np.array([0.0, 0.7, 0.0]), 2000)
    np.testing.assert_allclose(alone[:, 1], 0.7, rtol=1e-6)


def test_sign_contracts_by_the_density_of_the_row() -> None:
    x = np.asarray(rows(40, 37, 5)).astype(np.float64)
    x[0, :5] = 0  # zeros have a sign on the wire
    sent = np.asarray(compiled(sign())(jnp.asarray(x, jnp.float32), KEY), np.float64)
    delta = np.abs(x).sum(1) ** 2 / (37 * (x**2).sum(1))
    np.testing.assert_allclose(((sent - x) ** 2).sum(1), (1 - delta) * (x**2).sum(1), rtol=1e-4)
    assert np.all(np.unique(np.abs(sent[1])).size == 1)


@pytest.mark.by_default("2")
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_low_rank_is_a_projection_exact_on_what_has_that_rank(rank: int) -> None:
    Q, rng = compiled(low_rank(rank=rank)), np.random.default_rng(2)
    x = np.asarray(rows(30, 36))
    sent = np.asarray(Q(jnp.asarray(x), KEY), np.float64)
    assert np.all((sent**2).sum(1) <= (x.astype(np.float64) ** 2).sum(1) * (1 + 1e-5))
    assert np.linalg.matrix_rank(sent[0].reshape(6, 6), tol=1e-4) == rank
    for true_rank in range(1, rank + 1):  # lower ones leave columns that depend on others
        low = np.einsum("nri,nrj->nij", rng.normal(size=(30, true_rank, 6)), rng.normal(size=(30, true_rank, 6)))
        low = low.reshape(30, 36).astype(np.float32)
        np.testing.assert_allclose(Q(jnp.asarray(low), KEY), low, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_low_rank_contracts_by_rank_over_side_on_average(rank: int) -> None:
    x = jnp.stack([jnp.eye(5).ravel(), rows(1, 25, 3)[0], jnp.asarray(np.random.default_rng(0).normal(size=25), "f4")])
    error = ((over_keys(low_rank(rank=rank), x, 1000) - np.asarray(x)) ** 2).sum(2) / np.asarray(x**2).sum(1)
    spread = error.std(0) / math.sqrt(1000)
    assert np.all(error.mean(0) <= 1 - rank / 5 + 5 * spread + 1e-6)
    assert error[:, 0] == pytest.approx(1 - rank / 5, abs=1e-5)  # met by the unit matrix, whatever the sketch


def test_low_rank_of_full_rank_returns_the_row() -> None:
    x = rows(6, 12)
    np.testing.assert_allclose(compiled(low_rank(rank=3, rows=4))(x, KEY), x, rtol=1e-3, atol=1e-3)


@pytest.mark.by_default("compressor1-8")
@pytest.mark.parametrize(("compressor", "bits"), [(float16(), 11), (bfloat16(), 8)])
def test_casts_round_to_their_precision(compressor: Compressor, bits: int) -> None:
    x = rows(20, 37)
    relative = np.abs(np.asarray(compiled(compressor)(x, KEY)) / np.asarray(x) - 1)
    assert 2.0 ** -(bits + 1) < relative.max() <= 2.0**-bits
    assert np.array_equal(compressor(x, KEY), x.astype(compressor.name).astype(jnp.float32))


def test_a_cast_makes_no_infinity_of_a_number() -> None:
    x = jnp.array([[1e6, -1e6, jnp.inf, jnp.nan]])
    np.testing.assert_array_equal(float16()(x, KEY), [[65504, -65504, np.inf, np.nan]])


def test_identity_changes_nothing() -> None:
    x = rows(4, 3)
    assert np.array_equal(identity()(x, KEY), x)


@pytest.mark.parametrize(
    ("compressor", "p", "dtype", "expected"),
    [
        (identity(), 64, F4, Size(256, 0)),
        (identity(), 3, F2, Size(6, 0)),
        (top_k(), 64, F4, Size(24, 5)),  # 6 values, 6 indices of 6 bits: 36 bits
        (top_k(), 5000, F4, Size(2000, 813)),  # 500 indices of 13 bits: 6500 bits
        (top_k(fraction=0.5), 65, F8, Size(256, 28)),  # 32 of 65: indices of 7 bits, 224 bits
        (top_k(), 1, F4, Size(4, 0)),  # there is but one column to name
        (top_k(), 3, F4, Size(4, 1)),
        (random_k(), 64, F4, Size(24, 4)),
        (random_k(), 64, F2, Size(12, 4)),
        (qsgd(), 64, F4, Size(48, 4)),  # 33 values: 6 bits each
        (qsgd(levels=1), 3, F4, Size(1, 4)),  # 3 values: 2 bits each
        (qsgd(levels=127), 10, F8, Size(10, 8)),  # 255 values: 8 bits each
        (qsgd(levels=128), 10, F4, Size(12, 4)),  # 257 values: 9 bits each, 90 bits
        (sign(), 64, F4, Size(8, 4)),
        (sign(), 3, F2, Size(1, 2)),
        (low_rank(), 64, F4, Size(64, 0)),  # 8 + 8 numbers
        (low_rank(rank=2), 37, F4, Size(104, 0)),  # 7×6
        (low_rank(rows=10), 64, F4, Size(68, 0)),  # 10×7
        (low_rank(), 1, F4, Size(8, 0)),
        (low_rank(), 3, F4, Size(16, 0)),  # 2×2
        (float16(), 64, F4, Size(128, 0)),
        (bfloat16(), 3, F8, Size(6, 0)),
    ],
)
def test_bytes_are_those_counted_by_hand(compressor: Compressor, p: int, dtype: np.dtype, expected: Size) -> None:
    assert compressor.size(p, dtype) == expected
    assert expected.total == expected.data + expected.metadata


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: top_k(fraction=0), "compressor 'top_k' keeps a fraction of the columns, not 0"),
        (lambda: random_k(fraction=1.5), "compressor 'random_k' keeps a fraction of the columns, not 1.5"),
        (lambda: random_k(fraction=math.nan), "random_k: fraction must be a finite number, not nan"),
        (lambda: qsgd(levels=0), "compressor 'qsgd' cannot have levels = 0"),
        (lambda: low_rank(rank=0), "compressor 'low_rank' cannot have rank = 0"),
        (lambda: low_rank(rows=-1), "rows = -1"),
        (lambda: low_rank(rank=1.5), "low_rank: rank must be a whole number, not 1.5"),  # type: ignore[arg-type]
        (lambda: low_rank(rank=3).size(4, F4), "cannot keep rank 3 of the 2×2 matrix that 4 parameters make"),
        (lambda: low_rank(rank=3)(jnp.ones((2, 4)), KEY), "give rank as at most 2"),
    ],
)
def test_errors_name_the_culprit(build, message: str) -> None:
    with pytest.raises(InputError) as error:
        build()
    assert message in str(error.value)


def test_an_unknown_compressor_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown compressor 'topk'.*did you mean 'top_k'"):
        COMPRESSORS["topk"]


def test_the_registry_names_what_its_builders_make() -> None:
    assert [compressor.name for compressor in ALL] == list(COMPRESSORS)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.02, 0.3, 0.7, 1.0]), st.sampled_from([1, 3, 40]), st.booleans())
def test_top_k_keeps_exactly_the_k_largest_lower_columns_first(seed: int, fraction: float, p: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6, p)).astype(np.float32) * np.float32(10.0 ** rng.integers(-30, 30))
    x = (rng.integers(1, 4, x.shape) * rng.choice([-1, 1], x.shape)).astype(np.float32) if ties else x
    k = max(1, round(fraction * p))
    largest = np.argsort(-np.abs(x), axis=1, kind="stable")[:, :k]
    expected = np.zeros_like(x)
    np.put_along_axis(expected, largest, np.take_along_axis(x, largest, 1), 1)
    sent = np.asarray(compiled(top_k_of(fraction))(jnp.asarray(x), KEY))
    assert np.array_equal(sent, expected)
    assert np.all(np.count_nonzero(sent, axis=1) == k)


@functools.cache
def top_k_of(fraction: float) -> Compressor:
    return top_k(fraction=fraction)


@pytest.mark.slow
def test_top_k_keeps_what_is_there_if_it_is_less_than_k() -> None:
    x = jnp.zeros((2, 40)).at[0, 7].set(-3).at[1, 39].set(1e-40)
    for fraction in (0.1, 0.5):
        assert np.array_equal(
            np.asarray(compiled(top_k_of(fraction))(x, KEY)).view(np.int32), np.asarray(x).view(np.int32)
        )


@pytest.mark.slow
def test_top_k_contracts_at_least_by_k_over_p() -> None:
    x = np.asarray(rows(40, 37)).astype(np.float64)
    x[0] = 1  # where it is met
    error = ((np.asarray(compiled(top_k())(jnp.asarray(x, jnp.float32), KEY)) - x) ** 2).sum(1) / (x**2).sum(1)
    assert np.all(error <= 1 - 4 / 37 + 1e-6)
    assert error[0] == pytest.approx(1 - 4 / 37)


@pytest.mark.slow
def test_random_k_draws_every_column_alike_and_nodes_in_independent_pairs() -> None:
    n, p, k, rounds = 40, 10, 3, 3000
    kept = over_keys(random_k(fraction=k / p), jnp.ones((n, p)), rounds) != 0
    assert np.all(kept.sum(2) == k)
    q = k / p
    assert np.abs(kept.mean(0) - q).max() < 5 * math.sqrt(q * (1 - q) / rounds)
    # Two columns of a node are kept together as in a uniformly random set …
    pairs = np.einsum("rnc,rnd->cd", kept * 1.0, kept * 1.0) / (rounds * n)
    # (one permutation a round serves all nodes, so that rounds are what is independent)
    np.testing.assert_allclose(pairs[~np.eye(p, dtype=bool)], q * (k - 1) / (p - 1), atol=5 * 0.25 / math.sqrt(rounds))
    # … and any column of one node independently of any column of another.
    joint = np.einsum("rc,rd->cd", kept[:, 0] * 1.0, kept[:, 1] * 1.0) / rounds
    np.testing.assert_allclose(joint, q * q, atol=5 * math.sqrt(q * q * (1 - q * q) / rounds))
