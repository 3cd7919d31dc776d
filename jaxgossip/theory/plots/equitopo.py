"""EquiTopo graphs: random offsets give a gap that does not shrink as the network grows, with ln n links per node or one.

    D-EquiStatic   ρ = max_k |1/n + ((n − 1)/(nM)) Σ_{a ∈ A} e^{2πika/n}|, M offsets a drawn uniformly from 1 … n − 1
    OD-EquiDyn     E‖ΠWx‖² = ½(1 − 1/n)‖Πx‖² for every x, at η = ½
    OU-EquiDyn     Σ_{k≥2} E‖Wv_k‖²/(n − 1) = ((n − r)/2 · (1 + 1/n²) + r − 1)/(n − 1), r nodes being idle on average

The last line is exact on average over all directions: a pair keeps 1/n of its difference and all of its sum. Starting at a
random node, runs of a ≤ n/2 nodes pair up with the next runs; with n = qa + b, b nodes are idle if q is even, and a − b
if it is odd. Song et al. 2022.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.mixing import (
    Mixing,
    Operator,
    equi_static,
    metropolis_hastings,
    od_equi_dyn,
    ou_equi_dyn,
    u_equi_static,
)
from jaxgossip.network import Round
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot, at_most

BOUND = 0.55
SEED = 0
EXPONENTIAL, DIRECTED, UNDIRECTED = "static exponential", "D-EquiStatic", "U-EquiStatic"
OFFSET, PAIRS = "OD-EquiDyn", "OU-EquiDyn"
COLUMNS = 16


class EquiTopo(NamedTuple):
    """Rates by number of nodes.

    Attributes:
        sizes: numbers of nodes.
        rho: (sizes,) ρ by graph.
        apart: (sizes,) by graph: largest deviation of W from a circulant in any entry; 0 in theory.
        shares: (sizes,) by schedule: share of ‖ΠX‖² that remains after a round.
    """

    sizes: list[int]
    rho: dict[str, np.ndarray]
    apart: dict[str, np.ndarray]
    shares: dict[str, np.ndarray]


def sizes(quick: bool) -> list[int]:
    """Return the numbers of nodes, even ones, for which the static exponential graph has a closed form."""
    return [300, 1000, 3000] if quick else [300, 1000, 3000, 10_000, 20_000]


def links(n: int) -> int:
    """Return M = 5 ln n, rounded."""
    return round(5 * np.log(n))


def drawn_modes(n: int, m: int) -> np.ndarray:
    """Return (n,) complex: 1/n + ((n − 1)/(nM)) Σ_a e^{2πika/n} over M offsets, drawn exactly as by the graph."""
    drawn = np.random.default_rng(SEED).integers(1, n, m)
    return 1 / n + (n - 1) / (n * m) * np.conj(np.fft.fft(np.bincount(drawn, minlength=n)))


def mean_idle(n: int) -> float:
    """Return the number of idle nodes in a round of OU-EquiDyn, averaged over its offsets."""
    offset = np.arange(1, n)
    a = np.minimum(offset, n - offset)
    runs, remainder = np.divmod(n, a)
    return float(np.where(runs % 2 == 0, remainder, a - remainder).mean())


def predict(quick: bool) -> EquiTopo:
    """Evaluate the formulas above; the static exponential graph with τ offsets has ρ = 1 − 2/(τ + 1)."""
    n = np.array(sizes(quick))
    modes = [drawn_modes(size, links(size)) for size in n.tolist()]
    rho = {
        DIRECTED: np.array([np.abs(mode[1:]).max() for mode in modes]),
        UNDIRECTED: np.array([np.abs(np.real(mode[1:])).max() for mode in modes]),
    }
    rho[EXPONENTIAL] = 1 - 2 / (np.ceil(np.log2(n)) + 1)
    idle = np.array([mean_idle(size) for size in n.tolist()])
    shares = {OFFSET: (1 - 1 / n) / 2, PAIRS: ((n - idle) / 2 * (1 + 1 / n**2) + idle - 1) / (n - 1)}
    return EquiTopo(n.tolist(), rho, {name: np.zeros(n.size) for name in rho}, shares)


def measure(quick: bool) -> EquiTopo:
    """Take the spectrum of each operator's impulse response, as of a circulant, and let each schedule mix for many rounds."""
    rho: dict[str, list[float]] = {}
    apart: dict[str, list[float]] = {}
    shares: dict[str, list[float]] = {}
    for n in sizes(quick):
        graph = topology.complete(n)
        operators = {
            DIRECTED: equi_static(graph, degree=links(n), rng=SEED),
            UNDIRECTED: u_equi_static(graph, degree=links(n), rng=SEED),
            EXPONENTIAL: metropolis_hastings(topology.static_exponential(n)),
        }
        for name, W in operators.items():
            spectrum, deviation = _spectrum(W)
            rho.setdefault(name, []).append(float(np.abs(spectrum[1:]).max()))
            apart.setdefault(name, []).append(deviation)
        for name, schedule in {OFFSET: od_equi_dyn(graph), PAIRS: ou_equi_dyn(graph)}.items():
            shares.setdefault(name, []).append(_remaining_share(schedule, 500 if quick else 2000))
    arrays = ({name: np.array(values) for name, values in by_name.items()} for by_name in (rho, apart, shares))
    return EquiTopo(sizes(quick), *arrays)


def _spectrum(W: Operator) -> tuple[np.ndarray, float]:
    """Return (n,) the eigenvalues if W is circulant, and the deviation of W x from that circulant's at a random x."""
    n = W.n_nodes
    x = np.asarray(jax.random.normal(jax.random.key(0), (n,)))
    answers = np.asarray(W(jnp.stack([jnp.zeros(n).at[0].set(1.0), jnp.asarray(x)], axis=1)))
    spectrum = np.fft.fft(answers[:, 0])
    return spectrum, float(np.abs(answers[:, 1] - np.fft.ifft(spectrum * np.fft.fft(x))).max())


def _remaining_share(schedule: Mixing, rounds: int) -> float:
    """Return the mean share of ‖ΠX‖² that remains after a round on random columns."""
    n = schedule.n_nodes
    x = jax.random.normal(jax.random.key(1), (n, COLUMNS))
    x = x - x.mean(0)

    def remaining(key: jax.Array) -> jax.Array:
        mixed = Round(jnp.int32(0), key, n).links(schedule).mix(x)
        return jnp.square(mixed - mixed.mean(0)).sum() / jnp.square(x).sum()

    keys = jax.random.split(jax.random.key(2), rounds)
    return float(jax.jit(lambda keys: jax.lax.map(remaining, keys).mean())(keys))


def draw(predicted: EquiTopo, measured: EquiTopo) -> Figure:
    """ρ against n for the fixed graphs; the share left by a round against n for the random ones."""
    figure, (left, right) = drawing.page(2, width=4.4, height=3.9)
    n = measured.sizes
    labels = {EXPONENTIAL: "static exponential, ⌈log₂ n⌉ links", DIRECTED: "D-EquiStatic, 5 ln n links",
              UNDIRECTED: "U-EquiStatic, twice as many"}  # fmt: skip
    for number, (name, label) in enumerate(labels.items()):
        drawing.points(left, n, measured.rho[name], number, label)
        drawing.theory(left, n, predicted.rho[name], claimed=f"ρ, {name}, ")
    left.axhline(BOUND, color="#777777", linewidth=0.8, linestyle=":")
    left.text(n[0], BOUND + 0.01, f"claimed: EquiStatic below {BOUND}", fontsize=8, color="#555555")
    left.set(ylim=(0, 1), ylabel="ρ, left of the disagreement by a round")
    for number, (name, values) in enumerate(measured.shares.items()):
        drawing.points(right, n, values, number, f"{name}, one row a node")
        drawing.theory(right, n, predicted.shares[name], claimed=f"share left by a round, {name}, ")
    right.set(ylim=(0, 1), ylabel="share of ‖ΠX‖² left by a round")
    for axes in (left, right):
        axes.set_xscale("log")
        drawing.ticks(axes, n)
        axes.set_xlabel("nodes n")
        drawing.legend(axes, loc="lower left")
    return figure


def claims(predicted: EquiTopo, measured: EquiTopo) -> list[Claim]:
    """Return the claims.

    By its formula, ρ within 10⁻¹⁰ and below 0.55 for all n; the share left by a random round within 1 %.
    """
    checks = []
    for at, n in enumerate(measured.sizes):
        for name, values in measured.rho.items():
            checks.append(Claim(f"ρ, {name}, n = {n}", values[at], predicted.rho[name][at], 1e-10, "absolute"))
            checks.append(at_most(f"the same at every node, {name}, n = {n}", measured.apart[name][at], 1e-12))
        checks += [
            at_most(f"ρ below {BOUND}, {name}, n = {n}", measured.rho[name][at], BOUND)
            for name in (DIRECTED, UNDIRECTED)
        ]
        checks += [
            Claim(f"share left by a round, {name}, n = {n}", values[at], predicted.shares[name][at], 0.01)
            for name, values in measured.shares.items()
        ]
    return checks


def equitopo() -> Plot:
    """On EquiTopo graphs the gap does not shrink as the network grows: 5 ln n random offsets keep ρ below 0.55 for all n."""
    source = "Song et al. 2022, Communication-efficient topologies for decentralized learning with O(1) consensus rate"
    return Plot("EquiTopo", source, predict, measure, draw, claims)
