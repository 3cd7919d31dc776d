"""Energy of the machines: joules of training, of what is sent and received, and of being switched on, node by node.

Over a run, with s_i the samples that node i takes gradients of, t_i its virtual seconds and its bytes sent and received,

    E = Σ_i ( e_i s_i + ε_tx,i · bytes sent + ε_rx,i · bytes received + P_i t_i ),   e_i = power × time of a sample.

It is linear in counts, which are exact (:mod:`jaxgossip.network.meter`): rounding in float64 alone, below 10⁻¹² of E, is
between a total and the formula. A lost message has been sent, and is not received. A server's own energy is not counted.

A **battery** holds some joules. A node takes part in a round if its battery is not spent when the round begins, and finishes
the round in which it spends the last of it; from then on it is offline. A battery of b times what a round costs lasts ⌈b⌉
rounds.

The devices are those of de Vos et al. 2024, "Energy-aware decentralized learning with intermittent model training": power ×
time of 20 steps of 32 samples, LeNet on CIFAR-10. 40 µJ a byte is a radio of 200 kbit/J, the efficiency from which consensus
over a mesh pays off in Savazzi, Rampa, Kianoush and Bennis 2022, "An energy and carbon footprint analysis of distributed and
federated learning".
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64, Int, Integer

from jaxgossip.core.arguments import guarded, number, numbers
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import Registry, nearest
from jaxgossip.schedule.files.tables import Table, read_table

SPENT = 1e-12
"""Share of a battery that counts as nothing, for what a round costs is rounded."""
JOULES_A_WH = 3600.0
ROUND_SAMPLES = 20 * 32
"""Samples of the round that devices were measured in."""
RADIO_J_BYTE = 40e-6
"""Joules a byte of a radio of 200 kbit/J."""

PerNode = Float64[np.ndarray, " n"]


class Device(NamedTuple):
    """A device as measured.

    Attributes:
        watts: power of training.
        round_s: seconds of a round of ``ROUND_SAMPLES`` samples.
        battery_wh: capacity of its battery in watt-hours.
    """

    watts: float
    round_s: float
    battery_wh: float

    @property
    def sample_j(self) -> float:
        """Joules of training on a sample."""
        return self.watts * self.round_s / ROUND_SAMPLES


DEVICES: Mapping[str, Device] = MappingProxyType(
    {
        "xiaomi_12_pro": Device(17.7, 1.328720296, 17.8),
        "galaxy_s22_ultra": Device(15.1, 1.427144021, 19.4),
        "oneplus_nord_2": Device(11.0, 0.8366016676, 17.41),
        "poco_x3": Device(8.2, 3.740101573, 23.2),
    }
)
"""The devices of de Vos et al. 2024 by name."""


class Spent(NamedTuple):
    """Joules that nodes have spent, (n,) float64 each.

    Attributes:
        training: of local work.
        total: of everything.
    """

    training: PerNode
    total: PerNode


@dataclass(frozen=True, eq=False)
class Energy:
    """What the machines of a network spend, float64 arrays over nodes.

    Attributes:
        work_j: (n,) joules of a round's local work; as builders make it, of one sample (see :meth:`samples`).
        sent_j_byte: (n,) joules a byte sent.
        received_j_byte: (n,) joules a byte received.
        idle_w: (n,) watts that a machine draws in all of its virtual time, besides.
        battery_j: (n,) joules in the battery; infinite for nodes on the mains.

    Raises:
        InputError: arrays differ in length, a number is negative or not finite, or a battery is empty.
    """

    work_j: PerNode
    sent_j_byte: PerNode
    received_j_byte: PerNode
    idle_w: PerNode
    battery_j: PerNode

    def __post_init__(self) -> None:
        size = np.size(self.work_j)
        for field in fields(self):
            values = np.array(getattr(self, field.name), np.float64)
            if values.shape != (size,):
                raise InputError(
                    f"energy: {field.name} has shape {values.shape}, not ({size},)", hint="one number a node"
                )
            battery = field.name == "battery_j"
            wrong = ~(values > 0) if battery else ~(np.isfinite(values) & (values >= 0))
            if wrong.any():
                node = int(wrong.argmax())
                hint = "leave battery_j out for nodes on the mains" if battery else "numbers are finite and not below 0"
                raise InputError(
                    f"energy: {field.name} of node {node} is {values[node]:g}"
                    + ", and a battery holds more than 0 J" * battery,
                    hint=hint,
                )
            values.setflags(write=False)
            object.__setattr__(self, field.name, values)

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return self.work_j.size

    @property
    def has_batteries(self) -> bool:
        """Whether a node can run out of energy."""
        return bool(np.isfinite(self.battery_j).any())

    def samples(self, number: int | Int[np.ndarray, " n"]) -> "Energy":
        """Return the energy of rounds with ``number`` times the local work, of all nodes or (n,) of each."""
        return replace(self, work_j=number * self.work_j)

    def on_mains(self) -> "Energy":
        """Return the energy of the same machines without batteries."""
        return replace(self, battery_j=np.full(self.n_nodes, np.inf))

    def check_idle(self, *, timed: bool) -> None:
        """Raise InputError if machines draw power in virtual time, and none is kept: unless ``timed``."""
        if not timed and (self.idle_w > 0).any():
            raise InputError(
                "energy: idle_w is of virtual time, and this run keeps none",
                hint="a section [speeds] (in Python: speeds=jg.network.speeds.constant(n_nodes)); or idle_w = 0",
            )

    def check_mains(self) -> None:
        """Raise InputError if there are batteries, as runs by the nodes' own clocks take none."""
        if self.has_batteries:
            raise InputError(
                "energy: a battery puts nodes offline in runs in rounds, and in these nodes act by their own clocks",
                hint="leave the battery out; a section [churn] says who is online when",
            )

    def spent(
        self,
        works: Integer[np.ndarray, " n"],
        sent: Integer[np.ndarray, " n"],
        received: Integer[np.ndarray, " n"],
        seconds: PerNode | float | None = None,
    ) -> Spent:
        """Return the joules that every node has spent.

        Args:
            works: (n,) number of times that each has done a round's local work.
            sent: (n,) bytes that each has sent.
            received: (n,) bytes that have reached each.
            seconds: (n,) virtual seconds of each, or those of all; None if no virtual time is kept.
        """
        training = self.work_j * works
        total = training + self.sent_j_byte * sent + self.received_j_byte * received
        return Spent(training, total if seconds is None else total + self.idle_w * seconds)

    def record(self, spent: Spent) -> dict[str, float | int]:
        """Return what a record has of energy: joules of all nodes together, and the nodes whose batteries are not spent."""
        found: dict[str, float | int] = {
            "joules": float(spent.total.sum()),
            "training_joules": float(spent.training.sum()),
        }
        if self.has_batteries:
            found["live_nodes"] = int((spent.total < self.battery_j * (1 - SPENT)).sum())
        return found


@guarded
def constant(
    n_nodes: int,
    rng: np.random.Generator | int = 0,
    *,
    sample_j: float = 0.03,
    sent_j_byte: float = RADIO_J_BYTE,
    received_j_byte: float = 0.0,
    idle_w: float = 0.0,
    battery_j: float | None = None,
) -> Energy:
    """Let all machines spend alike.

    Args:
        n_nodes: number of nodes.
        rng: unused.
        sample_j: joules of training on one sample; of one gradient, for tasks without samples.
        sent_j_byte: joules a byte sent.
        received_j_byte: joules a byte received.
        idle_w: watts that a machine draws in all of its virtual time, besides.
        battery_j: joules in the battery of a node, which is offline once they are spent; None for no battery.

    Raises:
        InputError: a number is negative, or ``battery_j`` is 0.
    """
    del rng
    work = np.full(n_nodes, number("energy", "sample_j", sample_j))
    return Energy(work, **_alike(n_nodes, sent_j_byte, received_j_byte, idle_w, battery_j))


@guarded
def devices(
    n_nodes: int,
    rng: np.random.Generator | int = 0,
    *,
    names: tuple[str, ...] = tuple(DEVICES),
    assignment: Literal["in_turn", "random"] = "in_turn",
    sent_j_byte: float = 0.0,
    received_j_byte: float = 0.0,
    idle_w: float = 0.0,
    battery_share: float | None = None,
) -> Energy:
    """Let nodes be phones as measured, training LeNet on CIFAR-10.

    Args:
        n_nodes: number of nodes.
        rng: random generator, or its seed, of random assignment.
        names: the phones: xiaomi_12_pro, galaxy_s22_ultra, oneplus_nord_2 and poco_x3, or some of them.
        assignment: which of them a node is: in_turn, by its number, or random.
        sent_j_byte: joules a byte sent; by default radio is not counted, as in the source.
        received_j_byte: joules a byte received.
        idle_w: watts that a machine draws in all of its virtual time, besides.
        battery_share: share of the phone's battery that is there for the run, 0.1 in the source; None for no limit.

    Raises:
        InputError: a name is unknown or there is none, a number is negative, or ``battery_share`` is not above 0.
    """
    draw = np.random.default_rng(rng)
    if not names:
        raise InputError("energy: names are none", hint=f"names of {', '.join(DEVICES)}")
    for name in names:
        if name not in DEVICES:
            raise InputError(f"energy: unknown device '{name}' in names", hint=nearest(name, list(DEVICES)))
    alike = _alike(n_nodes, sent_j_byte, received_j_byte, idle_w)
    if battery_share is not None:
        number("energy", "battery_share", battery_share, above=True)
    which = draw.integers(len(names), size=n_nodes) if assignment == "random" else np.arange(n_nodes) % len(names)
    chosen = [DEVICES[name] for name in names]
    work = np.array([device.sample_j for device in chosen])[which]
    battery = np.array([device.battery_wh * JOULES_A_WH for device in chosen])[which]
    battery = np.full(n_nodes, np.inf) if battery_share is None else battery_share * battery
    return Energy(work, **alike | {"battery_j": battery})


@guarded
def from_file(
    n_nodes: int,
    rng: np.random.Generator | int = 0,
    *,
    path: str | Path,
    sent_j_byte: float = RADIO_J_BYTE,
    received_j_byte: float = 0.0,
    idle_w: float = 0.0,
    battery_j: float | None = None,
) -> Energy:
    """Read what machines spend from a CSV file with the header node,sample_j, and further columns or none.

    Args:
        n_nodes: number of nodes.
        rng: unused.
        path: the file, one line per node in any order, nodes numbered from 0; sent_j_byte, received_j_byte, idle_w and
            battery_j may be further columns.
        sent_j_byte: joules a byte sent, if the file has no such column.
        received_j_byte: joules a byte received, if the file has no such column.
        idle_w: watts in virtual time, if the file has no such column.
        battery_j: joules in the battery of a node, if the file has no such column; None for no battery.

    Raises:
        InputError: the file is missing, its header differs, a line is malformed, a node is unknown, missing or listed
            twice, a number is negative or a battery empty; the message names the line.
    """
    del rng
    given = _alike(n_nodes, sent_j_byte, received_j_byte, idle_w, battery_j)
    table = read_table(path, ("node", "sample_j"), tuple(given))
    line = _lines_of(table, n_nodes)
    columns = {"sample_j": table.numbers("sample_j")[line]}
    for name, value in given.items():
        columns[name] = table.numbers(name)[line] if name in table.columns else value
    for name, values in columns.items():
        wrong = values < 0 if name != "battery_j" else values <= 0
        if name in table.columns and wrong.any():
            node = int(wrong.argmax())
            least = "0 or more" if name != "battery_j" else "above 0"
            raise table.error(int(line[node]), f"{name} is {values[node]:g}", hint=f"it must be {least}")
    return Energy(*columns.values())


def _alike(
    n_nodes: int, sent_j_byte: float, received_j_byte: float, idle_w: float, battery_j: float | None = None
) -> dict[str, PerNode]:
    """Return what all nodes have alike, (n,) each, by name; None for no battery."""
    values = {"sent_j_byte": sent_j_byte, "received_j_byte": received_j_byte, "idle_w": idle_w}
    numbers("energy", values)
    values["battery_j"] = np.inf if battery_j is None else number("energy", "battery_j", battery_j, above=True)
    return {name: np.full(n_nodes, float(value)) for name, value in values.items()}


def _lines_of(table: Table, n_nodes: int) -> Int[np.ndarray, " n"]:
    """Return (n,) the row of the table that each node is in."""
    node = table.whole_numbers("node")
    unknown = (node < 0) | (node >= n_nodes)
    if unknown.any():
        row = int(unknown.argmax())
        raise table.error(row, f"node {node[row]} does not exist", hint=f"nodes are numbered 0 to {n_nodes - 1}")
    place = np.full(n_nodes, -1)
    for row, which in enumerate(node.tolist()):
        if place[which] >= 0:
            earlier = table.lines[int(place[which])]
            raise table.error(row, f"node {which} is there already, in line {earlier}", hint="one line a node")
        place[which] = row
    if (place < 0).any():
        raise InputError(
            f"{table.file}: {(place < 0).sum():,} of {n_nodes:,} nodes are missing, the first of them node "
            f"{(place < 0).argmax()}",
            hint="one line a node, numbered from 0",
        )
    return place


ENERGIES = Registry("energy", [constant, devices, from_file])
"""Builders of energy by name, as in ``energy.kind``."""
