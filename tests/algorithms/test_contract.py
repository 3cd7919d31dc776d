"""What every algorithm keeps, whatever it computes; over the whole registry. Under faults: test_contract_faults."""

import re
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import ALGORITHMS, Algorithm
from jaxgossip.core import counting
from jaxgossip.core.random import run_key
from jaxgossip.network import Conditions, Round, Traffic
from jaxgossip.network.conditions import FAULTLESS
from jaxgossip.simulation.program import Initialization, by_node
from jaxgossip.topology import weights
from tests.algorithms.cases import CASES, COMPRESSING, SERVERS, Case, N, P

ROUNDS = 7
each = pytest.mark.parametrize("case", CASES, ids=str)
t = jg.topology


def first_state(algorithm: Algorithm, key: Any) -> Any:
    """Return the state before the first round of a run of this key."""
    return Initialization(algorithm.method, algorithm.problem, key, timed=False).state().state


def quadratic(n: int = N, **options: object) -> jg.learning.Problem:
    return jg.learning.isotropic_quadratic(n, dimension=P, **{"noise": 0.5, "init": "independent", "rng": 0} | options)


def named(name: str, **options: object) -> Case:
    """Return the case of ``name`` with exactly these options."""
    return next(case for case in CASES if case.name == name and dict(case.options) == options)


def run_of(algorithm: Algorithm, rounds: int, conditions: Conditions) -> tuple[np.ndarray, Traffic]:
    """Return (models, traffic) after so many rounds, as the engine runs them but without its measurements."""
    key = run_key(3)
    run = quickly(lambda key: traced_run(algorithm, rounds, conditions, key), key)
    return jax.tree.map(np.asarray, run(key))


def traced_run(algorithm: Algorithm, rounds: int, conditions: Conditions, key: jax.Array) -> tuple[jax.Array, Traffic]:
    problem = algorithm.problem

    def step(number: jax.Array, carried: tuple[object, Traffic]) -> tuple[object, Traffic]:
        round_ = Round(number, key, problem.n_nodes, conditions, problem.order)
        state, traffic = algorithm.step(carried[0], round_)
        return state, carried[1] + traffic

    state, traffic = jax.lax.fori_loop(0, rounds, step, (first_state(algorithm, key), Traffic.none()))
    return by_node(algorithm.models(state), problem.order), traffic


def quickly(function: Callable[..., Any], *arguments: jax.Array) -> Callable[..., Any]:
    """Return a compiled function of a few rounds of a dozen nodes: compiling takes all the time, so optimise little."""
    return jax.jit(function).lower(*arguments).compile(compiler_options={"xla_backend_optimization_level": 0})


def x_after(algorithm: Algorithm, rounds: int = ROUNDS, conditions: Conditions = FAULTLESS) -> np.ndarray:
    return run_of(algorithm, rounds, conditions)[0]


@cache
def faultless(case: Case) -> tuple[np.ndarray, Traffic]:
    """Return (models, traffic) of the faultless run of ``case``."""
    return run_of(case.make(quadratic()), ROUNDS, FAULTLESS)


@cache
def plain(n: int, steps: int) -> np.ndarray:
    """Return what nodes make of themselves in plain training."""
    return x_after(
        ALGORITHMS["isolated"](quadratic(n), optax.sgd(0.1), local_steps=max(1, steps)), ROUNDS if steps else 0
    )


def test_the_cases_cover_the_registry() -> None:
    assert {case.name for case in CASES} == set(ALGORITHMS)


@pytest.mark.by_default(
    "k_gt local_steps=3 outer_rate=1.0",
    "choco random_k",
    "push_sum push_sum",
    "averaging pairwise",
    "muffliato gossip_steps=3",
    "gradient_tracking form=atc",
    "deep_squeeze sign",
)
@each
def test_init_and_step_are_pure(case: Case) -> None:
    algorithm, key = case.make(quadratic()), jax.random.key(0)
    jax.tree.map(np.testing.assert_array_equal, algorithm.init(key), algorithm.init(key))
    state = algorithm.init(key)
    traces = [jax.make_jaxpr(lambda s, r: algorithm.step(s, Round(r, key, N)))(state, jnp.int32(4)) for _ in range(2)]
    assert str(traces[0].jaxpr) == str(traces[1].jaxpr)
    for one, other in zip(traces[0].consts, traces[1].consts, strict=True):
        data = [jax.random.key_data(c) if jnp.issubdtype(c.dtype, jax.dtypes.prng_key) else c for c in (one, other)]
        np.testing.assert_array_equal(*data)


@pytest.mark.by_default("isolated", "push_sum push_sum", "isolated local_steps=3", "halving_windows")
@each
def test_one_node_is_plain_training(case: Case) -> None:
    if case.mixing in ("push", "pairwise", "fresh_regular", "push_sum_random"):
        pytest.skip("a node that is alone has no peers to choose from")
    if case.alone is None:
        pytest.skip("it takes steps of its own")
    single = weights.from_matrix(np.ones((1, 1))).graph
    # Most servers have every round begin with fresh optimizers: there one without state says the same.
    fresh = case.name in SERVERS and case.name not in ("diloco", "sparse_loco")
    optimizer = optax.sgd(0.1) if fresh else optax.sgd(0.1, momentum=0.5)
    found = x_after(case.make(quadratic(1), optimizer, single, **case.alone))
    if case.learns:
        steps = {"local_steps": case.steps}
        expected = x_after(ALGORITHMS["isolated"](quadratic(1), optimizer, **steps))
    else:
        expected = plain(1, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_plain_training_is_what_it_says() -> None:
    problem, key, optimizer = quadratic(1), run_key(3), optax.sgd(0.1, momentum=0.5)
    algorithm = ALGORITHMS["isolated"](problem, optimizer, local_steps=3)
    x, state = first_state(algorithm, key).x[0], optimizer.init(jnp.zeros(P))
    for number in range(ROUNDS):
        batch = Round(jnp.int32(number), key, 1).key("batch")
        for step in range(3):
            gradient = problem.gradient(x[None], jax.random.fold_in(batch, step))[0]
            updates, state = optimizer.update(gradient, state)
            x = x + updates
    np.testing.assert_allclose(x_after(algorithm)[0], x, rtol=1e-5, atol=1e-6)


@pytest.mark.by_default("d2", "gossip weighting=age")
@each
def test_traffic_is_counted_exactly(case: Case) -> None:
    _, traffic = faultless(case)
    messages = round(ROUNDS * case.messages, 6)
    assert counting.to_int(traffic.messages) == messages
    assert counting.to_int(traffic.bytes_sent) == round(messages * (case.data + case.about), 6)
    assert counting.to_int(traffic.metadata_bytes) == messages * case.about


@pytest.mark.by_default("push_sum")
@pytest.mark.parametrize("name", ALGORITHMS)
def test_chunks_are_the_whole(name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    algorithm = case.make(quadratic())
    whole = jg.simulate(algorithm, ROUNDS, evaluate_every=ROUNDS, seed=3)
    begun = jg.simulate(algorithm, 3, evaluate_every=1, seed=3)
    continued = jg.simulate(algorithm, ROUNDS, evaluate_every=1, seed=3, start=begun.run)
    jax.tree.map(np.testing.assert_array_equal, whole.run, continued.run)
    assert whole.rounds == ROUNDS
    # What the other tests run, without the engine, is the same run.
    x, traffic = faultless(case)
    np.testing.assert_allclose(whole.x, x, rtol=1e-5, atol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, whole.run.traffic, traffic)


@pytest.mark.by_default(
    "centralised",
    "isolated local_steps=3",
    "isolated",
    "centralised local_steps=3",
    "federated_averaging fraction=0.5 local_steps=3",
    "federated_averaging",
    "halving_windows",
)
@each
def test_the_state_keeps_its_dtypes(case: Case) -> None:
    conditions = Conditions(drop=0.1, online=0.9, straggle=0.1)
    for dtype, wide in ((jnp.bfloat16, False), (jnp.float32, True), (jnp.float64, True)):
        with jax.enable_x64(wide):
            before, after, x = stepped(case.make(quadratic(dtype=dtype)), conditions)
        assert x.dtype == dtype
        assert [leaf.dtype for leaf in before] == [leaf.dtype for leaf in after]
        if dtype == jnp.float64:
            assert {leaf.dtype for leaf in after if jnp.issubdtype(leaf.dtype, jnp.floating)} == {jnp.dtype(dtype)}


def stepped(algorithm: Algorithm, conditions: Conditions) -> tuple[list, list, jax.ShapeDtypeStruct]:
    """Return the shapes and dtypes of a state's leaves before and after a round, and of the models then."""

    def two(key: jax.Array) -> tuple[object, object, jax.Array]:
        before = first_state(algorithm, key)
        after, _ = algorithm.step(before, Round(jnp.int32(0), key, algorithm.problem.n_nodes, conditions))
        return before, after, algorithm.models(after)

    before, after, x = jax.eval_shape(two, run_key(0))
    assert jax.tree.structure(before) == jax.tree.structure(after)
    return jax.tree.leaves(before), jax.tree.leaves(after), x


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_documents_its_equation_and_source(name: str) -> None:
    text = sys.modules[ALGORITHMS[name].__module__].__doc__ or ""
    assert re.search(r"(X|x|x̂|U)⁺", text), "an update rule; push-sum methods have U, of which X is the ratio"
    assert re.search(r"\b(19|20)\d\d\b", text), "who published it, and when"
    described = ALGORITHMS[name].__doc__
    assert described.split("\n")[0].endswith(".")
    assert "Args:" in described


@pytest.mark.slow
def test_the_complete_graph_with_one_local_step_is_centralised_sgd() -> None:
    problem = quadratic(init="same")
    W = jg.mixing.metropolis_hastings(t.complete(N))
    central = x_after(ALGORITHMS["centralised"](problem, optax.sgd(0.1)))
    np.testing.assert_allclose(
        x_after(ALGORITHMS["dsgd"](problem, optax.sgd(0.1), W)), np.broadcast_to(central, (N, P)), atol=1e-6
    )
    server = x_after(ALGORITHMS["federated_averaging"](problem, optax.sgd(0.1)))
    np.testing.assert_allclose(server, central, atol=1e-6)


def test_a_step_that_changes_its_state_is_named() -> None:
    class Shrinking(type(named("isolated").make(quadratic()).method)):
        def step(self, problem, W, state, round_):
            return state._replace(x=state.x[:, :2]), jg.network.Traffic.none()

    bad = Algorithm(Shrinking(optax.sgd(0.1), 1), quadratic(), name="mine")
    with pytest.raises(
        jg.errors.RunError, match=r"mine: step turns state\.x from float32\[12, 5\] into float32\[12, 2\]"
    ):
        jg.simulate(bad, 3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gossip", {"local_steps": 0}, "^gossip: local_steps must be at least 1, not 0"),
        ("gossip", {"payload": "update", "order": "merge_update"}, "order = 'merge_update' applies to payload = 'model' only"),
        ("gossip", {"payload": "gradient", "local_steps": 2}, "one gradient travels a round"),
        ("gossip", {"scores": np.ones(N), "weighting": "age"}, "exclude each other"),
        ("gossip", {"scores": np.ones(3)}, "^gossip: scores must be 12 positive numbers"),
        ("gossip", {"scores": -np.ones(N)}, "^gossip: scores must be 12 positive numbers"),
        ("dsgd", {"local_steps": 0}, "^dsgd: local_steps must be at least 1, not 0"),
        ("skiptrain", {"training_rounds": 0}, "^skiptrain: training_rounds must be at least 1, not 0"),
        ("skiptrain", {"mixing_rounds": -1}, "^skiptrain: mixing_rounds must be at least 0, not -1"),
        ("skiptrain", {"budget": 5, "over": 0}, "^skiptrain: over must be at least 1, not 0"),
        ("skiptrain", {"budget": None, "over": 100}, "^skiptrain: over says how long a budget lasts, and there is none"),
        ("skiptrain", {"budget": -1}, "^skiptrain: budget must be whole numbers of at least 0, one for all or .* 12 nodes, not -1"),
        ("skiptrain", {"budget": [3, 4]}, "^skiptrain: budget must be whole numbers .* one for each of 12 nodes, not 2 values"),
        ("morph", {"every": 0}, "^morph: every must be at least 1, not 0"),
        ("morph", {"sharpness": -1.0}, "^morph: sharpness must be at least 0, not -1.0"),
        ("morph", {"local_steps": 0}, "^morph: local_steps must be at least 1, not 0"),
        ("dsgdm", {"momentum": 1.0}, "^dsgdm: momentum must be at least 0 and below 1, not 1.0"),
        ("k_gt", {"outer_rate": 0.0}, "^k_gt: outer_rate must be above 0 and at most 1, not 0.0"),
        ("admm", {"penalty": 0.0}, "admm: penalty must be positive, not 0.0"),
        ("choco", {"consensus_rate": 1.5}, "^choco: consensus_rate must be above 0 and at most 1, not 1.5"),
        ("deep_squeeze", {"consensus_rate": 0.0}, "^deep_squeeze: consensus_rate must be above 0 and at most 1, not 0.0"),
        ("beer", {"consensus_rate": 0.0}, "^beer: consensus_rate must be above 0 and at most 1, not 0.0"),
        ("motef", {"consensus_rate": 1.1}, "^motef: consensus_rate must be above 0 and at most 1, not 1.1"),
        ("motef", {"momentum": 1.0}, "^motef: momentum must be at least 0 and below 1, not 1.0"),
        ("lead", {"consensus_rate": 2.0}, "^lead: consensus_rate must be above 0 and at most 1, not 2.0"),
        ("lead", {"memory_rate": 0.0}, "^lead: memory_rate must be above 0 and at most 1, not 0.0"),
        ("lead", {"base_rate": -0.1}, "^lead: base_rate must be a positive number or a function of the round, not -0.1"),
        ("cedas", {"memory_rate": 1.5}, "^cedas: memory_rate must be above 0 and at most 1, not 1.5"),
        ("power_gossip", {"rank": 0}, "^power_gossip: rank must be at least 1, not 0"),
        ("muffliato", {"noise": 0.0}, "muffliato needs noise > 0 and gossip_steps ≥ 0, not 0.0"),
        ("federated_averaging", {"fraction": 0.0}, "^federated_averaging: fraction must be above 0 and at most 1, not 0.0"),
        ("gt_sarah", {"period": 0}, "^gt_sarah: period must be at least 1, not 0"),
        ("gt_vr", {"probability": 0.0}, "^gt_vr: probability must be above 0 and at most 1, not 0.0"),
        ("led", {"correction": 1.5}, "^led: correction must be above 0 and at most 1, not 1.5"),
        ("proxskip", {"probability": 0.0}, "^proxskip: probability must be above 0 and at most 1, not 0.0"),
        ("proxskip", {"relaxation": 0.5}, "^proxskip: relaxation must be at least 1, not 0.5"),
        ("dlm", {"penalty": -1.0}, "^dlm: penalty must be positive, not -1.0"),
        ("dinno", {"growth": 0.5}, "^dinno: growth must be at least 1, not 0.5"),
        ("lt_admm", {"correction": 0.0}, "^lt_admm: correction must be positive, not 0.0"),
        ("lt_admm", {"relaxation": 1.5}, "^lt_admm: relaxation must be above 0 and at most 1, not 1.5"),
        ("lt_admm", {"variance_reduction": "svrg"}, "^lt_admm: variance_reduction cannot be 'svrg' .allowed: kept, none, renewed"),
        ("atg", {"averaging": 0.0}, "^atg: averaging must be above 0 and at most 1, not 0.0"),
        ("atg", {"penalty": -1.0}, "^atg: penalty must be positive, not -1.0"),
        ("outer_gossip", {"local_steps": 0}, "^outer_gossip: local_steps must be at least 1, not 0"),
        ("noloco", {"consensus_rate": 0.0}, "^noloco: consensus_rate must be positive, not 0.0"),
        ("noloco", {"momentum": 1.0}, "^noloco: momentum must be at least 0 and below 1, not 1.0"),
        ("slowmo", {"every": 0}, "^slowmo: every must be at least 1, not 0"),
        ("slowmo", {"base_rate": 0.0}, "^slowmo: base_rate must be a positive number or a function of the round, not 0.0"),
        ("streaming_diloco", {"fragments": 6}, "^streaming_diloco: 6 fragments need as many rounds and shared columns, and"),
        ("streaming_diloco", {"delay": 7}, "^streaming_diloco: delay must be at least 0 and below every = 7, not 7"),
        ("streaming_diloco", {"blend": 1.0}, "^streaming_diloco: blend must be at least 0 and below 1, not 1.0"),
        ("sparse_loco", {"decay": 1.5}, "^sparse_loco: decay must be at least 0 and at most 1, not 1.5"),
        ("sparse_loco", {"outer_rate": 0.0}, "^sparse_loco: outer_rate must be positive, not 0.0"),
        ("sparta", {"fraction": 0.0}, "^sparta: fraction must be above 0 and at most 1, not 0.0"),
        ("ditto", {"pull": -1.0}, "^ditto: pull must be at least 0, not -1.0"),
        ("multi_task", {"pull": -1.0}, "^multi_task: pull must be at least 0, not -1.0"),
        ("model_propagation", {"trade_off": 0.0}, "^model_propagation: trade_off must be positive, not 0.0"),
        ("model_propagation", {"confidences": np.ones(3)}, "^model_propagation: confidences must be 12 numbers above 0"),
        ("model_propagation", {"confidences": np.zeros(N)}, "^model_propagation: confidences must be 12 numbers above 0"),
        ("model_propagation", {"solo": np.ones((N, 2))}, r"^model_propagation: solo must be a model of every node, \(12, 5\)"),
        ("model_propagation", {"solo": np.full((N, P), np.nan)}, "^model_propagation: solo must be .* not all finite"),
        ("fedrep", {"head_steps": 0}, "^fedrep: head_steps must be at least 1, not 0"),
        ("dispfl", {"density": 0.0}, "^dispfl: density must be above 0 and at most 1, not 0.0"),
        ("dispfl", {"share": 1.5}, "^dispfl: share must be at least 0 and at most 1, not 1.5"),
        ("dispfl", {"until": 0}, "^dispfl: until must be at least 1, not 0"),
        ("fedprox", {"proximity": -1.0}, "^fedprox: proximity must be at least 0, not -1.0"),
        ("fedadam", {"server_rate": 0.0}, "^fedadam: server_rate must be positive, not 0.0"),
        ("feddyn", {"penalty": 0.0}, "^feddyn: penalty must be positive, not 0.0"),
        ("hierarchical_averaging", {"clusters": 0}, "^hierarchical_averaging: clusters must be at least 1, not 0"),
        ("hierarchical_averaging", {"clusters": 13}, "^hierarchical_averaging: 12 nodes do not fill 13 clusters"),
        ("hierarchical_averaging", {"every": 0}, "^hierarchical_averaging: every must be at least 1, not 0"),
        ("hierarchical_averaging", {"gossip_steps": 0}, "^hierarchical_averaging: gossip_steps must be at least 1, not 0"),
        ("hierarchical_averaging", {"fraction": 0.0}, "^hierarchical_averaging: fraction must be above 0 and at most 1, not 0.0"),
        ("hierarchical_averaging", {"between": "rings"}, "^unknown topology 'rings'"),
        ("hierarchical_averaging", {"between": "random_regular"}, "'random_regular' takes more than a number of servers"),
        ("hierarchical_averaging", {"between": t.ring(6)}, "^hierarchical_averaging: between links 6 servers, and .* 5 clusters"),
        ("hierarchical_averaging", {"between": jg.mixing.push_sum(t.ring(4)), "clusters": 4}, "rows sum to one, not push-sum"),
        ("scaffold", {"outer_rate": 0.0}, "^scaffold: outer_rate must be above 0 and at most 1, not 0.0"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_named(name: str, options: dict, message: str) -> None:
    case = next(case for case in CASES if case.name == name)
    with pytest.raises(jg.errors.InputError, match=message):
        case.make(quadratic(), **options)


@pytest.mark.wrong_types
def test_options_of_other_types_are_named() -> None:
    test_options_out_of_range_are_named("skiptrain", {"budget": [0.5] * N}, "^skiptrain: budget must be whole numbers")
    links = {"clusters": 4, "between": jg.mixing.matching(t.ring(4))}
    test_options_out_of_range_are_named("hierarchical_averaging", links, "between must be the name of")


ROWS = "needs weights whose rows sum to one, not push-sum mixing"
WRONG = {
    "sgp": (jg.mixing.metropolis_hastings, "sgp needs mixing that keeps mass"),
    "push_diging": (jg.mixing.metropolis_hastings, "push_diging needs mixing that keeps mass"),
    "push_sum": (jg.mixing.metropolis_hastings, "push_sum needs mixing that keeps mass"),
    "epidemic": (jg.mixing.metropolis_hastings, "epidemic learning needs peers that are new in every round"),
    "clique_averaging": (jg.mixing.metropolis_hastings, "clique_averaging needs mixing with cliques"),
    "relay_sgd": (
        jg.mixing.metropolis_hastings,
        "relay_sgd needs a tree: 12 nodes in one piece with 11 edges, not 12 in 1",
    ),
    **{
        name: (jg.mixing.matching, f"{name} needs the same weights in every round")
        for name in ("shift_register", "chebyshev", "power_gossip", "muffliato", "lt_admm", "atg", "morph")
    },
    **dict.fromkeys(
        [
            "gossip",
            "dsgd",
            "skiptrain",
            "dsgdm",
            "dmsgd",
            "qg_dsgdm",
            "decentlam",
            "d2",
            "exact_diffusion",
            "extra",
            "gradient_tracking",
            "gt_saga",
            "gt_sarah",
            "gt_vr",
        ],
        (jg.mixing.push_sum, ROWS),
    ),
    **dict.fromkeys(["beer", "motef", "lead", "cedas"], (jg.mixing.push_sum, ROWS)),
    **dict.fromkeys(["k_gt", "led", "proxskip", "wang_elia", "admm", "dlm", "dinno"], (jg.mixing.push_sum, ROWS)),
    **dict.fromkeys(
        ["outer_gossip", "noloco", "slowmo", "streaming_diloco", "sparta", "choco", "deep_squeeze", "averaging"],
        (jg.mixing.push_sum, ROWS),
    ),
    **dict.fromkeys(["ditto", "multi_task", "model_propagation", "fedrep", "dispfl"], (jg.mixing.push_sum, ROWS)),
}


def test_the_wrong_mixings_cover_all_that_mix() -> None:
    assert set(WRONG) == {case.name for case in CASES if case.talks}


@pytest.mark.parametrize("name", WRONG)
def test_mixing_that_does_not_fit_is_refused(name: str) -> None:
    mix, message = WRONG[name]
    compressor = () if name not in COMPRESSING else (jg.compression.sign(),)
    with pytest.raises(jg.errors.InputError, match=message):
        ALGORITHMS[name](quadratic(), optax.sgd(0.1), mix(t.ring(N)), *compressor)


@pytest.mark.parametrize("name", ["shift_register", "chebyshev", "power_gossip", "muffliato", "lt_admm", "atg"])
def test_weights_that_are_not_symmetric_are_refused(name: str) -> None:
    with pytest.raises(jg.errors.InputError, match=f"{name} needs symmetric weights"):
        ALGORITHMS[name](quadratic(), optax.sgd(0.1), jg.mixing.uniform(t.star(N)))


def test_reliabilities_refuse_negative_weights() -> None:
    W = jg.mixing.best_constant(t.star(N))
    with pytest.raises(jg.errors.InputError, match="reliabilities need weights that are not negative"):
        ALGORITHMS["gossip"](quadratic(), optax.sgd(0.1), W, weighting="age")
