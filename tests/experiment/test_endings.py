"""How runs end whose numbers are not finite, or that have nothing to measure: in words, in the manifest, and in tables."""

import json

import numpy as np
import pytest

from jaxgossip.cli.terminal.outcome import report
from jaxgossip.core.errors import InputError, RunError
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.plots import labels
from jaxgossip.experiment.plots.bands import bands, interval, summary_rows
from jaxgossip.experiment.plots.rankings import ranking
from jaxgossip.experiment.plots.runs import compare
from jaxgossip.experiment.results.run_data import RunData, compare_table, final_numbers
from jaxgossip.experiment.runs.manifest import not_finite_warning
from jaxgossip.experiment.runs.run import resume, run
from jaxgossip.experiment.sweeps.grid import expand
from jaxgossip.experiment.sweeps.grid_run import run_grid
from jaxgossip.simulation.results.endings import ending_entries
from tests.experiment.grid_cases import TEXT, Listener
from tests.experiment.test_plots import make, words  # noqa: F401 - make is a fixture

LOST = "diverged in round 3: nothing measured is a finite number any more"
NOISY = ["network.noise=1e30", "rounds=4"]
QUADRATIC = (
    TEXT.replace('model = "logistic"\nbatch_size = 2\n', "")
    .replace("synthetic", "isotropic_quadratic")
    .replace("{ samples = 200, features = 4 }", "{ dimension = 3, heterogeneity = 1.0 }")
)
RATINGS = """
rounds = 2
[topology]
kind = "ring"
nodes = 6
[learning]
dataset = "ratings"
dataset_options = { items = 8, ratings_a_user = 6 }
[optimizer]
kind = "sgd"
learning_rate = 0.1
"""


@pytest.mark.slow
def test_a_run_of_which_nothing_is_finite_any_more_diverged(config, tmp_path, capsys) -> None:
    config.write_text(QUADRATIC)
    outcome = run(load(config, NOISY), out=tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["status"], manifest["rounds"], manifest["diverged_round"]) == ("diverged", 4, 3)
    assert manifest["not_finite"] == ["distance_to_optimum", "test_loss", "consensus_distance"]
    again = resume(tmp_path / "out")
    assert (outcome.status, outcome.ending, again.status, again.ending) == ("diverged", LOST, "diverged", LOST)
    for one in (outcome, again):
        with pytest.raises(RunError, match=f"^{LOST}; what was measured before is kept"):
            report(one)
        assert "squared distance to the optimum in round 4, the last one measured" in capsys.readouterr().out
    told = RunData.load(tmp_path / "out")
    assert (told.diverged_round, labels.ending(told)) == (3, LOST)
    assert (tmp_path / "out" / "summary.png").is_file()


@pytest.mark.slow
def test_a_run_of_a_grid_of_which_nothing_is_finite_any_more_diverged(config, tmp_path) -> None:
    config.write_text(QUADRATIC)
    grid, listener = expand(config, ["network.noise=0.1,1e30"], 1, ["rounds=4"]), Listener()
    outcome = run_grid(grid, tmp_path / "out", observer=listener)
    good, lost = (RunData.load(tmp_path / "out" / one.config.name) for one in grid.runs)
    assert outcome.diverged == (grid.runs[1].config.name,)
    assert (good.status, good.manifest.get("not_finite"), lost.diverged_round) == ("completed", None, 3)
    assert f"  {grid.runs[1].config.name} {LOST}; the others went on" in listener.notes


def test_what_is_not_finite_of_a_completed_run_is_named() -> None:
    fine = {"round": 9, "test_accuracy_mean": 0.5, "test_accuracy_q50": 0.5, "consensus_distance": 1.0}
    bad = fine | {
        "test_loss_mean": None,
        "test_loss_q50": None,
        "local_accuracy_mean": None,
        "local_accuracy_q50": None,
    }
    assert ending_entries("completed", 9, [fine]) == {"status": "completed", "rounds": 9}
    assert ending_entries("completed", 9, [fine, bad]) == {
        "status": "completed",
        "rounds": 9,
        "not_finite": ["test_loss", "local_accuracy"],
    }
    told = "warning: no finite number in round 9: test loss, accuracy on own test samples"
    assert (not_finite_warning(fine), not_finite_warning(bad)) == ("", told)
    assert ending_entries("interrupted", 9, [bad]) == {"status": "interrupted", "rounds": 9}


def test_a_model_that_became_infinite_did_so_in_the_round_that_is_not_measured_any_more() -> None:
    null = {"test_loss_mean": None, "test_loss_q50": None, "consensus_distance": None}
    first = {"round": 0, "test_loss_mean": 1.0, "test_loss_q50": 1.0, "consensus_distance": 1.0}
    found = ending_entries("diverged", 13, [first, {"round": 9, **null}])
    assert (found["diverged_round"], found["reason"]) == (13, "a model became NaN or infinite")
    lost = ending_entries("completed", 9, [first, {"round": 6, **null}, {"round": 9, **null}])
    assert (lost["status"], lost["diverged_round"]) == ("diverged", 6)


@pytest.mark.by_default(
    "changes3-the one model of 'federated_averaging': 'ratings' is measured on the",
    "changes2-nothing can be measured of the one model of 'centralised'",
    "changes1-'ratings' keeps no data for tests",
)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["learning.dataset_options.ratings_a_user=3"],
            "leaves no user a rating to test on: the most that one has is 3",
        ),
        (["learning.dataset_options.held_out=0.0"], "'ratings' keeps no data for tests"),
        (["algorithm.kind=centralised"], "nothing can be measured of the one model of 'centralised'"),
        (
            ["algorithm.kind=federated_averaging"],
            "the one model of 'federated_averaging': 'ratings' is measured on the",
        ),
    ],
)
def test_a_run_with_nothing_to_measure_is_refused_before_it_begins(config, tmp_path, changes, message) -> None:
    config.write_text(RATINGS)
    build(load(config))
    with pytest.raises(InputError, match=message):
        run(load(config, changes), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def three(make):  # noqa: F811 - the fixture
    """Return a good run, one that diverged though its last evaluation was the best, and a bad run."""
    good = RunData.load(make("good"))
    lost = RunData.load(
        make("lost", {"seed": 1}, manifest={"status": "diverged", "rounds": 48}, rounds=range(0, 51, 10))
    )
    bad = RunData.load(make("bad", {"seed": 2}, rounds=range(0, 21, 10)))
    assert lost.final["test_accuracy_mean"] > good.final["test_accuracy_mean"] > bad.final["test_accuracy_mean"]
    return good, lost, bad


def test_a_diverged_run_is_not_ranked_by_what_it_measured_before(three) -> None:
    good, lost, bad = three
    figure = ranking([lost, good, bad], ["lost", "good", "bad"])
    left = figure.axes[0]
    assert [label.get_text() for label in left.get_yticklabels()] == ["lost", "bad", "good"]
    means = next(line for line in left.lines if line.get_marker() == "o")
    assert np.isnan(np.asarray(means.get_xdata())[0])
    assert np.isfinite(np.asarray(means.get_xdata())[1:]).all()
    assert words(figure).count("diverged in round 48") == 1
    assert len(figure.axes[1].lines[0].get_xdata()) == 2


def test_a_diverged_run_has_no_final_numbers(three) -> None:
    good, lost, _ = three
    of_models = ("mean", "worst", "mean_model", "consensus_distance")
    assert [final_numbers(lost)[name] for name in of_models] == [None] * 4
    assert None not in [final_numbers(good)[name] for name in of_models]
    assert (final_numbers(lost)["bytes_sent"], final_numbers(lost)["status"]) == (250_000, "diverged at round 48")
    row = compare_table([good, lost])[1]
    assert (row["test accuracy, mean"], row["worst node"], row["consensus distance"]) == ("diverged", "–", "–")
    assert any("diverged in round 48" in text for text in words(compare([good, lost])))
    assert "after round 50, the last evaluation before it diverged: mean of nodes" in labels.footnote(lost)[0]


def test_a_point_of_a_grid_says_how_many_of_its_runs_diverged(three) -> None:
    good, lost, bad = three
    points = [({"x": 1}, [good, lost, bad]), ({"x": 2}, [good])]
    figure = bands(points, "grid")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["x=1 (1 of 3 diverged)", "x=2"]
    row = summary_rows(points, good.measures[0])[0]
    assert (row["runs"], row["diverged"]) == (3, 1)
    assert row["mean"] == pytest.approx((good.final["test_accuracy_mean"] + bad.final["test_accuracy_mean"]) / 2)


def test_a_mean_over_seeds_does_not_leave_out_one_that_is_not_finite(make) -> None:  # noqa: F811 - the fixture
    runs = [RunData.load(make(f"r{number}", {"seed": number})) for number in range(3)]
    runs[0].records[-1]["test_accuracy_mean"] = None
    row = summary_rows([({}, runs)], runs[0].measures[0])[0]
    assert (row["mean"], row["mean_std"], row["diverged"]) == (None, None, 0)
    assert row["worst"] == pytest.approx(runs[1].final["test_accuracy_min"])
    assert [np.isfinite(one) for one in interval(np.array([1.7e308, 1.7e308]))] == [False] * 3
