"""Local steps of a round: how many each node takes, and the minibatches that it takes them with.

Either all nodes take the same number of steps, or every node goes through its own samples some number of times: a node with
fewer minibatches then takes fewer steps, and waits for the others.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxgossip.algorithms.arguments import check_at_least_one
from jaxgossip.core.devices.exchanges import node_max
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import purpose_key
from jaxgossip.core.typing import NodeInts, NodeMask, PRNGKey, Rows
from jaxgossip.learning.epochs import Draw
from jaxgossip.learning.problem import Problem, start_steps_of
from jaxgossip.network import Round


@dataclass(frozen=True)
class Epochs:
    """Passes of every node through its own samples in a round, in the place of a number of steps.

    Attributes:
        number: how many.
    """

    number: int


Steps = int | Epochs
"""The local steps of a round: as many at each node, or so many epochs of each."""


def chosen_steps(
    name: str,
    problem: Problem,
    local_steps: int | None,
    local_epochs: int | None,
    default: int = 1,
    kind: str = "local",
) -> Steps:
    """Return the local steps of a round, of which a caller gives the number, the epochs or neither.

    Args:
        name: the builder whose arguments they are, as named in messages.
        problem: the learning problem.
        local_steps: number of steps; None if not given.
        local_epochs: number of epochs; None if not given.
        default: number of steps if neither is given.
        kind: what the arguments are called before ``_steps`` and ``_epochs``.

    Raises:
        InputError: both are given, one is below one, or nodes do not go through epochs.
    """
    if local_steps is not None and local_epochs is not None:
        raise InputError(f"{name}: {kind}_steps and {kind}_epochs exclude each other", hint="give one of them")
    if local_epochs is None:
        steps = default if local_steps is None else int(local_steps)
        check_at_least_one(name, **{f"{kind}_steps": steps})
        return steps
    check_at_least_one(name, **{f"{kind}_epochs": local_epochs})
    if getattr(problem, "steps_an_epoch", None) is None:
        raise InputError(
            f"{name}: {kind}_epochs are of nodes that go through epochs, and these draw each sample independently",
            hint=f"learning.sampling = 'epochs' (in Python: supervised(…, sampling='epochs')), or {kind}_steps",
        )
    return Epochs(int(local_epochs))


def together(one: Steps, other: Steps) -> Steps:
    """Return the steps of both, which are numbers, or both epochs."""
    if isinstance(one, Epochs):
        assert isinstance(other, Epochs), "counted alike"
        return Epochs(one.number + other.number)
    assert isinstance(other, int), "counted alike"
    return one + other


def steps_of_nodes(problem: Problem, steps: Steps) -> int | NodeInts:
    """Return how many steps each row's node takes in a round: one number for all, or (n,) int32."""
    return steps.number * _steps_an_epoch(problem) if isinstance(steps, Epochs) else steps


def by_step(problem: Problem, steps: Steps, change: Rows) -> Rows:
    """Return (n, p): the change of each model in a round, divided by the number of steps of its node."""
    taken = steps_of_nodes(problem, steps)
    return change / (taken if isinstance(taken, int) else taken[:, None].astype(change.dtype))


class Batches(NamedTuple):
    """The minibatches of the successive steps of a round.

    Attributes:
        key: step s draws its minibatch with ``fold_in(key, s)``.
        orders: key that is the same in all rounds, for the orders of epochs.
        first: number of steps before this round, of all nodes or (n,) of each.
        steps: number of steps of this round, of all nodes or (n,) of each.
        drawn: number of minibatches that ``key`` has drawn before.
    """

    key: PRNGKey
    orders: PRNGKey
    first: Any
    steps: Any
    drawn: Any = 0

    @property
    def most(self) -> int | Array:
        """Number of steps of the node that takes most."""
        return self.steps if isinstance(self.steps, int) else node_max(self.steps)

    def takes(self, number: Any) -> NodeMask | None:
        """Return (n,), whether each row's node takes step ``number``; None if all do."""
        return None if isinstance(self.steps, int) else number < self.steps

    def draw(self, problem: Problem, number: Any) -> Any:
        """Return what step ``number`` draws with: a key, or a :class:`.Draw` where nodes go through epochs."""
        key = jax.random.fold_in(self.key, self.drawn + number)
        if not getattr(problem, "by_epochs", False):
            return key
        step = jnp.asarray(self.first + number, jnp.int32)
        return Draw(key, purpose_key(self.orders, "epochs"), step, self.takes(number))

    def split(self, steps: Any) -> tuple["Batches", "Batches"]:
        """Return the minibatches of the first ``steps`` of a round, of all nodes or (n,) of each, and those of the rest."""
        begun = self._replace(steps=steps)
        rest = self._replace(first=self.first + steps, steps=self.steps - steps, drawn=self.drawn + begun.most)
        return begun, rest


def batches_of(problem: Problem, round_: Round, steps: Steps, before: NodeInts | None = None) -> Batches:
    """Return the minibatches of a round in which nodes take as many ``steps`` as in all rounds before.

    Rounds of epochs begin with an epoch: one that the start steps have begun is not gone on with.

    Args:
        problem: the learning problem.
        round_: the round.
        steps: the steps that nodes take in it.
        before: (n,) number of rounds in which each node has taken steps before; None for all rounds.
    """
    rounds = round_.number if before is None else before
    first, taken = start_steps_of(problem), steps_of_nodes(problem, steps)
    if isinstance(steps, Epochs):
        each = _steps_an_epoch(problem)
        first = -(-first // each) * each
    return Batches(round_.key("batch"), purpose_key(round_.run_key, "init"), first + rounds * taken, taken)


def _steps_an_epoch(problem: Problem) -> NodeInts:
    return problem.steps_an_epoch  # pyright: ignore[reportAttributeAccessIssue] - of those problems that have epochs
