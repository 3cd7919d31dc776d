"""Tables are as wide as the terminal and no wider, and lose nothing."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from jaxgossip.cli.terminal import tables
from jaxgossip.cli.terminal.tables import run_table, table, terminal_width

WORDS = st.lists(
    st.sampled_from(["ring", "D-SGD", "random", "12.5%", "–", "a_name_of_20_letters"]), min_size=1, max_size=6
)
CELLS = st.floats(0, 1e6).map("{:.3g}".format) | WORDS.map(" ".join)


def test_a_table_that_fits_stands_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    rows = [{"run": "a", "mean": "9.1%", "sent": "1 kB"}, {"run": "long", "mean": None, "sent": "20 kB"}]
    assert table(rows) == "run   mean   sent\na     9.1%   1 kB\nlong     –  20 kB"
    assert table([]) == ""


def test_headings_take_the_fewest_lines_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"run": "a", "test accuracy of all nodes, mean": "91.0%", "worst node": "80.1%"}]
    for width, height in ((60, 1), (34, 2), (30, 2), (24, 4)):
        monkeypatch.setenv("COLUMNS", str(width))
        text = table(rows)
        assert text.count("\n") == height
        assert max(map(len, text.split("\n"))) <= width
    assert text.split("\n")[-1] == "a          91.0%  80.1%"


def test_what_is_alike_is_said_once_and_the_rest_stands_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    rows = [
        {"run": f"run_{n}", "round": "8", "accuracy": "91.0%", "distance": f"0.{n}", "seconds": f"{n}", "state": "–"}
        | {"consensus": f"1{n}", "milliseconds": f"{n}.5"}
        for n in (1, 2)
    ]
    assert table(rows) == (
        "all: round 8, accuracy 91.0%\n\n"
        "run    distance  seconds\nrun_1       0.1        1\nrun_2       0.2        2\n\n"
        "run    consensus  milliseconds\nrun_1         11           1.5\nrun_2         12           2.5"
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 8), st.integers(1, 9), st.integers(60, 120))
def test_no_line_is_too_wide_and_no_cell_is_lost(data: st.DataObject, n_rows: int, n_columns: int, width: int) -> None:
    names = [
        f"{' '.join(name)} {at}"
        for at, name in enumerate(data.draw(st.lists(WORDS, min_size=n_columns, max_size=n_columns)))
    ]
    rows = [{name: data.draw(CELLS) for name in names} for _ in range(n_rows)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        text = table(rows)
    assert all(cell_len(line) <= width for line in text.split("\n"))
    assert {word for row in rows for cell in row.values() if cell != "–" for word in cell.split()} <= set(
        text.replace(",", " ").split()
    )


def test_a_file_gets_whole_lines_and_a_few_runs_stand_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"run": "x" * 100, "accuracy, mean": "91.0%"}] * 2
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "stdout", None)
    assert terminal_width() == tables.UNBOUNDED
    assert table(rows).count("\n") == 2
    monkeypatch.setenv("COLUMNS", "60")
    assert [line.split()[0] for line in run_table(rows).split("\n")][-1] == "accuracy,"
    assert max(map(len, run_table(rows).split("\n"))) <= 60
