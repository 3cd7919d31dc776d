"""Results that Python saves: read back as they were, shown by the commands, replaced only where that was asked for."""

import json
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import pytest
from typer.testing import CliRunner

import jaxgossip as jg
from jaxgossip.cli.main import app
from jaxgossip.errors import ConfigError, InputError
from jaxgossip.experiment.results import folder as run_folder
from jaxgossip.experiment.results import stored
from jaxgossip.simulation import Result
from jaxgossip.simulation.results import saved

N = 6


def algorithm(rate: float = 0.1) -> jg.algorithms.Algorithm:
    problem = jg.learning.isotropic_quadratic(N, dimension=2, noise=0.5, rng=0)
    return jg.algorithms.dsgd(problem, optax.sgd(rate), jg.mixing.metropolis_hastings(jg.topology.ring(N)))


@pytest.fixture(scope="module")
def result() -> Result:
    return jg.simulate(algorithm(), 10, seed=3, evaluate_every=4)


@pytest.fixture
def axes() -> Iterator[plt.Axes]:
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_what_is_saved_is_read_back(result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "mine" / "first")
    found = jg.results.load(folder)
    assert found.metrics.records == result.metrics.records
    np.testing.assert_array_equal(found.x, result.x)
    assert found.x.dtype == result.x.dtype
    assert found.node_scores.keys() == result.node_scores.keys()
    for name, scores in result.node_scores.items():
        np.testing.assert_array_equal(found.node_scores[name], scores)
    assert repr(found) == f"RunData({folder}: completed, 4 evaluations up to round 10)"
    assert (found.status, found.n_nodes, found.config["seed"], found.config["rounds"]) == ("completed", N, 3, 10)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["settings"] == {
        "rounds": 10, "seed": 3, "evaluate_every": 4, "sampled_nodes": 1000, "byte_budget": 0,
        "matmul_precision": "highest",
    }  # fmt: skip
    assert manifest["versions"]["jaxgossip"] == jg.__version__
    assert {path.name for path in folder.iterdir()} == {
        "metrics.jsonl",
        "node_scores.npz",
        "models.npz",
        "manifest.json",
    }


def test_its_files_have_the_names_of_a_runs() -> None:
    assert (saved.MANIFEST, saved.SCORES, saved.MODELS) == (run_folder.MANIFEST, run_folder.SCORES, stored.MODELS)
    assert run_folder.log_name() == saved.METRICS


@pytest.mark.slow
def test_models_of_16_bits_are_read_back(tmp_path: Path) -> None:
    problem = jg.learning.isotropic_quadratic(N, dimension=2, noise=0.5, rng=0)
    method = jg.algorithms.Algorithm(Halves(), problem, jg.mixing.metropolis_hastings(jg.topology.ring(N)))
    result = jg.simulate(method, 1)
    found = jg.results.load(result.save(tmp_path / "run"))
    assert found.x.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found.x, np.asarray(result.x))


class Halves(jg.algorithms.Method):
    """Mixes models that it shows with 16 bits."""

    def init(self, problem, key):
        return problem.init(key) + jnp.arange(N)[:, None]

    def step(self, problem, W, x, round_):
        links = round_.links(W, problem.n_shared)
        return links.mix(x), links.sent(x)

    def models(self, x):
        return x.astype(jnp.bfloat16)


@pytest.mark.slow
def test_a_run_that_goes_on_or_was_stopped_or_diverged_is_read_back(result: Result, tmp_path: Path) -> None:
    class Stop(jg.simulation.Observer):
        def should_stop(self) -> bool:
            return True

    rest = jg.simulate(algorithm(), 15, seed=3, evaluate_every=4, start=jg.simulate(algorithm(), 10, seed=3).run)
    stopped = jg.simulate(algorithm(), 10, observer=Stop())
    lost = jg.simulate(algorithm(1e20), 10, evaluate_every=1)
    for name, one in {"rest": rest, "stopped": stopped, "lost": lost}.items():
        found = jg.results.load(one.save(tmp_path / name))
        assert found.status == one.status
        assert [record["round"] for record in found.records] == list(one.metrics["round"])
        for key in one.metrics.names:
            column = one.metrics[key]
            np.testing.assert_array_equal(found.metrics[key], np.where(np.isfinite(column), column, np.nan))
    assert list(rest.metrics["round"]) == [12, 15]
    assert (stopped.status, lost.status) == ("interrupted", "diverged")


def test_a_folder_is_replaced_only_where_that_was_asked_for(result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "run")
    with pytest.raises(InputError, match=r"run holds a saved result \(overwrite=True replaces it"):
        result.save(folder)
    other = jg.simulate(algorithm(0.05), 4)
    other.save(folder, overwrite=True)
    np.testing.assert_array_equal(jg.results.load(folder).x, other.x)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"full is not empty \(choose another folder\)"):
        result.save(tmp_path / "full", overwrite=True)
    with pytest.raises(InputError, match="is a file, not a folder"):
        result.save(tmp_path / "full" / "thesis.tex")


def test_what_a_kill_left_is_no_result_and_is_written_anew(result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "run")
    (folder / "manifest.json").unlink()  # it comes last
    with pytest.raises(ConfigError):
        jg.results.load(folder)
    assert jg.results.load(result.save(folder)).status == "completed"


@pytest.mark.parametrize("name", ["metrics.jsonl", "node_scores.npz"])
def test_damage_is_seen(result: Result, tmp_path: Path, name: str) -> None:
    folder = result.save(tmp_path / "run")
    (folder / name).write_bytes((folder / name).read_bytes().replace(b"1", b"2"))
    with pytest.raises(ConfigError):
        jg.results.load(folder)


def test_damaged_models_are_seen_when_they_are_asked_for(result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "run")
    (folder / "models.npz").write_bytes(b"")
    with pytest.raises(ConfigError, match="is not what was saved"):
        _ = jg.results.load(folder).x


@pytest.mark.slow
def test_commands_show_saved_results_and_do_not_resume_them(result: Result, tmp_path: Path) -> None:
    one = result.save(tmp_path / "one")
    two = jg.simulate(algorithm(0.01), 10, seed=4, evaluate_every=4).save(tmp_path / "two")
    runner, picture = CliRunner(), tmp_path / "picture.png"
    assert runner.invoke(app, ["plot", str(one), "--out", str(picture)]).exit_code == 0
    assert picture.is_file()
    shown = runner.invoke(app, ["compare", str(one), str(two), "--out", str(tmp_path / "both.png")])
    assert shown.exit_code == 0
    assert {"one", "two"} <= set(shown.stdout.split())
    assert "seeds" not in shown.stdout  # nobody knows whether the two are of one kind
    refused = runner.invoke(app, ["resume", str(one)])
    assert isinstance(refused.exception, ConfigError)
    assert refused.exception.hint.startswith("it holds a result that was saved from Python: jg.results.load(")


def test_a_result_is_drawn(result: Result, axes: plt.Axes) -> None:
    assert result.plot(ax=axes) is axes
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), result.metrics["round"])
    np.testing.assert_array_equal(line.get_ydata(), result.metrics["distance_to_optimum_mean"])
    assert (line.get_label(), axes.get_ylabel()) == ("D-SGD (ATC)", "squared distance to the optimum")
    assert (axes.get_xlabel(), axes.get_yscale()) == ("round", "log")
    assert len(axes.collections) == 1
    result.plot("mean_model_distance_to_optimum", axes, label="mean model")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["D-SGD (ATC)", "mean model"]
    with pytest.raises(InputError, match="no metric 'accuracy'"):
        result.plot("accuracy", axes)


def test_new_axes_have_our_style_and_leave_the_callers_alone(result: Result) -> None:
    before = dict(plt.rcParams)
    drawn = result.plot("consensus_distance")
    assert dict(plt.rcParams) == before
    assert not drawn.spines["top"].get_visible()
    assert drawn.get_ylabel() == "consensus distance"
    plt.close(drawn.figure)
