"""Muffliato: enough noise to hide each node is averaged away, and little is learnt about distant nodes."""

import math
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import algorithms, topology
from jaxgossip.algorithms.sgd.muffliato import muffliato_steps
from jaxgossip.learning import averaging as averaging_problem
from jaxgossip.mixing import metropolis_hastings
from jaxgossip.network import Round
from jaxgossip.network.privacy import joint_privacy, pairwise_privacy
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot, at_least, at_most

DIMENSIONS = (6, 8, 10)
SIGMA = 1.0
"""Standard deviation of the noise in each value; values have variance 1 and sensitivity 1."""
FALL = 1.8
"""Smallest factor by which the mean loss towards another node falls with four times as many nodes."""


class Theory(NamedTuple):
    """Predictions for one hypercube.

    Attributes:
        mse: (1/n)E‖X_K − x̄‖².
        apart: part of it that is disagreement between nodes, from the eigenvalues.
        loss: mean loss over all pairs, including a node with itself: T d/n.
    """

    mse: float
    apart: float
    loss: float


class Measured(NamedTuple):
    """Measurements on one hypercube.

    Attributes:
        mse: (1/n)‖X_K − x̄‖², averaged over columns.
        apart: part of it that is disagreement between nodes.
        loss: mean loss of a node towards another.
        joint: mean loss towards node 0 from everything it observed jointly.
        by_distance: (dimension,) mean loss towards a node at distance 1, 2, ….
        all_pairs: mean loss over all pairs, including a node with itself.
    """

    mse: float
    apart: float
    loss: float
    joint: float
    by_distance: np.ndarray
    all_pairs: float


def gap(dimension: int) -> float:
    """Return 1 − ρ = 2/(d + 1) of the hypercube under Metropolis–Hastings weights."""
    return 2 / (dimension + 1)


def predict(_: bool) -> dict[int, Theory]:
    """Return the error of accelerated gossip, by mode, and the mean of the published sum."""
    return {dimension: _predicted(dimension) for dimension in DIMENSIONS}


def _predicted(dimension: int) -> Theory:
    """Each mode obeys p_{k+1} = ωλp_k + (1 − ω)p_{k−1}; values plus noise have variance 1 + σ² in it, the mean σ²/n."""
    n, rho = 2**dimension, 1 - gap(dimension)
    steps, omega = muffliato_steps(n, SIGMA, gap(dimension)), 2 / (1 + math.sqrt(1 - rho**2))
    k = np.arange(1, dimension + 1)
    lam, multiplicity = 1 - 2 * k / (dimension + 1), np.array([math.comb(dimension, order) for order in k])
    before, now = np.ones_like(lam), lam
    for _ in range(steps - 1):
        before, now = now, omega * lam * now + (1 - omega) * before
    apart = (1 + SIGMA**2) * float((multiplicity * now**2).sum()) / n
    return Theory(SIGMA**2 / n + apart, apart, steps * dimension / n / SIGMA**2)


def measure(quick: bool) -> dict[int, Measured]:
    """Average noisy values once, in many columns, and compute privacy losses from the weights."""
    return {dimension: _measured(dimension, (2**21 if quick else 2**22) // 2**dimension) for dimension in DIMENSIONS}


def _measured(dimension: int, columns: int) -> Measured:
    n, graph = 2**dimension, topology.hypercube(2**dimension)
    x = np.random.default_rng(dimension).normal(size=(n, columns))
    problem = averaging_problem(n, values=x, dtype=jnp.float64)
    algorithm = algorithms.muffliato(problem, optax.identity(), metropolis_hastings(graph), noise=SIGMA)
    state, _ = jax.jit(lambda state: algorithm.step(state, Round(jnp.int32(0), jax.random.key(0), n)))(
        algorithm.init(jax.random.key(0))
    )
    mse, apart = (float(jnp.square(state.x - middle).mean()) for middle in (x.mean(0), state.x.mean(0)))

    weights, steps = topology.metropolis_hastings(graph), algorithm.mixings
    loss = pairwise_privacy(weights, steps, SIGMA)
    joint = joint_privacy(weights, steps, SIGMA, observers=[0])[1:, 0]
    distance = np.array([node.bit_count() for node in range(n)])
    by_distance = np.array([loss[distance == d, 0].mean() for d in range(1, dimension + 1)])
    return Measured(mse, apart, loss[~np.eye(n, dtype=bool)].mean(), joint.mean(), by_distance, loss.mean())


def draw(predicted: dict[int, Theory], measured: dict[int, Measured]) -> Figure:
    """Left: error against size. Middle: mean loss against size. Right: loss against distance."""
    figure, (left, middle, right) = drawing.page(3, width=3.9, height=3.9)
    n = 2.0 ** np.array(DIMENSIONS)
    results = list(measured.values())
    drawing.series(left, n, [result.mse for result in results], 0, "Muffliato")
    drawing.theory(
        left,
        n,
        [result.mse for result in predicted.values()],
        "theory, from all eigenvalues",
        claimed="mean squared error, ",
    )
    drawing.reference(left, n, 3 * SIGMA**2 / n, "bound, 3σ²/n")
    left.set_ylabel("mean squared error of a node's average")
    drawing.series(middle, n, [result.all_pairs for result in results], 1, "published sum, over all pairs")
    drawing.series(middle, n, [result.joint for result in results], 2, "all messages jointly, to node 0")
    drawing.theory(
        middle,
        n,
        [result.loss for result in predicted.values()],
        "theory, K·degree/n",
        claimed="mean of the published sum, ",
    )
    middle.set_ylabel("mean Rényi privacy loss ε(α = 2)")
    for axes in (left, middle):
        axes.set_xscale("log", base=2)
        axes.set(yscale="log", xlabel="nodes n")
    left.set_ylim(1e-3, 0.2)
    middle.set_ylim(0.08, 4)
    for number, (dimension, result) in enumerate(measured.items()):
        drawing.series(right, np.arange(1, dimension + 1), result.by_distance, number + 3, f"{2**dimension} nodes")
    right.axhline(1 / SIGMA**2, color="#777777", linestyle=":", label="local noise alone, αΔ²/2σ²")
    right.set(
        yscale="log",
        ylim=(0.05, 8),
        xlabel="links between the two nodes",
        ylabel="mean loss by distance, published sum",
    )
    for axes in (left, middle):
        drawing.legend(axes, loc="upper right", borderaxespad=0.6)
    handles, labels = right.get_legend_handles_labels()
    right.legend(handles, labels, loc="upper right", borderaxespad=0.4, frameon=False, fontsize=8.5)
    return figure


def claims(predicted: dict[int, Theory], measured: dict[int, Measured]) -> list[Claim]:
    """Return the claims.

    Error of the order of the noise in the mean; loss that falls with size and with every link of distance.
    """
    checks = []
    for dimension, result in measured.items():
        n = 2**dimension
        # The error is a mean over sampled starts, and scatters by a few per cent.
        checks += [
            at_most(f"error at most 3σ²/n, {n} nodes", result.mse, 3 * SIGMA**2 / n),
            Claim(f"mean squared error, {n} nodes", result.mse, predicted[dimension].mse, 0.05),
            Claim(f"disagreement left, {n} nodes", result.apart, predicted[dimension].apart, 0.05),
            Claim(f"mean of the published sum, {n} nodes", result.all_pairs, predicted[dimension].loss, 1e-9),
            at_least(f"one more link takes off, {n} nodes", -float(np.diff(result.by_distance).max()), 0.0),
        ]
    for small, large in pairwise(DIMENSIONS):
        ratio = measured[small].loss / measured[large].loss
        checks.append(at_least(f"mean loss, {2**small} over {2**large} nodes", ratio, FALL))
    return checks


def muffliato() -> Plot:
    """On hypercubes Muffliato averages noisy values to 3σ²/n, and a node's privacy loss falls with size and with distance.

    The pairwise sum of the NeurIPS version, since corrected, adds the losses of single messages; the joint loss of everything
    that a node observed, drawn beside it, is a true bound. Between close nodes the sum exceeds the local loss αΔ²/(2σ²), which
    always holds.
    """
    source = "Cyffers, Even, Bellet and Massoulié 2022, Muffliato (NeurIPS version); K = ⌈ln((n/σ²)max(¼, σ²))/√gap⌉"
    return Plot("Muffliato: accurate, and private at a distance", source, predict, measure, draw, claims)
