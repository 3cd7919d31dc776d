"""Gossip learning among unequal degrees: who learns how often, and whose e-mail the models know.

A Barabási–Albert graph, ten links a newcomer, 4,140 nodes of one e-mail each, models that merge and then learn (MU). Each
node pushes to a random neighbour once a cycle, so that models reach node i at a rate which grows with its degree:

    at once         r_i = Σ_{j∈N(i)} 1/d_j                  every model is learnt from
    pass through    q_i = Σ_{j∈N(i)} min(1/d_j, 1/d_i)      with probability min(1, d_j/d_i), else it is handed on: q_i ≤ 1
    cached          ≤ 1                                     one of those that wait, at the node's own tick

all times f, the ticks of a node in a cycle. That is how often nodes learn; it is not how much models know of them. Of the
many models that a hub hears between two pushes of its own the last two alone live on. What is behind a model is found by
walking backwards: from i to one of its senders j with probability P_ij = (1/d_j)/r_i; and, as a merged model has a half of
the one that came before, whoever that was, with a_ij = min(1, d_j/d_i) (at once 1) and A_i = Σ_j P_ij a_ij = q_i/r_i,

    Q_ij = P_ij (1 − a_ij/2) + P_ij A_i/2,    φ = φQ,    u_i ∝ φ_i A_i

is the share of node i in the updates behind a model. At once, Q = P and u_i ∝ r_i/d_i, the mean of 1/d_j over neighbours,
which hardly depends on one's own degree: shares are nearly flat. They are counted here by models that carry, in the place of
weights, how many of their updates were made at nodes of each degree.

Not seen as published: pushes at once are not biased towards hubs, however the data is placed, and passing through brings a
bias, against them. The argument for it is that of a walk which visits nodes by their degrees; that holds where no model
replaces another. Here, as in gossipy, what is passed through waits for the node's own tick, and most of it is replaced before.
Caching, where hubs forget fewer models, has a bias towards hubs.
"""

from types import MappingProxyType
from typing import Literal, NamedTuple, override

import jax.numpy as jnp
import numpy as np
import optax
import scipy.sparse as sp
from matplotlib.figure import Figure

from jaxgossip import learning, topology
from jaxgossip.algorithms.gossip_learning import WalkState, gossip_learning
from jaxgossip.core.typing import NodeScores, Rows
from jaxgossip.learning import Dataset, Problem
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.schedule import Fate, Kind, Messages, clocks, schedule
from jaxgossip.schedule.files.messages import Recorded
from jaxgossip.simulation import simulate_events
from jaxgossip.theory import drawing
from jaxgossip.theory.measuring import Visits
from jaxgossip.theory.networks import Watched
from jaxgossip.theory.plot import Claim, Plot
from jaxgossip.topology import Graph

Receive = Literal["at_once", "pass_through", "cached"]
NAMES: "MappingProxyType[Receive, str]" = MappingProxyType(
    {"at_once": "at once", "pass_through": "pass through", "cached": "cached"}
)
LINKS, LAMBDA, SPREAD = 10, 1e-4, 0.1
TICKS = 1 + SPREAD**2 + 3 * SPREAD**4
"""f, to the fourth order of the spread of the clocks' periods."""
EDGES = np.array([10, 11, 13, 17, 25, 45, 90, 10**6])
"""Degrees at which classes of nodes begin; the last one ends them."""
HUBS = EDGES[-2]
PLACES = ("spam on hubs", "spam on leaves")


class Predicted(NamedTuple):
    """What theory says; all arrays are (c,), by class of degrees.

    Attributes:
        degree: mean degree.
        often: by way to receive, updates made at a node in a cycle.
        share: by way to receive, the nodes' part of the updates behind a model, in multiples of their part of all nodes.
    """

    degree: np.ndarray
    often: dict[Receive, np.ndarray]
    share: dict[Receive, np.ndarray]


class Measured(NamedTuple):
    """What the emulator gave; also of cached models.

    Attributes:
        often: as predicted.
        share: as predicted.
        missed: by way to receive and place, spam that is taken for none, a mean over nodes.
    """

    often: dict[Receive, np.ndarray]
    share: dict[Receive, np.ndarray]
    missed: dict[tuple[Receive, str], float]


def network() -> Graph:
    """Return the graph."""
    return topology.barabasi_albert(len(data().y_train), LINKS, rng=0)


def data() -> Dataset:
    """Return Spambase."""
    return learning.datasets.spambase(rng=0)


def classes(graph: Graph) -> np.ndarray:
    """Return (n,) the class of each node."""
    return np.searchsorted(EDGES, graph.degrees, side="right") - 1


def by_class(graph: Graph, values: np.ndarray) -> np.ndarray:
    """Return (c,) means of (n,) values."""
    which = classes(graph)
    return np.bincount(which, values) / np.bincount(which)


def predict(_: bool) -> Predicted:
    """Add up rates over neighbours, and walk backwards."""
    graph = network()
    d = np.asarray(graph.degrees, np.float64)
    node, peer = np.repeat(np.arange(d.size), graph.degrees), graph.indices
    r = np.bincount(node, 1 / d[peer])
    often: dict[Receive, np.ndarray] = {}
    share: dict[Receive, np.ndarray] = {}
    merges: dict[Receive, np.ndarray] = {
        "at_once": np.ones(node.size),
        "pass_through": np.minimum(1, d[peer] / d[node]),
    }
    for receive, a in merges.items():
        P = 1 / d[peer] / r[node]
        A = np.bincount(node, P * a)
        often[receive] = by_class(graph, TICKS * r * A)
        Q = sp.csr_array((P * (1 - a / 2) + P * A[node] / 2, (node, peer)), shape=(d.size, d.size)).T.tocsr()
        phi = r / d
        for __ in range(100):  # a random graph of mean degree 20 forgets in ten
            phi = Q @ phi
        share[receive] = by_class(graph, phi * A / np.mean(phi * A))
    return Predicted(by_class(graph, d), often, share)


def measure(quick: bool) -> Measured:
    """Draw messages once a way to receive; count updates in them, and let models walk by them that count or learn."""
    cycles, graph = 60 if quick else 160, network()
    often, share, missed = {}, {}, {}
    for receive in NAMES:
        source = recorded(graph, receive, cycles)
        often[receive] = by_class(graph, updates(source, cycles))
        share[receive] = shares(graph, source, cycles)
        for place in PLACES:
            missed[receive, place] = learnt(graph, source, place, cycles)
    return Measured(often, share, missed)


def recorded(graph: Graph, receive: Receive, cycles: int) -> Recorded:
    """Return the messages of some cycles."""
    clock = clocks.normal(graph.n_nodes, np.random.default_rng(0), spread=SPREAD)
    drawn = schedule(graph, clock=clock, receive=receive, seed=0).cycles()
    return Recorded(graph.n_nodes, 1.0, Messages.together([next(drawn) for _ in range(cycles)]))


def updates(source: Recorded, cycles: int) -> np.ndarray:
    """Return (n,) how many models each node learns from in a cycle of the later half."""
    sent = source.messages
    counts = (sent.fate == Fate.DELIVERED) & (sent.kind == Kind.MODEL)
    later = (sent.arrives_s >= cycles / 2) & (sent.arrives_s < cycles)
    return np.bincount(sent.receiver[counts & later], minlength=source.n_nodes) / (cycles / 2)


def shares(graph: Graph, source: Recorded, cycles: int) -> np.ndarray:
    """Return (c,) each class's part of the updates behind the models, gained in the later half, by its part of the nodes."""
    which = classes(graph)
    problem: Problem = Visits(which)
    made = gossip_learning(problem, optax.sgd(1.0))
    metrics = simulate_events(
        made, source, cycles, evaluate_every=1, sampled_nodes=graph.n_nodes
    ).metrics  # fmt: skip
    gained = np.array([np.ptp(metrics[f"class_{c}_mean"][cycles // 2 :]) for c in range(problem.n_params)])
    return gained / gained.sum() / (np.bincount(which) / which.size)


class Missing(Watched):
    """Gossip learning of which is told how much of some spam is missed.

    Attributes:
        spam: (m, p) e-mails, with a column of ones.
    """

    spam: Rows

    @override
    def scores(self, problem: Problem, state: WalkState) -> NodeScores:
        return {"missed": (state.model.x @ self.spam.T < 0).mean(1)}


def learnt(graph: Graph, source: Recorded, place: str, cycles: int) -> float:
    """Return how much spam is missed, in the mean over nodes and the later half."""
    dataset = data()
    model = learning.models.pegasos((57,), 2, regularization=LAMBDA)
    problem = learning.classification(dataset, placed(graph, dataset, place), model)
    spam = jnp.asarray(
        np.c_[dataset.x_test, np.ones(len(dataset.x_test))][np.asarray(dataset.y_test) == 1], jnp.float32
    )
    made = gossip_learning(problem, learning.OPTIMIZERS["pegasos"](regularization=LAMBDA))
    made = Missing(made.method, spam).of(made)
    metrics = simulate_events(made, source, cycles, evaluate_every=1, sampled_nodes=400).metrics
    later = metrics["round"] >= cycles / 2
    return float(metrics["missed_mean"][later].mean())


def placed(graph: Graph, dataset: Dataset, place: str) -> Partition:
    """Return who holds which e-mail: all spam by the nodes of the highest degrees, or by those of the lowest."""
    n, luck = graph.n_nodes, np.random.default_rng(0).random((2, graph.n_nodes))
    nodes = np.argsort(graph.degrees + luck[0])
    spam_last = np.argsort(np.asarray(dataset.y_train) + luck[1])
    held = np.empty(n, np.int32)
    held[nodes if place == "spam on hubs" else nodes[::-1]] = spam_last
    return Partition(held, np.arange(n + 1), np.ones(n, np.int32))


def draw(predicted: Predicted, measured: Measured) -> Figure:
    """Updates at a node, its part in the models, and what placing spam on hubs or leaves does."""
    figure, (left, middle, right) = drawing.page(3, width=4.2, height=3.9)
    for axes, theirs, ours in ((left, predicted.often, measured.often), (middle, predicted.share, measured.share)):
        for number, (receive, name) in enumerate(NAMES.items()):
            drawing.points(axes, predicted.degree, ours[receive], number, name)
            if receive in theirs:
                begins = "updates at nodes of any degree" if axes is left else "share in the models"
                drawing.theory(axes, predicted.degree, theirs[receive], claimed=f"{begins}, {name}")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("degree")
        drawing.ticks(axes, (10, 20, 50, 100, 200))
    drawing.ticks(left, (0.5, 1, 2, 5, 10), which="y")
    drawing.ticks(middle, (0.2, 0.5, 1, 2), which="y")
    middle.set_ylim(0.1, 3)
    left.set_ylabel("updates made at a node, a cycle")
    middle.set_ylabel("updates behind a model: share / fair share")
    drawing.legend(left, loc="upper left")
    for number, place in enumerate(PLACES):
        for seat, receive in enumerate(NAMES):
            label = place if not seat else None
            drawing.bar(right, seat + 0.38 * (number - 0.5), measured.missed[receive, place], 0.36, number + 3, label)
    right.set_xticks(range(len(NAMES)), list(NAMES.values()))
    right.set_ylim(0, 0.3)
    right.set_ylabel("spam that is missed, mean of nodes")
    right.legend(loc="upper left", frameon=False)
    return figure


def claims(predicted: Predicted, measured: Measured) -> list[Claim]:
    """Return: how often nodes learn, whose updates are behind the models, and what bias follows."""
    found = []
    for receive, often in predicted.often.items():
        # Counts of thousands of updates a class: a deviation below one per cent, but of the clocks of few hubs' neighbours.
        apart = float(np.abs(measured.often[receive] / often - 1).max())
        found.append(Claim(f"updates at nodes of any degree, {NAMES[receive]}: error", apart, 0.0, 0.03, "at most"))
    hubs = {receive: often[-1] / often[0] for receive, often in measured.often.items()}
    found += [
        Claim("updates at hubs against leaves, at once", hubs["at_once"], 10.0, 0.0, "at least"),
        Claim(
            "updates at hubs, pass through: at most one a tick",
            measured.often["pass_through"][-1],
            TICKS,
            0.02,
            "at most",
        ),
        Claim("updates at hubs, cached: at most one a tick", measured.often["cached"][-1], TICKS, 0.02, "at most"),
    ]
    for receive, share in predicted.share.items():
        # Hubs are 72 nodes: a few dozen of their updates are behind a model.
        apart = float(np.abs(measured.share[receive] - share).max())
        found.append(Claim(f"share in the models, {NAMES[receive]}: error at any degree", apart, 0.0, 0.08, "at most"))
    bias = {
        receive: measured.missed[receive, "spam on leaves"] - measured.missed[receive, "spam on hubs"]
        for receive in NAMES
    }
    found += [
        Claim("bias towards hubs (spam missed less there), at once", bias["at_once"], 0.0, 0.02, "absolute"),
        Claim("bias towards hubs, pass through", bias["pass_through"], -0.04, 0.0, "at most"),
        Claim("bias towards hubs, cached", bias["cached"], 0.02, 0.0, "at least"),
    ]
    return found


def degree_bias() -> Plot:
    """Hubs learn most often, yet models that are pushed know all nodes alike; what evens out updates makes a bias."""
    source = "after Giaretta and Girdzijauskas 2019, Gossip learning: off the beaten path; shares in the models: here"
    return Plot("Gossip learning on a Barabási–Albert graph", source, predict, measure, draw, claims, double=False)
