"""Help on the keys of a configuration: their meanings, the values that they take, and their defaults."""

import types
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAliasType, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from jaxgossip.core.registry import Builder
from jaxgossip.experiment.config.schema import configurable, describe_parameters

WORDS: Mapping[Any, str] = types.MappingProxyType(
    {bool: "true or false", int: "integer", float: "number", str: "word", Path: "path", types.NoneType: ""}
)


@dataclass(frozen=True)
class Key:
    """A key of a section or of a table of options.

    Attributes:
        name: name of the key.
        takes: the values that it takes, in words.
        default: its default; None if there is none.
        required: whether it must be given.
        about: its meaning.
    """

    name: str
    takes: str
    default: Any
    required: bool
    about: str


def keys_of(builder: Builder, supplied: Collection[str] = ()) -> tuple[Key, ...]:
    """Return the keys of a builder, in the order of its signature.

    Args:
        builder: the builder.
        supplied: names of parameters, besides those in ``MACHINERY``, that are not keys here.
    """
    described = describe_parameters(builder)
    return tuple(
        Key(
            name,
            takes(parameter.annotation),
            None if parameter.default is parameter.empty else parameter.default,
            parameter.default is parameter.empty,
            described.get(name, ""),
        )
        for name, parameter in configurable(builder, supplied).items()
    )


def keys_of_all(section: type[BaseModel]) -> tuple[Key, ...]:
    """Return the keys that a section has for every kind, except ``kind`` itself.

    A key that takes a table with fixed keys of its own is followed by these, as ``table.key``.
    """
    keys: list[Key] = []
    for name, field in section.model_fields.items():
        if name == "kind":
            continue
        table = _table_in(field.annotation)
        words = takes(field.annotation) if table is None else "table of the keys below"
        keys.append(Key(name, words, _default(field), field.is_required(), field.description or ""))
        if table is not None:
            keys += [replace(key, name=f"{name}.{key.name}") for key in keys_of_all(table)]
    return tuple(keys)


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model of the table that an annotation allows, if it allows one."""
    for member in (annotation, *get_args(annotation)):
        if isinstance(member, type) and issubclass(member, BaseModel):
            return member
    return None


def takes(annotation: Any) -> str:
    """Describe the values of a key with this annotation: ``integer``, ``list of numbers``, ``atc or cta``."""
    if isinstance(annotation, TypeAliasType):
        return takes(annotation.__value__)
    if annotation in WORDS:
        return WORDS[annotation]
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return takes(inside[0])
    if origin is Literal:
        return " or ".join(map(str, inside))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(words for member in inside if (words := takes(member))))
    if origin in (list, tuple):
        return f"list of {' or '.join(dict.fromkeys(_plural(takes(item)) for item in inside if item is not ...))}"
    if origin is dict:
        return f"table of {takes(inside[1])}s"
    return "table"


def _plural(words: str) -> str:
    """Return the plural of a description of values."""
    return " or ".join(f"{word}s" for word in words.split(" or "))


def _default(field: FieldInfo) -> Any:
    return None if field.is_required() else field.default
