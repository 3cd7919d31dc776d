"""Pytrees as arguments of compiled programs: device arrays are traced, everything else is static.

Two values share a compiled program if their tree structures and all of their static leaves are equal. NumPy arrays are
static and compared by content, for their values may become shapes or constants of the program.
"""

import abc
import types
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, field, fields
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
    """Base class of pytree nodes: the attributes are the children, in the order in which they were set.

    >>> class Point(Pytree):
    ...     def __init__(self, x): self.x = x
    >>> jax.tree.leaves(Point(jnp.ones(3)))        # [Array([1., 1., 1.])]

    Instances are not modified after construction. Arrays over the nodes have the node axis first; a class names the
    attributes that hold such arrays in ``per_node``, so that they can be spread over devices. All others are replicated.
    """

    per_node: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)

        def unflatten(names: tuple[str, ...], values: Iterable[Any]) -> Any:
            instance = object.__new__(cls)
            vars(instance).update(zip(names, values, strict=True))
            return instance

        jax.tree_util.register_pytree_with_keys(cls, _flatten_with_keys, unflatten, _flatten)


@dataclass_transform(frozen_default=True, eq_default=False)
class Record(Pytree, abc.ABC):
    """A :class:`Pytree` whose annotated fields are its attributes; every subclass is made a frozen dataclass.

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

    JAX also makes such trees of shapes, NumPy arrays or stacked arrays. These are leaves, not arguments of the class.

    Args:
        cls: a dataclass; its static fields (:func:`static_field`) are not children, but part of the structure.
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


def static_field(*, default: Any = MISSING) -> Any:
    """Return a dataclass field that is not a child of the pytree, but part of its structure.

    Args:
        default: the field's default value; none if left out.
    """
    return field(default=default, metadata={"static": True})


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(static_field,))
def pytree_dataclass[C](cls: type[C]) -> type[C]:
    """Make a class a frozen dataclass that is compared by identity, and register it as a pytree."""
    return register_dataclass(dataclass(frozen=True, eq=False)(cls))


class HostOnly:
    """A static leaf that no compiled program depends on: any two compare equal, so that it never causes a recompilation.

    Args:
        value: any object.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, HostOnly)

    @override
    def __hash__(self) -> int:
        return hash(HostOnly)


class Static:
    """Everything in a pytree but its device arrays; two are equal if one compiled program serves both.

    Args:
        structure: structure of the tree.
        leaves: leaves of the tree, with None in place of the device arrays.
        places: indices of the device arrays among the leaves.
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
        """Return the tree with ``arrays`` as its device arrays."""
        leaves = list(self.leaves)
        for place, array in zip(self.places, arrays, strict=True):
            leaves[place] = array
        return jax.tree.unflatten(self.structure, leaves)


def partition(tree: PyTree) -> tuple[list[jax.Array], Static]:
    """Split a tree into its device arrays, in the order of its leaves, and its static rest."""
    leaves, structure = jax.tree.flatten(tree)
    places = tuple(place for place, leaf in enumerate(leaves) if isinstance(leaf, jax.Array))
    arrays = [leaves[place] for place in places]
    for place in places:
        leaves[place] = None
    return arrays, Static(structure, leaves, places)


def leaves_text(tree: PyTree) -> str:
    """Return the shapes of a tree's arrays, not what they hold: ``(16, 57) float32, () int32``."""
    shaped = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "shape") and hasattr(leaf, "dtype")]
    return ", ".join(f"{leaf.shape} {leaf.dtype}" for leaf in shaped)


def digest(array: Any) -> str:
    """Return a short digest of an array's dtype, shape and content."""
    is_key = isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
    values = np.asarray(jax.random.key_data(array) if is_key else array)
    content = blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16).hexdigest()
    return f"{array.dtype}{list(array.shape)} {content}"


def _identity(leaf: Any) -> Any:
    """Return a hashable key of a leaf: 1, 1.0 and True have distinct keys, and unhashable leaves are compared by identity."""
    if isinstance(leaf, np.ndarray):
        return digest(leaf)
    try:
        hash(leaf)
    except TypeError:
        return _ById(leaf)
    if type(leaf).__hash__ is object.__hash__ and hasattr(leaf, "__dict__") and not isinstance(leaf, _CODE):
        # An instance of a user's class: the same object with a changed attribute needs another program.
        return _ById(leaf), tuple((name, _attribute(value)) for name, value in vars(leaf).items())
    return type(leaf), leaf


def _attribute(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return digest(value)
    return (type(value), value) if isinstance(value, _VALUES) else _ById(value)


_CODE = (types.FunctionType, types.BuiltinFunctionType, type)
_VALUES = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype)


class _ById:
    """A key equal to that of the same object only; it keeps the object alive, so that its id is not reused."""

    def __init__(self, value: Any) -> None:
        self._value = value

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self._value is other._value

    @override
    def __hash__(self) -> int:
        return id(self._value)
