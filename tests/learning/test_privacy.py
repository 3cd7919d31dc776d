"""DP-SGD against per-sample NumPy, its noise against its distribution, and ε against closed forms."""

import builtins
import importlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgossip.core.errors import InputError
from jaxgossip.learning import DifferentialPrivacy, classification, models
from jaxgossip.learning import privacy as privacy_module
from jaxgossip.learning.data.datasets import Dataset
from jaxgossip.learning.partitions.rules import Partition, one_sample
from jaxgossip.learning.privacy import epsilon
from jaxgossip.learning.supervised import Supervised
from jaxgossip.topology import Order

KEY = jax.random.key(0)
D, M, N = 4, 12, 4
UNEVEN = Partition(
    np.random.default_rng(9).permutation(M).astype(np.int32),
    np.array([0, 1, 4, 9, 12]),
    np.array([1, 2, 5, 1], np.int32),
)
"""Four nodes that train on 1, 2, 5 and 1 samples."""
HARMLESS = DifferentialPrivacy(1e6, 0.0)
ORDER = Order(np.array([2, 0, 3, 1], np.int32))


def dataset(classes: int = 2) -> Dataset:
    rng = np.random.default_rng(classes)
    x = rng.normal(size=(M, D)).astype(np.float32) * rng.exponential(3, size=(M, 1)).astype(np.float32)
    y = (np.arange(M) % classes).astype(np.int32)
    return Dataset("made", x, y, x, y, classes)


def rows(n: int, p: int, dtype: type = np.float64) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, p)).astype(dtype)


def task_of(
    privacy: DifferentialPrivacy | None, batch_size: int = 0, *, regularization: float = 0.0, **options
) -> Supervised:
    model = models.logistic((D,), 2, regularization=regularization)
    options = {"partition": UNEVEN} | options
    return classification(dataset(), model=model, batch_size=batch_size, privacy=privacy, **options)


def gradient_of(task: Supervised, x: np.ndarray, key: jax.Array = KEY) -> np.ndarray:
    return np.asarray(jax.jit(task.gradient)(jnp.asarray(x), key))


def per_sample(row: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """Return the gradients (b, p) of the logistic loss, written out."""
    data = dataset()
    x, sign = np.column_stack([data.x_train[mine].astype(np.float64), np.ones(len(mine))]), 2.0 * data.y_train[mine] - 1
    return (-sign / (1 + np.exp(sign * (x @ row))))[:, None] * x


def clipped_mean(gradients: np.ndarray, clip: float) -> np.ndarray:
    norms = np.linalg.norm(gradients, axis=1)
    return (gradients / np.maximum(1, norms / clip)[:, None]).mean(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch_size", "dtype", "tolerance"),
    [(0, np.float32, 1e-6), (6, np.float32, 1e-6), (0, np.float64, 1e-12), (1, np.float64, 1e-12)],
)
def test_a_huge_clip_without_noise_changes_nothing(batch_size: int, dtype: type, tolerance: float) -> None:
    data, model = dataset(3), models.mlp((D,), 3, hidden=(5,), regularization=0.2)
    with jax.enable_x64(True):
        plain, private = (
            classification(data, UNEVEN, model, batch_size=batch_size, dtype=dtype, privacy=privacy)
            for privacy in (None, HARMLESS)
        )
        x = rows(N, plain.n_params, dtype)
        found, expected = gradient_of(private, x), gradient_of(plain, x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_every_sample_is_clipped_by_itself_and_the_regularization_not_at_all() -> None:
    clip = 1.3
    with jax.enable_x64(True):
        task = task_of(DifferentialPrivacy(clip, 0.0), regularization=0.3, dtype=np.float64)
        x = rows(N, D + 1)
        found = gradient_of(task, x)
    samples = [per_sample(x[i], UNEVEN.train(i)) for i in range(N)]
    norms = np.linalg.norm(np.concatenate(samples), axis=1)
    assert 2 < (norms > clip).sum() < norms.size  # some are clipped, some are not
    np.testing.assert_allclose(found, [clipped_mean(g, clip) + 0.3 * row for g, row in zip(samples, x, strict=True)])
    # clipping the mean of the largest node would give something else
    mean = samples[2].mean(0)
    assert np.abs(mean / max(1, np.linalg.norm(mean) / clip) + 0.3 * x[2] - found[2]).max() > 0.05


@pytest.mark.slow
def test_minibatches_are_clipped_sample_by_sample_too() -> None:
    b, clip = 7, 1.3
    partition = Partition(np.arange(M, dtype=np.int32), np.array([0, 5, M]), np.array([5, 7], np.int32))
    with jax.enable_x64(True):
        task = task_of(DifferentialPrivacy(clip, 0.0), b, partition=partition, dtype=np.float64)
        x = rows(2, D + 1)
        found, drawn = gradient_of(task, x), np.asarray(task._batches.draw(KEY)[0])
    assert any(len(set(batch)) < b for batch in drawn.tolist())  # with replacement: a sample counts as often as drawn
    np.testing.assert_allclose(found, [clipped_mean(per_sample(x[i], drawn[i]), clip) for i in range(2)])


def test_a_gradient_of_zero_is_clipped_to_zero() -> None:
    privacy = DifferentialPrivacy(1.0, 0.0)
    gradients = jnp.array([[0.0, 0.0], [3.0, 4.0], [1e30, 0.0]])
    np.testing.assert_allclose(privacy.mean(gradients, None, KEY), np.array([0.6, 0.8]) / 3)  # 1e30² is no float32
    np.testing.assert_allclose(privacy.mean(gradients, jnp.array([True, True, False]), KEY), [0.3, 0.4])


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [0, 5])
def test_noise_has_the_stated_deviation_at_every_node(batch_size: int) -> None:
    clip, z, d = 0.5, 3.0, 20_000
    data = Dataset("wide", np.zeros((M, d), np.float32), np.arange(M, dtype=np.int32) % 2,
                   np.zeros((1, d), np.float32), np.zeros(1, np.int32), 2)  # fmt: skip
    model = models.from_functions(lambda _: jnp.zeros(d), lambda w, x: x @ w, "logistic")
    task = classification(data, UNEVEN, model, batch_size=batch_size, privacy=DifferentialPrivacy(clip, z))
    noise = gradient_of(task, np.zeros((N, d), np.float32))  # features of zero: no gradient but noise
    counts = UNEVEN.n_train if batch_size == 0 else np.full(N, batch_size)
    deviation = z * clip / counts
    for node in range(N):
        assert stats.kstest(noise[node] / deviation[node], "norm").pvalue > 1e-4
    np.testing.assert_allclose(noise.std(1), deviation, rtol=5 / math.sqrt(2 * d))
    correlations = np.corrcoef(noise)[np.triu_indices(N, 1)]
    assert np.abs(correlations).max() < 5 / math.sqrt(d)


@pytest.mark.slow
def test_the_key_alone_decides_the_noise() -> None:
    task, x = task_of(DifferentialPrivacy(1.0, 2.0), batch_size=3), rows(N, D + 1, np.float32)
    first = gradient_of(task, x)
    np.testing.assert_array_equal(first, gradient_of(task, x))
    assert (first != gradient_of(task, x, jax.random.key(1))).all()
    # the samples drawn are those that are drawn without privacy
    np.testing.assert_array_equal(task._batches.draw(KEY)[0], task_of(None, batch_size=3)._batches.draw(KEY)[0])


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [0, 3])
def test_noise_goes_with_the_node_and_not_with_its_row(batch_size: int) -> None:
    privacy, x = DifferentialPrivacy(1.0, 2.0), rows(N, D + 1, np.float32)
    by_number, moved = (task_of(privacy, batch_size, order=order) for order in (None, ORDER))
    found = gradient_of(moved, x[ORDER.nodes])
    np.testing.assert_allclose(found, gradient_of(by_number, x)[ORDER.nodes], rtol=1e-6)


@pytest.mark.slow
def test_noise_of_a_node_does_not_depend_on_how_many_others_there_are() -> None:
    privacy, x = DifferentialPrivacy(1.0, 2.0), np.zeros((9, D + 1), np.float32)
    found = [
        gradient_of(task_of(privacy, 1, partition=one_sample(dataset().y_train, n)), x[:n])
        - gradient_of(task_of(DifferentialPrivacy(1.0, 0.0), 1, partition=one_sample(dataset().y_train, n)), x[:n])
        for n in (5, 9)
    ]
    np.testing.assert_allclose(found[0], found[1][:5], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_private_gradients_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = np.arange(23) % 4 + 1
    order = np.random.default_rng(1).integers(0, M, sizes.sum()).astype(np.int32)
    partition = Partition(order, np.concatenate([[0], sizes.cumsum()]), sizes.astype(np.int32))
    with jax.enable_x64(True):
        task = task_of(DifferentialPrivacy(1.0, 2.0), partition=partition, dtype=np.float64)
        x = rows(23, D + 1)
        whole = gradient_of(task, x)
        monkeypatch.setattr("jaxgossip.core.rows.BLOCK_BYTES", 2**14)
        divided = jax.jit(lambda x: task.gradient(x, KEY))
        assert "scan" in str(divided.trace(x).jaxpr)
        np.testing.assert_allclose(divided(x), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.slow
def test_models_of_16_bits_are_private_in_float32() -> None:
    task = task_of(DifferentialPrivacy(1.3, 1.0), dtype=jnp.bfloat16)
    wide = task_of(DifferentialPrivacy(1.3, 1.0))
    x = jnp.asarray(rows(N, D + 1, np.float32), jnp.bfloat16)
    expected = jnp.asarray(gradient_of(wide, x.astype(jnp.float32)), jnp.bfloat16)
    np.testing.assert_allclose(*(np.asarray(g, np.float32) for g in (gradient_of(task, x), expected)), rtol=2**-7)


@pytest.mark.slow
def test_the_centralised_reference_is_never_private() -> None:
    x = jnp.asarray(rows(1, D + 1, np.float32))
    plain, private = (task_of(privacy, 3).mean_gradient(x, KEY) for privacy in (None, DifferentialPrivacy(0.1, 9.0)))
    np.testing.assert_array_equal(plain, private)


def test_without_privacy_nothing_is_clipped_drawn_or_taken_apart() -> None:
    x = jnp.zeros((N, D + 1))
    for batch_size in (0, 5):
        plain, private = (
            str(jax.make_jaxpr(task_of(privacy, batch_size).gradient)(x, KEY))
            for privacy in (None, DifferentialPrivacy(1.0, 1.0))
        )
        assert "erf_inv" in private
        assert "erf_inv" not in plain
        assert f"f32[{N},5,{D + 1}]" in private  # a gradient for each sample
        assert plain.count("random_bits") == (batch_size > 0)


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("clip", "noise", "message"),
    [
        (0.0, 1.0, "DifferentialPrivacy: clip must be a positive number, not 0.0"),
        (-1.0, 1.0, "DifferentialPrivacy: clip must be a positive number, not -1.0"),
        (math.inf, 1.0, "DifferentialPrivacy: clip must be a positive number, not inf"),
        ("1", 1.0, "DifferentialPrivacy: clip must be a positive number, not '1'"),
        (1.0, -0.5, "DifferentialPrivacy: noise_multiplier must be a number from 0, not -0.5"),
        (1.0, math.nan, "DifferentialPrivacy: noise_multiplier must be a number from 0, not nan"),
        (1.0, True, "DifferentialPrivacy: noise_multiplier must be a number from 0, not True"),
    ],
)
def test_impossible_privacy_is_told(clip, noise, message: str) -> None:
    with pytest.raises(InputError) as told:
        DifferentialPrivacy(clip, noise)
    assert told.value.message == message


# Accounting.


def from_renyi(orders: np.ndarray, divergence: np.ndarray, delta: float) -> float:
    """Return ε = min over α of ε(α) + ln(1 − 1/α) − ln(αδ)/(α − 1): Canonne, Kamath and Steinke 2020, proposition 12."""
    return (divergence + np.log1p(-1 / orders) - np.log(orders * delta) / (orders - 1)).min()


@pytest.mark.parametrize(("z", "steps", "delta"), [(8.0, 10, 1e-5), (4.0, 100, 1e-6), (2.0, 1, 1e-3)])
def test_full_batches_are_composed_gaussian_mechanisms_of_half_the_noise(z: float, steps: int, delta: float) -> None:
    # a mean moves by 2C/m under noise zC/m: σ = z/2 sensitivities, ε(α) = T α/(2σ²)
    def bound(orders: np.ndarray) -> float:
        return from_renyi(orders, steps * orders / (2 * (z / 2) ** 2), delta)

    found = epsilon(DifferentialPrivacy(0.7, z), steps, 0, [5, 900], delta)
    assert found.dtype == np.float64
    assert found[0] == found[1]
    over_all_orders = bound(np.linspace(1.05, 400, 400_000))
    assert over_all_orders * (1 - 1e-6) <= found[0] <= over_all_orders * 1.01
    # exact (ε, δ) of a Gaussian mechanism (Balle and Wang 2018, theorem 8): never above what is stated
    mu = math.sqrt(steps) * 2 / z
    exact_delta = stats.norm.cdf(mu / 2 - found[0] / mu) - math.exp(found[0]) * stats.norm.cdf(-mu / 2 - found[0] / mu)
    assert exact_delta <= delta


def worst_pairs(z: float, b: int, m: int, x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return log densities at x of one step's sum on neighbouring one-dimensional data, C = 1: the worst pairs known.

    The replaced sample moves from −1 to 1, and all others are at 0, at its old place, or at its new one.
    """
    k = np.arange(b + 1)
    log_p = stats.binom.logpmf(k, b, 1 / m)[:, None]

    def log_density(shift: float, others: float) -> np.ndarray:
        means = shift * k + others * (b - k) - others * b
        return np.logaddexp.reduce(log_p + stats.norm.logpdf(x, means[:, None], z), axis=0)

    pairs = [(log_density(1, others), log_density(-1, others)) for others in (-1, 0, 1)]
    return pairs + [(low, high) for high, low in pairs]


def grid(z: float, b: int) -> np.ndarray:
    return np.linspace(-2 * b - 40 * z, 2 * b + 40 * z, 40_001)


@pytest.mark.by_default("0.01-2.0-4-50", "0.01-1.5-6-6", "1e-06-1.5-6-6")
@pytest.mark.parametrize(("z", "b", "m"), [(2.0, 4, 50), (3.0, 1, 10), (20.0, 1, 100), (1.5, 6, 6), (4.0, 30, 10)])
@pytest.mark.parametrize("delta", [1e-2, 1e-6])
def test_one_step_is_as_private_as_stated_for_the_worst_neighbours_known(
    z: float, b: int, m: int, delta: float
) -> None:
    stated, x = float(epsilon(DifferentialPrivacy(1.0, z), 1, b, m, delta)[0]), grid(z, b)
    for one, other in worst_pairs(z, b, m, x):
        assert np.maximum(0, np.exp(one) - np.exp(stated + other)).sum() * (x[1] - x[0]) <= delta


@pytest.mark.parametrize(("z", "m", "b"), [(2.0, 40, 3), (6.0, 10, 2), (1.0, 3, 4)])
def test_the_renyi_bound_holds_for_the_worst_neighbours_known(z: float, m: int, b: int) -> None:
    orders, x = np.array([1.5, 2.0, 3.0, 4.5, 8.0]), grid(z, 3 * b)
    bound = privacy_module._renyi_bound(orders, z, b, m, b)
    for one, other in worst_pairs(z, b, m, x):
        true = [np.logaddexp.reduce(a * one + (1 - a) * other + np.log(x[1] - x[0])) / (a - 1) for a in orders]
        assert (np.array(true) <= bound * (1 + 1e-9)).all()


def without_replacement(z: float, steps: int, b: int, m: int, delta: float) -> float:
    library = importlib.import_module("dp_accounting")
    accountant = library.rdp.RdpAccountant(neighboring_relation=library.NeighboringRelation.REPLACE_ONE)
    accountant.compose(library.SampledWithoutReplacementDpEvent(m, b, library.GaussianDpEvent(z / 2)), steps)
    return accountant.get_epsilon(delta)


@pytest.mark.by_default("1.0-10-10")
@pytest.mark.parametrize(
    ("z", "m", "steps"), [(2.0, 100, 10), (1.0, 10, 10), (50.0, 100, 100), (50.0, 200, 10), (3.0, 1, 5)]
)
def test_one_sample_drawn_is_drawn_without_replacement_as_well(z: float, m: int, steps: int) -> None:
    found = epsilon(DifferentialPrivacy(1.0, z), steps, 1, m, 1e-5)
    np.testing.assert_allclose(found, without_replacement(z, steps, 1, m, 1e-5), rtol=1e-9)


def test_one_of_two_samples_costs_less_than_both() -> None:
    one, both = (float(epsilon(DifferentialPrivacy(1.0, 3.0), 50, 1, m, 1e-5)[0]) for m in (2, 1))
    assert one < both == pytest.approx(without_replacement(3.0, 50, 1, 2, 1e-5))


@pytest.mark.parametrize(
    ("z", "b", "m", "steps", "times"), [(50.0, 5, 200, 10, 8.5), (2.0, 10, 1000, 100, 6.9)]
)  # fmt: skip
def test_after_few_steps_minibatches_cost_as_many_times_too_much_as_is_said(
    z: float, b: int, m: int, steps: int, times: float
) -> None:
    found = float(epsilon(DifferentialPrivacy(1.0, z), steps, b, m, 1e-5)[0])
    assert found / without_replacement(z, steps, b, m, 1e-5) == pytest.approx(times, abs=0.05)


@pytest.mark.by_default("8.0-8-100")
@pytest.mark.parametrize(("z", "b", "m"), [(4.0, 8, 100), (4.0, 32, 1000), (8.0, 8, 100)])
def test_samples_that_seldom_appear_twice_cost_little_more_than_without_replacement(z: float, b: int, m: int) -> None:
    found = float(epsilon(DifferentialPrivacy(1.0, z), 1000, b, m, 1e-5)[0])
    assert 1 <= found / without_replacement(z, 1000, b, m, 1e-5) <= 1.3


def test_a_node_of_one_sample_shows_it_b_times() -> None:
    # all b draws are the same: the sum moves by 2Cb under noise zC, a Gaussian mechanism of σ = z/(2b)
    with_b, alone = (epsilon(DifferentialPrivacy(1.0, z), 20, b, 1, 1e-5) for z, b in ((12.0, 4), (3.0, 0)))
    np.testing.assert_allclose(with_b, alone, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [0, 1, 8])
def test_more_steps_cost_more_and_more_noise_or_samples_cost_less(batch_size: int) -> None:
    def at(z: float = 3.0, steps: int = 50, m: int = 60) -> float:
        return float(epsilon(DifferentialPrivacy(1.0, z), steps, batch_size, m, 1e-5)[0])

    assert (np.diff([at(steps=steps) for steps in (1, 2, 5, 20, 100, 1000, 10_000)]) > 0).all()
    assert (np.diff([at(z=z) for z in (0.5, 1, 2, 4, 8, 16)]) < 0).all()
    by_samples = np.diff([at(m=m) for m in (1, 2, 10, 100, 1000, 100_000)])
    assert (by_samples < 0).all() if batch_size else not by_samples.any()
    assert at(steps=0) == 0
    assert at(z=0.0) == math.inf


def test_each_number_of_samples_is_worked_out_once_and_every_node_gets_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, real = [], privacy_module._epsilon_with_replacement
    monkeypatch.setattr(
        privacy_module, "_epsilon_with_replacement", lambda *given: asked.append(given[4]) or real(*given)
    )
    task = task_of(None, 2)
    found = epsilon(DifferentialPrivacy(1.0, 4.0), 30, 2, task.sample_counts, 1e-5)
    assert asked == [1, 2, 5]
    assert found.shape == (N,)
    assert found[0] == found[3] > found[1] > found[2]


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"steps": -1}, "epsilon: steps must be a whole number from 0, not -1"),
        ({"steps": 1.5}, "epsilon: steps must be a whole number from 0, not 1.5"),
        ({"batch_size": -1}, "epsilon: batch_size must be a whole number from 0, not -1 (0 takes all samples)"),
        ({"delta": 0.0}, "epsilon: delta must be between 0 and 1, not 0.0 (a common choice is 1e-5)"),
        ({"samples": [3, 0]}, "epsilon: samples must be whole numbers from 1, one a node (give problem.sample_counts)"),
        ({"samples": [2.5]}, "epsilon: samples must be whole numbers from 1, one a node (give problem.sample_counts)"),
    ],
)
def test_impossible_accounts_are_told(changed: dict, message: str) -> None:
    with pytest.raises(InputError) as told:
        epsilon(**{"privacy": HARMLESS, "steps": 1, "batch_size": 0, "samples": [3], "delta": 1e-5} | changed)
    assert str(told.value) == message


def test_without_the_library_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest, **named):
        if name == "dp_accounting":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError) as told:
        epsilon(DifferentialPrivacy(1.0, 1.0), 1, 0, [3], 1e-5)
    assert str(told.value) == (
        'privacy is accounted for by dp-accounting, which is not installed (pip install "jaxgossip[privacy]")'
    )
