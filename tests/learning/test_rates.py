"""Learning rates that change: those of optax, and what they count is a node's steps, the rounds, or the age of its model."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.learning import RATES, rates
from jaxgossip.learning.optimizers import Optimizer, Rate, counted
from jaxgossip.learning.optimizers.counts import at_age, at_round, counts_in

N, P, STEPS = 4, 3, 3
TARGETS = np.random.default_rng(0).normal(size=(N, P)).astype(np.float32)
KEYWORDS = {
    "constant": {"value": 0.3},
    "linear": {"start": 0.4, "end": 0.1, "over": 4},
    "cosine": {"start": 0.4, "end": 0.1, "over": 4},
    "warmup_constant": {"peak": 0.4, "warmup": 3, "start": 0.1},
    "warmup_cosine": {"peak": 0.4, "warmup": 2, "start": 0.1, "end": 0.05, "over": 5},
    "exponential": {"start": 0.4, "factor": 0.5, "every": 2, "end": 0.15},
    "step": {"start": 0.4, "boundaries": [1, 3], "factor": 0.5},
    "inverse_sqrt": {"peak": 0.4, "warmup": 2, "start": 0.1},
}
OF_OPTAX = {
    "constant": lambda: optax.constant_schedule(0.3),
    "linear": lambda: optax.linear_schedule(0.4, 0.1, 4),
    "cosine": lambda: optax.cosine_decay_schedule(0.4, 4, alpha=0.25),
    "warmup_constant": lambda: optax.warmup_constant_schedule(0.1, 0.4, 3),
    "warmup_cosine": lambda: optax.warmup_cosine_decay_schedule(0.1, 0.4, 2, 5, 0.05),
    "exponential": lambda: optax.exponential_decay(0.4, 2, 0.5, end_value=0.15),
    "step": lambda: optax.piecewise_constant_schedule(0.4, {1: 0.5, 3: 0.5}),
    # 0.4 √(2/t) from t = 2 on
    "inverse_sqrt": lambda: lambda t: optax.linear_schedule(0.1, 0.4, 2)(t) if t < 2 else 0.4 * (2 / t) ** 0.5,
}
WRONG = {
    "over is missing": lambda: rates.cosine(start=0.1),
    "over must be a whole number of at least 1": lambda: rates.linear(start=0.1, over=0),
    "a warm-up of 9 leaves nothing of 9": lambda: rates.warmup_cosine(peak=0.1, warmup=9, over=9),
    "peak must be above 0": lambda: rates.warmup_cosine(peak=0, warmup=2, over=9),
    "start must be at least 0": lambda: rates.linear(start=-0.1, over=9),
    "factor must be above 0": lambda: rates.exponential(start=0.1, factor=0.0),
    r"boundaries must ascend, not \[3, 3\]": lambda: rates.step(start=0.1, boundaries=[3, 3]),
    "peak must be a number, not 'much'": lambda: rates.warmup_constant(peak="much", warmup=1),
    "unknown learning rate 'cosin'": lambda: RATES["cosin"],
    "by cannot be 'round'": lambda: counted(optax.sgd(0.1), by="round"),
}


def problem(n: int = N) -> jg.learning.Problem:
    return jg.learning.isotropic_quadratic(n, dimension=P, noise=0.0, targets=TARGETS[:n])


W = jg.mixing.metropolis_hastings(jg.topology.ring(N))
STRAGGLING = jg.network.Conditions(straggle=0.6)


def x_after(algorithm, rounds: int, **given) -> np.ndarray:
    return np.asarray(jg.simulate(algorithm, rounds, evaluate_every=rounds or 1, **given).x)


def test_every_name_has_a_case_here() -> None:
    assert KEYWORDS.keys() == OF_OPTAX.keys() == set(RATES)


@pytest.mark.parametrize("name", RATES)
def test_it_is_that_of_optax(name: str) -> None:
    found, array = RATES[name](**KEYWORDS[name]), Rate(RATES[name], in_arrays(name))
    for t in range(9):
        np.testing.assert_allclose(found(t), OF_OPTAX[name]()(t), rtol=1e-6)
        np.testing.assert_allclose(array(t), found(t), rtol=1e-6)


def in_arrays(name: str) -> dict:
    return {key: jnp.float32(value) if key in rates.VALUES else value for key, value in KEYWORDS[name].items()}


@pytest.mark.by_default("linear", "warmup_cosine")
@pytest.mark.parametrize("name", RATES)
def test_a_run_of_one_node_takes_its_steps(name: str) -> None:
    # x − target shrinks by 1 − η(t) in step t
    optimizer = Optimizer(optax.sgd, {"learning_rate": Rate(RATES[name], in_arrays(name))})
    alone = jg.algorithms.isolated(problem(1), optimizer)
    start, end = x_after(alone, 0), x_after(alone, 6)
    shrunk = np.prod([1 - OF_OPTAX[name]()(t) for t in range(6)])
    np.testing.assert_allclose(end - TARGETS[:1], shrunk * (start - TARGETS[:1]), rtol=1e-5)


@pytest.mark.parametrize("by", ["steps", "rounds"])
def test_a_warm_up_with_local_steps(by: str) -> None:
    rate = rates.warmup_constant(peak=0.3, warmup=4)
    algorithm = jg.algorithms.dsgd(problem(), counted(optax.sgd(rate), by), W, local_steps=STEPS)
    x, rounds = x_after(algorithm, 0).astype(np.float64), 3
    for number in range(rounds):
        for step in range(STEPS):
            x -= float(rate(number if by == "rounds" else STEPS * number + step)) * (x - TARGETS)
        x = W.as_matrix() @ x
    np.testing.assert_allclose(x_after(algorithm, rounds), x, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_start_steps_are_steps_of_round_0() -> None:
    # η = ½ until the count is 2, then 0: two of three start steps count as steps, and all as round 0
    optimizer = optax.sgd(rates.step(start=0.5, boundaries=[2], factor=0.0))
    started = jg.learning.started(problem(), 3)
    plain = x_after(jg.algorithms.isolated(problem(), optax.sgd(0.5)), 0) - TARGETS
    for by, left in (("steps", 0.25), ("rounds", 0.125)):
        begun = x_after(jg.algorithms.isolated(started, counted(optimizer, by)), 0)
        np.testing.assert_allclose(begun - TARGETS, left * plain, rtol=1e-5, atol=1e-6)


def test_rounds_pass_for_stragglers_too_and_their_own_steps_do_not() -> None:
    stops = optax.sgd(rates.step(start=0.5, boundaries=[3], factor=0.0))
    by_rounds, by_steps = (jg.algorithms.isolated(problem(), counted(stops, by)) for by in ("rounds", "steps"))
    third, last = (x_after(by_rounds, rounds, conditions=STRAGGLING) for rounds in (3, 20))
    np.testing.assert_array_equal(third, last)
    start, end = x_after(by_steps, 0) - TARGETS, x_after(by_steps, 20, conditions=STRAGGLING) - TARGETS
    np.testing.assert_allclose(end, start / 8, rtol=1e-5, atol=1e-6)  # in 20 rounds all have taken their three steps
    assert np.abs(third - TARGETS - start / 8).max() > 0.01


@pytest.mark.slow
def test_ages_are_merged_and_steps_are_not() -> None:
    found = {}
    for by in ("age", "steps"):
        algorithm = jg.algorithms.gossip(problem(), counted(optax.sgd(rates.constant(value=0.1)), by), W)
        state = jg.simulate(algorithm, 6, conditions=STRAGGLING).state
        found[by] = np.asarray(optax.tree.get(state.opt_state, "count")), np.asarray(state.age)
    taken, ages = found["steps"]
    assert (taken <= ages).all()
    assert (taken < ages).any()  # a straggler has the age of whom it heard
    assert (found["age"][0] >= taken).all()


@pytest.mark.slow
def test_federated_averaging_has_rounds_although_its_optimizers_begin_anew() -> None:
    stops = counted(optax.sgd(rates.step(start=0.5, boundaries=[2], factor=0.0)), "rounds")
    algorithm = jg.algorithms.federated_averaging(problem(), stops, local_steps=STEPS)
    second, last = (x_after(algorithm, rounds) for rounds in (2, 5))
    np.testing.assert_array_equal(second, last)
    assert np.abs(x_after(algorithm, 1) - second).max() > 1e-3


def test_counters_of_each_kind_are_set_where_they_are_meant() -> None:
    def count(by: str) -> list[int]:
        optimizer = optax.chain(optax.scale_by_adam(), counted(optax.sgd(rates.constant(value=0.1)), by))
        state = jax.vmap(optimizer.init)(jnp.zeros((2, P)))
        assert counts_in(state) == (by,)
        aged, numbered = at_age(state, jnp.asarray([4, 7], jnp.int32)), at_round(state, 9)
        assert jax.tree.structure(aged) == jax.tree.structure(numbered) == jax.tree.structure(state)
        np.testing.assert_array_equal(aged[0].count, 0)  # Adam's own
        np.testing.assert_array_equal(numbered[0].count, 0)
        return [optax.tree.get(part[1], "count").tolist() for part in (aged, numbered)]

    assert count("steps") == [[0, 0], [0, 0]]
    assert count("rounds") == [[0, 0], [9, 9]]
    assert count("age") == [[4, 7], [0, 0]]


@pytest.mark.parametrize(
    ("by", "make", "text"),
    [
        (
            "rounds",
            lambda o: jg.algorithms.gossip_learning(problem(), o),
            "gossip learning has no learning rates by rounds",
        ),
        ("age", lambda o: jg.algorithms.ad_psgd(problem(), o), "AD-PSGD has no learning rates by age"),
        (
            "age",
            lambda o: jg.algorithms.dsgd(problem(), o, W),
            r"D-SGD \(ATC\) has no learning rates by age: it merges no",
        ),
        ("steps", lambda o: jg.algorithms.federated_averaging(problem(), o), "every round begins with new optimizers"),
        ("steps", lambda o: jg.algorithms.dsgd(problem(), counted(o, "rounds"), W), "counts steps already"),
    ],
)
def test_what_a_method_cannot_count_is_refused(by: str, make, text: str) -> None:
    with pytest.raises(InputError, match=text):
        make(counted(optax.chain(optax.clip(1.0), optax.sgd(0.1)), by))


@pytest.mark.wrong_types
@pytest.mark.parametrize("text", WRONG)
def test_wrong_learning_rates_are_told(text: str) -> None:
    with pytest.raises(InputError, match=text):
        WRONG[text]()


def test_it_is_shown_in_one_line() -> None:
    rate = Rate(rates.cosine, {"start": jnp.float32(0.5), "over": 4})
    optimizer = Optimizer(counted, {"optimizer": Optimizer(optax.sgd, {"learning_rate": rate}), "by": "rounds"})
    shown = "Optimizer(counted, optimizer=Optimizer(sgd, learning_rate=cosine(start=0.5, over=4)), by=rounds)"
    assert repr(optimizer) == shown


def test_what_is_no_optimizer_is_told() -> None:
    with pytest.raises(ArgumentTypeError, match=r"counted: 0\.1 is no optimizer"):
        counted(0.1, "steps")
    assert all("Args:" in (inspect.getdoc(RATES[name]) or "") for name in RATES)
