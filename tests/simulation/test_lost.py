"""Runs of which nothing that is measured is finite any more: lost, though no model is infinite."""

import math

import jax
import optax
import pytest

from jaxgossip import algorithms, mixing, topology
from jaxgossip.learning import isotropic_quadratic
from jaxgossip.network import Conditions
from jaxgossip.simulation import simulate
from jaxgossip.simulation.metrics import first_lost_round

NOTHING = (None, math.nan, math.inf, -math.inf)


def record(round_number, loss, accuracy, distance=1.0):
    found = {"round": round_number, "consensus_distance": distance, "virtual_s_mean": 1.0}
    for name, value in (("test_loss", loss), ("test_accuracy", accuracy)):
        found |= {f"{name}_mean": value, f"{name}_q50": value}
    return found


@pytest.mark.parametrize("nothing", NOTHING)
def test_a_run_is_lost_from_the_first_round_after_which_nothing_is_finite(nothing) -> None:
    gone = [record(number, nothing, nothing, nothing) for number in range(5)]
    assert first_lost_round([record(0, 1.0, 0.5), record(1, nothing, 0.5), *gone[2:]]) == 2
    assert first_lost_round([record(0, 1.0, 0.5), *gone[1:3], record(3, nothing, 0.5)]) is None
    assert first_lost_round([*gone[:2], record(2, 1.0, nothing), *gone[3:]]) == 3
    assert first_lost_round(gone) == 0


@pytest.mark.parametrize("nothing", NOTHING)
def test_what_never_was_defined_of_models_that_agree_is_not_lost(nothing) -> None:
    assert first_lost_round([record(number, nothing, nothing) for number in range(3)]) is None
    assert first_lost_round([{"round": 0, "consensus_distance": nothing}]) is None
    assert first_lost_round([]) is None


@pytest.mark.slow
def test_noise_that_drowns_all_measurements_is_told_as_divergence() -> None:
    with jax.enable_x64(False):
        problem = isotropic_quadratic(8, dimension=3, heterogeneity=1.0, rng=0)
        step = algorithms.dsgd(problem, optax.sgd(0.1), mixing.metropolis_hastings(topology.ring(8)))
        result = simulate(step, 4, evaluate_every=2, conditions=Conditions(noise=1e30))
    assert (result.status, result.rounds) == ("diverged", 4)
    assert not math.isfinite(result.metrics.final["distance_to_optimum_mean"])
    assert math.isfinite(float(abs(result.x).max()))
