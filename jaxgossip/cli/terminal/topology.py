"""What the topology commands print."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxgossip.core.units import eigenvalue_text, settled
from jaxgossip.experiment.config.mistakes import shown
from jaxgossip.experiment.topologies.named import Named
from jaxgossip.topology.spectra.distances import Diameter
from jaxgossip.topology.spectra.effective_neighbours import EffectiveNeighbours
from jaxgossip.topology.spectra.measures import GAP_NOISE, Measures

WIDTH = 22


def facts(found: Measures, asked: Named, seed: int) -> str:
    """Return all numbers of one topology, a line each."""
    graph, weights = found.weights.graph, found.weights
    shape = graph.describe()
    degrees = f"{shape['degree_min']:,} min, {shape['degree_mean']:.4g} mean, {shape['degree_max']:,} max"
    whole = "yes" if found.connected else f"no, {found.components:,} components"
    if not found.connected and found.components == 1:
        whole = "not strongly: some nodes are never heard"
    symmetry = "symmetric" if weights.is_symmetric else "not symmetric"
    keeps_mean = weights.is_doubly_stochastic
    sums = "doubly stochastic" if keeps_mean else "row-stochastic: the mean drifts"
    lines = [
        ("nodes", f"{graph.n_nodes:,}"),
        ("links" if graph.directed else "edges", f"{graph.n_edges:,}" + (", directed" if graph.directed else "")),
        ("degree", f"{shape['degree_mean']:.4g}" if graph.regular_degree is not None else degrees),
        ("connected", whole),
        ("diameter", diameter_text(found.diameter)),
        ("average clustering", _clustering(found)),
        ("weights", f"{weights.rule}: {symmetry}, {sums}"),
        ("spectral gap" if keeps_mean else "1 - ‖W - J‖₂", gap_text(found.gap)),
    ]
    if found.lambda_2 is not None and found.lambda_min is not None:
        lines.append(("λ₂, λ_min", f"{eigenvalue_text(found.lambda_2)}, {eigenvalue_text(found.lambda_min)}"))
    elif found.modulus_2 is not None:
        lines.append(("|λ₂|", eigenvalue_text(found.modulus_2)))
    lines += [(f"n_W({one.gamma:g})", neighbours_text(one)) for one in found.neighbours]
    if not keeps_mean:
        lines.append(("", "of variance only: W keeps no mean"))
    rounds = rounds_text(found)
    lines += [("rounds to 1e-3", rounds), ("messages a round", f"{found.messages:,}")]
    title = asked.described() + (f", seed {seed}" if asked.is_random else "")
    notes = [f"\n{note}" for note in found.notes]
    return "\n".join([title, *(f"  {name:<{WIDTH}}{value}" for name, value in lines), *notes])


def rows(found: Sequence[Measures], labels: Sequence[str]) -> list[dict[str, str]]:
    """Return the table that compares topologies: one row each."""
    return [
        {
            "topology": label,
            "nodes": f"{one.weights.graph.n_nodes:,}",
            "degree": _degree(one),
            "diameter": diameter_text(one.diameter, short=True),
            "gap": gap_text(one.gap),
        }
        | {
            f"n_W({entry.gamma:g})": f"{'~' if entry.standard_error else ''}{entry.value:.4g}"
            for entry in one.neighbours
        }
        | {"rounds to 1e-3": rounds_text(one), "messages a round": f"{one.messages:,}"}
        for one, label in zip(found, labels, strict=True)
    ]


def keys_text(options: Mapping[str, Any]) -> str:
    """Return keys and values as a configuration has them."""
    return ", ".join(f"{key}={shown(value)}" for key, value in options.items())


def number(value: float | None) -> str:
    """Return a number with four digits, or a dash."""
    return "–" if value is None else f"{value:.4g}"


def gap_text(value: float | None) -> str:
    """Return a spectral gap; 0 where it is no more than rounding."""
    return number(None if value is None else settled(value, GAP_NOISE))


def diameter_text(found: Diameter | None, *, short: bool = False) -> str:
    """Return a diameter; one that is a lower bound says so."""
    if found is None:
        return "∞" if short else "infinite"
    if found.exact:
        return f"{found.hops:,}"
    return f"≥{found.hops:,}" if short else f"at least {found.hops:,} (estimate: the farthest pair of some searches)"


def neighbours_text(one: EffectiveNeighbours) -> str:
    """Return n_W; an estimate comes with its standard error."""
    if not one.standard_error:
        return f"{one.value:.4g}"
    return f"{one.value:.4g} ± {one.standard_error:.2g} (estimate and its standard error)"


def rounds_text(found: Measures) -> str:
    """Return the rounds until a thousandth of the distance to the mean is left."""
    rounds = found.rounds
    if rounds is None:
        return "–"
    return "never" if math.isinf(rounds) else f"{math.ceil(rounds - 1e-9):,}"


def _clustering(found: Measures) -> str:
    if found.clustering is not None:
        return f"{found.clustering:.4g}"
    return "– (directed)" if found.weights.graph.directed else "– (too many pairs of neighbours)"


def _degree(found: Measures) -> str:
    graph = found.weights.graph
    if graph.regular_degree is not None:
        return f"{graph.regular_degree:,}"
    return f"{graph.degrees.min():,}–{graph.degrees.max():,}"
