"""Mixing in fragments of the model, each over a graph of its own; K fragments cost the bytes of one row.

    fragmented   any mixing, drawn for each fragment by itself, or one given mixing a fragment
    divshare     each fragment is pushed to s random nodes: EL-Local a fragment
    mosaic       each fragment over a fresh s-regular graph: EL-Oracle a fragment
    shatter      nodes split into K virtual nodes with a fragment each, on a fresh s-regular graph of the nK virtual nodes

Fragments whose graphs are drawn alike contract alike, and as a row that travels whole does: β of E‖X − X̄‖², whatever K. But
covariances of entries of different fragments contract by β² in place of β, for their W are independent and E W = J + β Π. A
Hessian that ties entries of different fragments together feeds disagreement through these covariances, and so through less.

Biswas, Kermarrec, Marouani, Pires, Sharma and de Vos 2025, "Boosting asynchronous decentralized learning with model
fragmentation" (DivShare), here in rounds. Biswas, Even, Kermarrec, Massoulié, Pires, Sharma and de Vos 2024, "Noiseless
privacy-preserving decentralized learning" (Shatter). Biswas et al. 2026, "Mosaic learning: a framework for decentralized
learning with model fragmentation".
"""

from collections.abc import Sequence
from typing import Literal, override

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt32

from jaxgossip.core.arguments import described, guarded
from jaxgossip.core.devices.blocks import are_nodes, row_numbers
from jaxgossip.core.errors import ArgumentTypeError, GraphError
from jaxgossip.core.pytree import pytree_dataclass, static_field
from jaxgossip.core.rows import materialize
from jaxgossip.core.typing import PRNGKey, derived
from jaxgossip.core.units import counted
from jaxgossip.mixing.bijection import random_bijection
from jaxgossip.mixing.build import PROGRAM_BYTES, checked_count, checked_degree
from jaxgossip.mixing.fragments import Fragments, fragment_key
from jaxgossip.mixing.operator import Mixing, Operator, TimeVarying
from jaxgossip.mixing.time_varying.fresh import FreshRegular
from jaxgossip.mixing.time_varying.peers import Neighbours, Push, RandomPush, draw_distinct
from jaxgossip.topology.graph import Graph
from jaxgossip.topology.memory_check import check_bytes

MOST_VIRTUAL = 2**30
"""Most virtual nodes: two of their numbers add up to 31 bits."""


@pytree_dataclass
class Fragmented(TimeVarying):
    """Mixing of every fragment by itself; see :func:`fragmented`.

    Attributes:
        mixings: mixing of the fragments, in turn.
        seed: () uint32, of the permutation of the columns that are then divided; None to divide them in their order.
        fragments: K, number of fragments.
    """

    mixings: tuple[Mixing, ...]
    seed: UInt32[Array, ""] | None
    fragments: int = static_field()

    @derived
    @override
    def n_nodes(self) -> int:
        return self.mixings[0].n_nodes

    @derived
    @override
    def numbering(self) -> str:
        return self.mixings[0].numbering

    @override
    def at(self, round_number: Array, key: PRNGKey) -> Operator:
        operators = (
            self.mixings[number % len(self.mixings)].at(round_number, fragment_key(key, number))
            for number in range(self.fragments)
        )
        return Fragments(tuple(operators), self.seed)


@pytree_dataclass
class VirtualNodes(TimeVarying):
    """Mixing by virtual nodes, each with a fragment of the model of its node; see :func:`shatter`.

    Attributes:
        seed: () uint32, of the permutation of the columns that are then divided; None to divide them in their order.
        n_nodes: number of nodes.
        degree: s, number of virtual nodes that each sends its fragment to.
        fragments: K, number of virtual nodes of a node.
    """

    seed: UInt32[Array, ""] | None
    n_nodes: int = static_field()
    degree: int = static_field()
    fragments: int = static_field()

    @override
    def at(self, round_number: Array, key: PRNGKey) -> Operator:
        n, k, keys = self.n_nodes, self.fragments, jax.random.split(key)
        offsets = 1 + draw_distinct(keys[0], jnp.full(1, n * k - 1, jnp.int32), self.degree)[0]
        bijection, node, real = random_bijection(keys[1], n * k), row_numbers(n), are_nodes(n)
        operators = []
        for number in range(k):
            virtual = jnp.minimum(node, n - 1) * k + number
            seat = materialize(bijection(virtual.astype(jnp.uint32)).astype(jnp.int32))
            reached = [bijection.inverse(((seat + offset) % (n * k)).astype(jnp.uint32)) for offset in offsets]
            targets = jnp.stack(reached, axis=1).astype(jnp.int32) // k
            operators.append(
                Push(materialize(targets if real is None else jnp.where(real[:, None], targets, node[:, None])))
            )
        return Fragments(tuple(operators), self.seed)


@guarded
def fragmented(
    W: Mixing | Sequence[Mixing],
    *,
    fragments: int | None = None,
    columns: Literal["shuffled", "blocks"] = "shuffled",
    rng: np.random.Generator | int = 0,
) -> TimeVarying:
    """Mix models in fragments, each by itself: with its own draws of one mixing, or with its own mixing.

    >>> W = jg.mixing.fragmented(jg.mixing.matching(graph), fragments=8)  # eight matchings a round

    A message carries the numbers of its fragment, and whatever travels beside them. A row of p numbers has p fragments at most.

    Args:
        W: any mixing with rows that sum to one, or one for each fragment.
        fragments: K, number of fragments, of as many columns each but for one; 2 if left out. As many as there are mixings, if
            there are several.
        columns: whether the columns are shuffled before they are divided, by a permutation of ``rng``, or left in order.
        rng: generator of the permutation, or its seed.

    Raises:
        GraphError: ``fragments`` is below one, not the number of mixings, or too large to compile; W is push-sum mixing or
            already in fragments; or mixings are of different numbers or orders of nodes.
        ArgumentTypeError: W is no mixing.
    """
    mixings = tuple(W) if isinstance(W, Sequence) else (W,)
    if not mixings:
        raise GraphError("fragmented: there is no mixing", hint="give one for each fragment")
    for each in mixings:
        if not isinstance(each, Operator | TimeVarying):
            raise ArgumentTypeError(
                f"fragmented: W must be mixing, or one for each fragment, not {described(each)}",
                hint="jg.mixing.matching(graph), or another of jg.mixing",
            )
        if each.conserves == "mass":
            raise GraphError(
                "fragmented: push-sum mixing has no fragments: a node has one weight for all its columns",
                hint="mixing.kind = 'divshare', 'mosaic' or 'shatter'",
            )
        if isinstance(each, Fragmented | VirtualNodes | Fragments):
            raise GraphError("fragmented: W has fragments already", hint="mixing without fragments")
    if len({(each.n_nodes, each.numbering) for each in mixings}) != 1:
        raise GraphError(
            "fragmented: all fragments need mixing on the same nodes, in the same rows",
            hint="of graphs on the same nodes",
        )
    if isinstance(W, Sequence) and fragments not in (None, len(mixings)):
        raise GraphError(
            f"fragmented: {len(mixings)} mixings are not of fragments = {fragments}", hint="leave fragments out"
        )
    number = fragments if fragments is not None else len(mixings) if isinstance(W, Sequence) else 2
    _check("fragmented", number)
    return Fragmented(mixings, _seed(columns, rng), number)


@guarded
def divshare(graph: Graph, *, fragments: int = 10, fanout: int = 1, rng: np.random.Generator | int = 0) -> TimeVarying:
    """Send each fragment of the model to random neighbours (on the complete graph, to any nodes), each to others (DivShare).

    A node averages each fragment with all that arrive of it. As published, nodes are asynchronous, and drop what they have not
    sent before their next round; here, all is sent in its round.

    Args:
        graph: the topology.
        fragments: K = 1/Ω, number of fragments of shuffled columns.
        fanout: s, number of neighbours that each node sends each fragment to.
        rng: generator of the permutation of the columns, or its seed.

    Raises:
        GraphError: ``fragments`` or ``fanout`` is below one or too large to compile, the graph is directed, or a node has no
            neighbour.
    """
    checked_count("divshare", "fanout", fanout)
    _check("divshare", fragments, fanout)
    return Fragmented((RandomPush(Neighbours.of(graph), fanout),), _seed("shuffled", rng), fragments)


@guarded
def mosaic(graph: Graph, *, fragments: int = 8, degree: int = 7, rng: np.random.Generator | int = 0) -> TimeVarying:
    """Mix each fragment of the model over a new random regular graph (Mosaic); only the number of nodes is the topology's.

    Args:
        graph: the topology.
        fragments: K, number of fragments of shuffled columns.
        degree: s, number of nodes that hear, and are heard by, each node in each fragment.
        rng: generator of the permutation of the columns, or its seed.

    Raises:
        GraphError: ``fragments`` is below one, ``degree`` is below one or not below the number of nodes, or they are too large
            to compile.
    """
    checked_degree("mosaic", degree, graph.n_nodes)
    _check("mosaic", fragments, degree)
    return Fragmented((FreshRegular(graph.n_nodes, degree),), _seed("shuffled", rng), fragments)


@guarded
def shatter(graph: Graph, *, fragments: int = 8, degree: int = 7, rng: np.random.Generator | int = 0) -> TimeVarying:
    """Split nodes into virtual nodes, each of which sends a fragment over a new random regular graph of them all (Shatter).

    A node averages each fragment with all that its virtual nodes receive of it. No other node sees more of its model than the
    fragments of those virtual nodes that it meets. A link between virtual nodes of one node carries nothing. Only the number of
    nodes of the topology matters.

    Args:
        graph: the topology.
        fragments: K, number of virtual nodes of a node, and of fragments of shuffled columns.
        degree: s, number of virtual nodes that each sends its fragment to.
        rng: generator of the permutation of the columns, or its seed.

    Raises:
        GraphError: ``fragments`` is below one, ``degree`` is below one or not below the number of virtual nodes, there are more
            than 2³¹ − 1 of these, or the numbers are too large to compile.
    """
    n_virtual = graph.n_nodes * max(fragments, 1)
    if n_virtual > MOST_VIRTUAL:
        raise GraphError(f"shatter: {n_virtual:,} virtual nodes are too many", hint="fewer fragments or nodes")
    checked_degree("shatter", degree, n_virtual, "virtual nodes")
    _check("shatter", fragments, degree)
    return VirtualNodes(_seed("shuffled", rng), graph.n_nodes, degree, fragments)


def _check(what: str, fragments: int, peers: int = 1) -> None:
    """Check that there is a fragment, and that programs unrolled over the peers of all fit into the free memory."""
    if fragments < 1:
        raise GraphError(f"{what}: fragments must be at least 1, not {fragments}")
    check_bytes(
        f"{what}: the programs of {fragments:,} fragments with {counted(peers, 'peer')} each",
        PROGRAM_BYTES * (fragments * peers) ** 2,
        hint="fewer fragments, or fewer peers of each",
    )


def _seed(columns: str, rng: np.random.Generator | int) -> UInt32[Array, ""] | None:
    return None if columns == "blocks" else jnp.asarray(np.random.default_rng(rng).integers(2**32, dtype=np.uint32))
