"""Speeds of machines: what is drawn, what is read, and what is refused in which words."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.core.errors import InputError
from jaxgossip.network import SPEEDS, Speeds, speeds
from jaxgossip.network.wallclock import to_seconds, to_words

HEADER = "node,compute_s,up_mbit_s,down_mbit_s,latency_s"


def test_rates_are_written_in_megabits_and_kept_in_bytes() -> None:
    found = speeds.constant(3, compute_s=0.5, up_mbit_s=8.0, down_mbit_s=16.0, latency_s=0.01)
    assert found.n_nodes == 3
    np.testing.assert_array_equal(found.up_bytes_s, 1e6)
    np.testing.assert_array_equal(found.down_bytes_s, 2e6)
    np.testing.assert_array_equal(found.steps(4).compute_s, 2.0)
    assert list(SPEEDS) == ["constant", "normal", "lognormal", "from_file", "fedscale"]


def test_normal_bandwidths_are_truncated_and_not_piled_up() -> None:
    found = speeds.normal(200_000, 1, least_mbit_s=10.0)
    for rate in (found.up_bytes_s, found.down_bytes_s):
        rate = rate * 8 / 1e6  # noqa: PLW2901 - the same in Mbit/s
        # N(20, 10) above 10: mean 20 + 10 φ(1)/Φ(1).
        assert rate.min() >= 10
        assert (rate < 10.01).mean() < 2e-3
        assert rate.mean() == pytest.approx(20 + 10 * 0.24197072 / 0.84134475, abs=0.06)
    assert abs(np.corrcoef(found.up_bytes_s, found.down_bytes_s)[0, 1]) < 0.01
    np.testing.assert_array_equal(speeds.normal(5, 1).up_bytes_s, speeds.normal(5, 1).up_bytes_s)


def test_lognormal_speeds_have_the_medians_and_deviations_asked_for() -> None:
    found = speeds.lognormal(200_000, 1, compute_s=2.0, compute_sigma=0.7)
    assert np.median(found.compute_s) == pytest.approx(2.0, rel=0.01)
    assert np.log(found.compute_s).std() == pytest.approx(0.7, rel=0.01)


def test_a_file_is_read_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "speeds.csv"
    path.write_text(f"{HEADER}\n1,0.5,8,16,0\n\n0, 0.25,80,160,0.125\n")
    found = speeds.from_file(2, path=path)
    np.testing.assert_array_equal(found.compute_s, [0.25, 0.5])
    np.testing.assert_array_equal(found.up_bytes_s, [1e7, 1e6])
    np.testing.assert_array_equal(found.down_bytes_s, [2e7, 2e6])
    np.testing.assert_array_equal(found.latency_s, [0.125, 0])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("node,speed", ", line 1: the header is 'node,speed' (the first line is " + HEADER + ")"),
        ("", ", line 1: the header is '' (the first line is " + HEADER + ")"),
        (f"{HEADER}\n0,1,8,8", f", line 2: 4 fields, not 5 (fields are {HEADER})"),
        (f"{HEADER}\n0,1,8,8,0\none,1,8,8,0", ", line 3: node is 'one' (nodes are whole numbers from 0)"),
        (f"{HEADER}\n2,1,8,8,0", ", line 2: node 2 does not exist (nodes are numbered 0 to 1)"),
        (f"{HEADER}\n0,1,8,8,0\n0,1,8,8,0", ", line 3: node 0 is there already, in line 2 (one line a node)"),
        (
            f"{HEADER}\n0,1,8,8,0",
            ": 1 of 2 nodes are missing, the first of them node 1 (one line a node, numbered from 0)",
        ),
        (f"{HEADER}\n0,fast,8,8,0", ", line 2: compute_s is 'fast' (write a finite number)"),
        (f"{HEADER}\n0,1,inf,8,0", ", line 2: up_mbit_s is 'inf' (write a finite number)"),
        (f"{HEADER}\n0,1,0,8,0", ", line 2: up_mbit_s is 0 (it must be above 0)"),
        (f"{HEADER}\n0,1,8,-1,0", ", line 2: down_mbit_s is -1 (it must be above 0)"),
        (f"{HEADER}\n0,1,8,8,-0.1", ", line 2: latency_s is -0.1 (it must be 0 or more)"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line_and_the_way_out(
    lines: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "speeds.csv"
    path.write_text(lines)
    with pytest.raises(InputError) as caught:
        speeds.from_file(2, path=path)
    assert str(caught.value) == f"{path}{message}"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        speeds.from_file(2, path=tmp_path / "no.csv")
    assert str(caught.value) == f"no such file: {tmp_path / 'no.csv'} (path names a file of speeds)"


@pytest.mark.parametrize(
    "damage",
    [
        os.mkfifo,
        Path.mkdir,
        lambda path: path.write_bytes(b"node,\0"),
        lambda path: path.write_text(f"{HEADER}\n0,{'9' * 200_000},8,8,0"),
    ],
)
def test_what_is_no_file_of_speeds_is_said_at_once(damage: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "speeds.csv"
    damage(path)
    with pytest.raises(InputError, match=r"speeds\.csv") as caught:
        speeds.from_file(2, path=path)
    assert caught.value.hint


@pytest.mark.wrong_types
def test_impossible_machines_are_refused() -> None:
    with pytest.raises(InputError, match="up_bytes_s of node 1 is 0"):
        Speeds(np.ones(2), np.array([1.0, 0.0]), np.ones(2), np.ones(2))
    with pytest.raises(InputError, match="latency_s of node 0 is -1"):
        speeds.constant(2, latency_s=-1.0)
    with pytest.raises(InputError, match=r"down_bytes_s has shape \(3,\), not \(2,\)"):
        Speeds(np.ones(2), np.ones(2), np.ones(3), np.ones(2))
    with pytest.raises(InputError, match=r"up_mbit_s has mean 0\.5, below its least value 1"):
        speeds.normal(2, up_mbit_s=0.5)
    with pytest.raises(InputError, match="bandwidth_sigma must be at least 0"):
        speeds.lognormal(2, bandwidth_sigma=-1.0)


def test_seconds_survive_as_words() -> None:
    seconds = np.array([0.0, 1e-9, 1e6 + 1e-3])
    np.testing.assert_array_equal(to_seconds(to_words(seconds)), seconds)
