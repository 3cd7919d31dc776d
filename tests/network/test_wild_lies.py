"""Robust rules where lies are no numbers, or too large to be squared."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.network import Conditions, Round
from jaxgossip.network.adversaries import Scene
from jaxgossip.network.aggregation import Heard
from jaxgossip.network.aggregation.heard import senders
from tests.network.hub import Losses, P, heard_by_a_hub
from tests.network.test_aggregation import RULES

N = 15
LIARS = [3, 9]
TWO = {"trimmed_mean 2", "nearest 2", "bulyan 2", "median", "ubar", "balance"}
"""Rules that bear two liars of 15; the clipped ones do, too, where they have a radius by δ."""


def loss_of(x: jax.Array) -> jax.Array:
    return Losses(np.arange(N)).batch_loss(x, jax.random.key(0))


def rows() -> np.ndarray:
    return 1 + 0.1 * np.random.default_rng(1).normal(size=(N, P))


@pytest.mark.by_default("nearest-inf-True", "krum--inf-False", "clipped-nan-False")
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("lie", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rule", RULES)
def test_a_row_that_is_not_finite_is_as_if_lost(rule: str, lie: float, *, targeted: bool) -> None:
    """Even if only one of its columns is not; other messages are lost at random."""
    number, x, wild = jnp.int32(0), jnp.asarray(rows(), jnp.float32), np.zeros((N, P))
    wild[[5, LIARS[0]], 2], wild[LIARS[1]] = lie, lie
    is_liar = jnp.asarray(np.isin(np.arange(N), LIARS))
    round_ = Round(number, jax.random.key(0), N, Conditions(drop=0.2))
    links = round_.links(jg.mixing.uniform(jg.topology.complete(N)))
    told = Scene(x, x, x + 1 if targeted else None, is_liar, links.operator, links.faults)
    lost = {5} if targeted else {5, *LIARS}
    honest = Heard.of(told, number, loss_of)
    slots = honest.weights.shape[1]
    sender = np.stack([np.asarray(senders(links.operator).take(jnp.arange(N), k)) for k in range(slots)], 1)
    is_lost = np.isin(sender, list(lost))
    if targeted:  # the liars send a wild row to node 5 alone
        is_lost |= np.isin(sender, LIARS) & (np.arange(N) == 5)[:, None]
        wild[LIARS] = 0
    expected = RULES[rule][0].combine(replace(honest, weights=jnp.where(is_lost, 0, honest.weights)))
    sent = replace(told, sent=x + wild, targeted=x + 1 + wild if targeted else None)
    found = np.asarray(RULES[rule][0].of(sent, number, loss_of))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, expected)


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


@pytest.mark.parametrize("lost", range(4))
def test_nearest_takes_rows_that_are_too_far_to_be_measured_before_those_that_were_lost(lost: int) -> None:
    """There are more liars than it was told of: it averages with one of them, as with any that lies less wildly."""
    sent = np.ones((4, P))
    sent[[i for i in range(4) if i != lost][:2]] = 1e25
    x, of_slots = np.zeros((1, P)), tuple(jnp.asarray(row[None], jnp.float32) for row in sent)
    arrived = np.arange(4)[None] != lost
    heard = Heard(jnp.asarray(x, jnp.float32), of_slots, jnp.asarray(arrived / 4, jnp.float32), None, jnp.int32(0))
    np.testing.assert_allclose(jg.network.aggregation.nearest(liars=1).combine(heard), (1e25 + 1) / 3 + x, rtol=1e-6)


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("size", [1e15, 1e25])
def test_an_oracle_clips_lies_that_are_too_far_to_be_measured(size: float, *, is_lost: bool) -> None:
    """As it does where a wild row that is honest was lost."""
    sent, weights = rows(), np.full((1, N - 1), 1 / N)
    sent[LIARS] = size
    if is_lost:
        sent[5], weights[0, 4] = size, 0
    of_slots = tuple(jnp.asarray(row[None], jnp.float32) for row in sent[1:])
    lying = jnp.asarray(np.isin(np.arange(1, N), LIARS)[None])
    heard = Heard(jnp.asarray(sent[:1], jnp.float32), of_slots, jnp.asarray(weights, jnp.float32), lying, jnp.int32(0))
    found = np.asarray(RULES["clipped oracle"][0].combine(heard))
    honest = np.delete(rows(), LIARS, 0)
    assert (found >= honest.min(0)).all()
    assert (found <= honest.max(0)).all()
