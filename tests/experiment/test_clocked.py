"""Runs in which every node acts by its own clock: from a configuration to its folder."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from jaxgossip.algorithms import PROTOCOLS
from jaxgossip.cli.main import main
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load, resolved_toml
from jaxgossip.experiment.planning.footprint import footprint
from jaxgossip.experiment.plots import labels
from jaxgossip.experiment.results.run_data import RunData
from jaxgossip.experiment.runs import run as runs
from jaxgossip.plotting.measures import CONSENSUS, LIARS_IN_SAMPLES, LIARS_IN_VIEWS, network_measures_of
from jaxgossip.schedule import CHURNS, CLOCKS, CONTACTS, DELAYS, PEERS, TOKEN_ACCOUNTS
from jaxgossip.schedule.exchanges import EXCHANGES
from tests.experiment.clocked import CYCLES, written


class Case(NamedTuple):
    """A run: what it sets beside ``TEXT``, and what its picture says of that."""

    settings: Sequence[str]
    said: Sequence[str] = ()


CASES = {
    "push": Case(
        ["clock={kind='normal', period_s=2.0}", "delay={kind='uniform', low_s=1.0, high_s=10.0}",
         "churn={kind='exponential', mean_online_s=5.0, mean_offline_s=1.0}", "network.drop=0.5"],
        ["normal (spread 0.1) clocks", "cycles of 2 s", "delays uniform 1 to 10 s", "50% of messages lost",
         "exponential (mean_online_s 5, mean_offline_s 1) churn"],
    ),
    "pull": Case(
        ["schedule.exchange=pull", "clock.kind=poisson", "delay={kind='constant', seconds=1.5}",
         "churn={kind='diurnal', day_s=4.0, session_s=0.5}"],
        ["poisson clocks", "pull exchange", "delays of 1.5 s",
         "diurnal (online 0.5, swing 0.4, day_s 4, session_s 0.5, zones 1) churn"],
    ),
    "push-pull": Case(
        ["schedule={exchange='push_pull', receive='pass_through'}", "clock.kind=by_speed", "delay.kind=transfer",
         "speeds.kind=constant", "churn={kind='lognormal', median_online_s=3.0, median_offline_s=1.0}",
         "topology.kind=star"],
        ["by_speed (sigma 0.5) clocks", "push-pull exchange", "models merged or passed through by degree",
         "delays by both ends' connections", "constant speeds",
         "lognormal (median_online_s 3, median_offline_s 1, sigma 1) churn"],
    ),
    "randomised": Case(
        ["tokens={kind='randomised', capacity=3, reaction=2}", "schedule.useful=newer",
         "delay={kind='lognormal', median_s=0.5}", "churn={kind='trace', path='trace.csv', repeat=true}"],
        ["randomised (capacity 3, reaction 2) token accounts", "newer models useful",
         "delays lognormal around 0.5 s (sigma 1)", "trace (path trace.csv, repeat true) churn"],
    ),
    "cached": Case(
        ["schedule.receive=cached", "peers={kind='newscast', view=3}", "churn={kind='coin', online=0.75}",
         "delay={kind='linear', seconds_a_byte=0.001, latency_s=0.5}"],
        ["models cached until a node's tick", "newscast (view 3) peers", "nodes online 75% of the time",
         "delays of 0.5 s and 0.001 s a byte"],
    ),
    "brahms": Case(
        ["peers={kind='brahms', view=3, samples=2, alpha=0.4, beta=0.4, gamma=0.2, liars=0.2, force=2.0}"],
        ["brahms (view 3, samples 2, alpha 0.4, beta 0.4, gamma 0.2, call view) peers",
         "20% of nodes lie to the overlay (force 2)"],
    ),
    "proactive": Case(["tokens.kind=proactive"], ["proactive token accounts"]),
    "reactive": Case(["tokens.kind=reactive", "delay={kind='constant', seconds=0.5}"], ["reactive (k 1) token accounts"]),
    "simple": Case(["tokens={kind='simple', capacity=2}"]),
    "generalised": Case(["tokens={kind='generalised', capacity=2, reaction=1}", "network={split=2, heal_at=3}"],
                        ["split in 2 until cycle 3"]),
    "pairwise": Case(
        ["algorithm.kind=pairwise_averaging", "clock.kind=synchronous", "peers.kind=matching", "network.online=0.9"],
        ["synchronous clocks", "matching peers", "nodes online 90% of the time"],
    ),
    "AD-PSGD": Case(["algorithm.kind=ad_psgd", "speeds.kind=lognormal"], ["lognormal speeds"]),
    "push-sum": Case(["algorithm.kind=asynchronous_push_sum", "peers.kind=weighted"],
                     ["weighted (weights metropolis_hastings) peers"]),
    "SGP": Case(["algorithm.kind=asynchronous_sgp", "clock.kind=fixed", "delay.kind=none", "peers.kind=uniform"]),
    "PENS": Case(["algorithm={kind='pens', sampled=2, top=1, settle_at=2}"]),
    "devices": Case(["churn={kind='fedscale', path='devices.json'}"]),
    "a trace": Case(["contacts={kind='from_file', path='contacts.csv', rate_bytes_s=64.0}", "schedule.exchange=push_pull"],
                    ["from_file (path contacts.csv, format auto, window_s 20, rate_bytes_s 64) contacts", "push-pull exchange"]),
    "waypoints": Case(["contacts={kind='random_waypoint', side_m=20.0, range_m=10.0}"],
                      ["random_waypoint (side_m 20, range_m 10, speed_m_s 1, spread 0, pause_s 0) contacts"]),
    "directions": Case(["contacts={kind='random_direction', side_m=20.0, range_m=9.0}", "algorithm.kind=pairwise_averaging"],
                       ["random_direction (side_m 20, range_m 9, speed_m_s 1, spread 0) contacts"]),
    "drivers": Case(["contacts={kind='manhattan', blocks=2, block_m=20.0, range_m=15.0}", "algorithm.kind=ad_psgd"],
                    ["manhattan (blocks 2, block_m 20, range_m 15, speed_m_s 10, spread 0, turning 0.5) contacts"]),
    "satellites": Case(
        ["contacts={kind='satellites', planes=2, altitudes_km=[1500.0]}", "algorithm.kind=asynchronous_push_sum"],
        ["satellites (planes 2, altitudes_km 1500, inclination_deg 53, phasing 1, spread_deg 360, step_s 10) contacts"],
    ),
}  # fmt: skip


ALWAYS_SAID = [
    "clocks",
    "contacts",
    "cycles",
    "exchange",
    "delays",
    "online",
    "churn",
    "peers",
    "token",
    "mixing",
    "useful",
]


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration beside the files that it may name; its runs draw no pictures."""
    monkeypatch.setattr(runs, "draw_summary", lambda _: None)
    return written(tmp_path)


@pytest.mark.by_default("randomised")
@pytest.mark.parametrize("name", CASES)
def test_a_configuration_runs_and_says_what_it_is(name: str, text: Path, tmp_path: Path) -> None:
    config = load(text, CASES[name].settings)
    again = load(resolved_toml(config))
    assert again == config
    assert resolved_toml(again) == resolved_toml(config)
    outcome = runs.run(config, out=tmp_path / "run")
    assert outcome.status == "completed"
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record["round"] for record in records] == [0, 2, 4]
    final = records[-1]
    assert final["virtual_s"] == CYCLES * (config.clock.period_s if config.clock else 1)
    lost = sum(count for key, count in final.items() if key.startswith("lost_"))
    assert final["messages"] == final["delivered"] + lost + final["in_flight"] > 0
    lied_to = (LIARS_IN_VIEWS, LIARS_IN_SAMPLES) if name == "brahms" else ()
    assert network_measures_of(final) == (CONSENSUS, *lied_to)
    # What is not usual is said, and nothing else.
    facts = labels.description(RunData.load(tmp_path / "run"))
    assert [said for said in CASES[name].said if said not in facts] == []
    assert [fact for fact in facts if any(word in fact for word in ALWAYS_SAID) and fact not in CASES[name].said] == (
        ["simple (capacity 2) token accounts"] if name == "simple"
        else ["generalised (capacity 2, reaction 1) token accounts"] if name == "generalised"
        else ["delays of 0.5 s"] if name == "reactive" else []
    )  # fmt: skip


def test_the_cases_name_every_kind_and_every_exchange(text: Path) -> None:
    configs = [load(text, case.settings) for case in CASES.values()]
    for section, registry in {
        "algorithm": PROTOCOLS, "clock": CLOCKS, "peers": PEERS, "delay": DELAYS, "churn": CHURNS, "tokens": TOKEN_ACCOUNTS,
        "contacts": CONTACTS,
    }.items():  # fmt: skip
        assert {getattr(one, section).kind for one in configs if getattr(one, section)} == set(registry)
    schedules = [build(config).schedule for config in configs]
    assert {schedule.exchange for schedule in schedules} == set(EXCHANGES)
    assert {schedule.receive for schedule in schedules} == {"at_once", "pass_through", "cached"}


@pytest.mark.slow
def test_a_file_of_messages_takes_the_place_of_drawn_ones(text: Path, tmp_path: Path) -> None:
    lines = [
        "sender,receiver,sent_s,arrives_s,fate",
        "0,1,0.5,1.0,delivered",
        "1,2,7.5,30.0,delivered",
        "2,3,3,4,dropped",
    ]
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    config = load(text, ["schedule={path='mine.csv', period_s=5.0}", "optimizer.learning_rate=0.0"])
    assert load(resolved_toml(config)) == config
    assert config.clock is config.delay is config.peers is None
    outcome = runs.run(config, out=tmp_path / "run")
    final = outcome.final["run"]
    told = {"messages": 3, "delivered": 1, "lost_dropped": 1, "in_flight": 1, "virtual_s": 20.0}
    assert {key: final[key] for key in told} == told
    # Without learning, node 1 is half of what it was and half of node 0; the others are what they were.
    before = np.asarray(build(config).problem.init(_init_key(config.seed)))
    with np.load(max((tmp_path / "run" / "checkpoint").glob("*.npz"))) as stored:
        after = next(stored[key] for key in sorted(stored.files) if stored[key].shape == before.shape)
    expected = before.copy()
    expected[1] = (before[0] + before[1]) / 2
    np.testing.assert_allclose(after, expected, rtol=1e-6)
    facts = labels.description(RunData.load(tmp_path / "run"))
    assert {"messages of mine.csv", "cycles of 5 s"} <= set(facts)


def _init_key(seed: int):
    from jaxgossip.core.random import purpose_key, run_key

    return purpose_key(run_key(seed), "init")


@pytest.mark.slow
def test_a_grid_runs_one_by_one_and_fills_its_folder(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    grid = ["sweep", str(text), "--grid", "algorithm.create=merge_update,update", "--out", "swept"]
    assert _called(monkeypatch, *grid) == 0
    capsys.readouterr()
    points = sorted(path.parent.name for path in (tmp_path / "swept").glob("*/manifest.json"))
    assert points == ["merge_update-seed_0", "update-seed_0"]
    for point in points:
        config = load(tmp_path / "swept" / point / "config.toml")
        assert config.algorithm.create == point.removesuffix("-seed_0")
        # It is the run that it would be by itself.
        runs.run(config, out=tmp_path / point)
        assert _records(tmp_path / point) == _records(tmp_path / "swept" / point)
    assert _records(tmp_path / points[0]) != _records(tmp_path / points[1])
    assert (tmp_path / "swept" / "summary.csv").is_file() or any((tmp_path / "swept").glob("*.csv"))
    assert _called(monkeypatch, *grid) == 0
    assert "2 of 2 runs are there already" in capsys.readouterr().err


@pytest.mark.slow
def test_a_plan_tells_of_copies_in_flight_and_of_time(
    text: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jaxgossip.experiment.planning.footprint.CALIBRATION_S", 0.01)
    assert _called(monkeypatch, "plan", str(text), "--set", "delay={kind='constant', seconds=2.5}") == 0
    told = capsys.readouterr().out
    assert "copies in flight" in told
    assert "schedule" in told
    assert "time: " in told
    assert f"{CYCLES} rounds in " in told


@pytest.mark.slow
def test_a_plan_counts_the_copies_in_flight(text: Path) -> None:
    held = {
        seconds: footprint(build(load(text, [f"delay={{kind='constant', seconds={seconds}}}", "topology.nodes=64"])))[0]
        for seconds in (0.0, 2.5)
    }
    # Every node has two or three messages on their way; a model has 20 parameters and an age; slots are there twice.
    model = 4 * (20 + 1)
    assert 2 * 2 * 64 * model <= held[2.5].copies <= 2 * 4 * 64 * model
    assert held[0.0].copies < held[2.5].copies / 2
    assert held[0.0].state == held[2.5].state


def _called(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["jaxgossip", *words])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code


def _records(folder: Path) -> list[dict]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "wall_s"} for record in records]


@pytest.mark.parametrize("exchange", ["pull", pytest.param("push_pull", marks=pytest.mark.slow)])
def test_requests_are_messages_of_no_bytes(exchange: str, text: Path, tmp_path: Path) -> None:
    """Where every message is lost, nodes that pull only ever ask: messages are sent, and no bytes."""

    def final(drop: float) -> Mapping[str, Any]:
        settings = [f"schedule.exchange={exchange}", f"network.drop={drop}"]
        return runs.run(load(text, settings), out=tmp_path / f"{drop}").final["run"]

    lost, arrived = final(1.0), final(0.0)
    assert lost["messages"] == lost["lost_dropped"] > 0
    assert lost["messages"] == (lost["requests"] if exchange == "pull" else lost["bytes_sent"] // 84)
    assert lost["bytes_sent"] == (0 if exchange == "pull" else 84 * lost["messages"])
    assert arrived["bytes_sent"] == 84 * (arrived["messages"] - arrived.get("requests", 0)) > 0
    assert ("requests" in arrived) == (exchange == "pull")
