"""Averaging: late rounds reduce the disagreement by exactly ρ = ‖W − J‖₂, whatever the topology."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.mixing import Operator, metropolis_hastings
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot

ROUNDS, COLUMNS = 60, 16


class Contraction(NamedTuple):
    """Measurements on one graph.

    Attributes:
        left: (rounds + 1,) ‖ΠXₜ‖/‖ΠX₀‖ from a random start.
        rate: factor on the disagreement per late round.
    """

    left: np.ndarray
    rate: float


def networks(quick: bool) -> dict[str, topology.Graph]:
    """Return the graphs by name."""
    sizes = (16, 64) if quick else (16, 64, 256)
    rings = {f"ring {n}": topology.ring(n) for n in sizes}
    return rings | {
        "torus 8×8": topology.torus(64),
        "hypercube 64": topology.hypercube(64),
        "star 64": topology.star(64),
        "static exponential 64": topology.static_exponential(64),
    }


def predict(quick: bool) -> dict[str, float]:
    """Return ρ of each graph under Metropolis–Hastings weights, by its closed form."""
    return {
        name: topology.second_largest_modulus(topology.metropolis_hastings(graph))
        for name, graph in networks(quick).items()
    }


def measure(quick: bool) -> dict[str, Contraction]:
    """Mix a random start; and measure late rounds on another start, renormalised in every round."""
    return {name: _contraction(metropolis_hastings(graph)) for name, graph in networks(quick).items()}


def _contraction(W: Operator) -> Contraction:
    start = jax.random.normal(jax.random.key(0), (W.n_nodes, COLUMNS))
    start = start - start.mean(0)

    def one_round(x: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        x = W(x)
        return x, jnp.linalg.norm(x - x.mean(0))

    def two_rounds(_: Any, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        # The norm over two rounds, as the signs of two extreme eigenvalues may alternate.
        x, _ = carry
        after = W(W(x))
        after = after - after.mean(0)
        size = jnp.linalg.norm(after)
        return after / size, jnp.sqrt(size)

    _, sizes = jax.lax.scan(one_round, start, None, ROUNDS)
    first = jnp.linalg.norm(start)
    iterate = jax.jit(lambda x: jax.lax.fori_loop(0, 30 * W.n_nodes**2 // 16 + 500, two_rounds, (x, jnp.zeros(()))))
    _, rate = iterate(start / first)
    return Contraction(np.concatenate([[1.0], np.asarray(sizes) / float(first)]), float(rate))


def draw(predicted: dict[str, float], measured: dict[str, Contraction]) -> Figure:
    """Disagreement against rounds; dashed, the slope ρᵗ through the end of each line."""
    figure, (axes,) = drawing.page(width=6.2, height=4.2)
    t = np.arange(ROUNDS + 1)
    for number, (name, contraction) in enumerate(measured.items()):
        drawing.series(axes, t, contraction.left, number, name)
        late = t >= ROUNDS // 2
        drawing.theory(axes, t[late], contraction.left[-1] * predicted[name] ** (t[late] - ROUNDS),
                       claimed=f"late contraction, {name}")  # fmt: skip
    axes.set(yscale="log", ylim=(1e-9, 1.5), xlabel="round", ylabel="disagreement left, ‖ΠX‖ / ‖ΠX₀‖")
    drawing.legend(axes, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def claims(predicted: dict[str, float], measured: dict[str, Contraction]) -> list[Claim]:
    """Return the claims: each late contraction is ρ to within 10⁻⁶."""
    return [
        Claim(f"late contraction, {name}", contraction.rate, predicted[name], 1e-6, "absolute")
        for name, contraction in measured.items()
    ]


def consensus_contraction() -> Plot:
    """A late round of averaging shrinks the disagreement by exactly ρ, the second largest modulus of W."""
    source = "Xiao and Boyd 2004, Fast linear iterations for distributed averaging (per-step convergence factor)"
    return Plot("Consensus contraction", source, predict, measure, draw, claims)
