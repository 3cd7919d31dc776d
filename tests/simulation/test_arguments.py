"""What is something else than it should be, in algorithms and engines: one sentence, and the right call."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import InputError

N = 6
a = jg.algorithms
SGD = optax.sgd(0.1)
WEIGHTS = "(jg.topology.weights.metropolis_hastings(graph) or from_matrix(matrix) make some)"
GRAPH = "(jg.topology.ring(nodes), from_networkx(graph), from_scipy(matrix) or edge_list(path) make one)"


def task() -> Any:
    return jg.learning.isotropic_quadratic(N, dimension=3)


def graph() -> Any:
    return jg.topology.ring(N)


def mixing() -> Any:
    return jg.mixing.metropolis_hastings(graph())


def dsgd(*arguments: Any, **options: Any) -> Any:
    given = [task(), SGD, mixing()]
    return a.dsgd(*arguments, *given[len(arguments) :], **options)


def networkx_graph() -> Any:
    return type("Graph", (), {"__module__": "networkx.classes.graph"})()


def network() -> Any:
    s = jg.schedule
    return s.schedule(jg.topology.complete(N), clock=s.CLOCKS["fixed"](N, np.random.default_rng(0)))


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "a graph for W": (lambda: dsgd(task(), SGD, graph()), "dsgd: a Graph is no mixing (jg.mixing.metropolis_hastings(graph), or other weights of jg.mixing)"),
    "a matrix for W": (lambda: dsgd(task(), SGD, np.eye(N)), "dsgd: an array is no mixing (jg.mixing.operator(jg.topology.weights.from_matrix(matrix)))"),
    "weights for W": (lambda: dsgd(task(), SGD, jg.topology.weights.uniform(graph())), "dsgd: a Weights is no mixing (jg.mixing.operator(weights))"),
    "a name for W": (lambda: dsgd(task(), SGD, "metropolis_hastings"), "dsgd: 'metropolis_hastings' is no mixing (jg.mixing.metropolis_hastings(graph))"),
    "a graph of networkx for W": (lambda: dsgd(task(), SGD, nx.cycle_graph(N)), "dsgd: a Graph is no mixing (jg.mixing.metropolis_hastings(jg.topology.from_networkx(graph)))"),
    "a dictionary for W": (lambda: dsgd(task(), SGD, {}), "dsgd: a dict is no mixing (jg.mixing.metropolis_hastings(graph), or other mixing of jg.mixing)"),
    "swapped": (lambda: dsgd(task(), mixing(), SGD), "dsgd: optimizer and W are the other way round (the order is dsgd(problem, optimizer, W))"),
    "a learning rate": (lambda: dsgd(task(), 0.1), "0.1 is no optimizer (optax.sgd(0.1))"),
    "a data set": (lambda: dsgd(jg.learning.datasets.synthetic()), "dsgd: a Dataset is no problem (jg.learning.classification(data, partition, model))"),
    "a model": (lambda: dsgd(jg.learning.models.logistic((3,), 2)), "dsgd: a Model is no problem (jg.learning.classification(data, partition, model), or another problem of jg.learning)"),
    "a compressor's name": (lambda: a.choco(task(), SGD, mixing(), "topk"), "choco: 'topk' is no compressor (did you mean 'top_k'? allowed: bfloat16, float16, low_rank, none, qsgd, random_k, sign, top_k; call one: jg.compression.top_k(fraction=0.1))"),
    "a compressor that was not made": (lambda: a.choco(task(), SGD, mixing(), jg.compression.sign), "choco: the function sign is no compressor (call it: jg.compression.sign(…))"),
    "no W": (lambda: a.dsgd(task(), SGD), "dsgd: missing a required argument: 'W' (dsgd(problem, optimizer, W, *, form, local_steps, local_epochs))"),
    "a misspelt keyword": (lambda: dsgd(steps=2), "dsgd: got an unexpected keyword argument 'steps' (dsgd(problem, optimizer, W, *, form, local_steps, local_epochs))"),
    "another form": (lambda: dsgd(form="ATC"), "dsgd: form cannot be 'ATC' (allowed: atc, cta, dgd)"),
    "half a step": (lambda: dsgd(local_steps=1.5), "dsgd: local_steps must be a whole number, not 1.5"),
    "steps without end": (lambda: dsgd(local_steps=2**31), "dsgd: local_steps must be at most 2,147,483,647, not 2,147,483,648"),
    "a rate that is no number": (lambda: a.choco(task(), SGD, mixing(), jg.compression.sign(), consensus_rate=float("nan")), "choco: consensus_rate must be a finite number, not nan"),
    "votes beyond 32 bits": (lambda: a.gossip_learning(task(), SGD, votes=2**40), "gossip_learning: votes must be at most 2,147,483,647, not 1,099,511,627,776"),
    "a graph for a number of nodes": (lambda: jg.learning.isotropic_quadratic(graph()), "isotropic_quadratic: n_nodes must be a whole number of at least 1, not a Graph (give its n_nodes)"),
    "a graph of another library": (lambda: jg.mixing.metropolis_hastings(networkx_graph()), f"metropolis_hastings: graph must be a Graph, not a Graph of networkx {GRAPH}"),
    "a matrix for a graph": (lambda: jg.mixing.metropolis_hastings(np.eye(3)), f"metropolis_hastings: graph must be a Graph, not an array {GRAPH}"),
    "a graph for weights": (lambda: jg.mixing.operator(graph()), f"operator: weights must be a Weights, not a Graph {WEIGHTS}"),
    "half a round": (lambda: jg.simulate(dsgd(), 2.5), "simulate: rounds must be a whole number of at least 0, not 2.5"),
    "rounds without end": (lambda: jg.simulate(dsgd(), 2**31), "simulate: rounds must be at most 2,147,483,647, not 2,147,483,648"),
    "a negative seed": (lambda: jg.simulate(dsgd(), 2, seed=-1), "simulate: seed must be at least 0, not -1"),
    "half a seed": (lambda: jg.simulate(dsgd(), 2, seed=0.5), "simulate: seed must be a whole number of at least 0, not 0.5"),
    "never evaluated": (lambda: jg.simulate(dsgd(), 2, evaluate_every=0), "simulate: evaluate_every must be at least 1, not 0"),
    "conditions in a dict": (lambda: jg.simulate(dsgd(), 2, conditions={"drop": 0.1}), "simulate: a dict is no Conditions (conditions=jg.network.Conditions(drop=0.1))"),
    "speeds in a list": (lambda: jg.simulate(dsgd(), 2, speeds=[1.0] * N), "simulate: a list is no Speeds (speeds=jg.network.speeds.constant(n_nodes))"),
    "rounds first": (lambda: jg.simulate(2, dsgd()), "simulate: 2 is no algorithm (jg.algorithms.dsgd(problem, optimizer, W), or another of jg.algorithms)"),
    "an algorithm that was not made": (lambda: jg.simulate(a.dsgd, 2), "simulate: the function dsgd is no algorithm (call it: dsgd(problem, optimizer, W))"),
    "a protocol in rounds": (lambda: jg.simulate(a.gossip_learning(task(), SGD), 2), "simulate: a GossipProtocol is no algorithm (a protocol runs on a schedule: jg.simulate_events(protocol, schedule, cycles))"),
    "an algorithm by events": (lambda: jg.simulate_events(dsgd(), network(), 2), "simulate_events: an Algorithm is no protocol (an algorithm runs in rounds: jg.simulate(algorithm, rounds))"),
    "cycles below none": (lambda: jg.simulate_events(a.gossip_learning(task(), SGD), network(), -1), "simulate_events: cycles must be at least 0, not -1"),
    "sweeps never evaluated": (lambda: jg.sweep(dsgd, 2, evaluate_every=0), "sweep: evaluate_every must be at least 1, not 0"),
    "a graph for a schedule": (lambda: jg.simulate_events(a.gossip_learning(task(), SGD), graph(), 2), "simulate_events: a Graph is no schedule (jg.schedule.schedule(graph, clock=jg.schedule.clocks.fixed(graph.n_nodes, rng)))"),
    "a name for a clock": (lambda: jg.schedule.schedule(graph(), clock="fixed"), "schedule: clock must be a Clock, not 'fixed' (jg.schedule.clocks.fixed(n_nodes, rng) makes one)"),
    "an adversary's name": (lambda: jg.network.Conditions(adversary="alie"), "network adversary must be an Adversary, not 'alie' (jg.network.adversaries.bit_flip(n_nodes=…))"),
    "a probability in words": (lambda: jg.network.Conditions(drop="0.1"), "network drop is a probability, not '0.1' (give a number from 0 to 1)"),
    "noise without end": (lambda: jg.network.Conditions(noise=float("inf")), "network: noise must be at least 0, not inf"),
    "half a session": (lambda: jg.network.Conditions(session=1.5), "network: session must be a whole number of at least 1, not 1.5"),
    "a liar and a half": (lambda: jg.network.adversaries.bit_flip(n_nodes=N, nodes=[1.5]), "bit_flip: nodes[0] must be a whole number, not 1.5"),
    "a precision of one's own": (lambda: jg.simulate(dsgd(), 2, matmul_precision="best"), "simulate: matmul_precision cannot be 'best' ('highest' is full float32; 'high' and 'default' are quicker on accelerators)"),
    "a function for an observer": (lambda: jg.simulate(dsgd(), 2, observer=print), "the function print is no observer (a class derived from jg.simulation.Observer, made)"),
    "rows of another network": (lambda: mixing()(jnp.zeros((N + 1, 2))), "W mixes 6 rows (n, p), not an array of shape (7, 2)"),
    "one number a node": (lambda: jg.compression.sign()(jnp.zeros(N), jax.random.key(0)), "compressor 'sign' takes rows (n, p), not an array of shape (6,)"),
    "a rate in words": (lambda: jg.learning.OPTIMIZERS["sgd"]("0.1"), "sgd: learning_rate must be a number, not '0.1'"),
}  # fmt: skip


@pytest.mark.wrong_types
@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_gives_one_sentence_and_the_right_call(case: str) -> None:
    make, text = MISTAKES[case]
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value) == text


@pytest.mark.slow
@pytest.mark.wrong_types
def test_numbers_of_other_packages_are_numbers() -> None:
    result = jg.simulate(dsgd(local_steps=np.int32(2)), np.int64(2), seed=np.uint32(3))
    again = jg.simulate(dsgd(local_steps=2), 2, seed=3)
    assert np.array_equal(result.x, again.x)
    assert jg.compression.top_k(fraction=np.float32(0.5)).size(4, np.dtype(np.float32)).total > 0


@pytest.mark.parametrize("name", [*a.ALGORITHMS, *a.PROTOCOLS])
def test_every_algorithm_tells_what_is_no_problem(name: str) -> None:
    registry = a.ALGORITHMS if name in a.ALGORITHMS else a.PROTOCOLS
    given = {"optimizer": SGD, "W": mixing(), "compressor": jg.compression.sign()}
    takes = registry[name].__wrapped__.__annotations__
    with pytest.raises(TypeError, match=f"{name}: None is no problem"):
        registry[name](None, **{key: value for key, value in given.items() if key in takes})
