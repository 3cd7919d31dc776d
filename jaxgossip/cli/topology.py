"""The commands about topologies: what there is, what one does to mixing, and several side by side."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jaxgossip.cli.options import Context
from jaxgossip.cli.terminal.output import hint, loading, say, slow, tell, typed, wrapped

if TYPE_CHECKING:
    from jaxgossip.experiment.topologies.named import Named
    from jaxgossip.topology.spectra.measures import Measures

app = typer.Typer(
    name="topology",
    help="List topologies, and measure what they do to mixing.",
    rich_markup_mode=None,
)

Nodes = Annotated[int | None, typer.Option(help="Number of nodes; 64 by default. An edge list has its own.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A key of the topology, as in a configuration; can be repeated."),
]
Rule = Annotated[str, typer.Option("--weights", metavar="RULE", help="Weight rule.")]
Seed = Annotated[int, typer.Option(help="Seed of random graphs, as in a configuration.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@app.callback(invoke_without_command=True)
def _bare(context: Context) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help())


@app.command("list")
def list_(*, as_json: Json = False) -> None:
    """List the topologies, a line about each, and their keys."""
    loading()
    from jaxgossip.cli.terminal.names import key_table
    from jaxgossip.experiment.config.key_help import keys_of
    from jaxgossip.topology import TOPOLOGIES

    if as_json:
        found = [
            {
                "name": name,
                "summary": TOPOLOGIES.summary(name),
                "keys": [
                    {"name": one.name, "required": one.required, "default": one.default, "about": one.about}
                    for one in keys_of(TOPOLOGIES[name])
                ],
            }
            for name in TOPOLOGIES
        ]
        say(json.dumps(found, indent=2, default=str))
        return
    for name in TOPOLOGIES:
        say(f"{name}\n{wrapped(TOPOLOGIES.summary(name), 2)}")
        keys = keys_of(TOPOLOGIES[name])
        if keys:
            say(key_table(keys, indent=4))
    hint(*["jaxgossip", "topology", "show", "torus", "--nodes", "64"])


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A topology, the path of an edge list, or your own as 'file.py:function'."),
    ],
    nodes: Nodes = None,
    settings: Settings = None,
    rule: Rule = "metropolis_hastings",
    seed: Seed = 0,
    picture: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw it (png, svg or pdf).")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Measure one topology: its shape, its spectrum, its mixing."""
    loading()
    from jaxgossip.cli.terminal.topology import facts
    from jaxgossip.experiment.topologies.named import named

    _check_picture(picture)
    asked = named(name, nodes, settings or [])
    found = _measured(asked, rule, seed)
    if picture is not None:
        from jaxgossip.experiment.topologies.pictures import page
        from jaxgossip.plotting.style import save_figure

        with slow("drawing"):
            save_figure(page(found, asked.described()), picture)
    if as_json:
        say(json.dumps(_record(asked, found, seed), indent=2, default=str))
        return
    say(facts(found, asked, seed))
    if picture is not None:
        say(f"\nwrote {picture}")
    shown_again = typed("--plot", f"{asked.short}.png")
    hint(*(["jaxgossip", "topology", "compare", "ring", "torus", "hypercube"] if picture else shown_again))


@app.command()
def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="Topologies or edge lists; NAME:key=value,key=value gives one its own keys."
        ),
    ],
    nodes: Nodes = None,
    settings: Settings = None,
    rule: Rule = "metropolis_hastings",
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Picture to write (png, svg or pdf).")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Compare topologies: one table, and one chart with --out."""
    loading()
    from jaxgossip.cli.terminal.tables import table
    from jaxgossip.cli.terminal.topology import keys_text, rows
    from jaxgossip.experiment.topologies.named import check_shared, labelled, named

    _check_picture(out)
    asked = [named(name, nodes, settings or [], assume=True) for name in names]
    check_shared(asked, settings or [])
    found = [_measured(one, rule, seed) for one in asked]
    labels = labelled(asked)
    if out is not None:
        from jaxgossip.experiment.topologies.pictures import comparison
        from jaxgossip.plotting.style import save_figure

        save_figure(comparison(found, labels), out)
    if as_json:
        say(json.dumps([_record(one, it, seed) for one, it in zip(asked, found, strict=True)], indent=2, default=str))
        return
    say(table(rows(found, labels)))
    lines = {f"{one.name}: {keys_text(one.assumed)} assumed": None for one in asked if one.assumed}
    if lines:
        say("\n" + "\n".join(lines))
    for one, it in zip(asked, found, strict=True):
        for note in it.notes:
            tell(f"note: {one.word}: {note}")
    if out is not None:
        say(f"\nwrote {out}")
    else:
        hint(*typed("--out", "topologies.png"))


@app.command()
def optimize(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A topology, or the path of an edge list.")],
    nodes: Nodes = None,
    settings: Settings = None,
    rounds: Annotated[int, typer.Option(help="Period of the schedule that is learnt; 1: static weights.")] = 8,
    steps: Annotated[int, typer.Option(help="Steps of Adam through the rounds.")] = 2000,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the weights (npz: edges, fastest, schedule).")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Learn weights by differentiating through rounds of mixing. The fastest static ones, and a schedule."""
    loading()
    from jaxgossip.cli.terminal.progress import ShareProgress
    from jaxgossip.cli.terminal.tables import table
    from jaxgossip.cli.terminal.topology import gap_text
    from jaxgossip.core.errors import ConfigError
    from jaxgossip.core.units import settled
    from jaxgossip.experiment.topologies.named import named
    from jaxgossip.experiment.topologies.optimized import optimized
    from jaxgossip.mixing.optimized.weights import write_weights

    if out is not None and out.suffix != ".npz":
        raise ConfigError(f"{out}: weights are written as .npz", hint=f"--out {out.with_suffix('.npz')}")
    asked = named(name, nodes, settings or [])
    graph = asked.graph(seed)
    with ShareProgress(asked.short).shown() as told:
        found = optimized(graph, rounds=rounds, steps=steps, seed=seed, told=told)
    if out is not None:
        write_weights(out, found.fastest, found.learned)
    if as_json:
        say(
            json.dumps(
                {"topology": asked.name, "options": dict(asked.options), "seed": seed, **found.record()}, indent=2
            )
        )
        return
    say(
        table(
            [
                {
                    "weights": row.name,
                    "gap 1 - ρ": gap_text(1 - row.rho) if row.rho < 1 else "none",
                    f"left after {rounds} rounds": f"{settled(row.left):.3g}",
                    "a round": f"{settled(row.left) ** (1 / rounds):.4f}",
                }
                for row in found.rows
            ]
        )
    )
    say(f"\nno symmetric weights have a gap above {gap_text(1 - found.fastest.bound)}, by duality")
    say("'left' is ‖ΠX‖/‖ΠX₀‖ of a random start")
    if out is not None:
        say(f"wrote {out}")
        say(f'in a configuration: mixing = {{ kind = "from_file", path = "{out}", which = "schedule" }}')
    else:
        hint(*typed("--out", "weights.npz"))


def _measured(asked: "Named", rule: str, seed: int) -> "Measures":
    from jaxgossip.experiment.topologies.named import weights_by
    from jaxgossip.topology.room import WEIGHTED_BYTES, links_cost
    from jaxgossip.topology.spectra.measures import measure

    with slow(f"{asked.short}: building"), links_cost(WEIGHTED_BYTES):
        graph = asked.graph(seed)
        weights = weights_by(rule, graph)
    return measure(weights, step=lambda part: slow(f"{asked.short}: {part}"), rng=seed)


def _record(asked: "Named", found: "Measures", seed: int) -> dict[str, Any]:
    return {"topology": asked.name, "options": dict(asked.options), "assumed": dict(asked.assumed), "seed": seed} | (
        found.record()
    )


def _check_picture(path: Path | None) -> None:
    """Raise ConfigError before minutes of measuring if no picture can be written there."""
    if path is not None:
        from jaxgossip.plotting.style import check_picture

        check_picture(path)
