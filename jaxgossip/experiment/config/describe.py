"""Descriptions of configurations: TOML with every default written out, and a JSON schema for editors."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from jaxgossip.core.registry import Registry
from jaxgossip.experiment.config import catalogue as catalogues
from jaxgossip.experiment.config import toml
from jaxgossip.experiment.config.catalogue import Catalogue
from jaxgossip.experiment.config.learning import AugmentationSection, Classification, Learning, supplied
from jaxgossip.experiment.config.schema import Options, Section, options_model, section_model, takes_function
from jaxgossip.experiment.config.sections import DEFAULT_KINDS, NESTED, SECTIONS, Config

OWN = MappingProxyType({"type": "string", "pattern": ":", "description": "your own, as 'file.py:function'"})


def resolved_toml(config: Config) -> str:
    """Return the configuration as runnable TOML, with every default and a comment on each section."""
    comments: dict[tuple[str, ...], str] = {
        ("name",): "Resolved: every default is written out, every path is absolute."
    }
    for name, value in config:
        if isinstance(value, BaseModel):
            _describe((name,), value, comments)
    return toml.dumps(config.tree(), comments)


def _describe(path: tuple[str, ...], table: BaseModel, comments: dict[tuple[str, ...], str]) -> None:
    fields = type(table).model_fields
    lines = [_doc(type(table))] if path[-1] in Config.model_fields else []
    if isinstance(table, Section):
        lines.append(f"{table.kind}: {fields['kind'].description}")
    keys = table.builder_keys if isinstance(table, Options) else {}
    unset = [key for key, attribute in keys.items() if getattr(table, attribute) is None]
    if lines:
        comments[path] = "\n".join(lines)
    if unset:
        comments[(*path, "")] = f"left out: {', '.join(unset)}"
    for name in fields:
        inner = getattr(table, name)
        if isinstance(inner, BaseModel):
            _describe((*path, name), inner, comments)


def json_schema(catalogue: Catalogue | None = None) -> dict[str, Any]:
    """Return a JSON schema of configurations, for editors: a union over the kinds of each section.

    Args:
        catalogue: what a configuration can name; the built-in registries if None.
    """
    catalogue = catalogue or catalogues.standard()
    schema = Config.model_json_schema(by_alias=True)
    inlined = {name: _inlined(schema["properties"][name], schema["$defs"]) for name in schema["properties"]}
    for name, base in SECTIONS.items():
        nested = {
            key: _section_schema(catalogue.registry(kind), of_table, None)
            for key, (kind, of_table) in NESTED.get(name, {}).items()
        }
        inlined[name] = _section_schema(catalogue.registry(name), base, DEFAULT_KINDS.get(name), nested)
    inlined["learning"] = _learning_schema(catalogue)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "jaxgossip configuration",
        "description": "An experiment of gossip learning.",
        "type": "object",
        "properties": inlined,
        "required": ["topology", "learning"],
        "additionalProperties": False,
    }


def _section_schema(
    registry: Registry, base: type[Section], default_kind: str | None, nested: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    kinds = [_table_schema(section_model(registry[name], name, base)) for name in registry]
    for kind, name in zip(kinds, registry, strict=True):
        for key, table in (nested or {}).items():
            if takes_function(registry[name], key):
                kind["properties"][key] = {"anyOf": [kind["properties"][key], table]}
    for kind, name in zip(kinds, registry, strict=True):
        if name == default_kind:
            kind["required"].remove("kind")
            kind["properties"]["kind"]["default"] = name
    own = {"type": "object", "properties": {"kind": dict(OWN)}, "required": ["kind"]}
    return {"description": _doc(base), "type": "object", "oneOf": [*kinds, own]}


def _learning_schema(catalogue: Catalogue) -> dict[str, Any]:
    tasks = list(catalogue.task)
    schema = _table_schema(Classification)
    fixed = _table_schema(Learning)["properties"]
    schema["required"] = ["dataset"]
    registries: list[tuple[str, list[Mapping[str, Any]]]] = [
        ("dataset", [catalogue.dataset, catalogue.task]),
        ("model", [catalogue.model]),
    ]
    cases: list[dict[str, Any]] = []
    for key, holders in registries:
        names = [name for holder in holders for name in holder]
        description = schema["properties"][key].get("description", "")
        schema["properties"][key] = {"description": description, "anyOf": [{"enum": names}, {"type": "string"}]}
        schema["properties"][f"{key}_options"] = {"type": "object"}
        for holder in holders:
            cases.extend(
                _case(
                    {key: {"const": name}},
                    {f"{key}_options": _table_schema(options_model(holder[name], supplied(key, name)))},
                )
                for name in holder
            )
    augment = schema["properties"]["augment"]
    tables = _section_schema(catalogue.augmentation, AugmentationSection, None)
    augment["items"] = {"anyOf": [{"enum": list(catalogue.augmentation)}, {"type": "string"}, tables]}
    if tasks:
        absent = {name: False for name in schema["properties"] if name not in fixed}
        cases.append(_case({"dataset": {"enum": tasks}}, absent, {"required": ["model"]}))
    schema["allOf"] = cases
    return schema


def _case(given: dict[str, Any], then: dict[str, Any], otherwise: dict[str, Any] | None = None) -> dict[str, Any]:
    case: dict[str, Any] = {"if": {"properties": given, "required": list(given)}, "then": {"properties": then}}
    return case | ({"else": otherwise} if otherwise else {})


def _table_schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    inlined = _inlined(schema, schema.pop("$defs", {}))
    for name in ("title", "description"):
        inlined.pop(name, None)
    kind = inlined.get("properties", {}).get("kind", {})
    return {"description": kind.get("description") or _doc(model), "required": [], **inlined}


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """Replace references by their definitions, and drop generated titles, so that editors show the descriptions."""
    if isinstance(schema, list):
        return [_inlined(member, definitions) for member in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return _inlined({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions)
    return {
        key: _inlined(value, definitions)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


def _doc(model: type[BaseModel]) -> str:
    """Return the first line of the docstring of a section's class; derived models have none of their own."""
    docs = (base.__doc__ for base in model.__mro__ if base.__doc__ and base not in (Options, Section, BaseModel))
    return next(docs, "").strip().split("\n")[0]
