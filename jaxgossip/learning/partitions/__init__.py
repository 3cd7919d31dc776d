"""Partitions of the training samples over nodes, and the rules that draw them.

Every rule raises DataError for labels that are not (m,), and for a ``local_test`` outside [0, 1) or too small to give any
node a test sample; what it refuses beside these is under its ``Raises``.
"""

from jaxgossip.core.registry import Registry
from jaxgossip.learning.partitions.by_class import dirichlet as dirichlet
from jaxgossip.learning.partitions.by_class import label_quantity as label_quantity
from jaxgossip.learning.partitions.by_class import label_shards as label_shards
from jaxgossip.learning.partitions.by_class import stratified as stratified
from jaxgossip.learning.partitions.by_owner import by_owner as by_owner
from jaxgossip.learning.partitions.partition import Partition as Partition
from jaxgossip.learning.partitions.rules import fixed_size as fixed_size
from jaxgossip.learning.partitions.rules import iid as iid
from jaxgossip.learning.partitions.rules import one_sample as one_sample
from jaxgossip.learning.partitions.rules import quantity_skew as quantity_skew
from jaxgossip.learning.partitions.summary import Heterogeneity as Heterogeneity
from jaxgossip.learning.partitions.summary import class_shares as class_shares
from jaxgossip.learning.partitions.summary import heterogeneity as heterogeneity

BY_CLASS = (dirichlet, label_shards, label_quantity, stratified)
"""Rules that need classes."""
PARTITIONS = Registry("partition", [iid, fixed_size, one_sample, quantity_skew, by_owner, *BY_CLASS])
"""Rules that ``partition.kind`` can name."""
