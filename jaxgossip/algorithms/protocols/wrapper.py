"""A protocol method that does what another one does, but for what its subclasses override."""

import copy
from typing import Any, override

import numpy as np

from jaxgossip.algorithms.protocols.protocol import Arrived, Deliveries, GossipProtocol, ProtocolMethod
from jaxgossip.core.typing import NodeInts, NodeScores, PRNGKey, PyTree, Rows
from jaxgossip.learning.problem import Problem


class MethodWrapper(ProtocolMethod):
    """A protocol method that delegates to another."""

    method: ProtocolMethod

    @property
    @override
    def conveys_models(self) -> bool:
        return self.method.conveys_models

    @property
    def local_steps(self) -> int | None:
        """Local steps of an update; None of methods that have no such number."""
        return getattr(self.method, "local_steps", None)

    @override
    def init(self, problem: Problem, key: PRNGKey) -> PyTree:
        return self.method.init(problem, key)

    @override
    def message(self, problem: Problem, state: Any) -> PyTree:
        return self.method.message(problem, state)

    @override
    def deliver(self, problem: Problem, own: Any, heard: Any, arrivals: Deliveries) -> PyTree:
        return self.method.deliver(problem, own, heard, arrivals)

    @override
    def models(self, state: Any) -> Rows:
        return self.method.models(state)

    @override
    def conveyed(self, message: Any) -> Rows:
        return self.method.conveyed(message)

    @override
    def conveying(self, message: Any, x: Rows) -> PyTree:
        return self.method.conveying(message, x)

    @override
    def honest(self, n_nodes: int) -> np.ndarray | None:
        return self.method.honest(n_nodes)

    @override
    def updates(self, arrived: Arrived) -> np.ndarray:
        return self.method.updates(arrived)

    @override
    def scores(self, problem: Problem, state: Any) -> NodeScores:
        return self.method.scores(problem, state)

    @override
    def as_scored(self, problem: Problem, state: Any, nodes: NodeInts) -> Any:
        return self.method.as_scored(problem, state, nodes)

    @override
    def settle(self, problem: Problem, state: Any) -> tuple[PyTree, Any]:
        return self.method.settle(problem, state)

    def applied_to(self, protocol: GossipProtocol) -> GossipProtocol:
        """Return a copy of the protocol that uses this method."""
        wrapped = copy.copy(protocol)
        wrapped.method = self
        return wrapped
