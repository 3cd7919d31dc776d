"""Augmentations: what each does to an image, whose draws they are, and that they act in training alone."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import ArgumentTypeError, ConfigError, InputError
from jaxgossip.learning import AUGMENTATIONS, Dataset, augmentation
from jaxgossip.learning.augmentation.draws import sample_keys
from jaxgossip.topology import Order

H, W, C = 6, 5, 2
N, EACH = 3, 4
KEY = jax.random.key(5)
RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(H, W, C)).astype(np.float32)
DRAWS = 4000


def many(augment: Any, image: np.ndarray = IMAGE, draws: int = DRAWS) -> np.ndarray:
    return np.asarray(jax.jit(jax.vmap(augment, (0, None)))(jax.random.split(KEY, draws), jnp.asarray(image)))


@pytest.mark.parametrize("name", ["crop", "shift"])
def test_every_place_of_a_crop_is_equally_likely(name: str) -> None:
    augment = augmentation.crop(padding=1) if name == "crop" else augmentation.shift(pixels=1)
    padded = np.pad(IMAGE, ((1, 1), (1, 1), (0, 0)))
    crops = [padded[row : row + H, column : column + W] for row in range(3) for column in range(3)]
    found = many(augment)
    counts = np.array([(found == crop).all((1, 2, 3)).sum() for crop in crops])
    assert counts.sum() == DRAWS
    assert np.abs(counts - DRAWS / 9).max() < 5 * np.sqrt(DRAWS / 9)


def test_a_flip_is_from_left_to_right_with_its_probability() -> None:
    found = many(augmentation.flip(probability=0.3), IMAGE[..., 0])
    flipped = (found == IMAGE[:, ::-1, 0]).all((1, 2))
    assert ((found == IMAGE[..., 0]).all((1, 2)) | flipped).all()
    assert abs(flipped.mean() - 0.3) < 5 * np.sqrt(0.21 / DRAWS)


def test_a_cutout_is_a_square_of_the_mean_around_any_pixel() -> None:
    found = many(augmentation.cutout(size=3))
    cut = (found != IMAGE).any(3)
    np.testing.assert_allclose(found[cut], np.broadcast_to(IMAGE.mean((0, 1)), found[cut].shape), rtol=1e-5)
    np.testing.assert_array_equal(found[~cut], np.broadcast_to(IMAGE, found.shape)[~cut])
    expected = np.zeros((H * W, H, W), bool)
    for place in range(H * W):
        row, column = divmod(place, W)
        expected[place, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
    counts = np.array([(cut == square).all((1, 2)).sum() for square in expected])
    assert counts.sum() == DRAWS
    assert np.abs(counts - DRAWS / (H * W)).max() < 5 * np.sqrt(DRAWS / (H * W))


def test_noise_is_normal_on_samples_of_any_shape() -> None:
    noise = (many(augmentation.noise(deviation=2.0), np.ones(7, np.float32)) - 1) / 2
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        assert abs((noise**power).mean() - moment) < 0.15
    correlations = np.corrcoef(noise.T) - np.eye(7)
    assert np.abs(correlations).max() < 0.1


def dataset(kind: str = "float") -> Dataset:
    """Return N · EACH images, the same for all nodes, so that gradients differ by their draws alone."""
    x = np.tile(IMAGE, (N * EACH, 1, 1, 1))
    pixels = np.tile(np.arange(H * W * C, dtype=np.uint8).reshape(H, W, C), (N * EACH, 1, 1, 1))
    y = (np.arange(N * EACH) % 2).astype(np.int32)
    if kind == "uint8":
        scaling = jg.learning.data.scaling.Scaling(np.full(C, 10, np.float32), np.full(C, 4, np.float32))
        return Dataset("made", pixels, y, pixels, y, 2, scaling=scaling)
    return Dataset("made", x, y, x, y, 2)


def counting(forward: bool = False) -> jg.learning.Model:
    """Return a model whose gradient is the mean of its prepared samples: flattened, and twice as large."""
    model = jg.learning.from_functions(
        lambda _: jnp.zeros(H * W * C),
        lambda w, x: x @ w,
        lambda scores, _: scores,
        prepare=lambda x: 2 * x.reshape(len(x), -1),
    )
    return replace(model, forward=lambda w, x, _: (x @ w, {})) if forward else model


def marked(key: jax.Array, x: jax.Array) -> jax.Array:
    """Add a number of the key, whose draw needs no compilation."""
    return x + jax.random.key_data(key)[0] % 1000 / 100


def problem_of(augment: Any = (marked,), kind: str = "float", forward: bool = False, **options: Any) -> Any:
    partition = jg.learning.Partition(
        np.arange(N * EACH, dtype=np.int32), np.arange(N + 1) * EACH, np.full(N, EACH, np.int32)
    )
    options = {"batch_size": 0} | options
    return jg.learning.supervised(dataset(kind), partition, counting(forward), augment=list(augment), **options)


def gradient(problem: Any, x: Any, key: jax.Array = KEY) -> np.ndarray:
    return np.asarray(problem.gradient(x, key))


def zeros(problem: Any) -> jax.Array:
    return jnp.zeros((N, problem.n_params), problem.dtype)


@pytest.mark.slow
def test_a_gradient_is_that_of_the_augmented_samples_in_their_order() -> None:
    augment = [augmentation.flip(), augmentation.crop(padding=2)]
    problem = problem_of(augment)
    nodes, places = np.divmod(np.arange(N * EACH), EACH)
    keys = sample_keys(KEY, jnp.asarray(nodes), jnp.asarray(places))
    assert len(np.unique(jax.random.key_data(keys), axis=0)) == N * EACH
    found = []
    for key in keys:
        x = augment[0](jax.random.fold_in(key, 0), jnp.asarray(IMAGE))
        found.append(2 * np.ravel(augment[1](jax.random.fold_in(key, 1), x)))
    expected = np.reshape(found, (N, EACH, -1)).mean(1)
    np.testing.assert_allclose(jax.jit(problem.gradient)(zeros(problem), KEY), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_draws_differ_by_node_sample_and_round_and_repeat_with_the_key() -> None:
    problem = problem_of(["noise"], batch_size=1)
    step = jax.jit(problem.gradient)
    found = np.asarray(step(zeros(problem), KEY))
    np.testing.assert_array_equal(found, step(zeros(problem), KEY))
    assert len(np.unique(found[:, 0])) == N
    assert not np.allclose(found, step(zeros(problem), jax.random.key(6)))
    whole = problem_of()  # each number of which is moved by that of its sample
    moved = gradient(whole, zeros(whole)) / 2 - np.ravel(IMAGE)
    assert len(np.unique(moved.round(4))) == N


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_all_kinds_of_gradients_have_the_same_draws(kind: str) -> None:
    plain = problem_of(kind=kind)
    expected = gradient(plain, zeros(plain))
    at = plain.gradient_at(zeros(plain), jnp.arange(N), KEY, jnp.arange(N, dtype=jnp.uint32))
    mean = plain.mean_gradient(zeros(plain)[:1], KEY)
    private = problem_of(kind=kind, privacy=jg.learning.DifferentialPrivacy(1e6, 0.0))
    forward = problem_of(kind=kind, forward=True)
    reordered = problem_of(kind=kind, order=Order(np.array([2, 0, 1])))
    np.testing.assert_allclose(at, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mean[0], expected.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient(private, zeros(plain)), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient(forward, zeros(plain)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(forward.mean_gradient(zeros(plain)[:1], KEY)[0], expected.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient(reordered, zeros(plain)), expected[[2, 0, 1]], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_images_of_uint8_are_scaled_then_augmented_then_prepared() -> None:
    problem = problem_of([lambda _, x: x**2], "uint8")
    scaled = (np.arange(H * W * C, dtype=np.float32).reshape(H, W, C) - 10) / 4
    found = gradient(problem, zeros(problem))
    np.testing.assert_allclose(found, np.tile(2 * np.ravel(scaled**2), (N, 1)), rtol=1e-5)


@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_nothing_is_augmented_in_evaluation(kind: str) -> None:
    changed, plain = problem_of([lambda _, x: x + 100], kind), problem_of((), kind)
    x, nodes = jnp.asarray(np.random.default_rng(1).normal(size=(N, plain.n_params)), jnp.float32), jnp.arange(N)
    assert not np.allclose(gradient(changed, x), gradient(plain, x))
    np.testing.assert_allclose(changed.loss_at(x, nodes), plain.loss_at(x, nodes), rtol=1e-6)
    for name, scores in plain.evaluate(x).items():
        np.testing.assert_allclose(changed.evaluate(x)[name], scores, rtol=1e-6)


@pytest.mark.slow
def test_own_test_samples_are_not_augmented_either() -> None:
    data = dataset()
    model = jg.learning.models.softmax((H, W, C), 2)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(N, 2 * (H * W * C + 1))), jnp.float32)
    scores = [
        jg.learning.supervised(
            data, "iid", model, nodes=N, local_test=0.5, augment=augment, batch_size=0
        ).evaluate_local(x, jnp.arange(N))["local_accuracy"]
        for augment in ([], [lambda _, x: -x])
    ]
    np.testing.assert_array_equal(*scores)


REFUSED = {
    "a vector": (["crop"], InputError, r"crop: a sample of shape \(4,\) is no image"),
    "an unknown name": (["corp"], ConfigError, "unknown augmentation 'corp'"),
    "one name": ("crop", ArgumentTypeError, "augment must be a list, not 'crop'"),
    "a builder": ([augmentation.noise], ArgumentTypeError, "noise makes an augmentation when it is called"),
    "a number": ([3], ArgumentTypeError, "3 is no augmentation"),
    "another shape": ([lambda _, x: x[:2]], InputError, r"makes float32 of shape \(2,\)"),
    "integers": ([lambda _, x: x.astype(int)], InputError, "makes int32 of shape"),
    "an exception": ([lambda _, x: x @ jnp.ones((3, 3))], InputError, "the augmentation <lambda> raised TypeError"),
}


@pytest.mark.wrong_types
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_augmentation_of_these_samples_is_told(case: str) -> None:
    augment, error, message = REFUSED[case]
    data = jg.learning.datasets.synthetic(samples=40, features=4, rng=0)
    with pytest.raises(error, match=message):
        jg.learning.supervised(data, "iid", jg.learning.models.logistic((4,), 2), nodes=2, augment=augment)


def test_images_that_are_too_small_and_tokens_are_told() -> None:
    with pytest.raises(InputError, match="crop: images of 6×5 pixels are too small"):
        problem_of([augmentation.crop(padding=5)])
    with pytest.raises(InputError, match="cutout: images of 6×5 pixels are too small"):
        problem_of([augmentation.cutout(size=6)])
    tokens = np.arange(12, dtype=np.int32).reshape(6, 2) % 3
    data = Dataset("words", tokens, tokens, tokens, tokens, 3, target="sequence")
    model = jg.learning.from_functions(lambda _: jnp.zeros((3, 3)), lambda w, x: w[x])
    with pytest.raises(InputError, match="samples of words are tokens"):
        jg.learning.supervised(data, "iid", model, nodes=2, augment=["noise"])


def test_equal_augmentations_share_programs() -> None:
    assert [build() for build in AUGMENTATIONS.values()] == [build() for build in AUGMENTATIONS.values()]
    assert augmentation.crop(padding=2) != augmentation.crop(padding=3)
