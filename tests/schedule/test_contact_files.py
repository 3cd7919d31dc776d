"""Contacts in files: each format as published, and mistakes named with their lines."""

from pathlib import Path

import numpy as np
import pytest

from jaxgossip.core.errors import InputError
from jaxgossip.schedule import Contacts, contacts

SOCIOPATTERNS = """\
1385982020\t454\t640\tMP\tMP
1385982040\t454\t640\tMP\tMP
1385982040\t1\t939\t2BIO3\t2BIO3
1385982100\t640\t454\tMP\tMP
"""
ONE = """\
0.5 CONN p1 p2 up
1.5 CONN p2 p3 up
4 CONN p2 p1 down
6 CONN p1 p2 UP
9 CONN p3 p2 down
"""
HAGGLE = """\
1 2 121 200 1 0
2 1 150 241 1 0
1 9 300 300 1 0
9 2 1000 1010 2 100
"""
CSV = """\
# contacts of a walk
t_s,u,v,duration_s
0.0,2,0,1.5
1.5,0,2,0.5
0.25,1,2,3
"""


def rows(found: Contacts) -> list[tuple]:
    return list(zip(*(column.tolist() for column in (found.t_s, found.u, found.v, found.duration_s)), strict=True))


def written(folder: Path, text: str) -> Path:
    (folder / "trace.dat").write_text(text)
    return folder / "trace.dat"


@pytest.mark.parametrize(
    ("text", "kind", "labels", "expected"),
    [
        # Active in [t − 20, t], with consecutive records merged; nodes in order of number.
        (SOCIOPATTERNS, "sociopatterns", ("1", "454", "640", "939"), [(0.0, 1, 2, 40.0), (20.0, 0, 3, 20.0), (80.0, 1, 2, 20.0)]),
        # What is up at the end lasts to the end.
        (ONE, "one", ("p1", "p2", "p3"), [(0.0, 0, 1, 3.5), (1.0, 1, 2, 7.5), (5.5, 0, 1, 3.0)]),
        # Either's log tells of a contact; one of no duration is none.
        (HAGGLE, "haggle", ("1", "2", "9"), [(0.0, 0, 1, 120.0), (879.0, 1, 2, 10.0)]),
        (CSV, "csv", ("0", "1", "2"), [(0.0, 0, 2, 2.0), (0.25, 1, 2, 3.0)]),
    ],
    ids=["sociopatterns", "one", "haggle", "csv"],
)  # fmt: skip
def test_every_format_is_recognised_and_read(
    text: str, kind: str, labels: tuple, expected: list, tmp_path: Path
) -> None:
    for chosen in ("auto", kind):
        found = contacts.read(written(tmp_path, text), format=chosen)
        assert (found.format, found.labels, rows(found.contacts)) == (kind, labels, expected)
    source = contacts.from_file(len(labels), path=tmp_path / "trace.dat")
    assert rows(source.until(2000.0)) == expected
    assert source.until_s == max(start_s + lasts_s for start_s, _, _, lasts_s in expected)


def test_a_run_may_begin_at_another_time_and_windows_have_another_length(tmp_path: Path) -> None:
    path = written(tmp_path, SOCIOPATTERNS)
    later = contacts.read(path, start_s=1385982030.0).contacts
    assert rows(later) == [(0.0, 0, 3, 10.0), (0.0, 1, 2, 10.0), (50.0, 1, 2, 20.0)]
    earlier = contacts.read(path, start_s=1385982000.0 - 5).contacts
    assert earlier.t_s.tolist() == [5.0, 25.0, 85.0]
    assert rows(contacts.read(path, window_s=60.0).contacts) == [(0.0, 1, 2, 140.0), (20.0, 0, 3, 60.0)]
    plain = written(tmp_path, "t_s,u,v\n0,0,1\n5,1,0\n")
    assert rows(contacts.read(plain, window_s=4.0).contacts) == [(0.0, 0, 1, 4.0), (5.0, 0, 1, 4.0)]
    assert contacts.read(plain, n_nodes=7).contacts.n_nodes == 7
    shifted = contacts.read(written(tmp_path, CSV), start_s=1.0).contacts
    assert rows(shifted) == [(0.0, 0, 2, 1.0), (0.0, 1, 2, 2.25)]


def test_what_is_saved_is_read_to_the_last_bit(tmp_path: Path) -> None:
    walked = contacts.random_waypoint(40, 0, side_m=100.0, range_m=12.0, spread=0.3).until(33.3)
    contacts.save(tmp_path / "walk.csv", walked)
    again = contacts.read(tmp_path / "walk.csv", n_nodes=40).contacts
    for column in ("t_s", "u", "v", "duration_s"):
        np.testing.assert_array_equal(getattr(again, column), getattr(walked, column))
    with pytest.raises(InputError, match=r"contacts are written as .csv \(.*walk.csv\)"):
        contacts.save(tmp_path / "walk.txt", walked)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("t_s,u,v\n0,0,1\n1,2\n", {}, ":3: 2 values, where the header has 3 columns"),
        ("t_s,u,v\n0,0,one\n", {}, ":2: v 'one' is not a whole number"),
        ("t_s,u,v\n0,0,5\n", {"n_nodes": 3}, ":2: node 5 does not exist (nodes are numbered 0 to 2)"),
        ("t_s,u,v\n0,1,1\n", {}, ":2: node 1 meets itself"),
        ("t_s,u,v\n# later\n-1,0,1\n", {}, ":3: it begins at -1 s"),
        (
            "t_s,u,v,duration_s\n0,0,1,-2\n",
            {},
            ":2: it lasts -2 s (a duration is a finite number of at least 0 seconds)",
        ),
        ("t_s,u\n0,1\n", {}, ":1: the header has no column 'v'"),
        ("20 1 2\n40 1 2 3 4 5 6\n", {}, ":2: 7 columns (t i j, or t i j Ci Cj)"),
        ("20 1 2\n4x 1 2\n", {}, ":2: '4x' is no time (write finite seconds)"),
        ("20 1 1\n", {}, ":1: 1 meets itself (a contact is between two nodes)"),
        ("20 1 2\n", {"n_nodes": 3}, " has contacts of 2 nodes, the network 3 (topology.nodes = 2)"),
        ("1 2 9 5\n", {}, ":1: it lasts -4 s"),
        ("1 CONN a b up\n2 CONN b a up\n", {}, ":2: b and a are up since line 1 (write their down first)"),
        ("1 CONN a b down\n", {}, ":1: a and b are not up (write their up first)"),
        ("2 CONN a b up\n1 CONN a b down\n", {}, ":2: 1 s comes after 2 s (lines stand in order of time)"),
        ("2 CONN a b up\n3 CONN a b sideways\n", {}, ":2: 'CONN … sideways' is no connection"),
        (
            "2 CONN a b up\n3 C m1 a b 100\n",
            {"format": "one"},
            ":2: 6 columns (time CONN i j up, or time CONN i j down)",
        ),
        ("1 2\n", {}, ":1: 2 columns, which is no known format of contacts"),
        ("# nothing\n", {}, " holds no contact"),
        ("t_s,u,v\n", {}, " holds no contact"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, options: dict, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        contacts.read(path, **options)
    assert str(caught.value).startswith(f"{path}{message}"), str(caught.value)
    assert caught.value.hint
