"""Compare jaxgossip with others on the same work: gossip learning of linear models, or D-SGD of deep networks.

Usage: python scripts/compare_peers.py [--nodes N] [--rounds R] [--seed S] [--peer FILE.py:FUNCTION]...
       python scripts/compare_peers.py --deep [--nodes N] [--rounds R] [--seed S] [--torch PYTHON]

Linear models: every node holds one e-mail of Spambase, meets random peers, merges and takes one Pegasos step a round; nothing
is evaluated. The speed is reported in node updates per second, without building and compiling.

gossipy (https://github.com/makgyver/gossipy, on PyPI as ``gossipy-dfl``) is run if it is installed beside jaxgossip. A
plain event loop over one Python object per node always runs; it is no existing simulator, but gives the least that such a
loop costs. Other simulators can be added by ``--peer``: the function takes (x, y, n_nodes, rounds, seed), with x (n, d)
float32 and y (n,) ±1 the sample of each node, and returns when the rounds are done. If it returns a number, that is taken
as the seconds of its rounds; otherwise its whole time counts, including set-up.

Deep networks (``--deep``, see peers_deep.py): seconds a round by jaxgossip, by plain ``vmap`` of ``grad``, and by PyTorch if it
is installed here or in the environment of another interpreter, which ``--torch`` gives.
"""

import argparse
import contextlib
import importlib.util
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import peers_deep

from jaxgossip import mixing, topology
from jaxgossip.algorithms import gossip
from jaxgossip.core.errors import JaxGossipError
from jaxgossip.core.registry import load_object
from jaxgossip.learning import models, optimizers, partitions
from jaxgossip.learning.data import datasets
from jaxgossip.learning.supervised import classification
from jaxgossip.simulation.program import Program

REGULARIZATION = 1e-4
NODES, DEEP_NODES, ROUNDS = 1000, 96, 10
LEAST_S = 1.0
"""Least duration of jaxgossip's run, as a handful of rounds would be too short to time."""

GOSSIPY = (
    "get it with: pip install gossipy-dfl torch torchvision pandas dill scikit-learn "
    "(or put the sources of https://github.com/makgyver/gossipy on PYTHONPATH)"
)

Peer = Callable[[np.ndarray, np.ndarray, int, int, int], float | None]


class MissingPeerError(Exception):
    """A peer is not installed; the message says how to install it."""


class Speed(NamedTuple):
    """The work and time of one simulator."""

    name: str
    updates: int
    seconds: float


def one_sample_each(n_nodes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x (n, 58) float32, whose last column is ones, and y (n,) float32 ±1: the sample of each node."""
    data = datasets.spambase(rng=seed)
    rows = partitions.one_sample(data.y_train, n_nodes, rng=seed).order
    x = np.concatenate([data.x_train[rows], np.ones((n_nodes, 1), np.float32)], axis=1)
    return x.astype(np.float32), (2.0 * data.y_train[rows] - 1).astype(np.float32)


def run_jaxgossip(n_nodes: int, rounds: int, seed: int, order: str) -> Speed:
    """Run at least ``rounds`` rounds, and at least a second, on random matchings of all nodes."""
    data = datasets.spambase(rng=seed)
    partition = partitions.one_sample(data.y_train, n_nodes, rng=seed)
    problem = classification(data, partition, models.pegasos((57,), 2, regularization=REGULARIZATION))
    W, optimizer = mixing.matching(topology.complete(n_nodes)), optimizers.pegasos(regularization=REGULARIZATION)
    program = Program(gossip(problem, optimizer, W, order=order), seed=seed)
    run = jax.block_until_ready(program.advance(program.start(), 2))
    begin = done = 2
    began = time.perf_counter()
    while done < begin + rounds or time.perf_counter() - began < LEAST_S:
        done += rounds
        run = jax.block_until_ready(program.advance(run, done))
    return Speed(f"jaxgossip, {order}", n_nodes * (done - begin), time.perf_counter() - began)


class Node:
    """One node as an object, as in event simulators."""

    def __init__(self, sample: np.ndarray, label: float) -> None:
        self.sample, self.label = sample, label
        self.model, self.age = np.zeros_like(sample), 0

    def send(self) -> tuple[np.ndarray, int]:
        """Return a copy of the model and its age, as a message."""
        return self.model.copy(), self.age

    def receive(self, model: np.ndarray, age: int) -> None:
        """Merge the model that arrived, then take a Pegasos step."""
        self.model = (self.model + model) / 2
        self.age = max(self.age, age) + 1
        rate = 1 / (REGULARIZATION * self.age)
        inside = self.label * (self.model @ self.sample) < 1
        self.model *= 1 - rate * REGULARIZATION
        if inside:
            self.model += (rate * self.label) * self.sample


def object_loop(x: np.ndarray, y: np.ndarray, n_nodes: int, rounds: int, seed: int) -> float:
    """Run a message queue with one Python object per node; each node pushes to a random peer once a round."""
    rng = np.random.default_rng(seed)
    nodes = [Node(sample, label) for sample, label in zip(x, y.tolist(), strict=True)]
    queue: dict[int, list[tuple[int, tuple[np.ndarray, int]]]] = defaultdict(list)
    began = time.perf_counter()
    for tick in range(rounds):
        for sender in rng.permutation(n_nodes).tolist():
            receiver = int(rng.integers(n_nodes - 1))
            queue[tick].append((receiver + (receiver >= sender), nodes[sender].send()))
        for receiver, message in queue.pop(tick):
            nodes[receiver].receive(*message)
    return time.perf_counter() - began


def gossipy(x: np.ndarray, y: np.ndarray, n_nodes: int, rounds: int, seed: int) -> float:
    """Run gossipy: push, merge then update, Pegasos, complete graph, no delay, no test set.

    A round is one tick, the least work for its loop over ticks and nodes. Its complete graph lists n² peers, and is replaced
    by a network that answers the same queries without such a list.

    Raises:
        MissingPeerError: gossipy, or what it needs, is not installed.
    """
    if importlib.util.find_spec("gossipy") is None:
        raise MissingPeerError(f"not installed; {GOSSIPY}")
    try:
        import torch  # noqa: PLC0415 - optional, like all that follows
        from gossipy import LOG, set_seed  # noqa: PLC0415
        from gossipy.core import AntiEntropyProtocol, CreateModelMode, StaticP2PNetwork  # noqa: PLC0415
        from gossipy.data import DataDispatcher  # noqa: PLC0415
        from gossipy.data.handler import ClassificationDataHandler  # noqa: PLC0415
        from gossipy.model.handler import PegasosHandler  # noqa: PLC0415
        from gossipy.model.nn import AdaLine  # noqa: PLC0415
        from gossipy.node import GossipNode  # noqa: PLC0415
        from gossipy.simul import GossipSimulator  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingPeerError(f"there, but not the module '{error.name}' that it needs; {GOSSIPY}") from error

    class Others:
        """All nodes but one, as the sequence from which a peer is drawn."""

        def __init__(self, node: int) -> None:
            self.node = node

        def __len__(self) -> int:
            return n_nodes - 1

        def __getitem__(self, rank: int) -> int:
            return rank + (rank >= self.node)

    class Everybody(StaticP2PNetwork):
        """The complete graph without lists of peers."""

        def __init__(self) -> None:
            super().__init__(n_nodes, np.zeros((n_nodes, 1)))

        def get_peers(self, node_id: int) -> Others:
            return Others(node_id)

    LOG.setLevel(logging.ERROR)
    set_seed(seed)
    torch.set_num_threads(1)  # for models of 58 numbers, threads would only be overhead
    handler = ClassificationDataHandler(torch.tensor(x), torch.tensor(y), test_size=0)
    dispatcher = DataDispatcher(handler, n=n_nodes, eval_on_user=False, auto_assign=False)
    dispatcher.set_assignments([[node] for node in range(n_nodes)], None)
    nodes = GossipNode.generate(
        data_dispatcher=dispatcher,
        p2p_net=Everybody(),
        model_proto=PegasosHandler(AdaLine(x.shape[1]), REGULARIZATION, CreateModelMode.MERGE_UPDATE),
        round_len=1,
        sync=True,
    )
    simulator = GossipSimulator(nodes, dispatcher, delta=1, protocol=AntiEntropyProtocol.PUSH)
    simulator.init_nodes(seed=seed)
    began = time.perf_counter()
    simulator.start(n_rounds=rounds)
    return time.perf_counter() - began


def run_peer(name: str, peer: Peer, arguments: tuple[np.ndarray, np.ndarray, int, int, int]) -> Speed:
    """Run a peer and return its speed, by the seconds that it returns or else by its whole time."""
    began = time.perf_counter()
    seconds = peer(*arguments)
    taken = float(seconds) if isinstance(seconds, int | float) else time.perf_counter() - began
    return Speed(name, arguments[2] * arguments[3], taken)


def table(speeds: list[Speed]) -> str:
    """Return a table of the speeds, with the factor by which jaxgossip's fastest exceeds each."""
    best = max(speed.updates / speed.seconds for speed in speeds if speed.name.startswith("jaxgossip"))
    lines = [f"{'':<44}{'node-updates/s':>16}{'seconds':>10}{'jaxgossip is x faster':>24}"]
    for name, updates, seconds in speeds:
        ratio = "" if name.startswith("jaxgossip") else f"{best * seconds / updates:,.0f}"
        lines.append(f"{name:<44}{updates / seconds:>16,.0f}{seconds:>10.2f}{ratio:>24}".rstrip())
    return "\n".join(lines)


def main(words: list[str]) -> int:
    """Run jaxgossip and every installed peer; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--deep", action="store_true", help="D-SGD of deep networks instead of linear models")
    parser.add_argument("--nodes", type=int, help=f"number of nodes (default {NODES}; {DEEP_NODES} with --deep)")
    parser.add_argument(
        "--rounds",
        type=int,
        help=f"rounds of each peer (default {ROUNDS}; {peers_deep.ROUNDS} with --deep, of which the fastest counts)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", action="append", default=[], metavar="FILE.py:FUNCTION", help="another simulator")
    parser.add_argument("--torch", metavar="PYTHON", help="with --deep: an interpreter that has PyTorch")
    options = parser.parse_args(words)
    if options.deep and options.peer:
        parser.error("--peer goes without --deep")
    if options.torch is not None and not options.deep:
        parser.error("--torch goes with --deep")
    least, nodes, rounds = (5, DEEP_NODES, peers_deep.ROUNDS) if options.deep else (2, NODES, ROUNDS)
    nodes = nodes if options.nodes is None else options.nodes
    rounds = rounds if options.rounds is None else options.rounds
    if nodes < least or rounds < 1:
        parser.error(f"at least {least} nodes and 1 round")
    return (deep if options.deep else linear)(parser, options, nodes, rounds)


def deep(parser: argparse.ArgumentParser, options: argparse.Namespace, nodes: int, rounds: int) -> int:
    """Compare on deep networks; return the exit code."""
    python = sys.executable if options.torch is None else options.torch
    installed = peers_deep.has_torch(python)
    if not installed and options.torch is not None:
        parser.error(
            f"--torch {python} cannot import torch and numpy; get them with: {python} -m pip install torch numpy"
        )
    if not installed:
        print(f"PyTorch: {peers_deep.TORCH}", file=sys.stderr)
    try:
        text = peers_deep.compare(nodes, rounds, options.seed, python if installed else None)
    except peers_deep.DifferentWorkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{nodes:,} nodes, D-SGD on a random 4-regular graph, the fastest of {rounds:,} rounds\n\n{text}")
    return 0


def linear(parser: argparse.ArgumentParser, options: argparse.Namespace, nodes: int, rounds: int) -> int:
    """Compare on linear models; return the exit code."""
    peers: dict[str, Peer] = {"one Python object a node (built-in stand-in)": object_loop, "gossipy": gossipy}
    try:
        peers |= {spec: load_object(spec) for spec in options.peer}
    except JaxGossipError as error:
        parser.error(str(error))
    x, y = one_sample_each(nodes, options.seed)
    speeds = []
    for order in ("update_merge", "merge_update"):
        print(f"jaxgossip, {order} …", file=sys.stderr)
        speeds.append(run_jaxgossip(nodes, rounds, options.seed, order))
    for name, peer in peers.items():
        print(f"{name} …", file=sys.stderr)
        try:
            with contextlib.redirect_stdout(sys.stderr):  # output of a peer is not part of the results
                speeds.append(run_peer(name, peer, (x, y, nodes, rounds, options.seed)))
        except MissingPeerError as error:
            print(f"{name}: {error}", file=sys.stderr)
    print(f"{nodes:,} nodes, Pegasos, one sample a node (Spambase), {rounds:,} rounds of each peer\n")
    print(table(speeds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
