"""Traces of devices in the shapes of FedScale: how fast they are, and when they are available.

Both are mappings from the number of a device, as JSON; speeds also as text with the columns device,computation,communication:

    speeds        {"1": {"computation": 162.0, "communication": 5648.1}, …}
    availability  {"1": {"active": [12788, 100044], "inactive": [65881, 133574], "finish_time": 518400}, …}

``computation`` is milliseconds of inference on a sample, ``communication`` kbit/s both ways. A device is available from each
time of ``active`` to the same one of ``inactive``, in seconds, again and again after ``finish_time``. Other entries of a device
(``duration``, ``model``) are not used. FedScale has both files as pickles, which are programs and are not read here.

Lai, Dai, Singapuram, Liu, Zhu, Madhyastha and Chowdhury 2022, "FedScale: Benchmarking model and system performance of federated
learning at scale".
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np
from jaxtyping import Float64, Int

from jaxgossip.core.errors import InputError
from jaxgossip.core.files import read_bytes, text_of
from jaxgossip.schedule.files.tables import read_table
from jaxgossip.schedule.sessions import Switches

PICKLE = b"\x80"
"""The first byte of a pickle."""
TO_JSON = "python -c 'import json, pickle, sys; json.dump(pickle.load(open(sys.argv[1], \"rb\")), sys.stdout)' FILE > FILE.json"
SPEED_COLUMNS = ("computation", "communication")

type Assignment = Literal["in_turn", "random"]


def read_capacities(path: str | Path) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
    """Return (milliseconds of inference on a sample, kbit/s), (k,) each, of the devices in the order of the file.

    Args:
        path: the file, JSON or comma-separated.

    Raises:
        InputError: the file is missing, a pickle or malformed, it holds no device, or a number of a device is missing or not
            above 0; the message names the line or the entry.
    """
    devices = _parsed(path, "device,computation,communication")
    if devices is None:
        table = read_table(path, ("device", *SPEED_COLUMNS))
        found = {name: table.numbers(name) for name in SPEED_COLUMNS}
        for name, values in found.items():
            if (values <= 0).any():
                row = int((values <= 0).argmax())
                raise table.error(row, f"{name} is {values[row]:g}", hint="it must be above 0")
        if not table.lines:
            raise InputError(f"{table.file} holds no device", hint="one line a device")
        return found["computation"], found["communication"]
    values = np.array([[_positive(path, name, entry, key) for key in SPEED_COLUMNS] for name, entry in devices.items()])
    return values[:, 0], values[:, 1]


def read_availability(path: str | Path) -> tuple[Switches, Float64[np.ndarray, " k"]]:
    """Return (the switches of k devices within their periods, the periods (k,) in seconds), in the order of the file.

    Args:
        path: the file, JSON.

    Raises:
        InputError: the file is missing, a pickle or malformed, it holds no device, or the times of a device do not ascend from
            active to inactive within its period; the message names the entry.
    """
    devices = _parsed(path, "")
    if devices is None:
        raise InputError(
            f"{path} is not JSON",
            hint='{"1": {"active": [0], "inactive": [60], "finish_time": 86400}, …}; or churn.kind = "trace" for text',
        )
    times, periods = [], []
    for name, entry in devices.items():
        period = _positive(path, name, entry, "finish_time")
        active, inactive = (_times(path, name, entry, key) for key in ("active", "inactive"))
        where = f"{path}, entry '{name}'"
        if active.size != inactive.size:
            raise InputError(
                f"{where}: {active.size} times of active and {inactive.size} of inactive", hint="one of each a session"
            )
        switches = np.stack([active, inactive], axis=1).ravel()
        wrong = np.diff(switches, prepend=0.0) < 0
        wrong[1::2] |= inactive <= active
        if wrong.any():
            place = int(wrong.argmax())
            kind = "inactive" if place % 2 else "active"
            raise InputError(
                f"{where}: {kind} {switches[place]:g} is not after what is before it",
                hint="times ascend: active[0], inactive[0], active[1], …",
            )
        if switches.size and switches[-1] > period:
            raise InputError(
                f"{where}: inactive {switches[-1]:g} is after finish_time {period:g}", hint="sessions end before it"
            )
        times.append(switches)
        periods.append(period)
    node = np.repeat(np.arange(len(times)), [switches.size for switches in times])
    return Switches.of(np.zeros(len(times), bool), node, np.concatenate(times)), np.array(periods, np.float64)


def assigned(n_nodes: int, count: int, assignment: Assignment, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Return (n,) which of ``count`` devices each node is: by its number, again from the first after the last, or random."""
    return rng.integers(count, size=n_nodes) if assignment == "random" else np.arange(n_nodes) % count


def _parsed(path: str | Path, header: str) -> Mapping[str, Mapping[str, Any]] | None:
    """Return the devices of a JSON file by name; None if it does not begin as JSON does."""
    content = read_bytes(path, InputError, hint="path names a file of devices")
    if content.startswith(PICKLE):
        raise InputError(f"{path} is a pickle, which could run any program", hint=f"if you trust it: {TO_JSON}")
    text = text_of(path, content, InputError)
    if not text.lstrip().startswith("{"):
        return None
    hint = '{"1": {…}, "2": {…}, …}' + (f"; or text with the first line {header}" if header else "")
    try:
        devices = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{path}{line}: not JSON: {getattr(error, 'msg', error)}", hint=hint) from error
    if not devices:
        raise InputError(f"{path} holds no device", hint=hint)
    for name, entry in devices.items():
        if not isinstance(entry, Mapping):
            raise InputError(f"{path}, entry '{name}': {json.dumps(entry)[:40]} is no object", hint=hint)
    return devices


def _positive(path: str | Path, name: str, entry: Mapping[str, Any], key: str) -> float:
    value = entry.get(key)
    if _is_number(value) and value > 0:
        return float(value)
    found = f"{key} is {json.dumps(value)[:40]}" if key in entry else f"no {key}"
    raise InputError(f"{path}, entry '{name}': {found}", hint=f"{key} is a number above 0")


def _times(path: str | Path, name: str, entry: Mapping[str, Any], key: str) -> np.ndarray:
    values = entry.get(key)
    if isinstance(values, list) and all(map(_is_number, values)):
        return np.array(values, np.float64)
    found = f"{key} is {json.dumps(values)[:40]}" if key in entry else f"no {key}"
    raise InputError(f"{path}, entry '{name}': {found}", hint=f"{key} is a list of seconds")


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
