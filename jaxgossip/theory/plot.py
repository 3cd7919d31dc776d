"""The interface of a theory plot: a prediction, a measurement, a figure of both, and claims that test them."""

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
    """A statement that a number can refute.

    Attributes:
        name: the quantity compared.
        measured: its value from the emulator, or from the matrices that it mixes with.
        predicted: its value from theory.
        tolerance: largest difference allowed.
        kind: "relative" or "absolute" for a difference; "at most" or "at least" if ``predicted`` is a bound, which may be
            missed by ``tolerance``.
    """

    name: str
    measured: float
    predicted: float
    tolerance: float = 0.0
    kind: Kind = "relative"

    @property
    def holds(self) -> bool:
        """Whether the claim holds; it fails if a number is not finite."""
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
        """The prediction as text: a value, or a bound after ``≤`` or ``≥``."""
        sign = {"at most": "≤ ", "at least": "≥ "}.get(self.kind, "")
        return f"{sign}{self.predicted:.6g}"

    @property
    def allowed(self) -> str:
        """The tolerance as text."""
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


def at_most(name: str, measured: float, bound: float, slack: float = 0.0) -> Claim:
    """Return the claim that ``measured`` exceeds ``bound`` by no more than ``slack``."""
    return Claim(name, measured, bound, slack, "at most")


def at_least(name: str, measured: float, bound: float, slack: float = 0.0) -> Claim:
    """Return the claim that ``measured`` falls short of ``bound`` by no more than ``slack``."""
    return Claim(name, measured, bound, slack, "at least")


def farthest(
    name: str,
    measured: Sequence[float] | np.ndarray,
    predicted: float | Sequence[float] | np.ndarray,
    tolerance: float,
    kind: Literal["relative", "absolute"] = "relative",
) -> Claim:
    """Return the claim about a whole line at its point of largest deviation, or at one that is not finite.

    Args:
        name: the quantity compared.
        measured: (k,) measured values.
        predicted: (k,) predicted values, none of them 0 if ``kind`` is "relative".
        tolerance: largest deviation allowed at any point.
        kind: kind of deviation.
    """
    values, theory = np.asarray(measured, float), np.broadcast_to(np.asarray(predicted, float), np.shape(measured))
    deviation = np.abs(values - theory) / (np.abs(theory) if kind == "relative" else 1.0)
    at = int(np.where(np.isfinite(deviation), deviation, np.inf).argmax())
    return Claim(name, float(values[at]), float(theory[at]), tolerance, kind)


@dataclass(frozen=True)
class Plot:
    """A theory plot. ``quick`` asks for a smaller measurement, never for looser tolerances.

    Its four functions compute in the plot's own precision, whatever the caller's settings.

    Attributes:
        title: short title of the figure.
        source: paper and equation, printed below the figure.
        predict: quick -> predictions, from theory alone.
        measure: quick -> measurements by the emulator.
        draw: (predicted, measured) -> figure, with theory dashed and every dashed line claimed
            (:mod:`jaxgossip.theory.drawing`).
        claims: (predicted, measured) -> claims that must hold.
        double: whether to compute in float64 rather than float32.
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
            object.__setattr__(self, name, self._in_own_precision(getattr(self, name)))

    def _in_own_precision[**P, R](self, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap ``function`` to run in the plot's precision, with matrix products of full precision on every device."""

        @wraps(function)
        def in_precision(*args: P.args, **options: P.kwargs) -> R:
            with jax.enable_x64(self.double), jax.default_matmul_precision("highest"):
                return function(*args, **options)

        return in_precision
