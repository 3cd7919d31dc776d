"""The style of all figures, and the writing of figures to files."""

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
    """Return a context with the style of the package, in which the user's own settings have no effect."""
    return mpl.rc_context(fname=str(STYLE))


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to a file in the format of its suffix (png, svg, pdf).

    Raises:
        ConfigError: matplotlib does not support the format.
    """
    check_picture(path)
    disk.make_folder(path.parent, parents=True)
    with style():
        _sanitise_texts(figure)
        disk.write(path, lambda file: figure.savefig(file, format=path.suffix.removeprefix(".")))


def _sanitise_texts(figure: Figure) -> None:
    """Make all texts drawable: the user's names may contain undecodable bytes, or dollars that are not formulas."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        content = text.get_text()
        if any("\ud800" <= char <= "\udfff" for char in content):
            text.set_text(content.encode(errors="replace").decode())
        if "$" in content:
            try:
                MathTextParser("path").parse(text.get_text())
            except ValueError:
                text.set_parse_math(False)


def check_picture(path: Path) -> None:
    """Raise ConfigError unless the suffix of ``path`` is a supported format."""
    known = FigureCanvasAgg(Figure()).get_supported_filetypes()
    if path.suffix.removeprefix(".") not in known:
        raise ConfigError(f"{path}: no picture can be written as '{path.suffix}'", hint=f"known: {', '.join(known)}")


BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"


def line_looks(count: int) -> list[dict[str, Any]]:
    """Return plot keywords that make ``count`` lines distinguishable."""
    colours = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    if count > len(colours):
        colours = [mpl.colormaps["viridis"](0.9 * number / (count - 1)) for number in range(count)]
    markers = "osD^vPX*<>"
    return [
        {"color": colours[number], "marker": markers[number % len(markers)], "markersize": 4.5, "markevery": 0.12}
        for number in range(count)
    ]


def check_marks(axes: Axes) -> None:
    """Do not space the markers of lines without any visible point, on which matplotlib would fail."""
    for line in axes.lines:
        visible = np.isfinite(axes.transData.transform(line.get_xydata())).all(1)
        if isinstance(line.get_markevery(), float) and not visible.any():
            line.set_markevery(None)


def show_message(axes: Axes, text: str) -> None:
    """Replace the content of a panel by a message."""
    for artist in [*axes.lines, *axes.collections, *axes.texts]:
        artist.remove()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, wrap=True)
