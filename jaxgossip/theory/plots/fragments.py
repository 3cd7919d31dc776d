"""Fragments against one graph: graphs of their own weaken the covariances between fragments, which correlation feeds on.

On f(x) = ½ xᵀAx, with the p columns of X in K fragments and W_f exchangeable s-regular graphs, drawn for each by itself:

    Σ⁺ = B ⊙ ((I − ηA) Σ (I − ηA)),   B = β within a fragment, β² between fragments,   β = (1 − s/(n − 1))/(s + 1)

for Σ = E XᵀΠX, as E WᵀΠW = β Π and E W = J + β Π. A rate is the spectral radius of this map; on one graph, B = β everywhere.
Of two columns with A = [[1, r], [r, 1]], with c = (1 − η)² + (ηr)² and d = 2 (1 − η) ηr:

    one graph  β (1 − η + ηr)²,      two  ½β ((1 + β) c + √((1 − β)² c² + 4β d²))

With r = 0 they are equal: what gains is the correlation of entries of different fragments, not the number of these.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, override

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import dsgd
from jaxgossip.core.typing import DrawNumbers, NodeFloats, NodeInts, NodeScores, PRNGKey, Rows
from jaxgossip.learning.problem import SyntheticProblem
from jaxgossip.mixing import fragmented, fresh_regular
from jaxgossip.network import Round
from jaxgossip.theory import drawing, predictions
from jaxgossip.theory.measuring import resampled
from jaxgossip.theory.plot import Claim, Plot, at_most, farthest

N, ETA, DEGREES, STRONGEST = 16, 0.5, (2, 4), 0.9
COLUMNS, FRAGMENTS = 8, (1, 2, 4, 8)


class Rates(NamedTuple):
    """Factors on E‖ΠX‖² per round.

    Attributes:
        correlations: (m,) r.
        one: (m,) by degree s, of one graph for both columns.
        two: (m,) by degree, of a graph for each.
        many: (k,) by degree, of 1, 2, … fragments of eight columns.
    """

    correlations: np.ndarray
    one: dict[int, np.ndarray]
    two: dict[int, np.ndarray]
    many: dict[int, np.ndarray]


def correlations(quick: bool) -> np.ndarray:
    """Return r."""
    return np.array([0.0, 0.5, STRONGEST]) if quick else np.array([0.0, 0.25, 0.5, 0.75, STRONGEST])


def pair(r: float) -> np.ndarray:
    """Return A of two columns."""
    return np.array([[1, r], [r, 1.0]])


def joint() -> np.ndarray:
    """Return A of eight columns, flat in the direction in which all of them move together."""
    return np.eye(COLUMNS) - STRONGEST / COLUMNS


def rate(A: np.ndarray, degree: int, fragments: int) -> float:
    """Return the spectral radius of the map of Σ."""
    beta, step = predictions.oracle_beta(N, degree), np.eye(len(A)) - ETA * A
    fragment = np.arange(len(A)) * fragments // len(A)
    B = np.where(fragment[:, None] == fragment, beta, beta**2)
    return float(np.abs(np.linalg.eigvals(B.reshape(-1, 1) * np.kron(step, step))).max())


def closed_form(r: float, degree: int, fragments: int) -> float:
    """Return the rate of two columns in one or two fragments."""
    beta, c, d = predictions.oracle_beta(N, degree), (1 - ETA) ** 2 + (ETA * r) ** 2, 2 * (1 - ETA) * ETA * r
    if fragments == 1:
        return beta * (c + d)
    return beta / 2 * ((1 + beta) * c + np.sqrt((1 - beta) ** 2 * c**2 + 4 * beta * d**2))


def predict(quick: bool) -> Rates:
    """Return the rates in closed form, and those of the exact map."""
    r = correlations(quick)
    one, two = ({s: np.array([closed_form(value, s, k) for value in r]) for s in DEGREES} for k in (1, 2))
    return Rates(r, one, two, {s: np.array([rate(joint(), s, k) for k in FRAGMENTS]) for s in DEGREES})


class Tied(SyntheticProblem):
    """f(x) = ½ xᵀAx on every node."""

    def __init__(self, A: Array | np.ndarray) -> None:
        self.A, self.n_nodes, self.dtype = jnp.asarray(A, jnp.float32), N, np.dtype(np.float32)
        self.n_params = self.n_shared = A.shape[0]
        self.sample_counts = jnp.ones(N, jnp.float32)

    def init(self, key: PRNGKey) -> Rows:
        """Return (n, p) standard normal starts."""
        return jax.random.normal(key, (self.n_nodes, self.n_params), self.dtype)

    @override
    def gradient(self, x: Rows, key: PRNGKey) -> Rows:
        """Return X A."""
        return x @ self.A

    def gradient_at(self, x: Rows, nodes: NodeInts, key: PRNGKey, numbers: DrawNumbers) -> Rows:
        """Return X A, (b, p), whatever the nodes."""
        del nodes, numbers
        return self.gradient(x, key)

    def loss_at(self, x: Rows, nodes: NodeInts) -> NodeFloats:
        """Return ½ xⱼᵀA xⱼ, (b,)."""
        del nodes
        return (x * (x @ self.A)).sum(1) / 2

    def evaluate(self, x: Rows) -> NodeScores:
        """Return distance_to_optimum of every row, (s,)."""
        return {"distance_to_optimum": jnp.square(x).sum(1)}


def measure(quick: bool) -> Rates:
    """Run D-SGD over fragments, many runs with graphs of their own at once."""
    runs, rounds = (4000, 80) if quick else (10000, 120)

    def program(degree: int, fragments: int) -> Callable[[np.ndarray], Array]:
        """Return A -> the rate; one program for all A."""
        W = fragmented(fresh_regular(topology.complete(N), degree=degree), fragments=fragments)

        def of(A: Array) -> Array:
            return contraction(dsgd(Tied(A), optax.sgd(ETA), W), runs, rounds)

        return jax.jit(of)

    def at(fragments: int) -> dict[int, np.ndarray]:
        of_degree = {s: program(s, fragments) for s in DEGREES}
        return {s: np.array([float(of_degree[s](pair(r))) for r in correlations(quick)]) for s in DEGREES}

    many = {s: np.array([float(program(s, k)(joint())) for k in FRAGMENTS]) for s in DEGREES}
    return Rates(correlations(quick), at(1), at(2), many)


def contraction(algorithm: Any, runs: int, rounds: int, first: int = 15) -> Array:
    """Return the factor on E‖ΠX‖² per late round, a geometric mean.

    Every round resamples runs in proportion to their squared norms, since rare ones dominate the expectation, and normalises
    all of them.
    """

    def step(x: Rows, number: Array, key: PRNGKey) -> Rows:
        after, _ = algorithm.step(start._replace(x=x), Round(number, key, N))
        return after.x - after.x.mean(0)

    def body(number: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        x, total = carry
        keys = jax.random.split(jax.random.fold_in(jax.random.key(1), number), runs + 1)
        x = jax.vmap(step, (0, None, 0))(x, number, keys[1:])
        size = jnp.square(x).sum((1, 2))
        drawn = resampled(size, keys[0])
        return (x / jnp.sqrt(size)[:, None, None])[drawn], total + jnp.where(number >= first, jnp.log(size.mean()), 0)

    start = algorithm.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(2), (runs, *start.x.shape))
    x = x - x.mean(1, keepdims=True)
    x = x / jnp.linalg.norm(x, axis=(1, 2), keepdims=True)
    _, total = jax.lax.fori_loop(0, rounds, body, (x, jnp.zeros(())))
    return jnp.exp(total / (rounds - first))


def draw(predicted: Rates, measured: Rates) -> Figure:
    """The factor on disagreement against the correlation of two columns, and against the number of fragments of eight."""
    figure, (left, right) = drawing.page(2, width=4.6, height=3.9)
    fine = np.linspace(0, 0.95, 60)
    for number, (s, k) in enumerate((s, k) for s in DEGREES for k in (1, 2)):
        found, name = (measured.one, measured.two)[k - 1][s], _name(s, k)
        drawing.points(left, measured.correlations, found, number, name)
        drawing.theory(left, fine, [closed_form(r, s, k) for r in fine], claimed=name)
    left.set(xlabel="correlation r of two columns, η = 0.5", ylabel="factor on E ‖ΠX‖² per round", ylim=(0, 0.31))
    drawing.title(left, f"two columns, {N} nodes")
    drawing.legend(left, loc="upper left", fontsize=8)
    for number, s in enumerate(DEGREES):
        drawing.points(right, FRAGMENTS, measured.many[s], 2 * number, f"s = {s}")
        drawing.theory(right, FRAGMENTS, predicted.many[s], claimed=f"eight columns, s = {s}")
    right.set(xscale="log", xlabel="fragments K, each with a graph of its own", ylim=(0, 0.31))
    drawing.ticks(right, FRAGMENTS)
    drawing.title(right, f"eight columns that move together, r = {STRONGEST:g}")
    drawing.legend(right, loc="upper right", fontsize=8)
    return figure


def claims(predicted: Rates, measured: Rates) -> list[Claim]:
    """Return the claims: rates within 1 %, and that they are equal without correlation."""
    checks = []
    for s in DEGREES:
        for k, which in ((1, "one"), (2, "two")):
            checks.append(farthest(_name(s, k), getattr(measured, which)[s], getattr(predicted, which)[s], 0.01))
        checks.append(farthest(f"eight columns, s = {s}", measured.many[s], predicted.many[s], 0.01))
        checks.append(Claim(f"r = 0, s = {s}: two against one", measured.two[s][0], measured.one[s][0], 0.01))
        gained = measured.two[s][-1] / measured.one[s][-1]
        bound = predicted.two[s][-1] / predicted.one[s][-1]
        checks.append(at_most(f"r = {STRONGEST:g}, s = {s}: two over one graph", gained, bound, 0.01))
    return checks


def _name(degree: int, fragments: int) -> str:
    return f"{('one graph', 'a graph each')[fragments - 1]}, s = {degree}"


def fragments() -> Plot:
    """Fragments with graphs of their own contract faster than one graph where their entries are correlated."""
    source = "Biswas et al. 2026, Mosaic; second moments in closed form"
    return Plot("Fragments against one graph (16 nodes)", source, predict, measure, draw, claims, double=False)
