"""Run folders with random damage: an error of ours, or the numbers that the run has measured; nothing else ever."""

import json
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jaxgossip.core.errors import JaxGossipError
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.plots import labels
from jaxgossip.experiment.results.run_data import RunData, compare_table, final_numbers
from jaxgossip.experiment.runs.run import resume, run
from tests.experiment.mutations import damage
from tests.experiment.tiny import TEXT, Stop, quick

LONG = TEXT.replace("rounds = 4", "rounds = 8")


@pytest.fixture(scope="module", autouse=True)
def in_no_time() -> Iterator[None]:
    with quick():
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    run(load(LONG), out=folder / "stopped", observer=Stop(6))
    run(load(LONG), out=folder / "complete")
    shutil.copytree(folder / "complete", folder / "old")
    manifest = json.loads((folder / "old" / "manifest.json").read_text())
    (folder / "old" / "manifest.json").write_text(
        json.dumps({key: manifest[key] for key in manifest if key not in ("inputs", "logs")})
    )
    return {name: folder / name for name in ("stopped", "complete", "old")}


def told(work: Callable[[], object]) -> str | None:
    """Return the error of ours, or of a file's, that some work ends in; None without one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            work()
        except JaxGossipError as error:
            return error.message
        except OSError as error:
            return str(error.filename)
    return None


def read(out: Path) -> None:
    loaded = RunData.load(out)
    final_numbers(loaded)
    compare_table([loaded])
    labels.description(loaded)
    labels.footnote(loaded)
    labels.points([loaded])


@pytest.mark.slow
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 9))])
def test_random_damage_is_told_or_changes_nothing(part: int, made: dict[str, Path], tmp_path: Path) -> None:
    whole = made["complete"]
    for number in range(15 if part == 0 else 100):
        draw = random.Random(f"{part}-{number}")  # noqa: S311 - damage is no secret
        kind = draw.choice(sorted(made))
        out = tmp_path / f"{number}"
        shutil.copytree(made[kind], out)
        did = [damage(out, draw) for _ in range(draw.choice((1, 1, 2)))]
        where = f"{part}-{number}, {kind}: {', '.join(did)}"
        error = told(lambda: read(out))  # noqa: B023 - called at once
        assert error is None or str(out) in error, where
        error = told(lambda: resume(out))  # noqa: B023 - called at once
        if error is None and kind != "old":  # the first release kept no digests: an edit of a number cannot be seen
            for name in ("metrics.jsonl", "baselines/isolated.jsonl"):
                assert (out / name).read_bytes() == (whole / name).read_bytes(), where
            assert told(lambda: read(out)) is None or "scores" in where, where  # noqa: B023 - called at once
        elif error is not None:
            assert str(out) in error, where
        shutil.rmtree(out)
