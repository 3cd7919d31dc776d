"""A builder's signature is its section of the configuration."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import optax
import pytest
from pydantic import Field, ValidationError

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.config.schema import (
    MACHINERY,
    Section,
    configurable,
    describe_parameters,
    options_model,
    section_model,
    summary,
    supply,
)


def shaped(
    nodes: int,
    degree: int = 4,
    *,
    shape: tuple[int, ...] = (2, 3),
    rate: float | None = None,
    form: Literal["atc", "cta"] = "atc",
    names: list[str] | None = None,
    lazy: bool = False,
    scores: np.ndarray | None = None,
    rng: np.random.Generator | int = 0,
):
    """Make a :func:`shape` with ``words``.

    Longer words.

    Args:
        nodes: how many nodes.
        degree: neighbours of each node, a
            number that goes on.
        rate: a number: with a colon.
        form (str): which form.

    Returns:
        nodes: not an argument.
    """
    return locals()


def check(builder, **values):
    return section_model(builder, "it").model_validate({"kind": "it", **values})


def test_keywords_defaults_and_machinery():
    assert list(configurable(shaped)) == ["nodes", "degree", "shape", "rate", "form", "names", "lazy"]
    assert check(shaped, nodes=8).keywords() == {
        "nodes": 8,
        "degree": 4,
        "shape": (2, 3),
        "rate": None,
        "form": "atc",
        "names": None,
        "lazy": False,
    }
    assert check(shaped, nodes=8, shape=[5], rate=1).keywords()["shape"] == (5,)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"nodes": 2.0},
        {"nodes": "2"},
        {"nodes": True},
        {"nodes": 2, "lazy": 1},
        {"nodes": 2, "form": "dgd"},
        {"nodes": 2, "shape": [1, "2"]},
        {"nodes": 2, "shape": 3},
        {"nodes": 2, "rate": "fast"},
        {"nodes": 2, "names": [1]},
        {"nodes": 2, "rng": 3},
        {"nodes": 2, "scores": [1.0]},
        {"nodes": 2, "extra": 1},
        {"nodes": 2, "kind": "other"},
    ],
)
def test_types_are_strict_and_unknown_keys_refused(values):
    with pytest.raises(ValidationError):
        check(shaped, **values)


def test_descriptions_come_from_the_docstring():
    assert describe_parameters(shaped) == {
        "nodes": "how many nodes",
        "degree": "neighbours of each node, a number that goes on",
        "rate": "a number: with a colon",
        "form": "which form",
    }
    assert summary(shaped) == "Make a shape with words."
    properties = section_model(shaped, "it").model_json_schema()["properties"]
    assert properties["degree"]["description"] == "neighbours of each node, a number that goes on"
    assert properties["form"]["enum"] == ["atc", "cta"]


def test_every_machinery_name_is_left_out():
    names = ", ".join(sorted(MACHINERY))
    space: dict[str, Any] = {}
    exec(f"def builder({names}, *, mine: int = 1): ...", space)  # noqa: S102 - a signature with all names there are
    assert list(configurable(space["builder"])) == ["mine"]


def test_a_parameter_that_nobody_can_give_is_an_error():
    def demanding(callback: Callable[[], int]): ...

    with pytest.raises(ConfigError, match="demanding: no configuration can give its parameter 'callback'"):
        section_model(demanding, "it")


def test_annotations_may_be_strings_missing_or_unknown():
    def loose(a: "int", b=2.5, c: "list[str] | None" = None, d: "Nowhere" = 3, *more, **others): ...  # noqa: F821

    assert check(loose, a=1).keywords() == {"a": 1, "b": 2.5, "c": None}
    with pytest.raises(ValidationError):
        check(loose, a=1, b="x")


def test_annotated_bounds_hold():
    def bounded(share: Annotated[float, Field(ge=0, le=1)] = 0.5): ...

    assert check(bounded).keywords() == {"share": 0.5}
    with pytest.raises(ValidationError):
        check(bounded, share=2.0)


def test_classes_and_partials_are_builders_too():
    @dataclass
    class Model:
        """A model.

        Args:
            width: units.
        """

        width: int = 3

    assert check(Model, width=4).keywords() == {"width": 4}
    assert check(functools.partial(shaped, nodes=3), degree=2).keywords()["degree"] == 2


def test_keys_named_like_methods_of_pydantic_keep_their_names():
    def awkward(copy: bool = False, json: int = 1, kind: str = "x", model_dump: int = 2): ...

    found = options_model(awkward).model_validate({"copy": True, "kind": "y"})
    assert found.keywords() == {"copy": True, "json": 1, "kind": "y", "model_dump": 2}
    assert options_model(awkward, supplied=("json", "kind")).model_validate({}).keywords() == {
        "copy": False,
        "model_dump": 2,
    }


def test_a_key_that_every_kind_has_keeps_the_bounds_of_its_section():
    class Wide(Section):
        share: float = Field(default=0.0, ge=0, le=1)

    def asks(share: float, other: int = 1): ...

    def asks_not(other: int = 1): ...

    assert section_model(asks, "it", Wide).model_validate({"kind": "it"}).keywords() == {"share": 0.0, "other": 1}
    silent = section_model(asks_not, "it", Wide).model_validate({"kind": "it", "share": 0.5})
    assert silent.share == 0.5
    assert silent.keywords() == {"other": 1}
    with pytest.raises(ValidationError):
        section_model(asks, "it", Wide).model_validate({"kind": "it", "share": 2.0})


def test_files_are_found_from_the_folder_of_the_configuration(tmp_path):
    def reads(path: str | Path, other: Path | None = None): ...

    (tmp_path / "edges.txt").write_text("0 1")
    model = options_model(reads)
    assert model.model_validate({"path": "edges.txt"}, context={"folder": tmp_path}).path == tmp_path / "edges.txt"
    assert model.model_validate({"path": str(tmp_path / "edges.txt")}).path == tmp_path / "edges.txt"
    with pytest.raises(ValidationError, match=f"no such file: {tmp_path}/absent.txt"):
        model.model_validate({"path": "absent.txt"}, context={"folder": tmp_path})


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "lion", "adafactor", "lamb"])
def test_optax_optimizers_take_numbers(name):
    section = check(getattr(optax, name), learning_rate=1)
    assert section.learning_rate == 1.0
    assert all(isinstance(value, float | int | bool | None) for value in section.keywords().values())
    getattr(optax, name)(**section.keywords())
    with pytest.raises(ValidationError):
        check(getattr(optax, name), learning_rate="fast")


def test_equal_values_make_equal_sections():
    assert check(shaped, nodes=2) == check(shaped, nodes=2)
    assert hash(check(shaped, nodes=2)) == hash(check(shaped, nodes=2))
    assert check(shaped, nodes=2) != check(shaped, nodes=3)


def test_supply_gives_a_builder_what_it_names():
    def builder(problem, /, W, *, seed, rate: float = 1.0):
        return problem, W, seed, rate

    assert supply(builder, {"rate": 2.0}, problem="p", W="w", seed=3, graph="unused") == ("p", "w", 3, 2.0)
