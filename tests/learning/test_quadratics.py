"""Quadratics: gradients against finite differences and formulas, the optimum, the noise, and the metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgossip.core.errors import DataError
from jaxgossip.learning import averaging, isotropic_quadratic, least_squares

KEY = jax.random.key(0)
N, D = 5, 3
STOCHASTIC = {"isotropic_quadratic": {"noise": 0.5}, "least_squares": {"batch_size": 2}, "averaging": {}}
QUADRATICS = {"isotropic_quadratic": isotropic_quadratic, "least_squares": least_squares, "averaging": averaging}
EACH = pytest.mark.parametrize("name", sorted(QUADRATICS))


def make(name: str, **options):
    exact = {
        "isotropic_quadratic": {"noise": 0.0, "curvature": 2.5},
        "least_squares": {"samples": 4, "heterogeneity": 1.0},
        "averaging": {},
    }
    return QUADRATICS[name](N, dimension=D, **exact[name] | {"rng": 1} | options)


def objectives(task, x: np.ndarray) -> np.ndarray:
    """Return f_i(x_i) in NumPy float64."""
    if hasattr(task, "targets"):
        return task.curvature / 2 * ((x - np.asarray(task.targets, np.float64)) ** 2).sum(1)
    a, y = np.asarray(task.a, np.float64), np.asarray(task.y, np.float64)
    return ((np.einsum("nmd,nd->nm", a, x) - y) ** 2).mean(1) / 2


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, D))


@EACH
def test_gradients_are_those_of_the_objectives(name: str) -> None:
    with jax.enable_x64(True):
        task, x, h = make(name, dtype=np.float64), rows(N), 1e-4
        found = np.asarray(task.gradient(jnp.asarray(x), KEY))
    for column in range(D):
        step = h * np.eye(D)[column]
        slope = (objectives(task, x + step) - objectives(task, x - step)) / (2 * h)
        np.testing.assert_allclose(found[:, column], slope, rtol=1e-8, atol=1e-9)


@EACH
def test_the_mean_gradient_vanishes_at_the_optimum_and_nowhere_else(name: str) -> None:
    with jax.enable_x64(True):
        task = make(name, dtype=np.float64)
        np.testing.assert_allclose(task.mean_gradient(task.optimum[None], KEY), np.zeros((1, D)), atol=1e-12)
        off = task.mean_gradient(task.optimum[None] + 1, KEY)
    assert np.abs(np.asarray(off)).max() > 0.1


@EACH
def test_the_mean_gradient_is_the_mean_of_the_same_draws(name: str) -> None:
    options = STOCHASTIC[name]
    with jax.enable_x64(True):
        task, x = make(name, dtype=np.float64, **options), rows(1)
        expected = np.asarray(task.gradient(jnp.asarray(np.tile(x, (N, 1))), KEY)).mean(0, keepdims=True)
        np.testing.assert_allclose(task.mean_gradient(jnp.asarray(x), KEY), expected, rtol=1e-12)


@pytest.mark.by_default("float32-least_squares", "float64-least_squares")
@EACH
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_is_measured_is_its_formula(name: str, dtype: type) -> None:
    with jax.enable_x64(True):
        task, x = make(name, dtype=dtype), rows(7).astype(dtype)
        found = task.evaluate(jnp.asarray(x))
        assert {value.dtype for value in found.values()} == {np.dtype(dtype)}
        optimum = np.asarray(task.optimum, np.float64)
        for zero in task.evaluate(task.optimum[None]).values():
            assert float(zero[0]) == 0
    lowest = objectives(task, np.tile(optimum, (N, 1))).mean()
    excess = [objectives(task, np.tile(row.astype(np.float64), (N, 1))).mean() - lowest for row in x]
    tolerance = 1e-10 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(found["test_loss"], excess, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        found["distance_to_optimum"], ((x - optimum) ** 2).sum(1), rtol=tolerance, atol=tolerance
    )


def test_the_optimum_of_least_squares_is_that_of_all_rows_together() -> None:
    with jax.enable_x64(True):
        task = make("least_squares", dtype=np.float64)
        a, y = np.asarray(task.a).reshape(-1, D), np.asarray(task.y).ravel()
        np.testing.assert_allclose(task.optimum, np.linalg.solve(a.T @ a, a.T @ y), rtol=1e-10)


def test_gradient_noise_is_normal_with_the_asked_deviation_and_independent() -> None:
    task = isotropic_quadratic(4000, dimension=D, noise=0.7, heterogeneity=0.0)
    noise = np.asarray(task.gradient(jnp.zeros((4000, D)), KEY))
    assert stats.kstest(noise.ravel() / 0.7, "norm").pvalue > 1e-4
    correlation = np.corrcoef(noise.T) - np.eye(D)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(4000)
    other = np.asarray(task.gradient(jnp.zeros((4000, D)), jax.random.key(1)))
    assert abs((noise * other).mean() / 0.49) < 4.5 / np.sqrt(noise.size)


def test_minibatch_gradients_of_least_squares_are_unbiased() -> None:
    with jax.enable_x64(True):
        exact = make("least_squares", dtype=np.float64)
        drawn = make("least_squares", dtype=np.float64, batch_size=2)
        x = jnp.asarray(rows(N))
        draws = np.asarray(jax.jit(jax.vmap(lambda key: drawn.gradient(x, key)))(jax.random.split(KEY, 4000)))
        spread = draws.std(0) / np.sqrt(4000)
        assert (np.abs(draws.mean(0) - np.asarray(exact.gradient(x, KEY))) < 4.5 * spread).all()
        assert (draws.std(0) > 0).all()


def test_heterogeneity_is_how_far_targets_spread() -> None:
    wide = isotropic_quadratic(4000, dimension=D, heterogeneity=3.0)
    assert stats.kstest(np.asarray(wide.targets).ravel() / 3, "norm").pvalue > 1e-4
    np.testing.assert_allclose(wide.optimum, np.asarray(wide.targets, np.float64).mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(isotropic_quadratic(4, heterogeneity=0.0).targets, np.zeros((4, 20)))
    own = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(isotropic_quadratic(4, targets=own).targets, own)


def test_averaging_starts_every_node_at_its_own_value() -> None:
    task = make("averaging")
    np.testing.assert_array_equal(task.init(KEY), task.targets)
    np.testing.assert_allclose(task.optimum, np.asarray(task.init(KEY)).mean(0), atol=1e-6)


@pytest.mark.parametrize("name", ["isotropic_quadratic", "least_squares"])
def test_starts_are_the_same_or_independent(name: str) -> None:
    same, apart = (np.asarray(make(name, init=init).init(KEY)) for init in ("same", "independent"))
    np.testing.assert_array_equal(same, np.tile(same[0], (N, 1)))
    assert len({row.tobytes() for row in apart}) == N


@EACH
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_array_has_the_asked_type(name: str, dtype: type) -> None:
    with jax.enable_x64(True):
        task = make(name, dtype=dtype, **STOCHASTIC[name])
        x = task.init(KEY)
        found = [x, task.gradient(x, KEY), task.mean_gradient(x[:1], KEY), task.optimum]
        assert {array.dtype for array in found} == {np.dtype(dtype)}
    assert task.dtype == dtype
    assert task.sample_counts.dtype == np.float32
    assert task.sample_counts.shape == (N,)
    assert task.n_shared == task.n_params == D
    assert task.evaluate_local(x, jnp.arange(N)) == {}


@EACH
def test_the_seed_decides(name: str) -> None:
    first, again, other = (np.asarray(make(name, rng=rng).optimum) for rng in (1, np.random.default_rng(1), 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("n", [32_769, 40_001])
def test_gradients_of_very_many_nodes_are_their_formula(n: int) -> None:
    task = least_squares(n, dimension=3, samples=2, heterogeneity=1.0)
    x = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
    a, y = np.asarray(task.a, np.float64), np.asarray(task.y, np.float64)
    residual = np.einsum("nmd,nd->nm", a, x.astype(np.float64)) - y
    found = jax.jit(task.gradient)(jnp.asarray(x), KEY)
    np.testing.assert_allclose(found, np.einsum("nmd,nm->nd", a, residual) / 2, rtol=1e-4, atol=1e-4)


ISOTROPIC = "an isotropic quadratic needs dimension ≥ 1, curvature > 0, heterogeneity ≥ 0 and noise ≥ 0, not "
LINEAR = "least squares needs dimension and samples ≥ 1, and no negative heterogeneity, noise or batch_size, not "


@pytest.mark.parametrize(
    ("builder", "options", "message"),
    [
        (isotropic_quadratic, {"dimension": 0}, ISOTROPIC + "0, 1, 1 and 1"),
        (isotropic_quadratic, {"curvature": 0.0}, ISOTROPIC + "20, 0, 1 and 1"),
        (isotropic_quadratic, {"noise": -1.0}, ISOTROPIC + "20, 1, 1 and -1"),
        (least_squares, {"samples": 0}, LINEAR + "20, 0, 0, 0.1 and 0"),
        (least_squares, {"batch_size": -2}, LINEAR + "20, 50, 0, 0.1 and -2"),
        (
            least_squares,
            {"samples": 2},
            "6 samples do not determine 20 parameters (more samples or nodes)",
        ),
    ],
)
def test_impossible_quadratics_are_told(builder, options: dict, message: str) -> None:
    with pytest.raises(DataError) as told:
        builder(3, **options)
    assert str(told.value) == message
