"""Values that a compiled program takes apart: device arrays are its arguments, all the rest is a part of the program.

Two values share a program when the trees that they form and all that is not a device array are equal. NumPy arrays are no
device arrays: what they hold may become shapes or numbers of the program, and so they count by what they hold.
"""

import abc
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any, ClassVar, dataclass_transform, override

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.core.typing import PyTree


def _flatten(value: Any) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    attributes = vars(value)
    return tuple(attributes.values()), tuple(attributes)


def _flatten_with_keys(value: Any) -> tuple[tuple[tuple[Any, Any], ...], tuple[str, ...]]:
    attributes = vars(value)
    return tuple((jax.tree_util.GetAttrKey(name), child) for name, child in attributes.items()), tuple(attributes)


class Pytree:
    """A class whose attributes are the children of a node of a pytree, in the order in which they were set.

    >>> class Point(Pytree):
    ...     def __init__(self, x): self.x = x
    >>> jax.tree.leaves(Point(jnp.ones(3)))        # [Array([1., 1., 1.])]

    A subclass changes nothing in place once it is made. Attributes that hold arrays over nodes have the node axis first.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)

        def unflatten(names: tuple[str, ...], values: Iterable[Any]) -> Any:
            made = object.__new__(cls)
            vars(made).update(zip(names, values, strict=True))
            return made

        jax.tree_util.register_pytree_with_keys(cls, _flatten_with_keys, unflatten, _flatten)


@dataclass_transform(frozen_default=True, eq_default=False)
class Record(Pytree, abc.ABC):
    """A :class:`Pytree` whose attributes are its annotated fields: a frozen dataclass without another word.

    >>> class Scaled(Record):
    ...     factor: float
    >>> Scaled(2.0).factor
    2.0
    """

    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        dataclass(frozen=True, eq=False)(cls)
        super().__init_subclass__(**options)


def register_dataclass[C](cls: type[C]) -> type[C]:
    """Register a dataclass as a pytree, as :func:`jax.tree_util.register_dataclass` does; JAX never calls its ``__init__``.

    JAX also puts trees together of shapes, NumPy arrays or stacked arrays. These are leaves, not arguments of the class.

    Args:
        cls: a dataclass; a field with ``metadata={"static": True}`` is no child, but a part of the structure.
    """
    static = tuple(field.name for field in fields(cls) if field.metadata.get("static"))  # pyright: ignore[reportArgumentType]
    names = tuple(field.name for field in fields(cls) if field.name not in static)  # pyright: ignore[reportArgumentType]
    keys = tuple(map(jax.tree_util.GetAttrKey, names))

    def flatten(value: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple(getattr(value, name) for name in names), tuple(getattr(value, name) for name in static)

    def flatten_with_keys(value: Any) -> tuple[tuple[tuple[Any, Any], ...], tuple[Any, ...]]:
        children, structure = flatten(value)
        return tuple(zip(keys, children, strict=True)), structure

    def unflatten(structure: tuple[Any, ...], children: Iterable[Any]) -> C:
        made = object.__new__(cls)
        vars(made).update(zip(static, structure, strict=True), **dict(zip(names, children, strict=True)))
        return made

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


class Aside:
    """What a value remembers and no program looks at: any two are equal.

    Args:
        value: anything.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Aside)

    @override
    def __hash__(self) -> int:
        return hash(Aside)


class Static:
    """All of a pytree but its device arrays; equal where one program serves both.

    Args:
        structure: of the tree.
        leaves: its leaves, None in the places of arrays.
        places: of the arrays among the leaves.
    """

    def __init__(self, structure: Any, leaves: Sequence[Any], places: tuple[int, ...]) -> None:
        self.structure, self.leaves, self.places = structure, tuple(leaves), places
        self._key = structure, places, tuple(map(_identity, leaves))
        self._hash = hash(self._key)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self._hash == other._hash and self._key == other._key

    @override
    def __hash__(self) -> int:
        return self._hash

    def combined(self, arrays: Sequence[Any]) -> PyTree:
        """Return the tree with these in the places of its arrays."""
        leaves = list(self.leaves)
        for place, array in zip(self.places, arrays, strict=True):
            leaves[place] = array
        return jax.tree.unflatten(self.structure, leaves)


def partition(tree: PyTree) -> tuple[list[jax.Array], Static]:
    """Return (the device arrays of a tree, in its order; all the rest of it)."""
    leaves, structure = jax.tree.flatten(tree)
    places = tuple(place for place, leaf in enumerate(leaves) if isinstance(leaf, jax.Array))
    arrays = [leaves[place] for place in places]
    for place in places:
        leaves[place] = None
    return arrays, Static(structure, leaves, places)


def digest(array: Any) -> str:
    """Return a short text that equal arrays, of one dtype and shape, and no others share."""
    is_key = isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
    values = np.asarray(jax.random.key_data(array) if is_key else array)
    found = blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16).hexdigest()
    return f"{array.dtype}{list(array.shape)} {found}"


def _identity(leaf: Any) -> Any:
    """Return what equal leaves share: 1, 1.0 and True are three, and what cannot be compared is only itself."""
    if isinstance(leaf, np.ndarray):
        return digest(leaf)
    try:
        hash(leaf)
    except TypeError:
        return _Itself(leaf)
    if type(leaf).__hash__ is object.__hash__ and hasattr(leaf, "__dict__") and not isinstance(leaf, _CODE):
        # An object of a class of the user's: the same object with another attribute is not the same program.
        return _Itself(leaf), tuple((name, _attribute(value)) for name, value in vars(leaf).items())
    return type(leaf), leaf


def _attribute(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return digest(value)
    return (type(value), value) if isinstance(value, _VALUES) else _Itself(value)


_CODE = (types.FunctionType, types.BuiltinFunctionType, type)
_VALUES = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype)


class _Itself:
    """Something that is equal to nothing else; it is kept, so that nothing else takes its place in memory."""

    def __init__(self, value: Any) -> None:
        self._value = value

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self._value is other._value

    @override
    def __hash__(self) -> int:
        return id(self._value)
