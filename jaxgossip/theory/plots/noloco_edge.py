"""Momentum over random pairs: NoLoCo without gradients contracts iff γ < 2 (1 − μ²)/(1 − μ/(n − 1)).

Of V⁺ = μV − γ (X − W X), X⁺ = X + V⁺ over random perfect matchings, the second moments A = E‖ΠX‖², B = E⟨ΠX, ΠV⟩, C = E‖ΠV‖²
are linear, since E WᵀW = E W, and κ = n/(2 (n − 1)) of the disagreement is lost to a pair on average:

    C⁺ = μ²C − 2μγκB + γ²κA,   B⁺ = μB − γκA + C⁺,   A⁺ = A + 2 (μB − γκA) + C⁺

Momentum narrows the range of γ, and the number of nodes hardly matters.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import Algorithm, noloco
from jaxgossip.learning import isotropic_quadratic
from jaxgossip.mixing import matching
from jaxgossip.network import Round
from jaxgossip.theory import drawing
from jaxgossip.theory.measuring import resampled
from jaxgossip.theory.plot import Claim, Plot, at_least, at_most, farthest

N, MOMENTA = 16, (0.0, 0.3, 0.5)


class Growth(NamedTuple):
    """Factors on the second moments per round.

    Attributes:
        rates: (m,) γ.
        inside: (m,) factors at γ, by μ.
        below: factor at 0.95 of the edge, by μ.
        above: factor at 1.05 of the edge, by μ.
    """

    rates: np.ndarray
    inside: dict[float, np.ndarray]
    below: dict[float, float]
    above: dict[float, float]


def rates(quick: bool) -> np.ndarray:
    """Return γ."""
    return np.linspace(0.3, 1.8, 3 if quick else 6)


def edge(momentum: float) -> float:
    """Return the γ from which second moments grow."""
    return 2 * (1 - momentum**2) / (1 - momentum / (N - 1))


def factor(momentum: float, rate: float) -> float:
    """Return the spectral radius of the map of (A, B, C)."""
    kappa = N / (2 * (N - 1))
    c = np.array([rate**2 * kappa, -2 * momentum * rate * kappa, momentum**2])
    b = np.array([-rate * kappa, momentum, 0]) + c
    a = np.array([1 - 2 * rate * kappa, 2 * momentum, 0]) + c
    return float(np.abs(np.linalg.eigvals(np.stack([a, b, c]))).max())


def predict(quick: bool) -> Growth:
    """Return the factors of the exact map."""
    return _growth(quick, factor)


def measure(quick: bool) -> Growth:
    """Run NoLoCo on gradients of zero, many runs with pairs of their own at once."""
    problem, W = isotropic_quadratic(N, targets=np.zeros((N, 1)), noise=0.0), matching(topology.complete(N))
    runs, rounds = (4000, 300) if quick else (16000, 400)

    def grown(momentum: float, rate: float) -> float:
        algorithm = noloco(problem, optax.sgd(0.0), W, outer_rate=rate, momentum=momentum, local_steps=1)
        return float(jax.jit(lambda: growth(algorithm, ("x", "v"), runs, rounds))())

    return _growth(quick, grown)


def growth(algorithm: Algorithm, fields: tuple[str, ...], runs: int, rounds: int, first: int = 50) -> jax.Array:
    """Return the factor on the expected squared norm of the state per late round, a geometric mean.

    Every round resamples runs in proportion to their squared norms, since rare ones dominate the expectation, and normalises
    all of them.
    """

    def step(state: Any, number: jax.Array, key: jax.Array) -> Any:
        after, _ = algorithm.step(state, Round(number, key, N))
        return state._replace(**{name: getattr(after, name) - getattr(after, name).mean(0) for name in fields})

    def body(number: jax.Array, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        states, total = carry
        keys = jax.random.split(jax.random.fold_in(jax.random.key(1), number), runs + 1)
        states = jax.vmap(step, (0, None, 0))(states, number, keys[1:])
        rows = {name: getattr(states, name) for name in fields}
        size = jnp.stack([jnp.square(part).sum((1, 2)) for part in rows.values()]).sum(0)
        drawn = resampled(size, keys[0])
        rows = {name: (part / jnp.sqrt(size)[:, None, None])[drawn] for name, part in rows.items()}
        return states._replace(**rows), total + jnp.where(number >= first, jnp.log(size.mean()), 0)

    def start(key: jax.Array) -> Any:
        x = jax.random.normal(key, (N, 1))
        return algorithm.init(key)._replace(x=(x - x.mean()) / jnp.linalg.norm(x - x.mean()))

    states = jax.vmap(start)(jax.random.split(jax.random.key(0), runs))
    _, total = jax.lax.fori_loop(0, rounds, body, (states, jnp.zeros(())))
    return jnp.exp(total / (rounds - first))


def _growth(quick: bool, factor_of: Callable[[float, float], float]) -> Growth:
    return Growth(
        rates(quick),
        {mu: np.array([factor_of(mu, float(rate)) for rate in rates(quick)]) for mu in MOMENTA},
        {mu: factor_of(mu, 0.95 * edge(mu)) for mu in MOMENTA},
        {mu: factor_of(mu, 1.05 * edge(mu)) for mu in MOMENTA},
    )


def draw(predicted: Growth, measured: Growth) -> Figure:
    """The factor on the second moments against γ; the edges are marked at a factor of 1."""
    del predicted
    figure, (axes,) = drawing.page(width=6.4, height=4.2)
    fine = np.linspace(0.05, 1.98, 80)
    for number, mu in enumerate(MOMENTA):
        drawing.points(axes, measured.rates, measured.inside[mu], number, f"μ = {mu:g}")
        drawing.theory(axes, fine, [factor(mu, float(rate)) for rate in fine], claimed=f"factor, μ = {mu:g}")
        drawing.theory(axes, [edge(mu)] * 2, [0.9, 1.1], claimed=f"edge, μ = {mu:g}")
    axes.axhline(1.0, color="#bbbbbb", linewidth=0.8, zorder=1)
    axes.set(xlabel=f"consensus rate γ (random pairs of {N} nodes, no gradients)", ylim=(0.4, 1.7))
    axes.set_ylabel("factor on E ‖ΠX‖² per round")
    drawing.legend(axes, loc="upper center")
    return figure


def claims(predicted: Growth, measured: Growth) -> list[Claim]:
    """Return the claims: factors within 1 %, edges within 5 %."""
    checks = []
    for mu in MOMENTA:
        checks.append(farthest(f"factor, μ = {mu:g}", measured.inside[mu], predicted.inside[mu], 0.01))
        checks.append(at_most(f"edge, μ = {mu:g}: factor at 0.95 of it", measured.below[mu], 1.0))
        checks.append(at_least(f"edge, μ = {mu:g}: factor at 1.05 of it", measured.above[mu], 1.0))
    return checks


def noloco_edge() -> Plot:
    """Momentum over random pairs, as in NoLoCo, contracts up to a rate that momentum lowers."""
    source = "Kolehmainen et al. 2025, NoLoCo; second moments in closed form"
    return Plot("NoLoCo's edge of stability (16 nodes)", source, predict, measure, draw, claims, double=False)
