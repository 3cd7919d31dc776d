"""Theory plots: claims hold in quick measurements, and fail when the emulator is broken."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import scipy.sparse as sp
from matplotlib.figure import Figure

from jaxgossip.algorithms import Algorithm, Method
from jaxgossip.core.errors import RunError
from jaxgossip.core.registry import Registry
from jaxgossip.learning.supervised import Supervised
from jaxgossip.mixing import Operator, Schedule
from jaxgossip.network import Conditions
from jaxgossip.theory import PLOTS, Claim, Plot, drawing, gallery, lookup, plots
from jaxgossip.theory.plot import farthest
from jaxgossip.theory.plots import (
    acceleration,
    burst_losses,
    choco_bytes,
    choco_gossip,
    clipped_gossip,
    consensus_contraction,
    degree_bias,
    effective_neighbours,
    epidemic_against_static,
    equitopo,
    error_feedback,
    exact_methods,
    finite_time_consensus,
    fragments,
    learned_weights,
    linear_speed_up,
    link_drop,
    local_sgd,
    momentum_bias,
    muffliato,
    network_term,
    newer_exact_methods,
    noloco_edge,
    ormandi,
    outer_momentum,
    pairwise_gossip,
    partitioned_models,
    pens_clusters,
    push_rumour,
    push_sum_potential,
    random_graph_thresholds,
    random_topology,
    relay_sum,
    rumour_residue,
    skiptrain,
    stability_thresholds,
    stationary_error,
    token_accounts,
    topology_and_accuracy,
)


def judged(name: str) -> list[Claim]:
    plot = PLOTS[name]()
    return plot.claims(plot.predict(True), plot.measure(True))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [("relative", 1.009, 1.02), ("absolute", 0.991, 0.98), ("at most", 1.009, 1.02), ("at least", 0.991, 0.98)],
)
def test_a_claim_holds_within_its_tolerance_only(kind: str, good: float, bad: float) -> None:
    assert Claim("it", good, 1.0, 0.01, kind).holds
    assert not Claim("it", bad, 1.0, 0.01, kind).holds
    assert not Claim("it", math.nan, 1.0, 0.01, kind).holds
    assert Claim("it", math.nan, 1.0, 0.01, kind).record()["measured"] is None


def test_a_claim_says_what_it_claims() -> None:
    kinds = ("relative", "absolute", "at most", "at least")
    said = [(claim.theory, claim.allowed) for claim in (Claim("it", 1.0, 2.5, 0.01, kind) for kind in kinds)]
    assert said == [("2.5", "± 1 %"), ("2.5", "± 0.01"), ("≤ 2.5", "by 0.01"), ("≥ 2.5", "by 0.01")]


@pytest.mark.by_default("stability_thresholds")
@pytest.mark.parametrize("name", ["consensus_contraction", "stability_thresholds", "acceleration"])
def test_every_claim_holds_and_is_drawn(name: str) -> None:
    """For three plots; .ci/run checks all of them by ``figure run --all --quick``."""
    plot = PLOTS[name]()
    predicted, measured = plot.predict(True), plot.measure(True)
    claims = plot.claims(predicted, measured)
    assert claims
    assert [claim.name for claim in claims if not claim.holds] == []
    assert len({claim.name for claim in claims}) == len(claims)
    figure = plot.draw(predicted, measured)
    assert isinstance(figure, Figure)
    assert drawing.unclaimed(figure, [claim.name for claim in claims]) == []
    assert PLOTS.summary(name).endswith(".")
    assert plot.source


def test_a_line_is_claimed_at_its_farthest_point() -> None:
    assert farthest("it", [1.0, 2.2, 3.1], [1.0, 2.0, 3.0], 0.1).record() == Claim("it", 2.2, 2.0, 0.1).record()
    assert farthest("it", [1.0, 2.0, 3.1], [1.0, 2.0, 3.0], 0.1, "absolute").predicted == 3.0
    assert not farthest("it", [1.0, math.nan, 9.0], [1.0, 2.0, 3.0], 100.0).holds
    assert farthest("it", [1.0, 1.0], 1.0, 0.0).holds


def test_a_prediction_that_nothing_claims_is_found() -> None:
    figure, (left, right) = drawing.page(2)
    drawing.series(left, [0, 1], [0, 1], 0, "measured")
    drawing.reference(left, [0, 1], [0, 1], "beside it")
    drawing.theory(left, [0, 1], [0, 1], claimed="rate of ring")
    drawing.theory(right, [0, 1], [0, 1], claimed="rate of star")
    right.plot([0, 1], [0, 1], linestyle="--")
    assert drawing.unclaimed(figure, ["rate of ring, η = 0.1"]) == ["rate of star", "a dashed line in panel 2"]
    assert drawing.unclaimed(figure, ["rate of ring", "rate of star"]) == ["a dashed line in panel 2"]


def test_a_picture_with_such_a_prediction_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(*_: Any) -> Figure:
        figure, (axes,) = drawing.page()
        drawing.theory(axes, [0, 1], [0, 1], claimed="rate of star")
        return figure

    def nothing(_: bool) -> None: ...

    claims = [Claim("rate of ring", 1.0, 1.0)]
    plot = Plot("It", "here", nothing, nothing, draw, lambda *_: claims)
    monkeypatch.setattr(lookup, "PLOTS", Registry("figure", {"it": lambda: plot}))
    with pytest.raises(RunError, match="it: drawn as theory, and claimed nowhere: rate of star"):
        gallery.run_plots(["it"], tmp_path)
    assert not (tmp_path / "it.png").exists()


def test_dashes_are_drawn_by_one_function() -> None:
    """So that every predicted line names the claim that tests it."""
    for path in Path(plots.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""linestyle=(\(0|"--"|"dashed"|"-\.")|dashes=""", text), path
        assert text.count("drawing.theory(") == text.count("claimed="), path


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("around", [True, False])
def test_a_plot_computes_in_its_own_precision_whatever_is_set_around_it(around: bool, double: bool) -> None:
    def seen(*_: Any) -> Any:
        return jnp.zeros(1).dtype, jax.config.jax_default_matmul_precision

    plot = Plot("", "", seen, seen, seen, seen, double=double)
    with jax.enable_x64(around):
        found = [plot.predict(True), plot.measure(True), plot.draw(1, 2), plot.claims(1, 2)]
        after = jnp.zeros(1).dtype
    assert found == [(jnp.dtype("float64" if double else "float32"), "highest")] * 4
    assert after == ("float64" if around else "float32")


def test_every_plot_goes_by_that_door() -> None:
    for name in PLOTS:
        assert isinstance(PLOTS[name](), Plot)


class Sluggish(Operator):
    """W with every row mixed too little: a ``share`` of it stays as it was."""

    def __init__(self, W: Operator, share: float) -> None:
        self.n_nodes, self.n_links, self._W, self._share = W.n_nodes, W.n_links, W, share

    @property
    def links(self) -> Operator:
        return self._W

    def hear(self, sent: jax.Array, faults: Any) -> tuple[jax.Array, jax.Array]:
        own, heard = self._W.hear(sent, faults)
        return (1 - self._share) * own + self._share, (1 - self._share) * heard

    def to_scipy(self) -> sp.csr_array:
        return sp.csr_array((1 - self._share) * self._W.to_scipy() + self._share * sp.eye_array(self.n_nodes))


class Lagging(Method):
    """A method whose steps keep a ``share`` of the old models."""

    method: Method
    share: float

    def init(self, problem: Any, key: Any) -> Any:
        return self.method.init(problem, key)

    def step(self, problem: Any, W: Any, state: Any, round_: Any) -> Any:
        after, traffic = self.method.step(problem, W, state, round_)
        return after._replace(x=(1 - self.share) * after.x + self.share * state.x), traffic


def lagging(share: float) -> Callable[[Any], Any]:
    """Return a decorator of algorithm builders whose steps then keep a ``share`` of the old models."""

    def broken(build: Callable[..., Algorithm]) -> Callable[..., Algorithm]:
        def late(*args: Any, **options: Any) -> Algorithm:
            found = build(*args, **options)
            return Algorithm(Lagging(found.method, share), found.problem, found.W, name=found.name)

        return late

    return broken


class Forgetful:
    """A relay that loses a thousandth of what it receives."""

    def __init__(self, relay: Any) -> None:
        self.none, self._relay = relay.none, relay

    def __call__(self, *args: Any) -> tuple[Any, jax.Array, jax.Array]:
        relayed, sums, counts = self._relay(*args)
        return relayed, 0.999 * sums, counts


def one_way_losses(*, link_drop: Any) -> Conditions:
    return Conditions(drop=link_drop)


def replaced(module: ModuleType, name: str, broken: Callable[[Any], Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """Return a function that replaces ``module.name`` by ``broken(original)``."""
    return lambda patch: patch.setattr(module, name, broken(getattr(module, name)))


class Lazy(Schedule):
    """A schedule whose operators mix a third too little."""

    def __init__(self, schedule: Schedule) -> None:
        self.n_nodes, self.conserves, self._schedule = schedule.n_nodes, schedule.conserves, schedule

    def at(self, round_number: jax.Array, key: Any) -> Operator:
        return Sluggish(self._schedule.at(round_number, key), 1 / 3)


def lazy(make: Callable[..., Schedule]) -> Callable[..., Schedule]:
    return lambda *args, **options: Lazy(make(*args, **options))


class Contrary(Supervised):
    """A classification with negated losses."""

    def __init__(self, problem: Supervised) -> None:
        vars(self).update(vars(problem))

    def loss_at(self, x: jax.Array, nodes: jax.Array) -> jax.Array:
        return -super().loss_at(x, nodes)


BREAKS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "consensus_contraction": replaced(
        consensus_contraction, "metropolis_hastings", lambda make: lambda graph: Sluggish(make(graph), 0.001)
    ),
    "finite_time_consensus": replaced(finite_time_consensus, "averaging", lagging(1e-4)),
    "stationary_error": replaced(stationary_error, "dsgd", lagging(0.05)),
    "effective_neighbours": replaced(effective_neighbours, "dsgd", lagging(0.1)),
    "linear_speed_up": replaced(linear_speed_up, "dsgd", lagging(0.05)),
    "exact_methods": replaced(
        exact_methods, "ALGORITHMS", lambda known: {name: lagging(0.02)(build) for name, build in known.items()}
    ),
    "stability_thresholds": replaced(stability_thresholds, "dsgd", lagging(0.02)),
    "acceleration": replaced(acceleration, "chebyshev", lagging(1e-4)),
    "network_term": replaced(network_term, "sgd_by_column", lambda make: lambda etas: make(1.03 * etas)),
    "equitopo": replaced(equitopo, "od_equi_dyn", lazy),
    "random_topology": replaced(random_topology, "fresh_regular", lazy),
    "push_sum_potential": replaced(push_sum_potential, "pushes", lazy),
    "pairwise_gossip": replaced(pairwise_gossip, "pairwise", lazy),
    "choco_bytes": replaced(choco_bytes, "top_k", lambda make: lambda *, fraction: make(fraction=2 * fraction)),
    "topology_and_accuracy": replaced(topology_and_accuracy, "dsgd", lagging(0.5)),
    "choco_gossip": replaced(
        choco_gossip,
        "choco",
        lambda make: lambda *args, consensus_rate: make(*args, consensus_rate=1.05 * consensus_rate),
    ),
    "clipped_gossip": replaced(
        clipped_gossip.aggregation,
        "clipped",
        lambda make: lambda **_: make(radius=1e6),  # too wide to clip a lie
    ),
    "momentum_bias": replaced(momentum_bias, "sgd_by_column", lambda make: lambda etas: make(1.001 * etas)),
    "local_sgd": replaced(
        local_sgd, "periodic", lambda make: lambda rounds: make([*rounds[:-1], rounds[0], rounds[-1]])
    ),
    "outer_momentum": replaced(outer_momentum, "outer_gossip", lagging(0.02)),
    # A consensus rate of more than is said.
    "noloco_edge": replaced(
        noloco_edge,
        "noloco",
        lambda make: lambda *args, outer_rate, **options: make(*args, outer_rate=1.05 * outer_rate, **options),
    ),
    # The memory forgets more than is said.
    "error_feedback": replaced(
        error_feedback,
        "sparse_loco",
        lambda make: lambda *args, decay, **options: make(*args, decay=0.98 * decay, **options),
    ),
    # One round that only mixes is left out.
    "skiptrain": replaced(
        skiptrain.algorithms,
        "skiptrain",
        lambda make: (
            lambda *args, mixing_rounds, **options: make(*args, mixing_rounds=max(0, mixing_rounds - 1), **options)
        ),
    ),
    "newer_exact_methods": replaced(newer_exact_methods.algorithms, "led", lagging(0.02)),
    # The fragments of a model travel together.
    "fragments": replaced(fragments, "fragmented", lambda make: lambda W, **_: make(W, fragments=1)),
    # Every node calls two peers, so all are informed too early.
    "push_rumour": replaced(push_rumour, "push", lambda push: lambda graph: push(graph, fanout=2)),
    # Two callers of one node both bring news, as if all calls of a round were simultaneous.
    "rumour_residue": replaced(
        rumour_residue,
        "after_calls",
        lambda call: lambda state, targets, coin: call(state, targets, coin & state.knows[targets]),
    ),
    # Walks that should merge do not.
    "ormandi": replaced(
        ormandi,
        "gossip_learning",
        lambda make: lambda *args, **options: make(*args, **options | {"create": "update"}),
    ),
    # No node reacts to messages.
    "token_accounts": replaced(
        token_accounts,
        "schedule",
        lambda make: lambda *args, **options: make(*args, **options | {"tokens": None}),
    ),
    # Whole models are sent and merged, whatever the number of parts.
    "partitioned_models": replaced(
        partitioned_models,
        "gossip_learning",
        lambda make: lambda *args, **options: make(*args, **options | {"parts": 1}),
    ),
    # The worst models are accepted, not the best.
    "pens_clusters": replaced(
        pens_clusters,
        "pens",
        lambda make: lambda task, *args, **options: make(Contrary(task), *args, **options),
    ),
    # Models that should be passed through are merged.
    "degree_bias": replaced(
        degree_bias,
        "schedule",
        lambda make: lambda graph, **options: make(graph, **options | {"receive": "at_once"}),
    ),
    # The second moments are the same, but the mean moves.
    # Failures are drawn anew in every round.
    "burst_losses": replaced(
        burst_losses, "Conditions", lambda make: lambda **options: make(**options | {"link_burst": 0.0})
    ),
    "link_drop": replaced(link_drop, "Conditions", lambda _: one_way_losses),
    "relay_sum": replaced(relay_sum, "RelaySum", lambda build: lambda matrix: Forgetful(build(matrix))),
    "random_graph_thresholds": replaced(
        random_graph_thresholds, "erdos_renyi", lambda make: lambda nodes, p, rng: make(nodes, 0.9 * p, rng=rng)
    ),
    # One peer too few.
    "epidemic_against_static": replaced(
        epidemic_against_static, "fresh_regular", lambda fresh: lambda graph, degree: fresh(graph, degree=degree - 1)
    ),
    # One mixing too few.
    "muffliato": replaced(
        muffliato.algorithms,
        "muffliato",
        lambda build: lambda problem, optimizer, W, noise: build(problem, optimizer, W, noise=noise, gossip_steps=6),
    ),
    "learned_weights": replaced(
        learned_weights,
        "fastest",
        lambda find: (
            lambda graph, steps: find(graph, steps=steps)._replace(weights=learned_weights.metropolis_hastings(graph))
        ),
    ),
}
"""How the operator or the update is broken, by plot."""


def test_every_plot_can_be_refuted() -> None:
    assert set(BREAKS) == set(PLOTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name == "consensus_contraction" else pytest.param(name, marks=pytest.mark.slow) for name in BREAKS]
)
def test_a_broken_emulator_loses_a_claim(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BREAKS[name](monkeypatch)
    assert not all(claim.holds for claim in judged(name))
