"""Gossip learning with unequal degrees: how often nodes learn, and whose data the models contain.

A Barabási–Albert graph with ten links per new node, 4,140 nodes with one e-mail each, and models that merge and then learn
(MU). Each node pushes to a random neighbour once a cycle, so models reach node i at a rate that grows with its degree:

    at once         r_i = Σ_{j∈N(i)} 1/d_j                  every model is learnt from
    pass through    q_i = Σ_{j∈N(i)} min(1/d_j, 1/d_i)      with probability min(1, d_j/d_i), else passed on: q_i ≤ 1
    cached          ≤ 1                                     one of the waiting models, at the node's own tick

all times f, the number of ticks of a node per cycle. This is how often nodes learn, not how much of them models contain. Of
the many models that a hub receives between two of its own pushes, only the last two survive. The nodes behind a model are
found by walking backwards: from i to one of its senders j with probability P_ij = (1/d_j)/r_i. As half of a merged model is
the previous one, whoever made it, with a_ij = min(1, d_j/d_i) (1 at once) and A_i = Σ_j P_ij a_ij = q_i/r_i,

    Q_ij = P_ij (1 − a_ij/2) + P_ij A_i/2,    φ = φQ,    u_i ∝ φ_i A_i

is the share of node i in the updates behind a model. At once, Q = P and u_i ∝ r_i/d_i, the mean of 1/d_j over neighbours,
which hardly depends on the node's own degree: shares are nearly equal. They are measured with models that, instead of
weights, carry the number of their updates made at nodes of each degree.

Differences from the paper: immediate pushes are not biased towards hubs, however the data is placed, and passing through
causes a bias against them. The paper's argument is that of a walk that visits nodes in proportion to degree, which holds
where no model replaces another. Here, as in gossipy, a passed-through model waits for the node's own tick, and most are
replaced before it. Caching, where hubs lose fewer models, is biased towards hubs.
"""

from types import MappingProxyType
from typing import Literal, NamedTuple, override

import jax.numpy as jnp
import numpy as np
import optax
import scipy.sparse as sp
from matplotlib.figure import Figure

from jaxgossip import learning, topology
from jaxgossip.algorithms.protocols.gossip_learning import WalkState, gossip_learning
from jaxgossip.algorithms.protocols.wrapper import MethodWrapper
from jaxgossip.core.typing import NodeScores, Rows
from jaxgossip.learning import Dataset, Problem
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.schedule import Fate, Kind, Messages, clocks, schedule
from jaxgossip.schedule.files.messages import Recorded
from jaxgossip.simulation import simulate_events
from jaxgossip.theory import drawing
from jaxgossip.theory.measuring import VisitCounts
from jaxgossip.theory.plot import Claim, Plot, at_least, at_most
from jaxgossip.topology import Graph

Receive = Literal["at_once", "pass_through", "cached"]
NAMES: "MappingProxyType[Receive, str]" = MappingProxyType(
    {"at_once": "at once", "pass_through": "pass through", "cached": "cached"}
)
LINKS, LAMBDA, SPREAD = 10, 1e-4, 0.1
TICKS = 1 + SPREAD**2 + 3 * SPREAD**4
"""f, to fourth order in the spread of the clocks' periods."""
EDGES = np.array([10, 11, 13, 17, 25, 45, 90, 10**6])
"""Lower bounds of the degree classes; the last entry is an upper bound."""
HUBS = EDGES[-2]
PLACES = ("spam on hubs", "spam on leaves")


class Predicted(NamedTuple):
    """Predictions; all arrays are (c,), by class of degrees.

    Attributes:
        degree: mean degree of the class.
        often: updates per node and cycle, by receive policy.
        share: share of the class in the updates behind a model, relative to its share of the nodes, by receive policy.
    """

    degree: np.ndarray
    often: dict[Receive, np.ndarray]
    share: dict[Receive, np.ndarray]


class Measured(NamedTuple):
    """Measurements, which include cached models.

    Attributes:
        often: as in :class:`Predicted`.
        share: as in :class:`Predicted`.
        missed: share of spam that is not recognised, averaged over nodes, by receive policy and place.
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
    """Return (n,) the degree class of each node."""
    return np.searchsorted(EDGES, graph.degrees, side="right") - 1


def by_class(graph: Graph, values: np.ndarray) -> np.ndarray:
    """Return (c,) the means of (n,) values over the degree classes."""
    which = classes(graph)
    return np.bincount(which, values) / np.bincount(which)


def predict(_: bool) -> Predicted:
    """Sum rates over neighbours, and walk backwards."""
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
        for __ in range(100):  # a random graph of mean degree 20 mixes in ten steps
            phi = Q @ phi
        share[receive] = by_class(graph, phi * A / np.mean(phi * A))
    return Predicted(by_class(graph, d), often, share)


def measure(quick: bool) -> Measured:
    """Record the messages of each receive policy once, and count the updates in them.

    They are replayed on models that count updates and on models that learn.
    """
    cycles, graph = 60 if quick else 160, network()
    often, share, missed = {}, {}, {}
    for receive in NAMES:
        source = record_messages(graph, receive, cycles)
        often[receive] = by_class(graph, updates(source, cycles))
        share[receive] = shares(graph, source, cycles)
        for place in PLACES:
            missed[receive, place] = missed_spam(graph, source, place, cycles)
    return Measured(often, share, missed)


def record_messages(graph: Graph, receive: Receive, cycles: int) -> Recorded:
    """Return the messages of ``cycles`` cycles."""
    clock = clocks.normal(graph.n_nodes, np.random.default_rng(0), spread=SPREAD)
    drawn = schedule(graph, clock=clock, receive=receive, seed=0).cycles()
    return Recorded(graph.n_nodes, 1.0, Messages.together([next(drawn) for _ in range(cycles)]))


def updates(source: Recorded, cycles: int) -> np.ndarray:
    """Return (n,) the number of models that each node learns from per cycle, in the later half."""
    sent = source.messages
    counts = (sent.fate == Fate.DELIVERED) & (sent.kind == Kind.MODEL)
    later = (sent.arrives_s >= cycles / 2) & (sent.arrives_s < cycles)
    return np.bincount(sent.receiver[counts & later], minlength=source.n_nodes) / (cycles / 2)


def shares(graph: Graph, source: Recorded, cycles: int) -> np.ndarray:
    """Return (c,) each class's share of the updates gained in the later half, relative to its share of the nodes."""
    which = classes(graph)
    problem: Problem = VisitCounts(which)
    protocol = gossip_learning(problem, optax.sgd(1.0))
    metrics = simulate_events(
        protocol, source, cycles, evaluate_every=1, sampled_nodes=graph.n_nodes
    ).metrics  # fmt: skip
    gained = np.array([np.ptp(metrics[f"class_{c}_mean"][cycles // 2 :]) for c in range(problem.n_params)])
    return gained / gained.sum() / (np.bincount(which) / which.size)


class MissedSpam(MethodWrapper):
    """Gossip learning that reports the share of given spam that is missed.

    Attributes:
        spam: (m, p) e-mails, including a column of ones.
    """

    spam: Rows

    @override
    def scores(self, problem: Problem, state: WalkState) -> NodeScores:
        return {"missed": (state.model.x @ self.spam.T < 0).mean(1)}


def missed_spam(graph: Graph, source: Recorded, place: str, cycles: int) -> float:
    """Return the share of spam that is missed, averaged over nodes and the later half."""
    dataset = data()
    model = learning.models.pegasos((57,), 2, regularization=LAMBDA)
    problem = learning.classification(dataset, place_spam(graph, dataset, place), model)
    spam = jnp.asarray(
        np.c_[dataset.x_test, np.ones(len(dataset.x_test))][np.asarray(dataset.y_test) == 1], jnp.float32
    )
    protocol = gossip_learning(problem, learning.OPTIMIZERS["pegasos"](regularization=LAMBDA))
    protocol = MissedSpam(protocol.method, spam).applied_to(protocol)
    metrics = simulate_events(protocol, source, cycles, evaluate_every=1, sampled_nodes=400).metrics
    later = metrics["round"] >= cycles / 2
    return float(metrics["missed_mean"][later].mean())


def place_spam(graph: Graph, dataset: Dataset, place: str) -> Partition:
    """Return the partition that gives all spam to the nodes of highest, or of lowest, degree."""
    n, tie_breaks = graph.n_nodes, np.random.default_rng(0).random((2, graph.n_nodes))
    nodes = np.argsort(graph.degrees + tie_breaks[0])
    spam_last = np.argsort(np.asarray(dataset.y_train) + tie_breaks[1])
    email_of_node = np.empty(n, np.int32)
    email_of_node[nodes if place == "spam on hubs" else nodes[::-1]] = spam_last
    return Partition(email_of_node, np.arange(n + 1), np.ones(n, np.int32))


def draw(predicted: Predicted, measured: Measured) -> Figure:
    """Updates at a node, its share in the models, and the effect of placing spam on hubs or leaves."""
    figure, (left, middle, right) = drawing.page(3, width=4.2, height=3.9)
    for axes, predictions, measurements in (
        (left, predicted.often, measured.often),
        (middle, predicted.share, measured.share),
    ):
        for number, (receive, name) in enumerate(NAMES.items()):
            drawing.points(axes, predicted.degree, measurements[receive], number, name)
            if receive in predictions:
                quantity = "updates at nodes of any degree" if axes is left else "share in the models"
                drawing.theory(axes, predicted.degree, predictions[receive], claimed=f"{quantity}, {name}")
        axes.set(xscale="log", yscale="log", xlabel="degree")
        drawing.ticks(axes, (10, 20, 50, 100, 200))
    drawing.ticks(left, (0.5, 1, 2, 5, 10), which="y")
    drawing.ticks(middle, (0.2, 0.5, 1, 2), which="y")
    middle.set_ylim(0.1, 3)
    left.set_ylabel("updates made at a node, a cycle")
    middle.set_ylabel("updates behind a model: share / fair share")
    drawing.legend(left, loc="upper left")
    for number, place in enumerate(PLACES):
        for position, receive in enumerate(NAMES):
            label = place if not position else None
            drawing.bar(
                right, position + 0.38 * (number - 0.5), measured.missed[receive, place], 0.36, number + 3, label
            )
    right.set_xticks(range(len(NAMES)), list(NAMES.values()))
    right.set(ylim=(0, 0.3), ylabel="spam that is missed, mean of nodes")
    right.legend(loc="upper left", frameon=False)
    return figure


def claims(predicted: Predicted, measured: Measured) -> list[Claim]:
    """Return the claims: how often nodes learn, whose updates the models contain, and the resulting bias."""
    checks = []
    for receive, often in predicted.often.items():
        # Thousands of updates per class: a deviation below 1 %, except for the clocks of the neighbours of few hubs.
        error = float(np.abs(measured.often[receive] / often - 1).max())
        checks.append(at_most(f"updates at nodes of any degree, {NAMES[receive]}: error", error, 0.0, 0.03))
    hubs = {receive: often[-1] / often[0] for receive, often in measured.often.items()}
    checks += [
        at_least("updates at hubs against leaves, at once", hubs["at_once"], 10.0),
        at_most("updates at hubs, pass through: at most one a tick", measured.often["pass_through"][-1], TICKS, 0.02),
        at_most("updates at hubs, cached: at most one a tick", measured.often["cached"][-1], TICKS, 0.02),
    ]
    for receive, share in predicted.share.items():
        # There are 72 hubs: a few dozen of their updates are behind a model.
        error = float(np.abs(measured.share[receive] - share).max())
        checks.append(at_most(f"share in the models, {NAMES[receive]}: error at any degree", error, 0.0, 0.08))
    bias = {
        receive: measured.missed[receive, "spam on leaves"] - measured.missed[receive, "spam on hubs"]
        for receive in NAMES
    }
    checks += [
        Claim("bias towards hubs (spam missed less there), at once", bias["at_once"], 0.0, 0.02, "absolute"),
        at_most("bias towards hubs, pass through", bias["pass_through"], -0.04),
        at_least("bias towards hubs, cached", bias["cached"], 0.02),
    ]
    return checks


def degree_bias() -> Plot:
    """Hubs learn most often, yet models that are pushed know all nodes alike; what evens out updates makes a bias."""
    source = "after Giaretta and Girdzijauskas 2019, Gossip learning: off the beaten path; shares in the models: here"
    return Plot("Gossip learning on a Barabási–Albert graph", source, predict, measure, draw, claims, double=False)
