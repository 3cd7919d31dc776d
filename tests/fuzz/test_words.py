"""Words behind ``--set`` and ``--grid``: keys that are none, values of all kinds, quotes, brackets and blanks."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgossip.cli.terminal import grid
from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.config import toml
from tests.fuzz.calling import call, thorough
from tests.fuzz.mutations import JUNK, paths, values
from tests.fuzz.test_configs import EVENTS, QUADRATIC, SAMPLES

KEYS = sorted({".".join(path) for tree in (QUADRATIC, SAMPLES, EVENTS) for path in paths(tree)})
KEYS += ["variants", "seed", "checkpoint.every_s", "learning.private", "tokens.kind", "schedule.path", "device.dtype"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("words")
    (made / "x.toml").write_text(toml.dumps(QUADRATIC))
    return made


junk = st.sampled_from(JUNK).map(lambda one: one.decode(errors="surrogateescape"))
keys = st.sampled_from(KEYS) | st.lists(st.sampled_from(KEYS) | junk | st.text(max_size=4), max_size=3).map(".".join)
words = st.one_of(
    values.map(toml.inline).map(lambda text: text.replace("\n", " ")),
    st.text(max_size=12),
    st.lists(junk | st.text(max_size=3), max_size=4).map("".join),
    st.integers(1, 600).map(lambda depth: "[" * depth + "]" * depth),
    st.integers(1, 6000).map(lambda digits: "9" * digits),
)


@thorough(300)
@given(st.lists(st.tuples(keys, st.sampled_from(("=", "=", "=", " = ", "", "==")), words), min_size=1, max_size=2))
def test_settings(folder: Path, given_words: list[tuple[str, str, str]]) -> None:
    options = [
        word for key, equals, value in given_words for word in ("--set", f"{key}{equals}{value}".replace("\0", ""))
    ]
    assert call(folder, "validate", "x.toml", *options).code in (0, 2)


@thorough(200)
@given(keys, st.lists(words, max_size=3), st.integers(-1, 3))
def test_grids(folder: Path, key: str, listed: list[str], seeds: int) -> None:
    def reached(*_: object, **__: object) -> None:
        raise ConfigError("it would run")

    option = f"{key}={','.join(listed)}".replace("\0", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "run_grid", reached)
        ended = call(folder, "sweep", "x.toml", "--grid", option, "--seeds", str(seeds), "--out", "out")
    assert ended.code == 2
    assert not (folder / "out").exists()


@thorough(100)
@given(st.lists(st.sampled_from(("run", "list", "topology", "show", "--set", "--seed", "figure", "new", "x.toml", "--out", "ring",
                                 "--nodes", "schema", "--json", "plot", "compare", "resume", "validate", "bench", "--only"))
                | st.text(max_size=5).map(lambda text: text.replace("\0", "")), max_size=4))  # fmt: skip
def test_commands(folder: Path, typed: list[str]) -> None:
    if {"run", "bench", "new"} & set(typed):
        typed = [*typed, "--no-such-option"]
    call(folder, *typed)
