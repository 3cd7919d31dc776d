"""Agreement between processes, played by threads: what one decides or suffers, all do."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from jaxgossip.errors import InputError
from jaxgossip.simulation import Observer, agreement
from jaxgossip.simulation.agreement import ALONE, Agreed, Agreement, PeerError, code_of, is_told


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Return a function that calls another in two threads, each with its own agreement: the results, or errors, of both."""
    barrier, rows = threading.Barrier(2, timeout=10), {}

    def gathered(row: np.ndarray) -> np.ndarray:
        number = int(threading.current_thread().name[-1])
        rows[number] = row
        barrier.wait()
        found = np.stack([rows[0], rows[1]])
        barrier.wait()
        return found

    monkeypatch.setattr(agreement, "all_gathered", gathered)

    def play(work: Callable[[Agreement], Any]) -> list[Any]:
        def one(number: int) -> Any:
            threading.current_thread().name = f"process {number}"
            try:
                return work(Agreement(2, number))
            except Exception as error:  # noqa: BLE001 - what a process ends with is its outcome
                return error

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(one, (0, 1)))

    return play


def test_numbers_wishes_and_texts_are_agreed_on(played: Callable[..., list[Any]]) -> None:
    assert played(lambda one: one.of_first(one.process + 7)) == [7, 7]
    assert played(lambda one: one.any(one.process == 1)) == [True, True]
    assert played(lambda one: one.any(False)) == [False, False]
    assert played(lambda one: one.text_of_first(f"runs/ä {one.process}")) == ["runs/ä 0", "runs/ä 0"]
    assert played(lambda one: one.gathered(bytes([one.process, 5]))) == [[b"\0\5", b"\1\5"]] * 2
    assert played(lambda one: one.all_same(one.process)) == [False, False]
    assert played(lambda one: one.all_same(3)) == [True, True]


@pytest.mark.parametrize(("error", "code"), [(InputError("no"), 2), (OSError(28, "full"), 1)])
def test_a_step_that_fails_on_one_fails_on_all(error: Exception, code: int, played: Callable[..., list[Any]]) -> None:
    def work(one: Agreement) -> None:
        with one.step():
            if one.process == 1:
                raise error

    other, own = played(work)
    assert own is error
    assert isinstance(other, PeerError)
    assert (other.process, other.code) == (1, code)
    assert is_told(own)
    assert is_told(other)


def test_steps_within_steps_tell_once(played: Callable[..., list[Any]]) -> None:
    def work(one: Agreement) -> None:
        with one.step():
            assert one.of_first(4) == 4
            with one.step():
                if one.process == 0:
                    raise OSError(28, "full")

    own, other = played(work)
    assert isinstance(own, OSError)
    assert isinstance(other, PeerError)


class Failing(Observer):
    """Fails on one process, in one of its methods."""

    def __init__(self, method: str, *, fails: bool) -> None:
        self._method, self._fails = method, fails

    def __getattribute__(self, name: str) -> Any:
        if (
            name in ("evaluated", "advanced", "chunk", "finished", "should_stop")
            and self._fails
            and name == self._method
        ):
            raise OSError(28, "full")
        return super().__getattribute__(name)


@pytest.mark.parametrize("method", ["evaluated", "advanced", "chunk", "finished", "should_stop"])
def test_an_observer_that_fails_on_one_ends_all(method: str, played: Callable[..., list[Any]]) -> None:
    def work(one: Agreement) -> None:
        observer = Agreed(Failing(method, fails=one.process == 0), one)
        assert not observer.should_stop()
        observer.advanced(1)
        observer.evaluated({})
        observer.chunk(None, 0.0)
        observer.finished(None, 0.0)

    own, other = played(work)
    assert isinstance(own, OSError)
    assert isinstance(other, PeerError)


def test_a_wish_to_stop_stops_all_and_the_others_are_told(played: Callable[..., list[Any]]) -> None:
    class Stop(Observer):
        def __init__(self, *, wish: bool) -> None:
            self.wish, self.notes = wish, []

        def should_stop(self) -> bool:
            return self.wish

        def note(self, text: str) -> None:
            self.notes.append(text)

    def work(one: Agreement) -> tuple[bool, list[str]]:
        stop = Stop(wish=one.process == 1)
        return Agreed(stop, one).should_stop(), stop.notes

    assert played(work) == [(True, ["another process was asked to stop: the run stops here, and is saved"]), (True, [])]


def test_one_process_exchanges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "all_gathered", None)
    assert ALONE.alone
    assert ALONE.first
    assert ALONE.of_first(3) == 3
    assert ALONE.any(True)
    assert ALONE.text_of_first("x") == "x"
    with pytest.raises(OSError, match="full") as error, ALONE.step():
        raise OSError(28, "full")
    assert not is_told(error.value)
    assert [code_of(error) for error in (PeerError(1, 2), InputError("x"), KeyboardInterrupt(), OSError())] == [
        2,
        2,
        130,
        1,
    ]
