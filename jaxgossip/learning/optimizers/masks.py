"""Parts of a model by name: which of its parameters weight decay acts on."""

import fnmatch
from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax

from jaxgossip.core.arguments import shown
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.registry import nearest
from jaxgossip.core.typing import PyTree

KERNELS = "kernels"
"""The name of all parameters of two or more dimensions."""
MASK = "weight_decay_mask"
"""The keyword of the parameters that decay."""


def parameters_named(names: str | Sequence[str]) -> Callable[[PyTree], PyTree]:
    """Return a function from parameters to a tree of bool, True for those with the given names, as optax's ``mask``.

    >>> optax.adamw(1e-3, mask=parameters_named(["*/kernel", "head"]))

    Args:
        names: "kernels", the parameters of two or more dimensions; or a list of top-level names, with everything under
            them, and of patterns of paths, such as ``*/kernel``, where * stands for any text.

    Raises:
        ArgumentTypeError: ``names`` are no strings, or none.
        InputError: on the function's use, if the model has no parameter of a name.
    """
    if isinstance(names, str):
        if names != KERNELS:
            raise InputError(f"{MASK}: no parameters are called '{names}'", hint=f"'{KERNELS}', or a list: ['{names}']")
    elif not names or not all(isinstance(name, str) for name in names):
        raise ArgumentTypeError(f"{MASK} must be '{KERNELS}' or a list of names, not {shown(names)}")

    def mask(params: PyTree) -> PyTree:
        by_path, tree = jax.tree.flatten_with_path(params)
        paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in by_path]
        if paths == [""]:
            raise InputError(f"{MASK}: the model is one array, whose parts have no names", hint=f"leave {MASK} out")
        if names == KERNELS:
            chosen = [leaf.ndim >= 2 for _, leaf in by_path]
            if not any(chosen) and not _is_part(params):
                listed = ", ".join(paths)
                raise InputError(f"{MASK}: no parameter has two or more dimensions", hint=f"they are {listed}")
        else:
            chosen = [any(_names(name, path) for name in names) for path in paths]
            for name in names:
                if not any(_names(name, path) for path in paths) and not _is_part(params):
                    raise InputError(
                        f"{MASK}: the model has no parameter '{name}'", hint=nearest(name, paths, "it has")
                    )
        return jax.tree.unflatten(tree, chosen)

    return mask


def mask_of(value: Any) -> Any:
    """Return what optax takes as a mask: parameters by their names, or the function or tree of bool that ``value`` is."""
    is_named = isinstance(value, str) or (
        isinstance(value, list | tuple) and any(isinstance(name, str) for name in value)
    )
    if is_named:
        return parameters_named(value)
    if callable(value) or isinstance(value, dict | list | tuple):
        return value
    raise ArgumentTypeError(f"{MASK} must be '{KERNELS}' or a list of names, not {shown(value)}")


def _names(name: str, path: str) -> bool:
    return name == path.partition("/")[0] or fnmatch.fnmatchcase(path, name)


def _is_part(params: PyTree) -> bool:
    """Return whether these are a part of the parameters: optimizers such as Muon's decay each part by itself."""

    def is_hole(node: Any) -> bool:
        return isinstance(node, optax.MaskedNode)

    return any(is_hole(node) for node in jax.tree.leaves(params, is_leaf=is_hole))
