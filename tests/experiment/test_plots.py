"""Runs read back from their folders, and the pictures of them: what is drawn, and that it can be read."""

import json
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.config import toml
from jaxgossip.experiment.plots import labels, panels
from jaxgossip.experiment.plots.runs import MAX_RUNS, compare, summary
from jaxgossip.experiment.results.run_data import RunData, compare_table, final_numbers
from jaxgossip.plotting.measures import CONSENSUS, Measure
from jaxgossip.plotting.style import save_figure

CONFIG = {
    "name": "small",
    "seed": 0,
    "rounds": 40,
    "topology": {"kind": "random_regular", "nodes": 50, "degree": 4, "allow_disconnected": False},
    "mixing": {"kind": "matching"},
    "learning": {"dataset": "spambase", "model": "logistic"},
    "partition": {"kind": "one_sample"},
    "algorithm": {"kind": "gossip"},
    "optimizer": {"kind": "sgd", "learning_rate": 0.1},
    "network": {"drop": 0.0, "online": 1.0},
    "evaluation": {"every": 10, "sampled_nodes": 20},
}


def statistics(name, values):
    found = {f"{name}_mean": values.mean(), f"{name}_std": values.std()}
    found |= {f"{name}_min": values.min(), f"{name}_max": values.max()}
    return found | {f"{name}_q{q:02d}": np.quantile(values, q / 100) for q in (5, 25, 50, 75, 95)}


def accuracies(round_number):
    """Return the accuracies of 20 nodes."""
    return 0.9 - 0.4 * np.exp(-round_number / 10) - np.linspace(0, 0.1, 20)


def distances(round_number):
    return np.exp(-round_number / 10) * np.linspace(1, 3, 20)


def record(round_number, measure="test_accuracy", values=accuracies, sent=100):
    scores = values(round_number)
    found = {"round": round_number, **statistics(measure, scores), f"mean_model_{measure}": scores.mean() * 1.01}
    found |= {"consensus_distance": 0.0 if round_number == 0 else 2.0 / round_number}
    found |= {"messages": sent // 100 * 50 * round_number, "bytes_sent": 50 * sent * round_number}
    return {key: float(value) for key, value in found.items()} | {"round": round_number, "wall_s": 0.5}


@pytest.fixture
def make(tmp_path):
    """Return a function that makes a run folder."""

    def make_run(name="run", config=None, *, rounds=range(0, 41, 10), manifest=None, baselines=("isolated",), **kind):
        folder = tmp_path / name
        folder.mkdir()
        tree = {**CONFIG, **(config or {})}
        (folder / "config.toml").write_text(toml.dumps(tree))
        records = [record(number, **kind) for number in rounds]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
        facts = {"status": "completed", "rounds": records[-1]["round"], "graph": {"nodes": tree["topology"]["nodes"]}}
        (folder / "manifest.json").write_text(json.dumps(facts | (manifest or {})))
        (folder / "baselines").mkdir()
        for baseline in baselines:
            lines = [json.dumps(one | {"bytes_sent": 0, "messages": 0}) + "\n" for one in records]
            (folder / "baselines" / f"{baseline}.jsonl").write_text("".join(lines))
        score, values = kind.get("measure", "test_accuracy"), kind.get("values", accuracies)
        nodes = tree["topology"]["nodes"]
        np.savez(folder / "node_scores.npz", **{score: np.resize(values(records[-1]["round"]), nodes)})
        return folder

    return make_run


def edit(folder, number, **values):
    """Replace values of one record."""
    path = folder / "metrics.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records[number] |= values
    path.write_text("".join(json.dumps(one) + "\n" for one in records))


def words(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def assert_readable(figure):
    """No words leave the page, and no legend or note covers a panel or other words."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    page = figure.bbox
    for text in figure.texts:
        assert page.contains(*text.get_window_extent(renderer).min), text
        assert page.contains(*text.get_window_extent(renderer).max), text
    outer = [axes.get_tightbbox(renderer) for axes in figure.axes]
    for number, box in enumerate(outer):
        assert page.x0 - 1 <= box.x0, figure.axes[number]
        assert box.x1 <= page.x1 + 1, figure.axes[number]
        assert not any(box.shrunk(0.98, 0.98).overlaps(other.shrunk(0.98, 0.98)) for other in outer[number + 1 :])
        assert not any(box.shrunk(0.98, 0.98).overlaps(text.get_window_extent(renderer)) for text in figure.texts)


def lines_of(axes, role):
    look = panels.look(role)
    return [line for line in axes.lines if line.get_color() == look["color"] and line.get_lw() == look["linewidth"]]


def test_a_run_is_read_as_it_was_written(make):
    run = RunData.load(make())
    assert run.column("round").tolist() == [0, 10, 20, 30, 40]
    assert run.column("test_accuracy_mean")[0] == pytest.approx(0.45)
    assert run.column("test_accuracy_mean", "isolated").size == 5
    assert run.column("test_accuracy_mean", "centralised").size == 0
    assert run.bytes_per_node()[-1] == 4000
    assert (run.n_nodes, run.n_evaluated, run.status, run.diverged_round) == (50, 20, "completed", None)
    assert run.node_scores["test_accuracy"].shape == (50,)


def test_a_torn_last_line_is_as_if_it_had_not_been_begun(make):
    folder = make(manifest={"status": "running"})
    path = folder / "metrics.jsonl"
    path.write_text(path.read_text()[:-40])
    assert RunData.load(folder).column("round").tolist() == [0, 10, 20, 30]
    path.write_text('{"round": 0\n' + path.read_text())
    with pytest.raises(ConfigError, match=r"metrics\.jsonl:1: not a record"):
        RunData.load(folder)


def test_a_folder_that_is_no_run_is_told(make, tmp_path):
    with pytest.raises(ConfigError, match="no such run"):
        RunData.load(tmp_path / "absent")
    folder = make("inside", manifest={"status": "running"})
    with pytest.raises(ConfigError, match=r"is not a run: it has no config\.toml") as caught:
        RunData.load(tmp_path)
    assert str(folder) in caught.value.hint
    (folder / "metrics.jsonl").write_text('{"rou')
    with pytest.raises(ConfigError, match="has no evaluation yet"):
        RunData.load(folder)
    (folder / "metrics.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"it has no metrics\.jsonl"):
        RunData.load(folder)


def test_damaged_files_are_named(make):
    folder = make()
    (folder / "node_scores.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(ConfigError, match=r"node_scores\.npz: not readable"):
        RunData.load(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ConfigError, match=r"manifest\.json: not JSON"):
        RunData.load(folder)


def test_a_run_that_was_killed_early_is_read_and_drawn(make):
    folder = make(baselines=())
    for name in ("manifest.json", "node_scores.npz"):
        (folder / name).unlink()
    run = RunData.load(folder)
    assert run.status == "unknown"
    assert any("known when a run ends" in text for text in words(summary(run)))


@pytest.mark.slow
def test_the_marker_of_a_diverged_baseline_is_not_a_measurement(make):
    folder = make()
    path = folder / "baselines" / "isolated.jsonl"
    last = json.loads(path.read_text().splitlines()[-1])
    path.write_text(path.read_text() + json.dumps(last | {"round": 47, "diverged": True}) + "\n")
    run = RunData.load(folder)
    assert run.baseline_divergence == {"isolated": 47}
    assert run.column("round", "isolated")[-1] == 40
    assert final_numbers(run)["isolated"] is None
    assert compare_table([run])[0]["isolated"] == "diverged"
    assert "isolated nodes diverged in round 47" in labels.footnote(run)[0]
    assert_readable(summary(run))


def test_final_numbers_and_their_table(make):
    quick = RunData.load(make("a"))
    numbers = final_numbers(quick)
    assert numbers["mean"] == pytest.approx(accuracies(40).mean())
    assert numbers["worst"] == pytest.approx(accuracies(40).min())
    assert numbers["centralised"] is None
    json.dumps(numbers, allow_nan=False)
    slow = RunData.load(make("b", measure="distance_to_optimum", values=distances))
    assert final_numbers(slow)["worst"] == pytest.approx(distances(40).max())
    row = compare_table([quick])[0]
    assert row["test accuracy, mean"] == "84.3%"
    assert row["centralised"] == "–"
    mixed = compare_table([quick, slow])
    assert list(mixed[0]) == list(mixed[1])
    assert [row["measured"] for row in mixed] == ["test accuracy", "squared distance to the optimum"]


@pytest.mark.slow
def test_the_summary_draws_the_records(make):
    run = RunData.load(make(baselines=("isolated", "centralised")))
    figure = summary(run)
    left, right, below_left, below_right, scores, _ = figure.axes
    for axes, x in ((left, run.column("round")), (right, run.bytes_per_node())):
        (mean,) = lines_of(axes, "mean")
        assert np.array_equal(mean.get_xdata(), x)
        assert np.array_equal(mean.get_ydata(), run.column("test_accuracy_mean"))
        (worst,) = lines_of(axes, "worst node")
        assert np.array_equal(worst.get_ydata(), run.column("test_accuracy_min"))
        assert len(axes.collections) == 2
    (level,) = lines_of(right, "isolated")
    assert level.get_ydata() == [run.column("test_accuracy_mean", "isolated")[-1]] * 2
    for axes in (below_left, below_right):
        assert axes.get_yscale() == "log"
        drawn = lines_of(axes, "mean")[0].get_ydata()
        assert np.isnan(drawn[0])
        assert np.array_equal(drawn[1:], run.column("consensus_distance")[1:])
    assert sum(bar.get_height() for bar in scores.patches) == 50
    assert right.get_xlim()[1] >= run.bytes_per_node()[-1]
    said = words(figure)
    for part in (
        "small",
        "50\xa0nodes",
        "random_regular\xa0(degree\xa04)",
        "20 evaluated of 50 nodes",
        "sent per node (kB)",
    ):
        assert any(part in text for text in said), part
    assert (
        "mean of nodes 84.3%, worst of 20 evaluated nodes 79.3%, worst of all 50 nodes 79.3%, mean model 85.1%"
        in " ".join(said)
    )
    assert_readable(figure)


@pytest.mark.slow
def test_quadratics_are_drawn_on_log_axes_with_the_largest_the_worst(make):
    run = RunData.load(make(measure="distance_to_optimum", values=distances))
    figure = summary(run)
    assert figure.axes[0].get_yscale() == "log"
    assert np.array_equal(lines_of(figure.axes[0], "worst node")[0].get_ydata(), run.column("distance_to_optimum_max"))
    assert_readable(figure)


def test_divergence_is_marked_with_its_round(make):
    folder = make(manifest={"status": "diverged", "rounds": 46}, config={"rounds": 400})
    edit(folder, -1, test_accuracy_mean=None, consensus_distance=1e30)
    figure = summary(RunData.load(folder))
    assert any(text.startswith("diverged in round 46:") for text in words(figure))
    assert any(list(line.get_xdata()) == [46, 46] for line in figure.axes[0].lines)
    assert figure.axes[0].get_xlim()[1] > 46
    assert_readable(figure)


def test_one_evaluation_of_one_silent_node_is_drawn(make):
    one = {"topology": {"kind": "complete", "nodes": 1}}
    figure = summary(RunData.load(make(rounds=[0], config=one, sent=0)))
    said = words(figure)
    assert said.count("no messages were sent") == 2
    assert any("all models are equal" in text for text in said)
    assert figure.axes[0].get_xticks().tolist() == [0]
    assert_readable(figure)


def test_own_test_samples_get_their_line(make):
    folder = make()
    for number in range(5):
        edit(folder, number, **statistics("local_accuracy", accuracies(number)))
    figure = summary(RunData.load(folder))
    assert len(lines_of(figure.axes[0], "own test samples")) == 1
    assert any("On the nodes' own test samples: mean" in text for text in words(figure))


def test_equal_models_are_equal_whatever_the_rounding_of_their_mean(make):
    folder = make()
    edit(folder, 0, consensus_distance=1e-13)
    run = RunData.load(folder)
    assert run.values(CONSENSUS)[0] == 0
    below = summary(run).axes[2]
    assert below.get_ylim()[0] > 1e-3
    assert "(equal in round 0)" in below.get_title(loc="left")


def test_runs_are_labelled_by_what_differs(make):
    def label(*configs):
        folders = [make(f"r{number}-{len(configs)}", config) for number, config in enumerate(configs)]
        return labels.differences([RunData.load(folder) for folder in folders])

    sparse = {**CONFIG["topology"], "degree": 2}
    assert label({"seed": 1}, {"seed": 2}) == ["seed=1", "seed=2"]
    assert label({}, {"topology": {"kind": "ring", "nodes": 50}}, {"topology": sparse}) == [
        "topology=random_regular, degree=4",
        "topology=ring",
        "topology=random_regular, degree=2",
    ]
    rate = {"optimizer": {"kind": "adam", "learning_rate": 0.01}}
    assert label({"name": "a"}, {"name": "b"}, {"name": "c"}, rate) == [
        "optimizer=sgd, learning_rate=0.1 (r0-4)",
        "optimizer=sgd, learning_rate=0.1 (r1-4)",
        "optimizer=sgd, learning_rate=0.1 (r2-4)",
        "optimizer=adam, learning_rate=0.01",
    ]


def test_compared_runs_share_axes_and_keep_their_lines(make):
    runs = [RunData.load(make(f"r{number}", {"seed": number}, sent=sent)) for number, sent in enumerate((100, 2000))]
    figure = compare(runs)
    left, right, below_left, _, legend = figure.axes
    assert [
        np.array_equal(line.get_ydata(), run.column("test_accuracy_mean"))
        for line, run in zip(left.lines[::2], runs, strict=True)
    ] == [True, True]
    assert right.get_xscale() == "log"
    assert [line.get_marker() for line in below_left.lines] == ["o", "s"]
    said = [text.get_text() for text in legend.get_legend().get_texts()]
    assert said[:2] == ["seed=0\nmean 84.3%, worst 79.3%", "seed=1\nmean 84.3%, worst 79.3%"]
    assert_readable(figure)


def test_only_what_is_common_can_be_compared(make):
    runs = [RunData.load(make("a")), RunData.load(make("b", measure="distance_to_optimum", values=distances))]
    with pytest.raises(ConfigError, match="no measurement in common: a: test_accuracy; b: distance_to_optimum"):
        compare(runs)
    with pytest.raises(ConfigError, match="0 runs"):
        compare([])
    with pytest.raises(ConfigError, match=f"{MAX_RUNS + 1} runs"):
        compare(runs[:1] * (MAX_RUNS + 1))


@pytest.mark.slow
def test_a_picture_is_written_without_global_state(make, tmp_path):
    folder = make()
    code = f"""
import sys, matplotlib as mpl
before = mpl.rcParams.copy()
from pathlib import Path
from jaxgossip.experiment.plots.runs import summary
from jaxgossip.plotting.style import save_figure
from jaxgossip.experiment.results.run_data import RunData
save_figure(summary(RunData.load({str(folder)!r})), Path({str(tmp_path)!r}) / "new" / "summary.png")
assert mpl.rcParams.copy() == before
assert "matplotlib.pyplot" not in sys.modules
assert "jax" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert (tmp_path / "new" / "summary.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match=r"no picture can be written as '\.txt'"):
        save_figure(summary(RunData.load(folder)), tmp_path / "x.txt")


def test_scores_that_differ_by_rounding_alone_are_one_score() -> None:
    perplexity = Measure("test_perplexity", "test perplexity", "", "max", "log")
    figure = Figure()
    FigureCanvasAgg(figure)
    equal, apart = figure.subplots(1, 2)
    panels.draw_histogram(equal, 8.278761 + 1e-6 * np.arange(5), perplexity)
    panels.draw_histogram(apart, 8.278761 + 1e-3 * np.arange(5), perplexity)
    assert [text.get_text() for text in equal.texts] == ["every node:\n8.28"]
    assert not equal.patches
    assert apart.patches
