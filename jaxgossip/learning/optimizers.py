"""Each node's optimizer: any optax transformation; the usual ones by optax's own names, and Pegasos.

A node's model is one row, and the row is all that its optimizer sees: clipping and scaling by norm act on a node alone,
and what works layer by layer (lamb) takes a row for one layer.
"""

import functools
import inspect
from typing import Any

import jax
import optax
from jax.core import Tracer

from jaxgossip.core.arguments import guarded, is_number, number
from jaxgossip.core.errors import InputError
from jaxgossip.core.pytree import Record
from jaxgossip.core.registry import Builder, Registry
from jaxgossip.core.typing import PyTree


@guarded
def pegasos(*, regularization: float = 1e-4) -> optax.GradientTransformation:
    """Pegasos: gradient steps of size 1/(λ t), t = 1, 2, … the age of the model.

    Shalev-Shwartz, Singer, Srebro and Cotter 2011, "Pegasos: primal estimated sub-gradient solver for SVM", figure 1.

    Args:
        regularization: λ, the same as the model's.

    Raises:
        InputError: a regularization that is not positive.
    """
    if is_number(regularization) and regularization <= 0:
        raise InputError(f"optimizer 'pegasos' needs a positive regularization, not {regularization:g}")
    return optax.sgd(lambda count: 1 / (regularization * (count + 1)))


class Optimizer(Record):
    """An optimizer made of its builder wherever it is used: numbers among its keywords may be device arrays.

    It takes the place of an ``optax.GradientTransformation`` in every method.

    Attributes:
        builder: keywords -> an optax transformation.
        keywords: of the builder.
    """

    builder: Builder
    keywords: dict[str, Any]

    def __repr__(self) -> str:
        shown = (f"{name}={_text(value)}" for name, value in self.keywords.items())
        return f"Optimizer({', '.join([getattr(self.builder, '__name__', str(self.builder)), *shown])})"

    @property
    def transformation(self) -> optax.GradientTransformation:
        """The transformation of optax."""
        return self.builder(**self.keywords)

    def init(self, params: PyTree) -> PyTree:
        """Return the state of an optimizer of ``params``."""
        return self.transformation.init(params)

    def update(self, updates: PyTree, state: PyTree, params: PyTree | None = None) -> tuple[PyTree, PyTree]:
        """Return (updates, state), as optax does."""
        return self.transformation.update(updates, state, params)


def _text(value: Any) -> str:
    is_number_here = isinstance(value, jax.Array) and not isinstance(value, Tracer) and value.ndim == 0
    return f"{value.item():.6g}" if is_number_here else str(value)


Transformation = optax.GradientTransformation | Optimizer
"""What a method takes as its optimizer."""

OF_OPTAX = (
    "sgd",
    "adabelief",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "lamb",
    "lion",
    "nadam",
    "radam",
    "rmsprop",
    "yogi",
)
"""The usual ones, by optax's names."""
SHARES = ("b1", "b2", "b3", "decay", "rho")
"""What optimizers keep of a running mean: less than all of it."""


def _bounded(called: str, builder: Builder) -> Builder:
    """Return a builder of optax that refuses what no optimizer can be: negative or infinite numbers, means that never move."""

    @functools.wraps(builder)
    def build(*args: Any, **keywords: Any) -> optax.GradientTransformation:
        signature = inspect.signature(builder)
        for name, value in signature.bind(*args, **keywords).arguments.items():
            a_number = name in ("learning_rate", "momentum") or is_number(signature.parameters[name].default)
            if not is_number(value) and not (a_number and isinstance(value, str | list | tuple)):
                continue
            if number(called, name, value) >= 1 and name in SHARES:
                raise InputError(f"{called}: {name} must be below 1, not {value}")
        return builder(*args, **keywords)

    return build


OPTIMIZERS = Registry(
    "optimizer",
    {
        **{name: _bounded(name, getattr(optax, name)) for name in OF_OPTAX},
        "pegasos": pegasos,
    },
)
"""What ``optimizer.kind`` can name: optax's own by their names there, and Pegasos."""
