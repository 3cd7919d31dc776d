"""Peer choice: whom a node calls.

    uniform    a neighbour, uniformly at random
    weighted   neighbour j with probability W_ij of a weight rule; with probability W_ii nobody
    matching   the partner in a random perfect matching of all nodes, drawn anew every cycle
    newscast   a random member of a view of some twenty nodes, which gossip keeps up to date (:mod:`.newscast`)
    brahms     a member of a view that liars cannot fill, or of uniform samples of all nodes (:mod:`.brahms`)

Row i of a graph lists whom i hears. A node pushes to those who hear it, along the direction of the links, and pulls from
those that it hears. An exchange goes both ways, and needs undirected links.

Pairwise averaging with probabilities W is randomised gossip (Boyd, Ghosh, Prabhakar and Shah 2006, "Randomized gossip
algorithms"); uniform choice among neighbours is the walk of gossip learning (Ormándi, Hegedűs and Jelasity 2013).
"""

from jaxgossip.core.registry import Registry
from jaxgossip.schedule.peers.brahms import brahms, liar_share
from jaxgossip.schedule.peers.choice import Choice, Overlay, Peers, Preferences, Way, checked
from jaxgossip.schedule.peers.graph import preferred, uniform, weighted
from jaxgossip.schedule.peers.liars import Liars
from jaxgossip.schedule.peers.matching import matching
from jaxgossip.schedule.peers.newscast import newscast

__all__ = [
    "PEERS",
    "Choice",
    "Liars",
    "Overlay",
    "Peers",
    "Preferences",
    "Way",
    "brahms",
    "checked",
    "liar_share",
    "matching",
    "newscast",
    "preferred",
    "uniform",
    "weighted",
]

PEERS = Registry("peer choice", [uniform, weighted, matching, newscast, brahms])
"""Peer choices by name."""
