"""Beyond the spectral gap: the effective number of neighbours n_W(γ) determines D-SGD's best step size and rate.

Two cliques joined by one link have half the ring's gap and nearly twice its best rate: what matters is the number of nodes
averaged over within the horizon 1/(1 − γ) of learning, not when the last disagreement between distant nodes is gone.

n_W is measured by its definition: without neighbours D-SGD at γ = (1 − η)² has the stationary error dη²s²/(1 − γ), with
them n_W times less. Rates are those of E‖x‖² on random quadratics (:mod:`jaxgossip.theory.random_quadratics`), where the
fixed point by n_W is exact on vertex-transitive graphs; on others it treats nodes as equivalent, and the map of their
covariance is exact.
"""

from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import dsgd
from jaxgossip.learning.quadratics import isotropic_quadratic
from jaxgossip.mixing import Mixing, Operator, metropolis_hastings, one_peer_exponential
from jaxgossip.network import Round
from jaxgossip.theory import drawing, random_quadratics
from jaxgossip.theory.measuring import OneSample, stationary
from jaxgossip.theory.plot import Claim, Plot, at_least, at_most, farthest
from jaxgossip.topology.spectra.effective_neighbours import neighbours_of_spectrum

N, ZETA = 32, 50.0
STATIONARY, MOST_ROUNDS = 1e-10, 100_000
"""A factor counts as stationary if it changes by no more than this; after so many rounds there is no result."""
CLIQUES, EVERYBODY, ONE_PEER = "two cliques", "complete", "one-peer exponential"
TRANSITIVE = ("ring", "torus 4×8", "hypercube", "static exponential", EVERYBODY)
QUOTED = MappingProxyType({
    "star": 0.059, "binary tree": 0.103, "ring": 0.126, "torus 4×8": 0.214, "hypercube": 0.244, "static exponential": 0.249,
    CLIQUES: 0.251, EVERYBODY: 0.395,
})  # fmt: skip
"""Rates at the best step size, ζ = 50, from an earlier computation by the exact covariance."""


class Results(NamedTuple):
    """All predictions or measurements.

    Attributes:
        graphs: results by graph.
        one_peer: n_W(γ) of the one-peer exponential sequence by γ.
    """

    graphs: dict[str, "GraphResult"]
    one_peer: dict[float, float]


class GraphResult(NamedTuple):
    """Predictions or measurements on one graph.

    Attributes:
        gap: 1 − ρ.
        neighbours: n_W(γ) by γ.
        best: best step size by the fixed point.
        fixed: rate, 1 − the factor on E‖x‖² per round, at the best step size: as in ``sweep``, or by the covariance under W.
        rate: mean rate over the rounds of ``window``: by the exact covariance in NumPy, or by sampled runs.
        exact: rate of the exact covariance at its own best step size: in NumPy, or under W.
        sweep: rates over ``swept``: by the fixed point if all nodes are equivalent, else by the exact covariance in NumPy; or
            by the covariance under W.
    """

    gap: float
    neighbours: dict[float, float]
    best: float
    fixed: float
    rate: float
    exact: float
    sweep: np.ndarray


def networks(quick: bool) -> dict[str, topology.Graph]:
    """Return the graphs by name."""
    half = np.arange(N) < N // 2
    adjacency = (half[:, None] == half) & ~np.eye(N, dtype=bool)
    adjacency[N // 2 - 1, N // 2] = adjacency[N // 2, N // 2 - 1] = True
    graphs = {"ring": topology.ring(N), CLIQUES: topology.from_scipy(adjacency.astype(float))}
    if quick:
        return graphs
    return graphs | {
        "hypercube": topology.hypercube(N),
        "torus 4×8": topology.torus(N, shape=(4, 8)),
        "static exponential": topology.static_exponential(N),
        "star": topology.star(N),
        "binary tree": topology.binary_tree(N),
        EVERYBODY: topology.complete(N),
    }


def gammas(quick: bool) -> tuple[float, ...]:
    """Return the γ at which n_W is measured."""
    return (0.5, 0.9) if quick else (0.5, 0.9, 0.99)


def window(quick: bool) -> tuple[int, int]:
    """Return the rounds between which sampled runs are compared."""
    return (12, 28) if quick else (16, 36)


def swept() -> np.ndarray:
    """Return the step sizes at which the rates of all graphs are compared."""
    return np.linspace(0.03, 0.36, 12)


def predict(quick: bool) -> Results:
    """Return predictions from the eigenvalues of W, and the exact covariance's rate from W itself."""
    graphs = {}
    for name, graph in networks(quick).items():
        W = topology.metropolis_hastings(graph)
        lam, matrix = topology.eigenvalues(W), W.to_scipy().toarray()
        best = random_quadratics.best_step(lam, ZETA)
        rates = _rates(name, lam, matrix, np.append(swept(), best))
        graphs[name] = GraphResult(
            topology.spectral_gap(W),
            {gamma: float(neighbours_of_spectrum(lam, gamma)) for gamma in gammas(quick)},
            best,
            float(rates[-1]),
            random_quadratics.covariance_window(matrix, best, ZETA, *window(quick)),
            random_quadratics.exact_best(matrix, ZETA, best)[1],
            rates[:-1],
        )
    hops = 2 ** np.arange((N - 1).bit_length())
    lam = (1 + np.exp(2j * np.pi * np.outer(hops, np.arange(N)) / N)) / 2
    return Results(graphs, {gamma: random_quadratics.periodic_neighbours(lam, gamma) for gamma in gammas(quick)})


def _rates(name: str, lam: np.ndarray, matrix: np.ndarray, etas: np.ndarray) -> np.ndarray:
    """Return the predicted rate at each step size: by the fixed point where nodes are equivalent, else by the covariance."""
    if name in TRANSITIVE:
        return random_quadratics.random_quadratic_rate(lam, etas, ZETA)
    return np.array([random_quadratics.covariance_rate(matrix, float(eta), ZETA) for eta in etas])


def measure(quick: bool) -> Results:
    """Run D-SGD to its noise floor and on random quadratics, and apply W to the covariance of the nodes."""
    graphs = {}
    for name, graph in networks(quick).items():
        W = metropolis_hastings(graph)
        best = random_quadratics.best_step(topology.eigenvalues(topology.metropolis_hastings(graph)), ZETA)
        step, _ = random_quadratics.exact_best(W.as_matrix(), ZETA, best)
        rates = np.asarray(_covariance_rates(W, jnp.concatenate([swept(), jnp.array([best, step])])))
        graphs[name] = GraphResult(
            1 - float(np.linalg.norm(W.as_matrix() - 1 / N, 2)),
            _variance_reduction(W, quick),
            best,
            float(rates[-2]),
            _sampled_rate(W, best, quick),
            float(rates[-1]),
            rates[:-2],
        )
    return Results(graphs, _variance_reduction(one_peer_exponential(topology.complete(N)), quick))


def _variance_reduction(W: Mixing, quick: bool) -> dict[float, float]:
    dimension, rounds, skip = (200, 600, 60) if quick else (300, 4000, 800)
    problem = isotropic_quadratic(N, dimension=dimension, heterogeneity=0.0, noise=1.0, dtype=jnp.float64)
    gamma = np.array(gammas(quick))
    eta = 1 - np.sqrt(gamma)
    run = jax.jit(jax.vmap(lambda eta: stationary(dsgd(problem, optax.sgd(eta), W), rounds, skip).total))
    without_neighbours = dimension * eta**2 / (1 - gamma)
    return dict(zip(gamma.tolist(), (without_neighbours / np.asarray(run(jnp.asarray(eta)))).tolist(), strict=True))


def _sampled_rate(W: Operator, eta: float, quick: bool) -> float:
    """Return the mean rate, over the rounds of the window, of ‖x‖² averaged over nodes and runs."""
    runs, (first, last) = 200 if quick else 1200, window(quick)
    algorithm = dsgd(OneSample(N, int(ZETA) - 2), optax.sgd(eta), W)

    def run(key: jax.Array) -> jax.Array:
        def body(state: Any, number: jax.Array) -> tuple[Any, jax.Array]:
            state, _ = algorithm.step(state, Round(number, key, N))
            return state, jnp.square(state.x).sum(1).mean()

        return jax.lax.scan(body, algorithm.init(key), jnp.arange(last, dtype=jnp.int32))[1]

    sizes = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), runs))).mean(0)
    return float(1 - (sizes[last - 1] / sizes[first - 1]) ** (1 / (last - first)))


@jax.jit
def _covariance_rates(W: Operator, etas: jax.Array) -> jax.Array:
    """Return the rate of the exact map at each step size, applying W to rows and columns until the factor is stationary."""

    def rate(eta: jax.Array) -> jax.Array:
        def moves(carry: tuple[jax.Array, ...]) -> jax.Array:
            _, factor, before, number = carry
            return (jnp.abs(factor - before) > STATIONARY) & (number < MOST_ROUNDS)

        def body(carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            C, factor, _, number = carry
            C = (1 - eta) ** 2 * C + (ZETA - 1) * eta**2 * jnp.diag(jnp.diag(C))
            C = W(W(C).T).T
            return C / jnp.trace(C), jnp.trace(C), factor, number + 1

        last = jax.lax.while_loop(moves, body, (jnp.full((N, N), 1 / N), jnp.ones(()), jnp.zeros(()), jnp.int32(0)))
        return jnp.where(moves(last), jnp.nan, 1 - last[1])  # no rate if it did not converge

    return jax.lax.map(rate, etas)


def draw(predicted: Results, measured: Results) -> Figure:
    """Left: n_W against the horizon. Middle: rate against step. Right: the best rate against the gap.

    Dashed, the fixed point where all nodes are equivalent, and the exact covariance elsewhere, with the fixed point dotted.
    """
    figure, (left, middle, right) = drawing.page(3, width=4.0, height=3.9)
    horizon = np.geomspace(1.2, 200, 60)
    graphs = networks(quick=EVERYBODY not in measured.graphs)
    for number, (name, graph) in enumerate(graphs.items()):
        result, expected = measured.graphs[name], predicted.graphs[name]
        if name == EVERYBODY:  # the end of the scale
            right.axhline(result.fixed, color="#777777", linewidth=0.8, linestyle=":")
            right.text(0.0055, result.fixed - 0.016, f"{name} graph", fontsize=8, color="#555555")
            continue
        lam = topology.eigenvalues(topology.metropolis_hastings(graph))
        drawing.theory(left, horizon, neighbours_of_spectrum(lam, 1 - 1 / horizon), claimed=f"n_W, {name}, γ = ")
        gamma = np.array(list(result.neighbours))
        drawing.points(left, 1 / (1 - gamma), list(result.neighbours.values()), number, name)
        drawing.theory(middle, swept(), expected.sweep, claimed=f"rates over the step size, {name}")
        if name not in TRANSITIVE:
            drawing.reference(middle, swept(), random_quadratics.random_quadratic_rate(lam, swept(), ZETA))
        shown = result.sweep > 0
        drawing.points(middle, swept()[shown], result.sweep[shown], number, name)
        drawing.points(right, [result.gap], [result.fixed], number, name)
        claimed = f"covariance's rate and theory's, {name}, "
        drawing.theory(right, result.gap * np.array([0.85, 1.18]), [expected.fixed] * 2, claimed=claimed)
    left.set_xscale("log")
    left.set_yscale("log", base=2)
    drawing.ticks(left, (2, 10, 100))
    drawing.ticks(left, (1, 2, 4, 8, 16, 32), which="y")
    left.set(xlabel="horizon in rounds, 1/(1 − γ)", ylabel=f"effective neighbours $n_W(γ)$, of {N} nodes")
    middle.set(ylim=(0, 0.29), xlabel="step size η", ylabel="rate of E‖x‖² per round")
    right.set(
        xscale="log",
        ylim=(0, 0.43 if EVERYBODY in graphs else 0.29),
        xlabel="spectral gap 1 − ρ",
        ylabel="rate at the best step size",
    )
    drawing.reference(right, [], [], "fixed point, nodes\ntaken for equal")
    drawing.legend(right, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def claims(predicted: Results, measured: Results) -> list[Claim]:
    """Return the claims.

    Sampled rates and n_W within 5 %, rates of the covariance within 10⁻⁵, and two cliques above the ring.
    """
    checks = [
        Claim(f"n_W, {ONE_PEER}, γ = {gamma:g}", measured.one_peer[gamma], value, 0.05)
        for gamma, value in predicted.one_peer.items()
    ]
    for name, expected in predicted.graphs.items():
        result = measured.graphs[name]
        checks += [
            Claim(f"n_W, {name}, γ = {gamma:g}", result.neighbours[gamma], value, 0.05)
            for gamma, value in expected.neighbours.items()
        ]
        where = f"{name}, η = {expected.best:.3f}"
        checks.append(
            Claim(f"sampled rate and exact covariance, same rounds, {where}", result.rate, expected.rate, 0.05)
        )
        # The figure ends at 0. Modes that decay nearly alike, as on the tree, separate slowly: iterations stop 2·10⁻⁵ apart.
        drawn = expected.sweep > 0
        checks += [
            Claim(f"covariance's rate and theory's, {where}", result.fixed, expected.fixed, 1e-5, "absolute"),
            farthest(f"rates over the step size, {name}", result.sweep[drawn], expected.sweep[drawn], 1e-4, "absolute"),
        ]
        checks.append(Claim(f"covariance's best rate, {name}", result.exact, expected.exact, 1e-5, "absolute"))
        checks.append(Claim(f"covariance's best rate, {name}, as quoted", result.exact, QUOTED[name], 1e-3, "absolute"))
    cliques, ring = measured.graphs[CLIQUES], predicted.graphs["ring"]
    checks.append(at_most("gap of two cliques, at most the ring's", cliques.gap, ring.gap))
    for name, rate in {"under W": cliques.fixed, "sampled": cliques.rate}.items():
        checks.append(at_least(f"best rate on two cliques, {name}, at least the ring's", rate, ring.fixed))
    return checks


def effective_neighbours() -> Plot:
    """Not the spectral gap but the effective number of neighbours tells how fast D-SGD can learn: two cliques beat a ring."""
    source = "Vogels, Hendrikx and Jaggi 2022, Beyond spectral gap: the role of the topology in decentralized learning"
    return Plot("Beyond the spectral gap (32 nodes, ζ = 50)", source, predict, measure, draw, claims)
