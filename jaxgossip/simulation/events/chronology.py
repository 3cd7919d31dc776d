"""The chronological order of what happens in a segment: messages are sent and delivered.

Times are spread over a segment, so that they are sorted by buckets of a few operations each, in time linear in their number.
Ties are broken by event, sends before deliveries, and then by number, so that the order is the same wherever segments end.
"""

import numpy as np

from jaxgossip.core.host_loops import host_loop
from jaxgossip.schedule import Messages

PER_BUCKET = 4
"""Operations per bucket, on average."""
MOST_BY_INSERTION = 64
"""Size of a bucket up to which it is sorted by insertion; where many times are equal, there are larger ones."""


def chronological(
    messages: Messages, number: np.ndarray, arriving: np.ndarray, held: int, start_s: float, end_s: float
) -> np.ndarray:
    """Return (o,) int32: sends k and deliveries m + k in chronological order.

    Args:
        messages: m messages, of which the first ``held`` were sent before.
        number: (m,) int64, their running numbers.
        arriving: (m,) bool, those that are delivered.
        held: number of messages sent before.
        start_s: start of the segment in seconds.
        end_s: its end in seconds.
    """
    sent_s, arrives_s, event = messages.sent_s, messages.arrives_s, messages.event
    order, ends = _by_time(sent_s, arrives_s, event, number, arriving, held, start_s, end_s)
    sizes = np.diff(ends)
    for bucket in np.flatnonzero(sizes > MOST_BY_INSERTION).tolist():
        part = slice(ends[bucket], ends[bucket + 1])
        operation, m = order[part].copy(), number.size
        delivery = operation >= m
        k = np.where(delivery, operation - m, operation)
        time_s = np.where(delivery, arrives_s[k], sent_s[k])
        order[part] = operation[np.lexsort((number[k], 2 * event[k] + delivery, time_s))]
    return order


@host_loop
def _by_time(
    sent_s: np.ndarray,
    arrives_s: np.ndarray,
    event: np.ndarray,
    number: np.ndarray,
    arriving: np.ndarray,
    held: int,
    start_s: float,
    end_s: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (operations sorted by bucket, and within all but large buckets; bounds of the buckets)."""
    m = number.size
    count = m - held
    for k in range(m):
        count += arriving[k]
    buckets = max(1, count // PER_BUCKET)
    scale = buckets / (end_s - start_s)
    ends = np.zeros(buckets + 2, np.int64)
    for k in range(held, m):
        ends[_bucket(sent_s[k] - start_s, scale, buckets) + 2] += 1
    for k in range(m):
        if arriving[k]:
            ends[_bucket(arrives_s[k] - start_s, scale, buckets) + 2] += 1
    for b in range(2, buckets + 2):
        ends[b] += ends[b - 1]
    order, at = np.empty(count, np.int32), np.empty(count, np.float64)
    for k in range(held, m):  # afterwards, ends[b + 1] is the end of bucket b
        b = _bucket(sent_s[k] - start_s, scale, buckets) + 1
        order[ends[b]], at[ends[b]] = k, sent_s[k]
        ends[b] += 1
    for k in range(m):
        if arriving[k]:
            b = _bucket(arrives_s[k] - start_s, scale, buckets) + 1
            order[ends[b]], at[ends[b]] = m + k, arrives_s[k]
            ends[b] += 1
    for b in range(buckets):
        start, end = ends[b], ends[b + 1]
        if end - start > MOST_BY_INSERTION:
            continue
        for i in range(start + 1, end):
            time_s, operation = at[i], order[i]
            j = i
            while j > start and at[j - 1] >= time_s:
                if at[j - 1] == time_s and not _precedes(operation, order[j - 1], event, number):
                    break
                at[j], order[j] = at[j - 1], order[j - 1]
                j -= 1
            at[j], order[j] = time_s, operation
    return order, ends[: buckets + 1]


@host_loop
def _bucket(time_s: float, scale: float, buckets: int) -> int:
    return min(buckets - 1, max(0, int(time_s * scale)))


@host_loop
def _precedes(operation: int, other: int, event: np.ndarray, number: np.ndarray) -> bool:
    """Return whether an operation precedes another one at the same time."""
    m = number.size
    delivery, other_delivery = operation >= m, other >= m
    k, j = operation - m * delivery, other - m * other_delivery
    turn, other_turn = 2 * event[k] + delivery, 2 * event[j] + other_delivery
    return turn < other_turn or (turn == other_turn and number[k] < number[j])
