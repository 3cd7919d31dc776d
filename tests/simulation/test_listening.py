"""Who listens to a run: the order of what is heard, progress on stderr, and Ctrl-C as a request."""

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.simulation import Observer
from jaxgossip.simulation.listening import display
from jaxgossip.simulation.listening.interrupt import STOPPING

N = 6
NETWORK = jg.schedule.schedule(jg.topology.complete(N), clock=jg.schedule.clocks.fixed(N, np.random.default_rng(0)))


def algorithm() -> jg.algorithms.Algorithm:
    problem = jg.learning.isotropic_quadratic(N, dimension=2, noise=0.5, rng=0)
    return jg.algorithms.dsgd(problem, optax.sgd(0.1), jg.mixing.metropolis_hastings(jg.topology.ring(N)))


def protocol() -> jg.algorithms.GossipProtocol:
    problem = jg.learning.isotropic_quadratic(N, dimension=2, noise=0.5, rng=0)
    return jg.algorithms.gossip_learning(problem, optax.sgd(0.1))


class Keeps(Observer):
    """Keeps what it hears, by name."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name in vars(Observer):
            self.heard.append(name)
        return super().__getattribute__(name)


class Presses(Observer):
    """Presses Ctrl-C once so many rounds are done, so many times."""

    def __init__(self, after: int, times: int = 1) -> None:
        self.after, self.left = after, times

    def advanced(self, rounds_done: int) -> None:
        while rounds_done >= self.after and self.left:
            self.left -= 1
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def pythons_own_handler() -> Iterator[None]:
    """Let Ctrl-C do what it does in a script, whatever a worker of pytest makes of it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_observers_hear_a_run_in_order() -> None:
    keeps = Keeps()
    jg.simulate(algorithm(), 2, evaluate_every=1, observer=keeps)
    heard = [name for name in keeps.heard if name != "should_stop"]
    assert heard == [
        "note", "begin", "compiling", "compiled", "evaluated",
        *["advanced", "evaluated", "chunk"] * 2, "finished", "end",
    ]  # fmt: skip


def test_an_observer_hears_the_end_of_a_run_that_breaks() -> None:
    class Breaks(Keeps):
        def advanced(self, rounds_done: int) -> None:
            raise RuntimeError("broken")

    breaks = Breaks()
    with pytest.raises(RuntimeError, match="broken"):
        jg.simulate(algorithm(), 2, observer=breaks)
    assert breaks.heard[-1] == "end"


@pytest.mark.by_default("rounds")
@pytest.mark.parametrize("kind", ["rounds", "events"])
def test_ctrl_c_ends_a_run_between_two_chunks(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    presses = Presses(1)
    if kind == "rounds":
        result = jg.simulate(algorithm(), 1000, evaluate_every=1, observer=presses)
        whole = jg.simulate(algorithm(), result.rounds, evaluate_every=1)
        np.testing.assert_array_equal(result.x, whole.x)
    else:
        result = jg.simulate_events(protocol(), NETWORK, 1000, evaluate_every=1, observer=presses)
    assert (result.status, result.rounds, list(result.metrics["round"])) == ("interrupted", 1, [0, 1])
    assert not result.node_scores
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert capsys.readouterr().err == f"\n{STOPPING}\n"


def test_a_second_ctrl_c_ends_it_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        jg.simulate(algorithm(), 1000, evaluate_every=1, observer=Presses(1, times=2))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_in_the_last_chunk_leaves_a_whole_result() -> None:
    result = jg.simulate(algorithm(), 2, evaluate_every=1, observer=Presses(2))
    assert (result.status, result.rounds) == ("completed", 2)
    assert result.node_scores


def test_a_handler_of_the_callers_own_is_left_alone() -> None:
    came: list[int] = []

    def own(number: int, frame: object) -> None:
        came.append(number)

    signal.signal(signal.SIGINT, own)
    result = jg.simulate(algorithm(), 3, evaluate_every=1, observer=Presses(1))
    assert (result.status, came) == ("completed", [signal.SIGINT])
    assert signal.getsignal(signal.SIGINT) is own


def test_what_an_observer_raises_is_not_swallowed() -> None:
    class Raises(Observer):
        def should_stop(self) -> bool:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jg.simulate(algorithm(), 3, observer=Raises())


def test_a_run_in_another_thread_touches_no_handler() -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(jg.simulate(algorithm(), 2)))
    thread.start()
    thread.join()
    assert [result.status for result in found] == ["completed"]


@pytest.mark.slow
def test_progress_is_on_stderr_and_only_where_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    jg.simulate(algorithm(), 3)
    assert capsys.readouterr() == ("", "")
    jg.simulate(algorithm(), 3, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    first, last = err.splitlines()
    assert first == "compiling D-SGD (ATC) for 6 nodes"
    assert last.startswith("  D-SGD (ATC): round 3 of 3, squared distance to the optimum 1.")
    jg.simulate_events(protocol(), NETWORK, 3, progress=True)
    assert f"compiling {protocol().name} for 6 nodes\n" in capsys.readouterr().err


def test_lines_of_progress_come_at_most_every_so_often(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(display, "LINE_S", 0.0)
    shown = display.Display()
    shown.begin("mine", 10, 0)
    for done in range(1, 5):
        shown.advanced(done)
    shown.end()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"  mine: round {done} of 10" for done in (2, 3, 4)]
