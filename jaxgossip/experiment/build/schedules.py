"""Building of the schedule of a configuration: from clock, peers, delay, churn and tokens, or from a file of messages."""

from typing import Any

from jaxgossip.algorithms import GossipProtocol
from jaxgossip.algorithms.protocols.protocol import check_schedule
from jaxgossip.core.arguments import fits
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import host_rng
from jaxgossip.core.registry import Registry
from jaxgossip.experiment.build.builders import Builder, errors_of
from jaxgossip.experiment.config.sections import Config
from jaxgossip.network import Speeds
from jaxgossip.schedule import (
    ANSWERED,
    CHURNS,
    CLOCKS,
    CONTACTS,
    DELAYS,
    EXCHANGES,
    PEERS,
    TOKEN_ACCOUNTS,
    Churn,
    Clock,
    ContactSource,
    Delay,
    Peers,
    Source,
    TokenAccount,
    files,
    schedule,
)
from jaxgossip.topology import Graph


def build_schedule(
    config: Config, part: Builder, graph: Graph, protocol: GossipProtocol, speeds: Speeds | None
) -> Source:
    """Build the schedule of a run by the nodes' own clocks.

    Args:
        config: the configuration.
        part: calls the builders.
        graph: who hears whom.
        protocol: what nodes send.
        speeds: speeds of the nodes' machines.

    Raises:
        InputError: a part cannot be built, or parts are incompatible.
    """
    table, n, seed = config.schedule, graph.n_nodes, config.seed
    assert table is not None
    if table.path is not None:
        with errors_of("schedule", ""):
            recorded = files.read(table.path, n, period_s=table.period_s or 1.0)
            check_schedule(protocol, recorded)
            return recorded
    given: dict[str, Any] = {"graph": graph, "n_nodes": n, "speeds": speeds, "message_bytes": protocol.bytes[0]}
    # Of the same purpose as an adversary's draw: the same share of liars are the same nodes.
    given |= {"compute_s": None if speeds is None else speeds.compute_s, "liars_rng": host_rng(seed, "adversary")}

    def built(name: str, registry: Registry, expected: type) -> Any:
        return part.optional(name, getattr(config, name), registry, expected, rng=host_rng(seed, name), **given)

    clock = built("clock", CLOCKS, Clock)
    given["horizon_s"] = config.rounds * clock.period_s
    churn = built("churn", CHURNS, Churn)
    network = config.network
    if network.online < 1:
        session_s = network.session * clock.period_s
        churn = CHURNS["coin"](n, host_rng(seed, "churn"), online=network.online, session_s=session_s)
    delay, contacts = built("delay", DELAYS, Delay), build_contacts(config, part, n)
    peers = built("peers", PEERS, Peers) if contacts is None else None
    rate = None if config.contacts is None else config.contacts.rate_bytes_s
    tokens = built("tokens", TOKEN_ACCOUNTS, TokenAccount)
    exchange: Any = table.exchange or protocol.exchanges[0]
    check_exchange(config, graph, protocol, exchange)
    with errors_of("schedule", ""):
        return schedule(
            graph, clock=clock, delay=delay, churn=churn, peers=peers, exchange=exchange, receive=table.receive,
            tokens=tokens, useful=table.useful, drop=network.drop, split=network.split,
            split_at_s=network.split_at * clock.period_s, heal_at_s=network.heal_at * clock.period_s,
            parts=protocol.parts, compute_s=given["compute_s"], seed=seed,
            contacts=contacts, transfer_s=protocol.bytes[0] / rate if rate else 0.0,
        )  # fmt: skip


def build_contacts(config: Config, part: Builder, n_nodes: int) -> ContactSource | None:
    """Build the contacts; None if there is no section.

    Args:
        config: the configuration.
        part: calls the builder.
        n_nodes: number of nodes of the network.

    Raises:
        InputError: they cannot be built, or are of other nodes.
    """
    rng = host_rng(config.seed, "contacts")
    contacts = part.optional("contacts", config.contacts, CONTACTS, ContactSource, n_nodes=n_nodes, rng=rng)
    if config.contacts is not None and contacts is not None:
        with errors_of("contacts", config.contacts.kind):
            fits("a source of contacts", contacts.n_nodes, "a network", n_nodes)
    return contacts


def check_exchange(config: Config, graph: Graph, protocol: GossipProtocol, exchange: str) -> None:
    """Check that the exchange is compatible with the protocol, the graph and the other sections.

    Raises:
        InputError: it is not; the message begins with the section or key, and the hint is allowed by the protocol.
    """
    table, choices = config.schedule, [f"'{name}'" for name in protocol.exchanges]
    assert table is not None
    if exchange not in protocol.exchanges:
        raise InputError(
            f"schedule: exchange '{exchange}' does not go with {protocol.name}",
            hint=f"schedule.exchange = {' or '.join(choices)}",
        )

    def others(*exchanges: str) -> str:
        fitting = [f"'{name}'" for name in exchanges if name in protocol.exchanges]
        return f", or schedule.exchange = {' or '.join(fitting)}" if fitting else ""

    travels = f"{protocol.name} by exchange '{exchange}'"
    if graph.directed and EXCHANGES[exchange].way == "both":
        raise InputError(
            f"topology: {graph.name} is directed, and in {travels} whom a node calls has to answer",
            hint="topology.kind = 'ring' or another undirected one" + others("push", "pull", "split_push"),
        )
    if config.tokens is not None and exchange != "push":
        raise InputError(
            f"tokens: accounts react to models that are pushed, and nothing is in {travels}",
            hint="remove the section [tokens]" + others("push"),
        )
    if table.receive == "cached" and exchange != "push":
        raise InputError(
            f"schedule.receive: 'cached' keeps models that are pushed, and nothing is in {travels}",
            hint="schedule.receive = 'at_once'" + others("push"),
        )
    if table.receive == "pass_through" and exchange not in ANSWERED:
        raise InputError(
            f"schedule.receive: {travels} passes no model through",
            hint="schedule.receive = 'at_once'" + others(*ANSWERED),
        )
