"""RelaySum: on a tree all nodes hold the exact average after as many rounds as the tree's diameter."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.sparse.csgraph import shortest_path

from jaxgossip import topology
from jaxgossip.algorithms.sgd.relay_sgd import RelaySum
from jaxgossip.mixing import metropolis_hastings
from jaxgossip.network import Round
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot, at_least

COLUMNS = 4
EXACT, INEXACT = 1e-12, 1e-2


class RelayErrors(NamedTuple):
    """Errors on one tree.

    Attributes:
        error: (rounds + 1,) largest distance of an entry from the mean, by round.
        gossip: (rounds + 1,) the same for averaging with Metropolis–Hastings weights on the tree.
    """

    error: np.ndarray
    gossip: np.ndarray


def trees(quick: bool) -> dict[str, topology.Graph]:
    """Return the trees by name."""
    nodes = 32 if quick else 128
    return {
        "path of 16": topology.path(16),
        "binary tree of 63": topology.binary_tree(63),
        f"random tree of {nodes}": topology.barabasi_albert(nodes, m=1, rng=0),
        "star of 32": topology.star(32),
    }


def values(graph: topology.Graph) -> np.ndarray:
    """Return (n, columns), the initial values."""
    return np.random.default_rng(0).normal(size=(graph.n_nodes, COLUMNS))


def hops(graph: topology.Graph) -> np.ndarray:
    """Return (n, n), the hop distances between nodes."""
    return shortest_path(graph.to_scipy(), unweighted=True).astype(int)


def predict(quick: bool) -> dict[str, np.ndarray]:
    """Return the error by round: after t rounds a node holds the mean over all nodes within t links."""
    errors = {}
    for name, graph in trees(quick).items():
        distance, x = hops(graph), values(graph)
        within = [distance <= t for t in range(distance.max() + 3)]
        means = [(near @ x) / near.sum(1, keepdims=True) for near in within]
        errors[name] = np.array([np.abs(mean - x.mean(0)).max() for mean in means])
    return errors


def measure(quick: bool) -> dict[str, RelayErrors]:
    """Relay the same values round by round, and average them by gossip."""
    return {name: _measured(graph, int(hops(graph).max()) + 2) for name, graph in trees(quick).items()}


def _measured(graph: topology.Graph, rounds: int) -> RelayErrors:
    W = metropolis_hastings(graph)
    relay, x = RelaySum(W.to_scipy()), jnp.asarray(values(graph))

    def error(values_held: jax.Array) -> jax.Array:
        return jnp.abs(values_held - x.mean(0)).max()

    def body(carry: tuple[Any, jax.Array], now: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        relayed, mixed = carry
        links = Round(now, jax.random.key(0), graph.n_nodes).links(W)
        relayed, sums, counts = relay(x, relayed, links)
        mixed = links.mix(mixed)
        return (relayed, mixed), (error(sums / counts), error(mixed))

    start = (relay.none(COLUMNS, np.dtype(np.float64)), x)
    _, errors = jax.jit(lambda start: jax.lax.scan(body, start, jnp.arange(rounds, dtype=jnp.int32)))(start)
    first = float(error(x))
    return RelayErrors(*(np.concatenate([[first], np.asarray(errors_of)]) for errors_of in errors))


def draw(predicted: dict[str, np.ndarray], measured: dict[str, RelayErrors]) -> Figure:
    """Errors against rounds for each tree; the dotted line is the tree's diameter."""
    figure, panels = drawing.page(len(measured), width=2.9, height=3.6, sharey=True)
    for axes, (name, relayed) in zip(panels, measured.items(), strict=True):
        t, diameter = np.arange(len(relayed.error)), len(relayed.error) - 3
        drawing.series(axes, t, relayed.gossip, 1, "gossip, Metropolis–Hastings")
        drawing.series(axes, t, np.maximum(relayed.error, 1e-17), 0, "RelaySum")
        drawing.theory(axes, t[: diameter + 1], np.maximum(predicted[name], 1e-17)[: diameter + 1],
                       claimed=f"rounds on the way, {name}")  # fmt: skip
        axes.axvline(diameter, color="#999999", linestyle=":", linewidth=1)
        drawing.title(axes, f"{name}\ndiameter {diameter} (dotted)")
        axes.set(yscale="log", ylim=(1e-17, 10), xlabel="round")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    panels[0].set_ylabel("largest error of an entry, |x − mean|")
    drawing.legend(panels[0], loc="lower left", borderaxespad=0.8)
    return figure


def claims(predicted: dict[str, np.ndarray], measured: dict[str, RelayErrors]) -> list[Claim]:
    """Return the claims.

    Exact at the diameter, far off one round before, and in between the mean over the nodes within reach.
    """
    checks = []
    for name, expected in predicted.items():
        error, diameter = measured[name].error, len(expected) - 3
        checks += [
            Claim(f"error at the diameter, {name}", error[diameter], 0.0, EXACT, "absolute"),
            at_least(f"error one round before, {name}", error[diameter - 1], INEXACT),
            Claim(
                f"rounds on the way, {name}",
                float(np.abs(error - expected).max()),
                0.0,
                EXACT,
                "absolute",
            ),
        ]
    return checks


def relay_sum() -> Plot:
    """On a tree RelaySum holds the exact average after as many rounds as the diameter, and not one round earlier."""
    source = "Vogels et al. 2021, RelaySum for decentralized deep learning on heterogeneous data"
    return Plot("RelaySum is exact after the diameter", source, predict, measure, draw, claims)
