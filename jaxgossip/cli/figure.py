"""``jaxgossip figure``: the theory plots."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jaxgossip.cli.options import Context
from jaxgossip.cli.terminal.output import hint, loading, say, tell, wrapped

if TYPE_CHECKING:
    from jaxgossip.theory.gallery import Verdict

figure = typer.Typer(help="Theory plots that check themselves.", add_completion=False, rich_markup_mode=None)


@figure.callback(invoke_without_command=True)
def _bare(context: Context) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help())


@figure.command("list")
def list_plots() -> None:
    """List all plots, each with the sentence that it supports."""
    loading()
    from jaxgossip.cli.terminal.names import summaries
    from jaxgossip.theory import PLOTS

    say(summaries(PLOTS))
    hint("jaxgossip", "figure", "run", next(iter(PLOTS)))


@figure.command("run")
def run_some(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Plots; 'figure list' names them. Or your own as 'file.py:function'."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the pictures, of claims.json and gallery.md.")] = Path(
        "runs/figures"
    ),
    formats: Annotated[str, typer.Option("--format", metavar="SUFFIX,...", help="png, svg, pdf.")] = "png",
    *,
    every: Annotated[bool, typer.Option("--all", help="Run every plot.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller measurements, held to the same tolerances.")] = False,
    curves: Annotated[
        bool, typer.Option("--curves", help="Keep what is drawn as arrays, in NAME.curves.npz beside the picture.")
    ] = False,
) -> None:
    """Predict, measure, draw and check. Exits with 1 when a claim does not hold."""
    loading()
    from jaxgossip.cli.terminal.tables import table
    from jaxgossip.core.errors import ConfigError
    from jaxgossip.theory import PLOTS
    from jaxgossip.theory.gallery import CLAIMS, PAGE, Verdict, run_plots

    if bool(names) == every:
        raise ConfigError(
            "give the names of plots, or --all" + (", not both" if every else ""),
            hint="'jaxgossip figure list' names them",
        )
    chosen = list(PLOTS) if every else names or []
    position = {name: number for number, name in enumerate(chosen, 1)}

    def done(verdict: Verdict) -> None:
        held = sum(claim.holds for claim in verdict.claims)
        tell(f"  {held} of {len(verdict.claims)} claims hold, {verdict.seconds:.1f} s")

    verdicts = run_plots(
        chosen,
        out,
        quick=quick,
        formats=tuple(suffix.strip() for suffix in formats.split(",") if suffix.strip()),
        with_curves=curves,
        begun=lambda name, part: tell(f"[{position[name]} of {len(chosen)}] {name}: {part}"),
        done=done,
    )
    for verdict in verdicts:
        say(f"{verdict.name}\n\n{table(_rows(verdict))}\n")
    held = [claim.holds for verdict in verdicts for claim in verdict.claims]
    pictures = sum(len(verdict.pictures) for verdict in verdicts)
    files = [str(out / PAGE), CLAIMS, f"{pictures} picture{'s' * (pictures != 1)}"]
    files += [verdict.curves.name for verdict in verdicts if verdict.curves is not None]
    summary = f"{sum(held)} of {len(held)} claims hold; wrote {', '.join(files[:-1])} and {files[-1]} beside it"
    say(wrapped(summary))
    if not all(held):
        sys.exit(1)
    if not every:
        options = [
            *(["--quick"] if quick else []),
            *(["--curves"] if curves else []),
            "--out",
            str(out),
            *(["--format", formats] if formats != "png" else []),
        ]
        hint("jaxgossip", "figure", "run", "--all", *options)


def _rows(verdict: "Verdict") -> list[dict[str, str]]:
    return [
        {
            "claim": claim.name,
            "measured": f"{claim.measured:.6g}",
            "theory": claim.theory,
            "tolerance": claim.allowed,
            "verdict": "holds" if claim.holds else "FAILS",
        }
        for claim in verdict.claims
    ]
