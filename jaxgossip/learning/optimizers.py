"""Each node's optimizer: any optax transformation; the usual ones by optax's own names, and Pegasos.

A node's model is one row, and the row is all that its optimizer sees: clipping and scaling by norm act on a node alone,
and what works layer by layer (lamb) takes a row for one layer.
"""

import inspect
from typing import Any

import optax

from jaxgossip.errors import InputError
from jaxgossip.registry import Registry, nearest


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


def optimizer(kind: str, learning_rate: float | None = None, **options: Any) -> optax.GradientTransformation:
    """Return the optimizer that a configuration calls ``kind``.

    Args:
        kind: a name of ``OPTIMIZERS``.
        learning_rate: step size; for all but Pegasos, which has its own.
        **options: further keywords of that optimizer.

    Raises:
        InputError: unknown name, a keyword that the optimizer does not have, or no learning rate where one is needed.
    """
    builder = OPTIMIZERS[kind]
    parameters = inspect.signature(builder).parameters
    given = options if learning_rate is None else {"learning_rate": learning_rate, **options}
    for name in given:
        if name not in parameters:
            raise InputError(f"optimizer '{kind}' has no option '{name}'", hint=nearest(name, list(parameters)))
    if "learning_rate" in parameters and learning_rate is None:
        raise InputError(f"optimizer '{kind}' needs a learning_rate")
    return builder(**given)
