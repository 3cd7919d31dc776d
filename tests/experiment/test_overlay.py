"""Lies to overlays in configurations: who lies, what schedules and records say of it, and what is refused."""

import itertools
import json
from pathlib import Path

import pytest

from jaxgossip.core.errors import JaxGossipError
from jaxgossip.experiment.build.experiment import build, build_adversary
from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.planning.timetable import timetable
from jaxgossip.experiment.runs import run as runs
from jaxgossip.schedule import Schedule
from jaxgossip.simulation.events.segments import MessageStream

TEXT = """
name = "overlay"
seed = 5
rounds = 6
topology = { kind = "ring", nodes = 40 }
learning = { dataset = "isotropic_quadratic" }
algorithm.kind = "gossip_learning"
optimizer = { kind = "sgd", learning_rate = 0.1 }
evaluation = { every = 2, baselines = [] }
"""
LIES = "peers={kind='brahms', view=10, samples=5, liars=0.2}"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "overlay.toml").write_text(TEXT)
    return tmp_path / "overlay.toml"


def schedule_of(text: Path, *settings: str) -> Schedule:
    found = build(load(text, settings)).schedule
    assert isinstance(found, Schedule)
    return found


def test_those_who_lie_to_the_overlay_are_those_who_lie_about_models(text: Path) -> None:
    rounds = load(text, ["algorithm.kind=dsgd", "adversary={kind='bit_flip', fraction=0.2}"])
    adversary = build_adversary(rounds, 40)
    overlay = schedule_of(text, LIES).peers.overlay
    assert adversary is not None
    assert overlay is not None
    assert overlay.liars is not None
    assert tuple(overlay.liars.nodes.tolist()) == adversary.liars


def test_a_stream_of_messages_has_the_shares_of_its_cycle(text: Path) -> None:
    schedule = schedule_of(text, LIES)
    told = list(itertools.islice(schedule.liar_shares(), 7))
    stream = MessageStream(schedule)
    assert stream.liar_shares(stream.standing.cycle) == told[0] == stream.liar_shares(stream.standing.cycle)
    stream.next(2)
    assert stream.liar_shares(stream.standing.cycle) == told[2]
    stream.skip(3)
    stream.next(1)
    assert stream.liar_shares(stream.standing.cycle) == told[6] != told[5]
    assert MessageStream(schedule_of(text)).liar_shares(0) == {}


@pytest.mark.slow
def test_records_have_the_shares_of_their_rounds(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "draw_summary", lambda _: None)
    told = list(itertools.islice(schedule_of(text, LIES).liar_shares(), 7))
    runs.run(load(text, [LIES]), out=tmp_path / "run")
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [(one["liars_in_views"], one["liars_in_samples"]) for one in records] == [
        (told[cycle]["views"], told[cycle]["samples"]) for cycle in (0, 2, 4, 6)
    ]


def test_the_summary_of_a_schedule_has_the_shares_by_cycle(text: Path) -> None:
    told = list(itertools.islice(schedule_of(text, LIES).liar_shares(), 4))
    summary = timetable(build(load(text, [LIES])), 3)
    assert summary.liars == {name: tuple(one[name] for one in told) for name in ("views", "samples")}
    assert summary.record()["liars"] == dict(summary.liars)
    assert timetable(build(load(text)), 3).liars == {}


REFUSED = {
    "peers={kind='brahms', view=40}": (
        "peers: brahms peers: a view of 40 is larger than the number of other nodes, 39",
        "view = 39",
    ),
    "peers={kind='brahms', gamma=0.2}": (
        "peers: brahms peers: alpha + beta + gamma = 1.1, not 1",
        "alpha = 0.45, beta = 0.45, gamma = 0.1",
    ),
    "peers={kind='brahms', force=2.0}": (
        "peers: brahms peers: force is that of liars, and there are none",
        "liars = 0.1",
    ),
    "peers={kind='newscast', liars=0.99}": (
        "peers: newscast peers: liars = 0.99 leaves none of 40 nodes honest",
        "a smaller share",
    ),
    "peers={kind='newscast', liars=-0.1}": (
        "peers: newscast peers: liars must be from 0 to 1, not -0.1",
        "peers.liars: share of the nodes that lie: they exchange views of liars alone, always as fresh as can be",
    ),
}


@pytest.mark.parametrize("setting", REFUSED)
def test_what_cannot_be_is_refused_with_a_way_out(setting: str, text: Path) -> None:
    with pytest.raises(JaxGossipError) as caught:
        build(load(text, [setting]))
    assert (caught.value.message, caught.value.hint) == REFUSED[setting]
