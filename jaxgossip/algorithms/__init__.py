"""Decentralised learning algorithms, one short file each: the mathematics, the paper, a method of pure functions."""

from jaxgossip.algorithms.admm import admm as admm
from jaxgossip.algorithms.asynchronous import ad_psgd as ad_psgd
from jaxgossip.algorithms.asynchronous import asynchronous_push_sum as asynchronous_push_sum
from jaxgossip.algorithms.asynchronous import asynchronous_sgp as asynchronous_sgp
from jaxgossip.algorithms.asynchronous import pairwise_averaging as pairwise_averaging
from jaxgossip.algorithms.averaging import averaging as averaging
from jaxgossip.algorithms.averaging import chebyshev as chebyshev
from jaxgossip.algorithms.averaging import shift_register as shift_register
from jaxgossip.algorithms.base import Algorithm as Algorithm
from jaxgossip.algorithms.base import Method as Method
from jaxgossip.algorithms.base import descend as descend
from jaxgossip.algorithms.base import displacement as displacement
from jaxgossip.algorithms.baselines import centralised as centralised
from jaxgossip.algorithms.baselines import isolated as isolated
from jaxgossip.algorithms.choco import choco as choco
from jaxgossip.algorithms.d2 import d2 as d2
from jaxgossip.algorithms.d2 import exact_diffusion as exact_diffusion
from jaxgossip.algorithms.deep_squeeze import deep_squeeze as deep_squeeze
from jaxgossip.algorithms.dsgd import dsgd as dsgd
from jaxgossip.algorithms.epidemic import epidemic as epidemic
from jaxgossip.algorithms.extra import extra as extra
from jaxgossip.algorithms.federated import federated_averaging as federated_averaging
from jaxgossip.algorithms.gossip import gossip as gossip
from jaxgossip.algorithms.gossip_learning import gossip_learning as gossip_learning
from jaxgossip.algorithms.gradient_tracking import gradient_tracking as gradient_tracking
from jaxgossip.algorithms.halving_windows import halving_windows as halving_windows
from jaxgossip.algorithms.k_gt import k_gt as k_gt
from jaxgossip.algorithms.momentum import decentlam as decentlam
from jaxgossip.algorithms.momentum import dmsgd as dmsgd
from jaxgossip.algorithms.momentum import dsgdm as dsgdm
from jaxgossip.algorithms.momentum import qg_dsgdm as qg_dsgdm
from jaxgossip.algorithms.muffliato import muffliato as muffliato
from jaxgossip.algorithms.pens import pens as pens
from jaxgossip.algorithms.power_gossip import power_gossip as power_gossip
from jaxgossip.algorithms.protocol import GossipProtocol as GossipProtocol
from jaxgossip.algorithms.protocol import ProtocolMethod as ProtocolMethod
from jaxgossip.algorithms.push import push_diging as push_diging
from jaxgossip.algorithms.push import push_sum as push_sum
from jaxgossip.algorithms.push import sgp as sgp
from jaxgossip.algorithms.relay_sgd import relay_sgd as relay_sgd
from jaxgossip.core.registry import Registry

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
"""What ``algorithm.kind`` can name: what runs in rounds."""

PROTOCOLS = Registry(
    "protocol",
    [gossip_learning, pairwise_averaging, ad_psgd, asynchronous_push_sum, asynchronous_sgp, pens],
)
"""What ``algorithm.kind`` can name beside: what runs on a schedule of events."""
