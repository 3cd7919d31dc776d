"""What tests of grids share: a small configuration, listeners, a run by itself."""

import json
from pathlib import Path

import numpy as np

from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.runs.run import precision
from jaxgossip.simulation import Observer, Program
from jaxgossip.simulation.rounds import make_record

TEXT = """
name = "small"
seed = 3
rounds = 7
[topology]
kind = "ring"
nodes = 8
[learning]
dataset = "synthetic"
dataset_options = { samples = 200, features = 4 }
model = "logistic"
batch_size = 2
[algorithm]
kind = "dsgd"
[optimizer]
kind = "sgd"
learning_rate = 0.1
[evaluation]
every = 3
baselines = []
"""


class Listener(Observer):
    """Keeps notes, and stops when it has been told of so many groups."""

    def __init__(self, most_groups: int = 1000) -> None:
        self.notes: list[str] = []
        self._most = most_groups

    def note(self, text: str) -> None:
        self.notes.append(text)

    def should_stop(self) -> bool:
        return sum(note.startswith("[group") for note in self.notes) >= self._most

    @property
    def compilations(self) -> int:
        return sum(note.startswith("compiling") for note in self.notes)


class Impatient(Listener):
    """Stops once a round has been reached."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._rounds, self._most_rounds = 0, most

    def advanced(self, rounds_done: int) -> None:
        self._rounds = rounds_done

    def should_stop(self) -> bool:
        return self._rounds >= self._most_rounds


def alone(run) -> list[dict]:
    with precision(run.config):
        return found_alone(run)


def found_alone(run) -> list[dict]:
    parts, config = build(load(run_text(run))), run.config
    program = Program(
        parts.algorithm, seed=config.seed, conditions=parts.conditions, byte_budget=config.byte_budget,
        sampled_nodes=config.evaluation.sampled_nodes, speeds=parts.speeds, energy=parts.energy,
    )  # fmt: skip
    state = program.start()
    found = [make_record(program, state, 0.0)]
    for until in [*range(config.evaluation.every, config.rounds, config.evaluation.every), config.rounds]:
        state = program.advance(state, until)
        if not state.diverged and int(state.round) > found[-1]["round"]:
            found.append(make_record(program, state, 0.0))
    return found


def run_text(run) -> str:
    from jaxgossip.experiment.config.describe import resolved_toml

    return resolved_toml(run.config)


def assert_same(records, expected) -> None:
    assert [record["round"] for record in records] == [record["round"] for record in expected]
    for record, other in zip(records, expected, strict=True):
        assert record.keys() == other.keys()
        for name in record.keys() - {"wall_s"}:
            if name in ("messages", "bytes_sent", "metadata_bytes"):
                assert record[name] == other[name]
            elif not np.isfinite(other[name]):
                assert record[name] is None
            else:
                np.testing.assert_allclose(record[name], other[name], rtol=1e-5, atol=1e-6, err_msg=name)


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
