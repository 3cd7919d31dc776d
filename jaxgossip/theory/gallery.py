"""Run plots: pictures, verdicts, ``claims.json`` and a page that shows them all, in one folder."""

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
from jaxgossip.theory.named import Named, named
from jaxgossip.theory.plot import Claim, Plot

FORMATS = ("png", "svg", "pdf")
CLAIMS, PAGE = "claims.json", "gallery.md"


@dataclass(frozen=True)
class Verdict:
    """What became of one plot.

    Attributes:
        name: of the plot.
        claims: what was compared.
        pictures: files written.
        seconds: it took.
        curves: the file of what was predicted and measured; None if nobody asked for it.
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
    """Run plots one after another; what is finished stays on disk whatever comes after.

    Args:
        names: of plots, or one's own as 'file.py:function'; their pictures are named after the function.
        out: folder of pictures, of ``claims.json``, in which plots that are not run keep their entries, and of the page
            made of it.
        quick: smaller measurements.
        formats: suffixes of pictures.
        with_curves: beside each picture, ``NAME.curves.npz`` keeps what is drawn (:func:`jaxgossip.theory.curves.arrays`).
        begun: told which of ``names`` it is, and which of its parts begins.
        done: told each verdict.

    Raises:
        ConfigError: an unknown plot or format, or no format, a ``claims.json`` that cannot be read, or one's own function
            that is none of a plot.
        RunError: a plot draws a prediction that it does not claim, or one's own fails.
    """
    if not formats:
        raise ConfigError("--format names no format", hint=f"known: {', '.join(FORMATS)}")
    for one in formats:
        if one not in FORMATS:
            raise ConfigError(f"unknown format '{one}'", hint=f"known: {', '.join(FORMATS)}")
    asked = named(names)
    known = _read(out / CLAIMS)
    try:
        disk.make_folder(out, parents=True)
    except OSError as error:
        raise ConfigError(f"{out} cannot be made: {error.strerror}", hint="give --out another folder") from error
    verdicts = []
    for one in asked:
        plot, began = one.plot(), time.perf_counter()
        with one.running():
            begun(one.word, "predicting")
            predicted = plot.predict(quick)
            begun(one.word, "measuring")
            measured = plot.measure(quick)
            claims = plot.claims(predicted, measured)
            begun(one.word, "drawing")
            figure = plot.draw(predicted, measured)
        claims = one.checked(claims, figure)
        if loose := drawing.unclaimed(figure, (claim.name for claim in claims)):
            raise RunError(f"{one.name}: drawn as theory, and claimed nowhere: {'; '.join(loose)}")
        figure = _framed(plot, figure, claims)
        pictures = tuple(out / f"{one.name}.{suffix}" for suffix in formats)
        for picture in pictures:
            save_figure(figure, picture)
        kept = out / f"{one.name}{curves.SUFFIX}" if with_curves else None
        if kept is not None:
            curves.write(kept, predicted, measured)
        verdicts.append(Verdict(one.name, claims, pictures, time.perf_counter() - began, kept))
        known = _record(known, verdicts[-1], one, plot, quick=quick)
        disk.write(out / CLAIMS, json.dumps(known, indent=1, ensure_ascii=False) + "\n")
        disk.write(out / PAGE, page(known))
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


def page(known: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the gallery as Markdown: of each plot its picture, what it proves, how it is made, and its claims.

    Args:
        known: what ``claims.json`` holds.
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
        shown = next((one for one in plot["pictures"] if not one.endswith(".pdf")), None)
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
    """Return the claim that a record was made of."""
    measured, predicted = (math.nan if record[name] is None else record[name] for name in ("measured", "predicted"))
    return Claim(record["name"], measured, predicted, record["tolerance"], record["kind"])


def _read(path: Path) -> dict[str, Any]:
    """Return what ``claims.json`` holds of earlier plots.

    Raises:
        ConfigError: it is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON: {error}", hint="remove it, and run again") from error


def _record(known: dict[str, Any], verdict: Verdict, one: Named, plot: Plot, *, quick: bool) -> dict[str, Any]:
    """Return ``known`` with the verdict, beside those of other plots: ours in the order of the registry, then one's own."""
    entry = {
        "title": plot.title,
        "sentence": one.sentence,
        "source": plot.source,
        "command": shlex.join(["jaxgossip", "figure", "run", one.word, *(["--quick"] if quick else [])]),
        "pictures": [picture.name for picture in verdict.pictures],
        "seconds": round(verdict.seconds, 1),
        "holds": verdict.holds,
        "claims": [claim.record() for claim in verdict.claims],
    }
    entries = {**known, verdict.name: entry}
    ours = [name for name in PLOTS if name in entries]
    return {name: entries[name] for name in dict.fromkeys([*ours, *entries])}
