"""The compiled programs of a run: initialise, advance by any number of rounds, measure, score all nodes.

    run ← step(run) until ``until`` or divergence

The number of rounds is an argument of the program, not part of its shapes. Chunks of any size, resumed runs and uninterrupted
runs therefore execute the same instructions: they agree bit for bit, and nothing is compiled twice.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.algorithms import Algorithm, Method
from jaxgossip.algorithms.base import models_of
from jaxgossip.core import counting
from jaxgossip.core.arguments import described
from jaxgossip.core.devices.blocks import at_hand, count_rows, row_numbers
from jaxgossip.core.devices.exchanges import collected, node_max
from jaxgossip.core.errors import ArgumentTypeError
from jaxgossip.core.pytree import Pytree, leaves_text, partition, register_dataclass
from jaxgossip.core.random import purpose_key, run_key
from jaxgossip.core.typing import NodeMask, PRNGKey, PyTree, Rows, accumulator
from jaxgossip.learning import Problem
from jaxgossip.learning.problem import as_evaluated
from jaxgossip.network import Conditions, Energy, Meter, Metering, Round, Speeds, Timing, Traffic, both
from jaxgossip.network.meter import new_meter
from jaxgossip.network.wallclock import Clock
from jaxgossip.simulation.checks import check_data, check_models, check_step
from jaxgossip.simulation.compiled import Compiler, pure
from jaxgossip.simulation.metrics import HonestNodes, Measured, measure, measured_rows, summary
from jaxgossip.topology import Order

UNTIL = jax.ShapeDtypeStruct((), np.int32)
"""Shape of the argument that says up to which round a program advances."""


@register_dataclass
@dataclasses.dataclass(frozen=True)
class RunState:
    """The state of a run, as carried from round to round and stored in checkpoints.

    Attributes:
        round: () int32, rounds completed.
        diverged: () bool, whether a model became NaN or infinite in the last round.
        spent: () bool, whether the next round would exceed the byte budget.
        traffic: messages and bytes sent so far.
        state: the algorithm's state.
        clock: (n, 2) uint32, virtual time of every node (see :mod:`jaxgossip.network.wallclock`); None if not kept.
        meter: what every node has done, for its energy (see :mod:`jaxgossip.network.meter`); None if not kept.
    """

    round: jax.Array
    diverged: jax.Array
    spent: jax.Array
    traffic: Traffic
    state: PyTree
    clock: Clock | None = None
    meter: Meter | None = None

    def __repr__(self) -> str:
        timed = "" if self.clock is None else ", with clocks"
        metered = "" if self.meter is None else ", with meters"
        return f"RunState({leaves_text(self.state)}{timed}{metered})"


class ProgramSpec(NamedTuple):
    """Specification of one program of a run.

    Attributes:
        function: pure function (inputs, *arguments) -> pytree of arrays.
        inputs: its inputs, whose arrays become arguments of the program.
        example: the other arguments, or their shapes.
        donate: whether the first of ``example`` is donated.
    """

    function: Callable[..., Any]
    inputs: Pytree
    example: tuple[Any, ...]
    donate: bool = False


class Initialization(Pytree):
    """The inputs that determine the state before the first round.

    Args:
        method: the algorithm's method.
        problem: the learning problem.
        key: the run's key.
        timed: whether virtual clocks are kept.
        metered: whether meters are kept, for energy.
    """

    def __init__(self, method: Method, problem: Problem, key: PRNGKey, *, timed: bool, metered: bool = False) -> None:
        self.method, self.problem, self.key, self.timed, self.metered = method, problem, key, timed, metered

    def state(self) -> RunState:
        """Return the state before the first round."""
        state = self.method.init(self.problem, purpose_key(self.key, "init"))
        state = jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), state)  # no weak types
        clock = jnp.zeros((count_rows(self.problem.n_nodes), 2), jnp.uint32) if self.timed else None
        meter = new_meter(self.problem.n_nodes) if self.metered else None
        return RunState(jnp.int32(0), jnp.asarray(False), jnp.asarray(False), Traffic.none(), state, clock, meter)


class Evaluation(Pytree):
    """The inputs that, with a run state, determine an evaluation.

    Args:
        method: the algorithm's method.
        problem: the learning problem.
        key: the run's key.
        sampled_nodes: maximum number of nodes per evaluation.
        honest: the nodes to evaluate if some are adversarial; None for all.
    """

    def __init__(
        self, method: Method, problem: Problem, key: PRNGKey, sampled_nodes: int, honest: HonestNodes | None
    ) -> None:
        self.method, self.problem, self.key = method, problem, key
        self.sampled_nodes, self.honest = sampled_nodes, honest

    def measured(self, run: RunState) -> dict[str, jax.Array]:
        """Return the scalars of one evaluation."""
        return measure(
            self.problem, models_of(self.method, self.problem, run.state), self.key, self.sampled_nodes, self.honest
        )

    def measured_rows(self, run: RunState) -> Measured:
        """Return the part of an evaluation that needs all rows."""
        x = models_of(self.method, self.problem, run.state)
        return measured_rows(self.problem, x, self.key, self.sampled_nodes, self.honest)

    def summary(self, measured: Measured) -> dict[str, jax.Array]:
        """Return the scalars of an evaluation, given what needs all rows."""
        return summary(self.problem, measured)

    def scores(self, run: RunState) -> dict[str, jax.Array]:
        """Return every measurement for all nodes, each (n,) by row, with NaN for adversarial nodes."""
        problem, x = self.problem, models_of(self.method, self.problem, run.state)
        everyone = jnp.minimum(row_numbers(problem.n_nodes), problem.n_nodes - 1)
        x = as_evaluated(problem, x, everyone)
        scores = dict(problem.evaluate(x))
        if x.shape[0] != everyone.shape[0]:
            return scores
        scores |= problem.evaluate_local(x, everyone)
        scores = {name: collected(values, problem.n_nodes) for name, values in scores.items()}
        if self.honest is None:
            return scores
        honest = jnp.zeros(problem.n_nodes, bool).at[self.honest.rows].set(True)
        return {name: jnp.where(honest, values, jnp.nan) for name, values in scores.items()}


class Run(Pytree):
    """The inputs of a run in rounds and its pure functions; the arrays in it become arguments of the compiled programs.

    Args:
        algorithm: the algorithm to run.
        seed: seed of all random draws; together with the algorithm it determines every bit of the run.
        conditions: faults of the network and the nodes; none by default.
        sampled_nodes: maximum number of nodes per evaluation.
        byte_budget: the run ends before all nodes together have sent more than this many bytes; 0 for no limit.
        speeds: speeds of the nodes' machines, for virtual clocks; None to keep no clocks.
        energy: what the nodes' machines spend; None to keep no account of it.

    Attributes:
        liars: (n,) bool by row, the adversarial nodes; None if there are none.
        honest: the nodes to evaluate if some are adversarial; None for all.
    """

    per_node = ("liars",)

    def __init__(
        self,
        algorithm: Algorithm,
        *,
        seed: int = 0,
        conditions: Conditions | None = None,
        sampled_nodes: int = 1000,
        byte_budget: int = 0,
        speeds: Speeds | None = None,
        energy: Energy | None = None,
    ) -> None:
        conditions, problem = conditions or Conditions(), algorithm.problem
        adversary = conditions.adversary
        self.algorithm, self.key, self.byte_budget = algorithm, run_key(seed), byte_budget
        self.sampled_nodes = sampled_nodes
        if conditions.aggregation is not None and algorithm.W is not None:
            conditions.aggregation.check_mixing(algorithm.W)
        self.timing = None if speeds is None else Timing(speeds, problem.n_nodes, problem.order)
        timed = self.timing is not None
        self.metering = None if energy is None else Metering(energy, problem.n_nodes, problem.order, timed=timed)
        self.liars: NodeMask | None = None
        self.honest: HonestNodes | None = None
        if adversary is not None:
            check_data(adversary, problem)
            mask = adversary.honest(problem.n_nodes)
            self.honest = HonestNodes.of(mask, problem.order)
            self.liars = jnp.asarray(~mask if problem.order is None else ~mask[problem.order.nodes])
            # The mask, an array, identifies the liars: runs that differ in them share a program.
            adversary = dataclasses.replace(adversary, liars=())
        self.conditions = dataclasses.replace(conditions, adversary=adversary)

    @property
    def initialization(self) -> Initialization:
        """The inputs of the first state."""
        timed, metered = self.timing is not None, self.metering is not None
        return Initialization(self.algorithm.method, self.algorithm.problem, self.key, timed=timed, metered=metered)

    @property
    def evaluation(self) -> Evaluation:
        """The inputs of an evaluation."""
        method, problem = self.algorithm.method, self.algorithm.problem
        return Evaluation(method, problem, self.key, self.sampled_nodes, self.honest)

    def step(self, run: RunState) -> RunState:
        """Return the run after one more round.

        Raises:
            ArgumentTypeError: while tracing, if the algorithm's step does not return its traffic.
            RunError: while tracing, if it changes the shapes or dtypes of the state.
        """
        problem = self.algorithm.problem
        timed = self.timing is not None or self.metering is not None
        round_ = self._round(run.round, self._alive(run.meter, run.clock), timed=timed)
        state, traffic = self.algorithm.step(run.state, round_)
        if not isinstance(traffic, Traffic):
            raise ArgumentTypeError(
                f"{self.algorithm.name}: step returns {described(traffic)} in the place of its traffic",
                hint="return state, links.sent(x)",
            )
        check_step(self.algorithm, run.state, state)
        finite = all_finite(self.algorithm.models(state), problem)
        clock, meter = self._clock_and_meter(run, round_, traffic)
        traffic = traffic.counts()
        total = run.traffic + traffic
        spent = jnp.asarray(False)
        if self.byte_budget:  # of the next round only the traffic is asked for, and nothing else is computed
            next_round = self._round(run.round + 1, self._alive(meter, clock), timed=False)
            _, following = self.algorithm.step(state, next_round)
            spent = counting.exceeds((total + following.counts()).bytes_sent, self.byte_budget)
        return RunState(run.round + 1, ~finite, spent, total, state, clock, meter)

    def _round(self, number: jax.Array, alive: NodeMask | None, *, timed: bool) -> Round:
        problem = self.algorithm.problem
        order, dtype = problem.order, np.dtype(problem.dtype)
        return Round(
            number, self.key, problem.n_nodes, self.conditions, order, timed, self.liars, dtype, problem, alive
        )

    def _alive(self, meter: Meter | None, clock: Clock | None) -> NodeMask | None:
        """Return (n,) bool, the nodes whose batteries are not spent; None if there are no batteries."""
        return None if self.metering is None or meter is None else self.metering.alive(meter, clock)

    def _clock_and_meter(self, run: RunState, round_: Round, traffic: Traffic) -> tuple[Clock | None, Meter | None]:
        """Return the clocks and meters after this round; if all nodes train one model, they wait for one another."""
        clock, meter = run.clock, run.meter
        if clock is None and meter is None:
            return None, None
        works = both(round_.works, self.algorithm.trains(run.state, round_))
        if self.timing is not None and clock is not None:
            together = jax.eval_shape(self.algorithm.models, run.state).shape[0] != count_rows(round_.n_nodes)
            clock = self.timing.advance(clock, traffic.exchanges, round_.online, works, together=together)
        if self.metering is not None and meter is not None:
            meter = self.metering.advance(meter, traffic.exchanges, round_.online, works)
        return clock, meter

    def rounds(self, run: RunState, until: jax.Array) -> RunState:
        """Return the run after round ``until``, or after the round in which it diverged or exhausted its byte budget."""
        return jax.lax.while_loop(lambda run: (run.round < until) & ~run.diverged & ~run.spent, self.step, run)

    def like(self) -> RunState:
        """Return the shapes and dtypes of the run's state without computing anything."""
        return jax.eval_shape(self.initialization.state)

    def programs(self) -> tuple[ProgramSpec, ...]:
        """Return the run's three programs: the first state, rounds, and an evaluation."""
        like = self.like()
        return (
            ProgramSpec(Initialization.state, self.initialization, ()),
            ProgramSpec(Run.rounds, self, (like, UNTIL), donate=True),
            ProgramSpec(Evaluation.measured, self.evaluation, (like,)),
        )


class Program:
    """The compiled programs of one run.

    Args:
        algorithm: the algorithm to run.
        seed: seed of all random draws; together with the algorithm it determines every bit of the run.
        conditions: faults of the network and the nodes; none by default.
        sampled_nodes: maximum number of nodes per evaluation.
        byte_budget: the run ends before all nodes together have sent more than this many bytes; 0 for no limit.
        matmul_precision: precision of float32 matrix products; "highest" is full float32 on every device.
        speeds: speeds of the nodes' machines, for virtual clocks; None to keep no clocks.
        energy: what the nodes' machines spend; None to keep no account of it.

    Attributes:
        metering: the account of energy; None if none is kept.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        *,
        seed: int = 0,
        conditions: Conditions | None = None,
        sampled_nodes: int = 1000,
        byte_budget: int = 0,
        matmul_precision: str = "highest",
        speeds: Speeds | None = None,
        energy: Energy | None = None,
    ) -> None:
        run = Run(
            algorithm, seed=seed, conditions=conditions, sampled_nodes=sampled_nodes, byte_budget=byte_budget,
            speeds=speeds, energy=energy,
        )  # fmt: skip
        self.algorithm, self._run, self._precision = algorithm, run, matmul_precision
        self.metering = run.metering
        self._compiler = Compiler(matmul_precision)
        self.like = run.like()
        check_models(algorithm, self.like)
        self._start, self._advance, self._measure = (
            self._compiler.compile(spec.function, spec.inputs, *spec.example, donate=spec.donate)
            for spec in run.programs()
        )

    @property
    def scratch_bytes(self) -> int:
        """Largest number of bytes that a program needs beyond its arguments and donated buffers, as the compiler estimates."""
        return self._compiler.scratch_bytes

    def start(self) -> RunState:
        """Return the state before the first round."""
        return self._start()

    def advance(self, run: RunState, until: int) -> RunState:
        """Return the run after round ``until``, or where it ended earlier (see :meth:`Run.rounds`); ``run`` is donated."""
        return self._advance(run, jnp.asarray(until, jnp.int32))

    def measure(self, run: RunState) -> dict[str, jax.Array]:
        """Return the scalars of one evaluation (see :func:`jaxgossip.simulation.metrics.measure`)."""
        return self._measure(run)

    def score_all(self, run: RunState) -> dict[str, jax.Array]:
        """Return every measurement for all nodes, each (n,) by node number."""
        scores = self._compiler.compile(Evaluation.scores, self._run.evaluation, self.like)(run)
        return by_node(scores, self.algorithm.problem.order)

    def spread(self, run: RunState) -> RunState:
        """Return a state with a row for each node as :meth:`advance` takes it, which is itself."""
        return run

    def kept(self, run: RunState) -> RunState:
        """Return a state as observers and results have it, which is itself."""
        return run

    def clock(self, run: RunState) -> Clock | np.ndarray | None:
        """Return the virtual clocks (n, 2) of all nodes; None if none are kept."""
        return run.clock

    def meter(self, run: RunState) -> Meter | None:
        """Return the meters of all nodes; None if none are kept."""
        return run.meter

    def lowerable(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return (function, arguments or their shapes) of the rounds program, for export and memory analysis."""
        arrays, static = partition(self._run)
        return pure(Run.rounds, static, self._precision), (arrays, self.like, UNTIL)


def all_finite(x: Rows, problem: Problem) -> jax.Array:
    """Return (), whether all models x (n, p), or (1, p), are finite."""
    # A sum reads every entry once, and a NaN or infinity anywhere makes it non-finite.
    if at_hand() is None or x.shape[0] != count_rows(problem.n_nodes):
        return jnp.isfinite(x.sum(dtype=accumulator(problem.dtype)))
    return ~node_max(~jnp.isfinite(x.sum(1, dtype=accumulator(problem.dtype))))


def by_node(tree: PyTree, order: Order | None) -> PyTree:
    """Return ``tree`` with every leaf that has one entry per row reordered by the user's node numbers."""
    if order is None:
        return tree

    def reordered(leaf: jax.Array) -> jax.Array:
        return leaf[order.rows] if leaf.ndim and leaf.shape[0] == order.nodes.size else leaf

    return jax.tree.map(reordered, tree)


def initial_shapes(algorithm: Algorithm, seed: int = 0, *, timed: bool = False, metered: bool = False) -> RunState:
    """Return the shapes of a run's state, with clocks if ``timed`` and meters if ``metered``, without computing anything."""
    method, problem = algorithm.method, algorithm.problem
    return jax.eval_shape(Initialization(method, problem, run_key(seed), timed=timed, metered=metered).state)
