"""The reference of the events engine: one event after the other, in plain NumPy and float64, with rules of its own.

It shares nothing with the engine but the messages: no waves, no slots, no JAX. A node is a dict, a copy is a deep copy, and
the rules are written from the papers.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxgossip.schedule.messages import Fate, Kind, Messages

Node = dict[str, Any]
Gradient = Callable[[np.ndarray, int], np.ndarray]


class Reference:
    """Nodes, and what messages do to them.

    Args:
        x: (n, p) first models.
        gradient: (model, node) -> the gradient of that node's own objective.
        rate: age of a model -> step size.
        shared: leading parameters that travel.
    """

    def __init__(self, x: np.ndarray, gradient: Gradient, rate: Callable[[int], float], shared: int) -> None:
        self.gradient, self.rate, self.shared = gradient, rate, shared
        self.nodes = [self.first(row.astype(np.float64)) for row in np.asarray(x)]

    def first(self, x: np.ndarray) -> Node:
        return {"x": x}

    def payload(self, node: Node) -> Node:
        return copy.deepcopy(node)

    def deliver(self, node: Node, heard: Node, number: int, messages: Messages, key: int) -> None:
        raise NotImplementedError

    def of(self, heard: np.ndarray, own: np.ndarray) -> np.ndarray:
        """What arrives, with one's own private parameters."""
        return np.concatenate([heard[: self.shared], own[self.shared :]])

    def step(self, x: np.ndarray, number: int, age: int = 0, at: np.ndarray | None = None) -> np.ndarray:
        return x - self.rate(age) * self.gradient(x if at is None else at, number)

    def run(self, cycles: Sequence[Messages], end_s: float) -> dict[str, int]:
        """Execute all that happens before ``end_s``; return what became of the messages."""
        messages = Messages.together(list(cycles))
        count = {"sent": 0, "delivered": 0, "in_flight": 0} | {fate.name: 0 for fate in Fate if fate}
        operations: list[tuple[float, int, int, int]] = []
        for k in range(len(messages)):
            event = int(messages.event[k])
            operations.append((float(messages.sent_s[k]), event, 0, k))
            if messages.fate[k] == Fate.DELIVERED:
                operations.append((float(messages.arrives_s[k]), event, 1, k))
        copies: dict[int, Node] = {}
        for time_s, _, phase, k in sorted(operations):
            if time_s >= end_s:
                break
            fate, kind, told = Fate(int(messages.fate[k])), int(messages.kind[k]), True
            told = kind not in (Kind.SPLIT, Kind.LEARN)
            if phase == 0:
                count["sent"] += told
                count["in_flight" if fate == Fate.DELIVERED else fate.name] += told
                if fate == Fate.DELIVERED and kind != Kind.REQUEST:
                    copies[k] = self.payload(self.nodes[messages.sender[k]])
            else:
                count["in_flight"] -= told
                count["delivered"] += told
                if kind != Kind.REQUEST:
                    node = int(messages.receiver[k])
                    self.deliver(self.nodes[node], copies.pop(k), node, messages, k)
        self.copies = copies
        return count

    @property
    def x(self) -> np.ndarray:
        return np.stack([self.model(node) for node in self.nodes])

    def model(self, node: Node) -> np.ndarray:
        return node["x"]


class Walks(Reference):
    """RW, MU, UM and passing, with the last received or one's own model; by age, limited, in parts."""

    create, partner, weighting, age_gap, steps, parts = "merge_update", "last_received", "uniform", None, 1, 1
    align: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    travels: Callable[[int], np.ndarray] | None = None
    """Number of a message -> (p,) bool, which parameters it carries."""

    def first(self, x: np.ndarray) -> Node:
        return {"x": x, "age": [0] * self.parts, "last": (x.copy(), [0] * self.parts), "kept": []}

    def payload(self, node: Node) -> Node:
        return {"x": node["x"].copy(), "age": list(node["age"])}

    def weigh(self, t1: int, t2: int) -> float:
        if self.age_gap is not None and abs(t1 - t2) > self.age_gap:
            return 1.0 if t1 > t2 else 0.0
        return t1 / (t1 + t2) if self.weighting == "age" and t1 + t2 else 0.5

    def merge(self, first: tuple[Any, Any], second: tuple[Any, Any], part: int, k: int) -> tuple[np.ndarray, list[int]]:
        (x1, t1), (x2, t2) = first, second
        if self.align is not None:
            x1 = self.align(x2, x1)
        x, age = x2.copy(), list(t2)
        for c in range(x.size):
            if self.travels is not None and not self.travels(k)[c]:
                continue
            if self.parts == 1 or c % self.parts == part:
                alpha = self.weigh(t1[c % self.parts], t2[c % self.parts])
                x[c] = alpha * x1[c] + (1 - alpha) * x2[c]
        for one in range(self.parts):
            if self.parts == 1 or one == part:
                age[one] = max(t1[one], t2[one])
        return x, age

    def update(self, model: tuple[Any, Any], number: int) -> tuple[np.ndarray, list[int]]:
        x, age = model
        for s in range(self.steps):
            x = self.step(x, number, max(age) + s)
        return x, [t + self.steps for t in age]

    def deliver(self, node: Node, heard: Node, number: int, messages: Messages, k: int) -> None:
        own, part = node["x"], int(messages.part[k])
        m1 = (self.of(heard["x"], own), heard["age"])
        m2 = (self.of(node["last"][0], own), node["last"][1]) if self.partner == "last_received" else (own, node["age"])
        if messages.kind[k] == Kind.PASSED or self.create == "pass":
            new = m1
        elif self.create == "update":
            new = self.update(m1, number)
        elif self.create == "merge_update":
            new = self.update(self.merge(m1, m2, part, k), number)
        else:
            new = self.merge(self.update(m1, number), self.update(m2, number), part, k)
        node["x"], node["age"] = new[0].copy(), list(new[1])
        node["last"] = (m1[0].copy(), list(m1[1]))
        node["kept"].append(new[0].copy())


class Pairs(Reference):
    """Pairwise averaging, and AD-PSGD where a node's own doing is to learn."""

    def deliver(self, node: Node, heard: Node, number: int, messages: Messages, k: int) -> None:
        if messages.kind[k] == Kind.LEARN:
            node["x"] = self.step(node["x"], number, at=heard["x"])
        else:
            node["x"] = self.of((node["x"] + heard["x"]) / 2, node["x"])


class Masses(Reference):
    """Push-sum; learning at x/w if ``learns``."""

    learns = False

    def first(self, x: np.ndarray) -> Node:
        return {"x": x, "w": 1.0}

    def model(self, node: Node) -> np.ndarray:
        return node["x"] / node["w"]

    def deliver(self, node: Node, heard: Node, number: int, messages: Messages, k: int) -> None:
        if messages.kind[k] == Kind.SPLIT:
            node["x"], node["w"] = self.of(node["x"] / 2, node["x"]), node["w"] / 2
            return
        node["x"], node["w"] = self.of(node["x"] + heard["x"], node["x"]), node["w"] + heard["w"]
        if self.learns:
            node["x"] = self.step(node["x"], number, at=node["x"] / node["w"])


class Pens(Reference):
    """PENS; ``loss`` is (model, node) -> its loss there."""

    sampled, top = 3, 2
    loss: Callable[[np.ndarray, int], float]

    def first(self, x: np.ndarray) -> Node:
        return {"x": x, "gathered": [], "heard": [], "selected": []}

    def payload(self, node: Node) -> Node:
        return {"x": node["x"].copy()}

    def deliver(self, node: Node, heard: Node, number: int, messages: Messages, k: int) -> None:
        x = self.of(heard["x"], node["x"])
        node["gathered"].append((self.loss(x, number), int(messages.sender[k]), x))
        if len(node["gathered"]) < self.sampled:
            return
        best = sorted(range(self.sampled), key=lambda one: (node["gathered"][one][0], one))[: self.top]
        node["heard"] += [sender for _, sender, _ in node["gathered"]]
        node["selected"] += [node["gathered"][one][1] for one in best]
        merged = (node["x"] + sum(node["gathered"][one][2] for one in best)) / (self.top + 1)
        node["x"], node["gathered"] = self.step(merged, number), []
