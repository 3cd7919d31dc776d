"""``jaxgossip topology``: list, measure, compare and optimise topologies, and measure contacts."""

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
        records = [
            {
                "name": name,
                "summary": TOPOLOGIES.summary(name),
                "keys": [
                    {"name": key.name, "required": key.required, "default": key.default, "about": key.about}
                    for key in keys_of(TOPOLOGIES[name])
                ],
            }
            for name in TOPOLOGIES
        ]
        say(json.dumps(records, indent=2, default=str))
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
    from jaxgossip.cli.terminal.topology import measures_text
    from jaxgossip.experiment.topologies.named import named

    _check_picture(picture)
    topology = named(name, nodes, settings or [])
    measures = _measure(topology, rule, seed)
    if picture is not None:
        from jaxgossip.experiment.topologies.pictures import page
        from jaxgossip.plotting.style import save_figure

        with slow("drawing"):
            save_figure(page(measures, topology.described()), picture)
    if as_json:
        say(json.dumps(_record(topology, measures, seed), indent=2, default=str))
        return
    say(measures_text(measures, topology, seed))
    if picture is not None:
        say(f"\nwrote {picture}")
    with_plot = typed("--plot", f"{topology.short}.png")
    hint(*(["jaxgossip", "topology", "compare", "ring", "torus", "hypercube"] if picture else with_plot))


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
    topologies = [named(name, nodes, settings or [], assume=True) for name in names]
    check_shared(topologies, settings or [])
    measures = [_measure(topology, rule, seed) for topology in topologies]
    labels = labelled(topologies)
    if out is not None:
        from jaxgossip.experiment.topologies.pictures import comparison
        from jaxgossip.plotting.style import save_figure

        save_figure(comparison(measures, labels), out)
    if as_json:
        records = [_record(*pair, seed) for pair in zip(topologies, measures, strict=True)]
        say(json.dumps(records, indent=2, default=str))
        return
    say(table(rows(measures, labels)))
    lines = {f"{each.name}: {keys_text(each.assumed)} assumed": None for each in topologies if each.assumed}
    if lines:
        say("\n" + "\n".join(lines))
    for topology, measured in zip(topologies, measures, strict=True):
        for note in measured.notes:
            tell(f"note: {topology.word}: {note}")
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
    topology = named(name, nodes, settings or [])
    graph = topology.graph(seed)
    with ShareProgress(topology.short).shown() as progress:
        result = optimized(graph, rounds=rounds, steps=steps, seed=seed, progress=progress)
    if out is not None:
        write_weights(out, result.fastest, result.learned)
    if as_json:
        record = {"topology": topology.name, "options": dict(topology.options), "seed": seed, **result.record()}
        say(json.dumps(record, indent=2))
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
                for row in result.rows
            ]
        )
    )
    say(f"\nno symmetric weights have a gap above {gap_text(1 - result.fastest.bound)}, by duality")
    say("'left' is ‖ΠX‖/‖ΠX₀‖ of a random start")
    if out is not None:
        say(f"wrote {out}")
        say(f'in a configuration: mixing = {{ kind = "from_file", path = "{out}", which = "schedule" }}')
    else:
        hint(*typed("--out", "weights.npz"))


@app.command()
def contacts(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A trace of contacts (CSV, SocioPatterns, the ONE, Haggle), a movement of 'jaxgossip list contacts', or "
            "your own as 'file.py:function'.",
        ),
    ],
    nodes: Annotated[int | None, typer.Option(help="Number of nodes that move; 100 by default.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A key of [contacts], as in a configuration; can be repeated."),
    ] = None,
    until: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long to observe; by default a trace to its end.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the movement, as in a configuration.")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the contacts (csv).")] = None,
    picture: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw them (png, svg or pdf).")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Measure contacts of nodes that meet. How long they last, how long pairs are apart, and where news can get."""
    loading()
    from jaxgossip.cli.terminal.topology import contacts_text
    from jaxgossip.core.errors import ConfigError
    from jaxgossip.experiment.topologies.contacts import observed, page
    from jaxgossip.schedule.contacts import save

    _check_picture(picture)
    if until is not None and not 0 < until < float("inf"):
        raise ConfigError(f"--until {until:g}: nothing can be observed", hint="give seconds, above 0")
    with slow("contacts"):
        measures, title = observed(name, nodes, settings or [], until, seed)
    with slow("paths"):
        record = {"contacts_of": name, "seed": seed, **measures.record()}
    if picture is not None:
        from jaxgossip.plotting.style import save_figure

        save_figure(page(measures, title), picture)
    if out is not None:
        save(out, measures.contacts)
    if as_json:
        say(json.dumps(record, indent=2))
        return
    say(contacts_text(measures, title))
    for written in (out, picture):
        if written is not None:
            say(f"\nwrote {written}")
    hint(*typed("--plot", "contacts.png") if picture is None else ["jaxgossip", "list", "contacts"])


def _measure(topology: "Named", rule: str, seed: int) -> "Measures":
    from jaxgossip.experiment.topologies.named import weights_by
    from jaxgossip.topology.memory_check import WEIGHTED_BYTES, links_cost
    from jaxgossip.topology.spectra.measures import measure

    with slow(f"{topology.short}: building"), links_cost(WEIGHTED_BYTES):
        graph = topology.graph(seed)
        weights = weights_by(rule, graph)
    return measure(weights, step=lambda part: slow(f"{topology.short}: {part}"), rng=seed)


def _record(topology: "Named", measures: "Measures", seed: int) -> dict[str, Any]:
    options, assumed = dict(topology.options), dict(topology.assumed)
    return {"topology": topology.name, "options": options, "assumed": assumed, "seed": seed} | measures.record()


def _check_picture(path: Path | None) -> None:
    """Raise ConfigError before minutes of measuring if no figure could be written to ``path``."""
    if path is not None:
        from jaxgossip.plotting.style import check_picture

        check_picture(path)
