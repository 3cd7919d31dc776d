"""Membership inference: curves with ties, LiRA's scores, and the closed form of averages of Gaussian samples over a ring."""

import numpy as np
import pytest
from scipy.special import ndtr

from jaxgossip import topology
from jaxgossip.audit import lira, roc
from jaxgossip.core.errors import InputError

QUOTED = {
    0: (1.0, 0.841345),
    1: (0.577350, 0.718149),
    2: (0.688247, 0.754351),
    5: (0.538996, 0.705055),
    10: (0.460861, 0.677551),
    50: (0.285440, 0.612347),
}
"""r_t and the AUC after t rounds on a ring of 16 nodes with weights 1/3; d = 100, m = 50."""


def test_a_curve_counts_ties_one_half() -> None:
    rng = np.random.default_rng(0)
    members, others = rng.integers(2, 9, 40), rng.integers(0, 7, 30)
    curve = roc(members, others)
    wins = (members[:, None] > others).mean() + (members[:, None] == others).mean() / 2
    assert curve.auc == pytest.approx(wins, abs=1e-15)
    assert np.trapezoid(curve.true_positives, curve.false_positives) == pytest.approx(wins, abs=1e-15)
    for threshold, alarms, hits in zip(
        range(8, -1, -1), curve.false_positives[1:], curve.true_positives[1:], strict=True
    ):
        assert (alarms, hits) == ((others >= threshold).mean(), (members >= threshold).mean())
    accuracies = [((members >= c).mean() + (others < c).mean()) / 2 for c in range(11)]
    assert curve.balanced_accuracy == pytest.approx(max(accuracies), abs=1e-15)
    for level in (0.0, 0.1, 0.5, 1.0):
        allowed = [(members >= c).mean() for c in range(11) if (others >= c).mean() <= level]
        assert curve.at(level) == max(allowed)


def test_curves_of_extreme_scores() -> None:
    assert roc([1.0, 1.0], [1.0]).auc == 0.5
    assert roc([1.0, 1.0], [1.0]).at(0.01) == 0.0
    perfect = roc([2.0, np.inf], [1.0, -np.inf])
    assert (perfect.auc, perfect.balanced_accuracy, perfect.at(0.0)) == (1.0, 1.0, 1.0)
    farther = roc(lira([30.0, 20.0], [[0.0, 0.0], [1.0, 1.0]], np.ones((2, 2), bool))[:1], [20.0])
    assert farther.auc == 1.0  # Φ of both would be 1
    reverse = roc([1.0], [2.0])
    assert (reverse.auc, reverse.balanced_accuracy) == (0.0, 0.5)


def test_lira_pools_the_deviation_of_few_references_and_not_that_of_many() -> None:
    rng = np.random.default_rng(1)
    phi, references = rng.normal(size=5), rng.normal(size=(6, 5))
    out = np.array([[True, False, True, True, True]] * 3 + [[True, True, False, True, True]] * 3)
    out[:2, 1] = True
    means = np.array([references[out[:, z], z].mean() for z in range(5)])
    sums = [np.square(references[out[:, z], z] - means[z]).sum() for z in range(5)]
    pooled = np.sqrt(sum(sums) / (out.sum(0) - 1).sum())
    np.testing.assert_allclose(lira(phi, references, out), (phi - means) / pooled, rtol=1e-12)
    many = rng.normal(size=(64, 5)) * np.arange(1, 6)
    own = many.std(0, ddof=1)
    wanted = (phi - many.mean(0)) / own
    np.testing.assert_allclose(lira(phi, many, np.ones((64, 5), bool)), wanted, rtol=1e-12)


def test_lira_beats_the_threshold_where_samples_are_of_unequal_difficulty() -> None:
    rng = np.random.default_rng(2)
    hard = rng.normal(scale=3, size=2000)
    member = np.arange(2000) < 1000
    references = hard + rng.normal(size=(8, 2000))
    phi = hard + rng.normal(size=2000) + member
    scores = lira(phi, references, np.ones((8, 2000), bool))
    plain, better = roc(phi[member], phi[~member]), roc(scores[member], scores[~member])
    assert better.auc == pytest.approx(ndtr(1 / np.sqrt(2 * (1 + 1 / 8))), abs=0.03)
    assert plain.auc < better.auc - 0.1
    assert better.at(0.01) > 1.5 * plain.at(0.01)


def test_averages_over_a_ring_leak_as_the_closed_form_says() -> None:
    n, d, m = 16, 100, 50
    W = np.zeros((n, n))
    W[np.arange(n), np.arange(n)] = W[np.arange(n), np.arange(n) - 1] = W[np.arange(n) - 1, np.arange(n)] = 1 / 3
    np.testing.assert_allclose(topology.metropolis_hastings(topology.ring(n)).to_scipy().toarray(), W)
    rng, found = np.random.default_rng(0), {t: ([], []) for t in QUOTED}
    for _ in range(30):
        samples, fresh = rng.normal(size=(n, m, d)), rng.normal(size=(n, m, d))
        means = samples.mean(1)
        for t, (inside, outside) in found.items():
            models = np.linalg.matrix_power(W, t) @ means
            inside.append(np.einsum("nmd,nd->nm", samples, models) / np.linalg.norm(models, axis=1)[:, None])
            outside.append(np.einsum("nmd,nd->nm", fresh, models) / np.linalg.norm(models, axis=1)[:, None])
    for t, (quoted_r, quoted_auc) in QUOTED.items():
        row = np.linalg.matrix_power(W, t)[0]
        assert row[0] / np.linalg.norm(row) == pytest.approx(quoted_r, abs=1e-6)
        assert ndtr(np.sqrt(d / (2 * m)) * quoted_r) == pytest.approx(quoted_auc, abs=1e-6)
        assert roc(*found[t]).auc == pytest.approx(quoted_auc, abs=0.005)


@pytest.mark.wrong_types
def test_mistakes_are_named() -> None:
    with pytest.raises(InputError, match="roc: there must be scores of members and of others, none of them NaN"):
        roc([], [1.0])
    with pytest.raises(InputError, match="none of them NaN"):
        roc([np.nan], [1.0])
    with pytest.raises(InputError, match="lira: a sample that fewer than two reference models were not trained on"):
        lira([0.0], [[0.0], [1.0]], [[True], [False]])
    with pytest.raises(InputError, match=r"lira: φ of shapes \(1,\) and \(2, 2\), and out of shape \(2, 2\)"):
        lira([0.0], np.zeros((2, 2)), np.ones((2, 2), bool))
