"""Every two kinds of different sections together: built, and traced in every third row, or refused in words that help.

Of kinds that are like others, one stands for them all; each of the others is built and traced once.
"""

import itertools
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from jaxgossip.cli.main import main
from jaxgossip.core.errors import JaxGossipError
from jaxgossip.experiment.build.experiment import Shared
from jaxgossip.experiment.config.catalogue import standard
from jaxgossip.experiment.config.load import resolved_toml, validate
from jaxgossip.experiment.config.sections import OF_EVENTS as EVENT_SECTIONS
from jaxgossip.experiment.config.sections import OF_ROUNDS as ROUND_SECTIONS
from jaxgossip.experiment.config.sections import Config
from jaxgossip.learning import METRICS
from tests.experiment.covered import options, tree
from tests.experiment.covered_programs import Many, built, trace
from tests.experiment.covered_rules import arrays
from tests.experiment.covering import (
    ALGORITHMS_LIKE_OTHERS,
    IN_EVENTS,
    IN_ROUNDS,
    LEARNING,
    LIKE_OTHERS,
    MIXINGS_LIKE_OTHERS,
    NONE,
    OPTIMIZERS_LIKE_OTHERS,
    OWN,
    OWNED_CLASSES,
    OWNED_VALUES,
    SEQUENCES,
    TOPOLOGIES_LIKE_OTHERS,
    Row,
    covering,
    every_pair,
    pairs_of,
)

ALIKE = {
    "model": {*LIKE_OTHERS}, "topology": {*TOPOLOGIES_LIKE_OTHERS}, "optimizer": {*OPTIMIZERS_LIKE_OTHERS},
    "algorithm": {*ALGORITHMS_LIKE_OTHERS}, "mixing": {*MIXINGS_LIKE_OTHERS},
}  # fmt: skip
"""Kinds that stand in one row each, by section."""
SHARDS = {"rounds": 12, "events": 6}
FIRST = {"rounds": 5, "events": 3}
"""Rows that are built by default."""
REFUSED = {
    "rounds": {
        "algorithm compression", "algorithm mixing", "dataset model", "dataset partition", "model partition",
        "algorithm topology", "algorithm dataset", "adversary algorithm", "algorithm network", "algorithm privacy", "aggregation algorithm", "aggregation mixing", "compression mixing", "dataset mixing", "mixing model", "metrics mixing", "mixing topology",
        "adversary dataset", "adversary model", "aggregation privacy", "dataset privacy", "model privacy",
        "batch dataset", "optimizer rate",
        "dataset metrics", "adversary metrics", "metrics model", "metrics partition",
    },
    "events": {
        "algorithm exchange", "algorithm receive", "algorithm tokens", "algorithm topology", "algorithm useful",
        "exchange receive", "exchange tokens", "exchange topology", "exchange useful", "receive tokens", "receive useful",
        "contacts peers", "contacts tokens", "contacts receive", "contacts useful",
        "tokens useful", "churn network", "delay speeds", "delay tokens",
    },
}  # fmt: skip
"""The sections that have kinds which do not go together."""
every = pytest.mark.parametrize("which", ["rounds", "events"])


def checked(row: Row, folder: Path) -> Config:
    return validate(tree(row, folder), folder=folder)


@pytest.mark.slow
@every
def test_every_pair_stands_in_a_row_or_is_refused(which: str) -> None:
    array, others = arrays()[which], arrays()["rounds"]
    held = {pair for row in (*array.rows, *others.rows) for pair in pairs_of(row)}
    refused = {pair for _, pair in (*array.refused, *others.refused)}
    assert set(every_pair(array.factors)) - held - refused == set()
    assert held & refused == set()
    assert all(row.keys() == array.factors.keys() for row in array.rows)


@pytest.mark.slow
@every
def test_few_pairs_are_refused_and_it_is_known_of_which_sections(which: str) -> None:
    array = arrays()[which]
    of_sections = Counter(f"{one[0]} {other[0]}" for _, (one, other) in array.refused)
    assert of_sections.keys() == REFUSED[which], of_sections
    assert len(array.refused) < 0.06 * sum(1 for _ in every_pair(array.factors)), of_sections


def test_the_arrays_hold_every_kind_and_every_section() -> None:
    catalogue = standard()
    for name in (
        "topology",
        "model",
        "partition",
        "optimizer",
        "rate",
        "speeds",
        "energy",
        "mixing",
        "aggregation",
        "adversary",
        "compression",
    ):
        others = ALIKE.get(name, set())
        assert set(IN_ROUNDS[name]) - {NONE, OWN} == set(getattr(catalogue, name)) - others
    for name in ("clock", "peers", "delay", "churn", "tokens", "contacts"):
        assert set(IN_EVENTS[name]) - {NONE} == set(getattr(catalogue, name))
    assert set(LEARNING["dataset"]) | {"mnist_10k"} == {
        *catalogue.dataset,
        *catalogue.task,
        OWNED_CLASSES,
        OWNED_VALUES,
    }
    assert set(LEARNING["metrics"]) == {NONE, *METRICS}
    assert (set(IN_ROUNDS["algorithm"]), set(IN_EVENTS["algorithm"])) == (
        set(catalogue.algorithm) - ALIKE["algorithm"],
        set(catalogue.protocol),
    )
    assert covering({"a": "xy", "b": "pq", "c": "mn"}, []).rows == covering({"a": "xy", "b": "pq", "c": "mn"}, []).rows


PLAIN = dict.fromkeys(IN_ROUNDS, NONE) | {
    "topology": "ring", "algorithm": "dsgd", "mixing": "static", "optimizer": "sgd", "dtype": "float32", "init": "same",
    "batch": "1",
}  # fmt: skip
CLASSES = {"dataset": "synthetic", "model": "logistic"}
WITH = {
    "clique_averaging": {"mixing": "d_cliques"} | CLASSES,
    "stl_fw": CLASSES,
    **{name: {"compression": "random_k"} for name in ("beer", "motef", "lead", "cedas", "sparse_loco")},
}
"""What a kind like others goes with, if not with what is plain."""
MANY: tuple[Many, ...] = ("of points", None, None, "of seeds", None, None)


def build_and_trace(rows: Sequence[Row], folder: Path, *, one_in: int = 1) -> None:
    """Build all rows, and trace the programs of ``one_in`` so many."""
    shared = Shared()
    for number, row in enumerate(rows):
        try:
            config, turn = checked(row, folder), number // one_in
            if number % one_in == 0:
                trace(config, shared, many=MANY[turn % len(MANY)], evaluation=turn % 3 == 0)
            else:
                built(config, shared)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} of {dict(row)}") from error


@pytest.mark.slow
@every
def test_rows_are_built_and_traced(which: str, tmp_path: Path) -> None:
    build_and_trace(arrays()[which].rows[: FIRST[which]], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("which", "shard"), [(which, shard) for which, n in SHARDS.items() for shard in range(n)])
def test_all_rows_are_built_and_traced(which: str, shard: int, tmp_path: Path) -> None:
    # Neighbours in this order share their data and what is built of these.
    rows = sorted(
        arrays()[which].rows[FIRST[which] :], key=lambda row: (row["dataset"], row["model"], row["partition"])
    )
    each = -(-len(rows) // SHARDS[which])
    # Seven of ten pairs stand in a row that is traced, too.
    build_and_trace(rows[shard * each : (shard + 1) * each], tmp_path, one_in=3)


@pytest.mark.slow
@pytest.mark.parametrize("model", LIKE_OTHERS)
def test_a_model_like_others_is_built_and_traced(model: str, tmp_path: Path) -> None:
    build_and_trace([PLAIN | {"dataset": LIKE_OTHERS[model], "model": model}], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("section", ["topology", "algorithm", "mixing", "optimizer"])
def test_a_kind_like_others_is_built_and_traced(section: str, tmp_path: Path) -> None:
    # Optimizers see a model, the rest any problem.
    problem = {"dataset": "synthetic", "model": "logistic"} if section == "optimizer" else {"dataset": "least_squares"}
    rows = [PLAIN | problem | {section: name} | WITH.get(name, {}) for name in sorted(ALIKE[section])]
    build_and_trace(rows, tmp_path)


NAMED = re.compile(rf"(configuration: )?({'|'.join(Config.model_fields)})\b")


IN_WORDS = {
    "dataset": "learning",
    "model": "learning",
    "exchange": "schedule",
    "receive": "schedule",
    "batch": "batch_size",
    "topology": "(topology|mixing)",
}


def assert_refused(table: Mapping[str, Any], folder: Path, shared: Shared) -> str:
    with pytest.raises(JaxGossipError) as raised:
        trace(validate(table, folder=folder), shared, many="of points", evaluation=True)
    assert raised.value.message, table
    assert raised.value.hint, raised.value.message
    assert NAMED.match(raised.value.message), raised.value.message
    return f"{raised.value.message}; {raised.value.hint}"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(32))
@every
def test_what_is_refused_names_its_section_and_the_way_out(which: str, part: int, tmp_path: Path) -> None:
    shared = Shared()
    for row, pair in arrays()[which].refused[part::32]:
        # Where messages are lost, steps take time or nodes call nobody, an instant of reactions without end may end after all.
        plain = {"network": NONE, "churn": NONE, "speeds": NONE, "clock": "fixed", "peers": "uniform"}
        endless = {*pair} == {("tokens", "reactive"), ("delay", "none")}
        row = {**row, **plain} if endless else row  # noqa: PLW2901 - the same row, without these
        said = assert_refused(tree(row, tmp_path), tmp_path, shared)
        assert any(re.search(rf"\b{IN_WORDS.get(name, name)}\b", said) for name, _ in pair), (pair, said)


@pytest.mark.slow
@pytest.mark.parametrize("every_kind", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_sections_of_rounds_and_those_of_clocks_do_not_mix(every_kind: bool, tmp_path: Path) -> None:
    catalogue, shared = standard(), Shared()
    tables: dict[str, list[Any]] = {
        "privacy": [{"clip": 1.0, "noise_multiplier": 1.0}],
        "schedule": [{"receive": "cached"}],
        "outer": [{"kind": "adam", "learning_rate": 0.1}],
    }
    for name in {*ROUND_SECTIONS, *EVENT_SECTIONS} - tables.keys():
        kinds = list(getattr(catalogue, name))
        tables[name] = [{"kind": kind, **options(name, kind)} for kind in (kinds if every_kind else kinds[:1])]
    usual = arrays()
    for which, other_sections in (("rounds", EVENT_SECTIONS), ("events", ROUND_SECTIONS)):
        for algorithm in usual[which].factors["algorithm"][: None if every_kind else 1]:
            row = next(
                row
                for row in usual[which].rows
                if row["algorithm"] == algorithm and row["dataset"] not in catalogue.task
            )
            for name in other_sections:
                for table in tables[name]:
                    assert_refused(tree(row, tmp_path) | {name: table}, tmp_path, shared)
    row = next(row for row in usual["rounds"].rows if row["dataset"] not in catalogue.task)
    for one, other in itertools.product(ROUND_SECTIONS, EVENT_SECTIONS):
        assert_refused(tree(row, tmp_path) | {one: tables[one][0], other: tables[other][0]}, tmp_path, shared)


@pytest.mark.slow
@pytest.mark.parametrize(("which", "number"), [("rounds", 0), ("rounds", 2), ("events", 0)])
def test_a_grid_of_a_row_is_planned_run_drawn_and_compared(
    which: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = arrays()[which].rows
    row = rows[(number * len(rows)) // 8 + 3]
    if row["dataset"] == SEQUENCES:  # by minibatches: the whole text, a million characters, is long to train on
        row = {**row, "batch": "1"}
    (tmp_path / "row.toml").write_text(resolved_toml(checked(row, tmp_path / "files")))
    axis = "network.drop=0.1,0.3" if row["optimizer"] == "pegasos" else "optimizer.learning_rate=0.05,0.02"
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["jaxgossip", *words])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 0, f"{words} of {dict(row)}: {capsys.readouterr().err}"

    call("plan", "row.toml")
    call("sweep", "row.toml", "--grid", axis, "--seeds", "2", "--out", "out")
    runs = sorted(one.parent.name for one in (tmp_path / "out").glob("*/metrics.jsonl"))
    assert len(runs) == 4
    call("plot", f"out/{runs[0]}", "--out", "one.png")
    call("compare", "out", "--out", "all.png")
    assert (tmp_path / "one.png").stat().st_size > 1000 < (tmp_path / "all.png").stat().st_size
