"""Folders of runs, of which a file is spoiled, emptied or lost: refused, or the bits of the run that nobody touched."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import override

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgossip.core import disk
from jaxgossip.experiment.config import toml
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.runs import run as runs
from jaxgossip.experiment.runs.run import run
from jaxgossip.simulation import Observer
from tests.fuzz.calling import call, thorough
from tests.fuzz.mutations import damage, fresh
from tests.fuzz.test_configs import QUADRATIC

CONFIG = toml.dumps(
    QUADRATIC | {"rounds": 6, "checkpoint": {"every_s": 0.0}, "evaluation": {"every": 1, "baselines": ["isolated"]}}
)

pytestmark = pytest.mark.slow


class Stopping(Observer):
    """Asks to stop after three rounds."""

    def __init__(self) -> None:
        self._done = 0

    @override
    def advanced(self, done: int) -> None:
        self._done = done

    @override
    def should_stop(self) -> bool:
        return self._done >= 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run that was stopped, one that is complete, and the first one gone on with."""
    made = tmp_path_factory.mktemp("folders")
    (made / "x.toml").write_text(CONFIG)
    config = load(made / "x.toml")
    assert run(config, out=made / "stopped", observer=Stopping()).status == "interrupted"
    assert run(config, out=made / "complete").status == "completed"
    assert call(fresh(made / "stopped", made / "on").parent, "resume", "on").code == 0
    return made


def files_of(folder: Path) -> list[str]:
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return [name for name in found if not name.endswith((".png", ".lock"))]


def bits(folder: Path) -> list[object]:
    """Return what a run has measured, without the times that it took."""
    logs = [folder / "metrics.jsonl", folder / "baselines" / "isolated.jsonl"]
    records = [[json.loads(line) for line in log.read_text().splitlines()] for log in logs]
    with (folder / "node_scores.npz").open("rb") as file, np.load(file) as scores:
        arrays = [(name, scores[name].tolist()) for name in sorted(scores.files)]
    return [[{key: one[key] for key in one if key != "wall_s"} for one in some] for some in records] + arrays


def test_what_is_not_damaged_goes_on_to_the_same_bits(folder: Path) -> None:
    assert bits(folder / "on") == bits(folder / "complete")
    assert {"config.toml", "manifest.json", "metrics.jsonl"} <= set(files_of(folder / "stopped"))


@pytest.mark.parametrize("state", ["stopped", "complete"])
def test_a_damaged_run_is_refused_or_ends_with_the_same_bits(
    folder: Path, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pictures are not compared, and those of damaged runs are another test's.
    monkeypatch.setattr(runs, "draw_summary", lambda path: disk.write(path / "summary.png", b"drawn"))

    @thorough(30)
    @given(damage([name for name in files_of(folder / state) if name != "node_scores.npz"]))
    def fuzz(drawn: tuple[str, Callable[[Path], None]]) -> None:
        told, spoil = drawn
        here = fresh(folder / state, folder / "spoilt")
        spoil(here)
        ended = call(folder, "resume", "spoilt")
        assert ended.code in (0, 1, 2), told
        if ended.code == 0:
            assert bits(here) == bits(folder / "complete"), told

    fuzz()


@thorough(50)
@given(st.data())
def test_tables_and_pictures_of_damaged_runs_end_as_they_may(folder: Path, data: st.DataObject) -> None:
    _, spoil = data.draw(damage(files_of(folder / "complete")))
    spoil(fresh(folder / "complete", folder / "spoilt"))
    words = data.draw(
        st.sampled_from((("compare", "spoilt", "complete", "--out", "c.svg"), ("plot", "spoilt", "--out", "p.svg")))
    )
    assert call(folder, *words).code in (0, 2)
