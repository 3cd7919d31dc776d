"""The comparison with other simulators: its stand-in learns as the reference does, peers come and go, and do the same work."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from jaxgossip import mixing, topology
from jaxgossip.bench import reference
from jaxgossip.bench.deep import networks

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_peers.py"
PEER = """
def peer(x, y, n_nodes, rounds, seed):
    assert x.shape == (n_nodes, 58)
    assert set(y) <= {-1, 1}
    return rounds / 8
"""


@pytest.fixture(scope="module")
def scripts() -> Iterator[None]:
    """Let scripts import each other, as where one of them is run."""
    if not SCRIPT.is_file():
        pytest.skip("outside of a checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        yield
    for name in ("peers_deep", "peers_torch"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def script(scripts: None) -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_peers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def deep(scripts: None, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The deep cases, with a perceptron in their place."""
    module = importlib.import_module("peers_deep")
    monkeypatch.setattr(module, "CASES", {"mlp": networks.mlp})
    return module


def test_a_node_object_takes_the_step_of_the_reference(script: ModuleType) -> None:
    x, y = script.one_sample_each(2, seed=0)
    nodes = [script.Node(sample, label) for sample, label in zip(x.astype(np.float64), y, strict=True)]
    state = reference.Gossip(np.zeros((2, 58)), np.zeros(2, np.int32))
    table = reference.Table(x.astype(np.float64), y.astype(np.float64))
    for _ in range(4):
        messages = [node.send() for node in nodes]
        nodes[0].receive(*messages[1])
        nodes[1].receive(*messages[0])
        reference.gossip_round(state, np.array([1, 0]), table, np.arange(2), 1e-4, "merge_update")
    np.testing.assert_allclose([node.model for node in nodes], state.x, rtol=1e-9, atol=1e-9)
    assert np.abs(state.x).max() > 1


@pytest.mark.slow
def test_every_peer_that_is_there_gets_a_line(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "LEAST_S", 0.0)
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda _: None)
    (tmp_path / "own.py").write_text(PEER)
    assert script.main(["--nodes", "40", "--rounds", "4", "--peer", f"{tmp_path / 'own.py'}:peer"]) == 0
    printed = capsys.readouterr()
    assert "gossipy: not installed; get it with: pip install gossipy-dfl" in printed.err
    lines = printed.out.splitlines()
    assert lines[0].startswith("40 nodes, Pegasos, one sample a node")
    assert lines[3].startswith("jaxgossip, update_merge")
    assert lines[5].startswith("one Python object a node (built-in stand-in)")
    assert "own.py:peer" in lines[6]
    assert lines[6].split()[1:3] == ["320", "0.50"]  # 40 · 4 updates in the half second that it says it took


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--peer", "nowhere.py:peer"], "no such file"),
        (["--deep", "--peer", "own.py:peer"], "--peer goes without --deep"),
        (["--torch", "python"], "--torch goes with --deep"),
        (["--deep", "--nodes", "4"], "at least 5 nodes"),
        (["--deep", "--torch", "no/python"], "--torch no/python cannot import torch and numpy"),
    ],
)
def test_what_cannot_be_compared_is_an_error_of_usage(
    words: list[str], message: str, script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        script.main(words)
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_deep_networks_are_mixed_by_the_matrix(deep: ModuleType) -> None:
    W = np.asarray(mixing.metropolis_hastings(topology.random_regular(9, 4, rng=1)).as_matrix())
    x = np.random.default_rng(0).normal(size=(9, 2, 3)).astype(np.float32)
    found = deep.mixed_by(W)({"w": x})["w"]
    np.testing.assert_allclose(found, np.einsum("ij,jkl->ikl", W, x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_peer_that_does_other_work_is_not_timed(
    deep: ModuleType, script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda _: None)
    words = ["--deep", "--nodes", "6", "--rounds", "1"]
    assert script.main(words) == 0
    printed = capsys.readouterr()
    assert "PyTorch: not installed here; get it with: pip install torch" in printed.err
    assert printed.out.startswith("6 nodes, D-SGD on a random 4-regular graph, the fastest of 1 rounds")
    assert "PyTorch" not in printed.out
    assert printed.out.splitlines()[-1].split()[:3] == ["mlp", "2,410", "32"]
    monkeypatch.setattr(deep, "mixed_by", lambda _: None)
    assert script.main(words) == 1
    assert "error: plain vmap(grad): models " in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn_32", "cnn_28", "gn_lenet", "gpt"])
def test_pytorch_does_the_same_work(name: str, scripts: None, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    deep, peer = (importlib.import_module(f"peers_{kind}") for kind in ("deep", "torch"))
    start = deep.run_jaxgossip(deep.CASES[name](6, 0), 0, 1)
    deep.write(start, tmp_path / "start.npz")
    found = peer.measured(name, tmp_path / "start.npz", 1)
    assert set(found["apart"]) == {"loss", "gradient", "models"}
    assert max(found["apart"].values()) < 1e-4
    assert found["seconds"] > 0
