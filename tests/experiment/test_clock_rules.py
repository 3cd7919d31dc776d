"""What must hold between the sections of a run in which every node acts by its own clock."""

from pathlib import Path

import pytest

from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.experiment.build.experiment import build
from jaxgossip.experiment.config.load import load
from tests.experiment.clocked import TEXT, written

GOSSIP = "algorithm 'gossip_learning' runs by the nodes' own clocks, not in rounds"
ROUNDS = "algorithm 'dsgd' runs in rounds, in which nodes have no clocks of their own"
CHOOSE = "remove the section, or choose an algorithm of 'jaxgossip list protocol'"
FILE = "the schedule's file says it already"
WALKS = "contacts={kind='random_waypoint', side_m=20.0, range_m=5.0}"
FOLLOWS = "neither clock nor delay follows from it"
RULES = {
    "clock in rounds": (["algorithm.kind=dsgd", "clock.kind=fixed"], {"clock": (ROUNDS, CHOOSE)}),
    "peers in rounds": (["algorithm.kind=dsgd", "peers.kind=uniform"], {"peers": (ROUNDS, CHOOSE)}),
    "delay in rounds": (["algorithm.kind=dsgd", "delay.kind=none"], {"delay": (ROUNDS, CHOOSE)}),
    "churn in rounds": (["algorithm.kind=dsgd", "churn={kind='coin', online=0.5}"], {"churn": (ROUNDS, CHOOSE)}),
    "tokens in rounds": (["algorithm.kind=dsgd", "tokens.kind=simple"], {"tokens": (ROUNDS, CHOOSE)}),
    "schedule in rounds": (["algorithm.kind=dsgd", "schedule.exchange=push"], {"schedule": (ROUNDS, CHOOSE)}),
    "mixing": (["mixing.kind=static"], {"mixing": (GOSSIP, "remove the section")}),
    "compression": (
        ["compression.kind=sign"],
        {"compression": (f"{GOSSIP}; algorithm 'gossip_learning' compresses nothing", None)},
    ),
    "privacy": (
        ["privacy={clip=1.0, noise_multiplier=1.0}"],
        {"privacy": (f"{GOSSIP}; 'isotropic_quadratic' has no samples to keep private", None)},
    ),
    "link_drop": (["network.link_drop=0.1"], {"network.link_drop": (GOSSIP, "remove it")}),
    "link_burst": (["network.link_burst=4.0"], {"network.link_burst": (GOSSIP, "remove it")}),
    "sections beside a file": (
        ["schedule.path=clocked.toml", "clock.kind=fixed", "peers.kind=uniform", "delay.kind=none",
         "churn={kind='coin', online=0.5}", "tokens.kind=simple"],
        dict.fromkeys(("clock", "peers", "delay", "churn", "tokens"), (FILE, "remove the section")),
    ),
    "keys beside a file": (
        ["schedule={path='clocked.toml', exchange='push', receive='cached', useful='newer'}",
         "network={drop=0.1, online=0.9, split=2}"],
        dict.fromkeys(
            ("schedule.exchange", "schedule.receive", "schedule.useful", "network.drop", "network.online", "network.split"),
            (FILE, "remove it"),
        ),
    ),
    "period_s without a file": (
        ["schedule.period_s=2.0"],
        {"schedule.period_s": ("clocks have a period of their own", "set clock.period_s")},
    ),
    "two words on who is online": (
        ["churn={kind='coin', online=0.5}", "network.online=0.9"],
        {"network.online": ("the section [churn] says already who is online", "leave one of them out")},
    ),
    "useful without tokens": (
        ["schedule.useful=newer"],
        {"schedule.useful": (
            "only token accounts ask whether a model is useful", "add a section [tokens], or remove it"
        )},
    ),
    "transfer without speeds": (
        ["delay.kind=transfer"],
        {"speeds": ("missing, and delay 'transfer' follows from it", "write [speeds]")},
    ),
    "speeds without use": (
        ["speeds.kind=constant"],
        {"speeds": (FOLLOWS, "delay.kind = 'transfer', or clock.kind = 'by_speed'; or remove the section")},
    ),
    "contacts and peers": (
        [WALKS, "peers.kind=newscast"],
        {"peers": ("the section [contacts] says whom nodes call: any of those that they are in contact with",
                   "remove the section")},
    ),
    "contacts and tokens": (
        [WALKS, "tokens.kind=simple"],
        {"tokens": ("token accounts know no contacts", "remove this section, or [contacts]")},
    ),
    "contacts and a cache": (
        [WALKS, "schedule.receive=cached"],
        {"schedule.receive": ("'cached' knows no contacts", "'at_once', or remove [contacts]")},
    ),
    "contacts beside a file": (
        [WALKS, "schedule.path=clocked.toml"], {"contacts": (FILE, "remove the section")}
    ),
    "contacts in rounds": (
        ["algorithm.kind=dsgd", WALKS],
        {"contacts": ("mixing 'static' does not follow from it", "mixing.kind = 'contacts', or remove the section")},
    ),
    "a rate in rounds": (
        ["algorithm.kind=dsgd", WALKS, "contacts.rate_bytes_s=9.0", "mixing={kind='contacts', period_s=1.0}"],
        {"contacts.rate_bytes_s": (
            "in rounds, messages take no time", "remove it, mixing.least_s leaves out short contacts")},
    ),
    "mixing without contacts": (
        ["algorithm.kind=dsgd", "mixing={kind='contacts', period_s=1.0}"],
        {"contacts": ("missing, and mixing 'contacts' follows from it",
                      'write [contacts] with a kind, such as "random_waypoint"')},
    ),
    "a file that is not there": (["schedule.path=none.csv"], {"schedule.path": ("no such file: {folder}/none.csv", None)}),
}  # fmt: skip


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return written(tmp_path)


@pytest.mark.parametrize("name", RULES)
def test_what_must_hold_between_sections(name: str, text: Path) -> None:
    settings, expected = RULES[name]
    with pytest.raises(ConfigError) as caught:
        load(text, settings)
    lines = caught.value.message.splitlines()
    wanted = [
        f"{text}: {key}: {one.format(folder=text.parent)}"
        for key, (messages, _) in expected.items()
        for one in messages.split("; ")
    ]
    assert lines == wanted
    if all(hint for _, hint in expected.values()):
        alone = len(lines) == 1
        hints = [hint if alone else f"{key}: {hint}" for key, (_, hint) in expected.items()]
        assert caught.value.hint == "\n".join(hints)


def test_errors_of_both_kinds_follow_the_file(text: Path) -> None:
    text.write_text(
        TEXT.replace("[topology]", "[clock]\nkind = 'fixt'\n[mixing]\nkind = 'static'\n[topology]")
        .replace("nodes = 6", "nodes = 'six'")
        .replace("learning_rate = 0.1", "learning_rate = 'slow'")
    )
    with pytest.raises(ConfigError) as caught:
        load(text)
    keys = [line.removeprefix(f"{text}: ").split(":")[0] for line in caught.value.message.splitlines()]
    assert keys == ["clock.kind", "mixing", "topology.nodes", "optimizer.learning_rate"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["schedule.exchange=pairwise"], "schedule: exchange 'pairwise' does not go with gossip learning"),
        (["algorithm.kind=pens", "schedule.exchange=pull"], "schedule: exchange 'pull' does not go with PENS"),
        (["tokens.kind=simple", "schedule.receive=cached"],
         "schedule: token accounts react as models arrive, receive 'cached' does otherwise"),
        (["tokens.kind=simple", "schedule.exchange=pull"],
         "tokens: accounts react to models that are pushed, and nothing is in gossip learning by exchange 'pull'"),
        (["algorithm.kind=asynchronous_sgp", "schedule.receive=pass_through"],
         "schedule.receive: asynchronous SGP by exchange 'split_push' passes no model through"),
        (["algorithm={kind='gossip_learning', parts=2}"],
         "algorithm: a message that carries a part of a model merges with the node's own, then the node learns"),
        (["delay={kind='uniform', low_s=3.0, high_s=1.0}"], "delay: uniform delay: high_s must be at least 3, not 1.0"),
        (["contacts={kind='from_file', path='contacts.csv'}", "topology.nodes=5"],
         "contacts: {folder}/contacts.csv:6: node 5 does not exist"),
        (["contacts={kind='random_direction', side_m=9.0, range_m=6.0}"],
         "contacts: random_direction: a range of 6 m reaches round a torus of 9 m"),
        (["clock={kind='normal', period_s=-1.0}"], "clock: normal clock: period_s must be above 0, not -1.0"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_named(settings: list[str], message: str, text: Path) -> None:
    with pytest.raises(InputError) as caught:
        build(load(text, settings))
    assert caught.value.message == message.format(folder=text.parent)
