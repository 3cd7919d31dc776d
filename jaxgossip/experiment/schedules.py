"""The schedule of a configuration: clock, peers, delay, churn and tokens put together, or a file of messages."""

from typing import Any

from jaxgossip.algorithms import GossipProtocol
from jaxgossip.errors import InputError
from jaxgossip.experiment.parts import Builder, errors_of
from jaxgossip.experiment.sections import Config
from jaxgossip.network import Speeds
from jaxgossip.network.schedule import (
    CHURNS,
    CLOCKS,
    DELAYS,
    PEERS,
    TOKEN_ACCOUNTS,
    Churn,
    Clock,
    Delay,
    Peers,
    Source,
    TokenAccount,
    files,
    schedule,
)
from jaxgossip.random import host_rng
from jaxgossip.registry import Registry
from jaxgossip.topology import Graph


def build_schedule(
    config: Config, part: Builder, graph: Graph, protocol: GossipProtocol, speeds: Speeds | None
) -> Source:
    """Return who sends to whom and when.

    Args:
        config: the configuration, of a run in events.
        part: calls builders.
        graph: who hears whom.
        protocol: what nodes send.
        speeds: of the nodes' machines.

    Raises:
        InputError: a part cannot be built, or does not go with another.
    """
    table, n, seed = config.schedule, graph.n_nodes, config.seed
    assert table is not None
    if table.path is not None:
        with errors_of("schedule", ""):
            return files.read(table.path, n, period_s=table.period_s or 1.0)
    given: dict[str, Any] = {"graph": graph, "n_nodes": n, "speeds": speeds, "message_bytes": protocol.bytes[0]}
    given |= {"compute_s": None if speeds is None else speeds.compute_s}

    def built(name: str, registry: Registry, expected: type) -> Any:
        return part.optional(name, getattr(config, name), registry, expected, rng=host_rng(seed, name), **given)

    clock = built("clock", CLOCKS, Clock)
    given["horizon_s"] = config.rounds * clock.period_s
    churn = built("churn", CHURNS, Churn)
    network = config.network
    if network.online < 1:
        session_s = network.session * clock.period_s
        churn = CHURNS["coin"](n, host_rng(seed, "churn"), online=network.online, session_s=session_s)
    delay, peers = built("delay", DELAYS, Delay), built("peers", PEERS, Peers)
    tokens = built("tokens", TOKEN_ACCOUNTS, TokenAccount)
    with errors_of("schedule", ""):
        exchange: Any = table.exchange or protocol.exchanges[0]
        if exchange not in protocol.exchanges:
            raise InputError(
                f"exchange '{exchange}' does not go with {protocol.name}",
                hint=f"allowed: {', '.join(protocol.exchanges)}",
            )
        return schedule(
            graph, clock=clock, delay=delay, churn=churn, peers=peers, exchange=exchange, receive=table.receive,
            tokens=tokens, useful=table.useful, drop=network.drop, split=network.split,
            split_at_s=network.split_at * clock.period_s, heal_at_s=network.heal_at * clock.period_s,
            parts=protocol.parts, compute_s=given["compute_s"], seed=seed,
        )  # fmt: skip
