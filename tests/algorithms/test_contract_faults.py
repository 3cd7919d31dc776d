"""What every algorithm keeps when messages are lost, nodes are away or stand elsewhere; over the whole registry."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core.random import run_key
from jaxgossip.network import Conditions, Round
from jaxgossip.topology import Graph, Order
from tests.algorithms.cases import CASES, SERVERS, Case, N, P, first_of_each
from tests.algorithms.test_contract import (
    ROUNDS,
    faultless,
    first_state,
    plain,
    quadratic,
    quickly,
    traced_run,
    x_after,
)

t = jg.topology
FOLLOWS = {*SERVERS, "centralised"}
"""Methods with one model: their nodes have none of their own to keep or to train by itself."""

LOCALLY = {"admm", "dlm", "dinno", "ditto", "lt_admm", "multi_task"}
"""Methods whose models move by local steps alone."""

ON_LINKS = {"lt_admm", "atg"}
"""Methods whose links have variables: without messages these pull on as they are, and only their fixed point has the mean."""

SPLIT = [
    next(case for case in CASES if (case.name, case.mixing) == pair)
    for pair in [("gossip", "static"), ("sgp", "push_sum"), ("epidemic", "push"), ("relay_sgd", "tree")]
]
"""One method for each kind of mixing."""


def these(*conditions: object, of_each: bool = False) -> pytest.MarkDecorator:
    """Return the mark of a test of cases with all ``conditions``; ``of_each`` algorithm the first alone."""
    cases = [case for case in CASES if all(c(case) for c in conditions)]
    return pytest.mark.parametrize("case", first_of_each(cases) if of_each else cases, ids=str)


def of_a_network(case: Case) -> bool:
    return case.name != "centralised"  # it has neither messages nor nodes that could be away


def between_nodes(case: Case) -> bool:
    return case.talks


def starts(case: Case) -> np.ndarray:
    algorithm = case.make(quadratic())
    return np.asarray(algorithm.models(first_state(algorithm, run_key(3))))


@pytest.mark.by_default("dsgd")
@these(of_a_network, of_each=True)
def test_faults_do_as_much_as_they_say(case: Case) -> None:
    """None, all, or some: one compiled run, whose faults are arguments."""
    algorithm, key = case.make(quadratic()), run_key(3)

    def run(drop: jax.Array, online: jax.Array) -> jax.Array:
        return traced_run(algorithm, ROUNDS, Conditions(drop=drop, online=online), key)[0]

    compiled = quickly(run, *jnp.ones(2))

    def x(drop: float, online: float) -> np.ndarray:
        return np.asarray(compiled(jnp.float32(drop), jnp.float32(online)))

    np.testing.assert_allclose(x(0, 1), faultless(case)[0], rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(x(0.2, 0), starts(case), rtol=1e-6)  # jitted together, a start may be rounded once more
    if case.talks or case.name in SERVERS:
        assert np.abs(x(0.5, 1) - faultless(case)[0]).max() > 1e-3
    if case.talks and case.name not in {"muffliato", *ON_LINKS} and case.alone == {}:
        np.testing.assert_allclose(x(1, 1), plain(N, case.steps), rtol=1e-5, atol=2e-6)
    if case.name in SERVERS:  # a server that hears nothing keeps its model
        np.testing.assert_allclose(x(1, 1), starts(case), rtol=1e-6)


@pytest.mark.by_default("dsgdm")
@these(
    between_nodes,
    lambda case: (
        bool(case.alone) and case.name not in {"muffliato", *ON_LINKS}
    ),  # muffliato adds noise also to lone nodes
)
def test_all_messages_dropped_is_isolated_training(case: Case) -> None:
    """Those with momentum, once they have none; the others above, also push-sum methods, whose weights stay 1."""
    x = x_after(case.make(quadratic(), **case.alone), conditions=Conditions(drop=1.0))
    np.testing.assert_allclose(x, plain(N, case.steps), rtol=1e-5, atol=2e-6)


@pytest.mark.slow
@these(lambda case: case in SPLIT)
def test_a_split_that_never_happens_changes_nothing(case: Case) -> None:
    x = x_after(case.make(quadratic()), conditions=Conditions(split=2, split_at=100, heal_at=101))
    np.testing.assert_allclose(x, faultless(case)[0], rtol=2e-5, atol=2e-6)


@pytest.mark.by_default("dsgd")
@these(of_a_network, lambda case: case.learns, of_each=True)
def test_a_fleet_of_stragglers_never_learns(case: Case) -> None:
    """Whatever the tasks are, the models come out the same: no gradient reaches them."""
    key, problem = run_key(3), quadratic()
    algorithm, conditions = (
        case.make(problem),
        Conditions(straggle=1.0, link_drop=0.3 if case.mixing == "static" else 0.0),
    )
    targets = problem.targets

    def run(targets: jax.Array) -> jax.Array:
        problem.targets = targets

        def step(number: jax.Array, state: object) -> object:
            return algorithm.step(state, Round(number, key, N, conditions))[0]

        return algorithm.models(jax.lax.fori_loop(0, ROUNDS, step, first_state(algorithm, key)))

    compiled = quickly(run, targets)
    problem.targets = targets
    x = np.asarray(compiled(targets))
    np.testing.assert_array_equal(x, compiled(targets + 100))
    what_is_learnt_travels = case.options.get("payload") in ("update", "gradient")
    if case.name in FOLLOWS or case.name in LOCALLY or not case.talks or what_is_learnt_travels:
        np.testing.assert_allclose(x, starts(case), rtol=1e-6)
    else:
        assert np.abs(x - starts(case)).max() > 1e-3
    columns_sum_to_one = case.mixing not in ("tree", "push", "push_sum_random") and not any(
        option in case.options for option in ("weighting", "density")
    )
    if (
        columns_sum_to_one and case.talks and case.name not in {"muffliato", "atg", "morph"}
    ):  # also where links fail, both ways together
        np.testing.assert_allclose(x.mean(0), starts(case).mean(0), atol=2e-6)


@pytest.mark.by_default("chebyshev", "shift_register", "averaging", "centralised")
@these(
    lambda case: not case.draws,
    lambda case: case.mixing != "d_cliques",  # whose clique one is in goes by numbers
    lambda case: case.name != "hierarchical_averaging",  # whose clusters are of consecutive numbers
    lambda case: case.name != "halving_windows",  # who sums up whom goes by numbers; then all have the exact mean
    of_each=True,
)
def test_relabelling_the_nodes_relabels_the_result(case: Case) -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(N)  # new node i is old node order[i]
    graph = t.binary_tree(N) if case.mixing == "tree" else t.watts_strogatz(N, degree=4, beta=0.3, rng=1)
    relabelled = t.from_scipy(graph.to_scipy().toarray()[np.ix_(order, order)])
    b = rng.normal(size=(N, P))
    runs = []
    for g, targets in ((graph, b), (relabelled, b[order])):
        if case.learns:  # all from one point: the starts of nodes are drawn by their numbers
            problem = quadratic(noise=0.0, targets=targets, init="same")
        else:
            problem = jg.learning.TASKS["averaging"](N, values=targets)
        runs.append(x_after(case.make(problem, graph=g)))
    expected = runs[0] if case.name in FOLLOWS else runs[0][order]
    np.testing.assert_allclose(runs[1], expected, atol=5e-6)
    assert np.ptp(expected, axis=0).max() > 1e-3 or case.name in FOLLOWS


def in_other_rows(graph: Graph) -> Graph:
    return dataclasses.replace(graph, order=Order(np.random.default_rng(5).permutation(N).astype(np.int32)))


@pytest.mark.slow
@these(
    lambda case: (
        case.draws
        or case.name
        in (
            "power_gossip",
            "relay_sgd",
            "lt_admm",
            "atg",
            "sgp",
            "admm",
            "chebyshev",
            "federated_averaging",
            "halving_windows",
            "diloco",
        )
    ),
    lambda case: case.mixing != "fresh_regular",  # its graphs know no order
)
def test_where_a_row_stands_changes_nothing(case: Case) -> None:
    graph = t.binary_tree(N) if case.mixing == "tree" else t.watts_strogatz(N, degree=4, beta=0.3, rng=1)
    conditions = Conditions(drop=0.2, online=0.9, straggle=0.2)
    runs = []
    for g in (graph, in_other_rows(graph)):
        problem = quadratic(order=g.order, init="same" if case.name in FOLLOWS else "independent")
        runs.append(x_after(case.make(problem, graph=g), conditions=conditions))
    np.testing.assert_allclose(*runs, rtol=1e-5, atol=5e-6)
