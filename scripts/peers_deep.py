"""The deep cases of ``compare_peers.py``: rounds of D-SGD on a random 4-regular graph, by jaxgossip and others.

A round is a gradient at every node, on its own batch, a step of SGD and the mixing with the same W. jaxgossip runs its
compiled program, plain JAX a compiled ``vmap`` of ``grad`` with XLA's own convolutions, and PyTorch one node after the
other. Losses, gradients and models after a round are compared first, so that all do the same work.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip import mixing, topology
from jaxgossip.algorithms import dsgd
from jaxgossip.bench.deep import networks
from jaxgossip.bench.deep.networks import LEARNING_RATE, Network
from jaxgossip.bench.deep.plain import PlainRounds
from jaxgossip.cli.terminal.tables import table
from jaxgossip.learning.supervised import Supervised
from jaxgossip.mixing import Mixing
from jaxgossip.simulation.program import Program

DEGREE = 4
ROUNDS = 5
"""Rounds that are timed by default; the fastest counts."""
APART = 1e-4
"""Largest difference of losses, gradients and models from ours, relative to the norm of ours: the median over nodes."""
TORCH = "not installed here; get it with: pip install torch (or give --torch PYTHON, an interpreter that has it)"

CASES: Mapping[str, Callable[[int, int], Network]] = MappingProxyType(
    {case.__name__: case for case in (networks.cnn_32, networks.cnn_28, networks.gn_lenet, networks.gpt)}
)


class DifferentWorkError(Exception):
    """A peer computes something else than jaxgossip; the message says what, and how far apart they are."""


class Start(NamedTuple):
    """Where all begin, and what jaxgossip computes from there.

    Attributes:
        network: models, samples and optimizer.
        problem: the same as a problem of jaxgossip.
        W: the mixing.
        x: (n, p) initial models.
        after: (n, p) models after the first round.
        seconds: seconds of jaxgossip's fastest round.
    """

    network: Network
    problem: Supervised
    W: Mixing
    x: np.ndarray
    after: np.ndarray
    seconds: float


def run_jaxgossip(network: Network, seed: int, rounds: int) -> Start:
    """Run one round, and then ``rounds`` that are timed."""
    problem = network.problem()
    W = mixing.metropolis_hastings(topology.random_regular(problem.n_nodes, DEGREE, rng=seed))
    program = Program(dsgd(problem, network.optimizer, W), seed=seed)
    run = program.start()
    x = np.array(run.state.x)
    run = program.advance(run, 1)
    after, seconds = np.array(run.state.x), []
    for done in range(1, rounds + 1):
        began = time.perf_counter()
        run = jax.block_until_ready(program.advance(run, done + 1))
        seconds.append(time.perf_counter() - began)
    return Start(network, problem, W, x, after, min(seconds))


def run_plain(start: Start, rounds: int) -> float:
    """Return the seconds of the fastest round of plain JAX.

    Raises:
        DifferentWorkError: its first round leads to other models.
    """
    network, problem = start.network, start.problem
    params = jax.vmap(problem.params)(start.x)
    samples = (jnp.asarray(network.x), jnp.asarray(network.y))
    peer = PlainRounds(network.apply, network.optimizer, params, *samples, mixed_by(np.asarray(start.W.as_matrix())))
    peer()
    after = np.asarray(jax.vmap(problem.row)(peer.params))
    apart = np.linalg.norm(after - start.after, axis=1) / np.linalg.norm(start.after, axis=1)
    check("plain vmap(grad)", {"models": float(np.median(apart))})
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        peer()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def mixed_by(W: np.ndarray) -> Callable[[Any], Any]:
    """Return the function that mixes models, whose leaves are (n, …), by a matrix with as many neighbours in each row."""
    n = len(W)
    heard = np.stack([np.flatnonzero(row) for row in W])  # (n, degree + 1), the node itself among them
    weights = np.take_along_axis(W, heard, 1).astype(np.float32)

    def mix(params: Any) -> Any:
        def leaf(x: jax.Array) -> jax.Array:
            flat = x.reshape(n, -1)
            mixed = sum(weights[:, link, None] * flat[heard[:, link]] for link in range(heard.shape[1]))
            return jnp.asarray(mixed).reshape(x.shape)

        return jax.tree.map(leaf, params)

    return mix


def write(start: Start, path: Path) -> None:
    """Write what PyTorch needs to begin where jaxgossip did, and what jaxgossip computes from there."""
    problem, key = start.problem, jax.random.key(0)  # no batch is drawn
    gradients = np.asarray(jax.jit(problem.gradient)(jnp.asarray(start.x), key))
    losses = np.asarray(jax.jit(problem.loss_at)(jnp.asarray(start.x), jnp.arange(problem.n_nodes, dtype=jnp.int32)))
    W = np.asarray(start.W.as_matrix())
    arrays: dict[str, np.ndarray] = {
        "x": start.network.x,
        "y": start.network.y,
        "links": np.stack(np.nonzero(W)),
        "weights": W[np.nonzero(W)].astype(np.float32),
        "learning_rate": np.float32(LEARNING_RATE),
        "losses": losses,
    }
    for kind, rows in (("start", start.x), ("gradient", gradients), ("after", start.after)):
        for name, leaf in jax.tree_util.tree_leaves_with_path(jax.vmap(problem.params)(rows)):
            arrays[f"{kind}.{jax.tree_util.keystr(name, simple=True, separator='.')}"] = np.asarray(leaf)
    np.savez(path, **arrays)


def run_torch(python: str, name: str, start: Start, rounds: int) -> float:
    """Return the seconds of the fastest round of PyTorch, in a process of its own.

    Args:
        python: an interpreter with PyTorch and NumPy.
        name: name of the case.
        start: where it begins.
        rounds: number of rounds that are timed.

    Raises:
        DifferentWorkError: its losses, gradients or models are others.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "start.npz"
        write(start, path)
        command = [python, str(Path(__file__).with_name("peers_torch.py")), name, str(path), str(rounds)]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - our script
    found = json.loads(printed)
    check("PyTorch", found["apart"])
    return float(found["seconds"])


def check(peer: str, apart: Mapping[str, float]) -> None:
    """Check that a peer does the same work.

    Raises:
        DifferentWorkError: it does not.
    """
    for what, difference in apart.items():
        if not difference <= APART:
            raise DifferentWorkError(f"{peer}: {what} {difference:.1e} from ours, which is more than {APART:.0e}")


def has_torch(python: str) -> bool:
    """Return whether an interpreter can import PyTorch and NumPy."""
    if python == sys.executable:
        return importlib.util.find_spec("torch") is not None
    try:
        found = subprocess.run([python, "-c", "import numpy, torch"], capture_output=True, check=False)  # noqa: S603
    except OSError:
        return False
    return found.returncode == 0


def compare(nodes: int, rounds: int, seed: int, python: str | None) -> str:
    """Return the table of the seconds a round of each case.

    Args:
        nodes: number of nodes.
        rounds: rounds that are timed; the fastest counts.
        seed: seed of graph, models and samples.
        python: an interpreter with PyTorch and NumPy; None leaves PyTorch out.

    Raises:
        DifferentWorkError: a peer does not compute what jaxgossip does.
    """
    rows = []
    for name, case in CASES.items():
        print(f"{name}: jaxgossip …", file=sys.stderr)
        start = run_jaxgossip(case(nodes, seed), seed, rounds)
        row = {"case": name, "parameters": f"{start.problem.n_params:,}", "batch": f"{start.network.x.shape[1]}"}
        row |= {"jaxgossip, s": f"{start.seconds:.3g}"}
        print(f"{name}: plain vmap(grad) …", file=sys.stderr)
        row |= versus("vmap(grad), s", run_plain(start, rounds), start.seconds)
        if python is not None:
            print(f"{name}: PyTorch …", file=sys.stderr)
            row |= versus("PyTorch, s", run_torch(python, name, start, rounds), start.seconds)
        rows.append(row)
    return table(rows)


def versus(heading: str, theirs: float, ours: float) -> dict[str, str]:
    """Return the cells of a peer's time, and of how many times ours it is."""
    return {heading: f"{theirs:.3g}", f"x ours ({heading.removesuffix(', s')})": f"{theirs / ours:.2f}"}
