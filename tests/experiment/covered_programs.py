"""The programs of a configuration, traced and not compiled."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import pytest

from jaxgossip.algorithms import GossipProtocol
from jaxgossip.core.pytree import partition
from jaxgossip.experiment.build.experiment import Experiment, Shared, build
from jaxgossip.experiment.config.sections import Config
from jaxgossip.experiment.runs.run import precision
from jaxgossip.simulation.compiled import Compiler, pure
from jaxgossip.simulation.events import program as waves
from jaxgossip.simulation.events.segments import MessageStream
from jaxgossip.simulation.program import Evaluation, Run


class Tracing(Compiler):
    """In the place of compiled programs, programs that have been traced: anything in, zeros of its shapes out."""

    def compile(
        self, function: Callable[..., Any], inputs: Any, *example: Any, donate: bool = False
    ) -> Callable[..., Any]:
        del donate
        arrays, static = partition(inputs)
        with jax.default_matmul_precision(self._precision):
            shapes = jax.eval_shape(pure(function, static), arrays, *example)
        return lambda *_: jax.tree.map(_zeros, shapes)


def _zeros(like: jax.ShapeDtypeStruct) -> Any:
    """Return an array of zeros; a key in the place of keys."""
    is_key = jnp.issubdtype(like.dtype, jax.dtypes.prng_key)
    return jnp.broadcast_to(jax.random.key(0), like.shape) if is_key else jnp.zeros(like.shape, like.dtype)


Many = Literal["of seeds", "of points"] | None
"""Runs of one program that differ in all their arrays, or in numbers of their states alone; None for a run by itself."""


def trace(config: Config, shared: Shared, *, many: Many, evaluation: bool) -> None:
    """Build a configuration and trace its programs.

    Args:
        config: the configuration.
        shared: parts of earlier ones.
        many: which runs are in the program of rounds.
        evaluation: whether those are traced, too, that begin a run in rounds and evaluate it.
    """
    experiment = built(config, shared)
    with precision(config):
        if experiment.schedule is None:
            _trace_rounds(experiment, many, evaluation=evaluation)
        else:
            _trace_events(experiment)


def built(config: Config, shared: Shared) -> Experiment:
    """Build a configuration, of parts of earlier ones where they are the same."""
    with precision(config):
        return build(config, shared=shared)


def _trace_rounds(experiment: Experiment, many: Many, *, evaluation: bool) -> None:
    config = experiment.config
    run = Run(
        experiment.in_rounds,
        seed=config.seed,
        conditions=experiment.conditions,
        byte_budget=10**6,
        speeds=experiment.speeds,
        energy=experiment.energy,
    )
    like = run.like()
    if evaluation:
        for purpose in run.programs():
            if purpose.function is not Run.rounds:
                arrays, static = partition(purpose.inputs)
                jax.eval_shape(pure(purpose.function, static), arrays, *purpose.example)
        arrays, static = partition(run.evaluation)
        jax.eval_shape(pure(Evaluation.scores, static), arrays, like)
    states = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape), leaf.dtype), like)
    until = jax.ShapeDtypeStruct((), jnp.int32)
    arrays, static = partition(run)
    program = pure(Run.rounds, static)
    with jax.default_matmul_precision(config.device.matmul_precision):
        if many is None:
            jax.eval_shape(program, arrays, like, until)
        elif many == "of seeds":
            stacked = [jax.ShapeDtypeStruct((2, *array.shape), array.dtype) for array in arrays]
            jax.eval_shape(jax.vmap(program, in_axes=(0, 0, None)), stacked, states, until)
        else:  # lowered, too: what a primitive makes of operands of other axes shows only then
            jax.jit(jax.vmap(program, in_axes=(None, 0, None))).lower(arrays, states, until)


def _trace_events(experiment: Experiment) -> None:
    config, protocol = experiment.config, experiment.algorithm
    assert isinstance(protocol, GossipProtocol)
    assert experiment.schedule is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waves, "Compiler", Tracing)
        program = waves.WaveProgram(protocol, experiment.schedule.kinds, seed=config.seed)
    work = MessageStream(experiment.schedule).next(config.rounds)
    program.compile_for(work, work.n_slots)
    program.score_all(program.like)
    if protocol.settle_at is not None:
        jax.eval_shape(protocol.settle, program.like)
