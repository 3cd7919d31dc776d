"""Pictures as they are written, and the bins of their histograms."""

import os

import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxgossip.plotting import scales
from jaxgossip.plotting.style import save_figure


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        (np.array([10, 11, 11, 13]) / 20, [1, 2, 0, 1]),
        (np.repeat(np.arange(60) / 100, 5), None),
    ],
)
def test_bins_fit_the_values_that_can_occur(values, bars):
    edges = scales.bin_edges(values)
    counts = np.histogram(values, edges)[0]
    assert counts.sum() == values.size
    assert counts.tolist() == bars if bars else np.ptp(counts[:-1]) == 0


def test_no_name_spoils_a_picture(tmp_path):
    figure = Figure()
    axes = figure.subplots()
    for name in ("$\\nonsense$", "ring $ 5", os.fsdecode(b"runs-\xff"), "$x^2$", "$" + os.fsdecode(b"\xfe") + "\\y$"):
        axes.plot([0, 1], label=name)
    axes.legend()
    save_figure(figure, tmp_path / "names.svg")
    drawn = (tmp_path / "names.svg").read_text()
    for words in ("$\\nonsense$", "ring $ 5", "runs-?", "$?\\y$"):
        assert f">{words}</text>" in drawn
    assert "<!-- $x^2$ -->" in drawn  # a formula


def test_letters_stay_letters(tmp_path):
    """Journals refuse Type 3 fonts; the words of an SVG can be searched and edited."""
    figure = Figure()
    axes = figure.subplots()
    axes.set_title("consensus distance, λ = 0.5")
    axes.set_xlabel("$x^2$")
    for suffix in ("pdf", "svg"):
        save_figure(figure, tmp_path / f"words.{suffix}")
    pdf = (tmp_path / "words.pdf").read_bytes()
    assert b"/Type3" not in pdf
    assert b"/FontFile2" in pdf
    assert ">consensus distance, λ = 0.5</text>" in (tmp_path / "words.svg").read_text(encoding="utf-8")
