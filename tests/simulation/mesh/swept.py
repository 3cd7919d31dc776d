"""What tests of sweeps on several devices share: a grid of short runs, who has had which device, and when runs are equal."""

import threading
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxgossip as jg
from jaxgossip.simulation import Observer, SweepResult
from jaxgossip.simulation.program import Run
from jaxgossip.simulation.replicas import Family, FamilyState, families
from tests.simulation.test_listening import N

ROUNDS = 12
W = jg.mixing.metropolis_hastings(jg.topology.ring(N))
RATES = (0.1, 0.05, 0.02, 0.01)


def make(rate: Any, noise: float = 0.5) -> jg.algorithms.Algorithm:
    problem = jg.learning.isotropic_quadratic(N, dimension=3, noise=noise, rng=0)
    return jg.algorithms.dsgd(problem, jg.optimizers.Optimizer(optax.sgd, {"learning_rate": rate}), W)


class Devices(Observer):
    """Keeps which devices hold states, how many runs each of them, and the threads in which it is called."""

    def __init__(self) -> None:
        self.runs: dict[int, int] = {}
        self.rounds: list[int] = []
        self.threads: set[int] = set()

    def chunk(self, run: Any, wall_s: float) -> None:
        self.threads.add(threading.get_ident())
        if isinstance(run, FamilyState):
            shards = run.runs.round.addressable_shards
            self.runs = {shard.device.id: shard.data.size for shard in shards}
        else:
            places = [
                device.id for member in run for leaf in jax.tree.leaves(member.state) for device in leaf.devices()
            ]
            self.runs = dict.fromkeys(places, 1)

    def advanced(self, rounds_done: int) -> None:
        self.rounds.append(rounds_done)


def swept(
    rates: Sequence[float], seeds: int, devices: int | None, observer: Observer | None = None, **options: Any
) -> SweepResult:
    mesh = None if devices is None else jg.mesh(devices)
    grid = {"rate": jnp.array(rates, jnp.float32)}
    return jg.sweep(make, ROUNDS, grid=grid, seeds=seeds, evaluate_every=4, observer=observer, mesh=mesh, **options)


def assert_equal_runs(found: Sequence[Any], expected: Sequence[Any], rtol: float = 1e-6) -> None:
    """Check that runs ended alike, sent alike, and measured the same up to ``rtol``; 0 for the same bits."""
    assert len(found) == len(expected)
    for run, other in zip(found, expected, strict=True):
        assert (run.status, run.rounds) == (other.status, other.rounds)
        assert run.metrics.names == other.metrics.names
        for name in set(run.metrics.names) - {"wall_s"}:
            exact = rtol == 0 or name in ("round", "messages", "bytes_sent", "metadata_bytes")
            np.testing.assert_allclose(
                run.metrics[name],
                other.metrics[name],
                rtol=0 if exact else rtol,
                atol=0 if exact else 1e-7,
                err_msg=name,
            )


def family(rates: Sequence[float], seeds: int) -> tuple[Family, list[float]]:
    """Return a family of runs and the point of each."""
    points = [rate for rate in rates for _ in range(seeds)]
    runs = [Run(make(jnp.float32(rate)), seed=place % seeds) for place, rate in enumerate(points)]
    (only,) = families(runs)
    return only, points
