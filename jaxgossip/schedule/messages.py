"""Messages of an asynchronous network as plain arrays: who sends to whom, and when.

A message copies the state of its sender at ``sent_s`` and acts on its receiver at ``arrives_s``. At equal times, events
with lower numbers come first; all messages of an event are sent before any of them arrives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np


class Kind(IntEnum):
    """The purpose of a message.

    Attributes:
        MODEL: carries a model, which the receiver merges with its own and then trains.
        PASSED: carries a model, which the receiver adopts as it is.
        REQUEST: asks for a model; a message like any other, but of no bytes.
        SPLIT: a local event: the node halves its mass before one half is sent.
        LEARN: a local event: the node takes a step with a gradient at its state at ``sent_s``.
    """

    MODEL = 0
    PASSED = 1
    REQUEST = 2
    SPLIT = 3
    LEARN = 4


class Fate(IntEnum):
    """The fate of a message; one that arrives after the end of the run is in flight.

    PARTED takes precedence over DIVIDED, that over DROPPED, and that over OFFLINE.

    Attributes:
        DELIVERED: it acts on its receiver at ``arrives_s``.
        DROPPED: it is lost on the way.
        OFFLINE: its receiver is offline when it arrives; in an exchange both ways, either node at either time.
        DIVIDED: its sender and receiver are on different sides of a network partition.
        REPLACED: its receiver caches it, and a newer one from the same sender replaces or overtakes it before use, or
            it is too old.
        PARTED: its sender and receiver are not in contact from ``sent_s`` to ``arrives_s``.
    """

    DELIVERED = 0
    DROPPED = 1
    OFFLINE = 2
    DIVIDED = 3
    REPLACED = 4
    PARTED = 5


@dataclass(frozen=True, eq=False)
class Messages:
    """Messages, in any order; all arrays have the same length m.

    Attributes:
        sender: (m,) int32.
        receiver: (m,) int32; equal to the sender for local events.
        sent_s: (m,) float64, time in seconds at which the sender's state is copied.
        arrives_s: (m,) float64, time at which it acts on the receiver, or would if delivered; at least ``sent_s``.
        event: (m,) int64, event number, which breaks ties as described above.
        kind: (m,) int8, a :class:`Kind`.
        fate: (m,) int8, a :class:`Fate`.
        part: (m,) int16, the part of the model that is sent, if models are sent in parts.
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
        """Return the messages selected by ``which``, any NumPy index."""
        return Messages(*(getattr(self, field.name)[which] for field in fields(self)))

    @staticmethod
    def of(sender: Any, receiver: Any, sent_s: Any, arrives_s: Any, event: Any, **others: Any) -> "Messages":
        """Return messages with the dtypes above; kind, fate and part default to 0, and scalars are broadcast."""
        sender = np.asarray(sender, np.int32)
        shape = sender.shape
        small = {
            name: np.broadcast_to(np.asarray(others.get(name, 0), dtype), shape)
            for name, dtype in (("kind", np.int8), ("fate", np.int8), ("part", np.int16))
        }
        sent_s, arrives_s = (np.broadcast_to(np.asarray(time_s, np.float64), shape) for time_s in (sent_s, arrives_s))
        receiver, event = np.asarray(receiver, np.int32), np.asarray(event, np.int64)
        return Messages(sender, receiver, sent_s, arrives_s, event, **small)

    @staticmethod
    def none() -> "Messages":
        """Return an empty set of messages."""
        empty = np.empty(0)
        return Messages.of(empty, empty, empty, empty, empty)

    @staticmethod
    def together(parts: Sequence["Messages"]) -> "Messages":
        """Concatenate several sets of messages, in their order."""
        if len(parts) == 1:
            return parts[0]
        columns = ([getattr(part, field.name) for part in parts] for field in fields(Messages))
        return Messages(*map(np.concatenate, columns)) if parts else Messages.none()
