"""Membership inference: whether a sample was trained on, told from how sure models are of it; and how well that is told.

An attacker gives every sample a score, the higher the more likely it was trained on, by one of

    loss threshold    −ℓ(z), Yeom, Giacomelli, Fredrikson and Jha 2018, "Privacy risk in machine learning";
    LiRA, offline     Φ((φ(z) − μ_out)/σ_out), φ = log(p_y/(1 − p_y)), Carlini, Chien, Nasr, Song, Terzis and Tramèr 2022,
                      "Membership inference attacks from first principles",

where μ_out and σ_out are the mean and deviation of φ(z) over reference models that were not trained on z. With few of these,
the deviation is pooled over samples. Of several models that he hears, he takes the mean of their scores.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from jaxgossip.core.arguments import reals
from jaxgossip.core.errors import InputError

OWN_DEVIATION = 64
"""Least number of reference models that give a sample a deviation of its own, as in the paper."""


@dataclass(frozen=True)
class Roc:
    """The receiver operating characteristic of scores: what share of members is told at what price.

    Attributes:
        false_positives: (k,) float64, ascending from 0 to 1: the share of others whose score is at least a threshold.
        true_positives: (k,) float64: the share of members whose score is.
        auc: the probability that a member's score is above another's, ties counting one half (Mann–Whitney).
    """

    false_positives: np.ndarray
    true_positives: np.ndarray
    auc: float

    @property
    def balanced_accuracy(self) -> float:
        """The largest mean of the shares of members and of others that a threshold tells apart."""
        return float((1 + self.true_positives - self.false_positives).max() / 2)

    def at(self, false_positives: float) -> float:
        """Return the largest share of members that a threshold tells with at most this share of false positives."""
        return float(self.true_positives[self.false_positives <= false_positives].max())


def roc(members: ArrayLike, others: ArrayLike) -> Roc:
    """Return the curve of the scores (m,) of members and those (k,) of others.

    Raises:
        InputError: there are none of one kind, or some are NaN.
    """
    own, rest = (np.ravel(reals("roc", name, values)) for name, values in (("members", members), ("others", others)))
    if not own.size or not rest.size or np.isnan(own).any() or np.isnan(rest).any():
        raise InputError("roc: there must be scores of members and of others, none of them NaN")
    ranks = rankdata(np.concatenate([own, rest]))[: own.size]
    auc = (ranks.sum() - own.size * (own.size + 1) / 2) / (own.size * rest.size)
    thresholds = np.unique(np.concatenate([own, rest]))[::-1]
    hits, alarms = ((each.size - np.searchsorted(np.sort(each), thresholds)) / each.size for each in (own, rest))
    return Roc(np.append(0.0, alarms), np.append(0.0, hits), float(auc))


def lira(target: ArrayLike, references: ArrayLike, out: ArrayLike) -> np.ndarray:
    """Return (z,) float64: the scores of offline LiRA before Φ, which would round the highest to 1, (φ − μ_out)/σ_out.

    Args:
        target: (z,) φ of each sample by the attacked model.
        references: (r, z) φ of each sample by the reference models.
        out: (r, z) bool, whether a reference model was not trained on a sample.

    Raises:
        InputError: shapes differ, or fewer than two reference models were not trained on a sample.
    """
    phi, known = reals("lira", "target", target), reals("lira", "references", references)
    outside = np.asarray(out, bool)
    if phi.ndim != 1 or known.shape[1:] != phi.shape or outside.shape != known.shape:
        raise InputError(f"lira: φ of shapes {phi.shape} and {known.shape}, and out of shape {outside.shape}")
    number = outside.sum(0)
    if phi.size and number.min() < 2:
        raise InputError(
            "lira: a sample that fewer than two reference models were not trained on", hint="more reference models"
        )
    mean = np.where(outside, known, 0).sum(0) / np.maximum(number, 1)
    squares = np.where(outside, np.square(known - mean), 0).sum(0)
    pooled = squares.sum() / max(1, (number - 1).sum())
    variance = np.where(number >= OWN_DEVIATION, squares / np.maximum(number - 1, 1), pooled)
    return (phi - mean) / np.sqrt(np.maximum(variance, np.finfo(float).tiny))
