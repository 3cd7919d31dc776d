"""Compare iterates with decent-bench's, method by method: on one graph, with the same start, quadratics and step size.

Usage: python scripts/compare_decent_bench.py [--nodes N] [--rounds R] [--seed S]

decent-bench (https://github.com/team-decent/decent-bench, on PyPI as ``decent-bench``, for Python 3.13 or newer) has one Python
object a node. Each of its methods runs for 50 rounds in float64, and so does ours, from models that differ from node to node.
Where it has another convention, the table tells which, and ours starts so that all iterates must be equal all the same. A
difference above 1e-10 ends the program with exit code 1.

Nothing is lost here: of lost messages it drops the weight, which jaxgossip gives to the receiver.
"""

import argparse
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgossip import algorithms, mixing, topology
from jaxgossip.algorithms import Algorithm
from jaxgossip.cli.terminal.tables import table, terminal_width
from jaxgossip.core.random import run_key
from jaxgossip.learning import least_squares
from jaxgossip.learning.quadratics import LeastSquares
from jaxgossip.network import Round

NODES, DIMENSION, ROUNDS = 10, 4, 50
EQUAL = 1e-10
"""Largest difference of iterates that are taken as equal; they are of order one."""
STEP = 0.1
PENALTY = 0.3
"""ρ of a link, as decent-bench has it; ours is times the weight of a link."""
NOTE_WIDTH = 120
MISSING = "decent-bench: not installed; get it with: pip install decent-bench (Python 3.13 or newer)"


@dataclass(frozen=True)
class Task:
    """What both run on.

    Attributes:
        graph: connected, with nodes of different degrees.
        problem: f_i(x) = ½ xᵀ H_i x + h_iᵀ x, full gradients, a start of its own for each node.
    """

    graph: topology.Graph
    problem: LeastSquares

    @property
    def link(self) -> float:
        """The weight of every link in I − L/(d_max + 1)."""
        return 1 / (int(self.graph.degrees.max()) + 1)

    @property
    def quadratics(self) -> tuple[np.ndarray, np.ndarray]:
        """(n, d, d) H_i and (n, d) h_i."""
        a, y = np.asarray(self.problem.a), np.asarray(self.problem.y)
        return np.einsum("nmd,nme->nde", a, a) / y.shape[1], -np.einsum("nmd,nm->nd", a, y) / y.shape[1]

    @property
    def start(self) -> np.ndarray:
        """(n, d) x₀."""
        return np.asarray(self.problem.init(run_key(0)))


Start = Callable[[Task, Any, np.ndarray], Any]
"""(task, our initial state, their iterates) -> the state from which ours must be equal."""


def as_it_is(_task: Task, state: Any, _theirs: np.ndarray) -> Any:
    """Return the initial state."""
    return state


def from_the_first(_task: Task, state: Any, theirs: np.ndarray) -> Any:
    """Return the start from their iterate after a round."""
    return state._replace(x=jnp.asarray(theirs[1]))


def after_a_tracking_round(task: Task, state: Any, theirs: np.ndarray) -> Any:
    """Return the state after their first round, whose tracker is ∇f(x₀)."""
    hessian, slope = task.quadratics
    gradient = jnp.asarray(np.einsum("nde,ne->nd", hessian, task.start) + slope)
    return state._replace(x=jnp.asarray(theirs[1]), y=gradient, g=gradient)


def without_the_first_duals(task: Task, state: Any, _theirs: np.ndarray) -> Any:
    """Return the start with the duals −ρ L x₀, to which ours adds ρ L x₀ before the first step."""
    x, sums = task.start, task.graph.to_scipy() @ task.start
    return state._replace(dual=jnp.asarray(-PENALTY * (np.asarray(task.graph.degrees)[:, None] * x - sums)))


def from_models_on_links(_task: Task, state: Any, _theirs: np.ndarray) -> Any:
    """Return the start with z_ij = x_i."""
    return state._replace(z=state.z / PENALTY)


def from_zeros_on_links(_task: Task, state: Any, _theirs: np.ndarray) -> Any:
    """Return the start with all variables of links 0."""
    return state._replace(v=jnp.zeros_like(state.v))


@dataclass(frozen=True)
class Comparison:
    """One of decent-bench's methods, and ours.

    Attributes:
        options: theirs, beside the start.
        ours: the name of our method.
        ours_options: its options.
        convention: in which respect theirs differs; empty if iterates are equal as they are.
        start: the state from which ours is equal.
        later: number of their rounds before it.
        equal_links: whether W is I − L/(d_max + 1), for methods that have a graph there, but no Metropolis weights.
        copied: whether messages are copied before a node of theirs adds them up.
        step: our step size.
    """

    options: dict[str, Any]
    ours: str
    ours_options: dict[str, Any] = field(default_factory=dict)
    convention: str = ""
    start: Start = as_it_is
    later: int = 0
    equal_links: bool = False
    copied: bool = False
    step: float = STEP

    def algorithm(self, task: Task) -> Algorithm:
        """Return ours."""
        W = (mixing.max_degree if self.equal_links else mixing.metropolis_hastings)(task.graph)
        options = {name: value(task) if callable(value) else value for name, value in self.ours_options.items()}
        return algorithms.ALGORITHMS[self.ours](task.problem, optax.sgd(self.step), W, **options)


SHARED = "it adds messages up in an array that other receivers of it read (0.3.0): here it has copies"
STEPS = {"step_size": STEP}
LOCAL = {"num_local_steps": 4, "step_size": STEP / 2}
COMPARISONS: dict[str, Comparison] = {
    "DGD": Comparison(STEPS, "dsgd", {"form": "dgd"}),
    "ATC": Comparison(STEPS, "dsgd", {"form": "atc"}),
    "EXTRA": Comparison(STEPS, "extra"),
    "ED": Comparison(STEPS, "exact_diffusion"),
    "NIDS": Comparison(
        STEPS,
        "exact_diffusion",
        convention="its first round is a gradient step without mixing: ours from its x₁, a round later",
        start=from_the_first,
        later=1,
    ),
    "ATC_Tracking": Comparison(STEPS, "gradient_tracking", {"form": "semi_atc"}),
    "AugDGM": Comparison(
        STEPS,
        "gradient_tracking",
        {"form": "atc"},
        convention="its first tracker is ∇f(x₀), ours W ∇f(x₀): ours from its x₁ and y₁, a round later",
        start=after_a_tracking_round,
        later=1,
    ),
    "LED": Comparison(
        LOCAL | {"aux_step_size": 0.2},
        "led",
        {"local_steps": 4, "correction": 0.8},
        "its β is correction/H",
        step=STEP / 2,
    ),
    "ProxSkip": Comparison(
        STEPS | {"aux_step_size": 0.5, "comm_probability": 1.0, "chi": 2.0},
        "proxskip",
        {"probability": 1.0, "correction": 0.5, "relaxation": 2.0},
    ),
    "DLM": Comparison(
        STEPS | {"penalty": PENALTY},
        "dlm",
        {"penalty": lambda task: PENALTY / task.link},
        convention="penalty of a link, not times its weight; its first round only talks, and its duals are 0 in the first "
        f"step, ours ρ L x₀: ours from duals −ρ L x₀, a round later; {SHARED}",
        start=without_the_first_duals,
        later=1,
        equal_links=True,
        copied=True,
    ),
    "KGT": Comparison(LOCAL | {"aux_step_size": 0.7}, "k_gt", {"local_steps": 4, "outer_rate": 0.7}, step=STEP / 2),
    "ADMM": Comparison(
        {"penalty": PENALTY, "relaxation": 0.5},
        "admm",
        {"penalty": lambda task: PENALTY / 2 / task.link, "local_steps": 400},
        convention="ADMM over links, whose form over nodes, at relaxation ½, is ours with half the penalty; z₀ = 0 stands for "
        "all at 0 in the first step: ours from its x₁, a round later; 400 local steps in the place of the minimum",
        start=from_the_first,
        later=1,
        equal_links=True,
    ),
    "LT_ADMM": Comparison(
        LOCAL | {"aux_step_size": 0.1, "penalty": PENALTY},
        "lt_admm",
        {"local_steps": 4, "correction": 0.1, "penalty": PENALTY},
        convention="its variables of links start at x₀, ours at ρ x₀: ours from x₀",
        start=from_models_on_links,
        step=STEP / 2,
    ),
    "ATG": Comparison(
        {"penalty": PENALTY, "gamma": 0.5, "delta": STEP},
        "atg",
        {"penalty": PENALTY, "averaging": 0.5},
        convention="its variables of links start at 0, ours of models at ρ x₀: ours from 0",
        start=from_zeros_on_links,
    ),
    "WangElia": Comparison(STEPS, "wang_elia"),
    "DiNNO": Comparison(
        LOCAL | {"penalty": PENALTY},
        "dinno",
        {"penalty": lambda task: PENALTY / task.link, "local_steps": 4},
        convention=f"penalty of a link, not times its weight; {SHARED}",
        equal_links=True,
        copied=True,
        step=STEP / 2,
    ),
}


class MissingPeerError(Exception):
    """decent-bench, or what it needs, is not installed."""


def task_of(nodes: int, seed: int) -> Task:
    """Return the graph and the problem; in 64-bit mode."""
    problem = least_squares(
        nodes, dimension=DIMENSION, samples=20, heterogeneity=1.0, init="independent", rng=seed, dtype=jnp.float64
    )
    return Task(topology.barabasi_albert(nodes, 2, rng=seed), problem)


def run_ours(algorithm: Algorithm, state: Any, rounds: int) -> np.ndarray:
    """Return (rounds + 1, n, d), the models from this state on."""
    n = algorithm.problem.n_nodes

    def advanced(state: Any, number: jax.Array) -> tuple[Any, jax.Array]:
        new, _ = algorithm.step(state, Round(number, run_key(1), n))
        return new, new.x

    xs = jax.jit(lambda state: jax.lax.scan(advanced, state, jnp.arange(rounds, dtype=jnp.int32))[1])(state)
    return np.concatenate([np.asarray(state.x)[None], np.asarray(xs)])


def run_theirs(name: str, options: dict[str, Any], task: Task, rounds: int, *, copied: bool = False) -> np.ndarray:
    """Return (rounds + 1, n, d), the models of decent-bench's method of this name.

    Args:
        name: its class.
        options: its options, beside the start.
        task: graph and problem.
        rounds: its iterations.
        copied: whether nodes get copies of messages, which they may overwrite.

    Raises:
        MissingPeerError: decent-bench, or what it needs, is not installed.
    """
    try:
        import networkx as nx  # noqa: PLC0415 - optional, like all that follows
        from decent_array import interoperability as iop  # noqa: PLC0415
        from decent_bench.agents import Agent  # noqa: PLC0415
        from decent_bench.algorithms import p2p  # noqa: PLC0415
        from decent_bench.costs import QuadraticCost  # noqa: PLC0415
        from decent_bench.networks import P2PNetwork  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingPeerError from error

    class Careful(Agent):
        """An agent that reads copies of its messages."""

        def messages(self, channel: str = "default") -> dict[Agent, Any]:
            return {sender: iop.copy(message) for sender, message in super().messages(channel).items()}

    iop.set_backend("numpy")
    costs = [QuadraticCost(iop.from_numpy(H), iop.from_numpy(h)) for H, h in zip(*task.quadratics, strict=True)]
    agents = [(Careful if copied else Agent)(cost) for cost in costs]
    # Nodes first, in their order: that of edges would be another.
    graph = nx.Graph()
    graph.add_nodes_from(range(len(agents)))
    graph.add_edges_from(zip(*task.graph.to_scipy().nonzero(), strict=True))
    network = P2PNetwork(graph, agents)
    start = {agent: iop.from_numpy(row.copy()) for agent, row in zip(agents, task.start, strict=True)}
    models = [task.start]

    def record(_: int) -> None:
        models.append(np.stack([iop.to_numpy(agent.x) for agent in agents]))

    getattr(p2p, name)(x0=start, **options).run(network, rounds, progress_callback=record)
    return np.stack(models)


def differences(name: str, comparison: Comparison, task: Task, rounds: int) -> tuple[float, float]:
    """Return the greatest difference of iterates as they are, and by their convention."""
    algorithm = comparison.algorithm(task)
    state = algorithm.init(run_key(0))
    theirs = run_theirs(name, comparison.options, task, rounds)
    plain = np.abs(run_ours(algorithm, state, rounds) - theirs).max()
    if comparison.copied:
        theirs = run_theirs(name, comparison.options, task, rounds, copied=True)
    ours = run_ours(algorithm, comparison.start(task, state, theirs), rounds - comparison.later)
    return float(plain), float(np.abs(ours - theirs[comparison.later :]).max())


def words(options: dict[str, Any], task: Task) -> str:
    """Return options in words."""
    values = {name: value(task) if callable(value) else value for name, value in options.items()}
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )


def compare(task: Task, rounds: int) -> tuple[str, list[str]]:
    """Return the table, with its notes, and the methods whose iterates differ.

    Raises:
        MissingPeerError: decent-bench is not installed.
    """
    rows, notes, unequal = [], [], []
    for name, comparison in COMPARISONS.items():
        print(f"{name} …", file=sys.stderr)
        plain, adjusted = differences(name, comparison, task, rounds)
        # Not a number is not equal.
        unequal += [] if adjusted <= EQUAL else [name]
        ours = " ".join(filter(None, [comparison.ours, words(comparison.ours_options, task)]))
        weights = "I − L/(d_max + 1)" if comparison.equal_links else "Metropolis"
        row = {"decent-bench": name, "jaxgossip": ours, "W": weights, "as they are": f"{plain:.1e}"}
        rows.append(row | {"by its convention": f"{adjusted:.1e}"})
        if comparison.convention:
            width = min(terminal_width(), NOTE_WIDTH)
            notes += textwrap.wrap(f"{name}: {comparison.convention}.", width, subsequent_indent="  ")
    return "\n".join([table(rows), "", *notes]), unequal


def main(arguments: list[str]) -> int:
    """Compare all methods; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--nodes", type=int, default=NODES, help=f"number of nodes (default {NODES})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds of each method (default {ROUNDS})")
    parser.add_argument("--seed", type=int, default=0, help="seed of graph, quadratics and start")
    options = parser.parse_args(arguments)
    if options.nodes < 4 or options.rounds < 2 or options.seed < 0:
        parser.error("at least 4 nodes, 2 rounds and a seed from 0 on")
    try:
        release = version("decent-bench")
        with jax.enable_x64(True):
            text, unequal = compare(task_of(options.nodes, options.seed), options.rounds)
    except (MissingPeerError, PackageNotFoundError):
        print(f"error: {MISSING}", file=sys.stderr)
        return 1
    over = f"over {options.rounds} rounds of {options.nodes} nodes, float64"
    print(f"greatest difference of models from those of decent-bench {release}, {over}\n\n{text}")
    if unequal:
        print(f"error: iterates differ by more than {EQUAL:g}: {', '.join(unequal)}", file=sys.stderr)
    return 1 if unequal else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
