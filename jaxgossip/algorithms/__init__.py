"""Decentralised learning algorithms: each file has the equations, the paper, and the method as pure functions.

Every builder raises ArgumentTypeError for arguments that are missing, unknown or, mostly, of the wrong type, and
InputError, its base class, for numbers that are NaN, infinite or not whole where they must be; bounds are under its
``Raises``.
"""

from jaxgossip.algorithms.admm import admm
from jaxgossip.algorithms.asynchronous import ad_psgd, asynchronous_push_sum, asynchronous_sgp, pairwise_averaging
from jaxgossip.algorithms.averaging import averaging, chebyshev, shift_register
from jaxgossip.algorithms.base import Algorithm, Method, descend, displacement
from jaxgossip.algorithms.baselines import centralised, isolated
from jaxgossip.algorithms.choco import choco
from jaxgossip.algorithms.d2 import d2, exact_diffusion
from jaxgossip.algorithms.deep_squeeze import deep_squeeze
from jaxgossip.algorithms.dsgd import dsgd
from jaxgossip.algorithms.epidemic import epidemic
from jaxgossip.algorithms.extra import extra
from jaxgossip.algorithms.federated import federated_averaging
from jaxgossip.algorithms.gossip import gossip
from jaxgossip.algorithms.gossip_learning import gossip_learning
from jaxgossip.algorithms.gradient_tracking import gradient_tracking
from jaxgossip.algorithms.halving_windows import halving_windows
from jaxgossip.algorithms.k_gt import k_gt
from jaxgossip.algorithms.momentum import decentlam, dmsgd, dsgdm, qg_dsgdm
from jaxgossip.algorithms.muffliato import muffliato
from jaxgossip.algorithms.pens import pens
from jaxgossip.algorithms.power_gossip import power_gossip
from jaxgossip.algorithms.protocol import GossipProtocol, ProtocolMethod
from jaxgossip.algorithms.push import push_diging, push_sum, sgp
from jaxgossip.algorithms.relay_sgd import relay_sgd
from jaxgossip.core.registry import Registry

__all__ = [
    "ALGORITHMS",
    "PROTOCOLS",
    "Algorithm",
    "GossipProtocol",
    "Method",
    "ProtocolMethod",
    "ad_psgd",
    "admm",
    "asynchronous_push_sum",
    "asynchronous_sgp",
    "averaging",
    "centralised",
    "chebyshev",
    "choco",
    "d2",
    "decentlam",
    "deep_squeeze",
    "descend",
    "displacement",
    "dmsgd",
    "dsgd",
    "dsgdm",
    "epidemic",
    "exact_diffusion",
    "extra",
    "federated_averaging",
    "gossip",
    "gossip_learning",
    "gradient_tracking",
    "halving_windows",
    "isolated",
    "k_gt",
    "muffliato",
    "pairwise_averaging",
    "pens",
    "power_gossip",
    "push_diging",
    "push_sum",
    "qg_dsgdm",
    "relay_sgd",
    "sgp",
    "shift_register",
]

ALGORITHMS = Registry(
    "algorithm",
    [
        gossip,
        dsgd,
        epidemic,
        dsgdm,
        dmsgd,
        qg_dsgdm,
        decentlam,
        d2,
        exact_diffusion,
        extra,
        gradient_tracking,
        k_gt,
        admm,
        sgp,
        push_diging,
        choco,
        deep_squeeze,
        power_gossip,
        relay_sgd,
        muffliato,
        averaging,
        shift_register,
        chebyshev,
        halving_windows,
        push_sum,
        federated_averaging,
        isolated,
        centralised,
    ],
)
"""Builders of algorithms in rounds by name, as in ``algorithm.kind``."""

PROTOCOLS = Registry(
    "protocol",
    [gossip_learning, pairwise_averaging, ad_psgd, asynchronous_push_sum, asynchronous_sgp, pens],
)
"""Builders of protocols by name, as in ``algorithm.kind``; they run on a schedule of messages instead of in rounds."""
