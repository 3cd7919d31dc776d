"""What machines spend: figures of devices, a file line by line, and impossible machines."""

from pathlib import Path

import numpy as np
import pytest

from jaxgossip.core.errors import InputError
from jaxgossip.core.units import joules_text
from jaxgossip.network import ENERGIES, Energy, energy
from jaxgossip.network.energy import DEVICES, JOULES_A_WH, ROUND_SAMPLES

MILLIJOULES = {"xiaomi_12_pro": 36.7, "galaxy_s22_ultra": 33.7, "oneplus_nord_2": 14.4, "poco_x3": 47.9}
ROUNDS = {"xiaomi_12_pro": 272, "galaxy_s22_ultra": 324, "oneplus_nord_2": 681, "poco_x3": 272}
"""Rounds that a tenth of a battery allows."""


@pytest.mark.parametrize("name", DEVICES)
def test_devices_spend_what_was_measured(name: str) -> None:
    device = DEVICES[name]
    assert 1000 * device.sample_j == pytest.approx(MILLIJOULES[name], abs=0.05)
    assert int(0.1 * device.battery_wh * JOULES_A_WH / (ROUND_SAMPLES * device.sample_j)) == ROUNDS[name]


def test_devices_are_dealt_out() -> None:
    all_four = energy.devices(6, battery_share=0.1)
    found = 1000 * all_four.work_j
    np.testing.assert_allclose(found, [*MILLIJOULES.values(), *list(MILLIJOULES.values())[:2]], atol=0.05)
    assert all_four.battery_j[3] == pytest.approx(0.1 * 23.2 * 3600)
    assert not energy.devices(6).has_batteries
    drawn = energy.devices(4000, rng=0, assignment="random", names=("poco_x3", "oneplus_nord_2")).work_j
    assert set(np.round(1000 * drawn, 1)) == {14.4, 47.9}
    assert (drawn > 0.03).mean() == pytest.approx(0.5, abs=0.04)


def test_the_account_is_counts_times_constants() -> None:
    copy = energy.constant(2, sample_j=0.0).spent(np.array([0, 0]), np.array([4 * 90_000, 0]), np.array([0, 0]))
    assert copy.total[0] == pytest.approx(14.4, rel=1e-15)  # 40 µJ a byte
    machines = Energy(
        *(np.array(pair) for pair in ([1.5, 2.0], [0.5, 0.25], [0.125, 1.0], [3.0, 4.0], [100.0, np.inf]))
    )
    counts = (np.array([4, 5], np.uint32), np.array([2**40, 3], np.uint64), np.array([8, 2**41], np.uint64))
    spent = machines.samples(2).spent(*counts, np.array([10.0, 20.0]))
    np.testing.assert_array_equal(spent.training, [12, 20])
    np.testing.assert_array_equal(spent.total, [12 + 2**39 + 1 + 30, 20 + 0.75 + 2**41 + 80])
    assert machines.record(spent)["live_nodes"] == 1
    assert "live_nodes" not in machines.on_mains().record(spent)


def test_a_file_gives_each_node_its_own_and_keywords_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "energy.csv"
    path.write_text("battery_j,node,sample_j\n5,1,0.2\n\n7,0,0.1  # the first\n")
    found = energy.from_file(2, path=path, received_j_byte=2e-6)
    np.testing.assert_array_equal(found.work_j, [0.1, 0.2])
    np.testing.assert_array_equal(found.battery_j, [7, 5])
    np.testing.assert_array_equal(found.received_j_byte, [2e-6, 2e-6])
    np.testing.assert_array_equal(found.sent_j_byte, [40e-6, 40e-6])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("node,joules\n0,1", ":1: the header has no column 'sample_j'"),
        ("node,sample_j\n0,1\n2,1", ":3: node 2 does not exist (nodes are numbered 0 to 1)"),
        ("node,sample_j\n0,1\n0,2", ":3: node 0 is there already, in line 2 (one line a node)"),
        (
            "node,sample_j\n1,1",
            ": 1 of 2 nodes are missing, the first of them node 0 (one line a node, numbered from 0)",
        ),
        ("node,sample_j\n0,1\n1,-2", ":3: sample_j is -2 (it must be 0 or more)"),
        ("node,sample_j,battery_j\n0,1,0\n1,1,2", ":2: battery_j is 0 (it must be above 0)"),
        ("node,sample_j\n0,much\n1,1", ":2: sample_j 'much' is not a number"),
    ],
)
def test_a_wrong_file_names_its_line(lines: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "energy.csv"
    path.write_text(lines)
    with pytest.raises(InputError) as caught:
        energy.from_file(2, path=path)
    assert str(caught.value).startswith(f"{path}{message}")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("constant", {"battery_j": 0.0}, "battery_j must be above 0, not 0.0"),
        ("constant", {"sent_j_byte": -1.0}, "sent_j_byte must be at least 0, not -1.0"),
        ("devices", {"names": ("poco",)}, "unknown device 'poco' in names"),
        ("devices", {"names": ()}, "names are none"),
        ("devices", {"battery_share": 0.0}, "battery_share must be above 0, not 0.0"),
    ],
)
def test_impossible_machines_are_refused(kind: str, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ENERGIES[kind](2, **options)


@pytest.mark.wrong_types
def test_arrays_of_another_length_are_refused() -> None:
    ones = np.ones(2)
    with pytest.raises(InputError, match=r"idle_w has shape \(3,\), not \(2,\)"):
        Energy(ones, ones, ones, np.ones(3), ones)


def test_joules_read_well() -> None:
    texts = [joules_text(joules) for joules in (None, 0.0, 0.0367, 14.4, 999.7, 2.5e6)]
    assert texts == ["–", "0 J", "36.7 mJ", "14.4 J", "1 kJ", "2.5 MJ"]
