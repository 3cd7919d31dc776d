"""UBAR takes rows near a node's own that do no worse on its samples, and keeps its own where no loss is a number."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.network import Conditions
from tests.network.hub import GRAPHS, Losses, P, heard_by_a_hub

A = jg.network.AGGREGATIONS


@pytest.mark.slow
def test_ubar_takes_all_rows_of_equal_loss_and_is_then_the_plain_mean() -> None:
    rows = np.random.default_rng(3).normal(size=(7, P))
    flat = Losses(np.arange(7), flat=True)
    np.testing.assert_allclose(
        heard_by_a_hub(A["ubar"](rho=1.0, alpha=1 / 7), rows, problem=flat), rows.mean(0), atol=1e-6
    )
    near = rows[1:][np.argsort(np.linalg.norm(rows[1:] - rows[0], axis=1))[:3]]  # ⌊0.5 · 6⌋
    found = heard_by_a_hub(A["ubar"](rho=0.5, alpha=0.2), rows, problem=flat)
    np.testing.assert_allclose(found, 0.2 * rows[0] + 0.8 * near.mean(0), atol=1e-6)


@pytest.mark.slow
def test_ubar_never_refuses_a_copy_of_the_own_row_and_order_does_not_matter() -> None:
    rule, of_zero = A["ubar"](rho=0.5, alpha=0.0), Losses(np.zeros(6, int))
    own = np.full(P, np.pi)  # the least loss that there is: whatever differs is refused
    other = own + np.random.default_rng(0).normal(size=(5, P))
    copied = np.vstack([own, other[:2], own, other[2:4]])
    np.testing.assert_array_equal(heard_by_a_hub(rule, copied, problem=of_zero), np.float32(own))
    rng = np.random.default_rng(1)
    rows = np.vstack([rng.normal(size=(1, P)), rng.normal(size=(5, P))])
    rows[2] = 2 * rows[0] - rows[1]  # as far away as row 1: which of them is a candidate does not depend on the order
    found = [
        heard_by_a_hub(rule, np.vstack([rows[:1], rows[1:][list(order)]]), problem=of_zero)
        for order in itertools.permutations(range(5))
    ]
    np.testing.assert_allclose(found, np.tile(found[0], (len(found), 1)), atol=1e-6)


@pytest.mark.slow
def test_if_all_candidates_have_larger_losses_ubar_takes_the_one_of_least_loss_and_not_the_nearest() -> None:
    own = np.full(P, np.pi)
    near, better, farther = own + 1.0, own + 2 * np.pi + 0.1, own + 2 * np.pi + 3.0
    rows = np.vstack([own, near, better, farther, np.full((2, P), 1e6)])
    found = heard_by_a_hub(A["ubar"](rho=0.6, alpha=0.25), rows, problem=Losses(np.zeros(6, int)))
    np.testing.assert_allclose(found, 0.25 * own + 0.75 * better, rtol=1e-5)


class Unusable:
    """A problem without any loss that is a number."""

    n_params = P

    def batch_loss(self, x: jax.Array, key: jax.Array) -> jax.Array:
        del key
        return jnp.full(len(x), jnp.nan)


class Steps:
    """A problem whose losses are whole numbers, the first parameter rounded down; none is known if another is negative."""

    n_params = P

    def batch_loss(self, x: jax.Array, key: jax.Array) -> jax.Array:
        del key
        return jnp.where((x[:, 1:] < 0).any(1), jnp.nan, jnp.floor(x[:, 0]))


@pytest.mark.slow
def test_ubar_takes_rows_of_an_equal_loss_beside_those_of_a_smaller_one() -> None:
    rows = np.zeros((4, P))
    rows[:, 0] = 2.5, 2.1, 1.9, 3.0
    found = heard_by_a_hub(A["ubar"](rho=1.0, alpha=0.0), rows, problem=Steps())
    np.testing.assert_allclose(found, rows[1:3].mean(0), rtol=1e-6)
    rows[:, 0] = 2.5, 3.5, 3.7, 1.0
    rows[3, 1] = -1.0  # of no loss, though the others have larger ones than the own row
    found = heard_by_a_hub(A["ubar"](rho=1.0, alpha=0.0), rows, problem=Steps())
    np.testing.assert_allclose(found, rows[1:3].mean(0), rtol=1e-6)


def test_where_no_loss_is_a_number_ubar_keeps_the_own_row() -> None:
    rows = np.random.default_rng(3).normal(size=(4, P))
    found = heard_by_a_hub(A["ubar"](rho=1.0, alpha=0.0), rows, problem=Unusable())
    np.testing.assert_array_equal(found, np.float32(rows[0]))


@pytest.mark.slow
def test_ubar_says_what_it_cannot_compare() -> None:
    W = jg.mixing.metropolis_hastings(GRAPHS["regular"])
    quadratic, data = jg.learning.isotropic_quadratic(12, dimension=P, rng=0), jg.learning.datasets.synthetic(rng=0)
    conditions = Conditions(aggregation=A["ubar"]())
    rate, in_fragments = optax.sgd(0.1), jg.mixing.mosaic(jg.topology.complete(12), fragments=2)

    def private(privacy: jg.learning.DifferentialPrivacy | None) -> jg.algorithms.Algorithm:
        model = jg.learning.MODELS["logistic"]((20,), 2)
        problem = jg.learning.classification(data, "iid", model, nodes=12, rng=0, privacy=privacy)
        return jg.algorithms.dsgd(problem, rate, W)

    for algorithm, message in (
        (jg.algorithms.gradient_tracking(quadratic, rate, W), "this method also mixes its tracker"),
        (jg.algorithms.gossip(quadratic, rate, W, payload="update"), "this method also mixes its update"),
        (jg.algorithms.dsgd(quadratic, rate, in_fragments), "of which messages carry fragments"),
        (
            jg.algorithms.deep_squeeze(jg.learning.ratings(12, rng=0), rate, W, jg.compression.sign()),
            "whole models, and this method mixes without the private columns",
        ),
        (private(jg.learning.DifferentialPrivacy(1.0, 1.0)), "without the noise that keeps these private"),
    ):
        with pytest.raises(jg.errors.InputError, match=f"'ubar' compares losses .*{message}"):
            jg.simulate(algorithm, 1, conditions=conditions)
    with pytest.raises(jg.errors.InputError, match="on nodes' own samples, of which an unknown problem has none"):
        heard_by_a_hub(A["ubar"](), np.ones((3, P)))
