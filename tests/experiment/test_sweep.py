"""Variants of a configuration: how they are merged, run, resumed, tabled and drawn."""

import csv
import json
from pathlib import Path

import pytest

from jaxgossip.bench.case import Setting
from jaxgossip.bench.methods import bench_methods, chosen_methods
from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.plots.rankings import ranking
from jaxgossip.experiment.results.run_data import RunData, final_numbers
from jaxgossip.experiment.sweeps.grid import expand
from jaxgossip.experiment.sweeps.variants import merged, sweep, variants, write_table

TEXT = """
name = "small"
rounds = 6
[topology]
kind = "ring"
nodes = 8
[learning]
dataset = "isotropic_quadratic"
dataset_options = { dimension = 3 }
[algorithm]
kind = "dsgd"
form = "cta"
[optimizer]
kind = "sgd"
learning_rate = 0.1
[evaluation]
every = 3
baselines = []
"""
VARIANTS = """
[[variants]]
name = "D²"
algorithm = { kind = "d2" }
[[variants]]
name = "slow"
optimizer = { learning_rate = 0.01 }
byte_budget = 600
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(TEXT + VARIANTS, encoding="utf-8")
    return path


def test_a_table_that_names_a_kind_replaces_and_any_other_merges(config: Path) -> None:
    first, second = variants(config)
    assert (first.name, first.folder, second.folder) == ("D²", "D2", "slow")
    assert first.config.algorithm.kind == "d2"
    assert first.config.algorithm.keywords() == {}
    assert second.config.algorithm.form == "cta"
    assert (second.config.optimizer.kind, second.config.optimizer.learning_rate) == ("sgd", 0.01)
    assert merged({"a": {"kind": "x", "k": 1}}, {"a": {"kind": "y"}}) == {"a": {"kind": "y"}}
    assert merged({"a": {"kind": "x", "k": 1}}, {"a": {"k": 2}}) == {"a": {"kind": "x", "k": 2}}
    assert [one.config.rounds for one in variants(config, ["rounds=4"])] == [4, 4]


@pytest.mark.slow
def test_a_sweep_runs_all_keeps_what_is_complete_and_tells_all(config: Path, tmp_path: Path) -> None:
    found, out = variants(config), tmp_path / "out"
    outcomes = sweep(found, out)
    assert [outcome.status for outcome in outcomes] == ["completed"] * 2
    stamps = [(out / one.folder / "metrics.jsonl").read_text() for one in found]
    again = sweep(found, out)
    assert [(out / one.folder / "metrics.jsonl").read_text() for one in found] == stamps
    assert [outcome.rounds for outcome in again] == [outcome.rounds for outcome in outcomes]
    runs = [RunData.load(out / one.folder) for one in found]
    # a ring of 8 sends 16 rows of 3 float32 a round: 192 bytes, three of them within 600
    assert [run.final["bytes_sent"] for run in runs] == [6 * 192, 3 * 192]
    assert runs[1].final["round"] == 3
    rows = [{"variant": one.name, **final_numbers(run)} for one, run in zip(found, runs, strict=True)]
    table, lines = write_table(rows, out)
    assert [row["variant"] for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())] == ["D²", "slow"]
    assert json.loads(lines.read_text().splitlines()[1])["bytes_sent"] == 576
    figure = ranking(runs, [one.name for one in found])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] in (["D²", "slow"], ["slow", "D²"])
    many = [f"run {number}" for number in range(60)]  # as variants of every method are: a row each
    assert len(ranking(runs[:1] * 60, many).axes[0].get_yticklabels()) == 60
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        sweep(variants(config, ["seed=1"]), out)


@pytest.mark.parametrize(
    ("variants_text", "message"),
    [
        ('[[variants]]\nrounds = 3\n[[variants]]\nname = "b"\n', r"variants\[0\].name: missing"),
        ('[[variants]]\nname = "a b"\n[[variants]]\nname = "a_b"\n', "names another variant too"),
        ('[[variants]]\nname = "a"\nspeed = 3\n', "speed: unknown key"),
        ("variants = 3\n", "variants: expected tables"),
    ],
)
def test_a_wrong_variant_is_named(tmp_path: Path, variants_text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(variants_text + TEXT if variants_text.startswith("variants") else TEXT + variants_text)
    with pytest.raises(ConfigError, match=message):
        variants(path)


@pytest.mark.parametrize("listed", ["3", "true", "[]", "[1]", "{}", "''"])
def test_variants_that_are_no_tables_are_told_by_every_command(tmp_path: Path, listed: str) -> None:
    path = tmp_path / "one.toml"
    path.write_text(TEXT)
    for command in (load, variants):
        with pytest.raises(ConfigError, match=r"one\.toml: variants: expected tables "):
            command(path, [f"variants={listed}"])


def test_a_name_is_checked_alike_alone_and_before_a_run(tmp_path: Path) -> None:
    path = tmp_path / "my first (try).toml"
    path.write_text(TEXT.replace('name = "small"\n', ""))
    assert load(path).name == variants(path)[0].folder == expand(path, []).base.name == "my_first_try"
    for value, said in (("3", "expected a string, got 3"), ("a/b", "'a/b' does not fit"), ("1979-05-27", "1979-05-27")):
        for command in (load, variants):
            with pytest.raises(ConfigError, match=f"name: .*{said}"):
                command(path, [f"name={value}"])


def test_a_configuration_with_variants_is_not_one_run(config: Path) -> None:
    with pytest.raises(ConfigError, match="2 runs in one configuration") as caught:
        load(config)
    assert "jaxgossip sweep" in caught.value.hint


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["algorithm={kind='choco'}"], "compression: missing, and algorithm 'choco' compresses"),
        (["compression={kind='top_k'}"], "compression: algorithm 'dsgd' compresses nothing"),
        (["adversary={kind='label_flip'}"], "adversary.kind: 'isotropic_quadratic' has no labels to flip"),
        (["adversary={kind='backdoor'}"], "adversary.kind: 'isotropic_quadratic' has no samples that carry a trigger"),
        (["privacy={clip=1.0,noise_multiplier=1.0}"], "privacy: 'isotropic_quadratic' has no samples"),
        (["aggregation={kind='medain'}"], "aggregation.kind: unknown aggregation 'medain'"),
        (["network.link_drop=2"], "network.link_drop: must be at most 1"),
    ],
)
def test_sections_that_do_not_go_together_are_named(tmp_path: Path, overrides: list[str], message: str) -> None:
    text = TEXT
    for override in overrides:
        key, value = override.split("=", maxsplit=1)
        if value.startswith("{"):
            text = text.replace('[algorithm]\nkind = "dsgd"\nform = "cta"\n', "") if key == "algorithm" else text
            text = f"{key} = {value}\n".replace("'", '"') + text
            overrides = []
    path = tmp_path / "one.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(path, overrides)


def test_methods_are_timed_in_networks_that_they_can_have() -> None:
    of_all = [chosen_methods(Setting(nodes=nodes)) for nodes in (4096, 4097)]
    assert set(of_all[0]) - set(of_all[1]) == {"morph"}
    assert chosen_methods(Setting(nodes=100_000), ["morph", "choco"])[0] == "morph"
    with pytest.raises(InputError, match="morph keeps what each of 4,097 nodes knows"):
        bench_methods(Setting(nodes=4097, params=2), only=["morph"], repeats=1)


@pytest.mark.slow
def test_every_method_can_be_timed() -> None:
    setting = Setting(nodes=100, params=5)
    (found,) = bench_methods(setting, only=["relay_sgd"], repeats=1, sample_s=1e-3)
    assert (found.name, found.mixings) == ("relay_sgd", 2)
    assert found.ratio == pytest.approx(2 * found.per_mixing)
