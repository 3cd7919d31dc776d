"""Decentralised learning algorithms, one short file each: the mathematics, the paper, a pure init/step pair."""

from jaxgossip.algorithms.base import Algorithm as Algorithm
from jaxgossip.algorithms.base import descend as descend
from jaxgossip.algorithms.baselines import centralised as centralised
from jaxgossip.algorithms.baselines import isolated as isolated
from jaxgossip.algorithms.dsgd import dsgd as dsgd
from jaxgossip.algorithms.gossip import gossip as gossip
from jaxgossip.registry import Registry

ALGORITHMS = Registry("algorithm", [gossip, dsgd, isolated, centralised])
"""What ``algorithm.kind`` can name."""
