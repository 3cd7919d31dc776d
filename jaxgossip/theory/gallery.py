"""Run plots: pictures, verdicts and ``claims.json`` in one folder."""

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from matplotlib.figure import Figure

from jaxgossip.errors import ConfigError
from jaxgossip.experiment.plots import save_figure, style
from jaxgossip.simulation.checkpoint import write_atomically
from jaxgossip.theory import PLOTS
from jaxgossip.theory.plot import Claim, Plot

FORMATS = ("png", "svg", "pdf")
CLAIMS = "claims.json"


@dataclass(frozen=True)
class Verdict:
    """What became of one plot.

    Attributes:
        name: of the plot.
        claims: what was compared.
        pictures: files written.
        seconds: it took.
    """

    name: str
    claims: tuple[Claim, ...]
    pictures: tuple[Path, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether all claims hold."""
        return all(claim.holds for claim in self.claims)


def run_plots(
    names: Sequence[str],
    out: Path,
    *,
    quick: bool = False,
    formats: Sequence[str] = ("png",),
    begun: Callable[[str, str], None] = lambda *_: None,
    done: Callable[[Verdict], None] = lambda _: None,
) -> list[Verdict]:
    """Run plots one after another; what is finished stays on disk whatever comes after.

    Args:
        names: of plots.
        out: folder of pictures and of ``claims.json``, in which plots that are not run keep their entries.
        quick: smaller measurements.
        formats: suffixes of pictures.
        begun: told the name of a plot and which of its parts begins.
        done: told each verdict.

    Raises:
        ConfigError: an unknown plot or format.
    """
    for one in formats:
        if one not in FORMATS:
            raise ConfigError(f"unknown format '{one}'", hint=f"known: {', '.join(FORMATS)}")
    builders = {name: PLOTS[name] for name in names}
    out.mkdir(parents=True, exist_ok=True)
    verdicts = []
    for name, build in builders.items():
        plot: Plot = build()
        began = time.perf_counter()
        with jax.enable_x64(True) if plot.double else contextlib.nullcontext():
            begun(name, "predicting")
            predicted = plot.predict(quick)
            begun(name, "measuring")
            measured = plot.measure(quick)
            claims = tuple(plot.claims(predicted, measured))
        begun(name, "drawing")
        figure = _framed(plot, plot.draw(predicted, measured), claims)
        pictures = tuple(out / f"{name}.{suffix}" for suffix in formats)
        for picture in pictures:
            save_figure(figure, picture)
        verdicts.append(Verdict(name, claims, pictures, time.perf_counter() - began))
        _record(out / CLAIMS, verdicts[-1], plot, quick=quick)
        done(verdicts[-1])
    return verdicts


def _framed(plot: Plot, figure: Figure, claims: Sequence[Claim]) -> Figure:
    """Add the title, the source and how many claims hold."""
    held = sum(claim.holds for claim in claims)
    with style():
        figure.suptitle(plot.title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        figure.supxlabel(
            f"{held} of {len(claims)} claims hold  ·  theory dashed  ·  {plot.source}",
            fontsize=7,
            color="#555555",
            wrap=True,
        )
    return figure


def _record(path: Path, verdict: Verdict, plot: Plot, *, quick: bool) -> None:
    """Write the verdict into ``claims.json``, beside those of other plots, in the order of the registry."""
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON: {error}", hint="remove it, and run again") from error
    known[verdict.name] = {
        "sentence": PLOTS.summary(verdict.name),
        "source": plot.source,
        "command": f"jaxgossip figure run {verdict.name}" + (" --quick" if quick else ""),
        "seconds": round(verdict.seconds, 1),
        "holds": verdict.holds,
        "claims": [claim.record() for claim in verdict.claims],
    }
    ordered = {name: known[name] for name in PLOTS if name in known}
    write_atomically(path, json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
