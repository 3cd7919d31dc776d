"""Reading the tables of a configuration: find the builders, derive the models, check, collect every problem."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, create_model

from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import Registry
from jaxgossip.experiment.config import catalogue as catalogues
from jaxgossip.experiment.config.catalogue import Catalogue, Found
from jaxgossip.experiment.config.clock_rules import clock_problems
from jaxgossip.experiment.config.mistakes import Problem, shown, translate
from jaxgossip.experiment.config.schema import Options, Section, options_model, section_model
from jaxgossip.experiment.config.sections import (
    DEFAULT_KINDS,
    OF_EVENTS,
    SECTIONS,
    Classification,
    Config,
    Learning,
    supplied,
)


@dataclass
class Reading:
    """One pass over the tables of a configuration.

    Attributes:
        catalogue: what the configuration can name.
        folder: where relative paths start.
        problems: all that was found wrong.
        is_task: whether the data set turned out to be a task that needs neither model nor partition.
    """

    catalogue: Catalogue
    folder: Path
    problems: list[Problem] = field(default_factory=list)
    is_task: bool = False

    def parts(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tree with a checked model in the place of each section that has a kind, None where one failed."""
        catalogue = self.catalogue
        parts = dict(tree)
        parts["learning"] = self._learning(tree)
        if self.is_task and "partition" in tree:
            message = f"'{tree['learning']['dataset']}' has no samples to divide over nodes"
            self.problems.append(Problem(("partition",), message, hint="remove the section"))
        events = self._in_events(tree)
        wanted = {"topology", "algorithm", "optimizer", *(("clock", "peers", "delay") if events else ("mixing",))}
        if events and isinstance(tree.get("schedule"), Mapping) and "path" in tree["schedule"]:
            wanted -= set(OF_EVENTS)  # a file says all that they would
        wanted |= set() if self.is_task else {"partition"}
        for name, base in SECTIONS.items():
            if name in wanted or (name in tree and not (name == "partition" and self.is_task)):
                parts[name] = self._section(tree, name, catalogue.registry(name), base)
        parts["partition"] = parts.get("partition") if not self.is_task else None
        self.problems += clock_problems(parts, events=events)
        if events:
            parts.setdefault("schedule", {})
        return parts

    def _in_events(self, tree: Mapping[str, Any]) -> bool:
        """Say whether every node acts by its own clock: as the algorithm has it, or one's own is given a clock."""
        table = tree.get("algorithm")
        kind = table.get("kind") if isinstance(table, Mapping) else None
        if isinstance(kind, str) and ":" in kind:
            return any(name in tree for name in OF_EVENTS)
        return kind in list(self.catalogue.protocol)

    def whole(self, parts: Mapping[str, Any]) -> Config | None:
        """Return the configuration made of its parts; None if something is wrong with one of them."""
        failed = {name for name, part in parts.items() if part is None}
        return self._check(Config, {name: parts[name] for name in parts if name not in failed}, (), silent=failed)

    def _section[S: Section](self, tree: Mapping[str, Any], name: str, registry: Registry, base: type[S]) -> S | None:
        table = self._table(tree, name)
        if table is None:
            return None
        if "kind" not in table and name in DEFAULT_KINDS:
            table = {"kind": DEFAULT_KINDS[name], **table}
        found = self._named((name, "kind"), table, registry, lambda kind: catalogues.find(registry, kind, self.folder))
        if found is None:
            return None
        model = self._derive((name, "kind"), lambda: section_model(found.builder, found.name, base))
        return model and self._check(model, {**table, "kind": found.name}, (name,), registry=registry)

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
        found = {"dataset": dataset}
        if not self.is_task:
            # without a data set nobody can know whether it wants a model
            found["model"] = None
            if dataset is not None or "model" in table:
                models = catalogue.model
                found["model"] = self._named(
                    ("learning", "model"), table, models, lambda name: catalogues.find(models, name, folder)
                )
        fields: dict[str, Any] = {}
        for key, one in found.items():
            if one is not None:
                options = self._derive(
                    ("learning", key), lambda one=one, key=key: options_model(one.builder, supplied(key, one.name))
                )
                table |= {key: one.name, f"{key}_options": table.get(f"{key}_options", {})}
                fields[f"{key}_options"] = (options or Options, Field(description=f"keywords of the {key}"))
        if self.is_task and dataset is not None and not catalogues.takes(dataset.builder, "batch_size"):
            if "batch_size" in table:
                message = f"'{dataset.name}' takes no batch_size"
                self.problems.append(Problem(("learning", "batch_size"), message, hint="remove it"))
            table.pop("batch_size", None)
            fields["batch_size"] = (int | None, None)
        base = Learning if self.is_task else Classification
        derived = create_model(base.__name__, __base__=base, **fields)
        failed = {name for key, one in found.items() if one is None for name in (key, f"{key}_options")}
        return self._check(derived, table, ("learning",), silent=failed)

    def _table(self, tree: Mapping[str, Any], name: str) -> dict[str, Any] | None:
        found = tree.get(name, {})
        if isinstance(found, Mapping):
            return dict(found)
        self.problems.append(Problem((name,), f"expected a table, got {shown(found)}", hint=f"write [{name}]"))
        return None

    def _named(
        self, path: tuple[str, ...], table: Mapping[str, Any], names: Iterable[str], find: Callable[[str], Found]
    ) -> Found | None:
        name = table.get(path[-1])
        if name is None:
            self.problems.append(Problem(path, "missing", hint=f"allowed: {', '.join(sorted(names))}"))
        elif not isinstance(name, str):
            self.problems.append(Problem(path, f"expected a string, got {shown(name)}"))
        else:
            try:
                return find(name)
            except ConfigError as error:
                self.problems.append(Problem(path, error.message, error.hint))
        return None

    def _derive[M: BaseModel](self, path: tuple[str, ...], make: Callable[[], type[M]]) -> type[M] | None:
        try:
            return make()
        except ConfigError as error:
            self.problems.append(Problem(path, error.message, error.hint))
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
            told = [(*prefix, key) for key in silent]
            for problem in translate(error, table, model, prefix):
                if problem.path[: len(prefix) + 1] not in told:
                    self.problems.append(self._advised(problem, table, registry))
            return None

    def _advised(self, problem: Problem, table: Mapping[str, Any], registry: Registry | None) -> Problem:
        """Say more of an unknown key than its table can: whose key it would be."""
        path, key = problem.path, problem.path[-1] if problem.path else ""
        if problem.message != "unknown key":
            return problem
        if self.is_task and path[:-1] == ("learning",) and key in Classification.model_fields:
            return Problem(path, f"'{table['dataset']}' takes no {key}", hint=f"remove it; {problem.hint}")
        names = catalogues.owners(registry, key) if registry is not None and len(path) == 2 else []
        if not names:
            return problem
        return Problem(path, problem.message, f"{problem.hint}; '{key}' is a key of {', '.join(names)}")
