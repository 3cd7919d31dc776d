"""Losses in bursts against independent ones of the same rate: where links fail for long, disagreement hardly shrinks.

A link that works fails in the next round with probability g, and one that fails works again with r: it fails in q = g/(g + r)
of rounds, 1/r of them at a time. The links' states s form a Markov chain with transitions T and the stationary law π. With W_s
the weights under the failures s, the second moments Σ_s = E[x xᵀ; s] of models are

    round 0:  Σ_s = π_s W_s x₀x₀ᵀ W_s        later:  Σ_s⁺ = W_s (Σ_s' T(s', s) Σ_s') W_s

Two nodes of weight 1/4 have (x₁ − x₂)² left by 1/4 in a round in which the link works, and whole in one in which it fails: per
round by ρ(T · diag(1/4, 1)) in the long run, .715297 for g = .1, r = .3; independent losses of the same rate leave .4375.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import averaging
from jaxgossip.learning import averaging as averaging_problem
from jaxgossip.mixing import operator
from jaxgossip.network import Conditions, Round
from jaxgossip.theory import drawing
from jaxgossip.theory.plot import Claim, Plot, at_least, farthest
from jaxgossip.topology.weights import Weights, from_matrix, max_degree

RATE = 0.25
"""q, the share of rounds in which a link fails."""
LENGTHS = (0.0, 2.0, 10 / 3, 7.0, 20.0)
"""Mean bursts 1/r; 0 for independent failures, whose bursts are 1/(1 − q) long."""
FOLLOWED = (0.0, 10 / 3, 20.0)
"""The lengths that are followed round by round."""
ROUNDS = 8
HALF = ROUNDS // 2
"""Factors of a round are those of the second half of the rounds."""
QUOTED = ((0.0, 0.4375), (10 / 3, 0.715297))
BATCH = 2000
"""Runs at a time."""
PAIR, RING = "two nodes, weight 1/4", "ring of 5, weights 1/3"


class Decay(NamedTuple):
    """E‖x − x̄‖²/‖x₀ − x̄‖² after each round, (ROUNDS,), by network and burst."""

    left: dict[tuple[str, float], np.ndarray]

    def factor(self, name: str, length: float) -> float:
        """Return what a round of the second half leaves."""
        left = self.left[name, length]
        return float((left[ROUNDS - 1] / left[HALF - 1]) ** (1 / (ROUNDS - HALF)))


def networks() -> dict[str, Weights]:
    """Return the weights of the networks by name."""
    return {
        PAIR: from_matrix(np.array([[0.75, 0.25], [0.25, 0.75]])),
        RING: max_degree(topology.ring(5)),
    }


def begun(n: int) -> np.ndarray:
    """Return x₀ (n,), of mean zero."""
    x = np.cos(0.7 * np.arange(n))
    return x - x.mean()


def length_of(burst: float) -> float:
    """Return the mean length of bursts, of independent failures too."""
    return burst or 1 / (1 - RATE)


def exact(weights: Weights, burst: float) -> np.ndarray:
    """Return (ROUNDS,): E‖x − x̄‖²/‖x₀ − x̄‖² after each round, by the recursion of second moments above."""
    W = weights.to_scipy().toarray()
    n = W.shape[0]
    links = [(i, j) for i in range(n) for j in range(i) if W[i, j]]
    back = 1 / length_of(burst)
    one = np.array([[1 - back * RATE / (1 - RATE), back * RATE / (1 - RATE)], [back, 1 - back]])
    chain, law = np.ones((1, 1)), np.ones(1)
    mixes = W[None]
    for i, j in links:
        chain, law = np.kron(chain, one), np.kron(law, [1 - RATE, RATE])
        apart = np.zeros((n, n))
        apart[i, i] = apart[j, j] = W[i, j]
        apart[i, j] = apart[j, i] = -W[i, j]
        mixes = np.stack([mixes, mixes + apart], axis=1).reshape(-1, n, n)
    x = begun(n)
    moments = law[:, None, None] * np.outer(x, x)
    left = []
    for number in range(ROUNDS):
        moments = np.einsum("ts,tij->sij", chain, moments) if number else moments
        moments = mixes @ moments @ mixes.transpose(0, 2, 1)
        left.append(np.trace(moments.sum(0)) / (x @ x))
    return np.array(left)


def predict(_: bool) -> Decay:
    """Evaluate the recursion for every network and length."""
    return Decay({(name, burst): exact(weights, burst) for name, weights in networks().items() for burst in LENGTHS})


def measure(quick: bool) -> Decay:
    """Average from the same models, in many runs with failures of their own."""
    batches = 20 if quick else 100
    return Decay(
        {(name, burst): _measured(weights, burst, batches) for name, weights in networks().items() for burst in LENGTHS}
    )


def _measured(weights: Weights, burst: float, batches: int) -> np.ndarray:
    x = begun(weights.graph.n_nodes)
    problem = averaging_problem(x.size, values=x[:, None], dtype=jnp.float64)
    algorithm = averaging(problem, optax.identity(), operator(weights))
    conditions, start = Conditions(link_drop=RATE, link_burst=burst), algorithm.init(jax.random.key(0))

    def run(key: jax.Array) -> jax.Array:
        def round_(state: Any, number: jax.Array) -> tuple[Any, jax.Array]:
            state, _ = algorithm.step(state, Round(number, key, x.size, conditions))
            return state, jnp.square(state.x - state.x.mean(0)).sum()

        return jax.lax.scan(round_, start, jnp.arange(ROUNDS, dtype=jnp.int32))[1]

    def batch(total: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        return total + jax.vmap(run)(jax.random.split(key, BATCH)).mean(0), None

    keys = jax.random.split(jax.random.key(1), batches)
    total, _ = jax.jit(lambda keys: jax.lax.scan(batch, jnp.zeros(ROUNDS), keys))(keys)
    return np.asarray(total) / batches / (x @ x)


def words(burst: float) -> str:
    """Return the name of a length of bursts."""
    return f"bursts of {burst:.3g}" if burst else "independent"


def draw(predicted: Decay, measured: Decay) -> Figure:
    """Disagreement round by round, and what a round leaves of it against the length of bursts."""
    figure, (left, right) = drawing.page(2, width=4.4, height=3.9)
    rounds = np.arange(1, ROUNDS + 1)
    for number, burst in enumerate(FOLLOWED):
        drawing.points(
            left, rounds, measured.left[PAIR, burst], number, f"{words(burst)} rounds" if burst else words(burst)
        )
        drawing.theory(left, rounds, predicted.left[PAIR, burst], claimed=f"{PAIR}, {words(burst)}")
    left.set(yscale="log", xlabel="round", ylabel="E(x₁ − x₂)², as a share of round 0")
    drawing.title(left, f"Two nodes, the link fails in {RATE:.0%} of rounds")
    drawing.legend(left, loc="lower left")
    lengths = [length_of(burst) for burst in LENGTHS]
    for number, name in enumerate(networks()):
        drawing.points(right, lengths, [measured.factor(name, burst) for burst in LENGTHS], number, name)
        factors = [predicted.factor(name, burst) for burst in LENGTHS]
        drawing.theory(right, lengths, factors, claimed=f"left by a round, {name}, ")
    right.set(xscale="log", xlabel="mean length of bursts 1/r, in rounds", ylim=(0, 1))
    right.set_ylabel(f"left by a round of E‖x − x̄‖², {HALF} to {ROUNDS}")
    drawing.ticks(right, [round(length, 2) for length in lengths])
    drawing.title(right, "The same rate of losses, in longer bursts")
    drawing.legend(right, loc="lower right")
    return figure


def claims(predicted: Decay, measured: Decay) -> list[Claim]:
    """Return the claims: the decay of every network, the factors as quoted, and that bursts leave more."""
    checks = [
        farthest(f"{name}, {words(burst)}", left, predicted.left[name, burst], 0.05)
        for (name, burst), left in measured.left.items()
    ]
    checks += [
        Claim(
            f"left by a round, {name}, {words(burst)}",
            measured.factor(name, burst),
            predicted.factor(name, burst),
            0.015,
        )
        for name, burst in measured.left
    ]
    checks += [
        Claim(f"{PAIR}, {words(burst)}, as quoted", measured.factor(PAIR, burst), factor, 0.015)
        for burst, factor in QUOTED
    ]
    return checks + [
        at_least(f"bursts leave more, {name}", measured.factor(name, LENGTHS[-1]), 1.5 * measured.factor(name, 0.0))
        for name in networks()
    ]


def burst_losses() -> Plot:
    """Of losses of one rate, those in long bursts leave more of the disagreement: where a link fails, it goes on to fail."""
    source = (
        "Gilbert 1960 and Elliott 1963; second moments of the links' Markov chain, ρ(T · diag(1/4, 1)) for two nodes"
    )
    return Plot("Losses in bursts", source, predict, measure, draw, claims)
