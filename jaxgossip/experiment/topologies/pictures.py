"""Figures of topologies: a single one with its degrees and its spectrum, and a comparison of several."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxgossip.core import units
from jaxgossip.plotting import scales
from jaxgossip.plotting.layouts import layout
from jaxgossip.plotting.style import BLUE, GREEN, GREY, ORANGE, show_message, style
from jaxgossip.topology.graph import Graph, Lattice
from jaxgossip.topology.spectra.effective_neighbours import ALL_EIGENVALUES_NODES, spectral_measure
from jaxgossip.topology.spectra.measures import GAP_NOISE, Measures
from jaxgossip.topology.spectra.spectrum import closed_laplacian, eigenvalues

DRAWN_NODES = 300
"""Graphs up to this size are drawn node by node."""
NAMED_NODES = 40
"""Graphs up to this size show the names of their nodes."""
NAME_LETTERS = 12
"""Largest length of a name; longer ones are shortened."""
PATTERN_LINKS = 50_000_000
"""Largest number of links for which the sparsity pattern of the adjacency matrix is shown."""
CELLS = 150
"""Largest number of cells of that pattern along a side."""
POINTS = 2000
"""Largest number of points of a spectrum."""
HEAVY = 40
"""Range of degrees above which their tail is drawn in place of a histogram."""


def page(measures: Measures, title: str) -> Figure:
    """Draw a topology: the graph, its degrees and its spectrum.

    Args:
        measures: measures of the topology.
        title: title of the figure.
    """
    with style():
        figure = Figure(figsize=(12, 4.5), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.1, 1, 1))
        graph = measures.weights.graph
        _draw_graph(left, graph)
        _draw_degrees(middle, graph)
        _draw_spectrum(right, measures)
        figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold")
        figure.supxlabel(_sentence(measures), fontsize=9, color="#444444", x=0.012, ha="left")
    return figure


def comparison(all_measures: Sequence[Measures], labels: Sequence[str]) -> Figure:
    """Compare topologies: spectral gap, effective number of neighbours, messages per round.

    Args:
        all_measures: measures of each topology.
        labels: labels of the rows.
    """
    y = np.arange(len(all_measures))[::-1]
    with style():
        figure = Figure(figsize=(12, 1.9 + 0.3 * len(all_measures)), layout="constrained")
        left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(1, 1.2, 1))
        left.set_yticks(y, list(labels))
        gaps = [measures.gap for measures in all_measures]
        _dots(left, np.array([np.nan if gap is None else gap for gap in gaps]), y)
        left.set_title("How fast it agrees")
        left.set_xlabel("spectral gap $1-\\rho$")
        looks = (("o", BLUE), ("D", GREEN), ("s", ORANGE))
        decays = [estimate.gamma for estimate in all_measures[0].neighbours]
        values = np.array([[estimate.value for estimate in measures.neighbours] for measures in all_measures])
        middle.hlines(y, values.min(axis=1), values.max(axis=1), color=GREY, alpha=0.35, linewidth=2)
        for column, (marker, colour) in zip(range(len(decays)), looks, strict=False):
            _dots(middle, values[:, column], y, marker, colour)
        scales.log_ticks(middle.xaxis, values.ravel())
        middle.set_title("How many average with a node")
        middle.set_xlabel("effective number of neighbours $n_W(\\gamma)$")
        handles = [
            Line2D([], [], linestyle="", marker=marker, color=colour, label=f"$\\gamma={gamma:g}$")
            for gamma, (marker, colour) in zip(decays, looks, strict=False)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        _dots(right, np.array([float(measures.messages) for measures in all_measures]), y)
        right.set_title("What it costs")
        right.set_xlabel("messages a round")
        for axes in (left, middle, right):
            axes.set_ylim(-0.7, len(all_measures) - 0.3)
            axes.grid(axis="y", alpha=0.35)
        sizes = sorted({measures.weights.graph.n_nodes for measures in all_measures})
        size = f"{sizes[0]:,} nodes" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,} nodes"
        title = f"{len(all_measures)} topologies, {size}, {all_measures[0].weights.rule} weights"
        figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold")
    return figure


def _dots(axes: Axes, values: np.ndarray, y: np.ndarray, marker: str = "o", colour: str = BLUE) -> None:
    known = np.isfinite(values) & (values > 0)
    axes.plot(values[known], y[known], marker, color=colour, markersize=5.5)
    if known.any():
        axes.set_xscale("log")
        scales.log_ticks(axes.xaxis, values[known])
    for place in y[~known]:
        axes.annotate("0 or unknown", (0.02, place), xycoords=("axes fraction", "data"), va="center", color=GREY)


def _sentence(measures: Measures) -> str:
    graph = measures.weights.graph
    link = "link" if graph.directed else "edge"
    phrases = [units.counted(graph.n_nodes, "node"), units.counted(graph.n_edges, link)]
    if measures.diameter is not None:
        phrases.append(f"diameter {'' if measures.diameter.exact else 'at least '}{measures.diameter.hops:,}")
    if measures.gap is not None:
        name = "spectral gap" if measures.weights.is_doubly_stochastic else "$1-\\|W-J\\|_2$ ="
        phrases.append(f"{name} {units.scientific(units.settled(measures.gap, GAP_NOISE))}")
    phrases += [f"$n_W({estimate.gamma:g})$ = {estimate.value:.4g}" for estimate in measures.neighbours]
    phrases.append(f"{measures.weights.rule} weights")
    return " · ".join(phrases)


def _draw_graph(axes: Axes, graph: Graph) -> None:
    if graph.n_nodes > DRAWN_NODES:
        _draw_pattern(axes, graph)
        return
    x, edges = layout(graph), graph.edges()
    segments = _segments(graph, x, edges)
    faint = float(np.clip(120 / max(1, len(segments)), 0.06, 0.6))
    axes.add_collection(LineCollection(list(segments), colors=GREY, linewidths=0.8, alpha=faint, zorder=2))
    size = float(np.clip(2500 / graph.n_nodes, 10, 60))
    axes.scatter(x[:, 0], x[:, 1], s=size, color=BLUE, edgecolors="white", linewidths=0.4, zorder=3)
    axes.set_aspect("equal")
    axes.set_axis_off()
    _give_room(axes, np.concatenate([x, segments.reshape(-1, 2)]))
    if graph.labels is not None and graph.n_nodes <= NAMED_NODES:
        for name, place in zip(graph.labels, x, strict=True):
            shown = name if len(name) <= NAME_LETTERS else name[: NAME_LETTERS - 1] + "…"
            axes.annotate(
                shown.replace("$", "\\$"), place, xytext=(5, 4), textcoords="offset points", fontsize=6.5, zorder=4
            )
    components = f", {graph.n_components:,} components" if graph.n_components > 1 else ""
    axes.set_title(f"The graph{components}" + (" (stubs go round to the other side)" if _wraps(graph) else ""))


def _give_room(axes: Axes, x: np.ndarray) -> None:
    """Set limits around points that are not degenerate in any direction, even for one node or for nodes in a line."""
    middle, half = (x.max(axis=0) + x.min(axis=0)) / 2, np.ptp(x, axis=0) / 2
    half = 1.08 * np.maximum(half, 0.25 * half.max() or 1.0)
    axes.set_xlim(middle[0] - half[0], middle[0] + half[0])
    axes.set_ylim(middle[1] - half[1], middle[1] + half[1])


def _wraps(graph: Graph) -> bool:
    return isinstance(graph.structure, Lattice) and graph.structure.periodic and len(graph.structure.shape) == 2


def _segments(graph: Graph, x: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the lines of the edges, (m, 2, 2); edges that wrap around a torus become a stub on each side."""
    lines = x[edges]
    if not _wraps(graph):
        return lines
    step = lines[:, 1] - lines[:, 0]
    far = np.abs(step).max(axis=1) > 1.5
    outward = -0.45 * np.sign(step[far])
    first, second = lines[far, 0], lines[far, 1]
    return np.concatenate(
        [lines[~far], np.stack([first, first + outward], axis=1), np.stack([second, second - outward], axis=1)]
    )


def _draw_pattern(axes: Axes, graph: Graph) -> None:
    if graph.n_links > PATTERN_LINKS:
        many = f"{units.count_text(graph.n_nodes)} nodes, {units.count_text(graph.n_links)} links"
        show_message(axes, f"{many}:\ntoo many to draw")
        return
    n, cells = graph.n_nodes, min(CELLS, graph.n_nodes)
    receivers = np.repeat(np.arange(n), graph.degrees)
    count = np.bincount(
        receivers * cells // n * cells + graph.indices.astype(np.int64) * cells // n, minlength=cells * cells
    )
    shown = np.ma.masked_equal(count.reshape(cells, cells), 0)
    shades = LinearSegmentedColormap.from_list("shades", ["#c6dbef", BLUE, "#08264a"])
    most = max(2, int(count.max()))
    axes.imshow(shown, cmap=shades, norm=LogNorm(1, most), extent=(0, n, n, 0), interpolation="nearest")
    axes.set_title("Who hears whom (darker: more links)")
    axes.set_xlabel("node heard")
    axes.set_ylabel("node that hears")
    axes.grid(visible=False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=4))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _draw_degrees(axes: Axes, graph: Graph) -> None:
    if graph.regular_degree is not None:
        degree = graph.regular_degree
        axes.bar([degree], [graph.n_nodes], width=0.8, color=BLUE, alpha=0.55)
        axes.set_xlim(max(-0.6, degree - 3), degree + 3)
        axes.set_title(f"Degrees: every node has {degree:,}")
        _count_axes(axes)
        return
    values, count = np.unique(graph.degrees, return_counts=True)
    axes.set_xlabel("degree $d$")
    if values[-1] - values[0] < HEAVY:
        axes.bar(values, count, width=0.8, color=BLUE, alpha=0.55)
        axes.set_title("Degrees")
        _count_axes(axes)
        return
    tail = count[::-1].cumsum()[::-1] / graph.n_nodes
    positive = values > 0
    axes.plot(values[positive], tail[positive], "o", markersize=3.5, color=BLUE)
    axes.set_xscale("log")
    axes.set_yscale("log")
    scales.log_ticks(axes.xaxis, values[positive].astype(float))
    scales.log_ticks(axes.yaxis, tail[positive])
    axes.set_title("The tail of the degrees")
    axes.set_ylabel("share of nodes with degree ≥ $d$")


def _count_axes(axes: Axes) -> None:
    axes.set_xlabel("degree $d$")
    axes.set_ylabel("nodes")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(visible=False, axis="x")


def _draw_spectrum(axes: Axes, measures: Measures) -> None:
    weights, n = measures.weights, measures.weights.graph.n_nodes
    exact = n <= ALL_EIGENVALUES_NODES or closed_laplacian(weights) is not None
    if not exact and not weights.is_symmetric:
        show_message(axes, f"the eigenvalues of a matrix of {n:,} rows\nthat is not symmetric are not computed")
        return
    if exact:
        values = eigenvalues(weights)
        if np.iscomplexobj(values):
            _draw_complex(axes, values)
            return
        rank = (np.arange(n) + 0.5) / n
        kept = np.unique(np.linspace(0, n - 1, min(n, POINTS)).astype(int))
        look = {"marker": "o", "linestyle": "", "markersize": 4.5 if n <= 100 else 2.0}
        axes.plot(rank[kept], values[kept], color=BLUE, **look)
        axes.set_title("Eigenvalues of $W$")
    else:
        values, shares = spectral_measure(weights)
        axes.plot(np.cumsum(shares) - shares / 2, values, color=BLUE)
        axes.set_title("Eigenvalues of $W$, estimated")
    axes.set_xlabel("share of eigenvalues that are larger")
    axes.set_ylabel("eigenvalue")
    axes.set_xlim(-0.02, 1.02)
    low = min(-0.05, float(values.min()) - 0.08)
    axes.set_ylim(low, 1.08)
    _mark_ends(axes, measures)


def _mark_ends(axes: Axes, measures: Measures) -> None:
    """Mark λ₂ and λ_min, with their values where the curve leaves room."""
    for value, name, x, align in (
        (measures.lambda_2, "\\lambda_2", 0.98, "right"),
        (measures.lambda_min, "\\lambda_{\\min}", 0.02, "left"),
    ):
        if value is not None:
            axes.axhline(value, color=ORANGE, linewidth=0.9, dashes=(4, 2), zorder=1)
            axes.annotate(
                f"${name} = {_eigenvalue_mathtext(value)}$", (x, value), xycoords=("axes fraction", "data"),
                xytext=(0, -4 if align == "right" else 3),
                textcoords="offset points", ha=align, va="top" if align == "right" else "bottom",
                color=ORANGE, fontsize=8.5,
            )  # fmt: skip


def _eigenvalue_mathtext(value: float) -> str:
    """Return an eigenvalue as mathtext, without rounding away its distance from 1 or -1."""
    text = units.eigenvalue_text(value, digits=4)
    mantissa, power, exponent = text.partition("e")
    return f"{mantissa}\\times 10^{{{int(exponent)}}}" if power else text


def _draw_complex(axes: Axes, values: np.ndarray) -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(angle), np.sin(angle), color=GREY, linewidth=0.9)
    kept = np.unique(np.linspace(0, values.size - 1, min(values.size, POINTS)).astype(int))
    axes.plot(np.real(values)[kept], np.imag(values)[kept], "o", color=BLUE, markersize=3.5)
    axes.set_aspect("equal")
    axes.set_title("Eigenvalues of $W$ in the unit circle")
    axes.set_xlabel("real part")
    axes.set_ylabel("imaginary part")
