"""Optimizers of the nodes: any optax transformation, common ones by name, and learning rates that change.

``rates`` holds learning rates as functions of a count, ``counted`` decides what they count, ``clipped`` clips gradients, and
``parameters_named`` makes masks of parameters by their names.
"""

from jaxgossip.learning.optimizers import rates as rates
from jaxgossip.learning.optimizers.counts import counted as counted
from jaxgossip.learning.optimizers.masks import parameters_named as parameters_named
from jaxgossip.learning.optimizers.named import OPTIMIZERS as OPTIMIZERS
from jaxgossip.learning.optimizers.named import pegasos as pegasos
from jaxgossip.learning.optimizers.rates import RATES as RATES
from jaxgossip.learning.optimizers.rates import Rate as Rate
from jaxgossip.learning.optimizers.transformations import Layerwise as Layerwise
from jaxgossip.learning.optimizers.transformations import Optimizer as Optimizer
from jaxgossip.learning.optimizers.transformations import Transformation as Transformation
from jaxgossip.learning.optimizers.transformations import clipped as clipped
from jaxgossip.learning.optimizers.transformations import layerwise as layerwise
