"""What the rows of the covering arrays are as configurations, and which of them are refused: why, is said rule by rule."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip.algorithms import GossipProtocol
from jaxgossip.core.pytree import partition
from jaxgossip.experiment.build.experiment import Experiment, Shared, build, build_graph
from jaxgossip.experiment.config.catalogue import standard, takes
from jaxgossip.experiment.config.learning import SUPPLIED
from jaxgossip.experiment.config.load import validate
from jaxgossip.experiment.config.schema import configurable
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.runs.run import precision
from jaxgossip.learning import METRICS, PARTITIONS, TASKS
from jaxgossip.learning.partitions import BY_CLASS
from jaxgossip.mixing.optimized.weights import Edges
from jaxgossip.schedule import EXCHANGES
from jaxgossip.simulation.compiled import Compiler, pure
from jaxgossip.simulation.events import program as waves
from jaxgossip.simulation.events.segments import MessageStream
from jaxgossip.simulation.program import Evaluation, Run
from jaxgossip.topology import Graph, metropolis_hastings
from tests.experiment.covering import (
    IN_EVENTS,
    IN_ROUNDS,
    LEARNING,
    NONE,
    OWN,
    OWNED_CLASSES,
    OWNED_VALUES,
    TOKENS,
    Array,
    Row,
    Rule,
    covering,
    every_pair,
)

NODES = 16
VALUES: Mapping[str, Any] = {
    "nodes": NODES, "degree": 4, "m": 2, "beta": 0.3, "blocks": 2, "p_in": 0.8, "p_out": 0.3, "cliques": 4, "p": 0.5,
    "radius": 0.6, "learning_rate": 0.05, "samples": 8, "seconds": 0.5, "high_s": 1.5, "seconds_a_byte": 1e-3,
    "median_s": 0.5, "online": 0.7, "mean_online_s": 3.0, "mean_offline_s": 1.0, "median_online_s": 3.0,
    "median_offline_s": 1.0, "value": 0.05, "start": 0.05, "peak": 0.05, "warmup": 1,
}  # fmt: skip
"""Values of keys that have to be given, by name."""
OPTIONS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("topology", "erdos_renyi"): {"p": 0.5},
    ("topology", "random_geometric"): {"radius": 0.6},
    ("dataset", "synthetic"): {"samples": 320, "features": 4},
    ("dataset", OWNED_CLASSES): {"owner_column": "owner"},
    ("dataset", OWNED_VALUES): {"owner_column": "owner", "target": "value"},
    ("dataset", "ratings"): {"items": 12, "ratings_a_user": 6, "rank": 2},
    ("model", "mlp"): {"hidden": [3]},
    ("model", "cnn"): {"channels": [2, 2]},
    ("model", "gpt"): {"layers": 1, "width": 8, "heads": 2},
    ("model", "lstm_char"): {"layers": 1, "width": 8},
    ("dataset", TOKENS): {"samples": "tokens"},
    ("algorithm", "pens"): {"sampled": 3, "top": 1, "settle_at": 2},
    ("adversary", "alie"): {"z": 1.0},
    ("peers", "newscast"): {"view": 4},
    ("churn", "trace"): {"repeat": True},
    ("rate", "step"): {"boundaries": [1]},
    ("tokens", "generalised"): {"capacity": 3, "reaction": 2},
    ("tokens", "randomised"): {"capacity": 3, "reaction": 2},
}
"""What a kind needs beside them, or takes to be small."""
NETWORK: Mapping[str, Mapping[str, Any]] = {
    "drop": {"drop": 0.2}, "online": {"online": 0.7}, "session": {"online": 0.7, "session": 2}, "noise": {"noise": 0.1},
    "link_drop": {"link_drop": 0.2}, "straggle": {"straggle": 0.3}, "split": {"split": 2, "split_at": 1, "heal_at": 2},
}  # fmt: skip
OWNERS = 40
"""Number of owners in files: as many nodes at most have samples of their own."""
SUITED = """
import math
import jax
import jax.numpy as jnp
import jaxgossip as jg


def suited(input_shape, n_classes):
    def init(key):
        rows = n_classes if n_classes > 60 else math.prod(input_shape)  # a table for each token, or for all features
        return {"scores": jax.random.normal(key, (rows, n_classes))}

    def apply(params, x):
        if jnp.issubdtype(x.dtype, jnp.integer):
            return params["scores"][x]
        scores = x.reshape(len(x), -1) @ params["scores"]
        return scores[:, 0] if n_classes == 1 else scores

    return jg.learning.from_functions(init, apply)
"""
"""The user's own model: scores of the next token by the last, or linear in the features."""
SECTIONS = (
    "topology", "algorithm", "optimizer", "mixing", "aggregation", "adversary", "compression", "speeds", "clock", "peers",
    "delay", "churn", "tokens", "partition",
)  # fmt: skip


def tree(row: Row, folder: Path) -> dict[str, Any]:
    """Return the configuration of a row; the files that it names are written to ``folder``."""
    found: dict[str, Any] = {"name": "covered", "rounds": 2, "evaluation": {"every": 1, "baselines": []}}
    for name in SECTIONS:
        if row.get(name, NONE) != NONE:
            found[name] = {"kind": row[name], **options(name, row[name])}
    if row["rate"] != NONE:
        found["optimizer"]["learning_rate"] = {"kind": row["rate"], **options("rate", row["rate"]), **_counting(row)}
    dataset, model = row["dataset"], row.get("model", NONE)
    learning: dict[str, Any] = {"dataset": dataset, "init": row["init"]}
    learning["dataset_options"] = options("dataset", dataset)
    if row["batch"] != "1":
        learning["batch_size"] = int(row["batch"])
    if model != NONE:
        learning |= {"model": model, "model_options": options("model", model)}
    found |= {"learning": learning, "device": {"dtype": row["dtype"]}}
    if row.get("network", NONE) != NONE:
        found["network"] = dict(NETWORK[row["network"]])
    if row.get("privacy", NONE) != NONE:
        found["privacy"] = {"clip": 1.0, "noise_multiplier": 1.0}
    if "exchange" in row:
        found["schedule"] = {key: row[key] for key in ("exchange", "receive", "useful")}
    if row.get("mixing") == "static" and directed(row["topology"]):
        found["mixing"]["weights"] = "uniform"
    if row.get("peers") == "weighted" and directed(row["topology"]):
        found["peers"]["weights"] = "uniform"
    if row.get("metrics", NONE) != NONE:
        found["evaluation"]["metrics"] = [row["metrics"]]
    _files(found, folder)
    return found


def _counting(row: Row) -> dict[str, Any]:
    """Return what a learning rate counts: by clocks, the steps of a node, of which no configuration knows how many come."""
    if "clock" not in row:
        return {"by": "rounds"}
    return {"by": "steps", **({"over": 4} if "over" in configurable(standard().rate[row["rate"]]) else {})}


def options(name: str, kind: str) -> dict[str, Any]:
    """Return what the builder of a kind has to be given, by the names of its parameters; paths apart."""
    if kind in (OWN, OWNED_CLASSES, OWNED_VALUES, TOKENS):
        return dict(OPTIONS.get((name, kind), {}))
    catalogue = standard()
    several = {"dataset": (catalogue.dataset, catalogue.task), "algorithm": (catalogue.algorithm, catalogue.protocol)}
    registries = several[name] if name in several else (getattr(catalogue, name),)
    builder = next(registry[kind] for registry in registries if kind in list(registry))
    given = dict(OPTIONS.get((name, kind), {}))
    for key, parameter in configurable(builder, SUPPLIED).items():
        if parameter.default is parameter.empty and key not in given and key != "path":
            given[key] = VALUES.get(key, 1 if parameter.annotation is int else 0.5)
    return given


def _files(found: dict[str, Any], folder: Path) -> None:
    """Give the kinds that read files one each, and write it."""
    folder.mkdir(parents=True, exist_ok=True)
    learning, topology = found["learning"], found["topology"]
    if learning["dataset"] in (OWNED_CLASSES, OWNED_VALUES):
        path = folder / learning["dataset"]
        targets = [
            f"{number % 13}.75" if path.name == OWNED_VALUES else "yes" if number**2 % 5 < 2 else "no"
            for number in range(240)
        ]
        lines = (f"{n % 7}.5,{n % 11}.25,{n % OWNERS},{target}\n" for n, target in enumerate(targets))
        path.write_text("a,b,owner,target\n" + "".join(lines))
        learning["dataset"] = str(path)
    if learning["dataset"] == TOKENS:
        rng = np.random.default_rng(0)
        np.savez(folder / TOKENS, x=rng.integers(0, 9, (240, 6), np.int32), y=rng.integers(0, 2, 240))
        learning["dataset"] = str(folder / TOKENS)
    if learning.get("model") == OWN:
        (folder / OWN.split(":")[0]).write_text(SUITED)
    if topology["kind"] == "edge_list":
        path = folder / "edges.txt"
        path.write_text(
            "".join(f"{a} {(a + step) % NODES}\n" for a in range(NODES) for step in (1, 2, 5) if a < 9 or step == 1)
        )
        topology["path"] = str(path)
    if found.get("mixing", {}).get("kind") == "from_file":
        path, edges = folder / f"{topology['kind']}.npz", None
        if not path.exists():
            graph = graph_of(tuple(topology.items()))
            if not graph.directed:
                edges = Edges(graph)
                weights = edges.of(metropolis_hastings(graph))
                np.savez(path, edges=edges.ends, fastest=weights, schedule=weights[None])
        found["mixing"]["path"] = str(path if path.exists() else folder / "edges.txt")
        (folder / "edges.txt").touch()
    if found.get("speeds", {}).get("kind") == "from_file":
        n_nodes = graph_of(tuple(topology.items())).n_nodes
        path, lines = folder / f"speeds_{n_nodes}.csv", (f"{node},0.1,10,10,0.01\n" for node in range(n_nodes))
        path.write_text("node,compute_s,up_mbit_s,down_mbit_s,latency_s\n" + "".join(lines))
        found["speeds"]["path"] = str(path)
    if found.get("churn", {}).get("kind") == "trace":
        path = folder / "trace.csv"
        path.write_text("node,start_s,end_s\n0,0,1.5\n1,0.5,3\n")
        found["churn"]["path"] = str(path)


@functools.cache
def graph_of(topology: tuple[tuple[str, Any], ...]) -> Graph:
    """Return the graph of a section [topology], its keys and their values."""
    rest = {"learning": {"dataset": "averaging"}, "optimizer": {"kind": "sgd", "learning_rate": 0.1}}
    return build_graph(validate({"name": "graph", "topology": dict(topology), **rest}, folder=Path.cwd()))


DIRECTED = frozenset({"static_exponential"})
OF_IMAGES = frozenset({"cnn"})
OF_SEQUENCES = frozenset({"gpt"})
TREES = frozenset({"path", "star", "binary_tree"})
TWO_CLASSES = frozenset({"logistic", "pegasos", "adaline"})
IMAGES = frozenset({"digits", "mnist_10k"})
SEQUENCES = "shakespeare"
NO_MIXING = frozenset({"halving_windows", "federated_averaging", "isolated", "centralised"})
BY_MASS = frozenset({"sgp", "push_diging", "push_sum"})
ONE_OPERATOR = frozenset({"power_gossip", "relay_sgd", "muffliato", "shift_register", "chebyshev"})
NO_MODELS = frozenset({"power_gossip", "relay_sgd"})
ONE_MODEL = frozenset({"centralised", "federated_averaging"})
COMPRESSING = frozenset({"choco", "deep_squeeze"})
FIXED = frozenset({"static", "equi_static", "u_equi_static", "de_bruijn", "from_file"})
SYMMETRIC = frozenset({"static", "u_equi_static", "from_file"})
ALONG_LINKS = frozenset({"matching", "pairwise", "push", "pull"})
OF_TWO = frozenset({"one_peer_hypercube", "hyper_hypercube", "de_bruijn"})


def target(dataset: str) -> str:
    """Return what the targets of a data set are."""
    return {SEQUENCES: "sequence", OWNED_VALUES: "value"}.get(dataset, "class")


def directed(topology: str) -> bool:
    """Say whether a kind of topology is directed."""
    return topology in DIRECTED


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
    Rule(("algorithm", "mixing"), lambda algorithm, mixing: algorithm == "relay_sgd" and mixing == "u_equi_static"),
    Rule(("topology", "mixing"), lambda topology, mixing: directed(topology) and mixing in {*ALONG_LINKS, "from_file"}),
    Rule(("topology", "mixing"), lambda topology, mixing: topology == "karate" and mixing in OF_TWO),
    Rule(("aggregation", "mixing"), lambda aggregation, mixing: aggregation != NONE and mixing in ("push", "push_sum")),
    Rule(("algorithm", "aggregation"), lambda algorithm, aggregation: algorithm in NO_MODELS and aggregation != NONE),
    Rule(("algorithm", "network"), lambda algorithm, network: algorithm in NO_MODELS and network == "noise"),
    Rule(("algorithm", "adversary"), lambda algorithm, adversary: (
        algorithm in NO_MODELS and adversary not in (NONE, "label_flip"))),
    Rule(("algorithm", "dataset"), lambda algorithm, dataset: algorithm in ONE_MODEL and dataset == "ratings"),
    Rule(("adversary", "dataset"), lambda adversary, dataset: (
        adversary == "label_flip" and (dataset in TASKS or target(dataset) != "class"))),
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


class Tracing(Compiler):
    """In the place of compiled programs, programs that have been traced: anything in, zeros of its shapes out."""

    def compile(
        self, function: Callable[..., Any], inputs: Any, *example: Any, donate: bool = False
    ) -> Callable[..., Any]:
        del donate
        arrays, static = partition(inputs)
        with jax.default_matmul_precision(self._precision):
            shapes = jax.eval_shape(pure(function, static), arrays, *example)
        return lambda *_: jax.tree.map(_zeros, shapes)


def _zeros(like: jax.ShapeDtypeStruct) -> Any:
    """Return an array of zeros; a key in the place of keys."""
    is_key = jnp.issubdtype(like.dtype, jax.dtypes.prng_key)
    return jnp.broadcast_to(jax.random.key(0), like.shape) if is_key else jnp.zeros(like.shape, like.dtype)


def trace(config: Config, shared: Shared, *, seeds: bool) -> None:
    """Build a configuration and trace its programs: of a run by itself, and of many in one program.

    Args:
        config: the configuration.
        shared: parts of earlier ones.
        seeds: whether the many differ in all their arrays, as those of other seeds do, or in numbers of their states alone.
    """
    with precision(config):
        experiment = build(config, shared=shared)
        if experiment.schedule is None:
            _trace_rounds(experiment, seeds=seeds)
        else:
            _trace_events(experiment)


def _trace_rounds(experiment: Experiment, *, seeds: bool) -> None:
    config = experiment.config
    run = Run(
        experiment.in_rounds,
        seed=config.seed,
        conditions=experiment.conditions,
        byte_budget=10**6,
        speeds=experiment.speeds,
    )
    like = run.like()
    for purpose in run.programs():
        if purpose.function is not Run.rounds:
            arrays, static = partition(purpose.inputs)
            jax.eval_shape(pure(purpose.function, static), arrays, *purpose.example)
    arrays, static = partition(run.evaluation)
    jax.eval_shape(pure(Evaluation.scores, static), arrays, like)
    many = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype), like)
    until = jax.ShapeDtypeStruct((), jnp.int32)
    arrays, static = partition(run)
    program = pure(Run.rounds, static)
    with jax.default_matmul_precision(config.device.matmul_precision):
        if seeds:
            stacked = [jax.ShapeDtypeStruct((2, *array.shape), array.dtype) for array in arrays]
            jax.eval_shape(jax.vmap(program, in_axes=(0, 0, None)), stacked, many, until)
        else:  # lowered, too: what a primitive makes of operands of other axes shows only then
            jax.jit(jax.vmap(program, in_axes=(None, 0, None))).lower(arrays, many, until)


def _trace_events(experiment: Experiment) -> None:
    config, protocol = experiment.config, experiment.algorithm
    assert isinstance(protocol, GossipProtocol)
    assert experiment.schedule is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waves, "Compiler", Tracing)
        program = waves.WaveProgram(protocol, experiment.schedule.kinds, seed=config.seed)
    work = MessageStream(experiment.schedule).next(config.rounds)
    program.compile_for(work, work.n_slots)
    program.score_all(program.like)
    if protocol.settle_at is not None:
        jax.eval_shape(protocol.settle, program.like)
