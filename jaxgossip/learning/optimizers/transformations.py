"""Optimizers of the nodes: any optax transformation, applied to the rows that hold their models.

A node's optimizer sees the node's own model, as the pytree that its functions take: masks, rates by layer, matrices and
norms of layers are those of plain optax. Clipping and scaling by norm act on each node separately.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer

from jaxgossip.core.arguments import number, shown
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.pytree import Record
from jaxgossip.core.registry import Builder
from jaxgossip.core.typing import PyTree, Row
from jaxgossip.learning.models.layout import Layout


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


class Layerwise(Record):
    """An optimizer of a model's own pytree, which takes and returns the rows that hold it.

    Attributes:
        optimizer: the optimizer of the pytree.
        layout: where each parameter lies in a row.
    """

    optimizer: optax.GradientTransformation | Optimizer
    layout: Layout

    def __repr__(self) -> str:
        return repr(self.optimizer)

    def init(self, params: Row) -> PyTree:
        """Return the initial optimizer state for the model in a row (p,)."""
        return self.optimizer.init(self.layout.trained(self.layout.split(params)))

    def update(self, updates: Row, state: PyTree, params: Row) -> tuple[Row, PyTree]:
        """Return (updates (p,), new state) for a gradient and a model, both rows (p,).

        State that no gradient moves takes its step as it is: its "gradient" is what it loses in the step.
        """
        layout, dtype = self.layout, updates.dtype
        gradient, model = layout.split(updates), layout.split(params)
        stepped, after = self.optimizer.update(layout.trained(gradient), state, layout.trained(model))
        if layout.state_names:
            stepped = layout.with_trained(stepped, jax.tree.map(jnp.negative, gradient))
        return layout.join(stepped, dtype), after


def layerwise(problem: Any, optimizer: Any) -> Any:
    """Return ``optimizer`` for rows of the models of ``problem``; unchanged if these have no pytree, or it is no optimizer."""
    layout = getattr(problem, "layout", None)
    is_plain = isinstance(optimizer, optax.GradientTransformation | Optimizer)
    return Layerwise(optimizer, layout) if layout is not None and is_plain else optimizer


Transformation = optax.GradientTransformation | Optimizer | Layerwise
"""The types that a method accepts as its optimizer."""


def clipped(
    optimizer: Any, norm: float | jax.Array | None = None, value: float | jax.Array | None = None
) -> optax.GradientTransformation:
    """Return an optimizer whose gradients are clipped first, those of each node separately.

    Args:
        optimizer: an optax transformation.
        norm: largest norm of a gradient, over all parameters of the model; a longer one is scaled to it. None for no limit.
        value: largest magnitude of each number of a gradient, cut before the norm is. None for no limit.

    Raises:
        ArgumentTypeError: ``optimizer`` is no optimizer.
        InputError: a limit that is not above 0, or none at all.
    """
    if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        raise ArgumentTypeError(f"clipped: {shown(optimizer)} is no optimizer", hint="optax.sgd(0.1), for example")
    limits = {name: limit for name, limit in (("value", value), ("norm", norm)) if limit is not None}
    if not limits:
        raise InputError("clipped: neither norm nor value is given", hint="norm = 1.0")
    for name, limit in limits.items():
        if not isinstance(limit, jax.Array):  # which may be traced
            number("clipped", name, limit, above=True)
    clips = {"value": optax.clip, "norm": optax.clip_by_global_norm}
    last = optax.GradientTransformation(optimizer.init, optimizer.update)
    return optax.chain(*(clips[name](limit) for name, limit in limits.items()), last)
