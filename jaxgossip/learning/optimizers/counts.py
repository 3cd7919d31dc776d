"""What the schedules of an optimizer count: a node's own steps, the rounds of the network, or the age of the node's model.

    steps    optimizer steps that the node itself has taken, start steps included; it skips those of rounds that it misses
    rounds   the number of the round, the same on all nodes; start steps belong to round 0
    age      updates that the node's model has been through, which methods of gossip learning send and merge with it

In rounds of τ local steps in which all nodes take part, steps = start steps + τ · rounds + local steps of this round. An
optax schedule that :func:`counted` does not wrap counts the age in methods that merge ages, as a Pegasos step does, and
the node's own steps in all others.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgossip.core.arguments import plain, shown
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.typing import PyTree

Count = Literal["steps", "rounds", "age"]
"""What a learning rate is a function of."""
WITHOUT: Mapping[str, str] = MappingProxyType(
    {
        "steps": "every round begins with new optimizers",
        "rounds": "its nodes act by their own clocks",
        "age": "it merges no ages of models",
    }
)
"""Why a method has no such count."""


class CountedSteps(NamedTuple):
    """State of an optimizer whose schedules count the node's own steps."""

    state: PyTree


class CountedRounds(NamedTuple):
    """State of an optimizer whose schedules count rounds."""

    state: PyTree


class CountedAge(NamedTuple):
    """State of an optimizer whose schedules count the age of the node's model."""

    state: PyTree


STATES: Mapping[str, Callable[[PyTree], Any]] = MappingProxyType(
    {"steps": CountedSteps, "rounds": CountedRounds, "age": CountedAge}
)
"""The state of an optimizer by what its schedules count."""


def counted(optimizer: Any, by: Count) -> optax.GradientTransformation:
    """Return an optimizer whose schedules, in all of its parts, count ``by``.

    >>> rate = jg.learning.rates.warmup_cosine(peak=1e-3, warmup=10, over=300)
    >>> optimizer = jg.optimizers.counted(optax.adamw(rate), by="rounds")

    Args:
        optimizer: an optax transformation.
        by: "steps" of the node itself, "rounds" of the network, or the "age" of its model.

    Raises:
        ArgumentTypeError: ``optimizer`` is no optimizer.
        InputError: there is no such count; on its use, if ``optimizer`` or a part of it is wrapped already.
    """
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise ArgumentTypeError(f"counted: {shown(optimizer)} is no optimizer", hint="optax.sgd(rate), for example")
    plain("counted", "by", by, Count)
    wrap = STATES[by]

    def init(params: PyTree) -> PyTree:
        state = optimizer.init(params)
        if already := counts_in(state):
            raise InputError(f"counted: a schedule counts {already[0]} already", hint="wrap an optimizer once")
        return wrap(state)

    def update(updates: PyTree, state: Any, params: PyTree | None = None) -> tuple[PyTree, PyTree]:
        stepped, after = optimizer.update(updates, state.state, params)
        # The steps of a round, however many, leave the number of the round as it is.
        return stepped, wrap(_with_schedules_of(state.state, after) if by == "rounds" else after)

    return optax.GradientTransformation(init, update)


def at_round(state: PyTree, number: Any) -> PyTree:
    """Return a state in which the schedules that count rounds are at round ``number``."""
    return _mapped(state, lambda node: _set(node, number), CountedRounds)


def at_age(state: PyTree, age: Any) -> PyTree:
    """Return a state in which all schedules are at ``age`` (n,), except those that count steps or rounds.

    Other counters, such as Adam's, are kept: they belong to moments that stay on the node.
    """

    def aged(node: Any) -> Any:
        return optax.ScaleByScheduleState(age) if isinstance(node, optax.ScaleByScheduleState) else node

    return _mapped(state, aged, optax.ScaleByScheduleState, CountedSteps, CountedRounds)


def counts_in(state: PyTree) -> tuple[str, ...]:
    """Return what the schedules of an optimizer's state count, where :func:`counted` says so."""
    kinds = tuple(STATES.values())
    nodes = jax.tree.leaves(state, is_leaf=lambda node: type(node) in kinds)
    return tuple(by for by, kind in STATES.items() if any(type(node) is kind for node in nodes))


def check_counts(name: str, optimizer: Any, row: jax.ShapeDtypeStruct, available: Sequence[str]) -> None:
    """Check that a method has what the schedules of an optimizer count.

    Args:
        name: the method, as named in messages.
        optimizer: the optimizer.
        row: shape (p,) and dtype of a model.
        available: what the method can count.

    Raises:
        InputError: it does not have it.
    """
    for by in counts_in(jax.eval_shape(optimizer.init, row)):
        if by not in available:
            raise InputError(
                f"{name} has no learning rates by {by}: {WITHOUT[by]}",
                hint=" or ".join(f"by = '{other}'" for other in available),
            )


def _set(node: Any, number: Any) -> Any:
    def numbered(part: Any) -> Any:
        if not isinstance(part, optax.ScaleByScheduleState):
            return part
        return optax.ScaleByScheduleState(jnp.full_like(part.count, number))

    return _mapped(node, numbered, optax.ScaleByScheduleState) if isinstance(node, CountedRounds) else node


def _with_schedules_of(before: PyTree, after: PyTree) -> PyTree:
    """Return the state after a step, with the counts that schedules had before it."""

    def is_schedule(node: Any) -> bool:
        return isinstance(node, optax.ScaleByScheduleState)

    return jax.tree.map(lambda old, new: old if is_schedule(new) else new, before, after, is_leaf=is_schedule)


def _mapped(tree: PyTree, function: Callable[[Any], Any], *kinds: type) -> PyTree:
    """Return a tree with a function applied to its nodes of the given kinds, and to its other leaves."""
    return jax.tree.map(function, tree, is_leaf=lambda node: isinstance(node, kinds))
