"""Every picture of runs is drawn, whatever they measured: nothing, one number, none that is finite, huge ones, no bytes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.plots import labels
from jaxgossip.experiment.plots.bands import bands, summary_rows, summary_table
from jaxgossip.experiment.plots.rankings import ranking
from jaxgossip.experiment.plots.runs import compare, summary
from jaxgossip.experiment.results.run_data import RunData, compare_table, final_numbers
from jaxgossip.plotting.style import style
from tests.experiment.test_plots import CONFIG, distances, record, words

KINDS = {
    "accuracy": {},
    "distance": {"measure": "distance_to_optimum", "values": distances},
    "own": {"measure": "speed", "values": distances},
}
COUNTS = ("wall_s", "messages", "bytes_sent", "round")


def a_run(kind, *, name="run", rounds=(0, 10, 20, 30, 40), change=dict, baseline=dict, scores=None, **facts):
    """Return a run as it would be read; ``change`` and ``baseline`` alter its records and those of its baseline."""
    measured = KINDS[kind]
    records = tuple(change(record(number, **measured)) for number in rounds)
    manifest = {"status": "completed", "rounds": records[-1]["round"], "graph": {"nodes": 50}, **facts}
    isolated = tuple(baseline(record(number, **measured) | {"bytes_sent": 0}) for number in rounds)
    values = {} if scores is None else {measured.get("measure", "test_accuracy"): np.asarray(scores)}
    return RunData(Path(name), {**CONFIG, "name": name}, manifest, records, {"isolated": isolated}, values, {})


def every(value, key="", after=-1):
    """Return what puts ``value`` for all that was measured, or for those with ``key`` in their names, after a round."""

    def change(one):
        told = {name for name in one if name not in COUNTS and key in name and one["round"] > after}
        return one | dict.fromkeys(told, value)

    return change


def put(**values):
    return lambda one: one | values


NUMBERS = (None, np.nan, np.inf, -np.inf, 1e30, 1e300, -1e300, 1.7e308, 5e-324, 0.0, -1.0)
CASES = {
    "one record": {"rounds": (0,)},
    "one late record": {"rounds": (10,)},
    "rounds of a trillion": {"rounds": (0, 10**12)},
    "no bytes": {"change": put(bytes_sent=0.0, messages=0.0)},
    "bytes are not known": {"change": put(bytes_sent=None)},
    "nodes are not known": {"graph": {}},
    "a single node": {"graph": {"nodes": 1}},
    "no virtual time": {"change": put(virtual_s=0.0, virtual_s_mean=0.0)},
    "virtual time is not known": {"change": put(virtual_s=None, virtual_s_mean=None)},
    "long virtual time": {"change": put(virtual_s=1e30, virtual_s_mean=1e30)},
    "diverged at once": {"rounds": (0,), "status": "diverged", "diverged_round": 1},
    "diverged, nothing finite": {"status": "diverged", "diverged_round": 0, "change": every(None)},
    "scores of no node are finite": {"scores": np.full(50, np.nan)},
    "huge scores": {"scores": np.linspace(-8e307, 8e307, 50)},
    "scores of all magnitudes": {"scores": np.geomspace(1e-300, 1e300, 50)},
    "one score is infinite": {"scores": np.append(np.linspace(0, 1, 49), np.inf)},
    "no scores": {"scores": np.zeros(0)},
    **{f"all {number}": {"change": every(number), "scores": np.full(50, number, float)} for number in NUMBERS},
    **{f"all {number} after the start": {"change": every(number, after=0)} for number in NUMBERS},
    **{f"last {number}": {"change": every(number, after=30)} for number in NUMBERS},
    **{f"consensus {number}": {"change": every(number, "consensus")} for number in NUMBERS},
    **{f"no round and all {number}": {"rounds": (0,), "change": every(number)} for number in NUMBERS},
    **{f"baseline {number}": {"baseline": every(number)} for number in NUMBERS},
}
PICTURES = {
    "summary": lambda one, _: summary(one),
    "summary by bytes": lambda one, _: summary(one, ("bytes",)),
    "comparison": lambda one, other: compare([one, other]),
    "comparison by bytes": lambda one, other: compare([one, other], by=("bytes",)),
    "comparison of one": lambda one, _: compare([one]),
    "ranking": lambda one, other: ranking([one, other], ["one", "other"]),
    "ranking of one": lambda one, _: ranking([one], ["one"]),
    "bands": lambda one, other: bands([({"x": 1}, [one]), ({"x": 2}, [other])], "grid"),
    "bands of many seeds": lambda one, other: bands([({"x": 1}, [one, *[other] * 4])], "grid"),
}
DEFAULT = {
    ("accuracy", "all None", "comparison"),
    ("accuracy", "no bytes", "comparison by bytes"),
    ("accuracy", "no bytes", "ranking"),
    ("accuracy", "bytes are not known", "ranking"),
    ("distance", "all None", "summary"),
    ("distance", "all 1e+300", "bands of many seeds"),
    ("own", "last inf", "ranking"),
}


def drawn(picture, kind, case):
    with style():
        figure = PICTURES[picture](a_run(kind, **CASES[case]), a_run(kind, name="other"))
        figure.draw_without_rendering()
    return figure


@pytest.mark.by_default("accuracy-no bytes-comparison by bytes")
@pytest.mark.parametrize(("kind", "case", "picture"), sorted(DEFAULT))
def test_pictures_hold_what_they_have_no_number_of(kind, case, picture) -> None:
    drawn(picture, kind, case)


@pytest.mark.slow
@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_holds_whatever_was_measured(kind, picture) -> None:
    """Every case with one picture, each of one kind of measure: all together take minutes to draw."""
    first = list(KINDS).index(kind) + len(KINDS) * list(PICTURES).index(picture)
    for case in list(CASES)[first :: len(PICTURES) * len(KINDS)]:
        drawn(picture, kind, case)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_table_holds_whatever_was_measured(kind) -> None:
    other = a_run(kind, name="other")
    for case, options in CASES.items():
        run = a_run(kind, **options)
        rows = summary_rows([({"x": 1}, [run] * 4), ({"x": 2}, [other])], run.measures[0])
        json.dumps([*rows, final_numbers(run)], allow_nan=False)
        told = [*summary_table(rows, run.measures[0])[0].values(), *compare_table([run, other])[0].values()]
        told += [*labels.footnote(run), labels.ending(run)]
        assert not [text for text in told if re.search(r"\b(nan|inf|None)\b", text)], case
        assert max(map(len, told)) < 300, case


@pytest.mark.slow
def test_distances_that_were_lost_after_equal_models_are_not_called_equal() -> None:
    def lost(one):
        return one | {"consensus_distance": 0.0 if one["round"] == 0 else None}

    run = a_run("accuracy", change=lost, baseline=lost)
    for picture, panels in ((summary(run), 2), (compare([run, run]), 2), (bands([({}, [run])], "grid"), 1)):
        text = words(picture)
        assert text.count("no consensus distance is finite\nonce the models differ") == panels
        assert not any("models are equal" in one for one in text)
    equal = words(summary(a_run("accuracy", change=put(consensus_distance=0.0), baseline=put(consensus_distance=0.0))))
    assert sum("all models are equal at every evaluation" in one for one in equal) == 2


def test_an_empty_panel_says_why() -> None:
    null = words(summary(a_run("accuracy", change=every(None), baseline=every(None))))
    assert "no finite test accuracy\nwas measured" in null
    assert "no finite consensus distance\nwas measured" in null
    assert not any("models are equal" in text for text in null)
    grid = words(bands([({}, [a_run("accuracy", change=every(None))])], "grid"))
    assert grid.count("no finite number\nwas measured") == 2


def test_a_run_that_sent_nothing_says_so_beside_those_that_did() -> None:
    """Also on the logarithmic axis of two others, of which it has not a single point."""
    silent = a_run("accuracy", name="silent", change=put(bytes_sent=0.0))
    little, much = (
        a_run("accuracy", name=name, change=put(bytes_sent=sent)) for name, sent in (("a", 1e3), ("b", 1e9))
    )
    with style():
        figure = compare([silent, little, much], ["silent", "little", "much"], ("bytes",))
        figure.draw_without_rendering()
    assert figure.axes[0].get_xscale() == "log"
    told = [text for text in words(figure) if "sent nothing" in text]
    assert told == ["silent\nmean 84.3%, worst 79.3%, sent nothing"]


def test_a_run_that_measured_nothing_of_its_models_is_named() -> None:
    run = a_run("accuracy", change=lambda one: {name: value for name, value in one.items() if "accuracy" not in name})
    for show in (summary, lambda one: compare([one]), lambda one: ranking([one], ["one"]), final_numbers):
        with pytest.raises(ConfigError, match=r"^run measured nothing of its models"):
            show(run)
