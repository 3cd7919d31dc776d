"""Windows of mixing: which W holds when, under faults, robust rules and on meshes; and what a merge of all models is."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core import counting
from jaxgossip.core.random import run_key
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load
from jaxgossip.mixing.time_varying.windowed import Either
from jaxgossip.network import Conditions, Round
from tests.algorithms.q16 import ETA, B, N, of_targets, ring

m, t = jg.mixing, jg.topology
START, ROUNDS = 3, 2


def windows(degree: int | None, usual: Any = None) -> Any:
    return m.windowed(ring() if usual is None else usual, start=START, rounds=ROUNDS, degree=degree)


def links_of(W: Any, number: int, conditions: Conditions | None = None) -> Any:
    return Round(jnp.int32(number), run_key(2), N, conditions or Conditions()).links(W)


@pytest.mark.by_default("matching-5")
@pytest.mark.parametrize("degree", [None, 5])
@pytest.mark.parametrize("kind", ["static", "matching", "hybrid"])
def test_which_operator_holds_in_which_round(kind: str, degree: int | None) -> None:
    graph = t.star(N) if kind == "hybrid" else t.complete(N)
    usual = m.matching(graph) if kind == "matching" else m.metropolis_hastings(graph if kind == "hybrid" else t.ring(N))
    W = windows(degree, usual)
    for number in range(7):
        operator, key = links_of(W, number).operator, Round(jnp.int32(number), run_key(2), N).key("mix peers")
        expected = (W.inside if START <= number < START + ROUNDS else usual).at(jnp.int32(number), key)
        np.testing.assert_array_equal(operator.as_matrix(), expected.as_matrix())
        x = jax.random.normal(key, (N, 3))
        np.testing.assert_allclose(operator(x), expected(x), atol=1e-6)
        assert counting.to_int(operator.messages(None)) == counting.to_int(expected.messages(None))
    if degree is None:
        np.testing.assert_allclose(links_of(W, START).operator.as_matrix(), np.full((N, N), 1 / N), atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("degree", [None, 5])
def test_faults_act_in_and_out_of_the_window(degree: int | None, number: int) -> None:
    """Whatever is asked of the operator is what the one that holds says under the same faults."""
    W, conditions = windows(degree), Conditions(drop=0.3, online=0.7)
    links = links_of(W, number, conditions)
    found, faults, values = links.operator, links.faults, jax.random.normal(jax.random.key(5), (N,))
    assert isinstance(found, Either)
    expected = found.inside.at(found.number, found.key) if found.within else found.usual
    x = jax.random.normal(run_key(0), (N, 3))
    np.testing.assert_allclose(found.mix(x, faults), expected.mix(x, faults), atol=1e-6)
    for one, other in zip(found.hear(x, faults), expected.hear(x, faults), strict=True):
        np.testing.assert_allclose(one, jnp.broadcast_to(other, one.shape), atol=1e-6)
    arriving, arrives = found.arriving(faults), expected.arriving(faults)
    np.testing.assert_array_equal(found.highest(values, arriving), expected.highest(values, arrives))
    np.testing.assert_array_equal(found.received(arriving), expected.received(arrives))
    np.testing.assert_array_equal(found.sent(faults), expected.sent(faults))
    assert counting.to_int(found.messages(faults)) == counting.to_int(expected.messages(faults))
    slots, of = found.by_slots(), expected.by_slots()
    np.testing.assert_allclose(slots.as_matrix(), of.as_matrix(), atol=1e-7)
    np.testing.assert_array_equal(slots.arrivals(faults)[:, : of.n_slots], of.arrivals(faults))
    np.testing.assert_allclose(slots.mix(x, faults), of.mix(x, faults), atol=1e-6)


@pytest.mark.slow
def test_robust_rules_see_the_links_of_the_round() -> None:
    """The median of all models, which is what all nodes hold after a round of a window of all nodes."""
    task, W = jg.learning.averaging(N, dimension=2, rng=0), m.windowed(ring(), start=0, rounds=1)
    median = Conditions(aggregation=jg.network.AGGREGATIONS["median"]())
    x = jg.simulate(jg.algorithms.averaging(task, None, W), 1, conditions=median).x
    np.testing.assert_allclose(x, np.broadcast_to(np.median(task.targets, 0), x.shape), rtol=1e-6)


def trained(W: Any, rounds: int, **options: Any) -> np.ndarray:
    problem = of_targets(B, **options)
    problem.evaluate = lambda x: {"size": jnp.square(x).sum(1)}  # curvatures differ, and there is no one optimum
    return np.asarray(jg.simulate(jg.algorithms.dsgd(problem, optax.sgd(ETA), W), rounds, evaluate_every=10**6).x)


@pytest.mark.slow
def test_what_a_merge_of_all_models_gains() -> None:
    """With one curvature a: (a/2) ‖ΠX‖²/n on average; the merged model is that of any mixing, period and window."""
    with jax.enable_x64(True):
        usual = {
            "ring": ring(),
            "complete": m.metropolis_hastings(t.complete(N)),
            "pairs": m.matching(t.complete(N)),
            "window": m.windowed(ring(), start=20, rounds=5, degree=4),
        }
        merged = {name: trained(m.windowed(W, start=29), 30) for name, W in usual.items()}
        before = trained(ring(), 30)
        unequal = [
            trained(m.windowed(W, start=29), 30, curvature=np.linspace(0.5, 2, N)[:, None])[0] for W in usual.values()
        ]
    for x in merged.values():
        np.testing.assert_allclose(x, np.broadcast_to(merged["ring"][:1], x.shape), atol=1e-12)
    mean = before.mean(0)
    np.testing.assert_allclose(merged["ring"][0], mean, atol=1e-12)

    def objective(x: np.ndarray) -> np.ndarray:
        return np.square(x[:, None, 0] - B).mean(1) / 2

    gained = objective(before).mean() - objective(mean[None])[0]
    assert gained == pytest.approx(np.square(before - mean).sum() / N / 2, rel=1e-9)
    assert gained > 0.05
    assert np.ptp(unequal) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("degree", [None, 5])
def test_a_mesh_has_the_same_bits_on_any_number_of_devices(degree: int | None) -> None:
    def x(devices: int) -> Any:
        task = jg.learning.isotropic_quadratic(N, dimension=3, noise=0.3, rng=0)
        algorithm = jg.algorithms.gradient_tracking(task, optax.sgd(0.05), windows(degree))
        options = {"mesh": jg.mesh(devices)} if devices else {}
        return jg.simulate(algorithm, 8, conditions=Conditions(drop=0.2, online=0.8), **options)

    one, eight, none = x(1), x(8), x(0)
    np.testing.assert_array_equal(one.x, eight.x)
    np.testing.assert_allclose(one.x, none.x, atol=1e-5)
    assert one.metrics.final["bytes_sent"] == eight.metrics.final["bytes_sent"] == none.metrics.final["bytes_sent"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1}, "windowed: start must be at least 0 and rounds at least 1, not -1 and 1"),
        ({"start": 0, "rounds": 0}, "windowed: start must be at least 0 and rounds at least 1, not 0 and 0"),
        ({"start": 0, "degree": N}, "windowed: degree must be from 1 to 15 on 16 nodes, not 16"),
    ],
)
def test_windows_out_of_range_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(jg.errors.GraphError, match=message):
        m.windowed(ring(), **options)


def test_push_sum_has_no_windows() -> None:
    with pytest.raises(jg.errors.GraphError, match="windowed: push-sum mixing has no windows"):
        m.windowed(m.push_sum(t.ring(N)), start=0)


def configured(**window: int) -> Any:
    keys = ", ".join(f"{key} = {value}" for key, value in window.items())
    text = f"""
    rounds = 40
    topology = {{ kind = "ring", nodes = 8 }}
    mixing = {{ kind = "static", window = {{ {keys} }} }}
    learning = {{ dataset = "isotropic_quadratic", dataset_options = {{ dimension = 2 }} }}
    algorithm = {{ kind = "averaging" }}
    """
    return build(load(text)).W


def test_a_configuration_counts_from_the_end() -> None:
    last, first = configured(start=-1), configured(start=0, rounds=3, degree=2)
    assert (last.start, last.rounds, first.start, first.rounds) == (39, 1, 0, 3)
    assert first.inside.degree == 2
    with pytest.raises(jg.errors.InputError, match=r"mixing: start = 40 is no round of 40 rounds"):
        configured(start=40)
    with pytest.raises(jg.errors.InputError, match=r"mixing: start = -41 is no round of 40 rounds"):
        configured(start=-41)
