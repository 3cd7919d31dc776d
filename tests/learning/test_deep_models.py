"""Deep models: outputs against the same layers of flax, gradients against plain convolutions, and what is refused."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgossip.core.errors import InputError
from jaxgossip.learning import models as m
from jaxgossip.learning.models import layers

KEY = jax.random.key(0)


def images(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), jnp.float32)


def drawn(init):
    """Return parameters of the shapes that ``init`` gives, none of them 0 or 1 as at the start.

    NumPy draws them: to compile the draws of all layers takes longer than to compile the layers.
    """
    rng = np.random.default_rng(0)

    def leaf(like: jax.ShapeDtypeStruct) -> jax.Array:
        values = rng.normal(size=like.shape)
        if len(like.shape) < 2:  # scales and variances among them
            return jnp.asarray(0.5 + 0.3 * np.abs(values), like.dtype)
        return jnp.asarray(values * np.sqrt(2 / np.prod(like.shape[:-1])), like.dtype)

    return jax.tree.map(leaf, jax.eval_shape(init, KEY))


@pytest.mark.parametrize(("size", "stride"), [(1, 2), (2, 1), (3, 2), (5, 1)])
def test_a_convolution_is_the_plain_one(size: int, stride: int) -> None:
    x, kernel = images(2, 7, 6, 3), images(size, size, 3, 4)
    before = (size - 1) // 2
    around = [(before, size - 1 - before)] * 2

    def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), around, dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
        )

    weights = images(*jax.eval_shape(plain, x, kernel).shape)

    @jax.jit
    def of_both(x: jax.Array, kernel: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
        forms = (lambda x, kernel: layers.convolve(x, kernel, stride), plain)
        return [jax.grad(lambda *both, form=form: (form(*both) * weights).sum(), (0, 1))(x, kernel) for form in forms]

    for found, expected in zip(*of_both(x, kernel), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


class GnLenet(nn.Module):
    @nn.compact
    def __call__(self, x):
        for layer, features in enumerate((32, 32, 64)):
            x = nn.Conv(features, (5, 5), name=f"conv{layer}")(x)
            x = nn.relu(nn.GroupNorm(2, epsilon=layers.NORM_EPSILON, name=f"norm{layer}")(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        return nn.Dense(10, name="dense")(x.reshape(x.shape[0], -1))


@pytest.mark.slow
def test_gn_lenet_is_that_of_flax() -> None:
    published = jax.eval_shape(m.gn_lenet((32, 32, 3), 10).init, KEY)
    assert sum(leaf.size for leaf in jax.tree.leaves(published)) == 89_834
    model, x = m.gn_lenet((8, 8, 3), 10), images(2, 8, 8, 3)
    params = drawn(model.init)
    found, expected = jax.jit(model.apply)(params, x), jax.jit(GnLenet().apply)({"params": params}, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_lenet_has_the_published_number_of_parameters() -> None:
    params = jax.eval_shape(m.lenet((32, 32, 1), 10).init, KEY)
    # 156 + 2,416 + (8·8·16 + 1)·120 + 10,164 + 850: zeros around the images keep 8×8 places, of 5×5 in the paper
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 156 + 2_416 + 123_000 + 10_164 + 850


class Resnet(nn.Module):
    widths: tuple[int, ...]
    blocks: int
    train: bool
    norm: str

    def unit(self, features, size, stride, name, x):
        x = nn.Conv(
            features, (size, size), (stride, stride), padding=(size - 1) // 2, use_bias=False, name=name + "_conv"
        )(x)
        if self.norm == "group":
            return nn.GroupNorm(8, epsilon=layers.NORM_EPSILON, name=name + "_norm")(x)
        return nn.BatchNorm(
            use_running_average=not self.train, momentum=0.9, epsilon=layers.NORM_EPSILON, name=name + "_norm"
        )(x)

    @nn.compact
    def __call__(self, x):
        x = nn.relu(self.unit(self.widths[0], 3, 1, "stem", x))
        for stage, block in itertools.product(range(len(self.widths)), range(self.blocks)):
            features, stride = self.widths[stage], 2 if stage and not block else 1
            name = f"stage{stage}_block{block}"
            y = nn.relu(self.unit(features, 3, stride, name + "_first", x))
            y = self.unit(features, 3, 1, name + "_second", y)
            if x.shape != y.shape:
                x = self.unit(features, 1, stride, name + "_shortcut", x)
            x = nn.relu(x + y)
        return nn.Dense(4, name="dense")(x.mean((1, 2)))


def of_flax(params, statistics):
    """Return the variables of ``Resnet`` that hold these parameters."""
    variables = {"params": {"dense": params["dense"]}, "batch_stats": {}}
    units = {"stem": params["stem"]} | {
        f"{block}_{part}": unit for block in params if block.startswith("stage") for part, unit in params[block].items()
    }
    for name, unit in units.items():
        variables["params"][name + "_conv"] = {"kernel": unit["kernel"]}
        variables["params"][name + "_norm"] = {"scale": unit["scale"], "bias": unit["bias"]}
        if statistics:
            block, _, part = name.rpartition("_")
            variables["batch_stats"][name + "_norm"] = statistics[block][part] if block else statistics[name]
    return variables


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("name", ["resnet8", "resnet18"])
def test_resnets_are_those_of_flax(name: str, norm: str) -> None:
    widths, blocks = {"resnet8": ((16, 32, 64), 1), "resnet18": ((64, 128, 256, 512), 2)}[name]
    model, x = m.MODELS[name]((8, 8, 3), 4, norm=norm), images(3, 8, 8, 3)
    params = drawn(model.init)
    variables = of_flax(params, params.get("batch_stats"))
    evaluated = jax.jit(Resnet(widths, blocks, False, norm).apply)(variables, x)
    np.testing.assert_allclose(jax.jit(model.apply)(params, x), evaluated, rtol=1e-3, atol=1e-3)
    if norm == "batch":
        outputs, state = jax.jit(model.forward)(params, x, KEY)
        expected, after = jax.jit(lambda v, x: Resnet(widths, blocks, True, norm).apply(v, x, mutable=["batch_stats"]))(
            variables, x
        )
        np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-3)
        found = of_flax(params, state["batch_stats"])["batch_stats"]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), found, after["batch_stats"])


def test_a_memory_is_that_of_flax() -> None:
    layer = drawn(lambda key: layers.lstm_layer(key, 3, 5))
    x = images(2, 7, 3)
    cell = {}
    for part, name in enumerate("ifgo"):
        of = slice(5 * part, 5 * part + 5)
        cell["i" + name] = {"kernel": layer["kernel"][:, of]}
        cell["h" + name] = {"kernel": layer["recurrent"][:, of], "bias": layer["bias"][of]}
    expected = jax.jit(nn.RNN(nn.OptimizedLSTMCell(5)).apply)({"params": {"cell": cell}}, x)
    np.testing.assert_allclose(jax.jit(layers.lstm)(layer, x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_attention_is_that_of_flax() -> None:
    params = drawn(m.gpt((6,), 5, width=8, heads=2, layers=1).init)["block0"]["attention"]
    x = images(2, 6, 8)
    split = {
        name: {"kernel": part.reshape(8, 2, 4), "bias": bias.reshape(2, 4)}
        for name, part, bias in zip(
            ("query", "key", "value"),
            jnp.split(params["qkv"]["kernel"], 3, 1),
            jnp.split(params["qkv"]["bias"], 3),
            strict=True,
        )
    }
    out = {"kernel": params["out"]["kernel"].reshape(2, 4, 8), "bias": params["out"]["bias"]}
    module = nn.MultiHeadDotProductAttention(2)
    expected = jax.jit(module.apply)({"params": {**split, "out": out}}, x, mask=nn.make_causal_mask(x[..., 0]))
    found = jax.jit(layers.causal_attention, static_argnums=2)(params, x, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt", "lstm_char"])
def test_scores_of_a_place_do_not_know_what_follows(name: str) -> None:
    small = {"gpt": {"width": 8, "heads": 2}, "lstm_char": {"width": 6}}[name] | {"layers": 2}
    model = m.MODELS[name]((6,), 5, **small)
    params = drawn(model.init)
    x = jnp.asarray([[1, 2, 3, 4, 0, 1], [1, 2, 3, 0, 4, 4]])
    scores = jax.jit(model.apply)(params, x)
    assert scores.shape == (2, 6, 5)
    np.testing.assert_allclose(scores[0, :3], scores[1, :3], rtol=1e-6)
    assert not np.allclose(scores[0, 3:], scores[1, 3:])
    last = m.MODELS[name]((6,), 5, predicts="last", **small)
    np.testing.assert_allclose(jax.jit(last.apply)(params, x), scores[:, -1], rtol=1e-5)


@pytest.mark.slow
def test_dropout_keeps_the_mean_and_acts_in_training_only() -> None:
    kept = layers.dropout(KEY, jnp.ones((400, 100)), 0.25)
    np.testing.assert_allclose(np.unique(kept), [0, 4 / 3], rtol=1e-6)
    np.testing.assert_allclose(kept.mean(), 1, atol=0.01)
    model = m.gpt((4,), 3, width=8, heads=2, layers=1, dropout_rate=0.5)
    params, x = drawn(model.init), jnp.zeros((2, 4), jnp.int32)
    trained = jax.jit(model.forward)
    first, again, other = (trained(params, x, jax.random.key(seed))[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert m.gpt((4,), 3, width=8, heads=2).forward is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("gpt", (16,), {"layers": 2, "width": 8, "dropout_rate": 0.1}),
        ("resnet8", (16, 16, 3), {"norm": "batch"}),
        ("resnet8", (16, 16, 3), {"norm": "group"}),
    ],
)
def test_blocks_that_are_computed_anew_give_the_same_gradients_in_less_memory(name: str, shape, options: dict) -> None:
    x = jnp.zeros((8, *shape), jnp.int32) if name == "gpt" else images(8, *shape)

    def gradient(remat: bool) -> tuple[jax.Array, int]:
        model = m.MODELS[name](shape, 5, remat=remat, **options)
        run = model.forward or (lambda params, x, _: (model.apply(params, x), {}))
        params = drawn(model.init)
        gradients = jax.jit(jax.grad(lambda params: jnp.square(run(params, x, KEY)[0]).sum()))
        program = gradients.lower(params).compile()
        return program(params), program.memory_analysis().temp_size_in_bytes

    (kept, most), (anew, least) = gradient(False), gradient(True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), kept, anew)
    assert least < 0.8 * most


def test_a_bag_of_embeddings_is_its_formula() -> None:
    model = m.embedding_bag((3,), 2, n_tokens=4, width=5)
    params = drawn(model.init)
    mean = (params["embedding"][1] + params["embedding"][3] + params["embedding"][3]) / 3
    expected = mean @ params["dense"]["kernel"] + params["dense"]["bias"]
    np.testing.assert_allclose(model.apply(params, jnp.asarray([[1, 3, 3]]))[0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: m.lenet((3, 3), 2), "model 'lenet' needs images of at least 4×4, not 3×3 (use cnn or mlp)"),
        (lambda: m.gn_lenet((7,), 2), "model 'gn_lenet' needs images, not samples of shape [7] (use mlp)"),
        (
            lambda: m.gn_lenet((8, 8, 1), 2, groups=5),
            "gn_lenet: 5 groups do not divide 32 channels (groups = 2, 4 or 8)",
        ),
        (
            lambda: m.resnet8((2, 2, 2, 2), 2),
            "model 'resnet8' needs images, not samples of shape [2, 2, 2, 2] (use mlp)",
        ),
        (lambda: m.gpt((4, 4), 3), "model 'gpt' needs sequences of tokens, not samples of shape [4, 4]"),
        (lambda: m.gpt((4,), 3, width=6, heads=4), "gpt: 4 heads do not divide a width of 6"),
        (lambda: m.gpt((4,), 3, dropout_rate=1.0), "gpt: dropout_rate must be below 1, not 1.0"),
        (lambda: m.lstm_char((4,), 3, width=0), "lstm_char: width must be a whole number of at least 1, not 0"),
    ],
)
def test_impossible_models_are_told(make, message: str) -> None:
    with pytest.raises(InputError) as told:
        make()
    assert str(told.value) == message


def test_tokens_that_a_model_does_not_have_are_no_others() -> None:
    rows = layers.embedding(jnp.ones((3, 2)), jnp.asarray([0, 2, 3, -1]))
    np.testing.assert_array_equal(np.isnan(rows).all(1), [False, False, True, True])
