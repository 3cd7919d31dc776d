"""A run as compiled programs: start, advance by any number of rounds, measure, score all nodes.

    run ← step(run) until ``until`` or divergence

The number of rounds is an argument of one program, not a shape: chunks of any size, a resumed run and an uninterrupted
one execute the very same instructions, so they agree bit for bit and nothing is compiled twice.
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
from jaxgossip.core.errors import ArgumentTypeError, InputError, RunError
from jaxgossip.core.pytree import Pytree, leaves_text, partition, register_dataclass
from jaxgossip.core.random import purpose_key, run_key
from jaxgossip.core.typing import NodeMask, PRNGKey, PyTree, accumulator
from jaxgossip.learning import Problem
from jaxgossip.network import Adversary, Conditions, Round, Speeds, Timing, Traffic
from jaxgossip.network.wallclock import Clock
from jaxgossip.simulation.compiled import Compiler, pure
from jaxgossip.simulation.metrics import Honest, measure
from jaxgossip.topology import Order

UNTIL = jax.ShapeDtypeStruct((), np.int32)
"""Up to which round a program goes on."""


@register_dataclass
@dataclasses.dataclass(frozen=True)
class RunState:
    """Everything a run carries from round to round, and all that a checkpoint holds.

    Attributes:
        round: int32, rounds done.
        diverged: bool, a model became NaN or infinite in the last round done.
        spent: bool, another round like the last one would exceed the budget of bytes.
        traffic: messages and bytes so far.
        state: the algorithm's state.
        clock: (n, 2) uint32, virtual seconds of every node (see :mod:`jaxgossip.network.wallclock`); None: not kept.
    """

    round: jax.Array
    diverged: jax.Array
    spent: jax.Array
    traffic: Traffic
    state: PyTree
    clock: Clock | None = None

    def __repr__(self) -> str:
        timed = "" if self.clock is None else ", with clocks"
        return f"RunState({leaves_text(self.state)}{timed})"


class Purpose(NamedTuple):
    """One program of a run.

    Attributes:
        function: (inputs, *arguments) -> what it computes.
        inputs: what it follows from.
        example: arguments, or shapes in their places.
        donate: whether the first argument is consumed.
    """

    function: Callable[..., Any]
    inputs: Pytree
    example: tuple[Any, ...]
    donate: bool = False


class Beginning(Pytree):
    """What the state before the first round follows from.

    Args:
        method: of the algorithm.
        problem: what is learnt.
        key: of the run.
        timed: whether virtual clocks are kept.
    """

    def __init__(self, method: Method, problem: Problem, key: PRNGKey, *, timed: bool) -> None:
        self.method, self.problem, self.key, self.timed = method, problem, key, timed

    def state(self) -> RunState:
        """Return the state before the first round."""
        state = self.method.init(self.problem, purpose_key(self.key, "init"))
        state = jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), state)  # no weak types
        clock = jnp.zeros((self.problem.n_nodes, 2), jnp.uint32) if self.timed else None
        return RunState(jnp.int32(0), jnp.asarray(False), jnp.asarray(False), Traffic.none(), state, clock)


class Evaluation(Pytree):
    """What an evaluation of a state follows from.

    Args:
        method: of the algorithm.
        problem: what is learnt.
        key: of the run.
        sampled_nodes: how many nodes an evaluation looks at.
        honest: who may be evaluated where some lie; None: all.
    """

    def __init__(
        self, method: Method, problem: Problem, key: PRNGKey, sampled_nodes: int, honest: Honest | None
    ) -> None:
        self.method, self.problem, self.key = method, problem, key
        self.sampled_nodes, self.honest = sampled_nodes, honest

    def measured(self, run: RunState) -> dict[str, jax.Array]:
        """Return the scalars of one evaluation."""
        return measure(
            self.problem, models_of(self.method, self.problem, run.state), self.key, self.sampled_nodes, self.honest
        )

    def scores(self, run: RunState) -> dict[str, jax.Array]:
        """Return every measurement for all nodes, each (n,), row by row; NaN of those that lie."""
        problem, x = self.problem, models_of(self.method, self.problem, run.state)
        scores = dict(problem.evaluate(x))
        if x.shape[0] != problem.n_nodes:
            return scores
        scores |= problem.evaluate_local(x, jnp.arange(x.shape[0], dtype=jnp.int32))
        if self.honest is None:
            return scores
        honest = jnp.zeros(x.shape[0], bool).at[self.honest.rows].set(True)
        return {name: jnp.where(honest, values, jnp.nan) for name, values in scores.items()}


class Run(Pytree):
    """What a run in rounds follows from, and its pure functions; the arrays in it are arguments of its programs.

    Args:
        algorithm: what runs.
        seed: determines, with the algorithm, every bit of the run.
        conditions: faults.
        sampled_nodes: how many nodes an evaluation looks at.
        byte_budget: the run ends before all nodes together have sent more than so many bytes; 0: no limit.
        speeds: of the nodes' machines, for virtual seconds; None: no time is kept.

    Attributes:
        liars: (n,) bool by row, who lies; None: nobody.
        honest: who may be evaluated where some lie; None: all.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        *,
        seed: int = 0,
        conditions: Conditions | None = None,
        sampled_nodes: int = 1000,
        byte_budget: int = 0,
        speeds: Speeds | None = None,
    ) -> None:
        conditions, problem = conditions or Conditions(), algorithm.problem
        adversary = conditions.adversary
        self.algorithm, self.key, self.byte_budget = algorithm, run_key(seed), byte_budget
        self.sampled_nodes = sampled_nodes
        self.timing = None if speeds is None else Timing(speeds, problem.n_nodes, problem.order)
        self.liars: NodeMask | None = None
        self.honest: Honest | None = None
        if adversary is not None:
            _check_labels(adversary, problem)
            mask = adversary.honest(problem.n_nodes)
            self.honest = Honest.of(mask, problem.order)
            self.liars = jnp.asarray(~mask if problem.order is None else ~mask[problem.order.nodes])
            # Who lies is told by the mask, so that runs with other liars share a program.
            adversary = dataclasses.replace(adversary, liars=())
        self.conditions = dataclasses.replace(conditions, adversary=adversary)

    @property
    def beginning(self) -> Beginning:
        """What its first state follows from."""
        return Beginning(self.algorithm.method, self.algorithm.problem, self.key, timed=self.timing is not None)

    @property
    def evaluation(self) -> Evaluation:
        """What an evaluation follows from."""
        method, problem = self.algorithm.method, self.algorithm.problem
        return Evaluation(method, problem, self.key, self.sampled_nodes, self.honest)

    def step(self, run: RunState) -> RunState:
        """Return the run after one more round."""
        problem = self.algorithm.problem
        timed = self.timing is not None
        round_ = Round(run.round, self.key, problem.n_nodes, self.conditions, problem.order, timed, self.liars)
        state, traffic = self.algorithm.step(run.state, round_)
        if not isinstance(traffic, Traffic):
            raise ArgumentTypeError(
                f"{self.algorithm.name}: step returns {described(traffic)} in the place of its traffic",
                hint="return state, links.sent(x)",
            )
        # A sum meets every entry at the price of one read, and a NaN or an infinity anywhere shows in it.
        finite = jnp.isfinite(self.algorithm.models(state).sum(dtype=accumulator(problem.dtype)))
        clock = self._clock(run, round_, traffic)
        traffic = traffic.counts()
        total = run.traffic + traffic
        spent = jnp.asarray(False)
        if self.byte_budget:
            spent = counting.exceeds((total + traffic).bytes_sent, self.byte_budget)
        return RunState(run.round + 1, ~finite, spent, total, state, clock)

    def _clock(self, run: RunState, round_: Round, traffic: Traffic) -> Clock | None:
        """Return the clocks after this round; one model, which all nodes' work goes into, makes all of them wait."""
        if self.timing is None or run.clock is None:
            return None
        together = jax.eval_shape(self.algorithm.models, run.state).shape[0] != round_.n_nodes
        return self.timing.advance(run.clock, traffic.exchanges, round_.online, round_.works, together=together)

    def rounds(self, run: RunState, until: jax.Array) -> RunState:
        """Return the run after round ``until``, or where it diverged or its bytes were spent.

        Raises:
            RunError: while it is traced, where a step does not keep the shapes of its state.
        """
        check_step(self.algorithm, run, self.step)
        return jax.lax.while_loop(lambda run: (run.round < until) & ~run.diverged & ~run.spent, self.step, run)

    def like(self) -> RunState:
        """Return the shapes and dtypes of its state; nothing is computed."""
        return jax.eval_shape(self.beginning.state)

    def programs(self) -> tuple[Purpose, ...]:
        """Return its three programs: the first state, rounds, an evaluation."""
        like = self.like()
        return (
            Purpose(Beginning.state, self.beginning, ()),
            Purpose(Run.rounds, self, (like, UNTIL), donate=True),
            Purpose(Evaluation.measured, self.evaluation, (like,)),
        )


class Program:
    """The compiled programs of one run.

    Args:
        algorithm: what runs.
        seed: determines, with the algorithm, every bit of the run.
        conditions: faults.
        sampled_nodes: how many nodes an evaluation looks at.
        byte_budget: the run ends before all nodes together have sent more than so many bytes; 0: no limit.
        matmul_precision: of float32 matrix products: "highest" is full float32 on every device.
        speeds: of the nodes' machines, for virtual seconds; None: no time is kept.
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
    ) -> None:
        run = Run(
            algorithm, seed=seed, conditions=conditions, sampled_nodes=sampled_nodes, byte_budget=byte_budget,
            speeds=speeds,
        )  # fmt: skip
        self.algorithm, self._run, self._precision = algorithm, run, matmul_precision
        self._compiler = Compiler(matmul_precision)
        self.like = run.like()
        check_models(algorithm, self.like)
        self._start, self._advance, self._measure = (
            self._compiler.compile(one.function, one.inputs, *one.example, donate=one.donate) for one in run.programs()
        )

    @property
    def scratch_bytes(self) -> int:
        """What the hungriest program takes besides its arguments and what it consumes, by the compiler's account."""
        return self._compiler.scratch_bytes

    def start(self) -> RunState:
        """Return the state before the first round."""
        return self._start()

    def advance(self, run: RunState, until: int) -> RunState:
        """Return the run after round ``until``, or after the round in which it diverged; ``run`` is consumed."""
        return self._advance(run, jnp.asarray(until, jnp.int32))

    def measure(self, run: RunState) -> dict[str, jax.Array]:
        """Return the scalars of one evaluation (see :func:`jaxgossip.simulation.metrics.measure`)."""
        return self._measure(run)

    def score_all(self, run: RunState) -> dict[str, jax.Array]:
        """Return every measurement for all nodes, each (n,), by node."""
        scores = self._compiler.compile(Evaluation.scores, self._run.evaluation, self.like)(run)
        return by_node(scores, self.algorithm.problem.order)

    def lowerable(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return (function, arguments) of the compiled rounds, for export to other platforms and memory analysis."""
        arrays, static = partition(self._run)
        return pure(Run.rounds, static, self._precision), (arrays, self.like, UNTIL)


def _check_labels(adversary: Adversary, problem: Problem) -> None:
    if adversary.flips_labels and getattr(problem, "flipped", ()) != adversary.liars:
        raise InputError(
            f"the labels of {adversary.name}'s nodes are not turned around in this problem",
            hint="data, partition = jg.learning.flip_labels(data, partition, adversary.liars), then classification",
        )


def by_node(tree: PyTree, order: Order | None) -> PyTree:
    """Return ``tree`` with what it holds for each row, node by node: as the user numbers them."""
    if order is None:
        return tree

    def one(leaf: jax.Array) -> jax.Array:
        return leaf[order.rows] if leaf.ndim and leaf.shape[0] == order.nodes.size else leaf

    return jax.tree.map(one, tree)


def initial_shapes(algorithm: Algorithm, seed: int = 0, *, timed: bool = False) -> RunState:
    """Return the shapes and dtypes of a run's state, with clocks if it is ``timed``; nothing is computed."""
    return jax.eval_shape(Beginning(algorithm.method, algorithm.problem, run_key(seed), timed=timed).state)


def check_models(algorithm: Algorithm, like: RunState) -> None:
    """Raise InputError unless an algorithm's models are rows of the problem's: one a node, or one for all."""
    shape = jax.eval_shape(algorithm.models, like.state).shape
    n, p = algorithm.problem.n_nodes, algorithm.problem.n_params
    if shape not in ((n, p), (1, p)):
        raise InputError(
            f"{algorithm.name}: models have shape {shape}, and the problem has {n:,} nodes of {p:,} parameters",
            hint="models(state) returns (n, p), or (1, p) where one model serves all",
        )


def check_start(like: PyTree, start: PyTree) -> None:
    """Raise InputError unless ``start`` is a state of this run: the structure, shapes and dtypes of ``like``."""
    if type(start) is not type(like):
        raise ArgumentTypeError(
            f"a run does not start from {described(start)}", hint="start is the 'run' of another result"
        )
    here, there = jax.tree.flatten_with_path(like), jax.tree.flatten_with_path(start)
    if here[1] != there[1]:
        raise InputError(
            "start is the state of another algorithm or optimizer",
            hint="continue with those, and the speeds, that made it",
        )
    for (path, mine), (_, its) in zip(here[0], there[0], strict=True):
        if (mine.shape, mine.dtype) != (its.shape, its.dtype):
            raise InputError(
                f"start{jax.tree_util.keystr(path)} is {its.dtype}{list(its.shape)}, and this run has "
                f"{mine.dtype}{list(mine.shape)}",
                hint="continue with the problem and the network that made it",
            )


def check_step(algorithm: Algorithm, like: RunState, step: Callable[[RunState], RunState]) -> None:
    """Check that a step returns a state of the shapes and dtypes it was given.

    Raises:
        RunError: names the first leaf that changes.
    """
    after = jax.eval_shape(step, like)
    before_leaves, before_tree = jax.tree.flatten_with_path(like.state)
    after_leaves, after_tree = jax.tree.flatten_with_path(after.state)
    if before_tree != after_tree:
        raise RunError(
            f"{algorithm.name}: step returns a state of another structure than init: {after_tree}, not {before_tree}"
        )
    for (path, old), (_, new) in zip(before_leaves, after_leaves, strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise RunError(
                f"{algorithm.name}: step turns state{jax.tree_util.keystr(path)} from {old.dtype}{list(old.shape)} "
                f"into {new.dtype}{list(new.shape)}",
                hint="the state must keep its shapes and dtypes from round to round",
            )
