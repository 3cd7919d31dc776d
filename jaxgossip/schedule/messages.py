"""Who sends to whom and when: what an asynchronous network does, as plain arrays, before any model is touched.

A message takes a copy of its sender at ``sent_s`` and acts on its receiver at ``arrives_s``. At equal times, events of a
lower number come first; all messages of one event leave before any of them arrives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np


class Kind(IntEnum):
    """What a message is for.

    Attributes:
        MODEL: carries a model, which its receiver merges and learns from.
        PASSED: carries a model, which its receiver takes over as it is.
        REQUEST: asks for a model, and carries none: a message like any other, of no bytes.
        SPLIT: a node's own doing: it divides its mass before a half of it travels.
        LEARN: a node's own doing: it learns, from a gradient at what it was at ``sent_s``.
    """

    MODEL = 0
    PASSED = 1
    REQUEST = 2
    SPLIT = 3
    LEARN = 4


class Fate(IntEnum):
    """What became of a message; one that arrives after the end of the run is in flight.

    Attributes:
        DELIVERED: it acts on its receiver at ``arrives_s``.
        DROPPED: lost on the way.
        OFFLINE: its receiver was offline when it arrived.
        DIVIDED: the network had fallen apart between its two ends.
        REPLACED: its receiver kept it for later, and a newer one of the same sender came first.
    """

    DELIVERED = 0
    DROPPED = 1
    OFFLINE = 2
    DIVIDED = 3
    REPLACED = 4


@dataclass(frozen=True, eq=False)
class Messages:
    """Messages, in any order; all arrays have the same length m.

    Attributes:
        sender: (m,) int32.
        receiver: (m,) int32; the sender itself where a node acts alone.
        sent_s: (m,) float64, when the sender's state is copied, in seconds.
        arrives_s: (m,) float64, when it acts on the receiver, or would have; at least ``sent_s``.
        event: (m,) int64, breaks ties: see above.
        kind: (m,) int8, of :class:`Kind`.
        fate: (m,) int8, of :class:`Fate`.
        part: (m,) int16, which part of a model travels, where models travel in parts.
    """

    sender: np.ndarray
    receiver: np.ndarray
    sent_s: np.ndarray
    arrives_s: np.ndarray
    event: np.ndarray
    kind: np.ndarray
    fate: np.ndarray
    part: np.ndarray

    def __len__(self) -> int:
        return self.sender.size

    def take(self, which: Any) -> "Messages":
        """Return some of the messages, ``which`` as NumPy indexes arrays."""
        return Messages(*(getattr(self, field.name)[which] for field in fields(self)))

    @staticmethod
    def of(sender: Any, receiver: Any, sent_s: Any, arrives_s: Any, event: Any, **others: Any) -> "Messages":
        """Return messages with the dtypes above; kind, fate and part are 0 unless given, and may be one for all."""
        sender = np.asarray(sender, np.int32)
        shape = sender.shape
        small = {
            name: np.broadcast_to(np.asarray(others.get(name, 0), dtype), shape)
            for name, dtype in (("kind", np.int8), ("fate", np.int8), ("part", np.int16))
        }
        sent_s, arrives_s = (np.broadcast_to(np.asarray(one, np.float64), shape) for one in (sent_s, arrives_s))
        receiver, event = np.asarray(receiver, np.int32), np.asarray(event, np.int64)
        return Messages(sender, receiver, sent_s, arrives_s, event, **small)

    @staticmethod
    def none() -> "Messages":
        """Return no message."""
        nobody = np.empty(0)
        return Messages.of(nobody, nobody, nobody, nobody, nobody)

    @staticmethod
    def together(parts: Sequence["Messages"]) -> "Messages":
        """Return the messages of all parts, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        named = ([getattr(part, field.name) for part in parts] for field in fields(Messages))
        return Messages(*map(np.concatenate, named)) if parts else Messages.none()
