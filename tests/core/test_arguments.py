"""Every builder checks its numbers: what is not finite, not whole, negative where it must not be, or beyond 32 bits.

The error names the parameter and its builder, or the section of adversaries and speeds.
"""

import functools
import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import Registry
from jaxgossip.experiment.config.schema import configurable

N = 8
s = jg.schedule
REGISTRIES: Mapping[str, Registry] = {
    "compression": jg.compression.COMPRESSORS,
    "model": jg.learning.MODELS,
    "partition": jg.learning.PARTITIONS,
    "task": jg.learning.TASKS,
    "dataset": jg.learning.DATASETS,
    "optimizer": jg.learning.OPTIMIZERS,
    "mixing": jg.mixing.MIXINGS,
    "algorithm": jg.algorithms.ALGORITHMS,
    "protocol": jg.algorithms.PROTOCOLS,
    "adversary": jg.network.ADVERSARIES,
    "aggregation": jg.network.AGGREGATIONS,
    "speeds": jg.network.SPEEDS,
    "churn": s.CHURNS,
    "clock": s.CLOCKS,
    "delay": s.DELAYS,
    "peers": s.PEERS,
    "tokens": s.TOKEN_ACCOUNTS,
}
GIVEN = {
    "samples": 3, "seconds": 1.0, "high_s": 2.0, "seconds_a_byte": 0.1, "median_s": 1.0, "online": 0.5, "mean_online_s": 1.0,
    "mean_offline_s": 1.0, "median_online_s": 1.0, "median_offline_s": 1.0, "learning_rate": 0.1, "fraction": 0.5,
}  # fmt: skip
"""What builders need that no run supplies."""
SIGNED = {
    "alie.z", "ipm.epsilon", "dissensus.epsilon", "constant.value", "chebyshev.lambda_min", "chebyshev.lambda_2",
}  # fmt: skip
"""Numbers that may be negative."""


@functools.cache
def supplied() -> dict[str, Any]:
    graph = jg.topology.ring(N)
    return {
        "labels": np.arange(40) % 2, "n_nodes": N, "input_shape": (64,), "n_classes": 2, "graph": graph, "seed": 0,
        "problem": jg.learning.isotropic_quadratic(N, dimension=3), "optimizer": optax.sgd(0.1), "horizon_s": 10.0,
        "W": jg.mixing.metropolis_hastings(graph), "compressor": jg.compression.top_k(fraction=0.5), "message_bytes": 100.0,
        "speeds": jg.network.speeds.constant(N), "rng": np.random.default_rng(0),
    }  # fmt: skip


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
    parameters = inspect.signature(builder).parameters
    given = {known: value for known, value in supplied().items() if known in parameters}
    given |= {known: GIVEN[known] for known, one in parameters.items() if one.default is one.empty and known in GIVEN}
    wrong: list[Any] = [math.nan, math.inf, -math.inf, "much", [1, 2]]
    wrong += [] if f"{name}.{key}" in SIGNED else [-1, -0.001]
    wrong += [1.5, 2**31] if kind == "int" else []
    for value in wrong:
        with pytest.raises(InputError, match=key) as raised:
            builder(**given | {key: value})
        message = raised.value.message
        assert name in message.lower().replace(" ", "_") or message.startswith(f"{room}: "), message
