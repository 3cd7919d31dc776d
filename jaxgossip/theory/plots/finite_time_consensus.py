"""Finite-time averaging: sequences of sparse rounds whose product is the exact mean, and networks that never reach it.

One-peer exponential, i hears i + 2^j: t ≤ τ rounds multiply mode k by Π_{j<t} (1 + z^{2^j})/2 = (1 − z^{2^t})/(2^t(1 − z)),
z = e^{2πik/n}. That is 0 for all k after τ rounds iff n = 2^τ; otherwise about a fifth of some mode remains.

For any n there are Base-(k+1) graphs, with k links per node and at most 2 log_{k+1} n + 2 rounds, and halving windows, which
hold the mean of m_t = 1, …, n neighbouring nodes, each size being half of the next rounded up: |sin(πkm/n)/(m sin(πk/n))|
of mode k remains. The same holds after t rounds of k peers, with m = (k+1)^t. A de Bruijn graph never changes and has no
gap, but is exact after log_{k+1} n rounds: what matters is W^t, and W is not normal.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import Algorithm, averaging, halving_windows
from jaxgossip.learning import Problem, quadratics
from jaxgossip.mixing import (
    Mixing,
    base_k_plus_one,
    de_bruijn,
    hyper_hypercube,
    k_peer_exponential,
    metropolis_hastings,
    one_peer_exponential,
    one_peer_hypercube,
)
from jaxgossip.theory import drawing
from jaxgossip.theory.measuring import trajectory, worst_case_distance
from jaxgossip.theory.plot import Claim, Plot, at_least, at_most

ROUNDS = 10
EXACT = (("float64", 1e-12), ("float32", 1e-6))
"""Below this distance a mean counts as exact, by dtype."""
APART = 1e-3
"""Above this distance it is certainly not exact."""


BASE_ROUNDS = MappingProxyType({(25, 1): 9, (25, 2): 6, (25, 3): 5, (25, 4): 2, (6, 1): 4, (22, 1): 8, (24, 1): 6})
"""(n, k) -> number of rounds of the Base-(k+1) graph, as in the published code."""
DRAWN = (
    "one-peer exponential 32",
    "one-peer exponential 25",
    "Base-2, 25 nodes",
    "Base-5, 25 nodes",
    "halving windows 25",
    "static exponential 32",
    "ring 32",
)
"""Networks that are drawn; the others are claimed, but look too much like one of these."""


class Network(NamedTuple):
    """One line of the figure.

    Attributes:
        n_nodes: number of nodes.
        algorithm: function from a problem to the averaging algorithm, called once the precision is set.
        exact: round after which the mean is exact; None if there is none.
        left: t -> ‖M_t − J‖₂, the remainder of the worst start after t rounds.
    """

    n_nodes: int
    algorithm: Callable[[Problem], Algorithm]
    exact: int | None
    left: Callable[[int], float]


class Remainders(NamedTuple):
    """Remainder of the worst start, (rounds + 1,), computed in each precision."""

    float64: np.ndarray
    float32: np.ndarray


def networks(quick: bool) -> dict[str, Network]:
    """Return the networks compared. A further one needs its mixing, the round of exactness and ‖M_t − J‖₂."""
    powers, others, bases = ((32,), (25,), [(25, 4)]) if quick else ((16, 32, 64), (21, 24, 25), [*BASE_ROUNDS])
    result = {f"one-peer exponential {n}": one_peer_network(n) for n in (*powers, *others)}
    cube = topology.hypercube(16)
    result["one-peer hypercube 16"] = Network(
        16, averaging_by(lambda: one_peer_hypercube(cube)), 4, lambda t: float(t < 4)
    )
    result |= {f"Base-{k + 1}, {n} nodes": base_network(n, k) for n, k in bases}
    result |= {f"halving windows {n}": halving_network(n) for n in others}
    # 24 = 2·2·2·3: until the last round some groups have not met.
    result["hyper-hypercube 24, 2 links"] = Network(
        24, averaging_by(lambda: hyper_hypercube(topology.complete(24), degree=2)), 4, lambda t: float(t < 4)
    )
    if not quick:
        complete = topology.complete(27)
        result["2-peer exponential 27"] = Network(
            27,
            averaging_by(lambda: k_peer_exponential(complete, degree=2)),
            3,
            lambda t: window_remainder(27, 3 ** min(t, 3)),
        )
        result["de Bruijn 27"] = Network(
            27, averaging_by(lambda: de_bruijn(complete, degree=2)), 3, lambda t: float(t < 3)
        )
    for name, graph in {"static exponential 32": topology.static_exponential(32), "ring 32": topology.ring(32)}.items():
        rho = topology.second_largest_modulus(topology.metropolis_hastings(graph))
        # Circulants are normal: t rounds leave exactly ρᵗ.
        result[name] = Network(
            32, averaging_by(lambda graph=graph: metropolis_hastings(graph)), None, lambda t, rho=rho: rho**t
        )
    return result


def averaging_by(mixing: Callable[[], Mixing]) -> Callable[[Problem], Algorithm]:
    """Return plain averaging by a mixing that is built when needed."""
    return lambda problem: averaging(problem, optax.identity(), mixing())


def one_peer_network(n: int) -> Network:
    """Return the one-peer exponential sequence on n nodes."""
    tau = (n - 1).bit_length()
    angle = np.pi * np.arange(1, n) / n

    def left(t: int) -> float:
        return float(np.prod([np.abs(np.cos(angle * 2 ** (j % tau))) for j in range(t)] or [1 + 0 * angle], 0).max())

    return Network(
        n, averaging_by(lambda: one_peer_exponential(topology.complete(n))), tau if n == 2**tau else None, left
    )


def base_network(n: int, k: int) -> Network:
    """Return the Base-(k+1) sequence on n nodes; the remainder on the way is computed from its matrices."""
    matrices = [W.to_scipy().toarray() for W in topology.base_k_plus_one(n, k)]

    def left(t: int) -> float:
        product = np.eye(n)
        for j in range(t):
            product = matrices[j % len(matrices)] @ product
        return float(np.linalg.norm(product - 1 / n, 2))

    mixing = averaging_by(lambda: base_k_plus_one(topology.complete(n), degree=k))
    return Network(n, mixing, BASE_ROUNDS[n, k], left)


def halving_network(n: int) -> Network:
    """Return halving windows on n nodes."""
    sizes = [n]
    while sizes[0] > 1:
        sizes.insert(0, -(-sizes[0] // 2))

    def left(t: int) -> float:
        return window_remainder(n, sizes[min(t, len(sizes) - 1)])

    return Network(n, lambda problem: halving_windows(problem, optax.identity()), len(sizes) - 1, left)


def window_remainder(n: int, m: int) -> float:
    """Return the remainder of the worst mode in means over m neighbouring nodes of n."""
    angle = np.pi * np.arange(1, n) / n
    return float(np.abs(np.sin(m * angle) / (m * np.sin(angle))).max())


def predict(quick: bool) -> dict[str, tuple[int | None, np.ndarray]]:
    """Return the round of exactness, if any, and ‖M_t − J‖₂ in all rounds, by network."""
    return {
        name: (network.exact, np.array([network.left(t) for t in range(ROUNDS + 1)]))
        for name, network in networks(quick).items()
    }


def measure(quick: bool) -> dict[str, Remainders]:
    """Average the n unit vectors, which become the columns of M_t."""
    errors = {}
    for name, network in networks(quick).items():
        lines = []
        for double in (True, False):
            with jax.enable_x64(double):
                kind = jnp.float64 if double else jnp.float32
                problem = quadratics.averaging(network.n_nodes, values=np.eye(network.n_nodes), dtype=kind)
                lines.append(worst_case_distance(trajectory(network.algorithm(problem), ROUNDS)))
        errors[name] = Remainders(*lines)
    return errors


def draw(predicted: dict[str, tuple[int | None, np.ndarray]], measured: dict[str, Remainders]) -> Figure:
    """Distance of the worst start against rounds, in float64; values that are exact to rounding are at the bottom."""
    figure, (axes,) = drawing.page(width=7.0, height=4.2)
    t = np.arange(ROUNDS + 1)
    floor = 1e-17
    for number, name in enumerate(name for name in DRAWN if name in measured):
        errors = measured[name]
        exact, left = predicted[name]
        until = len(t) if exact is None else exact + 1
        drawing.series(axes, t[:until], np.maximum(errors.float64[:until], floor), number, name)
        drawing.theory(axes, t[:until], np.where(left[:until] < 1e-14, floor, left[:until]),
                       claimed=f"greatest distance from theory in all rounds, {name}")  # fmt: skip
    axes.axhline(EXACT[0][1], color="#999999", linewidth=0.8)
    axes.text(6.8, EXACT[0][1] * 0.6, "below: exact to rounding", fontsize=8, va="top", ha="center", color="#555555")
    axes.set(yscale="log", ylim=(floor / 3, 3), xlabel="round", ylabel="left of the worst start, ‖M − J‖₂")
    drawing.legend(axes, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def claims(predicted: dict[str, tuple[int | None, np.ndarray]], measured: dict[str, Remainders]) -> list[Claim]:
    """Return the claims.

    Each network is exact at the predicted round in both precisions and not one round earlier, or never if none is
    predicted; and at the predicted distance in every round.
    """
    checks = []
    for name, errors in measured.items():
        exact, left = predicted[name]
        if exact is None:
            checks.append(at_least(f"never exact, {name}", errors.float64.min(), APART))
        else:
            for kind, bound in EXACT:
                line = getattr(errors, kind)
                checks.append(at_most(f"exact at round {exact} in {kind}, {name}", line[exact], bound))
                checks.append(at_least(f"not exact at round {exact - 1} in {kind}, {name}", line[exact - 1], APART))
        gap = np.abs(errors.float64 - left).max()
        checks.append(Claim(f"greatest distance from theory in all rounds, {name}", gap, 0.0, 1e-12, "absolute"))
    return checks


def finite_time_consensus() -> Plot:
    """Sparse sequences average exactly after log₂ n rounds on 2^τ nodes; fixed graphs never do, and other n need others."""
    source = (
        "Ying et al. 2021, Exponential graph is provably efficient for decentralized deep training; "
        "Takezawa et al. 2023, Beyond exponential graph"
    )
    return Plot("Finite-time consensus", source, predict, measure, draw, claims)
