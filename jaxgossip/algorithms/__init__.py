"""Decentralised learning algorithms: each file has the equations, the paper, and the method as pure functions.

Every builder raises ArgumentTypeError for arguments that are missing, unknown or, mostly, of the wrong type, and
InputError, its base class, for numbers that are NaN, infinite or not whole where they must be; bounds are under its
``Raises``.
"""

from jaxgossip.algorithms.base import Algorithm, Method, descend, displacement
from jaxgossip.algorithms.compressed.beer import beer, motef
from jaxgossip.algorithms.compressed.choco import choco
from jaxgossip.algorithms.compressed.deep_squeeze import deep_squeeze
from jaxgossip.algorithms.compressed.lead import cedas, lead
from jaxgossip.algorithms.compressed.power_gossip import power_gossip
from jaxgossip.algorithms.consensus.averaging import averaging, chebyshev, shift_register
from jaxgossip.algorithms.consensus.halving_windows import halving_windows
from jaxgossip.algorithms.exact.admm import admm, dinno, dlm
from jaxgossip.algorithms.exact.atg import atg
from jaxgossip.algorithms.exact.d2 import d2, exact_diffusion
from jaxgossip.algorithms.exact.extra import extra
from jaxgossip.algorithms.exact.gradient_tracking import gradient_tracking
from jaxgossip.algorithms.exact.k_gt import k_gt
from jaxgossip.algorithms.exact.led import led
from jaxgossip.algorithms.exact.lt_admm import lt_admm
from jaxgossip.algorithms.exact.proxskip import proxskip
from jaxgossip.algorithms.exact.variance_reduced import gt_saga, gt_sarah, gt_vr
from jaxgossip.algorithms.exact.wang_elia import wang_elia
from jaxgossip.algorithms.low_communication.diloco import diloco
from jaxgossip.algorithms.low_communication.noloco import noloco
from jaxgossip.algorithms.low_communication.outer import outer_gossip
from jaxgossip.algorithms.low_communication.slowmo import slowmo
from jaxgossip.algorithms.low_communication.sparse_loco import sparse_loco
from jaxgossip.algorithms.low_communication.sparta import sparta
from jaxgossip.algorithms.low_communication.streaming import streaming_diloco
from jaxgossip.algorithms.personal.dispfl import dispfl
from jaxgossip.algorithms.personal.ditto import ditto
from jaxgossip.algorithms.personal.fedrep import fedrep
from jaxgossip.algorithms.personal.model_propagation import model_propagation
from jaxgossip.algorithms.personal.multi_task import multi_task
from jaxgossip.algorithms.protocols.asynchronous import (
    ad_psgd,
    asynchronous_push_sum,
    asynchronous_sgp,
    pairwise_averaging,
)
from jaxgossip.algorithms.protocols.gossip_learning import gossip_learning
from jaxgossip.algorithms.protocols.pens import pens
from jaxgossip.algorithms.protocols.protocol import GossipProtocol, ProtocolMethod
from jaxgossip.algorithms.servers.adaptive import fedadagrad, fedadam, fedyogi
from jaxgossip.algorithms.servers.averaging import federated_averaging, fedprox
from jaxgossip.algorithms.servers.feddyn import feddyn
from jaxgossip.algorithms.servers.fednova import fednova
from jaxgossip.algorithms.servers.hierarchical import hierarchical_averaging
from jaxgossip.algorithms.servers.scaffold import scaffold
from jaxgossip.algorithms.sgd.baselines import centralised, isolated
from jaxgossip.algorithms.sgd.clique_averaging import clique_averaging
from jaxgossip.algorithms.sgd.dsgd import dsgd
from jaxgossip.algorithms.sgd.epidemic import epidemic
from jaxgossip.algorithms.sgd.gossip import gossip
from jaxgossip.algorithms.sgd.momentum import decentlam, dmsgd, dsgdm, qg_dsgdm
from jaxgossip.algorithms.sgd.morph import morph
from jaxgossip.algorithms.sgd.muffliato import muffliato
from jaxgossip.algorithms.sgd.push import push_diging, push_sum, sgp
from jaxgossip.algorithms.sgd.relay_sgd import relay_sgd
from jaxgossip.algorithms.sgd.skiptrain import skiptrain
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
    "atg",
    "averaging",
    "beer",
    "cedas",
    "centralised",
    "chebyshev",
    "choco",
    "clique_averaging",
    "d2",
    "decentlam",
    "deep_squeeze",
    "descend",
    "diloco",
    "dinno",
    "dispfl",
    "displacement",
    "ditto",
    "dlm",
    "dmsgd",
    "dsgd",
    "dsgdm",
    "epidemic",
    "exact_diffusion",
    "extra",
    "fedadagrad",
    "fedadam",
    "feddyn",
    "federated_averaging",
    "fednova",
    "fedprox",
    "fedrep",
    "fedyogi",
    "gossip",
    "gossip_learning",
    "gradient_tracking",
    "gt_saga",
    "gt_sarah",
    "gt_vr",
    "halving_windows",
    "hierarchical_averaging",
    "isolated",
    "k_gt",
    "lead",
    "led",
    "lt_admm",
    "model_propagation",
    "morph",
    "motef",
    "muffliato",
    "multi_task",
    "noloco",
    "outer_gossip",
    "pairwise_averaging",
    "pens",
    "power_gossip",
    "proxskip",
    "push_diging",
    "push_sum",
    "qg_dsgdm",
    "relay_sgd",
    "scaffold",
    "sgp",
    "shift_register",
    "skiptrain",
    "slowmo",
    "sparse_loco",
    "sparta",
    "streaming_diloco",
    "wang_elia",
]

ALGORITHMS = Registry(
    "algorithm",
    [
        gossip,
        dsgd,
        skiptrain,
        epidemic,
        clique_averaging,
        morph,
        dsgdm,
        dmsgd,
        qg_dsgdm,
        decentlam,
        d2,
        exact_diffusion,
        extra,
        gradient_tracking,
        gt_saga,
        gt_sarah,
        gt_vr,
        k_gt,
        led,
        proxskip,
        wang_elia,
        admm,
        dlm,
        dinno,
        lt_admm,
        atg,
        sgp,
        push_diging,
        choco,
        deep_squeeze,
        beer,
        motef,
        lead,
        cedas,
        power_gossip,
        relay_sgd,
        muffliato,
        outer_gossip,
        noloco,
        slowmo,
        streaming_diloco,
        sparta,
        ditto,
        multi_task,
        model_propagation,
        fedrep,
        dispfl,
        averaging,
        shift_register,
        chebyshev,
        halving_windows,
        push_sum,
        federated_averaging,
        fedprox,
        fedadam,
        fedyogi,
        fedadagrad,
        fednova,
        feddyn,
        scaffold,
        hierarchical_averaging,
        diloco,
        sparse_loco,
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
