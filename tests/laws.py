"""What was seen in many draws against an exact law, all outcomes of which are written down."""

import collections
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

SURE = 1e-6
"""A law is refuted when what was seen has a smaller probability (seeds are fixed: no test can fail by chance)."""
DRAWS = 20_000
LEAST = 5.0
"""Outcomes that are expected more rarely than this are counted together."""


def p_value(seen: Iterable[Hashable], law: Mapping[Any, float]) -> float:
    """Return how likely outcomes at least so far from ``law`` (outcome -> probability) are; 0 if one is impossible."""
    counts = collections.Counter(seen)
    assert abs(sum(law.values()) - 1) < 1e-9, "the probabilities of a law sum to one"
    possible = [outcome for outcome, probability in law.items() if probability > 0]
    if set(counts) - set(possible):
        return 0.0
    total = counts.total()
    observed = np.array([counts[outcome] for outcome in possible], float)
    expected = np.array([law[outcome] * total for outcome in possible])
    rare = expected < LEAST
    if rare.any():
        observed, expected = (np.append(some[~rare], some[rare].sum()) for some in (observed, expected))
    if expected.size > 1 and expected[-1] < LEAST:  # the rare ones are rare even together
        observed, expected = (np.append(some[:-2], some[-2:].sum()) for some in (observed, expected))
    return 1.0 if expected.size == 1 else float(stats.chisquare(observed, expected * (total / expected.sum())).pvalue)


def assert_follows(seen: Iterable[Hashable], law: Mapping[Any, float]) -> None:
    """Fail unless what was seen, one outcome a draw, may well have been drawn from ``law``."""
    seen = list(seen)
    found = p_value(seen, law)
    assert found > SURE, f"p = {found:.1e}: {collections.Counter(seen).most_common(8)} of {law}"


def assert_uniform(seen: Iterable[Hashable], outcomes: Iterable[Hashable]) -> None:
    """Fail unless all of ``outcomes`` are equally likely, and nothing else happens."""
    outcomes = list(outcomes)
    assert_follows(seen, dict.fromkeys(outcomes, 1 / len(outcomes)))


def assert_distributed(values: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray]) -> None:
    """Fail unless numbers are distributed as a continuous law, by Kolmogorov and Smirnov."""
    assert stats.kstest(np.ravel(values), cdf).pvalue > SURE


def law_of(draws: Iterable[tuple[Hashable, float]]) -> dict[Any, float]:
    """Return the law of outcomes that may be named several times, each with the probability of one way to it."""
    law: dict[Any, float] = collections.defaultdict(float)
    for outcome, probability in draws:
        law[outcome] += probability
    return dict(law)


def rows(array: Any) -> list[tuple]:
    """Return the rows of an array (draws, ...) as outcomes."""
    array = np.asarray(array)
    return list(map(tuple, array.reshape(array.shape[0], -1).tolist()))


def drawn(draw: Callable[[jax.Array], Any], draws: int = DRAWS, first: int = 0) -> Any:
    """Return what ``draw`` gives for the keys of so many seeds, as NumPy arrays with the draws along the first axis."""
    keys = jax.vmap(jax.random.key)(jnp.arange(first, first + draws))
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(draw))(keys))
