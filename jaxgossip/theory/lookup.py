"""Look-up of plots by a registered name or by the user's own function as ``file.py:function``."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from jaxgossip.core.errors import ConfigError, JaxGossipError, RunError
from jaxgossip.core.registry import Builder, summary_of
from jaxgossip.experiment.build.builders import errors_of, in_own_code, place_of, result_text, wrong_result
from jaxgossip.experiment.config.catalogue import find
from jaxgossip.theory import PLOTS
from jaxgossip.theory.plot import Claim, Plot


@dataclass(frozen=True)
class PlotRequest:
    """A plot as the user requested it.

    Attributes:
        word: the user's argument.
        kind: the registered name, or the user's function as 'file.py:function' with an absolute path.
        builder: function that builds the plot.
    """

    word: str
    kind: str
    builder: Builder

    @property
    def name(self) -> str:
        """Name of the picture: the registered name, or that of the user's function."""
        return self.kind.rpartition(":")[2]

    @property
    def sentence(self) -> str:
        """The statement that the picture supports: the first paragraph of the builder's docstring."""
        return summary_of(self.builder)

    def build(self) -> Plot:
        """Build and return the plot.

        Raises:
            ConfigError: the user's function fails, or does not return a Plot.
        """
        with errors_of("figure", self.kind):
            plot = self.builder()
        if not isinstance(plot, Plot):
            error = wrong_result(self.word, plot, Plot)
            raise ConfigError(f"figure: {error.message}", hint=error.hint)
        return plot

    @contextlib.contextmanager
    def errors_located(self) -> Iterator[None]:
        """Turn exceptions in a user's plot into a RunError that says where they were raised."""
        try:
            yield
        except JaxGossipError:
            raise
        except Exception as error:
            if ":" not in self.kind:
                raise
            raise RunError(in_own_code(error, [self.kind]), hint=place_of(error, [self.kind])) from error

    def checked_claims(self, claims: Any, figure: Any) -> tuple[Claim, ...]:
        """Return the claims as a tuple, after checking their type and that of the figure.

        Raises:
            ConfigError: ``claims`` is not a sequence of claims, or ``figure`` is not a Figure.
        """
        if not (isinstance(claims, Sequence) and all(isinstance(claim, Claim) for claim in claims)):
            raise ConfigError(f"figure: the claims of {self.word} are no list of claims", hint="return [Claim(…), …]")
        if not isinstance(figure, Figure):
            raise ConfigError(
                f"figure: draw of {self.word} returned {result_text(figure)}", hint="return a matplotlib Figure"
            )
        return tuple(claims)


def find_plots(words: Sequence[str]) -> list[PlotRequest]:
    """Return the plots that ``words`` name, without duplicates; paths are relative to the working directory.

    Raises:
        ConfigError: an unknown plot, file or function, or two plots whose pictures would have the same name.
    """
    requests = [
        PlotRequest(word, choice.name, choice.builder) for word in words for choice in [find(PLOTS, word, Path.cwd())]
    ]
    requests = list({request.kind: request for request in requests}.values())
    for at, request in enumerate(requests):
        if request.name in PLOTS and PLOTS[request.name] is not request.builder:
            raise ConfigError(
                f"{request.word} would be drawn as '{request.name}', which is a plot of ours",
                hint="call the function otherwise",
            )
        for other in requests[:at]:
            if other.name == request.name:
                raise ConfigError(
                    f"{other.word} and {request.word} would both be drawn as '{request.name}'",
                    hint="call one of the functions otherwise, or run them one by one, each with an --out of its own",
                )
    return requests
