"""Steps before the first exchange: the same as by hand in optax, whatever the algorithm, and without a message."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import PROTOCOLS
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import purpose_key
from tests.algorithms.cases import CASES, SERVERS, Case, N, P
from tests.algorithms.test_contract_protocols import CASES as BY_CLOCKS
from tests.algorithms.test_contract_protocols import Case as ByClocks

STEPS = 3
KEY = jax.random.key(5)
SGD = optax.sgd(0.1, momentum=0.5)
LEARNERS = [case for case in CASES if case.name not in (*SERVERS, "centralised")]
AVERAGING = {"asynchronous_push_sum", "pairwise_averaging"}


def quadratic(dtype: type = jnp.float32) -> jg.learning.Problem:
    return jg.learning.isotropic_quadratic(N, dimension=P, noise=0.5, init="independent", rng=1, dtype=dtype)


def by_hand(problem: jg.learning.Problem) -> tuple[np.ndarray, np.ndarray]:
    """Return models and momenta, node by node, each with an optimizer of its own."""
    x, states = problem.init(KEY), None
    for step in range(STEPS):
        gradient = problem.gradient(x, jax.random.fold_in(purpose_key(KEY, "start batch"), step))
        states = states or [SGD.init(row) for row in x]
        moved = [SGD.update(g, state, row) for g, state, row in zip(gradient, states, x, strict=True)]
        x = jnp.stack([optax.apply_updates(row, update) for row, (update, _) in zip(x, moved, strict=True)])
        states = [state for _, state in moved]
    return np.asarray(x), np.stack([state[0].trace for state in states])


QUICK = ("dsgd", "averaging")


@pytest.mark.by_default("averaging")
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] * (str(case) not in QUICK), id=str(case)) for case in LEARNERS]
)
def test_every_algorithm_begins_from_models_that_took_the_steps(case: Case) -> None:
    algorithm = case.make(jg.learning.started(quadratic(), STEPS), SGD)
    x = np.asarray(algorithm.models(algorithm.init(KEY)))
    expected = by_hand(quadratic())[0]
    if case.options.get("density", 1) < 1:
        assert (x != 0).sum(axis=1).tolist() == [round(case.options["density"] * P)] * N
        expected = np.where(x == 0, 0, expected)
    np.testing.assert_allclose(x, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", [one for one in BY_CLOCKS if one.name not in AVERAGING], ids=str)
def test_every_protocol_begins_from_models_that_took_the_steps(case: ByClocks) -> None:
    problem = jg.learning.started(quadratic(), STEPS)
    options = {name: value for name, value in case.options.items() if name != "votes"}
    protocol = PROTOCOLS[case.name](problem, SGD, **options)
    x = np.asarray(protocol.models(protocol.init(KEY)))
    np.testing.assert_allclose(x, by_hand(quadratic())[0], rtol=2e-6, atol=1e-6)


@pytest.mark.slow
def test_the_optimizer_goes_on_from_there_and_ages_count_from_there() -> None:
    problem, W = jg.learning.started(quadratic(), STEPS), jg.mixing.metropolis_hastings(jg.topology.ring(N))
    state = jg.algorithms.dsgd(problem, SGD, W).init(KEY)
    np.testing.assert_allclose(state.opt_state[0].trace, by_hand(quadratic())[1], rtol=2e-6, atol=1e-6)
    assert jg.algorithms.gossip(problem, SGD, W).init(KEY).age.tolist() == [STEPS] * N
    walks = jg.algorithms.gossip_learning(problem, SGD, partner="own", parts=2).init(KEY)
    assert walks.model.age.tolist() == [[STEPS, STEPS]] * N
    pegasos = jg.algorithms.gossip(problem, optax.sgd(lambda count: 1.0 / (count + 1)), W)
    after, _ = pegasos.step(pegasos.init(KEY), jg.network.Round(jnp.int32(0), KEY, N))
    assert after.opt_state[1].count.tolist() == [STEPS + 1] * N


def test_the_centralised_learner_takes_as_many_steps_along_mean_gradients() -> None:
    problem = jg.learning.started(quadratic(), STEPS)
    x, state = problem.init(KEY)[0], SGD.init(jnp.zeros(P))
    for step in range(STEPS):
        gradient = problem.mean_gradient(x[None], jax.random.fold_in(purpose_key(KEY, "start batch"), step))[0]
        update, state = SGD.update(gradient, state, x)
        x = optax.apply_updates(x, update)
    found = jg.algorithms.centralised(problem, SGD).init(KEY).x
    np.testing.assert_allclose(found[0], x, rtol=2e-6)


@pytest.mark.slow
def test_round_zero_is_measured_after_them_and_they_cost_no_message_and_no_time() -> None:
    problem, W = quadratic(), jg.mixing.metropolis_hastings(jg.topology.ring(N))
    speeds = jg.network.SPEEDS["constant"](N)
    plain, begun = (
        jg.simulate(jg.algorithms.dsgd(one, SGD, W), 2, evaluate_every=1, speeds=speeds)
        for one in (problem, jg.learning.started(problem, STEPS))
    )
    first, later = begun.metrics[0], begun.metrics[2]
    assert first["distance_to_optimum_mean"] < plain.metrics[0]["distance_to_optimum_mean"]
    assert (first["messages"], first["bytes_sent"], first["virtual_s"]) == (0, 0, 0.0)
    assert all(later[name] == plain.metrics[2][name] for name in ("messages", "bytes_sent", "virtual_s"))


@pytest.mark.slow
def test_everybody_takes_them_also_who_is_offline_or_slow_later() -> None:
    problem, W = jg.learning.started(quadratic(), STEPS), jg.mixing.metropolis_hastings(jg.topology.ring(N))
    still = jg.network.Conditions(online=0.0, straggle=1.0)
    result = jg.simulate(jg.algorithms.dsgd(problem, SGD, W), 2, conditions=still)
    assert (np.asarray(result.x) != np.asarray(quadratic().init(purpose_key(jg.random.run_key(0), "init")))).all()


@pytest.mark.slow
def test_models_of_sixteen_bits_are_rounded_once() -> None:
    problem = jg.learning.started(quadratic(jnp.bfloat16), STEPS)
    x = jg.algorithms.isolated(problem, SGD).init(KEY).x
    assert x.dtype == jnp.bfloat16
    wide = problem.init(KEY).astype(jnp.float32)
    trace = jnp.zeros_like(wide)
    for step in range(STEPS):
        trace = problem.gradient(wide, jax.random.fold_in(purpose_key(KEY, "start batch"), step)) + 0.5 * trace
        wide = wide - 0.1 * trace
    np.testing.assert_array_equal(np.asarray(x), np.asarray(wide.astype(jnp.bfloat16)))


@pytest.mark.slow
def test_a_data_set_takes_the_number_where_the_task_is_made() -> None:
    data = jg.learning.datasets.synthetic(samples=60, features=3, rng=0)
    model = jg.learning.models.logistic((3,), 2)
    problem = jg.learning.classification(data, "iid", model, nodes=4, start_steps=2)
    assert problem.start_steps == 2
    assert jg.learning.started(problem, 0).start_steps == 0
    moved = jg.algorithms.isolated(problem, SGD).init(KEY).x
    assert np.asarray(moved != jg.algorithms.isolated(jg.learning.started(problem, 0), SGD).init(KEY).x).any()


@pytest.mark.wrong_types
def test_where_they_would_be_lost_or_cannot_be_taken_that_is_said() -> None:
    problem = jg.learning.started(quadratic(), 2)
    for make, message in (
        (lambda: jg.algorithms.federated_averaging(problem, SGD), "federated averaging takes no start steps, and the problem has 2: the server's model takes the place of whatever nodes have learned (learning.start_steps = 0, or started(problem, 0))"),
        (lambda: jg.algorithms.pairwise_averaging(problem), "pairwise averaging takes no start steps, and the problem has 2: it has no optimizer (learning.start_steps = 0, or started(problem, 0))"),
        (lambda: jg.algorithms.asynchronous_push_sum(problem), "asynchronous push-sum takes no start steps, and the problem has 2: it has no optimizer (learning.start_steps = 0, or started(problem, 0))"),
    ):  # fmt: skip
        with pytest.raises(InputError) as told:
            make()
        assert str(told.value) == message
    for wrong in (-1, 1.5, True):
        with pytest.raises(InputError, match="start_steps"):
            jg.learning.started(quadratic(), wrong)

    @dataclasses.dataclass(frozen=True, slots=True)
    class Own:
        n_nodes: int = 1

    with pytest.raises(InputError, match="Own cannot be given start_steps"):
        jg.learning.started(Own(), 1)
