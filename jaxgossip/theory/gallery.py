"""Run plots into one folder: pictures, ``claims.json`` with the verdicts, and a page that shows them all."""

import json
import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from jaxgossip.core import disk
from jaxgossip.core.errors import ConfigError, RunError
from jaxgossip.plotting.style import save_figure, style
from jaxgossip.theory import PLOTS, curves, drawing
from jaxgossip.theory.lookup import PlotRequest, find_plots
from jaxgossip.theory.plot import Claim, Plot

FORMATS = ("png", "svg", "pdf")
CLAIMS, PAGE = "claims.json", "gallery.md"


@dataclass(frozen=True)
class Verdict:
    """The outcome of one plot.

    Attributes:
        name: name of the plot.
        claims: the claims with their measurements.
        pictures: picture files written.
        seconds: wall-clock time.
        curves: file of the predicted and measured arrays; None if not requested.
    """

    name: str
    claims: tuple[Claim, ...]
    pictures: tuple[Path, ...]
    seconds: float
    curves: Path | None = None

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
    with_curves: bool = False,
    begun: Callable[[str, str], None] = lambda *_: None,
    done: Callable[[Verdict], None] = lambda _: None,
) -> list[Verdict]:
    """Run plots one after another; finished plots stay on disk even if a later one fails.

    Args:
        names: names of plots, or the user's own as 'file.py:function', whose pictures are named after the function.
        out: folder for the pictures, for ``claims.json``, in which plots that are not run keep their entries, and for the
            page made of it.
        quick: whether to make smaller measurements.
        formats: suffixes of the picture files.
        with_curves: whether to also write the arrays of each plot to ``NAME.curves.npz``
            (:func:`jaxgossip.theory.curves.arrays`).
        begun: called with the entry of ``names`` and a description of each stage as it begins.
        done: called with each verdict.

    Raises:
        ConfigError: an unknown plot or format, no format, an unreadable ``claims.json``, or a user's function that does not
            build a plot.
        RunError: a plot draws a prediction that it does not claim, or a user's plot fails.
    """
    if not formats:
        raise ConfigError("--format names no format", hint=f"known: {', '.join(FORMATS)}")
    for suffix in formats:
        if suffix not in FORMATS:
            raise ConfigError(f"unknown format '{suffix}'", hint=f"known: {', '.join(FORMATS)}")
    requests = find_plots(names)
    known = _read(out / CLAIMS)
    try:
        disk.make_folder(out, parents=True)
    except OSError as error:
        raise ConfigError(f"{out} cannot be made: {error.strerror}", hint="give --out another folder") from error
    verdicts = []
    for request in requests:
        plot, began = request.build(), time.perf_counter()
        with request.errors_located():
            begun(request.word, "predicting")
            predicted = plot.predict(quick)
            begun(request.word, "measuring")
            measured = plot.measure(quick)
            claims = plot.claims(predicted, measured)
            begun(request.word, "drawing")
            figure = plot.draw(predicted, measured)
        claims = request.checked_claims(claims, figure)
        if unclaimed := drawing.unclaimed(figure, (claim.name for claim in claims)):
            raise RunError(f"{request.name}: drawn as theory, and claimed nowhere: {'; '.join(unclaimed)}")
        figure = _with_frame(plot, figure, claims)
        pictures = tuple(out / f"{request.name}.{suffix}" for suffix in formats)
        for picture in pictures:
            save_figure(figure, picture)
        curves_file = out / f"{request.name}{curves.SUFFIX}" if with_curves else None
        if curves_file is not None:
            curves.write(curves_file, predicted, measured)
        verdicts.append(Verdict(request.name, claims, pictures, time.perf_counter() - began, curves_file))
        known = _record(known, verdicts[-1], request, plot, quick=quick)
        disk.write(out / CLAIMS, json.dumps(known, indent=1, ensure_ascii=False) + "\n")
        disk.write(out / PAGE, page(known))
        done(verdicts[-1])
    return verdicts


def _with_frame(plot: Plot, figure: Figure, claims: Sequence[Claim]) -> Figure:
    """Add the title, the source and the number of claims that hold."""
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


def page(known: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the gallery as Markdown: for each plot its picture, statement, command and claims.

    Args:
        known: contents of ``claims.json``.
    """
    claims = [claim for plot in known.values() for claim in plot["claims"]]
    held = sum(claim["holds"] for claim in claims)
    lines = [
        "# Theory plots that check themselves",
        "",
        f"{len(known)} plots; {held} of {len(claims)} claims hold. Dashed is what is predicted, the rest is the emulator.",
        "`jaxgossip figure run --all --out DIR` makes such a page, and the command below a plot that plot.",
    ]
    for plot in known.values():
        shown = next((name for name in plot["pictures"] if not name.endswith(".pdf")), None)
        picture = shown or plot["pictures"][0]
        held = sum(claim["holds"] for claim in plot["claims"])
        lines += ["", f"## {plot['title']}", "", *([plot["sentence"], ""] if plot["sentence"] else [])]
        lines += [f"![{plot['title']}]({picture})" if shown else f"[{picture}]({picture})", ""]
        lines += [
            f"`{plot['command']}` · {plot['seconds']:.0f} s · {plot['source']}",
            "",
            f"<details><summary>{held} of {len(plot['claims'])} claims hold</summary>",
            "",
            "| claim | measured | theory | tolerance | verdict |",
            "|---|---|---|---|---|",
            *(
                f"| {claim.name} | {claim.measured:.6g} | {claim.theory} | {claim.allowed} | "
                f"{'holds' if claim.holds else '**fails**'} |"
                for claim in map(_claim, plot["claims"])
            ),
            "",
            "</details>",
        ]
    return "\n".join(lines) + "\n"


def _claim(record: Mapping[str, Any]) -> Claim:
    """Return the claim from which a record was made."""
    measured, predicted = (math.nan if record[name] is None else record[name] for name in ("measured", "predicted"))
    return Claim(record["name"], measured, predicted, record["tolerance"], record["kind"])


def _read(path: Path) -> dict[str, Any]:
    """Return the records of earlier plots in ``claims.json``; empty if there is no such file.

    Raises:
        ConfigError: the file is not valid JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON: {error}", hint="remove it, and run again") from error


def _record(
    known: dict[str, Any], verdict: Verdict, request: PlotRequest, plot: Plot, *, quick: bool
) -> dict[str, Any]:
    """Return ``known`` with the verdict added: registered plots in the registry's order, then the user's own."""
    entry = {
        "title": plot.title,
        "sentence": request.sentence,
        "source": plot.source,
        "command": shlex.join(["jaxgossip", "figure", "run", request.word, *(["--quick"] if quick else [])]),
        "pictures": [picture.name for picture in verdict.pictures],
        "seconds": round(verdict.seconds, 1),
        "holds": verdict.holds,
        "claims": [claim.record() for claim in verdict.claims],
    }
    entries = {**known, verdict.name: entry}
    registered = [name for name in PLOTS if name in entries]
    return {name: entries[name] for name in dict.fromkeys([*registered, *entries])}
