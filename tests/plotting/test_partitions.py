"""The picture of a partition shows every sample once, says what it leaves out, and suits targets of every kind."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import jaxgossip as jg
from jaxgossip.plotting.partitions import _growing_edges
from jaxgossip.plotting.style import ORANGE

parts = jg.learning.partitions
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 5, 3000).astype(np.int32)


def words(figure: Figure) -> str:
    titles = [text for axes in figure.axes for text in (axes.get_title("left"), axes.get_xlabel())]
    return "\n".join([figure.get_suptitle(), figure.get_supxlabel(), *titles])


def heights(axes: Axes) -> list[float]:
    return [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]


def test_discs_are_as_large_as_the_numbers_of_samples() -> None:
    made = parts.dirichlet(LABELS, 30, alpha=0.3, rng=0)
    figure = jg.plotting.partition(made, LABELS, names=["a", "b", "c", "d", "$e"], title="five letters")
    left, right = figure.axes
    (discs,) = left.collections
    at, area = np.asarray(discs.get_offsets()).astype(int), discs.get_sizes()
    counts = np.array([np.sum(LABELS[made.train(node)] == label) for node, label in at])
    assert len(set(map(tuple, at))) == len(at)
    assert counts.sum() == 3000
    large = area > 0.8  # the least that is seen
    np.testing.assert_allclose(area[large] / area.max(), counts[large] / counts.max())
    assert [text.get_text() for text in left.get_yticklabels()] == ["a", "b", "c", "d", "\\$e"]
    assert sum(heights(right)) == 30
    median = next(line for line in right.lines if to_hex(line.get_color()) == ORANGE.lower())
    assert np.asarray(median.get_xdata())[0] == np.median(made.n_train)
    assert f"(the largest: {counts.max()})" in words(figure)
    assert words(figure).startswith("five letters\n30 nodes, 100 samples on average · ")


@pytest.mark.parametrize(("n", "shown"), [(150, 150), (2500, 1000)])
def test_many_nodes_are_a_heat_map_in_the_order_of_their_largest_class(n: int, shown: int) -> None:
    made = parts.dirichlet(LABELS, n, alpha=0.3, rng=0)
    figure = jg.plotting.partition(made, LABELS)
    (image,) = figure.axes[0].images
    shares = np.asarray(image.get_array())
    assert shares.shape == (5, shown)
    np.testing.assert_allclose(shares.sum(0), 1)
    assert (np.diff(shares.argmax(0)) >= 0).all()
    told = "the 150 nodes, sorted" if n == shown else "1,000 of 2,500 nodes, drawn at random and sorted"
    assert told in words(figure)
    assert sum(heights(figure.axes[1])) == n


def test_values_have_their_means_and_sequences_their_numbers_alone() -> None:
    made = parts.quantity_skew(LABELS, 40, exponent=1.5)
    values = jg.plotting.partition(made, RNG.normal(size=3000))
    sizes, means = values.axes
    assert sum(heights(means)) == 40
    assert sizes.get_xscale() == "log"
    (alone,) = jg.plotting.partition(made, np.zeros((3000, 7), np.int32)).axes
    assert sum(heights(alone)) == 40
    (several,) = jg.plotting.partition(made, RNG.normal(size=(3000, 2))).axes
    assert several.get_title("left") == "Samples of a node"


def test_equal_sizes_are_one_bar_in_whole_numbers() -> None:
    figure = jg.plotting.partition(parts.one_sample(LABELS, 60), LABELS)
    assert heights(figure.axes[1]) == [60]
    assert figure.axes[1].get_xlim()[0] > -1
    assert "60 nodes, 1 sample on each · 1 class on each" in words(figure)


@pytest.mark.parametrize(("least", "most"), [(1, 1), (1, 700), (12, 90_000)])
def test_bins_hold_every_count_and_never_shrink(least: int, most: int) -> None:
    edges = _growing_edges(least, most)
    assert edges[0] < least <= most < edges[-1]
    assert (np.diff(edges, 2) >= 0).all()
    assert (edges % 1 == 0.5).all()


@pytest.mark.parametrize("n_classes", [3, 26, 120])
def test_nothing_lies_outside_the_page_or_on_its_neighbour(n_classes: int) -> None:
    labels = np.arange(6000) % n_classes
    names = [f"a class with the long name {label}" for label in range(n_classes)]
    owners = RNG.integers(0, 400, 6000)
    data = jg.learning.Dataset(
        "table", np.zeros((6000, 2), np.float32), labels.astype(np.int32), np.zeros((1, 2), np.float32),
        np.zeros(1, np.int32), n_classes, tuple(names), owners=owners.astype(np.int32),
    )  # fmt: skip
    model = jg.learning.models.softmax((2,), n_classes)
    task = jg.learning.classification(data, "dirichlet", model, nodes=80, alpha=0.1, batch_size=75)
    figure = jg.plotting.partition(task)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    below = " ".join(figure.get_supxlabel().split())
    assert "with fewer than a batch of 75" in below
    assert "owners a node" in below
    renderer = canvas.get_renderer()
    for text in (
        *figure.texts,
        *(axes.xaxis.label for axes in figure.axes),
        *(axes._left_title for axes in figure.axes),
    ):  # pyright: ignore[reportAttributeAccessIssue]
        box = text.get_window_extent(renderer)
        assert 0 <= box.x0 <= box.x1 <= figure.bbox.width, text
    for axes in figure.axes:
        for axis, side in ((axes.xaxis, "x"), (axes.yaxis, "y")):
            low, high = sorted(axis.get_view_interval())
            shown = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            boxes = [label.get_window_extent(renderer) for label in shown]
            assert len(boxes) > 1
            ends = sorted((getattr(box, f"{side}0"), getattr(box, f"{side}1")) for box in boxes)
            assert all(ends[i][1] <= ends[i + 1][0] for i in range(len(ends) - 1))
