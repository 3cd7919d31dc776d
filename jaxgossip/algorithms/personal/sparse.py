"""0/1 masks of models that have the same number of ones in every layer, at every node and in every round."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxgossip.algorithms.model_state import has_state
from jaxgossip.compression.largest import largest_among
from jaxgossip.core.typing import Rows
from jaxgossip.learning.problem import Problem

Masks = Bool[Array, "n p"]


class Layer(NamedTuple):
    """Columns of a row that are one array of a model.

    Attributes:
        start: its first column.
        end: the column after its last.
        kept: number of ones of a mask, the same in all masks.
        is_shared: whether it travels.
    """

    start: int
    end: int
    kept: int
    is_shared: bool

    @property
    def size(self) -> int:
        """Number of columns."""
        return self.end - self.start

    @property
    def is_dense(self) -> bool:
        """Whether a mask has ones only."""
        return self.kept == self.size


def layers_of(problem: Problem, density: float) -> tuple[Layer, ...]:
    """Return the layers of a model, with densities that leave ``density`` of all of its parameters.

    They are those of Erdős–Rényi kernels, ERK (Evci et al. 2020, "Rigging the lottery"): proportional to the sum of an
    array's axes divided by their product, at most 1, so that large arrays are the sparsest. What no gradient moves, as batch
    statistics, is dense and not counted. Rows without arrays in them are one layer, or two, a shared and a private one.
    """
    spans, shapes = _arrays(problem)
    frozen = [has_state(problem) and bool(problem.layout.is_state[start]) for start, _ in spans]  # pyright: ignore[reportAttributeAccessIssue]
    sizes = [end - start for start, end in spans]
    densities = erk([shape for shape, still in zip(shapes, frozen, strict=True) if not still], density)
    chosen = iter(densities)
    kept = [
        size if still else max(1, round(size * next(chosen))) if size else 0
        for size, still in zip(sizes, frozen, strict=True)
    ]
    return tuple(
        Layer(start, end, count, end <= problem.n_shared) for (start, end), count in zip(spans, kept, strict=True)
    )


def _arrays(problem: Problem) -> tuple[list[tuple[int, int]], list[tuple[int, ...]]]:
    """Return the columns (start, end) of each array of a model, and its shape."""
    layout = getattr(problem, "layout", None)
    if layout is not None:
        return list(itertools.pairwise(layout.ends)), [layout.shapes[leaf] for leaf in layout.order]
    ends = sorted({0, problem.n_shared, problem.n_params})
    return list(itertools.pairwise(ends)), [(end - start,) for start, end in itertools.pairwise(ends)]


def erk(shapes: Sequence[tuple[int, ...]], density: float) -> list[float]:
    """Return the density of each array of these shapes: ε · (sum of axes)/(their product), at most 1, ``density`` over all."""
    sizes = [math.prod(shape) for shape in shapes]
    raw = [sum(shape) / max(1, math.prod(shape)) if shape else 1.0 for shape in shapes]
    dense: set[int] = set()
    while True:
        sparse = [number for number in range(len(shapes)) if number not in dense and sizes[number]]
        left = density * sum(sizes) - sum(sizes[number] for number in dense)
        scale = left / sum(raw[number] * sizes[number] for number in sparse) if sparse else 0.0
        over = [number for number in sparse if scale * raw[number] > 1]
        if not over:
            return [1.0 if number in dense else scale * raw[number] for number in range(len(shapes))]
        # One at a time: what the densest leaves over is more than what all that are too dense do.
        dense.add(max(over, key=lambda number: raw[number]))


def highest(scores: Rows, layers: Sequence[Layer]) -> Masks:
    """Return masks of the highest ``scores`` (n, p), which are not negative, of every layer."""
    parts = [
        jnp.ones((scores.shape[0], layer.size), bool)
        if layer.is_dense
        else largest_among(True, scores[:, layer.start : layer.end], layer.kept)
        for layer in layers
    ]
    return jnp.concatenate(parts, axis=1)


def evolved(masks: Masks, x: Rows, gradient: Rows, layers: Sequence[Layer], share: Float[Array, ""]) -> Masks:
    """Return masks without the smallest weights of every layer, but with those whose gradients are steepest.

    Args:
        masks: (n, p) masks.
        x: (n, p) models, zero where masks are.
        gradient: (n, p) gradients of all columns.
        layers: the layers, whose numbers of ones stay.
        share: of the ones of a layer, rounded down, are dropped, and as many grown, perhaps the same.
    """
    parts = []
    for layer in layers:
        part = slice(layer.start, layer.end)
        mask, weight, slope = masks[:, part], jnp.abs(x[:, part]), jnp.abs(gradient[:, part])
        if not layer.is_dense:
            number = jnp.floor(share * layer.kept).astype(jnp.int32)
            left = largest_among(mask, weight, layer.kept - number)
            mask = left | largest_among(~left, slope, number)
        parts.append(mask)
    return jnp.concatenate(parts, axis=1)
