"""Speeds of the machines: seconds of local work, bandwidths and latencies, node by node.

A message of S bytes from j to i, with j sending d_j and i receiving e_i messages in the round, arrives

    latency_j + latency_i + S / min(up_j / d_j, down_i / e_i)        seconds after j sends it

(see :mod:`jaxgossip.network.wallclock`). Bandwidths are given in Mbit/s, 10⁶ bits per second, and stored in bytes per
second. The defaults are those of home connections, 20 Mbit/s, and small models; measured speeds are read from a file.
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int
from scipy.special import ndtr, ndtri

from jaxgossip.core.arguments import guarded, numbers
from jaxgossip.core.errors import InputError
from jaxgossip.core.files import read_text
from jaxgossip.core.registry import Registry
from jaxgossip.schedule.files.fedscale import assigned, read_capacities

BYTES_A_MBIT = 1e6 / 8
COLUMNS = ("node", "compute_s", "up_mbit_s", "down_mbit_s", "latency_s")
"""Header of a file of speeds."""

PerNode = Float64[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Speeds:
    """Speeds of the machines of a network, float64 arrays over nodes.

    Attributes:
        compute_s: (n,) seconds of a round's local work; in a configuration, of one local step.
        up_bytes_s: (n,) upload bandwidth in bytes per second, shared by all messages of a node.
        down_bytes_s: (n,) download bandwidth in bytes per second, likewise shared.
        latency_s: (n,) each node's part of the latency in seconds; that of link i–j is latency_i + latency_j.

    Raises:
        InputError: arrays differ in length, a bandwidth is not positive, a time is negative, or a number is not finite.
    """

    compute_s: PerNode
    up_bytes_s: PerNode
    down_bytes_s: PerNode
    latency_s: PerNode

    def __post_init__(self) -> None:
        size = np.size(self.compute_s)
        for field in fields(self):
            values = np.array(getattr(self, field.name), np.float64)
            if values.shape != (size,):
                raise InputError(
                    f"speeds: {field.name} has shape {values.shape}, not ({size},)", hint="one number a node"
                )
            rate = field.name.endswith("bytes_s")
            wrong = ~(np.isfinite(values) & ((values > 0) if rate else (values >= 0)))
            if wrong.any():
                node = int(wrong.argmax())
                raise InputError(
                    f"speeds: {field.name} of node {node} is {values[node]:g}",
                    hint="bandwidths are finite and above 0" if rate else "times are finite and not below 0",
                )
            values.setflags(write=False)
            object.__setattr__(self, field.name, values)

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return self.compute_s.size

    def steps(self, number: int | Int[np.ndarray, " n"]) -> "Speeds":
        """Return the speeds of rounds with ``number`` times the local work, of all nodes or (n,) of each."""
        return replace(self, compute_s=number * self.compute_s)


@guarded
def constant(
    n_nodes: int,
    rng: np.random.Generator | int = 0,
    *,
    compute_s: float = 0.1,
    up_mbit_s: float = 20.0,
    down_mbit_s: float = 20.0,
    latency_s: float = 0.01,
) -> Speeds:
    """Give all machines the same speed.

    Args:
        n_nodes: number of nodes.
        rng: unused.
        compute_s: seconds of one local step.
        up_mbit_s: upload bandwidth of a node, Mbit/s.
        down_mbit_s: download bandwidth of a node, Mbit/s.
        latency_s: seconds that each end of a link adds to its latency.

    Raises:
        InputError: a bandwidth is not positive, or a time is negative.
    """
    del rng
    numbers("speeds", {"up_mbit_s": up_mbit_s, "down_mbit_s": down_mbit_s}, above=True)
    up, down = (np.full(n_nodes, float(rate * BYTES_A_MBIT)) for rate in (up_mbit_s, down_mbit_s))
    return Speeds(np.full(n_nodes, float(compute_s)), up, down, np.full(n_nodes, float(latency_s)))


@guarded
def normal(
    n_nodes: int,
    rng: np.random.Generator | int = 0,
    *,
    compute_s: float = 0.1,
    compute_std: float = 0.02,
    up_mbit_s: float = 20.0,
    down_mbit_s: float = 20.0,
    std_mbit_s: float = 10.0,
    least_mbit_s: float = 1.0,
    latency_s: float = 0.01,
) -> Speeds:
    """Draw independent normal bandwidths and compute times, truncated from below.

    Args:
        n_nodes: number of nodes.
        rng: random generator, or its seed.
        compute_s: mean seconds of one local step.
        compute_std: standard deviation of these seconds before truncation at a tenth of the mean.
        up_mbit_s: mean upload bandwidth of a node, Mbit/s.
        down_mbit_s: mean download bandwidth of a node, Mbit/s.
        std_mbit_s: standard deviation of both bandwidths before truncation, Mbit/s.
        least_mbit_s: lower bound of both, at which the distribution is truncated rather than clipped, Mbit/s.
        latency_s: seconds that each end of a link adds to its latency.

    Raises:
        InputError: a mean is below its lower bound, a deviation or a time is negative, or ``least_mbit_s`` is not
            positive.
    """
    draw = np.random.default_rng(rng)
    numbers("speeds", {"compute_std": compute_std, "std_mbit_s": std_mbit_s})
    if not least_mbit_s > 0:
        raise InputError(f"speeds: least_mbit_s must be above 0, not {least_mbit_s:g}", hint="least_mbit_s = 1.0")
    work = _truncated(draw, n_nodes, "compute_s", compute_s, compute_std, compute_s / 10)
    up = BYTES_A_MBIT * _truncated(draw, n_nodes, "up_mbit_s", up_mbit_s, std_mbit_s, least_mbit_s)
    down = BYTES_A_MBIT * _truncated(draw, n_nodes, "down_mbit_s", down_mbit_s, std_mbit_s, least_mbit_s)
    return Speeds(work, up, down, np.full(n_nodes, float(latency_s)))


@guarded
def lognormal(
    n_nodes: int,
    rng: np.random.Generator | int = 0,
    *,
    compute_s: float = 0.1,
    compute_sigma: float = 0.5,
    up_mbit_s: float = 20.0,
    down_mbit_s: float = 20.0,
    bandwidth_sigma: float = 0.5,
    latency_s: float = 0.01,
    latency_sigma: float = 0.5,
) -> Speeds:
    """Draw independent lognormal speeds, which have long tails: a median times e^(σ ξ), ξ standard normal.

    Args:
        n_nodes: number of nodes.
        rng: random generator, or its seed.
        compute_s: median seconds of one local step.
        compute_sigma: σ of these seconds.
        up_mbit_s: median upload bandwidth of a node, Mbit/s.
        down_mbit_s: median download bandwidth of a node, Mbit/s.
        bandwidth_sigma: σ of both bandwidths.
        latency_s: median seconds that each end of a link adds to its latency.
        latency_sigma: σ of the latencies.

    Raises:
        InputError: a bandwidth is not positive, or a time or a σ is negative.
    """
    draw = np.random.default_rng(rng)
    numbers("speeds", {"up_mbit_s": up_mbit_s, "down_mbit_s": down_mbit_s}, above=True)

    def around(median: float, name: str, sigma: float) -> np.ndarray:
        if not sigma >= 0:
            raise InputError(f"speeds: {name} must be at least 0, not {sigma:g}")
        return median * np.exp(sigma * draw.standard_normal(n_nodes))

    return Speeds(
        around(compute_s, "compute_sigma", compute_sigma),
        around(up_mbit_s * BYTES_A_MBIT, "bandwidth_sigma", bandwidth_sigma),
        around(down_mbit_s * BYTES_A_MBIT, "bandwidth_sigma", bandwidth_sigma),
        around(latency_s, "latency_sigma", latency_sigma),
    )


@guarded
def from_file(n_nodes: int, rng: np.random.Generator | int = 0, *, path: str | Path) -> Speeds:
    """Read speeds from a CSV file with the header node,compute_s,up_mbit_s,down_mbit_s,latency_s.

    Args:
        n_nodes: number of nodes.
        rng: unused.
        path: the file, one line per node in any order; nodes are numbered from 0.

    Raises:
        InputError: the file is missing, its header differs, a line is malformed, a node is unknown, missing or listed
            twice, a bandwidth is not positive, or a time is negative; the message names the line.
    """
    del rng
    table = np.full((n_nodes, len(COLUMNS) - 1), np.nan)
    line_of: dict[int, int] = {}
    for line, cells in _lines(Path(path)):
        node, values = _checked(cells, n_nodes, f"{path}, line {line}")
        if node in line_of:
            raise InputError(
                f"{path}, line {line}: node {node} is there already, in line {line_of[node]}", hint="one line a node"
            )
        line_of[node], table[node] = line, values
    if len(line_of) < n_nodes:
        missing = next(node for node in range(n_nodes) if node not in line_of)
        raise InputError(
            f"{path}: {n_nodes - len(line_of):,} of {n_nodes:,} nodes are missing, the first of them node {missing}",
            hint="one line a node, numbered from 0",
        )
    compute, up, down, latency = table.T
    return Speeds(compute, up * BYTES_A_MBIT, down * BYTES_A_MBIT, latency)


@guarded
def fedscale(
    n_nodes: int,
    rng: np.random.Generator | int = 0,
    step_samples: int | Int[np.ndarray, " n"] = 1,
    *,
    path: str | Path,
    assignment: Literal["in_turn", "random"] = "in_turn",
    training_factor: float = 3.0,
    latency_s: float = 0.0,
) -> Speeds:
    """Read the speeds of devices from a file in the shape of FedScale's traces (see :mod:`jaxgossip.schedule.files.fedscale`).

    Args:
        n_nodes: number of nodes.
        rng: random generator, or its seed, of random assignment.
        step_samples: samples of a local step, of all nodes or (n,) of each.
        path: the file, JSON or comma-separated: milliseconds of inference on a sample and kbit/s of every device.
        assignment: which device a node is: in_turn, by its number, or random.
        training_factor: time of training on a sample in times of inference; forward and backward pass are 3, as in FedScale.
        latency_s: seconds that each end of a link adds to its latency.

    Raises:
        InputError: the file is missing or malformed, or a number is negative; the message names the line or the entry.
    """
    draw = np.random.default_rng(rng)
    numbers("speeds", {"training_factor": training_factor, "latency_s": latency_s})
    inference_ms, kbit_s = read_capacities(path)
    device = assigned(n_nodes, inference_ms.size, assignment, draw)
    rate = kbit_s[device] * BYTES_A_MBIT / 1000
    work = step_samples * training_factor * inference_ms[device] / 1000
    return Speeds(work, rate, rate, np.full(n_nodes, float(latency_s)))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of every non-empty line after the header."""
    text = read_text(path, InputError, hint="path names a file of speeds")
    header = f"the first line is {','.join(COLUMNS)}"
    reader = csv.reader(text.splitlines())
    first = [cell.strip() for cell in next(reader, [])]
    if first != list(COLUMNS):
        raise InputError(f"{path}, line 1: the header is '{','.join(first)}'", hint=header)
    try:
        yield from ((reader.line_num, cells) for cells in reader if any(map(str.strip, cells)))
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}", hint=header) from error


def _checked(cells: list[str], n_nodes: int, where: str) -> tuple[int, list[float]]:
    """Return the node and the four numbers of a line.

    Raises:
        InputError: the line is malformed.
    """
    if len(cells) != len(COLUMNS):
        raise InputError(f"{where}: {len(cells)} fields, not {len(COLUMNS)}", hint=f"fields are {','.join(COLUMNS)}")
    try:
        node = int(cells[0])
    except ValueError as error:
        raise InputError(f"{where}: node is '{cells[0].strip()}'", hint="nodes are whole numbers from 0") from error
    if not 0 <= node < n_nodes:
        raise InputError(f"{where}: node {node} does not exist", hint=f"nodes are numbered 0 to {n_nodes - 1}")
    values = []
    for name, cell in zip(COLUMNS[1:], cells[1:], strict=True):
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{where}: {name} is '{cell.strip()}'", hint="write a finite number")
        if value < 0 or (value == 0 and name.endswith("mbit_s")):
            least = "above 0" if name.endswith("mbit_s") else "0 or more"
            raise InputError(f"{where}: {name} is {value:g}", hint=f"it must be {least}")
        values.append(value)
    return node, values


def _truncated(draw: np.random.Generator, n: int, name: str, mean: float, std: float, least: float) -> np.ndarray:
    """Draw (n,) normal numbers conditioned to be at least ``least``.

    Raises:
        InputError: the mean is below ``least``.
    """
    if mean < least:
        raise InputError(
            f"speeds: {name} has mean {mean:g}, below its least value {least:g}",
            hint="a larger mean, or a smaller least",
        )
    if std == 0:
        return np.full(n, float(mean))
    below = ndtr((least - mean) / std)
    return np.maximum(least, mean + std * ndtri(below + (1 - below) * draw.random(n)))


SPEEDS = Registry("speeds", [constant, normal, lognormal, from_file, fedscale])
"""Builders of speeds by name, as in ``speeds.kind``."""
