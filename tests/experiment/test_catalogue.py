"""Every registered topology and mixing, and every format of files, can be named by a configuration, and builds from it."""

from typing import get_args

import pytest

from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.learning import Format
from jaxgossip.experiment.config.load import load
from jaxgossip.learning.data.readers.files import FORMATS
from jaxgossip.mixing import MIXINGS
from jaxgossip.topology import TOPOLOGIES

BASE = """
name = "named"
rounds = 2
[topology]
kind = "complete"
nodes = 16
[mixing]
kind = "static"
[learning]
dataset = "averaging"
[algorithm]
kind = "averaging"
[optimizer]
kind = "sgd"
learning_rate = 0.1
"""
TOPOLOGY = {
    "k_nearest_ring": "degree=4",
    "random_regular": "degree=4",
    "erdos_renyi": "p=0.6",
    "watts_strogatz": "degree=4, beta=0.2",
    "barabasi_albert": "m=3",
    "random_geometric": "radius=0.9",
    "stochastic_block": "blocks=2, p_in=0.9, p_out=0.5",
    "connected_caveman": "cliques=4",
}
"""What a topology needs beside its number of nodes."""
FIXED = {"karate": 34, "davis": 32}
"""Topologies whose number of nodes nobody chooses."""


@pytest.mark.by_default(
    "watts_strogatz", "barabasi_albert", "random_geometric", "connected_caveman", "static_exponential", "lollipop"
)
@pytest.mark.parametrize("kind", [kind for kind in TOPOLOGIES if kind != "edge_list"])
def test_every_topology_builds_from_a_configuration(kind: str) -> None:
    keys = [f'kind="{kind}"', *([] if kind in FIXED else ["nodes=16"]), *filter(None, [TOPOLOGY.get(kind)])]
    weights = ["mixing.weights=uniform"] if kind == "static_exponential" else []
    found = build(load(BASE, [f"topology={{{', '.join(keys)}}}", *weights]))
    assert found.graph.name == kind
    assert found.graph.n_nodes == FIXED.get(kind, 16) == found.W.n_nodes


@pytest.mark.parametrize("kind", [kind for kind in MIXINGS if kind != "from_file"])
def test_every_mixing_builds_from_a_configuration(kind: str) -> None:
    algorithm = "push_sum" if kind == "push_sum" else "averaging"
    more = ["learning={dataset='synthetic', model='softmax'}"] if kind in ("d_cliques", "stl_fw") else []
    if kind == "contacts":
        more = ["contacts={kind='random_direction', side_m=50.0, range_m=9.0}", "mixing.period_s=5.0"]
    found = build(load(BASE, [f"mixing={{kind='{kind}'}}", f"algorithm.kind={algorithm}", *more]))
    assert found.W.n_nodes == 16


@pytest.mark.parametrize("kind", ["base_k_plus_one", "hyper_hypercube", "equi_static", "u_equi_static"])
def test_the_degree_of_a_mixing_is_a_key(kind: str) -> None:
    found = build(load(BASE, ["topology.nodes=18", f"mixing={{kind='{kind}', degree=2}}"]))
    assert found.W.n_nodes == 18


def test_a_run_draws_its_circulant_by_its_seed() -> None:
    drawn = [
        build(load(BASE, ["topology.nodes=1000", "mixing={kind='equi_static', degree=5}", f"seed={seed}"])).W
        for seed in (1, 1, 2)
    ]
    offsets = [W.offsets for W in drawn]
    assert offsets[0] == offsets[1] != offsets[2]


def test_every_format_of_files_can_be_named() -> None:
    assert set(get_args(Format)) == {kind.names[0] for kind in FORMATS}
