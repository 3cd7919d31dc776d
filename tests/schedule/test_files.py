"""Files of messages: what is read is what was written, and an error names the line."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import jaxgossip.topology as t
from jaxgossip.core.errors import InputError
from jaxgossip.schedule import CLOCKS, DELAYS, Messages, Schedule, files, schedule

FIELDS = ("sender", "receiver", "sent_s", "arrives_s", "event", "kind", "fate", "part")


def same(one: Messages, other: Messages) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype


def network(n: int = 12) -> Schedule:
    clock = CLOCKS["poisson"](n, period_s=0.5)
    return schedule(
        t.ring(n), clock=clock, delay=DELAYS["uniform"](high_s=1.0), exchange="push_pull", drop=0.2, parts=3, seed=4
    )


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_messages_read_back_bit_for_bit(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"messages.{kind}"
    cycles = list(islice(network().cycles(), 5))
    files.save(path, Messages.together(cycles))
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    found = files.read(path, 12, period_s=0.5)
    same(found.messages, Messages.together(cycles))
    for k, messages in enumerate(islice(found.cycles(), 12)):
        assert (np.floor(messages.sent_s / 0.5) == k).all()
    assert sum(len(one) for one in islice(found.cycles(), 20)) == len(found.messages)


def test_a_hand_written_file(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("receiver,sender,sent_s,arrives_s,kind\n1,0,0.5,0.75,model\n0,0,2,2,split\n2,1,0.1,3,2\n")
    found = list(islice(files.read(path, 3).cycles(), 4))
    assert [len(one) for one in found] == [2, 0, 1, 0]
    assert found[0].receiver.tolist() == [1, 2]
    assert found[0].event.tolist() == [0, 2]
    assert found[0].kind.tolist() == [0, 2]


HEADER = "sender,receiver,sent_s,arrives_s,kind,fate,part"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0,1,0,1,model,delivered", "6 values, where the header has 7 columns (one value a column: " + HEADER + ")"),
        ("0,1.5,0,1,0,0,0", "receiver '1.5' is not a whole number (write a finite whole number)"),
        ("0,1,0,nan,0,0,0", "arrives_s 'nan' is not a number (write a finite number)"),
        ("0,3,0,1,0,0,0", "receiver 3 does not exist (nodes are numbered 0 to 2)"),
        ("-1,1,0,1,0,0,0", "sender -1 does not exist (nodes are numbered 0 to 2)"),
        ("0,1,-2,1,0,0,0", "it is sent at -2 s (a run starts at time 0)"),
        (
            "0,1,2,1,0,0,0",
            "it is sent at 2 s and arrives at 1 s (write finite seconds, arrives_s at least sent_s)",
        ),
        (
            "0,1,0,1,modle,0,0",
            "unknown kind 'modle' (allowed: model, passed, request, split, learn)",
        ),
        ("0,1,0,1,0,9,0", "unknown fate '9' (allowed: delivered, dropped, offline, divided, replaced, parted)"),
        ("0,1,0,1,0,0,99999", "part 99999 is out of range (0 to 32767)"),
        (
            "0,1,0,1,learn,0,0",
            "node 0 cannot learn for node 1 (sender and receiver of kinds split and learn are one node)",
        ),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"{HEADER}\n0,1,0,1,model,delivered,0\n{line}\n")
    with pytest.raises(InputError) as caught:
        files.read(path, 3)
    assert str(caught.value) == f"{path}:3: {message}"


def test_wrong_arrays_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    good = {"sender": np.array([0, 1]), "receiver": np.array([1, 0]), "sent_s": np.zeros(2), "arrives_s": np.ones(2)}
    for changed, message in (
        ({"sent_s": np.array([0.0, np.nan])}, r"m.npz: message 1: it is sent at nan s \(a run starts at time 0\)"),
        (
            {"sent_s": np.array([0.0, 1e300]), "arrives_s": np.full(2, 1e300)},
            r"m.npz: message 1: it is sent at 1e\+300 s",
        ),
        ({"receiver": np.array([1, 5])}, r"m.npz: message 1: receiver 5 does not exist"),
        ({"receiver": np.array([1.0, 0.0])}, r"m.npz has 'receiver' of float64, not integers"),
        ({"arrives_s": np.ones(3)}, r"m.npz has 'arrives_s' of shape \(3,\), not \(2,\)"),
        ({"when": np.ones(2)}, r"m.npz has an unknown array 'when'"),
    ):
        np.savez(path, **{**good, **changed})
        with pytest.raises(InputError, match=message):
            files.read(path, 2)
    path.write_text("no archive")
    with pytest.raises(InputError, match=r"m.npz is something else, not an npz file"):
        files.read(path, 2)
    with pytest.raises(InputError, match="no such file"):
        files.read(tmp_path / "other.npz", 2)
    with pytest.raises(InputError, match=r"m.txt is neither .npz nor .csv"):
        files.read(tmp_path / "m.txt", 2)
    with pytest.raises(InputError, match="no such folder"):
        files.save(tmp_path / "nowhere" / "m.npz", Messages.none())
