"""The network term: what disagreement adds to the noise of D-SGD for small steps, and the step at which it matters.

    net/(dη²s²) → (1/n) Σ_{k≥2} |λ_k|²/(1 − |λ_k|²) as η → 0;       net ≤ mean for η ≤ η_c:  ring ∝ n⁻², exponential ∝ n⁻¹

On a graph on which all nodes are alike, the stationary error is the energy of the answer to one node's one noise: with
x₀ = e₁ and no noise after, net = dη²s² Σ_{t≥1} ‖Πx_t‖²/(1 − ηa)² and mean = dη²s² Σ_{t≥1} n x̄_t²/(1 − ηa)². So runs without
noise measure both to many digits, a step size a column. n³/(1 − ρ)², quoted for the transient, is an upper bound only.
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
from jaxgossip.theory.measuring import round_number
from jaxgossip.theory.plot import Claim, Plot
from jaxgossip.theory.predictions import crossing, mean_error, net_error
from jaxgossip.theory.steps import by_column

LARGEST = 1024
BRACKETS = (("ring", 2, 3.0, 9.0), ("static exponential", 1, 2.0, 6.0))
"""η_c n^k lies between: topology, k, from, to."""


class Term(NamedTuple):
    """What is found.

    Attributes:
        sizes: of each topology in the left panel.
        terms: the network term by topology, one a size.
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
    """Return how many nodes the graphs of the left panel have."""
    some = [64, LARGEST] if quick else [16, 64, 256, LARGEST]
    return dict.fromkeys(("ring", "torus", "hypercube", "static exponential"), some)


def counts(quick: bool) -> dict[str, list[int]]:
    """Return for how many nodes η_c is sought."""
    return {
        "ring": [64, 128, 256] if quick else [64, 256, LARGEST],
        "static exponential": [32, 64, 128, 256] if quick else [32, 64, 128, 256, 512, LARGEST],
    }


def moduli(name: str, n: int) -> np.ndarray:
    """Return |λ_k|, the first is 1; all these W are normal."""
    return np.abs(topology.eigenvalues(topology.metropolis_hastings(graph(name, n))))


def predict(quick: bool) -> Term:
    """Sum over the eigenvalues, and find where net = mean."""

    def largest(name: str, n: int) -> float:
        lam = moduli(name, n)
        return crossing(lambda eta: net_error("atc", lam, 1, eta, 1.0) > mean_error(n, 1, eta, 1.0), 1e-8, 0.5, 1e-13)

    return Term(
        sizes(quick),
        {
            name: np.array([net_error("atc", moduli(name, n), 1, 1e-12, 1.0) / 1e-24 for n in some])
            for name, some in sizes(quick).items()
        },
        {name: {n: largest(name, n) for n in some} for name, some in counts(quick).items()},
    )


def measure(quick: bool) -> Term:
    """Let one node's one unit of noise run out under D-SGD: without steps for the term, with many for η_c."""
    return Term(
        sizes(quick),
        {name: np.array([_still(name, n) for n in some]) for name, some in sizes(quick).items()},
        {name: {n: _balance(name, n) for n in some} for name, some in counts(quick).items()},
    )


def _energies(name: str, n: int, etas: np.ndarray, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Σ_{t≥1} ‖Πx_t‖² and Σ_{t≥1} n x̄_t² of each column, from x₀ = e₁."""
    problem = isotropic_quadratic(n, dimension=len(etas), heterogeneity=0.0, noise=0.0, dtype=jnp.float64)
    algorithm = dsgd(problem, by_column(etas), metropolis_hastings(graph(name, n)))
    state = algorithm.init(jax.random.key(0))
    state = state._replace(x=jnp.zeros_like(state.x).at[0].set(1.0))

    def body(number, carry):  # noqa: ANN001, ANN202 - (round, (state, sums)) -> (state, sums)
        state, apart, mean = carry
        state, _ = algorithm.step(state, round_number(number, algorithm))
        centre = state.x.mean(0)
        return state, apart + jnp.square(state.x - centre).sum(0), mean + n * centre**2

    zero = jnp.zeros(len(etas))
    _, apart, mean = jax.jit(lambda state: jax.lax.fori_loop(0, rounds, body, (state, zero, zero)))(state)
    return np.asarray(apart), np.asarray(mean)


def _still(name: str, n: int) -> float:
    """Return the network term: the energy without steps, once the slowest mode has lost all but e⁻¹⁴ of its own."""
    gap = topology.spectral_gap(topology.metropolis_hastings(graph(name, n)))
    return float(_energies(name, n, np.zeros(1), int(7 / gap) + 20)[0][0])


def _balance(name: str, n: int) -> float:
    """Return η_c, between the columns whose net error is below the mean's and those where it is above."""
    power, low, high = next(rest for one, *rest in BRACKETS if one == name)
    etas = np.geomspace(low, high, 6) / n**power
    apart, mean = _energies(name, n, etas, int(4 / etas[0]) + 20)
    coefficients = np.polyfit(np.log(apart / mean), np.log(etas), 3)
    return float(np.exp(np.polyval(coefficients, 0.0)))


def draw(predicted: Term, measured: Term) -> Figure:
    """The term and η_c, both against the number of nodes."""
    figure, (left, right) = drawing.page(2, width=4.4, height=3.9)
    for number, (name, terms) in enumerate(measured.terms.items()):
        drawing.series(left, measured.sizes[name], terms, number, name)
        drawing.theory(left, predicted.sizes[name], predicted.terms[name], claimed=f"network term, {name} ")
    for number, (name, found) in zip((0, 3), measured.steps.items(), strict=True):
        drawing.series(right, list(found), list(found.values()), number, f"{name}: ∝ n to the {slope(found):.2f}")
        claimed = f"step with net = mean, {name} "
        drawing.theory(right, list(found), list(predicted.steps[name].values()), claimed=claimed)
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("nodes n")
    left.set_ylabel("network term, (1/n) Σ |λ|²/(1 − |λ|²)")
    right.set_ylabel("step size η with net = mean error, a = 1")
    drawing.legend(left, loc="upper left")
    drawing.legend(right, loc="lower left")
    return figure


def slope(steps: dict[int, float]) -> float:
    """Return d log η_c/d log n, fitted."""
    return float(np.polyfit(np.log(list(steps)), np.log(list(steps.values())), 1)[0])


def claims(predicted: Term, measured: Term) -> list[Claim]:
    """Return: the terms, the steps, and how the steps fall with n."""
    found = [
        Claim(f"network term, {name} {n}", term, theory, 0.01)
        for name, some in measured.sizes.items()
        for n, term, theory in zip(some, measured.terms[name], predicted.terms[name], strict=True)
    ]
    found += [
        Claim(f"{name} {LARGEST}, as quoted", measured.terms[name][-1], quoted, 0.01)
        for name, quoted in (("ring", 127.4), ("torus", 0.98), ("hypercube", 0.130))
    ]
    found += [
        Claim(f"step with net = mean, {name} {n}", eta, predicted.steps[name][n], 0.01)
        for name, steps in measured.steps.items()
        for n, eta in steps.items()
    ]
    ring, exponential = (slope(measured.steps[name]) for name, *_ in BRACKETS)
    return [
        *found,
        Claim("slope of that step, ring", ring, -2, 0.1, "absolute"),
        Claim("slope of that step, static exponential", exponential, -1, 0.15, "absolute"),
    ]


def network_term() -> Plot:
    """The step at which disagreement outweighs the mean's noise falls as n⁻² on a ring, and as n⁻¹ on an exponential graph."""
    source = "Vogels et al. 2022, Beyond spectral gap; the network term from the Lyapunov equation of each mode"
    return Plot("The network term", source, predict, measure, draw, claims)
