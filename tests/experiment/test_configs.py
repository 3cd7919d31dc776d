"""Every shipped configuration runs, in small; its opening comment says what to look at; and what it leaves behind holds."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.algorithms import ALGORITHMS
from jaxgossip.core.arguments import may_be_none
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import load_object
from jaxgossip.experiment.config.examples import examples, examples_folder
from jaxgossip.experiment.config.load import load, resolved_toml
from jaxgossip.experiment.plots.labels import footnote
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.experiment.runs.run import run
from jaxgossip.experiment.sweeps.variants import variants
from tests.experiment.cifar_files import write_cifar10

SMALL = {
    "quickstart": [],
    "million": ["topology.nodes=2001"],
    "ten_million": ["topology.nodes=2001"],
    "ormandi": [],
    "ormandi_100k": ["topology.nodes=5001"],
    "digits_noniid": ["topology.nodes=20"],
    "ring_sgd": [],
    "own_graph": [],
    "own_flax_model": [],
    "mnist_noniid": ["topology.nodes=12", "learning.batch_size=4"],
    "cifar10": [
        "topology.nodes=8",
        "partition.least=4",
        "learning.batch_size=4",
        "evaluation.baselines=['isolated']",
    ],
    "shakespeare": ["topology.nodes=12", "topology.degree=4", "learning.batch_size=2", "evaluation.sampled_nodes=2"],
    "methods": [],
    "low_communication": [],
    "byzantine": ["topology.nodes=20", "topology.degree=4"],
    "virtual_time": ["topology.nodes=20"],
}
OFTEN = {"byzantine", "digits_noniid", "virtual_time"}
"""Those of which a whole run is looked at; that the others run, ``.ci/run`` shows, by the command line."""
CONFIGS = sorted(examples_folder().glob("*.toml"))
PROMISED = {"round", "test_loss_mean", "consensus_distance", "messages", "bytes_sent", "wall_s"}
ACCURACY = {f"test_accuracy_{what}" for what in ("mean", "std", "min", "max", "q05", "q25", "q50", "q75", "q95")}


def test_every_config_is_in_the_table() -> None:
    assert {path.stem for path in CONFIGS} == set(SMALL)


def test_the_methods_are_all_that_learn_in_rounds() -> None:
    path = examples_folder() / "methods.toml"
    listed = tomllib.loads(path.read_text())["variants"]
    compared = {variant["algorithm"]["kind"] for variant in listed}
    absent = {name for name in ALGORITHMS if name not in compared}
    after_steps_alone = {"model_propagation"}
    reason = " ".join(path.read_text().replace("\n# ", " ").split()).split("pure averaging (")[1].split(")")[0]
    assert absent | after_steps_alone == {name for name in ALGORITHMS if may_be_none(ALGORITHMS[name], "optimizer")}
    assert absent == set(reason.split(", "))
    counts = f"{len(listed)} variants of {len(compared)} algorithms"
    told = (
        path.parents[1] / "figures" / "README.md"
    )  # of the repository: an installed package has its configurations alone
    assert not told.exists() or counts in told.read_text()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_opens_with_what_to_look_at(path: Path) -> None:
    opening = path.read_text().split("\n\nname = ")[0]
    assert opening.startswith("# ")
    assert "What to look at" in opening
    assert examples()[path.stem]


@pytest.mark.slow
def test_the_names_of_ones_own_nodes_stand_beside_their_scores(tmp_path: Path) -> None:
    (tmp_path / "friends.txt").write_text("Anna Bob\nBob Carl\n" + f"Carl {'D' * 300}\n")
    graph = f"topology={{kind='edge_list', path='{tmp_path / 'friends.txt'}'}}"
    short = ["rounds=2", "evaluation.every=2", "evaluation.baselines=[]"]
    config = variants(examples_folder() / "ring_sgd.toml", [graph, *short])[0].config
    folder = run(config, out=tmp_path / "run", command="jaxgossip run").folder
    with np.load(folder / "node_scores.npz") as scores:
        assert scores["node"].tolist() == ["Anna", "Bob", "Carl", "D" * 199 + "…"]
        errors = scores["distance_to_optimum"]
    found = RunData.load(folder)
    assert found.node_names is not None
    assert set(found.node_scores) == {"distance_to_optimum", "test_loss"}
    assert f"(node {found.node_names[errors.argmax()]})" in footnote(found)[0]


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in CONFIGS if path.stem in OFTEN], ids=lambda path: path.stem)
def test_a_config_runs_in_small_and_leaves_a_whole_run(path: Path, tmp_path: Path) -> None:
    files = [f"learning.dataset='{write_cifar10(tmp_path / 'files')}'"] if path.stem == "cifar10" else []
    config = variants(path, [*SMALL[path.stem], *files, "rounds=6", "evaluation.every=3"])[0].config
    outcome = run(config, out=tmp_path / "run", command="jaxgossip run")
    folder = outcome.folder
    assert outcome.status == "completed"
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["round"] for record in records] == [0, 3, 6]
    promised = PROMISED | (ACCURACY | {"mean_model_test_accuracy"} if config.is_classification else set())
    assert all(promised <= set(record) for record in records)
    for baseline in config.evaluation.baselines:
        assert (folder / "baselines" / f"{baseline}.jsonl").is_file()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {"command", "seed", "git", "versions", "device", "dtype", "flags", "started", "finished", "status"} <= set(
        manifest
    )
    assert manifest["status"] == "completed"
    name = "test_accuracy" if config.is_classification else "test_loss"
    with np.load(folder / "node_scores.npz") as scores:
        assert scores[name].shape == (manifest["graph"]["nodes"],)
    assert (folder / "summary.png").stat().st_size > 10_000
    assert not list(folder.rglob("*.tmp"))
    resolved = tomllib.loads((folder / "config.toml").read_text())
    assert resolved["rounds"] == 6
    assert load(folder / "config.toml") == config
    assert load(resolved_toml(config)) == config


@pytest.mark.slow
def test_the_resolved_config_gives_the_same_run(tmp_path: Path) -> None:
    config = load(examples_folder() / "own_graph.toml", ["rounds=4", "evaluation.baselines=[]"])
    first = run(config, out=tmp_path / "a")
    again = run(load(first.folder / "config.toml"), out=tmp_path / "b")
    values = [
        [{**json.loads(line), "wall_s": 0} for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (first.folder, again.folder)
    ]
    assert values[0] == values[1]


@pytest.mark.slow
def test_own_builders_in_a_file_are_as_good_as_ours(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("SIDES = (4, 6)\n")
    (tmp_path / "mine.py").write_text(
        '''
"""My own parts."""
import networkx as nx
import numpy as np
from helper import SIDES
from jaxgossip.learning import from_arrays, from_functions

def lattice(seed: int):
    """A lattice, as networkx makes it."""
    assert seed == 5
    return nx.grid_2d_graph(*SIDES)

def circles(path: str, radius: float = 1.0, *, test_fraction: float, standardize: bool, rng):
    """Points inside and outside of a circle."""
    x = rng.normal(size=(300, 2))
    y = ((x**2).sum(1) < radius).astype(int)
    return from_arrays(x, y, test_fraction=test_fraction, standardize=standardize, rng=rng)

def squares(input_shape, n_classes, init: str = "zero"):
    """Quadratic features."""
    import jax.numpy as jnp
    start = {"zero": 0.0, "one": 1.0}[init]
    return from_functions(lambda key: {"w": jnp.full(3, start)}, lambda p, x: (x**2) @ p["w"][:2] + p["w"][2], "logistic")
'''
    )
    (tmp_path / "own.toml").write_text(
        """
seed = 5
rounds = 40
topology = { kind = "mine.py:lattice" }
partition = { kind = "iid" }
algorithm = { kind = "dsgd" }
optimizer = { kind = "sgd", learning_rate = 0.5 }
[learning]
dataset = "mine.py:circles"
dataset_options = { path = "unused", radius = 1.5 }
model = "mine.py:squares"
model_options = { init = "one" }
batch_size = 4
[evaluation]
baselines = []
"""
    )
    outcome = run(load(tmp_path / "own.toml"), out=tmp_path / "run")
    assert outcome.final["run"]["test_accuracy_mean"] > 0.85
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["graph"]["nodes"] == 24


@pytest.mark.slow
def test_the_order_of_rows_is_invisible_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxgossip.experiment.build import experiment as builder

    monkeypatch.setattr(builder, "LOCALISE_FROM", 100)
    monkeypatch.setattr("jaxgossip.topology.locality.WINDOW", 64)
    settings = [
        "topology={kind='random_geometric', nodes=2000, mean_degree=12.0, allow_disconnected=true}",
        "mixing={kind='static'}", "rounds=10", "evaluation={every=5, sampled_nodes=50, baselines=[]}",
    ]  # fmt: skip
    scores, logs = [], []
    for localise in ("true", "false"):
        config = load(examples_folder() / "quickstart.toml", [*settings, f"topology.localise={localise}"])
        experiment = builder.build(config)
        assert (experiment.problem.order is not None) is (localise == "true")
        run(config, out=tmp_path / localise)
        with np.load(tmp_path / localise / "node_scores.npz") as stored:
            scores.append(stored["test_accuracy"])
        log = [json.loads(line) for line in (tmp_path / localise / "metrics.jsonl").read_text().splitlines()]
        logs.append([{key: value for key, value in record.items() if key != "wall_s"} for record in log])
    np.testing.assert_allclose(*scores, atol=2 / 461)
    assert np.ptp(scores[0]) > 0.1
    for ours, plain in zip(*logs, strict=True):
        assert ours == pytest.approx(plain, rel=2e-3)


def test_neighbours_of_one_name_in_two_folders_are_not_mixed_up(tmp_path: Path) -> None:
    for folder, value in (("first", 1), ("second", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "neighbour_of_both.py").write_text(f"VALUE = {value}\n")
        (tmp_path / folder / f"code_{folder}.py").write_text(
            "from neighbour_of_both import VALUE\n\n\ndef one():\n    return VALUE\n"
        )
    first = load_object("first/code_first.py:one", tmp_path)
    assert first() == load_object("first/code_first.py:one", tmp_path)() == 1
    with pytest.raises(ConfigError, match=r"imports 'neighbour_of_both' from its folder, but .*first.* is loaded"):
        load_object("second/code_second.py:one", tmp_path)
