"""Models: scores and losses against formulas in NumPy float64, initial models, and user-defined models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxgossip.core.errors import InputError
from jaxgossip.learning import MODELS
from jaxgossip.learning import models as m

KEY = jax.random.key(0)
ONE_OF_EACH = {
    "logistic": lambda: m.logistic((4,), 2),
    "pegasos": lambda: m.pegasos((4,), 2),
    "adaline": lambda: m.adaline((4,), 2),
    "softmax": lambda: m.softmax((4,), 3),
    "mlp": lambda: m.mlp((4,), 3, hidden=(5, 6)),
    "cnn": lambda: m.cnn((4, 4), 3, channels=(2,)),
    "lenet": lambda: m.lenet((4, 4), 3),
    "gn_lenet": lambda: m.gn_lenet((8, 8), 3),
    "resnet8": lambda: m.resnet8((4, 4), 3),
    "resnet18": lambda: m.resnet18((4, 4), 3),
    "lstm_char": lambda: m.lstm_char((4,), 3, width=4),
    "gpt": lambda: m.gpt((4,), 3, width=4, heads=2),
    "embedding_bag": lambda: m.embedding_bag((4,), 3, n_tokens=5),
    "kmeans": lambda: m.kmeans((4,), 3, clusters=5),
    "naive_bayes": lambda: m.naive_bayes((4,), 3),
}


def samples(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape)


def random_parameters(model: m.Model) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=value.shape) for name, value in jax.eval_shape(model.init, KEY).items()}


def apply64(model: m.Model, parameters: dict, x: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(jax.jit(model.apply)(jax.tree.map(jnp.asarray, parameters), model.prepare(jnp.asarray(x))))


def test_the_cases_cover_the_registry() -> None:
    assert set(ONE_OF_EACH) == set(MODELS)


@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        (m.logistic_loss, lambda y, s: np.log(1 + np.exp(-y * s))),
        (m.hinge_loss, lambda y, s: np.maximum(0, 1 - y * s)),
        (m.squared_loss, lambda y, s: (s - y) ** 2 / 2),
    ],
)
def test_losses_of_two_classes_are_their_formulas(loss: m.Loss, formula) -> None:
    scores, labels = np.linspace(-4, 4, 9), np.arange(9) % 2
    with jax.enable_x64(True):
        found = loss(jnp.asarray(scores), jnp.asarray(labels))
    np.testing.assert_allclose(found, formula(2 * labels - 1, scores), rtol=1e-12)


def test_cross_entropy_is_its_formula() -> None:
    scores, labels = samples(7, 3), np.arange(7) % 3
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    with jax.enable_x64(True):
        found = m.cross_entropy_loss(jnp.asarray(scores), jnp.asarray(labels))
    np.testing.assert_allclose(found, -np.log(shares[np.arange(7), labels]), rtol=1e-12)


def test_the_slope_of_cross_entropy_is_its_formula() -> None:
    scores, labels = samples(7, 3), np.arange(7) % 3
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    with jax.enable_x64(True):
        found = jax.grad(lambda s: m.cross_entropy_loss(s, jnp.asarray(labels)).sum())(jnp.asarray(scores))
    np.testing.assert_allclose(found, shares - np.eye(3)[labels], rtol=1e-12, atol=1e-15)


@pytest.mark.by_default("hinge_loss", "logistic_loss")
@pytest.mark.parametrize("loss", [m.logistic_loss, m.hinge_loss, m.cross_entropy_loss])
def test_losses_of_large_scores_are_finite(loss: m.Loss) -> None:
    scores = jnp.asarray([1e4, -1e4])
    scores = scores if loss is not m.cross_entropy_loss else jnp.stack([scores, -scores], 1)
    assert np.isfinite(np.asarray(loss(scores, jnp.asarray([0, 0])))).all()


@pytest.mark.parametrize(("margin", "slope"), [(0.5, -1.0), (1.0, 0.0), (2.0, 0.0)])
def test_hinge_learns_below_margin_one_only(margin: float, slope: float) -> None:
    # at margin 1 itself Pegasos takes the subgradient 0: its indicator is y<w,x> < 1
    gradient = jax.grad(lambda s: m.hinge_loss(s[None], jnp.asarray([1]))[0])(jnp.asarray(margin))
    assert float(gradient) == slope


def test_predictions_are_the_sign_or_the_largest_score() -> None:
    np.testing.assert_array_equal(m.predict(jnp.asarray([-1.0, 0.0, 2.0])), [0, 0, 1])
    np.testing.assert_array_equal(m.predict(jnp.asarray([[1.0, 3.0, 2.0], [5.0, 0.0, 0.0]])), [1, 0])
    nan = jnp.nan
    np.testing.assert_array_equal(m.predict(jnp.asarray([nan, 1.0])), [-1, 1])  # no class, so never the right one
    np.testing.assert_array_equal(
        m.predict(jnp.asarray([[1.0, nan, 2.0], [nan, nan, nan], [0.0, 0.0, 1.0]])), [-1, -1, 2]
    )
    assert m.predict(jnp.zeros((2, 3))).dtype == m.predict(jnp.zeros(2)).dtype == jnp.int32


@pytest.mark.parametrize("name", ["logistic", "pegasos", "adaline"])
def test_linear_scores_are_their_formula_for_any_shape_of_sample(name: str) -> None:
    model = MODELS[name]((2, 3), 2)
    parameters, x = random_parameters(model), samples(5, 2, 3)
    expected = x.reshape(5, 6) @ parameters["w"][:-1] + parameters["w"][-1]  # the bias is the last weight
    np.testing.assert_allclose(apply64(model, parameters, x), expected, rtol=1e-12)


def test_softmax_scores_are_their_formula() -> None:
    model = m.softmax((4,), 3)
    parameters, x = random_parameters(model), samples(5, 4)
    np.testing.assert_allclose(
        apply64(model, parameters, x), x @ parameters["w0"].T + parameters["b0"], rtol=1e-12, atol=1e-13
    )


def test_mlp_scores_are_their_formula() -> None:
    model = m.mlp((4,), 3, hidden=(5, 6))
    p, x = random_parameters(model), samples(7, 4)
    hidden = np.maximum(0, x @ p["w0"].T + p["b0"])
    hidden = np.maximum(0, hidden @ p["w1"].T + p["b1"])
    np.testing.assert_allclose(apply64(model, p, x), hidden @ p["w2"].T + p["b2"], rtol=1e-12, atol=1e-12)


def convolution(x: np.ndarray, kernels: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the zero-padded convolution, written out in loops."""
    b, height, width, _ = x.shape
    size = kernels.shape[1]
    before = (size - 1) // 2
    padded = np.pad(x, ((0, 0), (before, size - 1 - before), (before, size - 1 - before), (0, 0)))
    found = np.zeros((b, height, width, len(kernels)))
    for i in range(height):
        for j in range(width):
            found[:, i, j] = np.einsum("bhwc,dhwc->bd", padded[:, i : i + size, j : j + size], kernels) + bias
    return found


@pytest.mark.by_default("shape1-image1-2")
@pytest.mark.parametrize(
    ("shape", "image", "kernel"),
    [((5, 7), (5, 7, 1), 3), ((6, 6, 2), (6, 6, 2), 2), ((64,), (8, 8, 1), 5)],
)
def test_cnn_scores_are_their_formula(shape: tuple[int, ...], image: tuple[int, ...], kernel: int) -> None:
    model = m.cnn(shape, 3, channels=(2, 3), kernel=kernel)
    p, x = random_parameters(model), samples(2, *shape)
    now = x.reshape(2, *image)
    for number in range(2):
        now = np.maximum(0, convolution(now, p[f"k{number}"], p[f"c{number}"]))
        h, w = now.shape[1] // 2, now.shape[2] // 2
        now = (now[:, : 2 * h, : 2 * w].reshape(2, h, 2, w, 2, -1)).mean((2, 4))
    expected = now.transpose(0, 3, 1, 2).reshape(2, -1) @ p["w0"].T + p["b0"]
    np.testing.assert_allclose(apply64(model, p, x), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [2, 3])
def test_gradients_of_cnn_are_those_of_plain_convolutions(kernel: int) -> None:
    model = m.cnn((5, 7, 2), 3, channels=(2, 3), kernel=kernel)
    before = (kernel - 1) // 2
    around = [(before, kernel - 1 - before)] * 2

    def plain(p: dict, x: jax.Array) -> jax.Array:
        x = x.transpose(0, 3, 1, 2)
        for number in range(2):
            kernels = p[f"k{number}"].transpose(0, 3, 1, 2)
            x = jax.lax.conv_general_dilated(x, kernels, (1, 1), around) + p[f"c{number}"][:, None, None]
            x = jax.lax.reduce_window(jnp.maximum(x, 0), 0.0, jax.lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "VALID") / 4
        return x.reshape(x.shape[0], -1) @ p["w0"].T + p["b0"]

    with jax.enable_x64(True):
        p = jax.tree.map(jnp.asarray, random_parameters(model))
        x, weights = jnp.asarray(samples(4, 5, 7, 2)), jnp.asarray(samples(4, 3))
        found, expected = (
            jax.grad(lambda p, apply=apply: (apply(p, x) * weights).sum())(p) for apply in (model.apply, plain)
        )
    for name in p:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-11, atol=1e-12)


@pytest.mark.by_default("softmax", "logistic")
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_every_start_is_finite_and_follows_its_key(name: str) -> None:
    start = jax.jit(ONE_OF_EACH[name]().init)
    first, again, other = (ravel_pytree(start(key))[0] for key in (KEY, KEY, jax.random.key(1)))
    assert np.isfinite(np.asarray(first)).all()
    np.testing.assert_array_equal(first, again)
    convex = name in ("logistic", "pegasos", "adaline", "softmax", "naive_bayes")
    assert np.array_equal(first, other) == convex
    assert bool((first == 0).all()) == convex


@pytest.mark.slow
def test_weights_start_by_he() -> None:
    weights = m.mlp((200,), 3, hidden=(100,)).init(KEY)
    # He et al. 2015: variance 2/fan_in; its estimate from 20,000 entries spreads by 1 %
    np.testing.assert_allclose(np.asarray(weights["w0"]).var(), 2 / 200, rtol=0.045)
    kernels = m.cnn((8, 8), 3, channels=(400,), kernel=5).init(KEY)["k0"]
    np.testing.assert_allclose(np.asarray(kernels).var(), 2 / 25, rtol=0.065)


@pytest.mark.parametrize("name", sorted({*MODELS} - {"kmeans", "naive_bayes"}))
def test_the_regularization_of_a_builder_is_the_models(name: str) -> None:
    shape = (8, 8) if name in ("cnn", "lenet", "gn_lenet", "resnet8", "resnet18") else (4,)
    options = {"n_tokens": 5} if name == "embedding_bag" else {}
    assert MODELS[name](shape, 2, **options, regularization=0.5).regularization == 0.5


def test_your_own_functions_make_a_model() -> None:
    model = m.from_functions(lambda _: (jnp.zeros(3), jnp.ones(())), lambda p, x: x @ p[0] + p[1], "squared", 0.1)
    assert model.loss is m.squared_loss
    assert model.regularization == 0.1
    np.testing.assert_array_equal(model.apply(model.init(KEY), jnp.ones((2, 3))), [1, 1])
    own = m.from_functions(model.init, model.apply, lambda s, y: jnp.abs(s - y))
    np.testing.assert_array_equal(own.loss(jnp.asarray([3.0]), jnp.asarray([1])), [2])


def two_functions(*rest) -> m.Model:
    return m.from_functions(lambda _: 0.0, lambda p, x: x[:, 0] * p, *rest)


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: m.logistic((4,), 3),
            "model 'logistic' tells two classes apart, not 3 (use softmax, mlp or cnn)",
        ),
        (
            lambda: m.pegasos((4,), 10),
            "model 'pegasos' tells two classes apart, not 10 (use softmax, mlp or cnn)",
        ),
        (lambda: m.adaline((4,), 3), "model 'adaline' tells two classes apart, not 3 (use softmax, mlp or cnn)"),
        (lambda: m.kmeans((4,), 3, clusters=1), "k-means needs at least two clusters, not 1"),
        (
            lambda: m.naive_bayes((4,), 3, smoothing=0.0),
            "naive Bayes needs a positive smoothing, not 0 (one sample has no variance)",
        ),
        (lambda: m.mlp((4,), 3, hidden=(5, 0)), "mlp: hidden layers need at least one unit each, not [5, 0]"),
        (lambda: m.cnn((5,), 3), "model 'cnn' needs images, not samples of shape [5] (use mlp)"),
        (lambda: m.cnn((2, 2, 2, 2), 3), "model 'cnn' needs images, not samples of shape [2, 2, 2, 2] (use mlp)"),
        (lambda: m.cnn((3, 9), 3), "images of 3×9 cannot be halved 2 times (give fewer channels)"),
        (
            lambda: two_functions("hingle"),
            "from_functions: unknown loss 'hingle' (allowed: logistic, hinge, squared, cross_entropy, mean_squared, tokens)",
        ),
        (lambda: two_functions("hinge", -1.0), "from_functions: regularization must not be negative: -1.0"),
        (lambda: m.softmax((4,), 3, regularization=-0.5), "softmax: regularization must be at least 0, not -0.5"),
    ],
)
def test_impossible_models_are_told(make, message: str) -> None:
    with pytest.raises(InputError) as told:
        make()
    assert str(told.value) == message
