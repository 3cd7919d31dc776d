"""Momentum of an outer optimizer over gossip: how far its rate can go on a graph, and what it leaves where it is.

With q what H local steps leave of a distance, the outer gradient in mode λ of W is 1 − λq times the model, so that Nesterov's
momentum μ with rate α has the roots of z² − (1 + μ)(1 − αc) z + μ (1 − αc), c = 1 − λq. It is stable iff

    α < α_max = 2 (1 + μ)/((1 + 2μ)(1 − λ_min q)),

less than over the mean of all nodes, whose λ are 0 and 1. Its fixed point X = W (X + U) is local SGD's for every α and μ.
"""

from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import Algorithm, outer_gossip
from jaxgossip.learning import isotropic_quadratic
from jaxgossip.mixing import Operator, metropolis_hastings
from jaxgossip.simulation import simulate
from jaxgossip.theory import drawing
from jaxgossip.theory.measuring import late_rate
from jaxgossip.theory.plot import Claim, Plot, at_least, at_most, farthest
from jaxgossip.theory.predictions import mode_energy, nesterov_mode, ring_spectrum, spectrum

N, ETA, STEPS = 16, 0.05, 10
LEFT = (1 - ETA) ** STEPS
"""q, what is left of a distance to the target after the local steps."""
B = np.cos(np.arange(N)) + np.arange(N) / 5
"""Targets b_i."""
CASES = MappingProxyType(
    {"ring, μ = 0.5": (0.5, False), "ring, μ = 0.9": (0.9, False), "mean of all, μ = 0.9": (0.9, True)}
)
"""Momentum μ, and whether W is the mean of all nodes, by the name of a line."""


class Course(NamedTuple):
    """Predicted or measured behaviour.

    Attributes:
        alphas: (m,) outer rates.
        rates: (m,) factors on the disagreement per round, by line.
        below: factor at 0.98 of the edge of stability, by line.
        above: factor at 1.02 of the edge, by line.
        spread: Σ_i (x_i − b̄)² at the fixed point, at those rates that are below 1, by line on the ring.
    """

    alphas: np.ndarray
    rates: dict[str, np.ndarray]
    below: dict[str, float]
    above: dict[str, float]
    spread: dict[str, np.ndarray]


def alphas(quick: bool) -> np.ndarray:
    """Return the outer rates, some of them beyond every edge."""
    return np.linspace(0.1, 1.4, 4 if quick else 14)


def settling(quick: bool) -> np.ndarray:
    """Return the outer rates that are stable on the ring."""
    return alphas(quick)[alphas(quick) < 1]


def modes(everyone: bool) -> np.ndarray:
    """Return the eigenvalues of W of all disagreement."""
    return np.zeros(1) if everyone else np.sort(ring_spectrum(N))[:-1]


def edge(momentum: float, everyone: bool) -> float:
    """Return α_max."""
    return 2 * (1 + momentum) / (1 + 2 * momentum) / (1 - modes(everyone).min() * LEFT)


def rate(alpha: float, momentum: float, everyone: bool) -> float:
    """Return the largest root over all modes."""
    roots = spectrum(nesterov_mode(alpha, momentum, LEFT), modes(everyone))
    return float(np.abs(roots).max())


def predict(quick: bool) -> Course:
    """Return the largest root over all modes, and the fixed point of local SGD."""
    lam = ring_spectrum(N)
    spread = (np.square(lam * (1 - LEFT) / (1 - lam * LEFT)) * mode_energy(B[:, None]))[1:].sum()
    return Course(
        alphas(quick),
        {name: np.array([rate(alpha, *case) for alpha in alphas(quick)]) for name, case in CASES.items()},
        {name: rate(0.98 * edge(*case), *case) for name, case in CASES.items()},
        {name: rate(1.02 * edge(*case), *case) for name, case in CASES.items()},
        {name: np.full(len(settling(quick)), spread) for name, (_, everyone) in CASES.items() if not everyone},
    )


def mixing(everyone: bool) -> Operator:
    """Return W."""
    return metropolis_hastings(topology.complete(N) if everyone else topology.ring(N))


def make(alpha: float | jax.Array, momentum: float, everyone: bool, targets: np.ndarray) -> Algorithm:
    """Return the algorithm, without noise, with a start of its own at each node."""
    problem = isotropic_quadratic(N, targets=targets[:, None], noise=0.0, init="independent", dtype=jnp.float64)
    outer = optax.sgd(alpha, momentum=momentum, nesterov=True)
    return outer_gossip(problem, optax.sgd(ETA), mixing(everyone), outer=outer, local_steps=STEPS)


def measure(quick: bool) -> Course:
    """Run every case: its rate where all targets are alike, and its fixed point where they are not."""
    rates, below, above, spread = {}, {}, {}, {}
    for name, (momentum, everyone) in CASES.items():
        far = np.array([0.98, 1.02]) * edge(momentum, everyone)
        wanted = jnp.asarray(np.concatenate([alphas(quick), far]))

        def measured(alpha: jax.Array, momentum: float = momentum, everyone: bool = everyone) -> jax.Array:
            algorithm = make(alpha, momentum, everyone, np.zeros(N))
            return late_rate(algorithm, ("x", "outer_state"), 2000 if quick else 6000)

        *inside, low, high = map(float, jax.jit(jax.vmap(measured))(wanted))
        rates[name], below[name], above[name] = np.array(inside), low, high
        if not everyone:
            ends = (
                simulate(make(alpha, momentum, everyone, B), 800, evaluate_every=800).x for alpha in settling(quick)
            )
            spread[name] = np.array([np.square(x - B.mean()).sum() for x in ends])
    return Course(alphas(quick), rates, below, above, spread)


def draw(predicted: Course, measured: Course) -> Figure:
    """Left: the rate against α, up to the edges; right: the spread of the fixed point."""
    figure, (left, right) = drawing.page(2)
    fine = np.linspace(0.05, 1.45, 141)
    for number, (name, case) in enumerate(CASES.items()):
        limit = edge(*case)
        drawing.points(left, measured.alphas, measured.rates[name], number, name)
        drawing.theory(left, fine, [rate(alpha, *case) for alpha in fine], claimed=f"rate, {name}")
        drawing.theory(left, [limit, limit], [0.93, 1.07], claimed=f"edge, {name}")
    left.axhline(1.0, color="#bbbbbb", linewidth=0.8, zorder=1)
    left.set(xlabel="outer rate α", ylabel="factor on the disagreement per round", ylim=(0, 1.35))
    drawing.title(left, "stable up to α_max, where each line crosses 1")
    drawing.legend(left, loc="lower left")
    for number, (name, spread) in enumerate(measured.spread.items()):
        stable = measured.alphas[measured.alphas < 1]
        drawing.points(right, stable, spread, number, name)
        right.get_lines()[-1].set_markersize(8 - 3 * number)  # both are at the same places
        drawing.theory(right, stable, predicted.spread[name], claimed=f"fixed point, {name}")
    right.set(xlabel="outer rate α", ylabel="Σ (x_i − b̄)² at the fixed point", ylim=(0, 14))
    drawing.title(right, "the fixed point is that of local SGD")
    drawing.legend(right, loc="lower left")
    return figure


def claims(predicted: Course, measured: Course) -> list[Claim]:
    """Return the claims: rates within 0.002, edges within 2 %, fixed points within 10⁻⁶."""
    checks = []
    for name in CASES:
        checks.append(farthest(f"rate, {name}", measured.rates[name], predicted.rates[name], 2e-3, "absolute"))
        checks.append(at_most(f"edge, {name}: factor at 0.98 α_max", measured.below[name], 1.0))
        checks.append(at_least(f"edge, {name}: factor at 1.02 α_max", measured.above[name], 1.0))
    for name, spread in measured.spread.items():
        checks.append(farthest(f"fixed point, {name}", spread, predicted.spread[name], 1e-6))
    return checks


def outer_momentum() -> Plot:
    """An outer optimizer over gossip is stable up to a rate that the graph sets, and ends where local SGD does."""
    source = "Douillard et al. 2023, DiLoCo, over a graph; Nesterov 1983"
    return Plot("Outer momentum over gossip (ring of 16)", source, predict, measure, draw, claims)
