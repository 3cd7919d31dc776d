"""The commands that need no error: new, validate, run, plot, compare, list, schema, info, --help."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxgossip.bench import scaling
from jaxgossip.bench.case import Measured
from jaxgossip.cli.main import main
from jaxgossip.cli.terminal import listing as listings
from jaxgossip.cli.terminal.names import kinds, listing
from jaxgossip.cli.terminal.tables import table
from jaxgossip.core.devices import memory
from jaxgossip.core.devices.determinism import compiler_options
from jaxgossip.experiment.config.examples import examples_folder
from jaxgossip.simulation.results.provenance import provenance


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return the command line, called in this process and in an empty folder; it must end with 0."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def invoke(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["jaxgossip", *words])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        assert left.value.code == 0, printed.err
        return printed.out

    return invoke


@pytest.mark.slow
def test_a_newcomer_gets_from_nothing_to_a_comparison(call: Callable[..., str], tmp_path: Path) -> None:
    assert "next: jaxgossip run own_graph.toml" in call("new", "own_graph")
    assert "next: jaxgossip sweep 'my methods.toml'\n" in call("new", "methods", "--out", "my methods.toml")
    assert (tmp_path / "karate_club.txt").is_file()
    assert "own_graph.toml is valid" in call("validate", "own_graph.toml")
    shrink = ["--set", "rounds=4", "--set", "evaluation.every=2"]
    said = call("run", "own_graph.toml", *shrink, "--out", "a")
    assert "completed after 4 rounds" in said
    assert "isolated nodes" in said
    assert (
        "next: jaxgossip run own_graph.toml --set rounds=4 --set evaluation.every=2 --seed 1 --out a-seed-1\n" in said
    )
    call("run", "own_graph.toml", *shrink, "--seed", "7", "--out", "b")
    assert json.loads((tmp_path / "b" / "manifest.json").read_text())["seed"] == 7
    assert "wrote a/summary.png" in call("plot", "a")
    assert "wrote picture.svg" in call("plot", "a", "--out", "picture.svg")
    assert "wrote compare.png" in call("compare", "a", "b")
    assert (tmp_path / "compare.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_run_without_out_makes_a_folder_of_its_own(call: Callable[..., str], tmp_path: Path) -> None:
    call("new", "ring_sgd")
    call("run", "ring_sgd.toml", "--set", "rounds=2")
    (folder,) = (tmp_path / "runs").iterdir()
    assert "-ring_sgd-" in folder.name


def test_list_names_everything_that_a_configuration_can_name(call: Callable[..., str]) -> None:
    text = call("list")
    for name in ("quickstart", "ring", "matching", "spambase", "dirichlet", "cnn", "gossip", "adamw", "least_squares"):
        assert f"  {name} " in text
    assert "  ring " in call("list", "topology")
    assert "gossip" not in call("list", "topology")


@pytest.mark.parametrize(
    ("word", "kind"),
    [("algorithms", "algorithm"), ("topologies", "topology"), ("peers", "peers"), ("delays", "delay"),
     ("aggregations", "aggregation"), ("example", "examples"), ("formats", "format"), ("churns", "churn"), ("weights", "weights")],
)  # fmt: skip
def test_a_kind_is_listed_by_its_plural_too(word: str, kind: str, call: Callable[..., str]) -> None:
    assert call("list", word) == call("list", kind)
    assert call("list", word).splitlines()[0] == kind


def test_list_tells_the_keys_of_one_name(call: Callable[..., str]) -> None:
    assert call("list", "topology", "binary_tree") == (
        "binary_tree\n  The complete tree in level order: node i > 0 is linked to its parent (i − 1) // branching.\n\n"
        'in a configuration: topology.kind = "binary_tree"\n\n'
        "keys in [topology], with their [defaults]\n"
        "  nodes          number of nodes (integer; has to be given)\n"
        "  branching [2]  number of children of every inner node; 2 gives a binary tree (integer)\n\n"
        "keys in [topology] whatever its kind\n"
        "  allow_disconnected [false]  accept a graph of several components (true or false)\n"
        "  localise [true]             let neighbours stand near each other in memory, in rounds of 32,768 nodes or more; "
        "results keep the nodes' numbers (true or false)\n"
    )
    assert "  payload [model]" in call("list", "algorithms", "gossip")
    assert 'learning.format = "csv"' in call("list", "formats", "csv")
    assert re.search(r"\n  label_column +the column of labels", call("list", "formats", "csv"))
    assert "  path" not in call("list", "formats", "csv")
    assert "(list of integers or words)" in " ".join(call("list", "formats", "csv").split())
    assert 'learning.model = "mlp"' in call("list", "models", "mlp")
    assert "  hidden [[32]]         width of each hidden layer (list of integers)\n" in call("list", "models", "mlp")
    assert 'mixing.weights = "sinkhorn"' in call("list", "weights", "sinkhorn")
    assert "write it by: jaxgossip new methods\n" in call("list", "examples", "methods")


OWN = '''
def mine(width: int, *, rate: float = 0.5):
    """Do it my way.

    Args:
        width: how wide it is.
    """

def plain(): ...
'''


def test_list_tells_the_keys_of_ones_own_function_of_every_kind(call: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    own = [title for title, kind in kinds().items() if kind.takes_own]
    assert {*kinds()} - {*own} == {"weights", "format"}
    for title in own:
        listed = kinds()[title].listed  # a function of a key and a sample
        (tmp_path / "mine.py").write_text(OWN.replace("(width", "(key, x, width") if listed else OWN)
        text = call("list", title, "mine.py:mine")
        assert text.startswith("mine.py:mine\n  Do it my way.\n\nin a configuration: ")
        value = '[{kind = "mine.py:mine"}]' if listed else '"mine.py:mine"'
        assert f"{kinds()[title].key} = {value}\n" in text
        assert "  width       how wide it is (integer; has to be given)\n  rate [0.5]  number\n" in text
    assert "\nit has no keys of its own\n" in call("list", "topologies", "mine.py:plain")


@pytest.mark.slow
def test_every_name_is_described_within_80_columns(call: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    texts = [listing(title, name) for title, one in kinds().items() for names in one.registries for name in names]
    texts += [call("list"), call("figure", "list"), call("topology", "list"), call("--help")]
    for text in texts:
        for line in text.splitlines():
            assert len(line) <= 80, line
        assert not re.search(r"\((table|table; has to be given)\)", text), text  # no key takes what has no word
        assert "``" not in text
        assert ":func:" not in text


def test_schema_is_json_and_knows_the_standing_keys(call: Callable[..., str]) -> None:
    properties = json.loads(call("schema"))["properties"]
    standing = {"name", "seed", "rounds", "topology", "learning", "partition", "algorithm", "optimizer", "network"}
    assert standing <= set(properties)


def test_info_tells_versions_and_devices(call: Callable[..., str]) -> None:
    text = call("info")
    for word in ("jaxgossip", "jax", "python", "device", "cores", "a run uses   one device and all cores; --devices N"):
        assert word in text


@pytest.mark.parametrize(
    ("count", "told"),
    [(1, "one device, 70.0 GiB free"), (4, "one device; --devices 4 spreads it over all, 70.0 GiB free on each")],
)
def test_info_tells_what_a_run_would_use_of_gpus(count: int, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "device_free_bytes", lambda _: 70 * 2**30)
    assert listings._used("gpu", count) == told


def test_programs_for_gpus_are_compiled_to_be_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiler_options() == {}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    # The compiler knows the option, and refuses others.
    assert jax.jit(jnp.sin).lower(0.0).compile(compiler_options=compiler_options())(0.0) == 0.0
    assert provenance()["flags"]["xla_gpu_deterministic_ops"] is True


@pytest.mark.parametrize(
    "command", ["run", "resume", "validate", "new", "schema", "list", "plot", "compare", "bench", "info", "topology"]
)
def test_every_command_explains_itself(command: str, call: Callable[..., str]) -> None:
    assert "Usage:" in call(command, "--help")


@pytest.mark.slow
def test_bench_prints_a_table_or_json_and_draws(
    call: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ["--nodes", "200", "--params", "4", "--repeats", "1", "--only", "star,ring"]
    text = call("bench", *small)
    assert text.startswith("200 nodes, 4 float32 parameters: one copy of the state (3.2 kB) takes")
    assert [line.split()[0] for line in text.splitlines()[2:5]] == ["case", "ring", "star"]
    assert "next: jaxgossip bench --plot" in text

    point = Measured("any", (1000, 4), 1e-6, 1e-5, 5.0, 8000, "edge", 1.0, "scipy CSR @ X", 1e-4)
    series = dict.fromkeys(scaling.SERIES, scaling.Scaling((point,), ()))
    asked: list[int] = []
    monkeypatch.setattr(scaling, "scale", lambda _, largest, **__: asked.append(largest) or series)
    found = json.loads(call("bench", *small, "--json", "--plot", "bench.svg"))  # nothing else on stdout
    assert [case["name"] for case in found["cases"]] == ["ring", "star"]
    assert found["machine"]["versions"]["jax"]
    assert found["scaling"]["random_8_regular"]["points"][0]["round_s"] == 1e-5
    assert asked == [2000]
    assert (tmp_path / "bench.svg").read_text().startswith("<?xml")


@pytest.mark.slow
def test_bench_of_deep_networks_prints_a_table_or_json(call: Callable[..., str]) -> None:
    small = ["--deep", "--nodes", "3", "--repeats", "1", "--only", "mlp_layerwise_step"]
    lines = call("bench", *small).splitlines()
    assert lines[0] == "3 nodes, each a step on its own batch, without mixing"
    assert [line.split()[0] for line in lines[2:]] == ["case", "mlp_layerwise_step"]
    found = json.loads(call("bench", *small, "--json"))
    assert (found["nodes"], found["convolutions"]) == (3, [])
    assert found["cases"][0]["speedup"] > 0
    assert found["machine"]["versions"]["jax"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--only", "ring,rign"), "unknown benchmark case 'rign'"),
        (("--nodes", "10"), "the benchmark needs at least 100 nodes, not 10"),
        (("--plot", "bench.txt"), "bench.txt: no picture can be written as '.txt'"),
        (("--deep", "--grid"), "--grid goes without --deep"),
        (("--deep", "--plot", "bench.png"), "--plot goes with the cases, not with --deep"),
        (("--deep", "--nodes", "0"), "deep networks need at least one node, not 0"),
        (("--deep", "--only", "mlp_step"), "unknown deep benchmark case 'mlp_step'"),
    ],
)
def test_bench_refuses_before_it_measures(words: tuple[str, ...], message: str, call: Callable[..., str]) -> None:
    with pytest.raises(AssertionError, match=re.escape(f"error: {message}")) as told:
        call("bench", *words)
    assert "assert 2 == 0" in str(told.value)


def test_an_example_is_not_overwritten_unless_forced(call: Callable[..., str], tmp_path: Path) -> None:
    call("new")
    (tmp_path / "quickstart.toml").write_text("mine")
    with pytest.raises(AssertionError, match="is there already"):
        call("new")
    call("new", "--force")
    assert "spambase" in (tmp_path / "quickstart.toml").read_text()


@pytest.mark.parametrize(
    ("name", "beside"), [("own_graph", "karate_club.txt"), ("own_flax_model", "own_flax_model.py")]
)
def test_an_example_brings_the_file_that_it_names(
    name: str, beside: str, call: Callable[..., str], tmp_path: Path
) -> None:
    assert call("new", name, "--out", "mine/first.toml").splitlines()[:2] == [
        "wrote mine/first.toml",
        f"wrote mine/{beside}",
    ]
    assert (tmp_path / "mine" / beside).read_bytes() == (examples_folder() / beside).read_bytes()
    (tmp_path / "mine" / "first.toml").unlink()
    with pytest.raises(AssertionError, match=f"mine/{beside} is there already"):
        call("new", name, "--out", "mine/first.toml")
    assert not (tmp_path / "mine" / "first.toml").exists()


def test_the_model_of_an_example_shows_its_keys(call: Callable[..., str]) -> None:
    call("new", "own_flax_model")
    said = call("list", "model", "own_flax_model.py:model")
    assert "  channels [[8, 16]]  number of feature maps of each convolution (list of integers)\n" in said
    assert re.search(r"\n  state \[mixed\] .*\(mixed or private or recalibrated\)\n", said)


def test_tables_take_no_word_for_markup() -> None:
    assert table([{"run": "[bold]a[/bold]", "shape": "[4,16]"}]).splitlines()[1].split() == ["[bold]a[/bold]", "[4,16]"]
    assert "[/nothing] :smile:" in table([{"run": "[/nothing] :smile:"}])
