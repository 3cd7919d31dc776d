"""Conditions of runs by the nodes' own clocks: lies, noise and clipping of messages, and stragglers.

A message x_j from j, sent at any time, reaches node i, which holds x_i, as

    h = y_j + σ ξ,   ξ ~ N(0, I),       y_j = x_j, or the lie of j,
    h ← x_i + min(1, τ/‖h − x_i‖) (h − x_i)   if differences are clipped to a radius τ,

and i processes h in the place of x_j. A straggler processes it without learning. All draws are functions of the number of the
message, so that they do not depend on how a run is cut into segments. Clipping is message by message what ClippedGossip does
round by round: He, Karimireddy and Jaggi 2022, "Byzantine-robust decentralized learning via ClippedGossip".
"""

from types import MappingProxyType
from typing import Any, override

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.algorithms.protocols.protocol import Deliveries, GossipProtocol
from jaxgossip.algorithms.protocols.wrapper import MethodWrapper
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import hashed_uniform, purpose_key
from jaxgossip.core.typing import NodeMask, PyTree, Rows
from jaxgossip.learning.problem import Problem
from jaxgossip.network import chosen
from jaxgossip.network.aggregation.heard import Heard
from jaxgossip.network.conditions import Conditions, surely
from jaxgossip.schedule.messages import Kind

DRAWN_BY_SCHEDULE = MappingProxyType(
    {"drop": 0, "online": 1, "link_drop": 0, "link_burst": 0, "session": 1, "split": 1}
)
"""Conditions that a schedule has, or only rounds do, with their values where they are not used."""


def under_conditions(protocol: GossipProtocol, conditions: Conditions | None) -> GossipProtocol:
    """Return a protocol whose messages and nodes are subject to conditions.

    Of the conditions, ``noise``, ``straggle``, ``adversary`` and ``aggregation`` apply; who is online and which messages are
    lost is up to the schedule.

    Args:
        protocol: the protocol.
        conditions: the conditions; None for none.

    Raises:
        InputError: another condition is set, an attack needs to know what all nodes hold, an aggregation combines several
            messages, or the messages of the protocol convey no models.
    """
    if conditions is None:
        return protocol
    for name, unused in DRAWN_BY_SCHEDULE.items():
        if not surely(getattr(conditions, name), unused):
            raise InputError(
                f"conditions: {name} is of no effect on {protocol.name}, whose messages are drawn by its schedule",
                hint="jg.schedule.schedule(graph, drop=…, churn=…, split=…) loses messages; link_drop is of rounds",
            )
    if conditions.on_mixing and not protocol.method.conveys_models:
        raise InputError(
            f"{conditions.on_mixing[0]}: of no effect on {protocol.name}, whose messages are no models that nodes merge",
            hint="gossip_learning, pairwise_averaging, ad_psgd or pens",
        )
    adversary, aggregation = conditions.adversary, conditions.aggregation
    if adversary is not None and (adversary.broadcast is not None or adversary.targeted is not None):
        raise InputError(
            f"adversary '{adversary.name}' looks at what all nodes hold in a round, and by clocks there are no rounds",
            hint="bit_flip, constant, label_flip or backdoor",
        )
    if aggregation is not None and not aggregation.by_message:
        raise InputError(
            f"aggregation '{aggregation.name}' combines the messages of a round, and by clocks they arrive one by one",
            hint="aggregation.kind = 'clipped' with a number as aggregation.radius, or 'oracle'",
        )
    if aggregation is not None and protocol.parts > 1:
        raise InputError(
            f"aggregation '{aggregation.name}' compares whole models, and messages carry one of {protocol.parts} parts",
            hint="algorithm.parts = 1",
        )
    if not conditions.on_mixing and surely(conditions.straggle, 0) and adversary is None:
        return protocol
    liars = None if adversary is None else adversary.mask(protocol.problem.n_nodes)
    return UnderConditions(protocol.method, conditions, liars).applied_to(protocol)


class UnderConditions(MethodWrapper):
    """A protocol method whose messages and nodes are subject to conditions; see :func:`under_conditions`."""

    conditions: Conditions
    liars: NodeMask | None

    @override
    def deliver(self, problem: Problem, own: Any, heard: Any, arrivals: Deliveries) -> PyTree:
        if self.conditions.on_mixing:
            x = self.method.conveyed(heard)
            # Local actions are no messages: nobody lies to himself.
            local = jnp.zeros(arrivals.node.shape, bool)
            local = arrivals.choose(Kind.SPLIT, ~local, arrivals.choose(Kind.LEARN, ~local, local))
            arrived = self._arrived(self.method.models(own), x, arrivals)
            heard = self.method.conveying(heard, chosen(local, x, arrived))
        if not surely(self.conditions.straggle, 0):
            drawn = hashed_uniform(purpose_key(arrivals.key, "straggle"), arrivals.number, 1)[:, 0]
            arrivals = arrivals._replace(works=drawn >= self.conditions.straggle)
        return self.method.deliver(problem, own, heard, arrivals)

    def _arrived(self, own: Rows, x: Rows, arrivals: Deliveries) -> Rows:
        """Return (b, p): what arrives of models x (b, p) at nodes that hold ``own`` (b, p)."""
        noise, adversary, aggregation = (
            getattr(self.conditions, name) for name in ("noise", "adversary", "aggregation")
        )
        lying = None if self.liars is None else self.liars[arrivals.sender]
        if adversary is not None and adversary.alone is not None:
            x = chosen(lying, adversary.alone(x), x)
        if not surely(noise, 0):
            key = purpose_key(arrivals.key, "message noise")
            draws = jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number), x.shape[1:], x.dtype))
            x = x + (noise * draws(arrivals.number)).astype(x.dtype)
        if aggregation is None:
            return x
        # A row that is not finite is taken as lost.
        finite = jnp.isfinite(x).all(1)
        x = chosen(finite, x, own)
        heard = Heard(
            own, (x,), finite[:, None].astype(x.dtype), None if lying is None else lying[:, None], jnp.int32(0)
        )
        return aggregation.combine(heard)

    @override
    def honest(self, n_nodes: int) -> np.ndarray | None:
        adversary = self.conditions.adversary
        return None if adversary is None else adversary.honest(n_nodes)
