"""Conditions by clocks: lies, noise, clipping and stragglers equal the reference that executes one event after the other."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings

import jaxgossip as jg
from jaxgossip import algorithms as alg
from jaxgossip import learning
from jaxgossip.algorithms.protocols.conditions import under_conditions
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import hashed_uniform, purpose_key, run_key
from jaxgossip.network import Conditions
from jaxgossip.schedule import Messages
from jaxgossip.simulation import simulate_events
from tests.simulation.one_by_one import Node, Pairs, Pens, Reference, Walks
from tests.simulation.test_events import (
    CYCLES,
    LEARN,
    MODEL,
    PASSED,
    RATE,
    REQUEST,
    SPLIT,
    D,
    Drawn,
    N,
    compared,
    gradient,
    key_of,
    loss,
    quadratic,
    random_schedules,
)  # fmt: skip

LIARS = [2, 5]
MOST = 4 * N * CYCLES
"""More than the number of messages of a run."""


class Subject(Reference):
    """A reference whose messages and nodes are subject to conditions."""

    lie: Callable[[np.ndarray], np.ndarray] | None = None
    sigma, radius, idle_share, working = 0.0, 0.0, 0.0, True

    def deliver(self, node: Node, heard: Node, number: int, messages: Messages, key: int) -> None:
        if messages.kind[key] not in (SPLIT, LEARN):
            x, own = heard["x"], self.model(node)
            if self.lie is not None and messages.sender[key] in LIARS:
                x = self.lie(x)
            x = x + self.sigma * normals()[key]
            if self.radius:
                far = np.linalg.norm(x - own)
                x = own + min(1.0, self.radius / far) * (x - own) if far else own
            heard = heard | {"x": x}
        self.working = bool(uniforms()[key] >= self.idle_share)
        super().deliver(node, heard, number, messages, key)

    def step(self, x: np.ndarray, *arguments: Any, **named: Any) -> np.ndarray:
        return super().step(x, *arguments, **named) if self.working else x

    def update(self, model: Any, number: int) -> Any:
        return super().update(model, number) if self.working else model


def normals() -> np.ndarray:
    """Return the noise of messages as the run with seed 0 draws it, (MOST, D)."""
    key = purpose_key(run_key(0), "message noise")
    draw = jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number), (D,), jnp.float64))
    return np.asarray(draw(jnp.arange(MOST, dtype=jnp.uint32)))


def uniforms() -> np.ndarray:
    key = purpose_key(run_key(0), "straggle")
    return np.asarray(hashed_uniform(key, jnp.arange(MOST, dtype=jnp.uint32), 1))[:, 0]


ADVERSARIES, RULES = jg.network.adversaries, jg.network.aggregation
CONDITIONS: dict[str, tuple[Conditions, dict[str, Any]]] = {
    "bit flip": (
        Conditions(adversary=ADVERSARIES.bit_flip(n_nodes=N, nodes=LIARS)), {"lie": staticmethod(np.negative)}
    ),
    "constant": (
        Conditions(adversary=ADVERSARIES.constant(n_nodes=N, value=7.0, nodes=LIARS), noise=0.3),
        {"lie": staticmethod(lambda x: np.full_like(x, 7.0)), "sigma": 0.3},
    ),
    "clipped": (
        Conditions(
            adversary=ADVERSARIES.bit_flip(n_nodes=N, nodes=LIARS), noise=0.1, aggregation=RULES.clipped(radius=0.4)
        ),
        {"lie": staticmethod(np.negative), "sigma": 0.1, "radius": 0.4},
    ),
    "stragglers": (Conditions(straggle=0.4, noise=0.1), {"sigma": 0.1, "idle_share": 0.4}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("protocol", ["MU", "UM", "by age", "ad_psgd", "pens"])
@settings(deadline=None, max_examples=2)
@given(*random_schedules)
def test_conditions_are_those_of_one_event_after_the_other(
    protocol: str, name: str, seed: int, delay: float, ties: bool, every: int
) -> None:
    with jax.enable_x64(True):
        check(protocol, name, Drawn(KINDS.get(protocol, {MODEL, PASSED, REQUEST}), seed, delay=delay, ties=ties), every)


KINDS = {"ad_psgd": {MODEL, LEARN}, "pens": {MODEL}}


def check(name: str, conditions: str, schedule: Drawn, every: int) -> None:
    problem, (under, rules) = quadratic(), CONDITIONS[conditions]
    walks = {
        "MU": {}, "UM": {"create": "update_merge"}, "by age": {"partner": "own", "weighting": "age", "local_steps": 2}
    }  # fmt: skip
    rate: Callable[[int], float] = lambda _: RATE  # noqa: E731
    if name in walks:
        protocol = alg.gossip_learning(problem, optax.sgd(lambda age: RATE / (1 + age)), **walks[name])
        rate = lambda age: RATE / (1 + age)  # noqa: E731
        rules = rules | {{"local_steps": "steps"}.get(key, key): value for key, value in walks[name].items()}
        kind: type = Walks
    elif name == "ad_psgd":
        protocol, kind = alg.ad_psgd(problem, optax.sgd(RATE)), Pairs
    else:
        protocol, kind = alg.pens(problem, optax.sgd(RATE), sampled=3, top=2, settle_at=100), Pens
    start = protocol.models(protocol.init(key_of()))
    reference = type("Under", (Subject, kind), rules)(start, gradient(problem), rate, D)
    reference.loss = loss(problem)
    compared(under_conditions(protocol, under), reference, schedule, every)


def test_conditions_are_those_of_one_event_after_the_other_once() -> None:
    with jax.enable_x64(True):
        check("MU", "clipped", Drawn({MODEL, PASSED, REQUEST}, 7, delay=2.5, ties=True), 2)


@pytest.mark.slow
def test_nodes_that_never_work_only_average_and_are_not_older() -> None:
    with jax.enable_x64(True):
        problem = quadratic()
        protocol = alg.gossip_learning(problem, optax.sgd(RATE), partner="own")
        result = simulate_events(
            protocol, Drawn({MODEL}, 1, delay=0.5, ties=False), CYCLES, conditions=Conditions(straggle=1.0)
        )
        first = np.asarray(protocol.models(protocol.init(key_of())))
        x = np.asarray(result.x)
        assert (x <= first.max(0) + 1e-12).all()
        assert (x >= first.min(0) - 1e-12).all()
        assert np.asarray(result.run.state.model.age).max() == 0


@pytest.mark.slow
def test_liars_are_not_measured() -> None:
    problem = quadratic_32()
    protocol = alg.gossip_learning(problem, optax.sgd(RATE), partner="own")
    liars = Conditions(
        adversary=ADVERSARIES.constant(n_nodes=N, value=1e6, nodes=LIARS), aggregation=RULES.clipped(radius="oracle")
    )
    result = simulate_events(protocol, Drawn({MODEL}, 1, delay=0.5, ties=False), CYCLES, conditions=liars)
    # The oracle hears no lie, so that only liars themselves are anywhere.
    assert result.metrics.final["consensus_distance"] < 100
    name, values = next(iter(result.node_scores.items()))
    assert np.isnan(values[LIARS]).all(), name
    assert np.isfinite(np.delete(values, LIARS)).all()


def quadratic_32() -> Any:
    return learning.least_squares(N, dimension=D, init="independent", samples=3, batch_size=0)


REFUSED: dict[str, tuple[Conditions, dict[str, Any], str]] = {
    "drop": (Conditions(drop=0.1), {}, "conditions: drop is of no effect on gossip learning, whose messages are drawn by its schedule"),
    "alie": (
        Conditions(adversary=ADVERSARIES.ipm(n_nodes=N)), {},
        "adversary 'ipm' looks at what all nodes hold in a round, and by clocks there are no rounds (bit_flip, constant, label_flip or backdoor)",
    ),
    "median": (
        Conditions(aggregation=RULES.median()), {},
        "aggregation 'median' combines the messages of a round, and by clocks they arrive one by one",
    ),
    "parts": (
        Conditions(aggregation=RULES.clipped(radius=1.0)), {"parts": 2, "partner": "own"},
        "aggregation 'clipped' compares whole models, and messages carry one of 2 parts (algorithm.parts = 1)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_conditions_that_do_not_apply_are_refused(name: str) -> None:
    conditions, options, message = REFUSED[name]
    with pytest.raises(InputError) as caught:
        under_conditions(alg.gossip_learning(quadratic_32(), optax.sgd(RATE), **options), conditions)
    assert message in str(caught.value)


def test_noise_on_masses_is_refused() -> None:
    with pytest.raises(InputError, match=r"network.noise: of no effect on .*push.sum.*, whose messages are no models"):
        under_conditions(alg.asynchronous_push_sum(quadratic_32()), Conditions(noise=0.1))
