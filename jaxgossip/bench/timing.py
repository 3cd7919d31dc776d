"""Timing of a compiled program, and of the unit that it is compared with: one copy of the state.

A round is timed as it runs in practice: inside a loop of one compiled program that takes the number of rounds as an argument,
on a state that is donated and carried. Outside a loop, fresh pages for the output cost as much as the arithmetic.
"""

import math
import statistics
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.algorithms import Algorithm
from jaxgossip.core.errors import RunError
from jaxgossip.core.pytree import partition
from jaxgossip.core.typing import PyTree
from jaxgossip.simulation.compiled import pure
from jaxgossip.simulation.program import Program, RunState

SAMPLE_S = 0.2
"""Approximate least duration of a sample, in seconds."""
COPY_S = 0.05
"""Approximate time for which copies are measured before and after each program, in seconds."""
SAMPLE_ROUNDS = 10
"""Least number of rounds in a sample: every call allocates scratch memory, whose fresh pages cost as much as a round."""
MOST_SAMPLE_S = 2.0
"""Duration to which ``SAMPLE_ROUNDS`` may extend a sample, in seconds; longer rounds are sampled once."""
LEAST_ROUNDS = 3
"""Least number of rounds in a sample, however long a round takes."""
MOST_ROUNDS = 10**7
WARM_UP_ROUNDS = 2
REFERENCE_S = 1.0
"""Time spent on calls of a reference, in seconds."""
REFERENCE_CALLS = 5


@runtime_checkable
class Rounds(Protocol):
    """A program that advances its own state; it is compiled on first use."""

    @property
    def scratch_bytes(self) -> int | None:
        """Temporary memory of the program in bytes, as reported by the compiler; None if it is not."""
        ...

    def __call__(self, rounds: int) -> None:
        """Run a number of rounds, and return when they are done."""
        ...


class Loop:
    """The rounds of an arbitrary step, in one program.

    Args:
        step: (inputs, state, round number int32) -> state of the same shapes and dtypes.
        inputs: pytree of the inputs common to all rounds; its arrays are arguments of the program.
        state: pytree of arrays; it is donated.

    Attributes:
        state: the state after the rounds run so far.
    """

    def __init__(self, step: Callable[[Any, PyTree, jax.Array], PyTree], inputs: PyTree, state: PyTree) -> None:
        self._step, self._inputs, self.state, self._done = step, inputs, state, 0

    def __call__(self, rounds: int) -> None:
        """Run a number of rounds, and return when they are done."""
        arrays, compiled = self._program
        begin, end = (jnp.asarray(number, jnp.int32) for number in (self._done, self._done + rounds))
        self.state = jax.block_until_ready(compiled(arrays, self.state, begin, end))
        self._done += rounds

    @property
    def scratch_bytes(self) -> int | None:
        """Temporary memory of the program in bytes."""
        return scratch_bytes(self._program[1])

    @cached_property
    def _program(self) -> tuple[list[jax.Array], Any]:
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), self.state)
        number = jax.ShapeDtypeStruct((), jnp.int32)
        with jax.default_matmul_precision("highest"):  # as the engine compiles its programs
            arrays, static = partition(self._inputs)
            jitted = jax.jit(pure(self._rounds, static), donate_argnums=(1,))
            return arrays, jitted.lower(arrays, like, number, number).compile()

    def _rounds(self, inputs: PyTree, state: PyTree, begin: jax.Array, end: jax.Array) -> PyTree:
        def body(carry: tuple[jax.Array, PyTree]) -> tuple[jax.Array, PyTree]:
            return carry[0] + 1, self._step(inputs, carry[1], carry[0])

        return jax.lax.while_loop(lambda carry: carry[0] < end, body, (begin, state))[1]


class ProgramRounds:
    """The rounds of an algorithm, run by the engine's own program.

    Args:
        algorithm: the algorithm.
        seed: seed of the run.

    Attributes:
        run: the run after the rounds so far; None before the first.
    """

    def __init__(self, algorithm: Algorithm, seed: int) -> None:
        self._algorithm, self._seed = algorithm, seed
        self.run: RunState | None = None

    def __call__(self, rounds: int) -> None:
        """Run a number of rounds, and return when they are done.

        Raises:
            RunError: the models became NaN or infinite, which ended the rounds early.
        """
        run = self._program.start() if self.run is None else self.run
        self.run = run = jax.block_until_ready(self._program.advance(run, int(run.round) + rounds))
        if bool(run.diverged):
            raise RunError(f"{self._algorithm.name} diverged in round {int(run.round):,} of its benchmark")

    @property
    def scratch_bytes(self) -> int | None:
        """Temporary memory of the program in bytes."""
        function, arguments = self._program.lowerable()
        return scratch_bytes(jax.jit(function, donate_argnums=(1,)).lower(*arguments).compile())

    @cached_property
    def _program(self) -> Program:
        return Program(self._algorithm, seed=self._seed)


class Copy:
    """The unit of time: one ``np.copyto`` of a float32 array, on one thread.

    Args:
        shape: (n, p), shape of the state.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        # The pages must be written: untouched ones are all mapped to a single page of zeros.
        self._source, self._target = np.ones(shape, np.float32), np.zeros(shape, np.float32)
        np.copyto(self._target, self._source)

    def samples(self, seconds: float = COPY_S) -> list[float]:
        """Return the seconds of a copy, measured repeatedly for about ``seconds``, at least three times."""
        samples: list[float] = []
        count = max(1, int(1e-3 / max(elapsed(self._copy, 1), 1e-9)))
        began = time.perf_counter()
        while len(samples) < 3 or time.perf_counter() - began < seconds:
            samples.append(elapsed(self._copy, count) / count)
        return samples

    def _copy(self, count: int) -> None:
        for _ in range(count):
            np.copyto(self._target, self._source)


def elapsed(run: Callable[[int], None], count: int) -> float:
    """Return the seconds that ``run(count)`` takes."""
    began = time.perf_counter()
    run(count)
    return time.perf_counter() - began


def seconds_a_round(rounds: Callable[[int], None], repeats: int, sample_s: float = SAMPLE_S) -> float:
    """Return the median over ``repeats`` samples of the seconds that one round takes.

    Args:
        rounds: runs a number of rounds, and returns when they are done.
        repeats: number of samples, 1 or more.
        sample_s: approximate least duration of a sample in seconds.
    """
    rounds(WARM_UP_ROUNDS)
    count, seconds = 1, elapsed(rounds, 1)
    while seconds < sample_s or count < LEAST_ROUNDS or (count < SAMPLE_ROUNDS and seconds < MOST_SAMPLE_S):
        round_s = max(seconds, 1e-9) / count
        wanted = max(1.1 * sample_s / round_s, min(SAMPLE_ROUNDS, MOST_SAMPLE_S / round_s), LEAST_ROUNDS)
        if count == MOST_ROUNDS:
            break
        count = min(max(math.ceil(wanted), count + 1), 100 * count, MOST_ROUNDS)
        seconds = elapsed(rounds, count)
    if seconds / count > MOST_SAMPLE_S:
        return seconds / count
    samples = [seconds, *(elapsed(rounds, count) for _ in range(repeats - 1))]
    return statistics.median(samples) / count


def reference_seconds(call: Callable[[], None], budget_s: float = REFERENCE_S) -> float:
    """Return the median seconds of a reference's round, over several calls after a warm-up, or of a single long call.

    Args:
        call: runs one round.
        budget_s: time in seconds after which no further call is made.
    """
    samples: list[float] = []
    began = time.perf_counter()
    while len(samples) <= REFERENCE_CALLS and (not samples or time.perf_counter() - began < budget_s):
        samples.append(elapsed(lambda _: call(), 1))
    return statistics.median(samples[1:] or samples)


def scratch_bytes(compiled: Any) -> int | None:
    """Return the temporary memory of a compiled program in bytes, or None if the device does not report it."""
    analysis = compiled.memory_analysis()
    return None if analysis is None else int(analysis.temp_size_in_bytes)
