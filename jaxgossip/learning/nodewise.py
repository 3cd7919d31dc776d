"""Apply an optax transformation to every node separately: per-node states, updates and random draws.

A transformation that draws random numbers keeps a key in its state. At node i that key starts as
``fold_in(fold_in(key, i), r)``, where r is a word drawn from the run's seed: node i draws what optax alone would draw with
that key, and another seed gives other draws. Keys are stored as their uint32 words, which checkpoints can hold.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgossip.core.arguments import described, is_number, shown
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.pytree import register_dataclass, static_field
from jaxgossip.core.random import purpose_key
from jaxgossip.core.typing import NodeInts, PRNGKey, PyTree, Row, Rows
from jaxgossip.learning.optimizers import Layerwise, Transformation

UNSUPPORTED_STATES: Mapping[str, str] = MappingProxyType(
    {
        "SAMState": "alternates between a model and one that is worse on purpose",
        "ScheduleFreeState": "keeps the model that counts in its own state, beside the one that it steps from",
        "LookaheadState": "keeps two models, of which one is its own",
    }
)
"""Optimizers, by the name of their state, that evaluate a model other than the row that nodes exchange and measure."""
RANDOM_PRIMITIVES = ("random_bits", "threefry2x32", "rng_bit_generator", "rng_uniform", "random_gamma")
"""JAX primitives that draw random numbers."""
PLAIN_OPTIMIZERS = "an optimizer of gradients and models alone, such as optax.sgd(0.1) or optax.adam(1e-3)"


@register_dataclass
@dataclass(frozen=True)
class KeyedState:
    """Optimizer states that contain random keys.

    Attributes:
        state: the states, with the (n, …) uint32 words of keys in place of the keys.
        kinds: for each leaf, the implementation of the key that it stands for; "words" if the optimizer itself stores bare
            words; empty if the leaf is not a key.
    """

    state: PyTree
    kinds: tuple[str, ...] = static_field()

    @classmethod
    def from_optax(cls, state: PyTree, kinds: tuple[str, ...]) -> "KeyedState":
        """Return the states that optax returned, with keys replaced by their words."""
        leaves, tree = jax.tree.flatten(state)
        words = [jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in leaves]
        return cls(jax.tree.unflatten(tree, words), kinds)

    def to_optax(self) -> PyTree:
        """Return the states as optax expects them, with words wrapped as keys again."""
        leaves, tree = jax.tree.flatten(self.state)
        keys = [
            jax.random.wrap_key_data(leaf, impl=kind) if kind not in ("", "words") else leaf
            for leaf, kind in zip(leaves, self.kinds, strict=True)
        ]
        return jax.tree.unflatten(tree, keys)


def fresh_states(
    optimizer: Transformation, x: Rows, nodes: NodeInts | None = None, key: PRNGKey | None = None
) -> PyTree:
    """Return an optimizer state for each row of x, with its keys folded with the row's node and a word of the run.

    Args:
        optimizer: any optax transformation.
        x: (n, p) models.
        nodes: (n,) int32, the node of each row; None if rows belong to no particular node.
        key: key of the run, or of the round in which states are reset; None uses the optimizer's own keys, as optax does.
    """
    states = jax.vmap(optimizer.init)(x)
    leaves, tree = jax.tree.flatten(states)
    kinds = tuple(_key_kind(leaf) for leaf in leaves)
    if "words" in kinds and not _draws(optimizer, jax.ShapeDtypeStruct(x.shape[1:], x.dtype)):
        kinds = tuple("" if kind == "words" else kind for kind in kinds)
    if not any(kinds):
        return states
    words = () if key is None else (jax.random.bits(purpose_key(key, "optimizer")),)
    folds = [jnp.broadcast_to(data, x.shape[:1]) for data in ((() if nodes is None else (nodes,)) + words)]
    folded = [_fold_in(leaf, folds) if kind else leaf for leaf, kind in zip(leaves, kinds, strict=True)]
    return KeyedState.from_optax(jax.tree.unflatten(tree, folded), kinds)


def updates(optimizer: Transformation, gradient: Rows, states: PyTree, x: Rows) -> tuple[Rows, PyTree]:
    """Return (updates (n, p), new states), each row computed from its own gradient, state and model."""
    if not isinstance(states, KeyedState):
        update, new = jax.vmap(optimizer.update)(gradient, states, x)
        return jnp.asarray(update), new
    update, new = jax.vmap(optimizer.update)(gradient, states.to_optax(), x)
    return jnp.asarray(update), KeyedState.from_optax(new, states.kinds)


def check_optimizer(optimizer: Any, n_params: int, dtype: Any) -> None:
    """Check that an optimizer works on one model at a time, given gradients and models alone.

    Args:
        optimizer: the caller's argument.
        n_params: length of a row.
        dtype: dtype in which updates are computed.

    Raises:
        ArgumentTypeError: not an optax transformation.
        InputError: it needs more than gradients and models, updates a model other than the node's row, or draws from a key
            that all nodes share.
    """
    if not isinstance(optimizer, Transformation):
        raise ArgumentTypeError(f"{shown(optimizer)} is no optimizer", hint=_suggested_call(optimizer))
    row = jax.ShapeDtypeStruct((n_params,), dtype)
    try:
        state = jax.eval_shape(optimizer.init, row)
        _check_state(state)
        update, _ = jax.eval_shape(optimizer.update, row, state, row)
    except InputError:
        raise
    except Exception as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        missing = re.search(r"(\w+)\.<locals>.* missing .*arguments?: (.*)", reason)
        if missing:
            raise InputError(
                f"optimizer {missing[1]} needs {missing[2]} beside a gradient, which no algorithm here hands on",
                hint=PLAIN_OPTIMIZERS,
            ) from error
        raise InputError(
            f"optimizer {_name(optimizer)} does not take the parameters of one model: {reason}", hint=PLAIN_OPTIMIZERS
        ) from error
    if getattr(update, "shape", None) != row.shape:
        raise InputError(
            f"optimizer {_name(optimizer)} turns a gradient of {n_params} numbers into {_shape(update)}",
            hint=PLAIN_OPTIMIZERS,
        )
    has_key = any(_is_key(leaf) or _are_words(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state))
    if not has_key and _draws(optimizer, row):
        raise InputError(
            f"optimizer {_name(optimizer)} draws from one key for all nodes",
            hint="keep the key in the optimizer's state, as optax.add_noise(eta, gamma, key) does: each node then has its own",
        )


def _check_state(state: PyTree) -> None:
    state_names = {type(subtree).__name__ for subtree in _subtrees(state)}
    for name, sentence in UNSUPPORTED_STATES.items():
        if name in state_names:
            raise InputError(f"optimizer {name.removesuffix('State')} {sentence}", hint=PLAIN_OPTIMIZERS)


def _key_kind(leaf: Any) -> str:
    """Return which kind of key a leaf (n, …) of the states is; empty if it is not a key."""
    if _is_key(leaf):
        return str(jax.random.key_impl(leaf))
    return "words" if _are_words(leaf.shape[1:], leaf.dtype) else ""


def _are_words(shape: tuple[int, ...], dtype: Any) -> bool:
    """Return whether arrays of this shape and dtype could be the words of a key."""
    words = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
    return (shape, dtype) == (words.shape, words.dtype)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _fold_in(keys: Array, folds: Sequence[Array]) -> Array:
    def fold(key: Array, number: Array) -> Array:
        return jax.vmap(fold, (0, None))(key, number) if _is_key(key) and key.ndim else jax.random.fold_in(key, number)

    for number in folds:
        keys = jax.vmap(fold)(keys, number)
    return keys


def _draws(optimizer: Transformation, row: Row | jax.ShapeDtypeStruct) -> bool:
    """Return whether updating one row draws random numbers."""
    state = jax.eval_shape(optimizer.init, row)
    return any(
        name in RANDOM_PRIMITIVES for name in _primitives(jax.make_jaxpr(optimizer.update)(row, state, row).jaxpr)
    )


def _primitives(program: Any) -> Iterator[str]:
    """Yield the names of the primitives of a traced program and of the programs that it calls."""
    for equation in program.eqns:
        yield equation.primitive.name
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(value):
                yield from _primitives(getattr(value, "jaxpr", value))


def _is_program(value: Any) -> bool:
    return hasattr(getattr(value, "jaxpr", value), "eqns")


def _subtrees(tree: PyTree) -> Iterator[Any]:
    """Yield a tree and, recursively, all containers and leaves in it."""
    yield tree
    if isinstance(tree, dict | list | tuple):
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from _subtrees(child)


def _name(optimizer: Transformation) -> str:
    if isinstance(optimizer, Layerwise):
        return _name(optimizer.optimizer)
    return getattr(optimizer.update, "__qualname__", "given").split(".", maxsplit=1)[0]


def _shape(update: Any) -> str:
    shape = getattr(update, "shape", None)
    return described(update) if shape is None else f"an array of shape {shape}"


def _suggested_call(value: Any) -> str:
    """Return the call that the caller probably meant by ``value``."""
    if is_number(value):
        return f"optax.sgd({value!r})"
    if isinstance(value, str):
        return f"optax.{value}(learning_rate)" if value.isidentifier() else "optax.sgd(0.1)"
    if hasattr(value, "gradient_transformation"):
        return "its gradient_transformation()"
    if callable(value):
        return f"call it: optax.{getattr(value, '__name__', 'sgd')}(learning_rate)"
    return "optax.sgd(0.1), or any other optax transformation"
