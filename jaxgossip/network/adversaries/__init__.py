"""Byzantine nodes ("liars"): the rows that they send instead of those that they hold.

Liars are omniscient (they know all rows, the honest nodes and the weights) and follow the protocol otherwise; the rows
that they hold evolve as if they were honest. With H the honest nodes, μ and σ the mean and deviation of their rows:

    bit_flip    s_j = −x_j
    constant    s_j = c in every entry
    alie        s_j = μ − z σ,  column by column,  z = Φ⁻¹((n − m − s)/(n − m)),  s = ⌊n/2 + 1⌋ − m
    ipm         s_j = −ε μ
    dissensus   to node i:  x_i − ε Σ_{j∈H} W_ij (x_j − x_i) / Σ_{j∉H} W_ij
    model_replacement
                to node i:  x_i + Σ_{j∉H} W_ij (x_j − x_i) / (Σ_{j∉H} W_ij)²
    min_max     s_j = μ − γ p,  γ the largest for which no honest row is farther from it than two honest rows are apart
    min_sum     s_j = μ − γ p,  the same for sums of squared distances (see :mod:`.farthest`)
    label_flip  s_j = x_j,  learnt from flipped labels: class c becomes C − 1 − c
    backdoor    s_j = x_j,  learnt from samples some of which carry a trigger and one label; or as model_replacement does

Bit flip and label flip: Karimireddy, He and Jaggi 2021, "Learning from history for Byzantine robust optimization".
ALIE: Baruch, Baruch and Goldberg 2019, "A little is enough". IPM: Xie, Koyejo and Gupta 2019, "Fall of empires".
Model replacement: Bagdasaryan et al. 2020, "How to backdoor federated learning" (see :mod:`.replacement`).
Backdoor: Gu, Dolan-Gavitt and Garg 2017, "BadNets" (see :mod:`jaxgossip.learning.data.backdoor`).
Min-max, min-sum: Shejwalkar and Houmansadr 2021, "Manipulating the Byzantine".
Dissensus: He, Karimireddy and Jaggi 2022, "Byzantine-robust decentralized learning via ClippedGossip", section 6.
"""

from jaxgossip.core.registry import Registry
from jaxgossip.network.adversaries.attacks import (
    alie,
    bit_flip,
    constant,
    dissensus,
    ipm,
    label_flip,
)
from jaxgossip.network.adversaries.backdoor import backdoor
from jaxgossip.network.adversaries.farthest import min_max, min_sum
from jaxgossip.network.adversaries.replacement import model_replacement
from jaxgossip.network.adversaries.scene import Adversary, Scene, chosen_liars

__all__ = [
    "ADVERSARIES",
    "Adversary",
    "Scene",
    "alie",
    "backdoor",
    "bit_flip",
    "chosen_liars",
    "constant",
    "dissensus",
    "ipm",
    "label_flip",
    "min_max",
    "min_sum",
    "model_replacement",
]

ADVERSARIES = Registry(
    "adversary", [bit_flip, label_flip, backdoor, alie, ipm, min_max, min_sum, dissensus, model_replacement, constant]
)
"""Builders of adversaries by name, as in ``adversary.kind``."""
