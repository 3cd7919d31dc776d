"""Partitions of the training samples over nodes, and the rules that draw them."""

from jaxgossip.core.registry import Registry
from jaxgossip.learning.partitions.partition import Partition as Partition
from jaxgossip.learning.partitions.rules import dirichlet as dirichlet
from jaxgossip.learning.partitions.rules import fixed_size as fixed_size
from jaxgossip.learning.partitions.rules import iid as iid
from jaxgossip.learning.partitions.rules import label_shards as label_shards
from jaxgossip.learning.partitions.rules import one_sample as one_sample
from jaxgossip.learning.partitions.rules import quantity_skew as quantity_skew

PARTITIONS = Registry("partition", [iid, fixed_size, one_sample, dirichlet, label_shards, quantity_skew])
"""Rules that ``partition.kind`` can name."""
