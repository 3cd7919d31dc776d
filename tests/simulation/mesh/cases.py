"""What is run on meshes: every algorithm and every mixing of the registries, and every condition, on few small networks."""

import dataclasses
import functools
import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh

import jaxgossip as jg
from jaxgossip.algorithms import ALGORITHMS, Algorithm
from jaxgossip.simulation.mesh.program import MeshProgram
from jaxgossip.simulation.program import Program, Run
from tests.algorithms.cases import COMPRESSING, SERVERS

t, m, A, N, Q = jg.topology, jg.mixing, jg.algorithms, jg.network, jg.compression

NODES, COLUMNS, ROUNDS = 1003, 5, 3
ON_ONE_DEVICE = ("power_gossip", "relay_sgd", "lt_admm", "atg")
"""Algorithms that are refused on a mesh: their states are of links."""
SHARES = np.random.default_rng(0).dirichlet(np.full(10, 0.3), NODES)
"""The shares of ten classes on the nodes."""

Case = tuple[Callable[[], Algorithm], Mapping[str, Any]]


def quadratic(n: int = NODES, **options: Any) -> Any:
    """Return the problem that most cases are of: noisy gradients of quadratics."""
    return jg.learning.isotropic_quadratic(n_nodes=n, dimension=COLUMNS, noise=0.1, **options)


def ring(n: int = NODES) -> Any:
    return m.metropolis_hastings(t.ring(n))


def near(n: int = NODES) -> Any:
    """Return a small world whose rows hear near rows and a few far ones, and are in another order than its nodes."""
    order = (n // 3 - np.arange(n)) % n
    return dataclasses.replace(t.watts_strogatz(n, degree=6, beta=0.02, rng=0), order=t.Order(order.astype(np.int32)))


def dsgd(W: Any, problem: Any = None) -> Algorithm:
    return A.dsgd(problem or quadratic(W.n_nodes), optax.sgd(0.1), W)


OF_ALGORITHMS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "push_sum": ("push_sum", {}),
    "sgp": ("push_sum", {}),
    "push_diging": ("push_sum", {}),
    "epidemic": ("push", {}),
    "skiptrain": ("ring", {"mixing_rounds": 1, "budget": 1, "over": 4}),
    "clique_averaging": ("d_cliques", {}),
    "morph": ("ring", {"every": 1, "local_steps": 2}),
    "k_gt": ("ring", {"local_steps": 3, "outer_rate": 1.0}),
    "gt_sarah": ("ring", {"period": 2}),
    "gt_vr": ("ring", {"probability": 0.5}),
    "admm": ("ring", {"penalty": 0.5, "local_steps": 2}),
    "dinno": ("ring", {"penalty": 0.5, "local_steps": 2, "growth": 1.1}),
    **dict.fromkeys(("led", "outer_gossip", "noloco", "ditto", "multi_task", "fedrep"), ("ring", {"local_steps": 2})),
    "slowmo": ("ring", {"every": 2}),
    "streaming_diloco": ("ring", {"every": 3, "fragments": 2, "delay": 1, "blend": 0.2}),
    "sparta": ("ring", {"fraction": 0.4}),
    "dispfl": ("ring", {"density": 0.6, "local_steps": 2}),
    "muffliato": ("ring", {"gossip_steps": 3}),
    **dict.fromkeys(("isolated", "centralised", "halving_windows"), (None, {})),
    **dict.fromkeys(SERVERS, (None, {"local_steps": 2})),
    "scaffold": (None, {"local_steps": 2, "fraction": 0.5}),
    "hierarchical_averaging": (None, {"clusters": 7, "every": 2, "gossip_steps": 2, "fraction": 0.5}),
}
"""Mixing and options of the algorithms that do not take those of most: a ring, and none."""
MIXES: dict[str, Callable[[], Any]] = {
    "ring": ring,
    "push": lambda: m.push(t.complete(NODES), fanout=2),
    "push_sum": lambda: m.push_sum(t.static_exponential(NODES)),
    "d_cliques": lambda: m.d_cliques(t.ring(NODES), SHARES),
}


def of_algorithm(name: str) -> Algorithm:
    """Return an algorithm of the registry on a network of ``NODES``."""
    mix, options = OF_ALGORITHMS.get(name, ("ring", {}))
    arguments: list[Any] = [quadratic(), optax.sgd(0.1)]
    arguments += [] if mix is None else [MIXES[mix]()]
    arguments += [Q.top_k(fraction=0.4)] if name in COMPRESSING else []
    return ALGORITHMS[name](*arguments, **options)


def spread_algorithms() -> list[str]:
    """Return the algorithms that can be spread over devices."""
    return [name for name in ALGORITHMS if name not in ON_ONE_DEVICE]


OF_MIXINGS: dict[str, Callable[[], Any]] = {
    "static": lambda: m.metropolis_hastings(near()),
    "matching": lambda: m.matching(t.complete(NODES)),
    "pairwise": lambda: m.pairwise(t.ring(NODES)),
    "push": lambda: m.push(t.ring(NODES)),
    "pull": lambda: m.pull(t.complete(NODES), fanout=2),
    "push_sum": lambda: m.push_sum(t.ring(NODES), peers="random"),
    "fresh_regular": lambda: m.fresh_regular(t.ring(NODES), degree=3),
    "one_peer_exponential": lambda: m.one_peer_exponential(t.ring(NODES)),
    "one_peer_hypercube": lambda: m.one_peer_hypercube(t.ring(1024)),
    "base_k_plus_one": lambda: m.base_k_plus_one(t.ring(NODES)),
    "hyper_hypercube": lambda: m.hyper_hypercube(t.ring(1000), degree=9),
    "k_peer_exponential": lambda: m.k_peer_exponential(t.ring(NODES)),
    "de_bruijn": lambda: m.de_bruijn(t.ring(1024)),
    "equi_static": lambda: m.equi_static(t.ring(NODES)),
    "u_equi_static": lambda: m.u_equi_static(t.ring(NODES)),
    "od_equi_dyn": lambda: m.od_equi_dyn(t.ring(NODES)),
    "ou_equi_dyn": lambda: m.ou_equi_dyn(t.ring(NODES)),
    "d_cliques": lambda: m.d_cliques(t.ring(NODES), SHARES),
    "stl_fw": lambda: m.stl_fw(t.ring(64), SHARES[:64], degree=4),
    "contacts": lambda: m.contacts(t.ring(NODES), _met(), 3, period_s=5.0),
    "divshare": lambda: m.divshare(t.ring(NODES), fragments=2),
    "mosaic": lambda: m.mosaic(t.ring(NODES), fragments=2, degree=2),
    "shatter": lambda: m.shatter(t.ring(NODES), fragments=3, degree=2),
}
"""One of every mixing of the registry; ``from_file`` makes a static one of what it reads."""
MORE_MIXINGS: dict[str, Callable[[], Any]] = {
    "random regular": lambda: m.metropolis_hastings(t.random_regular(1000, 8)),
    "complete": lambda: m.metropolis_hastings(t.complete(NODES)),
    "star": lambda: m.metropolis_hastings(t.star(NODES)),
    "scale-free": lambda: m.metropolis_hastings(t.barabasi_albert(NODES, 3)),
    "torus": lambda: m.metropolis_hastings(t.torus(1000, shape=(20, 50))),
    "handshakes": lambda: m.matching(near()),
    "push-sum on fixed links": lambda: m.push_sum(near()),
    "fragments of fixed links": lambda: m.fragmented([m.metropolis_hastings(near()), m.matching(near())]),
}


def _met() -> Any:
    return jg.schedule.contacts.random_direction(NODES, 0, side_m=200.0, range_m=6.0)


def of_mixing(W: Any) -> Algorithm:
    """Return an algorithm that takes this mixing."""
    problem = quadratic(W.n_nodes, order=_order(W))
    return A.sgp(problem, optax.sgd(0.1), W) if W.conserves == "mass" else dsgd(W, problem)


def _order(W: Any) -> Any:
    return near().order if W.numbering else None


FAULTS = N.Conditions(drop=0.1, online=0.9, straggle=0.1, link_drop=0.05)
SPEEDS = N.speeds.lognormal(NODES, rng=0)


def regular() -> Algorithm:
    return dsgd(m.metropolis_hastings(t.random_regular(NODES - 1, 4)))


def among_liars(**conditions: Any) -> Case:
    liars = N.adversaries.alie(n_nodes=NODES - 1)
    return regular, {"conditions": N.Conditions(adversary=liars, **conditions)}


def private() -> Algorithm:
    """Return an algorithm by DP-SGD on samples, on a graph whose rows are not in the order of the nodes."""
    data, graph = jg.learning.datasets.synthetic(samples=4000, features=COLUMNS, classes=2, rng=0), near()
    problem = jg.learning.classification(
        data, "dirichlet", jg.learning.models.logistic((COLUMNS,), 2), nodes=NODES, batch_size=2, order=graph.order,
        privacy=jg.learning.DifferentialPrivacy(1.0, 1.0),
    )  # fmt: skip
    return dsgd(m.metropolis_hastings(graph), problem)


def samples() -> Algorithm:
    """Return D-SGD on samples of which nodes have unequal numbers, on a graph whose rows are not in the order of the nodes."""
    data, graph = jg.learning.datasets.synthetic(samples=4000, features=COLUMNS, classes=2, rng=0), near()
    problem = jg.learning.classification(
        data, "dirichlet", jg.learning.models.logistic((COLUMNS,), 2), nodes=NODES, batch_size=4, order=graph.order
    )
    return dsgd(m.metropolis_hastings(graph), problem)


CONDITIONS: dict[str, Case] = {
    "noise of DP-SGD": (private, {}),
    "losses on a near graph": (lambda: of_mixing(m.metropolis_hastings(near())), {"conditions": FAULTS}),
    "bursts of losses": (
        lambda: of_mixing(m.metropolis_hastings(near())), {"conditions": N.Conditions(link_drop=0.2, link_burst=5.0)}
    ),
    "losses of pairs": (lambda: dsgd(m.matching(t.complete(NODES))), {"conditions": FAULTS}),
    "losses of pushes": (lambda: dsgd(m.push(t.complete(NODES))), {"conditions": FAULTS}),
    "losses of fragments": (
        lambda: dsgd(m.divshare(t.complete(NODES), fragments=2)), {"conditions": FAULTS, "speeds": SPEEDS}
    ),
    "losses of mass": (lambda: of_mixing(m.push_sum(t.ring(NODES))), {"conditions": FAULTS}),
    "sessions and a split": (
        lambda: dsgd(ring()), {"conditions": N.Conditions(online=0.8, session=3, split=2, split_at=1, heal_at=3)}
    ),
    "noise": (lambda: dsgd(ring()), {"conditions": N.Conditions(noise=0.1)}),
    "clocks": (regular, {"conditions": FAULTS, "speeds": N.speeds.lognormal(NODES - 1, rng=0)}),
    "losses, liars and clocks of chosen senders": (
        lambda: A.morph(quadratic(order=near().order), optax.sgd(0.1), m.metropolis_hastings(near()), every=1),
        {"conditions": dataclasses.replace(FAULTS, adversary=N.adversaries.bit_flip(n_nodes=NODES)), "speeds": SPEEDS},
    ),
    "batteries": (
        regular, {"conditions": FAULTS, "energy": N.energy.devices(NODES - 1, battery_share=3e-6, received_j_byte=1e-4)}
    ),
    "clocks of a server": (lambda: of_algorithm("federated_averaging"), {"speeds": SPEEDS}),
    "losses and clocks of clusters": (lambda: of_algorithm("hierarchical_averaging"), {"conditions": FAULTS, "speeds": SPEEDS}),
    "liars": among_liars(),
    **{
        f"liars by {name}": (regular, {"conditions": N.Conditions(adversary=N.ADVERSARIES[name](n_nodes=NODES - 1))})
        for name in ("min_max", "min_sum", "model_replacement")
    },
    "liars and bulyan": (
        lambda: dsgd(m.metropolis_hastings(t.random_regular(NODES, 6))),
        {"conditions": N.Conditions(drop=0.1, adversary=N.adversaries.ipm(n_nodes=NODES), aggregation=N.aggregation.bulyan())},
    ),
    "liars and ubar": (
        samples, {"conditions": N.Conditions(drop=0.1, adversary=N.adversaries.ipm(n_nodes=NODES), aggregation=N.aggregation.ubar())}
    ),
    **{f"liars and {name}": among_liars(aggregation=N.AGGREGATIONS[name]()) for name in ("clipped", "median", "balance")},
}  # fmt: skip


def every_case() -> dict[str, Case]:
    """Return every algorithm, mixing and condition, by name."""
    return {
        **{f"algorithm {name}": (functools.partial(of_algorithm, name), {}) for name in spread_algorithms()},
        **{
            f"mixing {name}": (lambda make=make: of_mixing(make()), {})
            for name, make in {**OF_MIXINGS, **MORE_MIXINGS}.items()
        },
        **{f"condition {name}": case for name, case in CONDITIONS.items()},
    }


class OnlyRounds(MeshProgram):
    """A program on a mesh that only advances, from a state that it is given: the others take as long to compile."""

    def _compiled(self, *arguments: Any, donate: bool = False, **options: Any) -> Any:
        return super()._compiled(*arguments, donate=True, **options) if donate else None


def begun(algorithm: Algorithm, **conditions: Any) -> Any:
    """Return the state before the first round, of NumPy arrays."""
    return jax.device_get(jax.jit(Run(algorithm, **conditions).initialization.state)())


def alone(algorithm: Algorithm, first: Any, **conditions: Any) -> Any:
    """Return the state after ``ROUNDS`` without a mesh, of NumPy arrays, from the ``first`` state."""
    return jax.device_get(jax.jit(Run(algorithm, **conditions).rounds)(first, ROUNDS))


def spread(algorithm: Algorithm, mesh: Mesh, first: Any, **conditions: Any) -> Any:
    """Return the state after ``ROUNDS`` on a mesh, from the ``first`` state."""
    program = OnlyRounds(algorithm, mesh, **conditions)
    assert_planned(program)
    return program.kept(program.advance(program.spread(first), ROUNDS)).gathered()


COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter", "collective-broadcast")
COLLECTIVE = re.compile(rf"= (.*?) (ragged-)?({'|'.join(COLLECTIVES)})(-start)?\(")
SHAPE = re.compile(r"(pred|[suf]\d+)\[([\d,]*)\]")


def collectives(program: str) -> Iterator[tuple[str, int]]:
    """Yield (name, bytes of the result) of every collective operation of a compiled program."""
    for line in program.split("\n"):
        if (found := COLLECTIVE.search(line)) is None:
            continue
        assert found[2] is None, "ragged all-to-all is not to be used"
        sizes = [
            math.prod(map(int, filter(None, shape.split(",")))) * (1 if kind == "pred" else int(kind[1:]) // 8)
            for kind, shape in SHAPE.findall(found[1])
        ]
        yield found[3], sum(sizes)


def assert_planned(program: MeshProgram) -> None:
    """Check that every collective is of a planned kind, and no larger than planned; several of one kind may be joined."""
    planned: dict[str, list[int]] = {}
    for exchange in program.moved:
        planned.setdefault(exchange.collective, []).append(exchange.buffer)
    for name, size in collectives(program.rounds.as_text()):
        assert name in planned, f"{name} of {size} bytes is not planned"
        assert size <= sum(planned[name]), f"{name} of {size} bytes, where {planned[name]} are planned"


def measured(algorithm: Algorithm, mesh: Mesh | None, **conditions: Any) -> tuple[Any, Any]:
    """Return (state, record) after ``ROUNDS`` by all programs of a run."""
    program = Program(algorithm, **conditions) if mesh is None else MeshProgram(algorithm, mesh, **conditions)
    run = program.advance(program.start(), ROUNDS)
    state = program.kept(run)
    record = jax.device_get(program.measure(run))
    return jax.device_get(state if mesh is None else state.gathered()), record


def fingerprint(outcome: Any) -> str:
    """Return a digest of all bits of an outcome."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree.flatten_with_path(outcome)[0]:
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
