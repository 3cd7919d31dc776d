"""Plots by a word: a registered name, or one's own function as ``file.py:function``."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from jaxgossip.core.errors import ConfigError, JaxGossipError, RunError
from jaxgossip.core.registry import Builder, summary_of
from jaxgossip.experiment.build.builders import errors_of, in_own_code, place_of
from jaxgossip.experiment.config.catalogue import find
from jaxgossip.theory import PLOTS
from jaxgossip.theory.plot import Claim, Plot


@dataclass(frozen=True)
class Named:
    """A plot as it was asked for.

    Attributes:
        word: how the user called it.
        kind: the registered name, or one's own as 'file.py:function', its path absolute.
        builder: what makes it.
    """

    word: str
    kind: str
    builder: Builder

    @property
    def name(self) -> str:
        """What its picture is called: the registered name, or that of one's own function."""
        return self.kind.rpartition(":")[2]

    @property
    def sentence(self) -> str:
        """What the picture proves: the first paragraph of the builder's docstring."""
        return summary_of(self.builder)

    def plot(self) -> Plot:
        """Return the plot.

        Raises:
            ConfigError: one's own function fails, or returns something else.
        """
        with errors_of("figure", self.kind):
            made = self.builder()
        if not isinstance(made, Plot):
            raise ConfigError(f"figure: {self.word} returned {type(made).__name__}", hint="return a jaxgossip Plot")
        return made

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Turn what the parts of one's own plot raise into a RunError that says where."""
        try:
            yield
        except JaxGossipError:
            raise
        except Exception as error:
            if ":" not in self.kind:
                raise
            raise RunError(in_own_code(error, [self.kind]), hint=place_of(error, [self.kind])) from error

    def checked(self, claims: Any, figure: Any) -> tuple[Claim, ...]:
        """Return the claims.

        Raises:
            ConfigError: they are none, or the picture is something else.
        """
        if not (isinstance(claims, Sequence) and all(isinstance(claim, Claim) for claim in claims)):
            raise ConfigError(f"figure: the claims of {self.word} are no list of claims", hint="return [Claim(…), …]")
        if not isinstance(figure, Figure):
            raise ConfigError(
                f"figure: draw of {self.word} returned {type(figure).__name__}", hint="return a matplotlib Figure"
            )
        return tuple(claims)


def named(words: Sequence[str]) -> list[Named]:
    """Return the plots that a user calls so, each once, a relative path from the working directory.

    Raises:
        ConfigError: no such plot, file or function, or two plots whose pictures would have one name.
    """
    asked = [Named(word, found.name, found.builder) for word in words for found in [find(PLOTS, word, Path.cwd())]]
    asked = list({one.kind: one for one in asked}.values())
    for at, one in enumerate(asked):
        if one.name in PLOTS and PLOTS[one.name] is not one.builder:
            raise ConfigError(
                f"{one.word} would be drawn as '{one.name}', which is a plot of ours",
                hint="call the function otherwise",
            )
        for other in asked[:at]:
            if other.name == one.name:
                raise ConfigError(
                    f"{other.word} and {one.word} would both be drawn as '{one.name}'",
                    hint="call one of the functions otherwise, or run them one by one, each with an --out of its own",
                )
    return asked
