"""Churn: stated fractions online, sessions of stated lengths, a stationary start, and traces line by line."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgossip.core.errors import InputError
from jaxgossip.schedule import CHURNS, Churn
from jaxgossip.schedule.sessions import Switches

N = 3000


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def share(churn: Churn, time_s: float) -> float:
    return churn.online(np.arange(N, dtype=np.int32), np.full(N, time_s)).mean()


def history(churn: Churn, node: int, until_s: float, step_s: float) -> np.ndarray:
    times = np.arange(0.0, until_s, step_s)
    return churn.online(np.full(times.size, node, np.int32), times)


MAKERS: dict[str, tuple[Callable[[], Churn], float]] = {
    "coin": (lambda: CHURNS["coin"](N, rng(), online=0.7, session_s=3.0), 0.7),
    "exponential": (lambda: CHURNS["exponential"](N, rng(), 60.0, mean_online_s=6.0, mean_offline_s=2.0), 0.75),
    "lognormal": (
        lambda: CHURNS["lognormal"](N, rng(), 60.0, median_online_s=2.0, median_offline_s=3.0, sigma=1.2),
        0.4,
    ),
}


@pytest.mark.parametrize("name", list(MAKERS))
@pytest.mark.parametrize("time_s", [0.0, 1.0, 17.3, 59.0])
def test_the_fraction_online_is_stationary(name: str, time_s: float) -> None:
    make, expected = MAKERS[name]
    assert abs(share(make(), time_s) - expected) < 4 * np.sqrt(expected * (1 - expected) / N)


@pytest.mark.parametrize("name", list(MAKERS))
def test_the_same_question_has_the_same_answer(name: str) -> None:
    make, _ = MAKERS[name]
    node = rng().integers(N, size=500, dtype=np.int32)
    time_s = 60 * rng().random(500)
    answers = make().online(node, time_s)
    one = make()
    order = rng().permutation(500)
    np.testing.assert_array_equal(one.online(node[order], time_s[order]), answers[order])
    np.testing.assert_array_equal([bool(one.online(node[[i]], time_s[[i]])[0]) for i in range(20)], answers[:20])


def test_coin_sessions_are_independent_and_as_long_as_stated() -> None:
    churn = CHURNS["coin"](N, rng(), online=0.5, session_s=3.0)
    changes = np.concatenate([np.flatnonzero(np.diff(history(churn, node, 300.0, 0.01))) for node in range(20)])
    # Half of a hundred draws a node change the state, at times 3 s apart.
    assert abs(changes.size / 20 - 50) < 4 * np.sqrt(25 / 20)
    per_node = np.flatnonzero(np.diff(history(churn, 4, 300.0, 0.01))) % 300
    assert per_node.max() - per_node.min() <= 1
    now, later = (churn.online(np.arange(N, dtype=np.int32), np.full(N, t)) for t in (10.0, 13.5))
    assert abs(np.corrcoef(now, later)[0, 1]) < 4 / np.sqrt(N)


@pytest.mark.slow
def test_exponential_sessions_have_exponential_lengths() -> None:
    churn = CHURNS["exponential"](40, rng(), 2000.0, mean_online_s=6.0, mean_offline_s=2.0)
    lengths: dict[bool, list[float]] = {True: [], False: []}
    for node in range(40):
        online = history(churn, node, 2000.0, 0.01)
        switch = np.flatnonzero(np.diff(online)) + 1
        for start, end in pairwise(switch):
            lengths[bool(online[start])].append((end - start) * 0.01)
    for there, mean in ((True, 6.0), (False, 2.0)):
        found = np.array(lengths[there])
        assert abs(found.mean() / mean - 1) < 5 / np.sqrt(found.size)
        assert abs(found.std() / found.mean() - 1) < 0.05


def test_the_first_lognormal_session_is_the_rest_of_a_length_biased_one() -> None:
    n, sigma = 2000, 0.8
    churn = CHURNS["lognormal"](n, rng(), 40.0, median_online_s=1.0, median_offline_s=1.0, sigma=sigma)
    times = np.arange(0.0, 40.0, 0.1)
    nodes = np.arange(n, dtype=np.int32)
    online = np.stack([churn.online(nodes, np.full(n, t)) for t in times])
    first = times[np.argmax(online != online[0], axis=0)]
    # The mean rest of a stationary renewal process is E[X²]/(2 E[X]).
    expected = np.exp(1.5 * sigma**2) / 2
    assert abs(first.mean() / expected - 1) < 0.1


def test_a_day_has_its_swing_and_its_zones() -> None:
    keys = {"online": 0.5, "swing": 0.4, "day_s": 100.0, "session_s": 1.0}
    one_place = CHURNS["diurnal"](N, rng(), zones=0.0, **keys)
    assert abs(share(one_place, 100.0) - 0.9) < 0.03
    assert abs(share(one_place, 150.0) - 0.1) < 0.03
    assert abs(share(one_place, 125.5) - 0.5) < 0.05
    globe = CHURNS["diurnal"](N, rng(), **keys)
    assert abs(share(globe, 100.0) - 0.5) < 0.05
    with pytest.raises(InputError, match=r"goes from 0\.3 to 1\.1 \(make swing at most online"):
        CHURNS["diurnal"](N, rng(), online=0.7, swing=0.4)


@given(st.data())
def test_switches_count_as_a_loop_does(data: st.DataObject) -> None:
    times = data.draw(st.lists(st.lists(st.integers(0, 20).map(float), max_size=5).map(sorted), min_size=1, max_size=5))
    n = len(times)
    first = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    node = np.repeat(np.arange(n), [len(one) for one in times])
    switches = Switches.of(first, node, np.array([t for one in times for t in one], float))
    for i in range(n):
        for t in (0.0, 0.5, 3.0, 20.0, 1000.0):
            expected = first[i] ^ (sum(s <= t for s in times[i]) % 2 == 1)
            assert switches.online(np.array([i]), np.array([t]))[0] == expected


def write(folder: Path, *lines: str) -> Path:
    path = folder / "trace.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_trace_is_followed_and_dealt_out(tmp_path: Path) -> None:
    path = write(tmp_path, "node,start_s,end_s  # two phones", "", "1, 2, 4", "0,0,3.5", "0,5,6")
    churn = CHURNS["trace"](2, path=path)
    times = [0.0, 1.9, 2.0, 3.4, 3.5, 3.9, 4.0, 5.0, 6.0, 1e6]
    zero, one = (churn.online(np.full(10, node, np.int32), np.array(times)).tolist() for node in (0, 1))
    assert zero == [True, True, True, True, False, False, False, True, False, False]
    assert one == [False, False, True, True, True, True, False, False, False, False]
    many = CHURNS["trace"](7, path=path, repeat=True)
    for node in range(7):
        assert many.online(np.full(10, node, np.int32), np.array(times)).tolist() == (one if node % 2 else zero)


HEADER = "node,start_s,end_s"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER, "0,0,1", "x,0,1"], ":3: node 'x' is not a whole number (write a finite whole number)"),
        ([HEADER, "0,0,nan"], ":2: end_s 'nan' is not a number (write a finite number)"),
        ([HEADER, "0,0"], ":2: 2 values, where the header has 3 columns (one value a column: node,start_s,end_s)"),
        ([HEADER, "4,0,1"], ":2: node 4 does not exist (nodes are numbered 0 to 3)"),
        ([HEADER, "0,-1,1"], ":2: the interval starts before time 0 (a run starts at time 0)"),
        ([HEADER, "3,2,1"], ":2: the interval ends at 1 s, not after 2 s (start first)"),
        (
            [HEADER, "3,0,2", "3,5,6", "3,1,3"],
            ":4: node 3 is online already, by line 2 (intervals of a node must not overlap: join them)",
        ),
        ([HEADER], " holds no interval (one line an interval: node,start_s,end_s)"),
        (["node,start_s"], ":1: the header has no column 'end_s' (its first line is 'node,start_s,end_s')"),
        (["0,0,1"], ":1: the header has no column 'node' (its first line is 'node,start_s,end_s')"),
        (
            [HEADER, "1,0,2"],
            " has traces of 2 nodes, the network 4 nodes (repeat = true deals them out to the nodes in turn)",
        ),
    ],
)
def test_a_wrong_trace_names_its_line(tmp_path: Path, lines: list[str], message: str) -> None:
    path = write(tmp_path, *lines)
    with pytest.raises(InputError) as caught:
        CHURNS["trace"](4, path=path)
    assert str(caught.value) == f"{path}{message}"


def test_sessions_without_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxgossip.schedule.sessions.MOST_SWITCHES", 1000)
    with pytest.raises(InputError, match=r"exponential churn: 3,000 nodes come and go more than 1,000 times in 60 s"):
        CHURNS["exponential"](N, rng(), 60.0, mean_online_s=6.0, mean_offline_s=2.0)
