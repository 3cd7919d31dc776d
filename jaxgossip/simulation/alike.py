"""Which runs one compiled program can serve: those whose programs are the same but for the values of arrays.

A run's program is traced with its data, weights and keys lifted out (:mod:`jaxgossip.simulation.hoist`). Runs that differ
in these alone share it, each with arrays of its own. Most need no trace: see :mod:`jaxgossip.simulation.twins`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

from jaxgossip.simulation.hoist import Traced, digest, trace
from jaxgossip.simulation.program import RunState, Steps, check_step
from jaxgossip.simulation.twins import counterparts

PURPOSES = ("first", "rounds", "measured")
"""The functions of a run that are compiled, methods of :class:`~jaxgossip.simulation.program.Steps`."""


class Template:
    """The traced functions of a run, and the arrays that all of them close over, each once.

    Args:
        steps: the run.
        matmul_precision: of float32 matrix products.
    """

    def __init__(self, steps: Steps, matmul_precision: str) -> None:
        self.steps = steps
        self.like: RunState = jax.eval_shape(steps.first)
        example = {"rounds": (self.like, jax.ShapeDtypeStruct((), jnp.int32)), "measured": (self.like,)}
        with jax.default_matmul_precision(matmul_precision):
            self.functions: dict[str, Traced] = {
                name: trace(getattr(steps, name), *example.get(name, ())) for name in PURPOSES
            }
        self.arrays: list[jax.Array] = []
        self.places: dict[str, list[int]] = {}
        place: dict[int, int] = {}
        for name, traced in self.functions.items():
            for array in traced.arrays:
                if id(array) not in place:
                    place[id(array)] = len(self.arrays)
                    self.arrays.append(array)
            self.places[name] = [place[id(array)] for array in traced.arrays]

    @cached_property
    def signature(self) -> tuple[Any, ...]:
        """What templates that compute the same of their arrays have in common."""
        texts = tuple(traced.text() for traced in self.functions.values())
        return texts, str(self.places), [(array.shape, str(array.dtype)) for array in self.arrays]

    def arrays_of(self, steps: Steps) -> list[jax.Array] | None:
        """Return the arrays of another run in the order of ``arrays``, without a trace; None if that cannot be told."""
        theirs = counterparts(self.steps, steps)
        if theirs is None or any(isinstance(array, jax.Array) and id(array) not in theirs for array in self.arrays):
            return None
        return [theirs.get(id(array), array) for array in self.arrays]  # NumPy's follow from what is equal


@dataclass(frozen=True, eq=False)
class Family:
    """Runs that one program serves.

    Attributes:
        template: the program.
        members: their places in the list that was asked about.
        arrays: the arrays of each, in the template's order.
    """

    template: Template
    members: list[int]
    arrays: list[list[jax.Array]]


def families(runs: Sequence[Steps], matmul_precision: str = "highest", *, trust: bool = True) -> list[Family]:
    """Divide runs into families, in the order of their first members.

    Args:
        runs: the runs.
        matmul_precision: of float32 matrix products.
        trust: whether their code is known not to look into arrays while it is traced; if not, every run is traced.
    """
    found = _divided(runs, matmul_precision, walk=trust)
    # Trust is good: one more trace of each family tells whether an array was looked into after all.
    for family in found if trust else ():
        if len(family.members) == 1:
            continue
        last = Template(runs[family.members[-1]], matmul_precision)
        if last.signature != family.template.signature or not _same(last.arrays, family.arrays[-1]):
            return _divided(runs, matmul_precision, walk=False)
    return found


def _divided(runs: Sequence[Steps], matmul_precision: str, *, walk: bool) -> list[Family]:
    found: list[Family] = []
    known: list[tuple[Template, Family]] = []
    for number, steps in enumerate(runs):
        family, arrays = None, None
        for template, its in known if walk else ():
            arrays = template.arrays_of(steps)
            if arrays is not None:
                family = its
                break
        if family is None or arrays is None:
            template = Template(steps, matmul_precision)
            arrays = template.arrays
            family = next((one for one in found if one.template.signature == template.signature), None)
            if family is None:
                family = Family(template, [], [])
                found.append(family)
            known.append((template, family))
        family.members.append(number)
        family.arrays.append(arrays)
    for family in found:
        check_step(family.template.steps.algorithm, family.template.like, family.template.steps.step)
    return found


def _same(some: Sequence[jax.Array], others: Sequence[jax.Array]) -> bool:
    return len(some) == len(others) and all(a is b or digest(a) == digest(b) for a, b in zip(some, others, strict=True))
