"""Mixing as programs for one block of rows use it, on a mesh of devices."""

import dataclasses

import numpy as np

from jaxgossip.core.devices.blocks import Layout
from jaxgossip.mixing.by_classes import CliqueMixing
from jaxgossip.mixing.column_stochastic import Mass, PushSum, PushSumExponential
from jaxgossip.mixing.operator import MAX_SLOTS, Mixing, Operator
from jaxgossip.mixing.operators.hybrid import Hybrid
from jaxgossip.mixing.operators.near import is_near, near_or_far, slots_on_mesh
from jaxgossip.mixing.operators.replicated import MeanOfAll, Replicated, ReplicatedAtRounds
from jaxgossip.mixing.operators.structured import AxisMean, HypercubeFlip, LatticeShift, Roll
from jaxgossip.mixing.operators.tables import Slots
from jaxgossip.mixing.time_varying.equitopo import EquiDyn
from jaxgossip.mixing.time_varying.fragmented import Fragmented, VirtualNodes
from jaxgossip.mixing.time_varying.fresh import FreshRegular, RandomPair
from jaxgossip.mixing.time_varying.peers import RandomMatching, RandomPull, RandomPush
from jaxgossip.mixing.time_varying.periodic import OnePeer, Periodic, PeriodicRows
from jaxgossip.mixing.time_varying.windowed import Windowed

DRAWN_BY_ROW = (
    EquiDyn, FreshRegular, OnePeer, PushSum, PushSumExponential, RandomMatching, RandomPair, RandomPull, RandomPush,
    VirtualNodes,
)  # fmt: skip
"""Time-varying mixing that draws the peers of the rows at hand alone."""


def on_mesh(mixing: Mixing, layout: Layout) -> Mixing:
    """Return mixing whose arrays are spread over devices, or which every device computes whole if it has no other form.

    Args:
        mixing: any mixing.
        layout: how the rows lie on the devices.
    """
    match mixing:
        case Slots():
            return near_or_far(mixing, [np.asarray(source) for source in mixing.sources], layout)
        case Roll() | LatticeShift() | HypercubeFlip():
            return slots_on_mesh(mixing, layout)
        case Hybrid() if (slots := _near_slots(mixing)) is not None:
            return near_or_far(slots, [np.asarray(source) for source in slots.sources], layout)
        case AxisMean(shape=(1, _, 1)):
            return MeanOfAll(mixing)
        case Mass():
            inward, outward = (on_mesh(links, layout) for links in (mixing.inward, mixing.outward))
            return dataclasses.replace(mixing, inward=inward, outward=outward)
        case Windowed():
            usual, inside = (on_mesh(part, layout) for part in (mixing.usual, mixing.inside))
            return dataclasses.replace(mixing, usual=usual, inside=inside)
        case Fragmented():
            return dataclasses.replace(mixing, mixings=tuple(on_mesh(each, layout) for each in mixing.mixings))
        case CliqueMixing():
            joined, within = (on_mesh(links, layout) for links in (mixing.joined, mixing.within))
            return dataclasses.replace(mixing, joined=joined, within=within)
        case Periodic():
            return PeriodicRows.of(mixing)
        case _ if isinstance(mixing, DRAWN_BY_ROW):
            return mixing
        case Operator():
            return Replicated(mixing)
        case _:
            return ReplicatedAtRounds(mixing)


def _near_slots(hybrid: Hybrid) -> Slots | None:
    """Return a hybrid as slots, if they are few and of near neighbours: its rows then need not be on every device."""
    if hybrid.longest > MAX_SLOTS:
        return None
    slots = hybrid.by_slots()
    assert isinstance(slots, Slots)
    return slots if is_near(np.stack([np.asarray(source) for source in slots.sources])) else None
