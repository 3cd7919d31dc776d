"""Loops that are compiled for the host."""

import threading
import time

import numpy as np
import pytest

from jaxgossip.core.host_loops import host_loop

STEP = 3


@host_loop
def _over(number: int, least: int = 0) -> int:
    return max(least, number - STEP)


@host_loop
def _sum_over(numbers: np.ndarray) -> int:
    total = 0
    for number in numbers:
        total += _over(number, -1)
    return total


@host_loop
def _scramble(number: int, times: int) -> int:
    """Take steps that no compiler foresees."""
    for _ in range(times):
        number ^= (number << 13) & 0xFFFFFFFF
        number ^= number >> 17
        number ^= (number << 5) & 0xFFFFFFFF
    return number


@host_loop
def _ratio(numbers: np.ndarray) -> float:
    return numbers[5 // len(numbers)]


def test_a_loop_calls_another_of_its_module_and_reads_its_constants():
    assert _sum_over(np.array([1, 5, 9])) == -1 + 2 + 6


def test_arguments_are_given_by_name_too():
    assert _over(number=5) == 2
    assert _over(1, least=-9) == -2


def test_it_holds_no_lock_of_the_interpreter():
    _scramble(1, 1)  # which compiles
    done = []
    loop = threading.Thread(target=lambda: done.append(_scramble(1, 10**8)))  # .3 s
    loop.start()
    for _ in range(5):
        time.sleep(0.001)
    assert not done
    loop.join()
    assert done


def test_what_it_raises_arrives():
    with pytest.raises(ZeroDivisionError):
        _ratio(np.empty(0, np.int64))


def test_it_keeps_its_name_and_documentation():
    assert _scramble.__name__ == "_scramble"
    assert "no compiler" in (_scramble.__doc__ or "")
