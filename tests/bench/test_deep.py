"""The benchmark of deep networks: both sides do the same work, and every result is in the report."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip.bench import memory
from jaxgossip.bench.deep import cases, convolutions, networks, plain
from jaxgossip.bench.deep.cases import DEEP_CASES, DeepTime, bench_deep
from jaxgossip.bench.deep.convolutions import FORMS, FormTime, bench_forms
from jaxgossip.bench.deep.plain import PlainRounds
from jaxgossip.bench.learning import descent
from jaxgossip.bench.table import deep_rows, form_rows
from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.core.random import run_key
from jaxgossip.core.registry import Registry
from jaxgossip.learning.optimizers import layerwise

FAST = 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "params"), [("cnn_32", 60_362), ("cnn_28", 50_186), ("gn_lenet", 89_834), ("gpt", 112_577), ("mlp", 2_410)]
)
def test_the_plain_model_has_the_gradient_of_ours(name: str, params: int) -> None:
    network = getattr(networks, name)(2, 0)
    problem = network.problem()
    assert problem.n_params == params
    x = problem.init(run_key(0))
    assert not np.allclose(x[0], x[1])

    def loss(params, x, y):
        return plain.mean_loss(network.apply, params, x, y)

    losses, gradients = jax.jit(jax.vmap(jax.value_and_grad(loss)))(jax.vmap(problem.params)(x), network.x, network.y)
    expected = np.asarray(jax.vmap(problem.row)(gradients))
    found = np.asarray(jax.jit(problem.gradient)(x, run_key(1)))  # of the same batch, whatever the key
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(jax.jit(problem.loss_at)(x, jnp.arange(2)), losses, rtol=1e-5)


@pytest.mark.parametrize("name", ["cnn_32", "cnn_28", "gn_lenet", "gpt"])
def test_the_plain_model_has_the_scores_of_ours_in_shape(name: str) -> None:
    network = getattr(networks, name)(1, 0)
    params = jax.eval_shape(network.model.init, run_key(0))
    plain, ours = (jax.eval_shape(apply, params, network.x[0]) for apply in (network.apply, network.model.apply))
    assert (plain.shape, plain.dtype) == (ours.shape, ours.dtype)


@pytest.mark.slow
def test_rounds_of_both_sides_lead_to_the_same_models() -> None:
    network = networks.mlp(3, 0)
    problem = network.problem()
    rounds = descent(problem, layerwise(problem, network.optimizer), 0)
    before = np.asarray(rounds.state.x)
    params = jax.vmap(problem.params)(rounds.state.x)
    both = (jnp.asarray(network.x), jnp.asarray(network.y))
    alone = PlainRounds(network.apply, network.optimizer, params, *both)
    halved = PlainRounds(
        network.apply, network.optimizer, params, *both, lambda params: jax.tree.map(lambda w: w / 2, params)
    )
    alone()
    halved()
    np.testing.assert_allclose(jax.vmap(problem.row)(halved.params), jax.vmap(problem.row)(alone.params) / 2, rtol=1e-5)
    for _ in range(3):
        alone()
    rounds(4)
    np.testing.assert_allclose(rounds.state.x, jax.vmap(problem.row)(alone.params), atol=2e-5)
    assert np.abs(rounds.state.x - before).max() > 3e-3  # four steps of AdamW, 1e-3 each


@pytest.mark.slow
def test_all_forms_of_a_convolution_have_the_same_gradients() -> None:
    rng = np.random.default_rng(0)
    x, kernels = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((3, 2, 5, 4, 3), (3, 3, 3, 3, 6)))
    (_, first), *others = FORMS
    expected = jax.jit(first)(x, kernels)
    assert [leaf.shape for leaf in expected] == [x.shape, kernels.shape]
    inner = (
        slice(None),
        slice(None),
        slice(1, -1),
        slice(1, -1),
    )  # pixel by pixel: the kernel's middle is met everywhere
    assert np.abs(np.asarray(expected[0])[inner]).min() > 0
    for _, form in others:
        for found, wanted in zip(jax.jit(form)(x, kernels), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_a_form_that_would_take_long_is_extrapolated_from_one_node(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in ("BATCH_SIZE", "SIDE", "CHANNELS", "FEATURES"):
        monkeypatch.setattr(convolutions, size, 2)
    sizes: list[int] = []
    runs = convolutions._runs
    monkeypatch.setattr(convolutions, "_runs", lambda form, x, k: sizes.append(len(x)) or runs(form, x, k))
    begun: list[str] = []
    monkeypatch.setattr(convolutions, "FORM_NODES", 3)
    found = list(bench_forms(5, 0, budget_s=FAST, longest_s=0.0, begun=begun.append))
    assert sizes == [1] * len(FORMS)
    assert all(form.extrapolated and form.nodes == 3 and form.round_s > 0 for form in found)
    (first, *_) = bench_forms(2, 0, budget_s=FAST, begun=begun.append)
    assert not first.extrapolated
    assert sizes[len(FORMS) : len(FORMS) + 2] == [1, 2]
    assert begun[: len(FORMS) + 1] == [*(name for name, _ in FORMS), FORMS[0][0]]


@pytest.mark.slow
def test_a_report_holds_the_chosen_cases_and_their_ratios() -> None:
    heard: list[str] = []
    report = bench_deep(
        4,
        only=("mlp_layerwise_step",),
        repeats=1,
        sample_s=FAST,
        begun=heard.append,
        done=lambda case: heard.append(case.name),
    )
    assert heard == ["mlp_layerwise_step"] * 2
    assert report.forms == ()
    record = json.loads(json.dumps(report.record()))
    (case,) = record["cases"]
    assert (case["nodes"], case["params"], case["batch_size"]) == (4, 2410, 32)
    assert case["speedup"] == pytest.approx(case["plain_s"] / case["round_s"])
    assert 0 < case["scratch_states"] < 100


@pytest.mark.slow
def test_without_a_choice_all_cases_and_forms_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(DEEP_CASES) == ["cnn_step", "gn_lenet_step", "gpt_step", "mlp_layerwise_step"]
    monkeypatch.setattr(cases, "DEEP_CASES", Registry("deep benchmark case", [cases.mlp_layerwise_step]))
    for size in ("BATCH_SIZE", "SIDE", "CHANNELS", "FEATURES"):
        monkeypatch.setattr(convolutions, size, 2)
    names: list[str] = []
    report = bench_deep(4, repeats=1, sample_s=FAST, done=lambda result: names.append(result.name))
    assert names == ["mlp_layerwise_step", *(name for name, _ in FORMS)]
    assert [form["name"] for form in report.record()["convolutions"]] == names[1:]
    assert min(form.round_s for form in report.forms) > 0


def test_tables_have_milliseconds_and_ratios() -> None:
    (row,) = deep_rows([DeepTime("gpt_step", 96, 112_577, 8, 0.5, 1.25, None)])
    assert list(row.values()) == ["gpt_step", "112,577", "8", "500", "1,250", "2.50", "–"]
    fast, slow = form_rows([FormTime("a", 96, 0.5, False), FormTime("b", 96, 20.0, True)])
    assert list(fast.values()) == ["a", "500", "1.00", "all"]
    assert list(slow.values()) == ["b", "20,000", "40.0", "one node"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"only": ("gpt",)}, "unknown deep benchmark case 'gpt'"),
        ({"repeats": 0}, "repeats must be at least 1, not 0"),
        ({"nodes": 0}, "at least one node, not 0"),
    ],
)
def test_impossible_wishes(wrong: dict, message: str) -> None:
    with pytest.raises((ConfigError, InputError), match=message):
        bench_deep(**wrong)


def test_networks_too_large_for_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 7 * memory.DEEP_NODE_BYTES + 1)
    memory.check_deep_memory(7)
    with pytest.raises(InputError, match="8 deep networks takes about") as caught:
        bench_deep(8)
    assert caught.value.hint == "--nodes 7 fits"
