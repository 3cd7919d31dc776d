"""What was made for one network, data set or run does not go with another, and says so in one sentence."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import InputError

N, M = 8, 6
SGD = optax.sgd(0.1)
MODEL = jg.learning.models.logistic((3,), 2)
s = jg.schedule


def raw() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3))
    return x, np.sort((x[:, 0] > 0).astype(int))


def data() -> Any:
    return jg.learning.from_arrays(*raw(), name="table")


def problem(nodes: int = N) -> Any:
    return jg.learning.classification(data(), "iid", MODEL, nodes=nodes)


def mixing(nodes: int = N) -> Any:
    return jg.mixing.metropolis_hastings(jg.topology.ring(nodes))


def run(algorithm: Any, **options: Any) -> Any:
    return jg.simulate(algorithm, 2, evaluate_every=2, **options)


def dsgd(nodes: int = N) -> Any:
    return jg.algorithms.dsgd(problem(nodes), SGD, mixing(nodes))


class Mixed(jg.algorithms.Method):
    """The rows, mixed in every round."""

    def init(self, problem: Any, key: Any) -> Any:
        return problem.init(key)

    def step(self, problem: Any, W: Any, x: Any, round_: Any) -> Any:
        links = round_.links(W)
        return links.mix(x), links.sent(x)

    def models(self, x: Any) -> Any:
        return x


class Resting(Mixed):
    """Rows that stay as they are, and a round in the place of its traffic."""

    rows: Any

    def init(self, problem: Any, key: Any) -> Any:
        return self.rows

    def step(self, problem: Any, W: Any, x: Any, round_: Any) -> Any:
        return x, round_


def own_gossip() -> jg.algorithms.Algorithm:
    """Return an algorithm of one's own, whose mixing is of another network."""
    return jg.algorithms.Algorithm(Mixed(), problem(), mixing(M))


def clock(nodes: int) -> Any:
    return s.CLOCKS["fixed"](nodes, np.random.default_rng(0))


def schedule(**parts: Any) -> Any:
    return s.schedule(jg.topology.complete(N), **{"clock": clock(N)} | parts)


def events(protocol: Any, source: Any) -> Any:
    return jg.simulate_events(protocol, source, 2)


def recorded(**columns: Any) -> Any:
    """Return one message of a file."""
    message = {"sender": 0, "receiver": 1, "sent_s": 0.0, "arrives_s": 0.5, "event": 0} | columns
    return s.files.Recorded(N, 1.0, s.Messages.of(**{name: np.array([value]) for name, value in message.items()}))


def of_rows(x: Any) -> Any:
    """Return an algorithm of one's own that does nothing, and gives back a round where its traffic belongs."""
    return jg.algorithms.Algorithm(Resting(x), problem())


@pytest.mark.slow
def test_labels_that_were_flipped_for_these_liars_are_taken() -> None:
    liars = jg.network.adversaries.label_flip(n_nodes=N, nodes=[2, 5])
    table, own = jg.learning.flip_labels(data(), kinds.iid(data().y_train, N, rng=0), liars.liars)
    task = jg.learning.classification(table, own, MODEL)
    conditions = jg.network.Conditions(adversary=liars)
    assert run(jg.algorithms.dsgd(task, SGD, mixing()), conditions=conditions).status == "completed"


@pytest.mark.slow
def test_a_backdoor_that_was_planted_for_these_liars_is_taken_and_no_other() -> None:
    liars = jg.network.adversaries.backdoor(n_nodes=N, nodes=[2, 5], share=0.5)
    table, own = jg.learning.plant_backdoor(data(), kinds.iid(data().y_train, N, rng=0), liars.liars, liars.backdoor)
    task = jg.learning.classification(table, own, MODEL)
    assert (
        run(jg.algorithms.dsgd(task, SGD, mixing()), conditions=jg.network.Conditions(adversary=liars)).status
        == "completed"
    )
    for other in ({"nodes": [2]}, {"nodes": [2, 5], "share": 0.4}):
        conditions = jg.network.Conditions(adversary=jg.network.adversaries.backdoor(n_nodes=N, **other))
        with pytest.raises(jg.errors.InputError, match="do not carry its trigger"):
            run(jg.algorithms.dsgd(task, SGD, mixing()), conditions=conditions)


def coin(nodes: int) -> Any:
    return s.CHURNS["coin"](nodes, np.random.default_rng(0), online=0.5)


def transfer(nodes: int) -> Any:
    return s.DELAYS["transfer"](jg.network.speeds.constant(nodes), 100.0)


MADE = "(samples are shuffled and split as a data set is made: partition data.y_train, or let classification(data, model=…, nodes=…, partition='dirichlet') do it)"
BOTH = "(make both for the same nodes)"
kinds = jg.learning.partitions

TABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "a partition of the labels before the split": (lambda: jg.learning.classification(data(), kinds.dirichlet(raw()[1], N, rng=0), MODEL), f"a partition of 100 samples does not fit the 90 that table trains on {MADE}"),
    "a partition of other labels": (lambda: jg.learning.classification(data(), kinds.label_shards(raw()[1][:90], N, rng=0), MODEL), f"the partition was made of other labels than those that table trains on {MADE[:-1]}; dataclasses.replace(partition, labels='') says that others are to decide who owns what)"),
    "a partition by hand of rows that are not there": (lambda: jg.learning.classification(data(), jg.learning.Partition(np.arange(100, dtype=np.int32), np.array([0, 100]), np.array([100], np.int32)), MODEL), "a partition names sample 90, and table trains on 90 (samples are numbered 0 to 89)"),
    "labels flipped by the partition of others": (lambda: jg.learning.flip_labels(data(), kinds.iid(raw()[1], N), [0]), f"a partition of 100 samples does not fit the 90 that table trains on {MADE}"),
    "a partition over other nodes": (lambda: jg.learning.classification(data(), kinds.iid(data().y_train, M), MODEL, nodes=N), "a partition over 6 nodes does not fit 8 nodes"),
    "an order of other nodes": (lambda: jg.learning.classification(data(), "iid", MODEL, nodes=N, order=jg.topology.Order(np.arange(M, dtype=np.int32))), "an order of 6 nodes does not fit a problem of 8"),
    "targets of other nodes": (lambda: jg.learning.isotropic_quadratic(N, targets=np.zeros((M, 2))), "isotropic_quadratic: targets is float64[6, 2] (a row of numbers for each of 8 nodes)"),
    "values of other nodes": (lambda: jg.learning.averaging(N, values=np.zeros(N)), "averaging: values is float64[8] (a row of numbers for each of 8 nodes)"),
    "mixing of other nodes": (lambda: run(jg.algorithms.dsgd(problem(), SGD, mixing(M))), f"mixing of 6 nodes does not fit a problem of 8 nodes {BOTH}"),
    "random mixing of other nodes": (lambda: run(jg.algorithms.gossip(problem(), SGD, jg.mixing.matching(jg.topology.ring(M)))), f"mixing of 6 nodes does not fit a problem of 8 nodes {BOTH}"),
    "mixing of other nodes in an own algorithm": (lambda: run(own_gossip()), f"mixing of 6 nodes does not fit a problem of 8 nodes {BOTH}"),
    "scores of other nodes": (lambda: jg.algorithms.gossip(problem(), SGD, mixing(), scores=np.ones(M)), "gossip: scores must be 8 positive numbers, not 6 numbers (algorithm.scores (in Python: scores) has one a node; weighting = 'samples' counts theirs in its place)"),
    "speeds of other nodes": (lambda: run(dsgd(), speeds=jg.network.speeds.constant(M)), "speeds of 6 nodes for a network of 8 (one of each node)"),
    "liars among fewer nodes": (lambda: run(dsgd(), conditions=jg.network.Conditions(adversary=jg.network.adversaries.bit_flip(n_nodes=M))), f"an adversary of 6 nodes does not fit a network of 8 nodes {BOTH}"),
    "a state of other nodes": (lambda: run(dsgd(), start=run(dsgd(M)).run), "start.state.x is float32[6, 4], and this run has float32[8, 4] (continue with the problem and the network that made it)"),
    "a state of another algorithm": (lambda: run(dsgd(), start=run(jg.algorithms.d2(problem(), SGD, mixing())).run), "start is the state of another algorithm or optimizer (continue with those, and the speeds, that made it)"),
    "models for a state": (lambda: run(dsgd(), start=jnp.zeros((N, 4))), "a run does not start from an array (start is the 'run' of another result)"),
    "a clock of other nodes": (lambda: schedule(clock=clock(M)), f"a clock of 6 nodes does not fit complete of 8 nodes {BOTH}"),
    "churn of other nodes": (lambda: schedule(churn=coin(M)), f"a churn of 6 nodes does not fit complete of 8 nodes {BOTH}"),
    "peers of other nodes": (lambda: schedule(peers=s.PEERS["uniform"](jg.topology.ring(M))), f"a choice of peers of 6 nodes does not fit complete of 8 nodes {BOTH}"),
    "delays of other nodes": (lambda: schedule(delay=transfer(M)), f"a delay of 6 nodes does not fit complete of 8 nodes {BOTH}"),
    "a schedule of another exchange": (lambda: events(jg.algorithms.pairwise_averaging(problem()), schedule()), "exchange 'push' does not go with pairwise averaging (exchange = 'pairwise')"),
    "a schedule of models in other parts": (lambda: events(jg.algorithms.gossip_learning(problem(), SGD, partner="own", parts=2), schedule(parts=3)), "a schedule of models in 3 parts does not fit gossip learning in 2 (give the schedule parts=protocol.parts)"),
    "messages of another protocol": (lambda: events(jg.algorithms.gossip_learning(problem(), SGD), recorded(kind=s.Kind.SPLIT)), "messages of kind 'split' mean nothing to gossip learning (a schedule of exchange 'push' or 'pull' or 'push_pull')"),
    "messages with other parts": (lambda: events(jg.algorithms.gossip_learning(problem(), SGD), recorded(part=4)), "messages carry part 4 of a model, and gossip learning divides models into 1 (parts are numbered 0 to 0)"),
    "labels that were not flipped": (lambda: run(dsgd(), conditions=jg.network.Conditions(adversary=jg.network.adversaries.label_flip(n_nodes=N))), "the labels of label_flip's nodes are not turned around in this problem (data, partition = jg.learning.flip_labels(data, partition, adversary.liars), then classification)"),
    "a backdoor that was not planted": (lambda: run(dsgd(), conditions=jg.network.Conditions(adversary=jg.network.adversaries.backdoor(n_nodes=N))), "the samples of backdoor's nodes do not carry its trigger in this problem (data, partition = jg.learning.plant_backdoor(data, partition, adversary.liars, adversary.backdoor), then classification)"),
    "models of other nodes": (lambda: run(of_rows(jnp.zeros((M, 4)))), "Resting: models have shape (6, 4), and the problem has 8 nodes of 4 parameters (models(state) returns (n, p), or (1, p) where one model serves all)"),
    "a round for its traffic": (lambda: run(of_rows(jnp.zeros((N, 4)))), "Resting: step returns a Round in the place of its traffic (return state, links.sent(x))"),
    "operators for weights": (lambda: jg.mixing.periodic([mixing()]), "periodic: every graph's weights must be a Weights, not a Roll (jg.topology.weights.metropolis_hastings(graph) or from_matrix(matrix) make some)"),
    "a schedule of other nodes": (lambda: jg.simulate_events(jg.algorithms.gossip_learning(problem(M), SGD), schedule(), 2), "a schedule of 8 nodes does not fit a problem of 6"),
}  # fmt: skip


@pytest.mark.by_default("models of other nodes")
@pytest.mark.wrong_types
@pytest.mark.parametrize("case", TABLE)
def test_what_was_made_for_something_else_is_refused_in_one_sentence(case: str) -> None:
    make, text = TABLE[case]
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value) == text


def test_a_method_that_lacks_a_function_is_told_which_as_it_is_made() -> None:
    class Half(jg.algorithms.Method):
        def init(self, problem: Any, key: Any) -> Any:
            return problem.init(key)

    with pytest.raises(TypeError, match=r"Half.*'?step'?"):
        Half()
