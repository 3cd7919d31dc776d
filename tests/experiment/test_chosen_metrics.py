"""``--metric``: which of the recorded measures pictures and tables show, of nodes or of the whole network."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.plots.bands import bands, summary_rows, summary_table
from jaxgossip.experiment.plots.rows import shown_measures
from jaxgossip.experiment.plots.runs import compare, summary
from jaxgossip.experiment.results.run_data import RunData, compare_table
from jaxgossip.experiment.runs.run import run
from jaxgossip.plotting.measures import CONSENSUS, network_measures_of
from jaxgossip.simulation.results.endings import not_finite_entry
from tests.experiment import tiny
from tests.experiment.test_hard_pictures import a_run
from tests.experiment.test_plots import assert_readable, distances, lines_of, statistics, words


def with_own(one):
    """Add a loss of every node, and a number of the whole network, to a record of accuracies."""
    losses = statistics("test_loss", distances(one["round"])) | {"mean_model_test_loss": 0.5}
    return one | losses | {"spread": 1.0 + one["round"]}


def own(name="run", **options) -> RunData:
    return a_run("accuracy", name=name, change=with_own, baseline=with_own, **options)


def test_a_row_of_the_summary_is_a_measure() -> None:
    one = own(scores=np.linspace(0.7, 0.9, 50))
    figure = summary(one, ("rounds",), ("spread", "test_loss", "consensus_distance"))
    spread, loss, consensus, scores, _ = figure.axes
    (line,) = lines_of(spread, "mean")
    assert line.get_ydata().tolist() == [1, 11, 21, 31, 41]
    assert len(lines_of(spread, "isolated")) == 1
    assert not lines_of(spread, "worst node")
    assert not spread.collections
    (worst,) = lines_of(loss, "worst node")
    assert np.array_equal(worst.get_ydata(), one.column("test_loss_max"))
    assert [axes.get_yscale() for axes in (spread, loss, consensus)] == ["linear", "log", "log"]
    assert [axes.get_title(loc="left") for axes in (spread, loss)] == ["Spread by round", "Test loss by round"]
    assert not scores.axison  # there are scores of the accuracy alone
    notes = " ".join(words(figure))
    assert "Test loss after round 40: mean of nodes" in notes
    assert "Spread 41, consensus distance 0.05, " in notes
    assert "accuracy after" not in notes
    assert_readable(figure)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["spread", "test_loss", "consensus_distance"])
def test_a_single_row_is_readable(metric: str) -> None:
    for figure in (summary(own(), (), (metric,)), compare([own(), own("b")], ("a", "b"), (), (metric,))):
        assert len({axes.get_ylabel() for axes in figure.axes if axes.axison} - {"", "nodes"}) == 1
        assert_readable(figure)


def test_compared_runs_are_drawn_and_told_by_the_chosen_measure() -> None:
    runs = [own("a"), own("b")]
    figure = compare(runs, ["a", "b"], ("rounds",), ("spread",))
    panel, legend = figure.axes
    assert [line.get_ydata()[-1] for line in panel.lines] == [41, 41]
    assert [text.get_text() for text in legend.get_legend().get_texts()] == ["a\nspread 41", "b\nspread 41"]
    row = compare_table(runs, ("spread", "test_loss"))[0]
    shown = {"spread": "41", "isolated": "41", "centralised": "–"}
    loss = runs[0].final["test_loss_mean"]
    assert list(row.items())[2:6] == [*shown.items(), ("test loss, mean", f"{loss:.3g}")]
    assert "worst node" in compare_table(runs, ("test_loss",))[0]
    lost = own("c", status="diverged", diverged_round=41)
    assert [compare_table([lost], ("spread", "test_loss"))[0][name] for name in ("spread", "test loss, mean")] == [
        "diverged",
        "–",
    ]


def test_seeds_are_summarised_by_the_chosen_measures() -> None:
    runs = [own(str(seed)) for seed in range(4)]
    for seed, each in enumerate(runs):
        each.records[-1]["spread"] = float(seed)
    points = [({"x": 1}, runs)]
    measure, *more = shown_measures(runs, ("spread", "test_loss"))
    (row,) = summary_table(summary_rows(points, measure, more), measure, more)
    assert list(row) == ["x", "seeds", "spread ± 95 %", "std over seeds", "test loss, mean"]
    assert (row["spread ± 95 %"], row["std over seeds"]) == ("1.5 ± 2.05", "1.29")
    figure = bands(points, "grid", ("spread",))
    (panel,) = figure.axes
    assert panel.lines[0].get_ydata()[-1] == 1.5
    assert (panel.get_yscale(), panel.get_ylabel()) == ("linear", "spread")
    assert "logarithmic" not in figure.get_supxlabel()
    assert "logarithmic" in bands(points, "grid").get_supxlabel()


def test_the_target_is_that_of_the_first_measure_alone() -> None:
    one = own()
    aimed = RunData(**{**vars(one), "config": {**one.config, "evaluation": {"target": 0.8}}})
    assert "rounds to 80.0%" in compare_table([aimed])[0]
    assert not any("to 0.8" in column or "target" in column for column in compare_table([aimed], ("test_loss",))[0])
    said = words(summary(aimed, (), ("spread",)))
    assert not any(text == "target 80.0%" for text in said)


def test_an_unknown_name_is_told_with_the_nearest_one_and_all_that_were_recorded() -> None:
    with pytest.raises(ConfigError, match=r"^run: no metric 'spred'") as caught:
        summary(own(), (), ("spred",))
    assert caught.value.hint == (
        "did you mean 'spread'? allowed: bytes_sent, consensus_distance, messages, spread, test_accuracy, test_loss, wall_s"
    )
    other = a_run("accuracy", name="other")
    for show in (compare, compare_table, lambda runs, metrics: bands([({}, runs)], "grid", metrics)):
        with pytest.raises(ConfigError, match=r"^other: no metric 'spread'"):
            show([own(), other], metrics=("spread",))


def test_every_number_of_a_record_has_a_name() -> None:
    one = own()
    assert one.measure("test_loss_mean") == one.measure("test_loss")
    deviation = one.measure("test_accuracy_std")
    assert (deviation.column, deviation.of_nodes, deviation.text(0.5)) == ("test_accuracy_std", False, "50.0%")
    assert one.measure("mean_model_test_loss").scale == "log"
    assert one.values(one.measure("messages")).tolist() == one.column("messages").tolist()
    assert [measure.key for measure in network_measures_of(one.final)] == ["consensus_distance", "spread"]
    assert not_finite_entry(one.final | {"spread": None}) == {"not_finite": ["spread"]}


def test_a_run_records_no_number_of_the_network_but_the_consensus_distance(tmp_path: Path) -> None:
    """All other keys are counts, or statistics over nodes."""
    path = tmp_path / "small.toml"
    path.write_text(tiny.TEXT)
    with tiny.quick():
        outcome = run(load(path), out=tmp_path / "out")
    last = json.loads((outcome.folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert network_measures_of(last) == (CONSENSUS,)
