"""Tasks that a configuration can name in place of a data set: they bring their own model and samples."""

from jaxgossip.core.registry import Registry
from jaxgossip.learning.quadratics import averaging, isotropic_quadratic, least_squares
from jaxgossip.learning.ratings import ratings

TASKS = Registry("task", [isotropic_quadratic, least_squares, averaging, ratings])
"""Tasks that ``learning.dataset`` can name besides data sets; they need neither a model nor a partition."""
