"""Robust rules where lies are no numbers, or too large to be squared."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.network.aggregation import Heard
from tests.network.hub import Losses, P, heard_by_a_hub
from tests.network.test_aggregation import RULES

N = 15
LIARS = [3, 9]
TWO = {"trimmed_mean 2", "nearest 2", "bulyan 2", "median", "ubar", "balance"}
"""Rules that bear two liars of 15; the clipped ones do, too, where they have a radius by δ."""


def loss_of(x: jax.Array) -> jax.Array:
    return Losses(np.arange(1)).batch_loss(x, jax.random.key(0))


def rows() -> np.ndarray:
    return 1 + 0.1 * np.random.default_rng(1).normal(size=(N, P))


@pytest.mark.parametrize("lie", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rule", RULES)
def test_a_row_that_is_not_finite_is_as_if_lost(rule: str, lie: float) -> None:
    """Even if only one of its columns is not."""
    x, heard = jnp.asarray(rows()[:1], jnp.float32), rows()[1:]
    lying = jnp.asarray(np.isin(np.arange(1, N), LIARS)[None])
    arrived = np.arange(1, N) != 5
    found = []
    for is_lost in (True, False):
        sent = heard.copy()
        if not is_lost:
            sent[4, 2], sent[8] = lie, lie
        here = arrived & ~(is_lost & np.isin(np.arange(1, N), [5, 9]))
        weights = jnp.asarray(here[None] / N, jnp.float32)
        of_slots = tuple(jnp.asarray(row[None], jnp.float32) for row in sent)
        told = Heard(x, of_slots, weights, lying, jnp.int32(0), loss_of)
        found.append(np.asarray(RULES[rule][0].of(told)))
    assert np.isfinite(found[1]).all()
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("size", [1e15, 1e25, 3e38, -3e38])
@pytest.mark.parametrize("rule", [rule for rule in RULES if "oracle" not in rule])
def test_no_lie_is_too_large_to_be_refused(rule: str, size: float) -> None:
    """Lies whose squares, or the sums of these, are infinite are the farthest; two of them where a rule bears two liars."""
    sent = rows()
    liars = LIARS if rule in TWO or rule.startswith("clipped") else LIARS[:1]
    sent[liars] = size * np.array([1, -1, 1, 1])
    found = heard_by_a_hub(RULES[rule][0], sent, problem=Losses(np.arange(N)))
    honest = np.delete(rows(), LIARS, 0)
    # Clipped lies move a model by no more than the radius.
    slack = 1.6 if rule == "clipped fixed" else 0.3 if rule.startswith("clipped") else 1e-6
    assert (found >= honest.min(0) - slack).all()
    assert (found <= honest.max(0) + slack).all()


def test_krum_does_not_take_the_row_that_is_too_far_to_be_measured() -> None:
    sent = rows()
    sent[4] = 1e25
    found = heard_by_a_hub(jg.network.aggregation.krum(liars=1), sent)
    assert (np.abs(sent - found).max(1) < 1e-6).sum() == 1
    assert np.abs(found).max() < 2
