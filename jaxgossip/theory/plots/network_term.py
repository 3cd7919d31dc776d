"""The network term: the error that disagreement adds to D-SGD's noise at small step sizes, and where it dominates.

    net/(dη²s²) → (1/n) Σ_{k≥2} |λ_k|²/(1 − |λ_k|²) as η → 0;       net ≤ mean for η ≤ η_c:  ring ∝ n⁻², exponential ∝ n⁻¹

On a graph whose nodes are equivalent, the stationary error is the energy of the response to a single unit of noise at one
node: with x₀ = e₁ and no noise after, net = dη²s² Σ_{t≥1} ‖Πx_t‖²/(1 − ηa)² and mean = dη²s² Σ_{t≥1} n x̄_t²/(1 − ηa)². So
noiseless runs measure both to many digits, with one step size per column. n³/(1 − ρ)², quoted for the transient, is only an
upper bound.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import dsgd
from jaxgossip.learning import isotropic_quadratic
from jaxgossip.mixing import metropolis_hastings
from jaxgossip.theory import drawing
from jaxgossip.theory.measuring import round_context
from jaxgossip.theory.plot import Claim, Plot
from jaxgossip.theory.predictions import crossing, mean_error, net_error
from jaxgossip.theory.step_sizes import sgd_by_column

LARGEST = 1024
BRACKETS = (("ring", 2, 3.0, 9.0), ("static exponential", 1, 2.0, 6.0))
"""Brackets of η_c n^k: topology, k, lower bound, upper bound."""


class NetworkTerms(NamedTuple):
    """Network terms and critical step sizes.

    Attributes:
        sizes: numbers of nodes of each topology in the left panel.
        terms: network term by topology, one per size.
        steps: η_c by topology and number of nodes.
    """

    sizes: dict[str, list[int]]
    terms: dict[str, np.ndarray]
    steps: dict[str, dict[int, float]]


def graph(name: str, n: int) -> topology.Graph:
    """Return the graph of that name with n nodes."""
    build = {
        "ring": topology.ring,
        "torus": topology.torus,
        "hypercube": topology.hypercube,
        "static exponential": topology.static_exponential,
    }
    return build[name](n)


def sizes(quick: bool) -> dict[str, list[int]]:
    """Return the sizes of the graphs in the left panel."""
    nodes = [64, LARGEST] if quick else [16, 64, 256, LARGEST]
    return dict.fromkeys(("ring", "torus", "hypercube", "static exponential"), nodes)


def counts(quick: bool) -> dict[str, list[int]]:
    """Return the sizes of the graphs for which η_c is computed."""
    return {
        "ring": [64, 128, 256] if quick else [64, 256, LARGEST],
        "static exponential": [32, 64, 128, 256] if quick else [32, 64, 128, 256, 512, LARGEST],
    }


def moduli(name: str, n: int) -> np.ndarray:
    """Return |λ_k|, with 1 first; all these W are normal."""
    return np.abs(topology.eigenvalues(topology.metropolis_hastings(graph(name, n))))


def predict(quick: bool) -> NetworkTerms:
    """Sum over the eigenvalues, and solve net = mean for the step size."""

    def largest(name: str, n: int) -> float:
        lam = moduli(name, n)
        return crossing(lambda eta: net_error("atc", lam, 1, eta, 1.0) > mean_error(n, 1, eta, 1.0), 1e-8, 0.5, 1e-13)

    return NetworkTerms(
        sizes(quick),
        {
            name: np.array([net_error("atc", moduli(name, n), 1, 1e-12, 1.0) / 1e-24 for n in nodes])
            for name, nodes in sizes(quick).items()
        },
        {name: {n: largest(name, n) for n in nodes} for name, nodes in counts(quick).items()},
    )


def measure(quick: bool) -> NetworkTerms:
    """Let a unit of noise at one node decay under D-SGD: at step size 0 for the term, at several for η_c."""
    return NetworkTerms(
        sizes(quick),
        {name: np.array([_network_term(name, n) for n in nodes]) for name, nodes in sizes(quick).items()},
        {name: {n: _critical_step(name, n) for n in nodes} for name, nodes in counts(quick).items()},
    )


def _energies(name: str, n: int, etas: np.ndarray, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Σ_{t≥1} ‖Πx_t‖² and Σ_{t≥1} n x̄_t² of each column, from x₀ = e₁."""
    problem = isotropic_quadratic(n, dimension=len(etas), heterogeneity=0.0, noise=0.0, dtype=jnp.float64)
    algorithm = dsgd(problem, sgd_by_column(etas), metropolis_hastings(graph(name, n)))
    state = algorithm.init(jax.random.key(0))
    state = state._replace(x=jnp.zeros_like(state.x).at[0].set(1.0))

    def body(number, carry):  # noqa: ANN001, ANN202 - (round, (state, sums)) -> (state, sums)
        state, net_energy, mean_energy = carry
        state, _ = algorithm.step(state, round_context(number, algorithm))
        centre = state.x.mean(0)
        return state, net_energy + jnp.square(state.x - centre).sum(0), mean_energy + n * centre**2

    zero = jnp.zeros(len(etas))
    _, net_energy, mean_energy = jax.jit(lambda state: jax.lax.fori_loop(0, rounds, body, (state, zero, zero)))(state)
    return np.asarray(net_energy), np.asarray(mean_energy)


def _network_term(name: str, n: int) -> float:
    """Return the network term: the energy at step size 0, run until the slowest mode has energy e⁻¹⁴ of its start."""
    gap = topology.spectral_gap(topology.metropolis_hastings(graph(name, n)))
    return float(_energies(name, n, np.zeros(1), int(7 / gap) + 20)[0][0])


def _critical_step(name: str, n: int) -> float:
    """Return η_c, interpolated between columns with a net error below that of the mean and above it."""
    power, low, high = next(bracket for topology_name, *bracket in BRACKETS if topology_name == name)
    etas = np.geomspace(low, high, 6) / n**power
    net_energy, mean_energy = _energies(name, n, etas, int(4 / etas[0]) + 20)
    coefficients = np.polyfit(np.log(net_energy / mean_energy), np.log(etas), 3)
    return float(np.exp(np.polyval(coefficients, 0.0)))


def draw(predicted: NetworkTerms, measured: NetworkTerms) -> Figure:
    """The term and η_c, both against the number of nodes."""
    figure, (left, right) = drawing.page(2, width=4.4, height=3.9)
    for number, (name, terms) in enumerate(measured.terms.items()):
        drawing.series(left, measured.sizes[name], terms, number, name)
        drawing.theory(left, predicted.sizes[name], predicted.terms[name], claimed=f"network term, {name} ")
    for number, (name, steps) in zip((0, 3), measured.steps.items(), strict=True):
        drawing.series(right, list(steps), list(steps.values()), number, f"{name}: ∝ n to the {slope(steps):.2f}")
        claimed = f"step with net = mean, {name} "
        drawing.theory(right, list(steps), list(predicted.steps[name].values()), claimed=claimed)
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set(yscale="log", xlabel="nodes n")
    left.set_ylabel("network term, (1/n) Σ |λ|²/(1 − |λ|²)")
    right.set_ylabel("step size η with net = mean error, a = 1")
    drawing.legend(left, loc="upper left")
    drawing.legend(right, loc="lower left")
    return figure


def slope(steps: dict[int, float]) -> float:
    """Return the fitted slope d log η_c/d log n."""
    return float(np.polyfit(np.log(list(steps)), np.log(list(steps.values())), 1)[0])


def claims(predicted: NetworkTerms, measured: NetworkTerms) -> list[Claim]:
    """Return the claims: the terms, the step sizes, and the slope of the step sizes in n."""
    checks = [
        Claim(f"network term, {name} {n}", term, theory, 0.01)
        for name, sizes in measured.sizes.items()
        for n, term, theory in zip(sizes, measured.terms[name], predicted.terms[name], strict=True)
    ]
    checks += [
        Claim(f"{name} {LARGEST}, as quoted", measured.terms[name][-1], quoted, 0.01)
        for name, quoted in (("ring", 127.4), ("torus", 0.98), ("hypercube", 0.130))
    ]
    checks += [
        Claim(f"step with net = mean, {name} {n}", eta, predicted.steps[name][n], 0.01)
        for name, steps in measured.steps.items()
        for n, eta in steps.items()
    ]
    ring, exponential = (slope(measured.steps[name]) for name, *_ in BRACKETS)
    return [
        *checks,
        Claim("slope of that step, ring", ring, -2, 0.1, "absolute"),
        Claim("slope of that step, static exponential", exponential, -1, 0.15, "absolute"),
    ]


def network_term() -> Plot:
    """The step at which disagreement outweighs the mean's noise falls as n⁻² on a ring, and as n⁻¹ on an exponential graph."""
    source = "Vogels et al. 2022, Beyond spectral gap; the network term from the Lyapunov equation of each mode"
    return Plot("The network term", source, predict, measure, draw, claims)
