"""Output of the topology commands."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgossip.cli.terminal.output import wrapped
from jaxgossip.core.units import counted, duration, eigenvalue_text, settled
from jaxgossip.experiment.config.diagnostics import shown
from jaxgossip.experiment.topologies.named import Named
from jaxgossip.schedule.contacts.measures import ContactMeasures
from jaxgossip.topology.spectra.distances import Diameter
from jaxgossip.topology.spectra.effective_neighbours import EffectiveNeighbours
from jaxgossip.topology.spectra.measures import GAP_NOISE, Measures

WIDTH = 22
CONTACTS_WIDTH = 17
"""Width of names of measures, here and of contacts."""


def measures_text(measures: Measures, topology: Named, seed: int) -> str:
    """Return all measures of a topology, one per line."""
    graph, weights = measures.weights.graph, measures.weights
    shape = graph.describe()
    degrees = f"{shape['degree_min']:,} min, {shape['degree_mean']:.4g} mean, {shape['degree_max']:,} max"
    connected = "yes" if measures.connected else f"no, {measures.components:,} components"
    if not measures.connected and measures.components == 1:
        connected = "not strongly: some nodes are never heard"
    symmetry = "symmetric" if weights.is_symmetric else "not symmetric"
    keeps_mean = weights.is_doubly_stochastic
    sums = "doubly stochastic" if keeps_mean else "row-stochastic: the mean drifts"
    lines = [
        ("nodes", f"{graph.n_nodes:,}"),
        ("links" if graph.directed else "edges", f"{graph.n_edges:,}" + (", directed" if graph.directed else "")),
        ("degree", f"{shape['degree_mean']:.4g}" if graph.regular_degree is not None else degrees),
        ("connected", connected),
        ("diameter", diameter_text(measures.diameter)),
        ("average clustering", _clustering(measures)),
        ("weights", f"{weights.rule}: {symmetry}, {sums}"),
        ("spectral gap" if keeps_mean else "1 - ‖W - J‖₂", gap_text(measures.gap)),
    ]
    if measures.lambda_2 is not None and measures.lambda_min is not None:
        lines.append(("λ₂, λ_min", f"{eigenvalue_text(measures.lambda_2)}, {eigenvalue_text(measures.lambda_min)}"))
    elif measures.modulus_2 is not None:
        lines.append(("|λ₂|", eigenvalue_text(measures.modulus_2)))
    lines += [(f"n_W({estimate.gamma:g})", neighbours_text(estimate)) for estimate in measures.neighbours]
    if not keeps_mean:
        lines.append(("", "of variance only: W keeps no mean"))
    rounds = rounds_text(measures)
    lines += [("rounds to 1e-3", rounds), ("messages a round", f"{measures.messages:,}")]
    title = topology.described() + (f", seed {seed}" if topology.is_random else "")
    notes = [f"\n{note}" for note in measures.notes]
    return "\n".join([title, *(f"  {name:<{WIDTH}}{value}" for name, value in lines), *notes])


def contacts_text(measures: ContactMeasures, title: str) -> str:
    """Return the measures of contacts, one per line."""
    contacts, reach = measures.contacts, measures.reach
    met = measures.meetings_a_pair_s
    followed = (
        "" if reach.sources.size == contacts.n_nodes else f", from {counted(reach.sources.size, 'node')} at random"
    )
    lines = [
        ("nodes", f"{contacts.n_nodes:,}"),
        ("observed", duration(measures.until_s)),
        ("contacts", f"{len(contacts):,}"),
        ("at once", f"a node is in contact with {measures.in_contact:.3g} others on average"),
        ("a pair meets", f"every {duration(1 / met)} on average" if met else "never"),
        ("contact lasts", _times(measures.durations_s)),
        ("apart until next", _times(measures.gaps_s)),
        ("news can reach", f"{reach.share:.1%} of pairs{followed}"),
        ("in", _times(reach.delays_s)),
    ]
    return "\n".join([wrapped(title), *(f"  {name:<{CONTACTS_WIDTH}}{value}" for name, value in lines)])


def _times(seconds: np.ndarray) -> str:
    """Return mean and quantiles of times."""
    if not seconds.size:
        return "–"
    middle, most = np.quantile(seconds, (0.5, 0.9))
    return f"{duration(float(seconds.mean()))} mean, {duration(middle)} median, 9 of 10 up to {duration(most)}"


def rows(all_measures: Sequence[Measures], labels: Sequence[str]) -> list[dict[str, str]]:
    """Return the table that compares topologies, one row each."""
    return [
        {
            "topology": label,
            "nodes": f"{measures.weights.graph.n_nodes:,}",
            "degree": _degree(measures),
            "diameter": diameter_text(measures.diameter, short=True),
            "gap": gap_text(measures.gap),
        }
        | {
            f"n_W({estimate.gamma:g})": f"{'~' if estimate.standard_error else ''}{estimate.value:.4g}"
            for estimate in measures.neighbours
        }
        | {"rounds to 1e-3": rounds_text(measures), "messages a round": f"{measures.messages:,}"}
        for measures, label in zip(all_measures, labels, strict=True)
    ]


def keys_text(options: Mapping[str, Any]) -> str:
    """Return keys and values as written in a configuration."""
    return ", ".join(f"{key}={shown(value)}" for key, value in options.items())


def number(value: float | None) -> str:
    """Return a number with four digits, or a dash."""
    return "–" if value is None else f"{value:.4g}"


def gap_text(value: float | None) -> str:
    """Return a spectral gap, as 0 if it is mere rounding."""
    return number(None if value is None else settled(value, GAP_NOISE))


def diameter_text(diameter: Diameter | None, *, short: bool = False) -> str:
    """Return a diameter, marked if it is a lower bound."""
    if diameter is None:
        return "∞" if short else "infinite"
    hops = f"{diameter.hops:,}"
    if diameter.exact:
        return hops
    return f"≥{hops}" if short else f"at least {hops} (estimate: the farthest pair of some searches)"


def neighbours_text(estimate: EffectiveNeighbours) -> str:
    """Return n_W, with its standard error if it is an estimate."""
    if not estimate.standard_error:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} ± {estimate.standard_error:.2g} (estimate and its standard error)"


def rounds_text(measures: Measures) -> str:
    """Return as text the number of rounds until a thousandth of the distance to consensus is left.

    It is "never" if infinite, and "–" if unknown.
    """
    rounds = measures.rounds
    if rounds is None:
        return "–"
    return "never" if math.isinf(rounds) else f"{math.ceil(rounds - 1e-9):,}"


def _clustering(measures: Measures) -> str:
    if measures.clustering is not None:
        return f"{measures.clustering:.4g}"
    return "– (directed)" if measures.weights.graph.directed else "– (too many pairs of neighbours)"


def _degree(measures: Measures) -> str:
    graph = measures.weights.graph
    if graph.regular_degree is not None:
        return f"{graph.regular_degree:,}"
    return f"{graph.degrees.min():,}–{graph.degrees.max():,}"
