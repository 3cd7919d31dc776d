"""Whole rounds of very many nodes: whether they are right, and their speed beside that of the device's memory.

A *copy* reads the float32 state once and writes it once, on the device. The *floor* of a round is its memory traffic at the
speed of a copy, as if every row came from memory: 1.5 copies for a round in which every node hears one other.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip import mixing, topology
from jaxgossip.algorithms import Algorithm
from jaxgossip.bench import reference
from jaxgossip.bench.accelerator.canary import TOLERANCE, partners
from jaxgossip.bench.accelerator.check import Check, Found, Sizes, compared
from jaxgossip.bench.accelerator.device import check_room, copy_seconds, device_memory
from jaxgossip.bench.case import Setting
from jaxgossip.bench.learning import REGULARIZATION, Order, gossip_of_pegasos
from jaxgossip.bench.memory import ROUND_PARAMS
from jaxgossip.bench.mixing import random_8_regular, traffic
from jaxgossip.bench.timing import ProgramRounds, Rounds, seconds_a_round
from jaxgossip.core.random import host_rng, run_key
from jaxgossip.core.rows import gather, materialize
from jaxgossip.core.units import duration
from jaxgossip.learning.data.arrays import Dataset
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.network import Round
from jaxgossip.simulation.compiled import Compiler

STATES = 2.3
"""Most states in memory during a round: the models and the scratch memory, with ages and numbers of samples."""
HOST_NODE_BYTES = 60
"""Bytes of a node on the machine while samples are dealt."""
GRAPH_BYTES = 1200
"""Bytes of a node on the machine while a random graph of degree 8 is built."""
COLUMNS = 64
"""Columns of mixing."""
PERIOD = 8191
SAMPLED = 1000
"""Number of rows that are compared with their reference."""


def checks(sizes: Sizes) -> Iterator[Check]:
    """Yield mixing, and whole rounds in ascending size."""
    first = sizes.rounds[0]
    yield Check(f"random 8-regular mixing, {first:,}", partial(mixing_speed, first, sizes.sample_s))
    yield Check(f"merge, then update, {first:,}", partial(round_speed, first, "merge_update", sizes.sample_s))
    earlier = 0
    for n in sizes.rounds:
        like = {"like": f"update, then merge, {earlier:,}", "times": n / earlier} if earlier else {}
        run = partial(round_speed, n, "update_merge", sizes.sample_s)
        if n == sizes.rounds[-1]:
            yield Check(f"pairs among {sizes.numbers:,} numbers", partial(many_numbers, sizes.numbers))
        yield Check(f"update, then merge, {n:,}", run, **like)
        earlier = n


def mixing_speed(nodes: int, sample_s: float) -> Found:
    """Time mixing on a random 8-regular graph."""
    check_room(3 * 4 * COLUMNS * nodes, nodes * GRAPH_BYTES)
    case = random_8_regular(Setting(nodes, COLUMNS))
    assert case.traffic is not None
    copy_s = copy_seconds(case.shape, sample_s)
    text, figures = _speed(case.rounds, copy_s, case.shape, case.traffic, sample_s)
    return Found(text, figures)


def round_speed(nodes: int, order: Order, sample_s: float) -> Found:
    """Check the first round of some nodes, and time the others."""
    check_room(round(STATES * 4 * ROUND_PARAMS * nodes), nodes * HOST_NODE_BYTES)
    setting, shape = Setting(nodes), (nodes, ROUND_PARAMS)
    copy_s = copy_seconds(shape, sample_s)  # before the models take their memory
    algorithm, data, deal = gossip_of_pegasos(setting, order)
    rounds = ProgramRounds(algorithm, setting.seed)
    rounds(1)
    first = _first_round(rounds, algorithm, data, deal, order)
    text, figures = _speed(rounds, copy_s, shape, traffic(1), sample_s)
    figures |= {"updates_per_s": nodes / figures["round_s"], **first.figures}
    if first.status == "failed":
        return Found(first.text, figures, "failed")
    return Found(f"{figures['updates_per_s'] / 1e6:.3g} M updates/s, {text}", figures, "ok")


def many_numbers(numbers: int) -> Found:
    """Check pairwise averages in an array of more numbers than an int32 counts, at both ends, the middle and in between."""
    n = numbers // COLUMNS
    check_room(3 * 4 * numbers)
    W, rows = mixing.matching(topology.complete(n)), _sampled(n)
    found = Compiler().compile(_averages, W, jnp.asarray(rows))(jnp.asarray(rows))
    ends = np.stack([rows, partners(W, 0, n)[rows]]).astype(np.float64)
    expected = (ends % PERIOD).mean(axis=0)[:, None] + np.arange(COLUMNS)
    return compared(np.asarray(found), expected, 0.0)


def _averages(W: mixing.Mixing, rows: jax.Array) -> jax.Array:
    """Return some rows of W x, where x_ij is i modulo a prime, plus j: small whole numbers, whose averages are exact."""
    x = (jnp.arange(W.n_nodes, dtype=jnp.int32)[:, None] % PERIOD + jnp.arange(COLUMNS)).astype(jnp.float32)
    # Barriers keep both arrays in memory: rows that are computed where they are needed would be no test of it.
    mixed = Round(jnp.int32(0), run_key(0), W.n_nodes).links(W).mix(materialize(x))
    return gather(materialize(mixed), rows)


def _speed(
    rounds: Rounds, copy_s: float, shape: tuple[int, int], floor_copies: float, sample_s: float
) -> tuple[str, dict[str, Any]]:
    """Return the figures of a round in words, and by name."""
    round_s = seconds_a_round(rounds, 3, sample_s)
    copies = round_s / copy_s
    figures = {
        "round_s": round_s,
        "copy_s": copy_s,
        "copies": copies,
        "floor_share": floor_copies / copies,
        "copy_bytes_per_s": 8 * shape[0] * shape[1] / copy_s,
        "scratch_bytes": rounds.scratch_bytes,
        "peak_bytes": device_memory().peak,
    }
    return f"{duration(round_s)}, {copies:.3g} copies, floor {100 * floor_copies / copies:.0f} %", figures


def _first_round(rounds: ProgramRounds, algorithm: Algorithm, data: Dataset, deal: Partition, order: Order) -> Found:
    """Compare some nodes after the first round with NumPy in float64: they depend on their partners alone."""
    assert rounds.run is not None
    assert algorithm.W is not None
    n = algorithm.problem.n_nodes
    partner = partners(algorithm.W, 0, n)
    nodes = np.unique(np.concatenate([_sampled(n), partner[_sampled(n)]]))
    place = np.searchsorted(nodes, partner[nodes])
    state = reference.Gossip(np.zeros((len(nodes), ROUND_PARAMS)), np.zeros(len(nodes), np.int32))
    table = reference.Table.of(data, np.float64)
    reference.gossip_round(state, place, table, deal.order[nodes], REGULARIZATION, order)
    found = jax.jit(gather)(rounds.run.state.x, jnp.asarray(nodes, jnp.int32))
    return compared(np.asarray(found), state.x, TOLERANCE)


def _sampled(n: int) -> np.ndarray:
    """Return int32 numbers of rows: the first, the last, those where the 2³¹st number may be, and some at random."""
    middle = [2**31 // columns + shift for columns in (ROUND_PARAMS, COLUMNS) for shift in (-1, 0, 1)]
    drawn = host_rng(0, "accelerator sample").integers(n, size=min(n, SAMPLED))
    ends = [0, n - 1, *(row for row in middle if row < n)]
    return np.unique(np.concatenate([ends, drawn])).astype(np.int32)
