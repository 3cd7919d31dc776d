"""Every builder checks its numbers: what is not finite, not whole, negative where it must not be, or beyond 32 bits.

So it does with what runs supply: counts, seeds, graphs and the like. The error names the parameter and its builder, or the
section of adversaries and speeds.
"""

import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.arguments import CONSTRUCTOR_HINTS
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import Registry
from jaxgossip.experiment.config.schema import configurable

N = 8
s, t = jg.schedule, jg.topology
REGISTRIES: Mapping[str, Registry] = {
    "compression": jg.compression.COMPRESSORS,
    "model": jg.learning.MODELS,
    "partition": jg.learning.PARTITIONS,
    "task": jg.learning.TASKS,
    "dataset": jg.learning.DATASETS,
    "optimizer": jg.learning.OPTIMIZERS,
    "learning_rate": jg.learning.RATES,
    "mixing": jg.mixing.MIXINGS,
    "algorithm": jg.algorithms.ALGORITHMS,
    "protocol": jg.algorithms.PROTOCOLS,
    "adversary": jg.network.ADVERSARIES,
    "aggregation": jg.network.AGGREGATIONS,
    "speeds": jg.network.SPEEDS,
    "energy": jg.network.ENERGIES,
    "churn": s.CHURNS,
    "clock": s.CLOCKS,
    "contacts": s.CONTACTS,
    "delay": s.DELAYS,
    "peers": s.PEERS,
    "tokens": s.TOKEN_ACCOUNTS,
}
ALL = {**REGISTRIES, "topology": t.TOPOLOGIES, "weights": t.WEIGHT_RULES}
GIVEN = {
    "samples": 3, "seconds": 1.0, "high_s": 2.0, "seconds_a_byte": 0.1, "median_s": 1.0, "online": 0.5, "mean_online_s": 1.0,
    "mean_offline_s": 1.0, "median_online_s": 1.0, "median_offline_s": 1.0, "learning_rate": 0.1, "fraction": 0.5,
    "path": "none", "nodes": N, "degree": 2, "beta": 0.5, "m": 1, "blocks": 2, "p_in": 0.5, "p_out": 0.5,
    "value": 0.1, "start": 0.1, "peak": 0.1, "warmup": 2, "over": 9, "factor": 0.5, "boundaries": (2, 4),
    "side_m": 50.0, "range_m": 5.0, "block_m": 20.0, "planes": 1, "altitudes_km": [1500.0], "period_s": 5.0,
}  # fmt: skip
"""What builders need that no run supplies."""
SIGNED = {
    "alie.z", "ipm.epsilon", "dissensus.epsilon", "constant.value", "chebyshev.lambda_min", "chebyshev.lambda_2", "backdoor.value",
    "from_file.start_s",
}  # fmt: skip
"""Numbers that may be negative."""
COUNT = (0, -1, True, 2.5, "a", None, 2**40, math.nan)
WRONG: Mapping[str, tuple[Any, ...]] = {
    "n_nodes": COUNT, "n_classes": COUNT, "input_shape": ((0,), (4, -1), ("a",), (2.5,), 5, "a", None),
    "rng": (-1, 2.5, True, "a", object()), "graph": (5, "a", None, ()), "path": (5, True, ()), "order": (5, "a", ()),
    "speeds": (5, "a", None), "directed": (5, "a", None),
}  # fmt: skip
"""Values that no builder takes, by parameter."""
MEANT = {"path": "Path", "order": "Order"}
"""What else parameters of these names are is another matter."""
SAID: Mapping[str, tuple[Callable[[], object], str]] = {
    "no node": (lambda: s.clocks.fixed(0, 0), "fixed: n_nodes must be a whole number of at least 1, not 0"),
    "too many": (
        lambda: s.peers.newscast(2**40, 0), "newscast: n_nodes must be at most 2,147,483,647, not 1,099,511,627,776"
    ),
    "no graph": (
        lambda: t.weights.uniform(5),
        f"uniform: graph must be a Graph, not 5 ({CONSTRUCTOR_HINTS['Graph']})",
    ),
    "no weights": (
        lambda: t.spectral_gap(t.ring(N)),
        f"spectral_gap: weights must be a Weights, not a Graph ({CONSTRUCTOR_HINTS['Weights']})",
    ),
    "no seed": (
        lambda: t.random_regular(N, 2, rng="a"), "random_regular: rng must be a generator or a seed of at least 0, not 'a'"
    ),
    "no pixel": (
        lambda: jg.learning.models.logistic((0,), 2), "logistic: input_shape[0] must be a whole number of at least 1, not 0"
    ),
    "no branch": (lambda: t.binary_tree(7, branching=math.nan), "binary_tree: branching must be a whole number, not nan"),
    "no side": (lambda: t.grid(4, 2), "grid: shape must be a list, not 2"),
    "no links": (
        lambda: t.from_links(4, [0, 1], [2], name="mine"),
        "mine: links from (2,) to (1,) nodes (one receiver and one source a link)",
    ),
    "uphill": (
        lambda: jg.mixing.learned_sequence(t.ring(N), learning_rate=-1.0),
        "learned_sequence: learning_rate must be at least 0, not -1.0",
    ),
    "no step": (
        lambda: jg.mixing.fastest(t.ring(N), steps=-1), "fastest: steps must be a whole number of at least 0, not -1"
    ),
    "no path": (lambda: jg.network.speeds.from_file(N, path=5), "from_file: path must be a path, not 5"),
    "no function": (lambda: s.Churn(5), "churn: online must be a function, not 5"),
    "no numbers": (
        lambda: s.clocks.by_speed(N, 0, compute_s="a"), "by_speed clock: compute_s must be numbers, not 'a'"
    ),
    "no rate": (lambda: jg.learning.OPTIMIZERS["sgd"](None), "sgd: learning_rate must be a number, not None"),
    "no bool": (
        lambda: jg.learning.OPTIMIZERS["adam"](0.1, nesterov="a"), "adam: nesterov must be True or False, not 'a'"
    ),
    "no dtype": (
        lambda: jg.learning.OPTIMIZERS["adam"](0.1, mu_dtype="a"),
        "adam: mu_dtype must be a dtype of floats, not 'a' (float32 or bfloat16)",
    ),
}  # fmt: skip


@functools.cache
def supplied() -> dict[str, Any]:
    graph = jg.topology.ring(N)
    return {
        "labels": np.arange(40) % 2, "n_nodes": N, "input_shape": (64,), "n_classes": 2, "graph": graph, "seed": 0,
        "problem": jg.learning.isotropic_quadratic(N, dimension=3), "optimizer": optax.sgd(0.1), "horizon_s": 10.0,
        "W": jg.mixing.metropolis_hastings(graph), "compressor": jg.compression.top_k(fraction=0.5), "message_bytes": 100.0,
        "speeds": jg.network.speeds.constant(N), "rng": np.random.default_rng(0), "mean_degree": 3.0,
        "class_shares": np.eye(2)[np.arange(N) % 2], "n_rounds": 2,
        "contacts": s.contacts.random_direction(N, 0, side_m=50.0, range_m=5.0),
    }  # fmt: skip


def arguments_of(builder: Any) -> dict[str, Any]:
    parameters = inspect.signature(builder).parameters
    given = {known: value for known, value in supplied().items() if known in parameters}
    return given | {name: GIVEN[name] for name, one in parameters.items() if one.default is one.empty and name in GIVEN}


def numeric(parameter: inspect.Parameter) -> str:
    """Return of which numbers a parameter is: "int", "float", or neither."""
    words = str(parameter.annotation)
    if "tuple" in words or "list" in words:
        return ""
    return "float" if "float" in words else "int" if "int" in words else ""


def cases() -> Iterator[Any]:
    for room, registry in REGISTRIES.items():
        for name, builder in registry.items():
            for key, parameter in configurable(builder).items():
                if numeric(parameter):
                    yield pytest.param(builder, key, numeric(parameter), f"{room}:{name}", id=f"{room}-{name}-{key}")


@pytest.mark.wrong_types
@pytest.mark.by_default("compression-top_k-fraction")
@pytest.mark.parametrize(("builder", "key", "kind", "name"), list(cases()))
def test_a_number_that_makes_no_sense_is_refused(builder: Any, key: str, kind: str, name: str) -> None:
    room, _, name = name.partition(":")
    given = arguments_of(builder)
    wrong: list[Any] = [math.nan, math.inf, -math.inf, "much", [1, 2]]
    wrong += [] if f"{name}.{key}" in SIGNED else [-1, -0.001]
    wrong += [1.5, 2**31] if kind == "int" else []
    for value in wrong:
        with pytest.raises(InputError, match=key) as raised:
            builder(**given | {key: value})
        message = raised.value.message
        assert name in message.lower().replace(" ", "_") or message.startswith(f"{room}: "), message


@pytest.mark.wrong_types
@pytest.mark.parametrize("room", ALL)
def test_what_a_run_supplies_is_checked_too(room: str) -> None:
    for builder in ALL[room].values():
        given = arguments_of(builder)
        for key in WRONG.keys() & inspect.signature(builder).parameters:
            if MEANT.get(key, "") not in str(inspect.signature(builder).parameters[key].annotation):
                continue
            for value in WRONG[key]:
                with pytest.raises(InputError, match=rf"^\w+: {key}.* must be "):
                    builder(**given | {key: value})


@pytest.mark.wrong_types
@pytest.mark.parametrize("case", SAID)
def test_the_error_says_what_is_wrong(case: str) -> None:
    make, text = SAID[case]
    with pytest.raises(InputError) as raised:
        make()
    assert str(raised.value) == text


def test_a_seed_is_as_good_as_its_generator() -> None:
    seeded, generated = (
        s.clocks.fixed(N, rng).ticks(0, np.random.default_rng(1)) for rng in (0, np.random.default_rng(0))
    )
    np.testing.assert_array_equal(seeded, generated)
