"""The look of every picture, and how a picture is written."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text

from jaxgossip.core import disk
from jaxgossip.core.errors import ConfigError

STYLE = Path(__file__).with_name("style.mplstyle")


def style() -> AbstractContextManager[None]:
    """Return the context of our look; nothing of the user's own settings shows, and none is changed."""
    return mpl.rc_context(fname=str(STYLE))


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a picture; the suffix of ``path`` says of which kind (png, svg, pdf).

    Raises:
        ConfigError: matplotlib knows no such kind.
    """
    check_picture(path)
    disk.make_folder(path.parent, parents=True)
    with style():
        _take_words_as_they_are(figure)
        disk.write(path, lambda file: figure.savefig(file, format=path.suffix.removeprefix(".")))


def _take_words_as_they_are(figure: Figure) -> None:
    """Let no name of the user's spoil a picture: bytes that are no text, and dollars that are no formula."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        words = text.get_text()
        if any("\ud800" <= char <= "\udfff" for char in words):
            text.set_text(words.encode(errors="replace").decode())
        if "$" in words:
            try:
                MathTextParser("path").parse(text.get_text())
            except ValueError:
                text.set_parse_math(False)


def check_picture(path: Path) -> None:
    """Raise ConfigError unless the suffix of ``path`` is a kind of picture that can be written."""
    known = FigureCanvasAgg(Figure()).get_supported_filetypes()
    if path.suffix.removeprefix(".") not in known:
        raise ConfigError(f"{path}: no picture can be written as '{path.suffix}'", hint=f"known: {', '.join(known)}")


BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"


def line_looks(count: int) -> list[dict[str, Any]]:
    """Return how ``count`` lines are drawn that have to be told apart."""
    colours = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    if count > len(colours):
        colours = [mpl.colormaps["viridis"](0.9 * number / (count - 1)) for number in range(count)]
    markers = "osD^vPX*<>"
    return [
        {"color": colours[number], "marker": markers[number % len(markers)], "markersize": 4.5, "markevery": 0.12}
        for number in range(count)
    ]


def check_marks(axes: Axes) -> None:
    """Take the marks from lines of which not a single point is seen: to space them, matplotlib needs one."""
    for line in axes.lines:
        seen = np.isfinite(axes.transData.transform(line.get_xydata())).all(1)
        if isinstance(line.get_markevery(), float) and not seen.any():
            line.set_markevery(None)


def say(axes: Axes, text: str) -> None:
    """Empty a panel, and say in its middle why it is empty."""
    for artist in [*axes.lines, *axes.collections, *axes.texts]:
        artist.remove()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, wrap=True)
