"""Traces in the shapes of FedScale: speeds and availability of devices, and what is wrong with a file entry by entry."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxgossip.core.errors import InputError
from jaxgossip.network import SPEEDS
from jaxgossip.schedule import CHURNS

CAPACITIES = {"1": {"computation": 162.0, "communication": 5648.0}, "2": {"computation": 20, "communication": 80_000}}
BEHAVIOUR = {
    "7": {"duration": 3, "active": [2, 6], "inactive": [4, 7], "finish_time": 10, "model": "CPH1801"},
    "3": {"active": [0], "inactive": [1], "finish_time": 2},
}


def written(folder: Path, tree: Any) -> Path:
    path = folder / "devices"
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return path


def test_speeds_are_those_of_devices_in_turn(tmp_path: Path) -> None:
    found = SPEEDS["fedscale"](3, path=written(tmp_path, CAPACITIES), step_samples=10, latency_s=0.5)
    np.testing.assert_allclose(found.compute_s, 3 * 10 * np.array([0.162, 0.020, 0.162]), rtol=1e-15)
    np.testing.assert_allclose(found.up_bytes_s, 125 * np.array([5648, 80_000, 5648]), rtol=1e-15)
    np.testing.assert_array_equal(found.down_bytes_s, found.up_bytes_s)
    np.testing.assert_array_equal(found.latency_s, [0.5] * 3)
    text = written(tmp_path, "device,computation,communication\na,162,5648\nb,20,80000\n")
    plain = SPEEDS["fedscale"](2, path=text, step_samples=np.array([1, 4]), training_factor=1.0)
    np.testing.assert_allclose(plain.compute_s, [0.162, 0.080], rtol=1e-15)
    drawn = SPEEDS["fedscale"](2000, 0, path=text, assignment="random").compute_s
    assert (drawn > 0.1).mean() == pytest.approx(0.5, abs=0.05)


def test_devices_are_available_from_active_to_inactive_period_by_period(tmp_path: Path) -> None:
    path = written(tmp_path, BEHAVIOUR)
    times = np.array([0, 1.9, 2, 3.9, 4, 6, 6.9, 7, 9.9, 12, 14, 26])
    expected = [0, 0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 1]
    churn = CHURNS["fedscale"](3, 0, path=path)
    for node in (0, 2):
        np.testing.assert_array_equal(churn.online(np.full(times.size, node), times), np.array(expected, bool))
    np.testing.assert_array_equal(churn.online(np.full(4, 1), np.array([0.5, 1.0, 2.5, 3.5])), [1, 0, 1, 0])
    later = CHURNS["fedscale"](3, 0, path=path, start_s=2.0)
    np.testing.assert_array_equal(later.online(np.zeros(4, int), np.array([0.0, 1.9, 2, 10])), [1, 1, 0, 1])


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({}, " holds no device"),
        ({"1": 5}, ", entry '1': 5 is no object"),
        ({**CAPACITIES, "4": {"computation": 3}}, ", entry '4': no communication (communication is a number above 0)"),
        ({"4": {"computation": 0, "communication": 1}}, ", entry '4': computation is 0"),
        ({"4": {"computation": "x", "communication": 1}}, ", entry '4': computation is \"x\""),
        ('{"1": {"computation": 1,\n"communication"}}', ", line 2: not JSON: "),
        ("device,computation,communication\n1,5,6\n2,5,0\n", ":3: communication is 0 (it must be above 0)"),
        ("device,computation\n1,5\n", ":1: the header has no column 'communication'"),
        ("device,computation,communication\n", " holds no device"),
    ],
)
def test_wrong_speeds_name_the_entry_or_the_line(tree: Any, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, tree)
    with pytest.raises(InputError) as caught:
        SPEEDS["fedscale"](2, path=path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ("node,start_s,end_s\n0,0,1\n", " is not JSON"),
        ({"a": {"active": [1], "inactive": [2]}}, ", entry 'a': no finish_time"),
        ({"a": {"active": [1], "inactive": [], "finish_time": 9}}, ", entry 'a': 1 times of active and 0 of inactive"),
        (
            {"a": {"active": [1], "inactive": [1], "finish_time": 9}},
            ", entry 'a': inactive 1 is not after what is before",
        ),
        ({"a": {"active": [1, 2], "inactive": [3, 4], "finish_time": 9}}, ", entry 'a': active 2 is not after what is"),
        ({"a": {"active": [-1], "inactive": [3], "finish_time": 9}}, ", entry 'a': active -1 is not after"),
        ({"a": {"active": [1], "inactive": [10], "finish_time": 9}}, ", entry 'a': inactive 10 is after finish_time 9"),
        (
            {"a": {"active": "1", "inactive": [2], "finish_time": 9}},
            ", entry 'a': active is \"1\" (active is a list of",
        ),
    ],
)
def test_wrong_availability_names_the_entry(tree: Any, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, tree)
    with pytest.raises(InputError) as caught:
        CHURNS["fedscale"](2, 0, path=path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert caught.value.hint


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "client_device_capacity"
    path.write_bytes(pickle.dumps(CAPACITIES))
    for builder in (lambda: SPEEDS["fedscale"](2, path=path), lambda: CHURNS["fedscale"](2, 0, path=path)):
        with pytest.raises(InputError, match="is a pickle, which could run any program") as caught:
            builder()
        assert "json.dump(pickle.load" in caught.value.hint
