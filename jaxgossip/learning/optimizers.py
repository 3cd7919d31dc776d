"""Each node's optimizer: any optax transformation; the usual ones by optax's own names, and Pegasos.

A node's model is one row, and the row is all that its optimizer sees: clipping and scaling by norm act on a node alone,
and what works layer by layer (lamb) takes a row for one layer.
"""

import optax

from jaxgossip.errors import InputError
from jaxgossip.registry import Registry


def pegasos(*, regularization: float = 1e-4) -> optax.GradientTransformation:
    """Pegasos: gradient steps of size 1/(λ t), t = 1, 2, … the age of the model.

    Shalev-Shwartz, Singer, Srebro and Cotter 2011, "Pegasos: primal estimated sub-gradient solver for SVM", figure 1.

    Args:
        regularization: λ, the same as the model's.

    Raises:
        InputError: a regularization that is not positive.
    """
    if regularization <= 0:
        raise InputError(f"optimizer 'pegasos' needs a positive regularization, not {regularization:g}")
    return optax.sgd(lambda count: 1 / (regularization * (count + 1)))


OPTIMIZERS = Registry(
    "optimizer",
    {
        "sgd": optax.sgd,
        "adabelief": optax.adabelief,
        "adadelta": optax.adadelta,
        "adagrad": optax.adagrad,
        "adam": optax.adam,
        "adamax": optax.adamax,
        "adamw": optax.adamw,
        "lamb": optax.lamb,
        "lion": optax.lion,
        "nadam": optax.nadam,
        "radam": optax.radam,
        "rmsprop": optax.rmsprop,
        "yogi": optax.yogi,
        "pegasos": pegasos,
    },
)
"""What ``optimizer.kind`` can name: optax's own by their names there, and Pegasos.

Not noisy_sgd: its noise follows from its own seed, so all nodes would draw the same.
"""
