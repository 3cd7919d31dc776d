"""Dying rumours: the share of nodes that a rumour never reaches when spreaders lose interest."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.mixing import push
from jaxgossip.network import Round
from jaxgossip.theory import drawing, predictions
from jaxgossip.theory.plot import Claim, Plot, farthest

PERSISTENCE = (1, 2, 3)
"""k: a node that calls an informed node loses interest with probability 1/k."""
MOST_ROUNDS = 400


class Rumour(NamedTuple):
    """State of one run.

    Attributes:
        knows: (n,) bool, informed nodes.
        tells: (n,) bool, informed nodes that still spread the rumour.
        messages: number of calls so far.
    """

    knows: jax.Array
    tells: jax.Array
    messages: jax.Array


class Residue(NamedTuple):
    """Outcome when no node spreads the rumour any more, for one k.

    Attributes:
        share: mean share of nodes that are never informed.
        error: standard error of ``share``.
        messages: mean number of calls per node.
        path: (rounds, 2) shares of uninformed and of spreading nodes in one run.
    """

    share: float
    error: float
    messages: float
    path: np.ndarray


def residue(k: float) -> float:
    """Return the solution s < 1 of s = e^{−(k+1)(1−s)}."""
    return predictions.crossing(lambda s: np.log(s) + (k + 1) * (1 - s) > 0, 1e-12, 1 / (k + 1))


def spreading_share(s: np.ndarray, k: float) -> np.ndarray:
    """Return i(s), the share of spreading nodes while a share s is uninformed."""
    return (k + 1) / k * (1 - s) + np.log(s) / k


def predict(_: bool) -> dict[int, float]:
    """Return the residue by k."""
    return {k: residue(k) for k in PERSISTENCE}


def measure(quick: bool) -> dict[int, Residue]:
    """Run the state machine on the peers drawn by push, many times."""
    n, replicas = (4096, 48) if quick else (16384, 200)
    return {k: _residue(n, k, replicas) for k in PERSISTENCE}


def after_calls(state: Rumour, targets: jax.Array, coin: jax.Array) -> Rumour:
    """Return the state after one round of calls to ``targets`` (n,).

    Calls arrive one after another, in the order of the callers: only the first to reach an uninformed node brings news. Put
    in sequence, the calls thus form Demers' chain, in whatever rounds they are made.
    """
    n = targets.shape[0]
    caller = jnp.arange(n)
    first = jnp.full(n, n).at[jnp.where(state.tells, targets, n)].min(caller, mode="drop")
    news = state.tells & ~state.knows[targets] & (first[targets] == caller)
    learns = (first < n) & ~state.knows
    bored = state.tells & ~news & coin
    return Rumour(state.knows | learns, (state.tells & ~bored) | learns, state.messages + state.tells.sum())


def _residue(n: int, k: int, replicas: int) -> Residue:
    W = push(topology.complete(n))

    def step(state: Rumour, round_: Round) -> Rumour:
        targets: Any = round_.links(W).operator
        coin = jax.random.uniform(round_.key("loses interest"), (n,)) < 1 / k
        return after_calls(state, targets.targets[:, 0], coin)

    def run(key: jax.Array) -> tuple[Rumour, jax.Array]:
        def body(carry: tuple[Rumour, jax.Array, jax.Array]) -> tuple[Rumour, jax.Array, jax.Array]:
            state, number, path = carry
            shares = jnp.stack([(~state.knows).mean(), state.tells.mean()])
            return step(state, Round(number, key, n)), number + 1, path.at[number].set(shares)

        knows = jnp.arange(n) == 0
        start = (Rumour(knows, knows, jnp.int32(0)), jnp.int32(0), jnp.full((MOST_ROUNDS, 2), jnp.nan))
        state, number, path = jax.lax.while_loop(lambda c: c[0].tells.any() & (c[1] < MOST_ROUNDS - 1), body, start)
        return state, path.at[number].set(jnp.stack([(~state.knows).mean(), state.tells.mean()]))

    keys = jax.random.split(jax.random.key(k), replicas)
    state, path = jax.jit(lambda keys: jax.lax.map(run, keys, batch_size=8))(keys)
    left = 1 - np.asarray(state.knows).mean(1)
    survived = left < 0.5  # runs whose first callers met each other say nothing about the residue
    runs = np.asarray(path)[survived]
    return Residue(
        float(left[survived].mean()),
        float(left[survived].std() / np.sqrt(survived.sum())),
        float(np.asarray(state.messages)[survived].mean() / n),
        runs[0][np.isfinite(runs[0][:, 0])],
    )


def draw(predicted: dict[int, float], measured: dict[int, Residue]) -> Figure:
    """Left: one run for each k in the plane of uninformed and spreading shares. Right: residues and calls."""
    figure, (left, right) = drawing.page(2, height=4.0)
    for number, (k, outcome) in enumerate(measured.items()):
        drawing.series(left, outcome.path[:, 0], outcome.path[:, 1], number, f"k = {k}")
        s = np.geomspace(predicted[k], 1, 200)
        drawing.theory(left, s, spreading_share(s, k), claimed=f"share that tells, along a run, k = {k}")
        right.errorbar(
            outcome.messages,
            outcome.share,
            2 * outcome.error,
            color=f"C{number}",
            marker=drawing.MARKS[number],
            markersize=6,
            linestyle="",
            label=f"k = {k}: residue {outcome.share:.4f}, theory {predicted[k]:.4f}",
        )
    left.set(xlabel="share of the nodes that do not know, s", ylabel="share that tells, i", ylim=(0, None))
    drawing.title(left, "One run for each k, from right to left")
    drawing.legend(left, loc="upper right", borderaxespad=0.8)
    m = np.linspace(1, 5, 100)
    drawing.theory(right, m, np.exp(-m), "theory, s = e⁻ᵐ", claimed="residue against e⁻ᵐ, k = ")
    right.set(yscale="log", xlabel="calls a node, m", ylabel="residue s, share never reached")
    drawing.title(right, "What is left, and what it costs")
    drawing.legend(right, loc="upper right", borderaxespad=0.8)
    return figure


def claims(predicted: dict[int, float], measured: dict[int, Residue]) -> list[Claim]:
    """Return the claims: residues and numbers of calls within 3 %, and the path of a run within 5 % of all nodes."""
    checks = [
        claim
        for k, outcome in measured.items()
        for claim in (
            # One run is drawn, which begins with the calls of a single node: in a small network their randomness still shows.
            farthest(
                f"share that tells, along a run, k = {k}",
                outcome.path[:, 1],
                spreading_share(outcome.path[:, 0], k),
                0.05,
                "absolute",
            ),
            Claim(f"residue against e⁻ᵐ, k = {k}", outcome.share, float(np.exp(-outcome.messages)), 0.03),
        )
    ]
    return (
        checks
        + [Claim(f"residue, k = {k}", measured[k].share, s, 0.03) for k, s in predicted.items()]
        + [Claim(f"calls a node, k = {k}", measured[k].messages, (k + 1) * (1 - s), 0.03) for k, s in predicted.items()]
    )


def rumour_residue() -> Plot:
    """A rumour whose tellers lose interest with probability 1/k at those who know leaves s = e^{−(k+1)(1−s)} untold.

    A call brings news with probability s, and otherwise ends a spreader with probability 1/k: di/ds = (1 − s)/(ks) − 1, so
    i = (k + 1)(1 − s)/k + ln(s)/k, which is 0 at the residue. Every spreader stops once, after k calls in vain on average:
    m = (k + 1)(1 − s) calls per node, and s = e^{−m}.
    """
    source = "Demers et al. 1987, Epidemic algorithms for replicated database maintenance, section 1.4"
    return Plot("What a dying rumour leaves", source, predict, measure, draw, claims, double=False)
