"""Rumour spreading: rounds until random calls have informed all nodes, by push, by pull, and by both."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.mixing import pull, push
from jaxgossip.network import Round
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot

PROTOCOLS = ("push", "pull", "push and pull")
MIDDLE = (1.2, 1.0, 1.0)
"""Constant beside the asymptotic terms, by protocol."""
HALF_WIDTH = 0.3
FORMULAS = ("log₂n + ln n + 1.2", "log₂n + log₂ ln n + 1", "log₃n + ln ln n + 1")


class Spread(NamedTuple):
    """Measured spread of rumours.

    Attributes:
        nodes: (s,) numbers of nodes.
        rounds: (s, 3) mean number of rounds until all nodes are informed, by protocol.
        error: (s, 3) standard errors of these means.
        informed: (rounds, 3) mean share of informed nodes in the largest network.
    """

    nodes: np.ndarray
    rounds: np.ndarray
    error: np.ndarray
    informed: np.ndarray


def sizes(quick: bool) -> np.ndarray:
    """Return the numbers of nodes."""
    return 4 ** np.arange(3, 6 if quick else 8)


def leading(n: np.ndarray) -> np.ndarray:
    """Return (s, 3) log₂n + ln n, log₂n + log₂ln n and log₃n + ln ln n."""
    return np.stack(
        [np.log2(n) + np.log(n), np.log2(n) + np.log2(np.log(n)), np.log(n) / np.log(3) + np.log(np.log(n))], axis=1
    )


def predict(quick: bool) -> np.ndarray:
    """Return (s, 3) the leading terms by protocol."""
    return leading(sizes(quick))


def measure(quick: bool) -> Spread:
    """Inform one node and count the rounds; all three protocols use the same calls."""
    least, nodes = (800, 2**19) if quick else (250, 2**21)
    spreads = [_spread(int(n), min(2000, max(least, nodes // int(n)))) for n in sizes(quick)]
    rounds = np.array([rounds_of_runs.mean(0) for rounds_of_runs, _ in spreads])
    error = np.array([rounds_of_runs.std(0) / np.sqrt(len(rounds_of_runs)) for rounds_of_runs, _ in spreads])
    return Spread(sizes(quick), rounds, error, spreads[-1][1])


def _spread(n: int, replicas: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ((replicas, 3) rounds, (rounds, 3) mean shares)."""
    graph = topology.complete(n)
    horizon = int(np.log2(n) + np.log(n)) + 14

    def spread(round_: Round, known: jax.Array) -> jax.Array:
        # Push and pull draw the same peers from one key: a node informs the peer that it calls, or asks it, or both.
        by_push, by_pull = round_.links(push(graph)), round_.links(pull(graph))
        return jnp.stack(
            [
                by_push.maximum(known[0]),
                by_pull.maximum(known[1]),
                jnp.maximum(by_push.maximum(known[2]), by_pull.maximum(known[2])),
            ]
        )

    def run(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        def body(known: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
            return spread(Round(number, key, n), known), known.sum(1)

        start = jnp.zeros((3, n), jnp.int32).at[:, 0].set(1)
        last, knew = jax.lax.scan(body, start, jnp.arange(horizon, dtype=jnp.int32))
        rounds_needed = jnp.where((last.sum(1) == n), (knew < n).sum(0), jnp.iinfo(jnp.int32).max)
        return rounds_needed, knew / n

    keys = jax.random.split(jax.random.key(n), replicas)
    rounds, share = jax.jit(lambda keys: jax.lax.map(run, keys, batch_size=max(1, 2**17 // n)))(keys)
    return np.asarray(rounds, np.float64), np.asarray(share).mean(0)


def late_rounds(measured: Spread) -> np.ndarray:
    """Return the rounds in which push informs the last three per cent, while more than one node is left."""
    ignorant = 1 - measured.informed[:, 0]
    return np.flatnonzero((ignorant < 0.03) & (ignorant > 1 / measured.nodes[-1]))


def draw(_: np.ndarray, measured: Spread) -> Figure:
    """Left: rounds against the number of nodes. Right: uninformed share in the largest network."""
    figure, (left, right) = drawing.page(2, height=4.0)
    for number, (name, words) in enumerate(zip(PROTOCOLS, FORMULAS, strict=True)):
        left.errorbar(
            measured.nodes,
            measured.rounds[:, number],
            2 * measured.error[:, number],
            color=f"C{number}",
            marker=drawing.MARKS[number],
            markersize=5,
            linestyle="",
            label=f"{name}, theory {words}",
        )
        fine = np.geomspace(measured.nodes[0], measured.nodes[-1], 100)
        drawing.theory(left, fine, leading(fine)[:, number] + MIDDLE[number], claimed=f"{name}: constant, ")
        ignorant = 1 - measured.informed[:, number]
        ignorant = ignorant[ignorant > 1e-7]
        drawing.series(right, np.arange(len(ignorant)), ignorant, number, name)
    left.set_xscale("log", base=2)
    left.set(ylim=(0, 1.45 * measured.rounds.max()), xlabel="nodes n", ylabel="rounds until all know, mean of all runs")
    drawing.legend(left, loc="upper left", borderaxespad=0.8)
    ignorant, late = 1 - measured.informed[:, 0], late_rounds(measured)
    slope = ignorant[late[:1]] * np.exp(-1.0 * (late - late[:1]))
    drawing.theory(right, late, slope, "theory, push: 1/e a round", claimed="push: share left by a late round")
    drawing.title(right, f"{measured.nodes[-1]:,} nodes, mean of all runs")
    right.set(yscale="log", ylim=(1e-7, 2))
    drawing.legend(right, loc="lower left", borderaxespad=0.8)
    right.set(xlabel="round", ylabel="share of the nodes that do not know")
    return figure


def claims(predicted: np.ndarray, measured: Spread) -> list[Claim]:
    """Return the claims: push grows as log₂n + ln n, and the constants beside the leading terms are as predicted."""
    slope = np.polyfit(predicted[:, 0], measured.rounds[:, 0], 1)[0]
    checks = [Claim("push: slope against log₂n + ln n", float(slope), 1.0, 0.03, "absolute")]
    late = late_rounds(measured)
    ignorant = 1 - measured.informed[late, 0]
    # While a share s is uninformed, a round leaves e⁻¹⁺ˢ of it.
    left = float((ignorant[-1] / ignorant[0]) ** (1 / (len(late) - 1))) if len(late) > 1 else math.nan
    checks.append(Claim("push: share left by a late round", left, math.exp(-1), 0.05))
    for number, name in enumerate(PROTOCOLS):
        offsets = measured.rounds[:, number] - predicted[:, number]
        checks += [
            Claim(f"{name}: constant, {n} nodes", float(offset), MIDDLE[number], HALF_WIDTH, "absolute")
            for n, offset in zip(measured.nodes, offsets, strict=True)
        ]
    return checks


def push_rumour() -> Plot:
    """A pushed rumour takes log₂n + ln n + O(1) rounds to reach everybody; pulling saves the last ln n of them.

    Push doubles the number of informed nodes until half are informed, and then leaves 1/e of the uninformed per round. Pull
    squares their share instead, and both together triple the informed. In every round each node calls one random other.
    """
    source = "Frieze and Grimmett 1985; Pittel 1987, On spreading a rumor; Karp et al. 2000, Randomized rumor spreading"
    return Plot("How fast a rumour spreads", source, predict, measure, draw, claims, double=False)
