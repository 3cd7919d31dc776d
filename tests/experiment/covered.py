"""What the rows of the covering arrays are as configurations."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxgossip.experiment.build.experiment import build_graph
from jaxgossip.experiment.config.catalogue import standard
from jaxgossip.experiment.config.learning import SUPPLIED
from jaxgossip.experiment.config.load import validate
from jaxgossip.experiment.config.schema import configurable
from jaxgossip.mixing.optimized.weights import Edges
from jaxgossip.topology import Graph, metropolis_hastings
from tests.experiment.covering import NONE, OWN, OWNED_CLASSES, OWNED_VALUES, SEQUENCES, TOKENS, Row

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
    ("adversary", "backdoor"): {"size": 2},
    ("peers", "newscast"): {"view": 4},
    ("contacts", "random_waypoint"): {"side_m": 10.0, "range_m": 5.0},
    ("contacts", "random_direction"): {"side_m": 10.0, "range_m": 4.0},
    ("contacts", "manhattan"): {"blocks": 2, "block_m": 5.0, "range_m": 4.0},
    ("contacts", "satellites"): {"planes": 1, "altitudes_km": [1500.0]},
    ("peers", "brahms"): {"view": 4, "liars": 0.2},
    ("churn", "trace"): {"repeat": True},
    ("aggregation", "bulyan"): {"liars": 0},
    ("rate", "step"): {"boundaries": [1]},
    ("tokens", "generalised"): {"capacity": 3, "reaction": 2},
    ("tokens", "randomised"): {"capacity": 3, "reaction": 2},
}
"""What a kind needs beside them, or takes to be small."""
NETWORK: Mapping[str, Mapping[str, Any]] = {
    "drop": {"drop": 0.2}, "online": {"online": 0.7}, "session": {"online": 0.7, "session": 2}, "noise": {"noise": 0.1},
    "link_drop": {"link_drop": 0.2}, "link_burst": {"link_drop": 0.2, "link_burst": 4.0}, "straggle": {"straggle": 0.3},
    "split": {"split": 2, "split_at": 1, "heal_at": 2},
}  # fmt: skip
DIRECTED = frozenset({"static_exponential"})
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
TRACES = {
    ("churn", "trace"): "node,start_s,end_s\n0,0,1.5\n1,0.5,3\n",
    ("churn", "fedscale"): '{"1": {"active": [0, 2], "inactive": [1.5, 3], "finish_time": 4}}',
    ("speeds", "fedscale"): '{"1": {"computation": 20.0, "communication": 9000.0}}',
}
"""Files that serve networks of any size, by the section and the kind that read them."""
SECTIONS = (
    "topology", "algorithm", "optimizer", "mixing", "aggregation", "adversary", "compression", "speeds", "energy", "clock",
    "peers", "delay", "churn", "tokens", "contacts", "partition",
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
    # Few, that are scored at once; those of other models of this text are scored in blocks.
    if model == "gpt" and dataset == SEQUENCES:
        learning["test_fraction"] = 0.002
    found |= {"learning": learning, "device": {"dtype": row["dtype"]}}
    if row.get("mixing") == "contacts":
        found["contacts"] = {"kind": "random_waypoint", **options("contacts", "random_waypoint")}
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
    if found.get("contacts", {}).get("kind") == "from_file":
        path = folder / "contacts.csv"
        path.write_text("t_s,u,v,duration_s\n0,0,1,1.5\n0.5,1,2,3\n")
        found["contacts"]["path"] = str(path)
    if found.get("energy", {}).get("kind") == "from_file":
        n_nodes = graph_of(tuple(topology.items())).n_nodes
        path = folder / f"energy_{n_nodes}.csv"
        path.write_text("node,sample_j\n" + "".join(f"{node},0.03\n" for node in range(n_nodes)))
        found["energy"]["path"] = str(path)
    for (name, kind), text in TRACES.items():
        if found.get(name, {}).get("kind") == kind:
            path = folder / f"{name}_{kind}"
            path.write_text(text)
            found[name]["path"] = str(path)


@functools.cache
def graph_of(topology: tuple[tuple[str, Any], ...]) -> Graph:
    """Return the graph of a section [topology], its keys and their values."""
    rest = {"learning": {"dataset": "averaging"}, "optimizer": {"kind": "sgd", "learning_rate": 0.1}}
    return build_graph(validate({"name": "graph", "topology": dict(topology), **rest}, folder=Path.cwd()))


def directed(topology: str) -> bool:
    """Say whether a kind of topology is directed."""
    return topology in DIRECTED
