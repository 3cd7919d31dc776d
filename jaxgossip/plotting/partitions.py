"""Pictures of partitions: which classes are on which nodes, and how many samples; or the mean targets of nodes."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Num
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from jaxgossip.core import units
from jaxgossip.learning.partitions import Heterogeneity, Partition, heterogeneity
from jaxgossip.learning.partitions.summary import class_counts, target_means
from jaxgossip.learning.samples import SampledProblem
from jaxgossip.plotting import scales
from jaxgossip.plotting.style import BLUE, GREY, ORANGE, style

BUBBLE_NODES = 100
"""Partitions over up to this many nodes are drawn with a disc for every node and class."""
COLUMNS = 1000
"""Largest number of nodes of a heat map; of more, so many are drawn at random."""
NAMED_CLASSES = 30
"""Up to this many classes all have their names on the axis."""
NAME_LETTERS = 14
"""Largest length of a class name; longer ones are shortened in the middle."""
UNEQUAL = 20
"""Ratio of the largest to the median number of samples from which their axis is logarithmic."""
CLASSES_INCHES = 0.155
"""Height of a class with a name that is legible, in inches."""
WIDTH_POINTS, ROOM_INCHES, LEAST_INCHES = 470.0, 1.4, 4.5
"""Approximate width of the panel of classes; what its figure needs above and below the panel, and the least height of both."""
STEPS = (1, 2, 5, 10)
"""Round numbers of nodes and samples."""
LETTERS_AN_INCH = 12.5
"""Letters of the line below a picture."""
GROWTH = 0.3
"""Width of a bin on a logarithmic axis, as a share of where it begins."""


def partition(
    divided: Partition | SampledProblem,
    targets: Num[np.ndarray, "m ..."] | None = None,
    *,
    names: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Draw how samples and classes fall on nodes.

    >>> figure = jg.plotting.partition(problem)
    >>> figure = jg.plotting.partition(partition, data.y_train, names=data.labels)
    >>> figure.savefig("partition.png")

    Of classes, the left panel shows how many samples of each are on each node: as areas of discs, or on more than 100 nodes as
    a heat map of the shares in a node's samples, nodes being sorted by their largest class; of more than 1,000 nodes, 1,000 are
    drawn at random. Beside it is a histogram of the numbers of samples. Of values, there are histograms of these numbers and of
    the nodes' mean targets; of sequences, of the numbers alone. Local test sets do not count.

    Args:
        divided: a partition, or a problem, which knows its partition, its targets and the names of its classes.
        targets: targets of the table of a partition: (m,) integers are classes, (m,) or (m, k) floats are values, and (m, t)
            integers are tokens. None draws the numbers of samples alone; a problem has its own.
        names: name of each class; numbers if empty.
        title: title of the figure.
    """
    batch_size = 1
    if isinstance(divided, SampledProblem):
        names = names or getattr(divided, "class_names", ())
        targets, found, batch_size = divided.targets, divided.heterogeneity(), divided.batch_size
        divided = divided.partition
    else:
        targets = None if targets is None else np.asarray(targets)
        found = heterogeneity(divided, targets)
    with style():
        if found.classes is not None:
            assert targets is not None
            n_classes = min(NAMED_CLASSES, int(targets.max()) + 1)
            height = max(LEAST_INCHES, ROOM_INCHES + CLASSES_INCHES * n_classes)
            figure = Figure(figsize=(12, height), layout="constrained")
            left, right = figure.subplots(1, 2, width_ratios=(1.9, 1))
            _draw_classes(left, divided, targets, names, 72 * (height - ROOM_INCHES))
            _draw_sizes(right, divided.n_train, batch_size)
        elif found.targets is not None:
            assert targets is not None
            figure = Figure(figsize=(10, 4.2), layout="constrained")
            left, right = figure.subplots(1, 2)
            _draw_sizes(left, divided.n_train, batch_size)
            _draw_means(right, target_means(divided, targets)[0], divided.n_train)
        else:
            figure = Figure(figsize=(6.4, 4.2), layout="constrained")
            _draw_sizes(figure.subplots(), divided.n_train, batch_size)
        figure.suptitle(title or "How samples fall on nodes", x=0.012, ha="left", fontsize=13, fontweight="bold")
        words = textwrap.fill(_sentence(found, batch_size), int(LETTERS_AN_INCH * figure.get_figwidth()))
        figure.supxlabel(words, fontsize=9, color="#444444", x=0.012, ha="left")
    return figure


def _sentence(found: Heterogeneity, batch_size: int) -> str:
    least, most = round(found.deciles[0]), round(found.deciles[-1])
    each = f"{units.counted(most, 'sample')} on each" if least == most else f"{found.mean:,.4g} samples on average"
    phrases = [f"{units.counted(found.nodes, 'node')}, {each}"]
    if found.classes is not None and found.distance is not None:
        phrases.append(units.range_text(found.classes, "class", "classes"))
        phrases.append(f"class shares {found.distance:.2f} from those of all nodes (mean total variation)")
    if found.between is not None:
        phrases.append(f"{100 * found.between:.3g} % of the variance of targets between nodes")
    if found.below_batch:
        phrases.append(f"{found.below_batch:,} with fewer than a batch of {batch_size:,}")
    if found.owners is not None:
        phrases.append(units.range_text(found.owners, "owner", "owners"))
    return " · ".join(phrases)


def _draw_classes(axes: Axes, divided: Partition, labels: np.ndarray, names: Sequence[str], height: float) -> None:
    n = divided.n_nodes
    if n <= BUBBLE_NODES:
        counts = class_counts(divided, labels, np.arange(n))
        _draw_discs(axes, counts, height)
    else:
        drawn = np.arange(n) if n <= COLUMNS else np.sort(np.random.default_rng(0).choice(n, COLUMNS, replace=False))
        counts = class_counts(divided, labels, drawn)
        _draw_shares(axes, counts, n)
    _name_classes(axes, counts.shape[1], names)
    axes.set_ylabel("class")


def _draw_discs(axes: Axes, counts: np.ndarray, height: float) -> None:
    """Draw a disc for every node and class, in a panel of about ``height`` points."""
    n, n_classes = counts.shape
    node, label = np.nonzero(counts)
    # Discs may overlap those of neighbouring nodes, for these are mostly small, but not those of other classes.
    largest = min(0.95 * height / n_classes, max(3 * WIDTH_POINTS / n, 5.0), 34.0)
    area = largest**2 * counts[node, label] / counts.max()
    axes.scatter(node, label, s=np.maximum(area, 0.8), color=BLUE, alpha=0.6, linewidths=0, clip_on=False, zorder=3)
    axes.set_xlim(-0.5 - 0.01 * n, n - 0.5 + 0.01 * n)
    axes.set_ylim(-0.6, n_classes - 0.4)
    axes.grid(visible=False, axis="x")
    _count_ticks(axes.xaxis, 10)
    axes.set_xlabel("node")
    axes.set_title(f"Samples of each class on each node, as areas (the largest: {counts.max():,})")


def _draw_shares(axes: Axes, counts: np.ndarray, n_nodes: int) -> None:
    shares = counts / counts.sum(1, keepdims=True)
    main = shares.argmax(1)
    order = np.lexsort((-shares[np.arange(len(shares)), main], main))
    shades = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#9ecae1", BLUE, "#0b3c66"])
    image = axes.imshow(
        shares[order].T, cmap=shades, vmin=0, vmax=1, aspect="auto", origin="lower", interpolation="nearest"
    )
    axes.grid(visible=False)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.015, aspect=28)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    bar.outline.set_visible(False)
    drawn = len(counts)
    which = f"{drawn:,} of {n_nodes:,} nodes, drawn at random and" if drawn < n_nodes else f"the {n_nodes:,} nodes,"
    axes.set_xlabel(f"{which} sorted by their largest class")
    _count_ticks(axes.xaxis, 8)
    axes.set_title("Share of each class in a node's samples")


def _name_classes(axes: Axes, n_classes: int, names: Sequence[str]) -> None:
    if n_classes > NAMED_CLASSES:
        _count_ticks(axes.yaxis, 8)
        return
    shown = [names[label] if label < len(names) else str(label) for label in range(n_classes)]
    # Long names often begin alike, and often end alike.
    half = NAME_LETTERS // 2
    shown = [name if len(name) <= NAME_LETTERS else f"{name[:half]}…{name[1 - half :]}" for name in shown]
    axes.set_yticks(range(n_classes), [name.replace("$", "\\$") for name in shown])


def _draw_sizes(axes: Axes, sizes: np.ndarray, batch_size: int) -> None:
    axes.set_xlabel("training samples of a node")
    axes.set_ylabel("nodes")
    axes.grid(visible=False, axis="x")
    _count_ticks(axes.yaxis, 5)
    least, most = int(sizes.min()), int(sizes.max())
    if least == most:
        axes.bar([most], [sizes.size], width=0.8, color=BLUE, alpha=0.55)
        axes.set_xlim(max(-0.6, most - 3), most + 3)
        _count_ticks(axes.xaxis, 7)
        axes.set_title(f"Samples: every node has {most:,}")
        return
    log = most > UNEQUAL * float(np.median(sizes))
    if log:
        edges = _growing_edges(least, most)
        axes.set_xscale("log")
    else:
        edges = scales.bin_edges(sizes.astype(np.float64))
    axes.hist(sizes, edges.tolist(), color=BLUE, alpha=0.55)
    median = float(np.median(sizes))
    axes.axvline(median, color=ORANGE, linewidth=1.2, label=f"median {median:,.5g}")
    if least < batch_size <= most:
        axes.axvline(batch_size, color=GREY, linewidth=1.2, dashes=(4, 2), label=f"batch of {batch_size:,}")
    if log:
        axes.xaxis.set_major_locator(LogLocator(numticks=7))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: units.count_text(value)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        _count_ticks(axes.xaxis, 6)
    axes.set_title("Samples of a node")
    axes.legend(loc="best", borderaxespad=0.8)


def _growing_edges(least: int, most: int) -> np.ndarray:
    """Return edges of bins of counts whose widths, whole numbers, grow in proportion and never shrink."""
    edges = [least]
    while edges[-1] <= most:
        edges.append(edges[-1] + max(1, round(GROWTH * edges[-1])))
    return np.array(edges) - 0.5


def _draw_means(axes: Axes, means: np.ndarray, sizes: np.ndarray) -> None:
    mean = float(np.average(means, weights=sizes))
    axes.set_xlabel("mean target of a node")
    axes.set_ylabel("nodes")
    axes.grid(visible=False, axis="x")
    axes.hist(means, min(30, int(np.ceil(2 * means.size ** (1 / 3)))), color=BLUE, alpha=0.55)
    axes.axvline(mean, color=ORANGE, linewidth=1.2)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=scales.STEPS))
    _count_ticks(axes.yaxis, 5)
    axes.set_title(f"Mean targets (all samples: {mean:.3g})")


def _count_ticks(axis: Any, bins: int) -> None:
    """Give an axis of counts few whole ticks."""
    axis.set_major_locator(MaxNLocator(nbins=bins, steps=STEPS, integer=True))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
