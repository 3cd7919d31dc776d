"""Nodes with clocks of their own: deliveries a second, with the schedule drawn, divided into waves and executed.

The networks are those of ``jaxgossip bench --events``: Pegasos on one sample a node, merged with the model received last.
"""

from collections.abc import Iterator
from functools import partial

from jaxgossip.bench.accelerator.check import Check, Found, Sizes
from jaxgossip.bench.accelerator.device import check_room, device_memory
from jaxgossip.bench.events import SETTINGS, bench_events

NODE_BYTES = 4_000
"""Roughly the bytes of a node: its model, its sample's number, and a dozen copies in flight while their memory grows."""


def checks(sizes: Sizes) -> Iterator[Check]:
    """Yield both settings at every number of nodes, ascending."""
    for earlier, n in zip((0, *sizes.events), sizes.events, strict=False):
        for setting in SETTINGS:
            like = {"like": f"{setting}, {earlier:,} nodes", "times": n / earlier} if earlier else {}
            yield Check(f"{setting}, {n:,} nodes", partial(deliveries, setting, n, sizes.event_messages), **like)


def deliveries(setting: str, nodes: int, messages: int) -> Found:
    """Time the deliveries of one network."""
    check_room(nodes * NODE_BYTES, nodes * NODE_BYTES)
    (time,) = bench_events((nodes,), settings=(setting,), stretches=2, messages=messages)
    text = f"{time.per_s / 1e6:.3g} M deliveries/s, {time.total_us:.3g} µs each, {time.execute_us:.3g} of them on the device"
    return Found(text, time.record() | {"peak_bytes": device_memory().peak})
