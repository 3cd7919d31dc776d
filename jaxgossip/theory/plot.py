"""What a theory plot is: a prediction, a measurement, a picture of both, and claims that check themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

import jax
import numpy as np
from matplotlib.figure import Figure

Kind = Literal["relative", "absolute", "at most", "at least"]


@dataclass(frozen=True)
class Claim:
    """One sentence that a number can refute.

    Attributes:
        name: what is compared.
        measured: what the emulator, or the matrices it mixes with, gave.
        predicted: what theory says.
        tolerance: how far apart the two may be.
        kind: "relative" or "absolute" distance; "at most" or "at least": ``predicted`` is a bound, missed by ``tolerance``
            at the utmost.
    """

    name: str
    measured: float
    predicted: float
    tolerance: float = 0.0
    kind: Kind = "relative"

    @property
    def holds(self) -> bool:
        """Whether the claim holds; a number that is not finite refutes it."""
        if not np.isfinite([self.measured, self.predicted]).all():
            return False
        difference = self.measured - self.predicted
        match self.kind:
            case "relative":
                return bool(abs(difference) <= self.tolerance * abs(self.predicted))
            case "absolute":
                return bool(abs(difference) <= self.tolerance)
            case "at most":
                return bool(difference <= self.tolerance)
            case "at least":
                return bool(difference >= -self.tolerance)

    @property
    def theory(self) -> str:
        """What theory says, in words: a value, or ``≤`` or ``≥`` a bound."""
        sign = {"at most": "≤ ", "at least": "≥ "}.get(self.kind, "")
        return f"{sign}{self.predicted:.6g}"

    @property
    def allowed(self) -> str:
        """How far off it may be, in words."""
        match self.kind:
            case "relative":
                return f"± {100 * self.tolerance:.3g} %"
            case "absolute":
                return f"± {self.tolerance:.3g}"
            case _:
                return f"by {self.tolerance:.3g}" if self.tolerance else ""

    def record(self) -> dict[str, Any]:
        """Return the claim and its verdict as JSON values."""
        measured, predicted = (
            float(value) if np.isfinite(value) else None for value in (self.measured, self.predicted)
        )
        return {
            "name": self.name,
            "measured": measured,
            "predicted": predicted,
            "tolerance": float(self.tolerance),
            "kind": self.kind,
            "holds": self.holds,
        }


def farthest(
    name: str,
    measured: Sequence[float] | np.ndarray,
    predicted: float | Sequence[float] | np.ndarray,
    tolerance: float,
    kind: Literal["relative", "absolute"] = "relative",
) -> Claim:
    """Return the claim of a whole line: that of its point which is farthest off, or has no number.

    Args:
        name: what is compared.
        measured: (k,).
        predicted: (k,) or one for all, not 0 anywhere where ``kind`` is relative.
        tolerance: how far off every point may be.
        kind: of the distance.
    """
    found, theory = np.asarray(measured, float), np.broadcast_to(np.asarray(predicted, float), np.shape(measured))
    off = np.abs(found - theory) / (np.abs(theory) if kind == "relative" else 1.0)
    at = int(np.where(np.isfinite(off), off, np.inf).argmax())
    return Claim(name, float(found[at]), float(theory[at]), tolerance, kind)


@dataclass(frozen=True)
class Plot:
    """One theory plot. ``quick`` asks for a smaller measurement, never for a looser tolerance.

    Its four functions compute in the plot's own precision, whoever calls them and whatever is set around them.

    Attributes:
        title: a few words over the picture.
        source: paper and equation, printed below it.
        predict: quick -> numbers by theory alone.
        measure: quick -> numbers by the emulator.
        draw: (predicted, measured) -> picture, theory dashed, and every dashed line claimed (:mod:`jaxgossip.theory.drawing`).
        claims: (predicted, measured) -> what must hold.
        double: whether all is computed in float64; else in float32.
    """

    title: str
    source: str
    predict: Callable[[bool], Any]
    measure: Callable[[bool], Any]
    draw: Callable[[Any, Any], Figure]
    claims: Callable[[Any, Any], list[Claim]]
    double: bool = True

    def __post_init__(self) -> None:
        for name in ("predict", "measure", "draw", "claims"):
            object.__setattr__(self, name, self._settled(getattr(self, name)))

    def _settled[**P, R](self, function: Callable[P, R]) -> Callable[P, R]:
        """Return ``function`` in the plot's precision, its matrix products as exact as that on every device."""

        @wraps(function)
        def settled(*args: P.args, **options: P.kwargs) -> R:
            with jax.enable_x64(self.double), jax.default_matmul_precision("highest"):
                return function(*args, **options)

        return settled
