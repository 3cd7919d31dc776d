"""Checks of a run: what an algorithm makes of its state, the state that it starts from, the data of its adversaries."""

import jax

from jaxgossip.algorithms import Algorithm
from jaxgossip.core.arguments import described
from jaxgossip.core.errors import ArgumentTypeError, InputError, RunError
from jaxgossip.core.typing import PyTree
from jaxgossip.learning import Problem
from jaxgossip.network import Adversary


def check_models(algorithm: Algorithm, like: PyTree) -> None:
    """Raise InputError unless an algorithm's models have shape (n, p), or (1, p) for a single model of all nodes."""
    shape = jax.eval_shape(algorithm.models, like.state).shape
    n, p = algorithm.problem.n_nodes, algorithm.problem.n_params
    if shape not in ((n, p), (1, p)):
        raise InputError(
            f"{algorithm.name}: models have shape {shape}, and the problem has {n:,} nodes of {p:,} parameters",
            hint="models(state) returns (n, p), or (1, p) where one model serves all",
        )


def check_start(like: PyTree, start: PyTree) -> None:
    """Check that ``start`` is a state of this run: that it has the structure, shapes and dtypes of ``like``.

    Raises:
        ArgumentTypeError: ``start`` is of another type.
        InputError: its structure differs, or the shape or dtype of a leaf.
    """
    if type(start) is not type(like):
        raise ArgumentTypeError(
            f"a run does not start from {described(start)}", hint="start is the 'run' of another result"
        )
    (expected, expected_tree), (given, given_tree) = (jax.tree.flatten_with_path(tree) for tree in (like, start))
    if expected_tree != given_tree:
        raise InputError(
            "start is the state of another algorithm or optimizer",
            hint="continue with those, and the speeds and energy, that made it",
        )
    for (path, wanted), (_, leaf) in zip(expected, given, strict=True):
        if (wanted.shape, wanted.dtype) != (leaf.shape, leaf.dtype):
            raise InputError(
                f"start{jax.tree_util.keystr(path)} is {leaf.dtype}{list(leaf.shape)}, and this run has "
                f"{wanted.dtype}{list(wanted.shape)}",
                hint="continue with the problem and the network that made it",
            )


def check_step(algorithm: Algorithm, before: PyTree, after: PyTree) -> None:
    """Check that a step has kept the structure, shapes and dtypes of the algorithm's state.

    Raises:
        RunError: it has not; the message names the first leaf that changes.
    """
    before_leaves, before_tree = jax.tree.flatten_with_path(before)
    after_leaves, after_tree = jax.tree.flatten_with_path(after)
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


def check_data(adversary: Adversary, problem: Problem) -> None:
    """Raise InputError unless a problem has the labels and triggers of an adversary whose nodes change their data."""
    if adversary.flips_labels and getattr(problem, "flipped", ()) != adversary.liars:
        raise InputError(
            f"the labels of {adversary.name}'s nodes are not turned around in this problem",
            hint="data, partition = jg.learning.flip_labels(data, partition, adversary.liars), then classification",
        )
    trigger = getattr(problem, "trigger", None)
    planted = None if trigger is None else (trigger.backdoor, trigger.nodes)
    if adversary.backdoor is not None and planted != (adversary.backdoor, adversary.liars):
        raise InputError(
            f"the samples of {adversary.name}'s nodes do not carry its trigger in this problem",
            hint="data, partition = jg.learning.plant_backdoor(data, partition, adversary.liars, adversary.backdoor), then "
            "classification",
        )
