"""Theory plots that check themselves: a prediction, a measurement by the emulator, a figure of both, and claims.

Every file in ``plots/`` has the four functions ``predict``, ``measure``, ``draw`` and ``claims``, and a builder of its plot
whose docstring opens with the statement that the figure supports. Users can write such a builder in a file of their own.
"""

from jaxgossip.core.registry import Registry
from jaxgossip.theory.plot import Claim as Claim
from jaxgossip.theory.plot import Plot as Plot
from jaxgossip.theory.plots.acceleration import acceleration
from jaxgossip.theory.plots.burst_losses import burst_losses
from jaxgossip.theory.plots.choco_bytes import choco_bytes
from jaxgossip.theory.plots.choco_gossip import choco_gossip
from jaxgossip.theory.plots.clipped_gossip import clipped_gossip
from jaxgossip.theory.plots.consensus_contraction import consensus_contraction
from jaxgossip.theory.plots.degree_bias import degree_bias
from jaxgossip.theory.plots.effective_neighbours import effective_neighbours
from jaxgossip.theory.plots.epidemic_against_static import epidemic_against_static
from jaxgossip.theory.plots.equitopo import equitopo
from jaxgossip.theory.plots.error_feedback import error_feedback
from jaxgossip.theory.plots.exact_methods import exact_methods
from jaxgossip.theory.plots.finite_time_consensus import finite_time_consensus
from jaxgossip.theory.plots.fragments import fragments
from jaxgossip.theory.plots.learned_weights import learned_weights
from jaxgossip.theory.plots.linear_speed_up import linear_speed_up
from jaxgossip.theory.plots.link_drop import link_drop
from jaxgossip.theory.plots.local_sgd import local_sgd
from jaxgossip.theory.plots.momentum_bias import momentum_bias
from jaxgossip.theory.plots.muffliato import muffliato
from jaxgossip.theory.plots.network_term import network_term
from jaxgossip.theory.plots.newer_exact_methods import newer_exact_methods
from jaxgossip.theory.plots.noloco_edge import noloco_edge
from jaxgossip.theory.plots.ormandi import ormandi
from jaxgossip.theory.plots.outer_momentum import outer_momentum
from jaxgossip.theory.plots.pairwise_gossip import pairwise_gossip
from jaxgossip.theory.plots.partitioned_models import partitioned_models
from jaxgossip.theory.plots.pens_clusters import pens_clusters
from jaxgossip.theory.plots.push_rumour import push_rumour
from jaxgossip.theory.plots.push_sum_potential import push_sum_potential
from jaxgossip.theory.plots.random_graph_thresholds import random_graph_thresholds
from jaxgossip.theory.plots.random_topology import random_topology
from jaxgossip.theory.plots.relay_sum import relay_sum
from jaxgossip.theory.plots.rumour_residue import rumour_residue
from jaxgossip.theory.plots.skiptrain import skiptrain
from jaxgossip.theory.plots.stability_thresholds import stability_thresholds
from jaxgossip.theory.plots.stationary_error import stationary_error
from jaxgossip.theory.plots.token_accounts import token_accounts
from jaxgossip.theory.plots.topology_and_accuracy import topology_and_accuracy

PLOTS = Registry(
    "figure",
    [
        consensus_contraction,
        finite_time_consensus,
        stationary_error,
        effective_neighbours,
        linear_speed_up,
        error_feedback,
        exact_methods,
        stability_thresholds,
        acceleration,
        network_term,
        random_topology,
        fragments,
        push_rumour,
        rumour_residue,
        push_sum_potential,
        pairwise_gossip,
        choco_gossip,
        clipped_gossip,
        ormandi,
        degree_bias,
        token_accounts,
        partitioned_models,
        pens_clusters,
        momentum_bias,
        newer_exact_methods,
        outer_momentum,
        noloco_edge,
        skiptrain,
        local_sgd,
        link_drop,
        burst_losses,
        relay_sum,
        random_graph_thresholds,
        muffliato,
        equitopo,
        topology_and_accuracy,
        epidemic_against_static,
        choco_bytes,
        learned_weights,
    ],
)
"""Builders of plots by name, the most useful first."""
