"""Configuration schemas derived from the signatures of builders, so that nothing is written twice.

Every parameter that can be passed by keyword, has a plain annotation and is not supplied by the run becomes a key, with
the default of the signature and the description in the ``Args:`` section of the docstring.
"""

import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Protocol,
    Union,
    get_args,
    get_origin,
    runtime_checkable,
)

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializeAsAny, Strict, create_model
from pydantic_core import PydanticCustomError

from jaxgossip.core.arguments import MOST
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.files import absolute
from jaxgossip.core.registry import Builder, unmarked

MACHINERY = frozenset(
    {
        "rng",
        "liars_rng",
        "seed",
        "folder",
        "problem",
        "optimizer",
        "outer",
        "compressor",
        "W",
        "graph",
        "labels",
        "class_shares",
        "n_nodes",
        "input_shape",
        "n_classes",
        "n_tokens",
        "horizon_s",
        "message_bytes",
        "speeds",
        "contacts",
        "n_rounds",
        "step_samples",
    }
)
"""Names of parameters that a run supplies itself, which are never keys of a configuration."""

type Whole = Annotated[int, Field(ge=-MOST - 1, le=MOST)]
"""An integer in a configuration, which must fit 32 bits like all counters."""

_SCALARS = (bool, int, float, str)
_ARGUMENT = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


class Options(BaseModel):
    """Keywords for a builder; the keys of a derived model are those of the builder's signature."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())

    builder_keys: ClassVar[Mapping[str, str]] = types.MappingProxyType({})
    """Mapping from keys of the configuration (and keywords of the builder) to attributes of the model."""

    builder_takes: ClassVar[frozenset[str]] = frozenset()
    """All parameters of the builder, including those that a run supplies."""

    if TYPE_CHECKING:  # the attributes of a derived model depend on its builder

        def __getattr__(self, name: str) -> Any: ...

    def keywords(self) -> dict[str, Any]:
        """Return the keyword arguments of the builder, except for those that the run supplies."""
        return {key: getattr(self, attribute) for key, attribute in self.builder_keys.items()}

    def __eq__(self, other: object) -> bool:
        # models are derived anew for every configuration, so equality cannot require the same class
        return isinstance(other, Options) and self.model_dump(by_alias=True) == other.model_dump(by_alias=True)

    def __hash__(self) -> int:
        return hash(repr(self.model_dump(by_alias=True)))


class Section(Options):
    """A section whose ``kind`` names the builder."""

    kind: str = Field(description="which one: a registered name, or your own as 'file.py:function'")


def section_model[S: Section](
    builder: Builder,
    kind: str,
    base: type[S] = Section,
    supplied: Collection[str] = (),
    tables: Mapping[str, Any] | None = None,
) -> type[S]:
    """Return the model of a section ``kind = "..."`` with the builder's keywords as its keys.

    Args:
        builder: the function whose signature is the schema.
        kind: the only value that the key ``kind`` may have.
        base: the section's class, with the keys common to all kinds.
        supplied: names of further parameters that the run supplies, and that are therefore not keys.
        tables: key -> model of the table that it holds in place of a number.

    Raises:
        ConfigError: the builder requires a parameter that no configuration can give.
    """
    described = Field(description=summary(builder))
    model = _derive(builder, base, {"kind": (Literal[kind], described)}, supplied)
    if tables:
        held = {
            key: (SerializeAsAny[table], Field(description=model.model_fields[key].description))
            for key, table in tables.items()
        }
        model = create_model(model.__name__, __base__=model, **held)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return model  # pyright: ignore[reportReturnType]


def takes_function(builder: Builder, key: str) -> bool:
    """Return whether a parameter of a builder also takes a function, as learning rates of optax do."""
    members = get_args(_annotations(builder).get(key))
    return any(get_origin(member) is Callable for member in members)


def options_model(builder: Builder, supplied: Collection[str] = ()) -> type[Options]:
    """Return the model of a table of keywords for ``builder``: like ``section_model``, without the key ``kind``.

    Args:
        builder: the function whose signature is the schema.
        supplied: names of further parameters that the run supplies, and that are therefore not keys.

    Raises:
        ConfigError: the builder requires a parameter that no configuration can give.
    """
    return _derive(builder, Options, {}, supplied)


def supply(builder: Builder, keywords: Mapping[str, Any], **machinery: Any) -> Any:
    """Call ``builder`` with its keywords, and with those arguments of the run that it has parameters for.

    An argument that the run does not have, which is None, leaves the parameter's default as it is.

    Args:
        builder: the builder.
        keywords: the keywords from the configuration, as returned by ``Options.keywords``.
        machinery: all arguments that a run can supply at this point, by parameter name.
    """
    parameters = inspect.signature(builder).parameters
    supplied = [
        name
        for name, parameter in parameters.items()
        if name in machinery and (machinery[name] is not None or parameter.default is parameter.empty)
    ]
    given = [machinery[name] for name in supplied if not _is_keyword(parameters[name])]
    named = {name: machinery[name] for name in supplied if _is_keyword(parameters[name])}
    return builder(*given, **named, **keywords)


def configurable(builder: Builder, supplied: Collection[str] = ()) -> dict[str, inspect.Parameter]:
    """Return the builder's configurable parameters by name, with annotations that pydantic can check.

    Args:
        builder: the function whose signature is read.
        supplied: names of parameters to leave out, besides those in ``MACHINERY``.

    Raises:
        ConfigError: a parameter without default can be given neither by a configuration nor by the run.
    """
    hints = _annotations(builder)
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(builder).parameters.items():
        if name in MACHINERY or name in supplied or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        required = parameter.default is parameter.empty
        annotation = hints.get(name, parameter.empty)
        if annotation is parameter.empty:
            annotation = type(parameter.default) if isinstance(parameter.default, _SCALARS) else None
        plain = _plain(annotation)
        if plain is not None and _is_keyword(parameter) and (required or _is_plain_value(parameter.default)):
            parameters[name] = parameter.replace(annotation=plain)
        elif required:
            raise ConfigError(
                f"{getattr(builder, '__name__', builder)}: no configuration can give its parameter '{name}'",
                hint="annotate it as int, float, bool, str, Path, Literal[...], or a list, tuple or union of these; "
                f"or take what a run supplies: {', '.join(sorted(MACHINERY))}",
            )
    return parameters


def describe_parameters(builder: Builder) -> dict[str, str]:
    """Return the descriptions in the ``Args:`` section of a Google-style docstring, by parameter name."""
    descriptions: dict[str, str] = {}
    indent: int | None = None
    current = ""
    inside = False
    for line in inspect.cleandoc(builder.__doc__ or "").splitlines():
        if not line.startswith(" ") and line.strip():
            inside = line.strip() in ("Args:", "Arguments:")
            indent = None
        elif inside and line.strip():
            depth = len(line) - len(line.lstrip())
            indent = depth if indent is None else indent
            match = _ARGUMENT.match(line.strip()) if depth == indent else None
            if match and match[1] in descriptions:
                current = ""  # the first description holds
            elif match:
                current = match[1]
                descriptions[current] = match[2].strip()
            elif current:
                descriptions[current] = f"{descriptions[current]} {line.strip()}".strip()
    return {name: unmarked(text).rstrip(".") for name, text in descriptions.items()}


def summary(builder: Builder) -> str:
    """Return the first line of the builder's docstring, or its name."""
    first = inspect.cleandoc(builder.__doc__ or "").split("\n", maxsplit=1)[0]
    return unmarked(first) or str(getattr(builder, "__name__", builder))


def _derive[S: Options](
    builder: Builder, base: type[S], fields: dict[str, Any], supplied: Collection[str] = ()
) -> type[S]:
    descriptions = describe_parameters(builder)
    keys: dict[str, str] = {}
    for name, parameter in configurable(builder, supplied).items():
        if name in base.model_fields and name != "kind":
            keys[name] = name  # a key common to all kinds that this builder takes as well
            continue
        # a parameter named like a method of pydantic models (copy, json) keeps its key, but gets another attribute
        attribute = f"{name}_" if hasattr(BaseModel, name) or hasattr(Options, name) or name == "kind" else name
        default = ... if parameter.default is parameter.empty else parameter.default
        alias = name if attribute != name else None
        described = Field(default, alias=alias, description=descriptions.get(name))
        fields[attribute] = (parameter.annotation, described)
        keys[name] = attribute
    model = create_model(f"{base.__name__}_{getattr(builder, '__name__', 'own')}", __base__=base, **fields)
    model.builder_keys = types.MappingProxyType(keys)
    model.builder_takes = frozenset(inspect.signature(builder).parameters)
    return model


def _is_keyword(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)


def _annotations(builder: Builder) -> dict[str, Any]:
    """Return the annotations of a builder, as far as they can be resolved: one that cannot must not affect the others."""
    # A wrapper with a signature of its own has annotations of its own, too.
    unwrapped = inspect.unwrap(builder, stop=lambda function: hasattr(function, "__signature__"))
    target = builder.__init__ if inspect.isclass(builder) else unwrapped
    target = getattr(target, "func", target)
    raw = dict(getattr(target, "__annotations__", {}))
    resolved: dict[str, Any] = {}
    for name, annotation in raw.items():
        if not isinstance(annotation, str):
            resolved[name] = annotation
            continue
        try:
            holder = type("_", (), {"__annotations__": {name: annotation}})
            hints = typing.get_type_hints(holder, getattr(target, "__globals__", {}), include_extras=True)
        except (NameError, TypeError, SyntaxError, AttributeError):
            resolved[name] = object  # a name for type checkers only: not a plain annotation
        else:
            resolved[name] = hints[name]
    return resolved


def _plain(annotation: Any) -> Any:
    """Return the annotation in the form in which pydantic is to check it, or None if no configuration can hold the value."""
    if annotation is int:
        return Whole
    if annotation in _SCALARS:
        return annotation
    if annotation is Path:
        return Annotated[Path, Strict(strict=False), AfterValidator(existing_file)]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = _plain(arguments[0])
        return None if inner is None else Annotated[(inner, *arguments[1:])]
    if origin is Literal:
        return annotation
    if origin in (Union, types.UnionType):
        return _plain_union(arguments)
    if origin is tuple or annotation is tuple:
        members = [... if member is ... else _plain(member) for member in arguments] or [str | float, ...]
        return None if None in members else Annotated[tuple[tuple(members)], Strict(strict=False)]
    if origin in (list, Sequence):
        inner = _plain(arguments[0])
        return None if inner is None else list[inner]
    if origin in (dict, Mapping) and arguments[0] is str:
        inner = _plain(arguments[1])
        return None if inner is None else dict[str, inner]
    return None


def _plain_union(members: tuple[Any, ...]) -> Any:
    optional = types.NoneType in members
    plain = [_plain(member) for member in members if member is not types.NoneType]
    kept = [member for member in plain if member is not None]
    if len(kept) < len(plain) and float in kept:
        # optax writes "a number" as bool | int | float | complex | Array | Schedule
        kept = [member for member in kept if member not in (bool, Whole)]
    if Path in members:  # str | Path is a path, relative to the configuration's folder
        kept = [_plain(Path)]
    if not kept:
        return None
    return Union[tuple([*kept, None] if optional else kept)]  # noqa: UP007 - the members are known at run time only


def _is_plain_value(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain_value(member) for member in value)
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_plain_value(member) for name, member in value.items())
    return value is None or isinstance(value, (*_SCALARS, Path))


@runtime_checkable
class InContext(Protocol):
    """What a validator is told: pydantic's ``ValidationInfo``, whose type cannot be checked at run time."""

    @property
    def context(self) -> Any:
        """What the validation was started with."""
        ...


def existing_file(value: Path, info: InContext) -> Path:
    """Return the absolute path of an existing file; relative paths start at the folder in the validation context."""
    folder = (info.context or {}).get("folder") or Path.cwd()
    path = absolute(value, folder)
    if not path.exists():
        raise PydanticCustomError("no_such_file", "no such file: {path}", {"path": str(path)})
    return path
