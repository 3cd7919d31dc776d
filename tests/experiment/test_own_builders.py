"""What one's own builders give that is of the wrong kind: the function, what it returned and what it should."""

from pathlib import Path

import pytest

from jaxgossip.core.errors import InputError
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.config.sections import SECTIONS
from jaxgossip.experiment.topologies.named import named
from tests.experiment.grid_cases import TEXT

OWN = """
import numpy as np

import jaxgossip as jg


def three():
    return 3


def nothing():
    pass


def row():
    return np.ones(8)


def words():
    return np.array([["a", "b"], ["c", "d"]])


def apart():
    return jg.topology.from_scipy(np.kron(np.eye(2), 1 - np.eye(4)))


def tiny():
    return jg.topology.ring(0)


def small_mixing(graph):
    return jg.mixing.metropolis_hastings(jg.topology.ring(5))


def few(labels, n_nodes, rng):
    return jg.learning.partitions.iid(labels, 5, rng=rng)
"""
EVENTS = "algorithm.kind=gossip_learning"
EXPECTED = {
    "topology": ([], "which is no graph", "return a Graph, a networkx graph, or a matrix"),
    "mixing": ([], "", "return a jaxgossip Operator or TimeVarying"),
    "partition": ([], "", "return a jaxgossip Partition"),
    "algorithm": ([], "", "return a jaxgossip Algorithm"),
    "optimizer": ([], "", "return an optax GradientTransformation"),
    "outer": (["algorithm.kind=outer_gossip"], "", "return an optax GradientTransformation"),
    "compression": (["algorithm.kind=choco"], "", "return a jaxgossip Compressor"),
    "adversary": ([], "", "return a jaxgossip Adversary"),
    "aggregation": ([], "", "return a jaxgossip Aggregation"),
    "speeds": ([], "", "return a jaxgossip Speeds"),
    "energy": ([], "", "return a jaxgossip Energy"),
    "clock": ([EVENTS], "", "return a jaxgossip Clock; jg.schedule.clocks.fixed(n_nodes, rng) makes one"),
    "peers": ([EVENTS], "", "return a jaxgossip Peers"),
    "delay": ([EVENTS], "", "return a jaxgossip Delay"),
    "churn": ([EVENTS], "", "return a jaxgossip Churn"),
    "tokens": ([EVENTS], "", "return a jaxgossip TokenAccount"),
    "contacts": ([EVENTS], "", "return a jaxgossip ContactSource; jg.schedule.contacts.random_waypoint(n_nodes, rng, "),
}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def refusal(*settings: str) -> tuple[str, str]:
    with pytest.raises(InputError) as raised:
        build(load(TEXT, settings))
    return raised.value.message, raised.value.hint


def test_every_section_is_in_the_table() -> None:
    assert set(EXPECTED) == set(SECTIONS)


@pytest.mark.parametrize("section", EXPECTED)
@pytest.mark.parametrize(("function", "returned"), [("three", "an int"), ("nothing", "None")])
def test_what_is_not_of_its_kind_is_told_with_its_function(
    section: str, function: str, returned: str, mine: Path
) -> None:
    settings, more, expected = EXPECTED[section]
    message, hint = refusal(*settings, f"{section}={{kind='{mine}:{function}'}}")
    assert message == ", ".join(filter(None, [f"{section}: {mine}:{function} returned {returned}", more]))
    assert hint.startswith(expected)


@pytest.mark.parametrize(
    ("key", "expected"), [("dataset", "Dataset; jg.learning.from_arrays(x, y) makes one"), ("model", "Model")]
)
def test_so_is_a_data_set_or_a_model(key: str, expected: str, mine: Path) -> None:
    message, hint = refusal(f"learning.{key}='{mine}:three'", f"learning.{key}_options={{}}")
    assert message == f"learning: {mine}:three returned an int"
    assert hint == f"return a jaxgossip {expected}"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "topology={kind='MINE:row'}",
            "topology: MINE:row returned an array of shape (8,), which is no graph: from_sc",
        ),
        ("topology={kind='MINE:words'}", "topology: MINE:words returned an array of shape (2, 2), which is no graph: "),
        ("topology={kind='MINE:apart'}", "topology: MINE:apart: from_scipy is disconnected: 2 components"),
        ("topology={kind='MINE:tiny'}", "topology: MINE:tiny: ring: "),
        (
            "mixing={kind='MINE:small_mixing'}",
            "mixing: MINE:small_mixing: mixing of 5 nodes does not fit a network of 8",
        ),
        ("partition={kind='MINE:few'}", "partition: MINE:few: a partition of 5 nodes does not fit a network of 8"),
    ],
)
def test_so_is_what_does_not_fit(setting: str, message: str, mine: Path) -> None:
    assert refusal(setting.replace("MINE", str(mine)))[0].startswith(message.replace("MINE", str(mine)))


@pytest.mark.parametrize("function", ["three", "nothing", "row", "tiny"])
def test_so_is_a_topology_that_is_shown(function: str, mine: Path) -> None:
    with pytest.raises(InputError, match=f"^topology: {mine}:{function}"):
        named(f"{mine}:{function}", None).graph(0)
