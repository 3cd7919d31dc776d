"""Robust aggregation: how a node combines the rows it hears when some of its neighbours may lie.

Node i holds x_i and hears the rows h_1 … h_m that arrived, of weights w_k; w_0 = 1 − Σ w_k is its own.

    clipped        x_i + Σ_k w_k clip(h_k − x_i, τ_i),   clip(v, τ) = min(1, τ/‖v‖) v
    median         median of x_i, h_1 … h_m, column by column
    trimmed_mean   mean of these without the b smallest and the b largest, column by column
    krum           the one of these with the least sum of squared distances to its m − b − 1 nearest others
    nearest        mean of x_i and the m − b heard rows nearest to x_i
    bulyan         θ = m + 1 − 2b of these by krum, one after the other; of them the mean of the θ − 2b values that are
                   nearest to the median, column by column
    balance        α x_i + (1 − α) mean of the h_k with ‖h_k − x_i‖ ≤ γ e^(−κt/T) ‖x_i‖ in round t; x_i if there is none
    ubar           α x_i + (1 − α) mean of those of the ⌊ρm⌋ h_k nearest to x_i that have no larger loss on own samples; of the
                   one of least loss if there is none

clipped is ClippedGossip (He, Karimireddy and Jaggi 2022, "Byzantine-robust decentralized learning via ClippedGossip",
algorithm 1), with the radius "cs_plus" CS⁺ of Gaucher, Dieuleveut and Hendrikx 2025, "Unified breakdown analysis for
Byzantine robust gossip"; krum: Blanchard et al. 2017; median and trimmed mean: Yin et al. 2018; nearest: nearest
neighbour averaging, Farhadkhani et al. 2023, "Robust collaborative learning with linear gradient overhead", algorithm 1;
bulyan: El Mhamdi, Guerraoui and Rouault 2018, "The hidden vulnerability of distributed learning in Byzantium"; balance: Fang
et al. 2024, "Byzantine-robust decentralized federated learning"; ubar: Guo et al. 2021, "Byzantine-resilient decentralized
stochastic gradient descent".

Lost messages are ignored: every rule combines only what arrived.
"""

from jaxgossip.core.registry import Registry
from jaxgossip.network.aggregation.clipping import clipped
from jaxgossip.network.aggregation.columns import comparators, median, trimmed_mean
from jaxgossip.network.aggregation.heard import Aggregation, Heard, senders
from jaxgossip.network.aggregation.performance import ubar
from jaxgossip.network.aggregation.selection import bulyan, krum, nearest
from jaxgossip.network.aggregation.similarity import balance

__all__ = [
    "AGGREGATIONS",
    "Aggregation",
    "Heard",
    "balance",
    "bulyan",
    "clipped",
    "comparators",
    "krum",
    "median",
    "nearest",
    "senders",
    "trimmed_mean",
    "ubar",
]

AGGREGATIONS = Registry("aggregation", [clipped, median, trimmed_mean, krum, nearest, bulyan, balance, ubar])
"""Builders of aggregations by name, as in ``aggregation.kind``; without one, nodes take the weighted mean."""
