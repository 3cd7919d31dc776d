"""The topology commands: what they print, their JSON, their pictures, and what they say of mistakes."""

import functools
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip.cli.terminal.output import slow
from jaxgossip.core.errors import InputError
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.topologies.pictures import page
from jaxgossip.topology import metropolis_hastings, path
from jaxgossip.topology.graph import from_links
from jaxgossip.topology.spectra.measures import measure


@pytest.fixture
def call(called: Callable[..., tuple[int, str, str]], tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Return ``jaxgossip topology`` with words behind it, in a folder with two edge lists."""
    (tmp_path / "own.txt").write_text("0 1\n1 2\n2 3\n3 0\n0 2\n")
    (tmp_path / "split.txt").write_text("0 1\n2 3\n")
    return functools.partial(called, "topology")


def test_list_names_every_topology_with_its_keys(call: Callable[..., tuple[int, str, str]]) -> None:
    code, text, _ = call("list")
    assert code == 0
    for word in ("ring\n", "watts_strogatz\n", "    beta ", "    branching [2]", "edge_list\n", "    path "):
        assert word in text
    assert "rng" not in text
    found = {one["name"]: one for one in json.loads(call("list", "--json")[1])}
    assert [key["name"] for key in found["random_regular"]["keys"]] == ["nodes", "degree"]
    assert found["random_regular"]["keys"][1]["required"]


def test_show_prints_the_numbers_of_a_topology(call: Callable[..., tuple[int, str, str]]) -> None:
    code, text, _ = call("show", "ring", "--nodes", "32")
    assert code == 0
    for words in (
        "nodes                 32\n",
        "diameter              16\n",
        "metropolis_hastings: symmetric, doubly stochastic",
        "n_W(0.5)              3.72\n",
        "n_W(0.99)             17.08\n",
        "messages a round      64\n",
        "next: jaxgossip topology show ring --nodes 32 --plot ring.png",
    ):
        assert words in text, words


def test_show_in_json_has_its_keys_and_nothing_else_on_stdout(call: Callable[..., tuple[int, str, str]]) -> None:
    words = ["show", "watts_strogatz", "--set", "degree=4", "--set", "beta=0.2", "--nodes", "50", "--json"]
    found = json.loads(call(*words)[1])
    assert {
        "topology", "options", "seed", "nodes", "edges", "directed", "degree_min", "degree_mean", "degree_max",
        "components", "connected", "diameter", "diameter_exact", "clustering", "weights", "symmetric",
        "doubly_stochastic", "spectral_gap", "lambda_2", "lambda_min", "lambda_2_modulus", "effective_neighbours",
        "rounds_to_1e-3", "messages_a_round", "notes",
    } <= set(found)  # fmt: skip
    assert found["options"] == {"degree": 4, "beta": 0.2, "nodes": 50}
    assert [one["gamma"] for one in found["effective_neighbours"]] == [0.5, 0.9, 0.99]
    assert json.loads(call(*words)[1]) == found
    assert json.loads(call(*words, "--seed", "1")[1])["lambda_2"] != found["lambda_2"]


def test_an_edge_list_is_shown_by_its_path(call: Callable[..., tuple[int, str, str]]) -> None:
    found = json.loads(call("show", "own.txt", "--json")[1])
    assert (found["topology"], found["nodes"], found["edges"], found["diameter"]) == ("edge_list", 4, 5, 2)
    directed = json.loads(call("show", "own.txt", "--set", "directed=true", "--weights", "uniform", "--json")[1])
    assert directed["directed"]
    assert not directed["doubly_stochastic"]
    code, text, _ = call("show", "split.txt")
    assert code == 0
    assert "no, 2 components" in text
    assert "rounds to 1e-3        never" in text


@pytest.mark.by_default("star")
@pytest.mark.parametrize(
    "words",
    [
        ["ring"], ["path"], ["grid"], ["torus"], ["star"], ["binary_tree"], ["hypercube"], ["static_exponential"],
        ["own.txt"], ["barabasi_albert", "--set", "m=2"], ["watts_strogatz", "--set", "degree=4", "--set", "beta=0.1"],
        ["random_geometric", "--set", "mean_degree=12"], ["random_regular", "--set", "degree=3", "--nodes", "400"],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_every_kind_of_topology_is_drawn(words: list[str], call: Callable[..., tuple[int, str, str]]) -> None:
    code, text, err = call("show", *words, "--plot", "picture.png")
    assert code == 0, err
    assert "wrote picture.png" in text
    assert Path("picture.png").stat().st_size > 10_000


def test_compare_gives_a_row_each_and_says_what_it_assumed(call: Callable[..., tuple[int, str, str]]) -> None:
    words = ["ring", "watts_strogatz:degree=6,beta=0.1", "watts_strogatz", "random_regular", "own.txt"]
    code, text, _ = call("compare", *words, "--nodes", "36", "--out", "all.png")
    assert code == 0
    lines = text.splitlines()
    assert lines[0].split()[:2] == ["topology", "nodes"]
    assert len(lines[1:6]) == 5
    assert lines[1].startswith("ring ")
    assert "watts_strogatz, degree 6" in lines[2]
    assert "watts_strogatz: degree=4, beta=0.1 assumed" in text
    assert "random_regular: degree=4 assumed" in text
    assert Path("all.png").stat().st_size > 10_000
    found = json.loads(call("compare", *words, "--nodes", "36", "--json")[1])
    assert [one["nodes"] for one in found] == [36, 36, 36, 36, 4]
    assert found[3]["assumed"] == {"degree": 4}


def test_compare_labels_a_row_with_what_was_given(call: Callable[..., tuple[int, str, str]]) -> None:
    lines = call("compare", "torus:shape=[4,16]", "watts_strogatz:degree=6,beta=0.1", "ring")[1].splitlines()
    assert lines[1].startswith("torus, shape [4, 16] ")
    assert lines[2].startswith("watts_strogatz, degree 6, beta 0.1 ")
    assert lines[3].startswith("ring ")


def test_a_picture_has_room_and_says_names_and_components() -> None:
    for graph in (path(1), path(2), from_links(3, np.array([0, 1]), np.array([1, 2]), name="chain")):
        axes = page(measure(metropolis_hastings(graph)), "own").axes[0]
        assert min(np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())) > 0.2
    parts = from_links(4, np.array([0, 2]), np.array([1, 3]), name="parts")
    axes = page(measure(metropolis_hastings(replace(parts, labels=("a", "b$", "c", "a long name of it")))), "own").axes[
        0
    ]
    assert "2 components" in axes.get_title(loc="left")
    assert {text.get_text() for text in axes.texts} == {"a", "b\\$", "c", "a long name…"}


def test_a_setting_for_all_reaches_those_that_have_the_key(call: Callable[..., tuple[int, str, str]]) -> None:
    words = ["ring", "random_regular", "watts_strogatz:degree=6"]
    found = json.loads(call("compare", *words, "--set", "degree=8", "--json")[1])
    assert [one["degree_mean"] for one in found] == [2, 8, 6]


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["show", "rign"], ["unknown topology 'rign'", "did you mean 'ring'"]),
        (["show", "hypercube", "--nodes", "100"], ["100 nodes are no power of two", "64 or 128"]),
        (["show", "random_regular"], ["random_regular: degree: missing", "--set degree=4"]),
        (["show", "ring", "--set", "degree=4"], ["ring: degree: unknown key"]),
        (["show", "random_regular", "--set", "degree=four"], ["degree: expected an integer, got 'four'"]),
        (["show", "random_regular", "--set", "degree"], ["'degree' is no setting", "key=value"]),
        (["show", "ring", "--weights", "metropolis"], ["unknown weight rule 'metropolis'", "metropolis_hastings"]),
        (["show", "nowhere.txt"], ["nowhere.txt", "no such file"]),
        (["show", "own.txt", "--nodes", "7"], ["as many nodes as it lists", "--nodes"]),
        (["show", "own.txt", "--set", "directed=true"], ["is directed", "uniform"]),
        (["show", "ring", "--plot", "ring.doc"], ["no picture can be written as '.doc'"]),
        (["compare", "ring", "torsu"], ["unknown topology 'torsu'", "did you mean 'torus'"]),
        (["compare", "ring", "--set", "dgree=4"], ["dgree", "no topology"]),
        (["compare", "grid:shape=[3,5],nodes=12"], ["3 x 5 has 15 nodes, not 12"]),
    ],
    ids=lambda value: " ".join(value) if value[0] in ("show", "compare") else "",
)
def test_a_mistake_gives_one_sentence_a_hint_and_exit_code_2(
    words: list[str], texts: list[str], call: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = call(*words)
    assert code == 2
    assert not out
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    for text in texts:
        assert text in err


def test_what_is_slow_is_told_again_until_it_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("WAIT_S", "AGAIN_S"):
        monkeypatch.setattr(f"jaxgossip.cli.terminal.output.{name}", 0.02)
    with slow("counting"):
        time.sleep(0.3)
    first, *more = capsys.readouterr().err.splitlines()
    assert first.startswith("  counting …")
    assert len(more) > 2
    assert more[-1].endswith("0 s so far")
    time.sleep(0.1)
    assert not capsys.readouterr().err


def test_rounding_is_no_result_and_hides_none(call: Callable[..., tuple[int, str, str]]) -> None:
    assert "λ₂, λ_min             1 - 3.3e-10, -0.333333\n" in call("show", "ring", "--nodes", "200000")[1]
    for words in (["complete", "--nodes", "9"], ["star", "--nodes", "30"], ["split.txt"]):
        assert not re.search(r"e-1[3-9]", call("show", *words)[1])
    Path("dir.txt").write_text("a b\nb c\nc a\na d\n")
    text = call("show", "dir.txt", "--set", "directed=true", "--weights", "uniform")[1]
    assert "1 - ‖W - J‖₂          0.2929\n" in text
    assert "rounds to 1e-3        10\n" in text
    assert "of variance only: W keeps no mean" in text


@pytest.mark.slow
def test_optimize_tells_how_far_it_is(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jaxgossip.cli.terminal.output.WAIT_S", 0.02)
    monkeypatch.setattr("jaxgossip.cli.terminal.progress.SHARE_S", 0.02)
    code, _, err = call("optimize", "ring", "--nodes", "6", "--rounds", "2", "--steps", "30")
    assert code == 0
    assert re.search(r"^  ring: fastest weights, \d+% done", err, re.MULTILINE)
    assert "ring: proof" in err


@pytest.mark.slow
def test_optimize_learns_weights_that_a_configuration_mixes_with(
    call: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, text, _ = call("optimize", "path", "--nodes", "5", "--rounds", "2", "--steps", "40", "--out", "w.npz")
    assert code == 0
    assert "no symmetric weights have a gap above 0.191" in text  # 1 - cos(π/5)
    assert 'in a configuration: mixing = { kind = "from_file", path = "w.npz", which = "schedule" }' in text
    config = tmp_path / "c.toml"
    config.write_text(
        'topology = { kind = "path", nodes = 5 }\nrounds = 4\nlearning.dataset = "averaging"\n'
        'algorithm.kind = "averaging"\noptimizer = { kind = "sgd", learning_rate = 0.1 }\n'
        'mixing = { kind = "from_file", path = "w.npz" }\n'
    )
    W = build(load(config)).W
    assert np.linalg.norm(W.as_matrix() - 1 / 5, 2) == pytest.approx(np.cos(np.pi / 5), abs=1e-5)
    schedule = build(load(config, ["mixing.which=schedule"])).W
    stored = np.load(tmp_path / "w.npz")
    for number in (0, 1, 2):
        matrix = schedule.at(jnp.int32(number), jax.random.key(0)).as_matrix()
        assert matrix[0, 1] == pytest.approx(stored["schedule"][number % 2, 0], abs=1e-6)
        assert matrix == pytest.approx(matrix.T, abs=1e-6)
    with pytest.raises(InputError, match="holds weights of another graph than ring with 5 nodes"):
        build(load(config, ["topology.kind=ring"]))
    (tmp_path / "w.npz").write_text("no")
    with pytest.raises(InputError, match="not an npz file"):
        build(load(config))


@pytest.mark.by_default(
    "words3-weights cannot be learnt on split.txt with 4 nodes: it is not connected",
    "words2-weights cannot be learnt on static_exponential with 8 nodes: it is directed",
)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("path", "--nodes", "4", "--set", "dgree=3"), "unknown key"),
        (("erdos_renyi", "--nodes", "8"), "mean_degree"),
        (
            ("static_exponential", "--nodes", "8"),
            "weights cannot be learnt on static_exponential with 8 nodes: it is directed",
        ),
        (("split.txt",), "weights cannot be learnt on split.txt with 4 nodes: it is not connected"),
        (("ring", "--nodes", "2000"), "weights cannot be learnt on ring with 2,000 nodes: at most 1,024"),
        (("ring", "--nodes", "8", "--rounds", "0"), "over at least one round"),
        (("ring", "--out", "w.txt"), "weights are written as .npz"),
    ],
)
def test_what_cannot_be_optimized_is_said_before_anything_is_learnt(
    call: Callable[..., tuple[int, str, str]], words: tuple[str, ...], said: str
) -> None:
    code, _, err = call("optimize", *words)
    assert code == 2
    assert said in err
    assert "hint: " in err


@pytest.fixture
def trace(call: Callable[..., tuple[int, str, str]]) -> str:
    """A trace of three nodes in the folder that commands run in."""
    Path("trace.csv").write_text("t_s,u,v,duration_s\n0,0,1,2\n1,1,2,1\n4,0,1,3\n9,1,0,1\n")
    return "trace.csv"


def test_contacts_of_a_trace_are_measured(call: Callable[..., tuple[int, str, str]], trace: str) -> None:
    code, text, _ = call("contacts", trace)
    assert code == 0
    for words in (
        "trace.csv (csv)\n",
        "  nodes            3\n",
        "  observed         10.0 s\n",
        "  contacts         4\n",
        "  at once          a node is in contact with 0.467 others on average\n",
        "  a pair meets     every 10.0 s on average\n",
        "  contact lasts    1.8 s mean, 1.5 s median, 9 of 10 up to 2.7 s\n",
        "  apart until next 2 s mean, 2 s median, 9 of 10 up to 2 s\n",
        "  news can reach   100.0% of pairs\n",
        "  in               0.67 s mean, 1 s median, 9 of 10 up to 1 s\n",
        "next: jaxgossip topology contacts trace.csv --plot contacts.png",
    ):
        assert words in text, words
    found = json.loads(call("contacts", trace, "--until", "3", "--json")[1])
    assert (found["contacts"], found["until_s"], found["contact_s"]["mean"]) == (2, 3.0, 1.5)
    assert found["contact_s"]["ccdf"] == {"at_least": [1.0, 2.0], "share": [1.0, 0.5]}
    assert found["reachable"] == {"sources": 3, "share": 1.0, "delay_s": found["reachable"]["delay_s"]}


def test_contacts_of_a_movement_are_drawn_and_written(call: Callable[..., tuple[int, str, str]]) -> None:
    words = ["random_waypoint", "--nodes", "30", "--until", "200", "--set", "side_m=90", "--set", "range_m=9"]
    code, text, _ = call("contacts", *words, "--plot", "picture.png", "--out", "walk.csv")
    assert code == 0
    assert "random_waypoint, side_m 90, range_m 9, seed 0\n  nodes            30\n" in text
    assert "wrote walk.csv" in text
    assert "wrote picture.png" in text
    assert Path("picture.png").stat().st_size > 10_000
    walked, again = (
        json.loads(call("contacts", *some, "--json")[1]) for some in (words, ["walk.csv", "--until", "200"])
    )
    assert {**walked, "contacts_of": ""} == {**again, "contacts_of": ""}
    assert json.loads(call("contacts", *words, "--seed", "1", "--json")[1])["contacts"] != walked["contacts"]


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["randm"], ["unknown movement 'randm'", "did you mean 'random_waypoint'?"]),
        (["none.csv"], ["none.csv: path: no such file: "]),
        (["trace.csv", "--nodes", "2"], ["trace.csv:3: node 2 does not exist"]),
        (["trace.csv", "--set", "forma=one"], ["trace.csv: forma: unknown key", "format"]),
        (["random_waypoint"], ["random_waypoint: nodes that move go on and on", "--until 3600"]),
        (["random_waypoint", "--until", "9"], ["random_waypoint: side_m: missing", "--set side_m=VALUE"]),
        (["random_waypoint", "--until", "-1"], ["--until -1: nothing can be observed"]),
        (["trace.csv", "--out", "walk.txt"], ["walk.txt: contacts are written as .csv"]),
        (["trace.csv", "--plot", "walk.csv"], ["no picture can be written as '.csv'"]),
    ],
)
def test_mistakes_with_contacts_are_named(
    words: list[str], texts: list[str], call: Callable[..., tuple[int, str, str]], trace: str
) -> None:
    code, _, err = call("contacts", *words)
    assert code == 2
    for text in texts:
        assert text in err.replace("\n", " "), err
