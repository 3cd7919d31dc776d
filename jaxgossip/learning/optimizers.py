"""Optimizers of the nodes: any optax transformation; common ones are registered under optax's names, and Pegasos.

A node's model is one row, and that row is all that its optimizer sees: clipping and scaling by norm act on each node
separately, and layer-wise optimizers such as lamb treat the row as one layer.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from jaxgossip.core.arguments import guarded, is_number, number, shown
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.pytree import Record
from jaxgossip.core.registry import Builder, Registry
from jaxgossip.core.typing import PyTree


@guarded
def pegasos(*, regularization: float = 1e-4) -> optax.GradientTransformation:
    """Pegasos: gradient steps of size 1/(λ t), t = 1, 2, … being the age of the model.

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
    """An optimizer that is rebuilt wherever it is used, so that numbers among its keywords may be device arrays.

    It can replace an ``optax.GradientTransformation`` in every method.

    Attributes:
        builder: function from keywords to an optax transformation.
        keywords: keyword arguments of the builder.
    """

    builder: Builder
    keywords: dict[str, Any]

    def __repr__(self) -> str:
        shown = (f"{name}={_text(value)}" for name, value in self.keywords.items())
        return f"Optimizer({', '.join([getattr(self.builder, '__name__', str(self.builder)), *shown])})"

    @property
    def transformation(self) -> optax.GradientTransformation:
        """The optax transformation."""
        return self.builder(**self.keywords)

    def init(self, params: PyTree) -> PyTree:
        """Return the initial optimizer state for ``params``."""
        return self.transformation.init(params)

    def update(self, updates: PyTree, state: PyTree, params: PyTree | None = None) -> tuple[PyTree, PyTree]:
        """Return (updates, new state), as optax does."""
        return self.transformation.update(updates, state, params)


def _text(value: Any) -> str:
    is_number_here = isinstance(value, jax.Array) and not isinstance(value, Tracer) and value.ndim == 0
    return f"{value.item():.6g}" if is_number_here else str(value)


Transformation = optax.GradientTransformation | Optimizer
"""The types that a method accepts as its optimizer."""

OPTAX_NAMES = (
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
"""Common optimizers that are registered under optax's names."""
DECAY_RATES = ("b1", "b2", "b3", "decay", "rho")
"""Decay rates of running means, which must be below 1."""


def _validated(name: str, builder: Builder) -> Builder:
    """Wrap an optax builder so that it rejects what is no number, negative and infinite ones, and decay rates of 1 or more."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(builder).parameters.items()}

    def check(kind: str, given: Mapping[str, Any]) -> None:
        for key, value in given.items():
            if value is defaults[key]:
                continue
            if key.endswith("dtype"):
                _check_dtype(kind, key, value)
            elif key in ("learning_rate", "momentum") or is_number(defaults[key]):
                if not is_number(value) and (callable(value) or hasattr(value, "dtype")):
                    continue  # a schedule, or an array on the device
                if number(kind, key, value) >= 1 and key in DECAY_RATES:
                    raise InputError(f"{kind}: {key} must be below 1, not {value}")

    return guarded(builder, check, name)


def _check_dtype(kind: str, name: str, value: Any) -> None:
    try:
        is_floating = jnp.issubdtype(np.dtype(value), jnp.floating)
    except TypeError:
        is_floating = False
    if not is_floating:
        raise ArgumentTypeError(
            f"{kind}: {name} must be a dtype of floats, not {shown(value)}", hint="float32 or bfloat16"
        )


OPTIMIZERS = Registry(
    "optimizer",
    {
        **{name: _validated(name, getattr(optax, name)) for name in OPTAX_NAMES},
        "pegasos": pegasos,
    },
)
"""Builders that ``optimizer.kind`` can name: optax's under their own names, and Pegasos."""
