"""The comparison with other simulators: its stand-in learns as the reference does, and peers come and go."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from jaxgossip.bench import reference

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_peers.py"
PEER = """
def peer(x, y, n_nodes, rounds, seed):
    assert x.shape == (n_nodes, 58)
    assert set(y) <= {-1, 1}
    return rounds / 8
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    if not SCRIPT.is_file():
        pytest.skip("outside of a checkout")
    spec = importlib.util.spec_from_file_location("compare_peers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
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


def test_a_peer_that_does_not_exist_is_an_error_of_usage(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        script.main(["--peer", "nowhere.py:peer"])
    assert left.value.code == 2
    assert "no such file" in capsys.readouterr().err
