"""Which rows of the covering arrays are refused: why, is said rule by rule."""

import functools
from collections.abc import Mapping

from jaxgossip.experiment.config.catalogue import takes
from jaxgossip.learning import METRICS, PARTITIONS, TASKS
from jaxgossip.learning.partitions import BY_CLASS
from jaxgossip.schedule import EXCHANGES
from tests.algorithms.cases import COMPRESSING, SERVERS
from tests.experiment.covered import directed
from tests.experiment.covering import (
    IN_EVENTS,
    IN_ROUNDS,
    LEARNING,
    NONE,
    OWN,
    OWNED_CLASSES,
    OWNED_VALUES,
    SEQUENCES,
    Array,
    Rule,
    covering,
    every_pair,
)

OF_IMAGES = frozenset({"cnn"})
OF_SEQUENCES = frozenset({"gpt"})
TREES = frozenset({"path", "star", "binary_tree"})
TWO_CLASSES = frozenset({"logistic", "pegasos", "adaline"})
IMAGES = frozenset({"digits", "mnist_10k"})
NO_MIXING = frozenset({"halving_windows", *SERVERS, "isolated", "centralised"})
BY_MASS = frozenset({"sgp", "push_diging", "push_sum"})
ONE_OPERATOR = frozenset({"power_gossip", "relay_sgd", "lt_admm", "atg", "muffliato", "shift_register", "chebyshev"})
POISONING = ("label_flip", "backdoor")
NO_MODELS = frozenset({"power_gossip", "relay_sgd", "lt_admm", "atg"})
NO_MODELS_ALONE = frozenset({"gradient_tracking", "k_gt"})
SHARED_ALONE = frozenset({"deep_squeeze", "halving_windows"})
ONE_MODEL = frozenset({"centralised", *SERVERS})
OF_SAMPLES = frozenset({"gt_saga", "gt_sarah", "gt_vr"})
FIXED = frozenset({"static", "d_cliques", "equi_static", "u_equi_static", "de_bruijn", "from_file"})
SYMMETRIC = frozenset({"static", "d_cliques", "u_equi_static", "from_file"})
ALONG_LINKS = frozenset({"matching", "pairwise", "push", "pull"})
OF_TWO = frozenset({"one_peer_hypercube", "hyper_hypercube", "de_bruijn"})


def target(dataset: str) -> str:
    """Return what the targets of a data set are."""
    return {SEQUENCES: "sequence", OWNED_VALUES: "value"}.get(dataset, "class")


OF_LEARNING = [
    Rule(("dataset", "model"), lambda dataset, model: (dataset in TASKS) != (model == NONE)),
    Rule(("dataset", "partition"), lambda dataset, partition: dataset in TASKS and partition != NONE),
    Rule(("model", "partition"), lambda model, partition: model == NONE and partition != NONE),
    Rule(
        ("dataset", "batch"),
        lambda dataset, batch: batch != "1" and dataset in TASKS and not takes(TASKS[dataset], "batch_size"),
    ),
    Rule(("optimizer", "rate"), lambda optimizer, rate: optimizer == "pegasos" and rate != NONE),
    Rule(("dataset", "model"), lambda dataset, model: dataset in IMAGES and model in TWO_CLASSES),
    Rule(("dataset", "model"), lambda dataset, model: dataset not in IMAGES and model in OF_IMAGES),
    Rule(
        ("dataset", "model"),
        lambda dataset, model: (
            (dataset == SEQUENCES) != (model in OF_SEQUENCES) and (model in OF_SEQUENCES or model not in (NONE, OWN))
        ),
    ),
    Rule(
        ("dataset", "model"),
        lambda dataset, model: dataset == OWNED_VALUES and model not in (NONE, OWN, "mlp", "softmax"),
    ),
    Rule(
        ("dataset", "partition"),
        lambda dataset, partition: partition == "by_owner" and dataset not in (SEQUENCES, OWNED_CLASSES, OWNED_VALUES),
    ),
    Rule(
        ("dataset", "partition"),
        lambda dataset, partition: (
            dataset in (SEQUENCES, OWNED_VALUES) and partition != NONE and PARTITIONS[partition] in BY_CLASS
        ),
    ),
    Rule(
        ("dataset", "metrics"),
        lambda dataset, metrics: (
            metrics != NONE and (dataset in TASKS or target(dataset) not in METRICS[metrics](2).of)
        ),
    ),
    Rule(("model", "metrics"), lambda model, metrics: model == "kmeans" and metrics != NONE),
]
OF_ROUNDS = [
    *OF_LEARNING,
    Rule(("algorithm", "compression"), lambda algorithm, compression: (algorithm in COMPRESSING) != (compression != NONE)),
    Rule(("algorithm", "mixing"), lambda algorithm, mixing: (
        algorithm not in NO_MIXING and (algorithm in BY_MASS) != (mixing == "push_sum"))),
    Rule(("algorithm", "mixing"), lambda algorithm, mixing: algorithm == "epidemic" and mixing not in ("push", "fresh_regular")),
    Rule(("algorithm", "mixing"), lambda algorithm, mixing: algorithm in ONE_OPERATOR and mixing not in SYMMETRIC),
    Rule(("algorithm", "topology", "mixing"), lambda algorithm, topology, mixing: (
        algorithm in ONE_OPERATOR and mixing == "static" and directed(topology))),
    Rule(("algorithm", "topology"), lambda algorithm, topology: algorithm == "relay_sgd" and topology not in TREES),
    Rule(("algorithm", "mixing"), lambda algorithm, mixing: (
        algorithm == "relay_sgd" and mixing in ("u_equi_static", "d_cliques"))),
    Rule(("mixing", "dataset"), lambda mixing, dataset: (
        mixing == "d_cliques" and (dataset in TASKS or target(dataset) != "class"))),
    Rule(("topology", "mixing"), lambda topology, mixing: directed(topology) and mixing in {*ALONG_LINKS, "from_file"}),
    Rule(("topology", "mixing"), lambda topology, mixing: topology == "karate" and mixing in OF_TWO),
    Rule(("aggregation", "mixing"), lambda aggregation, mixing: aggregation != NONE and mixing in ("push", "push_sum")),
    Rule(("algorithm", "aggregation"), lambda algorithm, aggregation: algorithm in NO_MODELS and aggregation != NONE),
    Rule(("algorithm", "aggregation"), lambda algorithm, aggregation: algorithm == "dispfl" and aggregation != NONE),
    Rule(("algorithm", "aggregation"), lambda algorithm, aggregation: algorithm in NO_MODELS_ALONE and aggregation == "ubar"),
    Rule(("algorithm", "dataset", "aggregation"), lambda algorithm, dataset, aggregation: (
        algorithm in SHARED_ALONE and dataset == "ratings" and aggregation == "ubar")),
    Rule(("privacy", "aggregation"), lambda privacy, aggregation: privacy != NONE and aggregation == "ubar"),
    Rule(("algorithm", "network"), lambda algorithm, network: algorithm in NO_MODELS and network == "noise"),
    Rule(("algorithm", "adversary"), lambda algorithm, adversary: (
        algorithm in NO_MODELS and adversary not in (NONE, *POISONING))),
    Rule(("algorithm", "dataset"), lambda algorithm, dataset: algorithm in ONE_MODEL and dataset == "ratings"),
    Rule(("adversary", "dataset"), lambda adversary, dataset: (
        adversary in POISONING and (dataset in TASKS or target(dataset) != "class"))),
    Rule(("adversary", "model"), lambda adversary, model: adversary == "backdoor" and model == "kmeans"),
    Rule(("algorithm", "privacy"), lambda algorithm, privacy: (algorithm in OF_SAMPLES or algorithm == "dispfl") and privacy != NONE),
    Rule(("privacy", "dataset"), lambda privacy, dataset: privacy != NONE and dataset in TASKS),
]  # fmt: skip
BOTH_WAYS = frozenset({"push_pull", "pairwise", "compute_pairwise"})
OF_PROTOCOL = {
    "gossip_learning": {"push", "pull", "push_pull"}, "pairwise_averaging": {"pairwise"}, "ad_psgd": {"compute_pairwise"},
    "asynchronous_push_sum": {"split_push"}, "asynchronous_sgp": {"split_push"}, "pens": {"push"},
}  # fmt: skip
OF_EVENTS = [
    *OF_LEARNING,
    Rule(("algorithm", "exchange"), lambda algorithm, exchange: exchange not in OF_PROTOCOL.get(algorithm, EXCHANGES)),
    Rule(("topology", "exchange"), lambda topology, exchange: directed(topology) and exchange in BOTH_WAYS),
    Rule(("tokens", "exchange"), lambda tokens, exchange: tokens != NONE and exchange != "push"),
    Rule(("tokens", "receive"), lambda tokens, receive: tokens != NONE and receive != "at_once"),
    Rule(("tokens", "delay"), lambda tokens, delay: tokens == "reactive" and delay == "none"),  # an instant without end
    Rule(("tokens", "useful"), lambda tokens, useful: tokens == NONE and useful != "always"),
    Rule(("receive", "exchange"), lambda receive, exchange: receive == "cached" and exchange != "push"),
    Rule(("receive", "exchange"), lambda receive, exchange: (
        receive == "pass_through" and exchange not in ("push", "pull", "push_pull"))),
    Rule(("contacts", "peers"), lambda contacts, peers: contacts != NONE and peers != "uniform"),
    Rule(("contacts", "tokens"), lambda contacts, tokens: NONE not in (contacts, tokens)),
    Rule(("contacts", "receive"), lambda contacts, receive: contacts != NONE and receive != "at_once"),
    Rule(("churn", "network"), lambda churn, network: churn != NONE and network == "online"),
    Rule(("delay", "speeds"), lambda delay, speeds: delay == "transfer" and speeds == NONE),
    Rule(("speeds", "delay", "clock", "exchange"), lambda speeds, delay, clock, exchange: (
        speeds != NONE and delay != "transfer" and clock != "by_speed" and exchange != "compute_pairwise")),
]  # fmt: skip


@functools.cache
def arrays() -> Mapping[str, Array]:
    """Return the array of runs in rounds, and that of runs by the nodes' own clocks."""
    rounds = covering(IN_ROUNDS, OF_ROUNDS)
    shared = frozenset(every_pair(LEARNING))
    return {"rounds": rounds, "events": covering(IN_EVENTS, OF_EVENTS, covered=shared)}
