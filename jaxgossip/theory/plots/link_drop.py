"""Failing links: one round reduces each mode as its two moments predict, and symmetric failures conserve the mean."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import averaging
from jaxgossip.learning import averaging as averaging_problem
from jaxgossip.mixing import max_degree
from jaxgossip.network import Conditions, Round
from jaxgossip.theory import drawing, predictions
from jaxgossip.theory.plot import Claim, Plot, at_most

NODES = 16
LOSSES = (0.1, 0.3, 0.5, 0.8)
BATCH = 1000


class Moments(NamedTuple):
    """Remainder after one round, by mode in the order of ``mu``.

    Attributes:
        mu: (n,) eigenvalues of the Laplacian, ascending.
        left: (losses, n) E‖x⁺‖²/‖x‖².
        drift: largest (mean of x⁺ − mean of x)² over all rounds.
    """

    mu: np.ndarray
    left: np.ndarray
    drift: float


def networks() -> dict[str, topology.Graph]:
    """Return the graphs by name: one regular, one with unequal degrees."""
    return {
        f"ring of {NODES}": topology.ring(NODES),
        f"Barabási–Albert graph of {NODES}, m = 2": topology.barabasi_albert(NODES, m=2, rng=0),
    }


def step_size(graph: topology.Graph) -> float:
    """Return α in W = I − αL, the weight of every edge."""
    return 1 / (1 + int(graph.degrees.max()))


def moments(alpha: float, mu: np.ndarray, q: float) -> np.ndarray:
    """Return the remainder of the modes ``mu`` after a round."""
    return np.array([predictions.link_drop_moment(alpha, eigenvalue, q) for eigenvalue in mu])


def predict(_: bool) -> dict[str, Moments]:
    """Return the second moment of every mode under every probability of failure."""
    return {name: _predicted(graph) for name, graph in networks().items()}


def _predicted(graph: topology.Graph) -> Moments:
    adjacency = (graph.to_scipy().toarray() != 0).astype(float)
    mu = np.maximum(np.linalg.eigvalsh(np.diag(adjacency.sum(1)) - adjacency), 0)
    return Moments(mu, np.array([moments(step_size(graph), mu, q) for q in LOSSES]), 0.0)


def measure(quick: bool) -> dict[str, Moments]:
    """Average once from every eigenvector, many times."""
    return {name: _measured(graph, 100 if quick else 400) for name, graph in networks().items()}


def _measured(graph: topology.Graph, batches: int) -> Moments:
    W = max_degree(graph)
    lam, modes = np.linalg.eigh(W.as_matrix())
    modes = modes[:, ::-1]
    algorithm = averaging(averaging_problem(NODES, values=modes, dtype=jnp.float64), optax.identity(), W)
    state = algorithm.init(jax.random.key(0))

    def mix_once(key: jax.Array, q: jax.Array) -> jax.Array:
        return algorithm.step(state, Round(jnp.int32(0), key, NODES, Conditions(link_drop=q)))[0].x

    def batch(sums: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[Any, None]:
        # The same links fail for every q, except for those that fail only at a larger q.
        x = jax.vmap(lambda q: jax.vmap(lambda key: mix_once(key, q))(jax.random.split(key, BATCH)))(jnp.array(LOSSES))
        drift = jnp.square(x.mean(2) - state.x.mean(0)).max()
        return (sums[0] + jnp.square(x).sum(2).mean(1), jnp.maximum(sums[1], drift)), None

    start = (jnp.zeros((len(LOSSES), NODES)), jnp.zeros(()))
    (left, drift), _ = jax.jit(lambda keys: jax.lax.scan(batch, start, keys))(
        jax.random.split(jax.random.key(1), batches)
    )
    return Moments((1 - lam[::-1]) / step_size(graph), np.asarray(left) / batches, float(drift))


def draw(_: dict[str, Moments], measured: dict[str, Moments]) -> Figure:
    """Remainder of a mode after a round, against its Laplacian eigenvalue."""
    figure, panels = drawing.page(2, height=4.0)
    for axes, (name, result) in zip(panels, measured.items(), strict=True):
        fine = np.linspace(0, result.mu[-1] * 1.02, 200)
        alpha = step_size(networks()[name])
        for number, q in enumerate(LOSSES):
            axes.plot(
                result.mu,
                result.left[number],
                color=f"C{number}",
                marker=drawing.MARKS[number],
                markersize=5,
                linestyle="",
                label=f"{q:.0%} of the links fail",
            )
            drawing.theory(axes, fine, moments(alpha, fine, q), claimed=f"worst mode, {name}, {q:.0%} fail")
        drawing.title(axes, name)
        axes.set(xlabel="Laplacian eigenvalue μ of the mode", ylim=(0, 1.03))
    panels[0].set_ylabel("left by one round, E‖x⁺‖² / ‖x‖²")
    drawing.legend(panels[1], loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure


def claims(predicted: dict[str, Moments], measured: dict[str, Moments]) -> list[Claim]:
    """Return the claims: the mode with the largest deviation is within half a per cent, and no round moves the mean."""
    checks = []
    for name, expected in predicted.items():
        for q, left, theory in zip(LOSSES, measured[name].left, expected.left, strict=True):
            worst = np.abs(left / theory - 1).argmax()
            checks.append(Claim(f"worst mode, {name}, {q:.0%} fail", left[worst], theory[worst], 0.005))
        checks.append(at_most(f"the mean stays, {name}", measured[name].drift, 0.0, 1e-28))
    return checks


def link_drop() -> Plot:
    """With links that fail at random, a round leaves each mode 1 − 2α(1−q)μ + α²((1−q)²μ² + 2q(1−q)μ) of its square.

    L_q = Σ_e ξ_e b_e b_eᵀ has E L_q = (1 − q)L and E L_q² = (1 − q)²L² + 2q(1 − q)L, as (b_e b_eᵀ)² = 2 b_e b_eᵀ: W_q =
    I − αL_q of an eigenvector Lx = μx.
    """
    source = "E L_q² = (1−q)²L² + 2q(1−q)L for independent links; compare Kar and Moura 2008, Sensor networks with random links"
    return Plot("Failing links, mode by mode", source, predict, measure, draw, claims)
