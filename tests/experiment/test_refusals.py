"""What does not go together is refused when it is built: the section or key that is the culprit, and the way out."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from jaxgossip.core.errors import JaxGossipError
from jaxgossip.experiment.build.experiment import build, check_round
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.runs.run import announced_build
from jaxgossip.experiment.sweeps.grid import expand
from jaxgossip.experiment.sweeps.grid_run import run_grid
from jaxgossip.simulation.program import Program
from tests.experiment.grid_cases import TEXT as CLASSES
from tests.experiment.grid_cases import Listener

TEXT = """
name = "small"
[topology]
kind = "ring"
nodes = 13
[learning]
dataset = "isotropic_quadratic"
[algorithm]
kind = "dsgd"
[optimizer]
kind = "sgd"
learning_rate = 0.1
[evaluation]
baselines = []
"""
AD_PSGD = "algorithm.kind=ad_psgd"
ASYNCHRONOUS = "algorithm.kind=gossip_learning"
LOGISTIC = "learning={dataset='synthetic', model='logistic', private=['w']}"

REFUSED = {
    "pushes that are to be told apart": (["mixing.kind=push", "aggregation.kind=median"], "aggregation: robust aggregation hears senders one by one: push mixing does not tell one sender from another", ["mixing.kind = 'static', 'matching' or 'pull'", "leave out the section [aggregation] (in Python: aggregation=None)"]),
    "too many to be told apart": (["topology={kind='star', nodes=300}", "aggregation.kind=median"], "aggregation: robust aggregation hears senders one by one: a node hears 299 others, too many to hear them one by one", ["a topology of degree 128 at most", "leave out the section [aggregation]"]),
    "AD-PSGD that pushes": ([AD_PSGD, "schedule.exchange=push"], "schedule: exchange 'push' does not go with AD-PSGD", ["schedule.exchange = 'compute_pairwise'"]),
    "AD-PSGD on a directed graph": ([AD_PSGD, "topology={kind='static_exponential', nodes=13}"], "topology: static_exponential is directed, and in AD-PSGD by exchange 'compute_pairwise' whom a node calls has to answer", ["topology.kind = 'ring' or another undirected one"]),
    "AD-PSGD with tokens": ([AD_PSGD, "tokens.kind=simple"], "tokens: accounts react to models that are pushed, and nothing is in AD-PSGD by exchange 'compute_pairwise'", ["remove the section [tokens]"]),
    "AD-PSGD that keeps models": ([AD_PSGD, "schedule.receive=cached"], "schedule.receive: 'cached' keeps models that are pushed, and nothing is in AD-PSGD by exchange 'compute_pairwise'", ["schedule.receive = 'at_once'"]),
    "AD-PSGD that passes models on": ([AD_PSGD, "schedule.receive=pass_through"], "schedule.receive: AD-PSGD by exchange 'compute_pairwise' passes no model through", ["schedule.receive = 'at_once'"]),
    "answers on a directed graph": ([ASYNCHRONOUS, "schedule.exchange=push_pull", "topology={kind='static_exponential', nodes=13}"], "topology: static_exponential is directed, and in gossip learning by exchange 'push_pull' whom a node calls has to answer", ["or schedule.exchange = 'push' or 'pull'"]),
    "tokens for pulls": ([ASYNCHRONOUS, "schedule.exchange=pull", "tokens.kind=simple"], "tokens: accounts react to models that are pushed, and nothing is in gossip learning by exchange 'pull'", ["remove the section [tokens], or schedule.exchange = 'push'"]),
    "nothing to share": ([LOGISTIC], "learning: all parameters are private: nothing is left to exchange", ["learning.private (in Python: private) names w: leave one of them out"]),
    "too few scores": (["algorithm={kind='gossip', scores=[1.0, 2.0]}"], "algorithm: gossip: scores must be 13 positive numbers, not 2 numbers", ["algorithm.scores (in Python: scores) has one a node", "weighting = 'samples'"]),
    "a score of zero": (["algorithm={kind='gossip', scores=[0.0,1,1,1,1,1,1,1,1,1,1,1,1.0]}"], "algorithm: gossip: scores must be 13 positive numbers, not numbers that are not all above 0", ["algorithm.scores"]),
    "a torus with a side of two": (["topology={kind='torus', nodes=8, shape=[2, 4]}"], "topology: torus: every side of shape must be at least 3, not 2", ["topology.shape has sides that multiply to nodes, such as [3, 4] of 12 nodes"]),
    "a number out of range": (["mixing={kind='pull', fanout=0}"], "mixing: pull: fanout must be at least 1, not 0", ["mixing.fanout: number of neighbours each node asks"]),
    "an option out of range": (["learning.dataset_options.dimension=0"], "learning: an isotropic quadratic needs dimension ≥ 1", ["learning.dataset_options.dimension: d, the number of parameters"]),
    "metrics of a task": (["evaluation.metrics=['accuracy']"], "evaluation.metrics: 'isotropic_quadratic' has no test set with targets", ["metrics are of data sets"]),
    "metrics of a model with its own": (["learning={dataset='synthetic', model='kmeans'}", "evaluation.metrics=['macro_f1']"], "evaluation.metrics: metric 'macro_f1' is not taken of a model that has measures of its own", ["a model without measures"]),
    "flipped tokens": (["learning={dataset='shakespeare', model='softmax'}", "adversary={kind='label_flip', fraction=0.2}"], "adversary: flip_labels: the targets of shakespeare are no classes", ["other adversaries lie in messages"]),
    "a trigger for tokens": (["learning={dataset='shakespeare', model='softmax'}", "adversary={kind='backdoor', fraction=0.2}"], "adversary: plant_backdoor: the targets of shakespeare are no classes", ["other adversaries lie in messages"]),
    "a trigger of a class that there is not": (["learning={dataset='synthetic', model='logistic'}", "adversary={kind='backdoor', label=2}"], "adversary: backdoor: label 2 is no class of synthetic", ["classes are numbered 0 to 1"]),
    "owners that nobody knows": ([LOGISTIC.replace(", private=['w']", ""), "partition.kind=by_owner"], "partition: partition 'by_owner': nothing says whose the samples are", ["by its column: owner_column"]),
    "weights that only know sums of mass": (["mixing.kind=push_sum", "algorithm.kind=sgp", "aggregation.kind=median"], "aggregation: robust aggregation hears senders one by one: push-sum mixing does not tell one sender from another", ["leave out the section [aggregation]"]),
}  # fmt: skip


@pytest.mark.by_default("pushes that are to be told apart")
@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_the_culprit_and_the_way_out(case: str) -> None:
    settings, message, ways_out = REFUSED[case]
    with pytest.raises(JaxGossipError) as raised:
        build(load(TEXT, settings))
    assert raised.value.message.startswith(message)
    assert [way for way in ways_out if way not in raised.value.hint] == []


@pytest.mark.parametrize(
    "settings", [["mixing.kind=pull"], ["topology={kind='star', nodes=100}"], ["topology={kind='davis'}"]]
)
def test_what_can_be_told_apart_is_built(settings: Sequence[str]) -> None:
    assert build(load(TEXT, [*settings, "aggregation.kind=krum"])).conditions.aggregation is not None


IDLE = ["network.noise=0.1", "adversary.kind=ipm", "aggregation.kind=median"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("isolated", "isolated nodes"),
        ("centralised", "centralised learner"),
        ("federated_averaging", "federated averaging"),
    ],
)
def test_a_run_says_which_sections_do_nothing_there(algorithm: str, name: str) -> None:
    def told(*settings: str) -> list[str]:
        listener = Listener()
        announced_build(load(CLASSES, [f"algorithm.kind={algorithm}", *settings]), listener)
        return [" ".join(note.split()) for note in listener.notes[1:]]

    says = f"without effect in a run of {name}, where nodes mix no models: "
    assert told(*IDLE) == [says + "network.noise, adversary, aggregation"]
    assert told(IDLE[2]) == [says + "aggregation"]
    assert not any("without effect" in note for note in told("network.drop=0.1", "adversary.kind=label_flip"))
    listener = Listener()
    announced_build(load(CLASSES, IDLE), listener)
    assert len(listener.notes) == 1


@pytest.mark.slow
def test_a_grid_says_once_of_each_method_which_sections_do_nothing_there(tmp_path: Path) -> None:
    path, listener = tmp_path / "small.toml", Listener()
    path.write_text(CLASSES.replace("rounds = 7", "rounds = 1"))
    grid = expand(path, ["algorithm.kind=dsgd,isolated", "learning.batch_size=1,2"], overrides=[IDLE[2]])
    run_grid(grid, tmp_path / "out", observer=listener)
    assert sum("without effect in a run of isolated nodes" in note for note in listener.notes) == 1
    assert sum("without effect" in note for note in listener.notes) == 1


@pytest.mark.by_default(
    "aggregation.kind=median-aggregation-relay_sgd",
    "aggregation.kind=median-aggregation-power_gossip",
    "adversary.kind=ipm-adversary-power_gossip",
    "adversary.kind=ipm-adversary-relay_sgd",
)
@pytest.mark.parametrize("algorithm", ["power_gossip", "relay_sgd", "lt_admm", "atg"])
@pytest.mark.parametrize(
    ("setting", "culprit"),
    [
        ("network.noise=0.1", "network.noise"),
        ("adversary.kind=ipm", "adversary"),
        ("aggregation.kind=median", "aggregation"),
    ],
)
def test_what_would_have_no_effect_is_refused(algorithm: str, setting: str, culprit: str) -> None:
    experiment = build(load(TEXT, ["topology={kind='path', nodes=13}", f"algorithm.kind={algorithm}", setting]))
    with pytest.raises(JaxGossipError) as raised:
        Program(experiment.in_rounds, conditions=experiment.conditions)
    with pytest.raises(JaxGossipError, match=f"{culprit}: of no effect on {algorithm}"):
        check_round(experiment)  # as validate and run do, before there is a folder
    assert raised.value.message.startswith(f"{culprit}: of no effect on {algorithm}")
    assert raised.value.hint == f"remove {culprit} (in Python: of Conditions), or algorithm.kind = 'dsgd'"
