"""Reading of the tables of a configuration: looks up builders, derives models, checks, and collects all diagnostics."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, create_model

from jaxgossip.core.arguments import may_be_none
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import Builder, Registry
from jaxgossip.experiment.config import catalogue as catalogues
from jaxgossip.experiment.config.catalogue import Catalogue, NamedBuilder, find
from jaxgossip.experiment.config.clock_rules import clock_diagnostics
from jaxgossip.experiment.config.diagnostics import Diagnostic, shown, translate
from jaxgossip.experiment.config.learning import (
    AugmentationSection,
    Classification,
    Learning,
    supplied,
    supplied_to_sample,
)
from jaxgossip.experiment.config.schema import Options, Section, options_model, section_model, takes_function
from jaxgossip.experiment.config.sections import DEFAULT_KINDS, NESTED, OF_EVENTS, SECTIONS, Config


def augmentation_model(named: NamedBuilder) -> type[AugmentationSection]:
    """Return the model of an entry of ``learning.augment``.

    Raises:
        ConfigError: the builder requires a parameter that no configuration can give.
    """
    return section_model(named.builder, named.name, AugmentationSection, supplied_to_sample(named.builder, named.name))


@dataclass
class ConfigReader:
    """Reads the tables of one configuration.

    Attributes:
        catalogue: what the configuration can name.
        folder: what relative paths are relative to.
        diagnostics: all mistakes so far.
        is_task: whether the data set is a task that needs neither model nor partition.
        builders: the builders that sections name, by section.
    """

    catalogue: Catalogue
    folder: Path
    diagnostics: list[Diagnostic] = field(default_factory=list)
    is_task: bool = False
    builders: dict[str, Builder] = field(default_factory=dict)

    def sections(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tree with each section that has a kind replaced by its checked model, or by None if it is invalid."""
        catalogue = self.catalogue
        sections = dict(tree)
        sections["learning"] = self._learning(tree)
        if self.is_task and "partition" in tree:
            message = f"'{tree['learning']['dataset']}' has no samples to divide over nodes"
            self.diagnostics.append(Diagnostic(("partition",), message, hint="remove the section"))
        events = self._in_events(tree)
        wanted = {"topology", "algorithm", *(("clock", "peers", "delay") if events else ("mixing",))}
        if events and isinstance(tree.get("schedule"), Mapping) and "path" in tree["schedule"]:
            wanted -= set(OF_EVENTS)  # the file replaces them
        wanted |= set() if self.is_task else {"partition"}
        for name, base in SECTIONS.items():
            missing = name == "optimizer" and self._needs_optimizer()  # its builder is that of an earlier section
            if name in wanted or missing or (name in tree and not (name == "partition" and self.is_task)):
                sections[name] = self._section(tree, name, catalogue.registry(name), base)
        sections["partition"] = sections.get("partition") if not self.is_task else None
        if "optimizer" not in sections and isinstance(tree.get("evaluation", {}), Mapping):
            sections["evaluation"] = {"baselines": [], **tree.get("evaluation", {})}  # they all take steps
        self.diagnostics += clock_diagnostics(sections, events=events)
        if events:
            sections.setdefault("schedule", {})
        return sections

    def _in_events(self, tree: Mapping[str, Any]) -> bool:
        """Return whether every node acts by its own clock: if the algorithm does so, or a user's own is given a clock."""
        table = tree.get("algorithm")
        kind = table.get("kind") if isinstance(table, Mapping) else None
        if isinstance(kind, str) and ":" in kind:
            return any(name in tree for name in OF_EVENTS)
        return kind in list(self.catalogue.protocol)

    def _needs_optimizer(self) -> bool:
        """Return whether the algorithm cannot be built without an optimizer; False if there is no such algorithm."""
        builder = self.builders.get("algorithm")
        return builder is not None and not may_be_none(builder, "optimizer")

    def config(self, sections: Mapping[str, Any]) -> Config | None:
        """Return the configuration made of its sections; None if one of them is invalid."""
        failed = {name for name, section in sections.items() if section is None}
        valid = {name: section for name, section in sections.items() if name not in failed}
        return self._check(Config, valid, (), silent=failed)

    def _section[S: Section](self, tree: Mapping[str, Any], name: str, registry: Registry, base: type[S]) -> S | None:
        table = self._table(tree, name)
        if table is None:
            return None
        if "kind" not in table and name in DEFAULT_KINDS:
            table = {"kind": DEFAULT_KINDS[name], **table}
        named = self._named((name, "kind"), table, registry, lambda kind: catalogues.find(registry, kind, self.folder))
        if named is None:
            return None
        self.builders[name] = named.builder
        tables: dict[str, Any] = {}
        for key, (kind, of_table) in NESTED.get(name, {}).items():
            if isinstance(table.get(key), Mapping) and takes_function(named.builder, key):
                tables[key] = self._nested((name, key), table[key], self.catalogue.registry(kind), of_table)
        if None in tables.values():
            return None
        table |= tables
        classes = {key: type(checked) for key, checked in tables.items()}
        model = self._derive((name, "kind"), lambda: section_model(named.builder, named.name, base, tables=classes))
        return model and self._check(model, {**table, "kind": named.name}, (name,), registry=registry)

    def _nested[S: Section](
        self, path: tuple[str, ...], table: Mapping[str, Any], registry: Registry, base: type[S]
    ) -> S | None:
        """Return the checked model of a table within a section that names a builder, too; None if it is invalid."""
        named = self._named((*path, "kind"), table, registry, lambda kind: catalogues.find(registry, kind, self.folder))
        if named is None:
            return None
        model = self._derive((*path, "kind"), lambda: section_model(named.builder, named.name, base))
        return model and self._check(model, {**table, "kind": named.name}, path, registry=registry)

    def _learning(self, tree: Mapping[str, Any]) -> Learning | None:
        table = self._table(tree, "learning")
        if table is None:
            return None
        catalogue, folder = self.catalogue, self.folder
        names = [*catalogue.dataset, *catalogue.task]
        written = next((key for key in catalogue.datafile if key == table.get("format")), None)
        dataset = self._named(
            ("learning", "dataset"),
            table,
            names,
            lambda name: catalogues.find_dataset(catalogue, name, folder, written),
        )
        self.is_task = dataset is not None and dataset.name in list(catalogue.task)
        builders = {"dataset": dataset}
        if not self.is_task:
            # without a valid data set it is unknown whether a model is needed
            builders["model"] = None
            if dataset is not None or "model" in table:
                models = catalogue.model
                builders["model"] = self._named(
                    ("learning", "model"), table, models, lambda name: catalogues.find(models, name, folder)
                )
        fields: dict[str, Any] = {}
        for key, named in builders.items():
            if named is not None:
                options = self._derive(
                    ("learning", key),
                    lambda named=named, key=key: options_model(named.builder, supplied(key, named.name)),
                )
                table |= {key: named.name, f"{key}_options": table.get(f"{key}_options", {})}
                fields[f"{key}_options"] = (options or Options, Field(description=f"keywords of the {key}"))
        if dataset is not None:
            for key in self._without(dataset, table):
                table.pop(key, None)
                fields[key] = (Any, None)
        base = Learning if self.is_task else Classification
        derived = create_model(base.__name__, __base__=base, **fields)
        if not self.is_task and "augment" in table:
            table["augment"] = self._augmentations(table["augment"])
        failed = {name for key, named in builders.items() if named is None for name in (key, f"{key}_options")}
        return self._check(derived, table, ("learning",), silent=failed)

    def _without(self, dataset: NamedBuilder, table: Mapping[str, Any]) -> list[str]:
        """Return the common keys that have no value: the data set does not take them, or decides when it reads its files.

        One that is given although the data set does not take it is a mistake.
        """
        without = []
        for key in ("batch_size",) if self.is_task else ("test_fraction", "standardize"):
            taken = catalogues.takes(dataset.builder, key)
            if not taken and key in table:
                hint = catalogues.not_taken(dataset.name, key)
                self.diagnostics.append(Diagnostic(("learning", key), f"'{dataset.name}' takes no {key}", hint=hint))
            if not taken or (key not in table and catalogues.decides(dataset.builder, key)):
                without.append(key)
        return without

    def _augmentations(self, listed: Any) -> list[AugmentationSection]:
        """Return the valid ones of listed augmentations, each a name or a table with a kind."""
        path, registry, sections = ("learning", "augment"), self.catalogue.augmentation, []
        if not isinstance(listed, list | tuple):
            message = f"expected a list, got {shown(listed)}"
            self.diagnostics.append(Diagnostic(path, message, hint='augment = ["crop", "flip"]'))
            return []
        for place, entry in enumerate(listed):
            here = (*path, str(place))
            table = {"kind": entry} if isinstance(entry, str) else entry
            if not isinstance(table, Mapping):
                message = f"expected a name or a table, got {shown(entry)}"
                self.diagnostics.append(Diagnostic(here, message, hint='write {kind = "crop", padding = 4}'))
                continue
            named = self._named((*here, "kind"), table, registry, lambda kind: find(registry, kind, self.folder))
            if named is None:
                continue
            model = self._derive((*here, "kind"), lambda named=named: augmentation_model(named))
            section = model and self._check(model, {**table, "kind": named.name}, here)
            sections += [section] if section else []
        return sections

    def _table(self, tree: Mapping[str, Any], name: str) -> dict[str, Any] | None:
        table = tree.get(name, {})
        if isinstance(table, Mapping):
            return dict(table)
        self.diagnostics.append(Diagnostic((name,), f"expected a table, got {shown(table)}", hint=f"write [{name}]"))
        return None

    def _named(
        self, path: tuple[str, ...], table: Mapping[str, Any], names: Iterable[str], find: Callable[[str], NamedBuilder]
    ) -> NamedBuilder | None:
        name = table.get(path[-1])
        if name is None:
            self.diagnostics.append(Diagnostic(path, "missing", hint=f"allowed: {', '.join(sorted(names))}"))
        elif not isinstance(name, str):
            self.diagnostics.append(Diagnostic(path, f"expected a string, got {shown(name)}"))
        else:
            try:
                return find(name)
            except ConfigError as error:
                self.diagnostics.append(Diagnostic(path, error.message, error.hint))
        return None

    def _derive[M: BaseModel](self, path: tuple[str, ...], make: Callable[[], type[M]]) -> type[M] | None:
        try:
            return make()
        except ConfigError as error:
            self.diagnostics.append(Diagnostic(path, error.message, error.hint))
            return None

    def _check[M: BaseModel](
        self,
        model: type[M],
        table: Mapping[str, Any],
        prefix: tuple[str, ...],
        *,
        silent: Iterable[str] = (),
        registry: Registry | None = None,
    ) -> M | None:
        try:
            return model.model_validate(table, context={"folder": self.folder})
        except ValidationError as error:
            reported = [(*prefix, key) for key in silent]
            for diagnostic in translate(error, table, model, prefix):
                if diagnostic.path[: len(prefix) + 1] not in reported:
                    self.diagnostics.append(self._advised(diagnostic, table, registry))
            return None

    def _advised(self, diagnostic: Diagnostic, table: Mapping[str, Any], registry: Registry | None) -> Diagnostic:
        """Add to the diagnostic of an unknown key which other builders or tasks have that key."""
        path, key = diagnostic.path, diagnostic.path[-1] if diagnostic.path else ""
        if diagnostic.message != "unknown key":
            return diagnostic
        if self.is_task and path[:-1] == ("learning",) and key in Classification.model_fields:
            return Diagnostic(path, f"'{table['dataset']}' takes no {key}", hint=f"remove it; {diagnostic.hint}")
        names = catalogues.owners(registry, key) if registry is not None and key not in ("", "kind") else []
        if not names:
            return diagnostic
        return Diagnostic(path, diagnostic.message, f"{diagnostic.hint}; '{key}' is a key of {', '.join(names)}")
