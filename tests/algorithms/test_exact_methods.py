"""Linear rates and step limits, from the exact linear map of a step and from runs; who is exact for different data."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import ALGORITHMS, Algorithm
from jaxgossip.network import Round
from jaxgossip.theory import predictions as p
from jaxgossip.theory.measuring import late_rate
from tests.algorithms import oracles

t = jg.topology
N, ETA = 16, 0.2
DIRECTED = (
    sum(np.eye(N, k=k) for k in (-1, N - 1)) + np.diag(np.arange(N - 5) % 2, 5) + np.diag(np.arange(N - 3) % 3 == 0, -3)
)
"""A directed ring with chords, of out-degrees 1 to 3."""


class Method(NamedTuple):
    """A linear method: how it is made, the leaves of its state that count, and what theory says of a mode."""

    name: str
    options: Mapping[str, Any]
    leaves: tuple[str, ...]
    mode: p.Mode
    quoted: float | None = None
    eta: float = ETA
    exact: bool = True

    def __str__(self) -> str:
        return " ".join([self.name, *map(str, self.options.values())])

    def make(self, problem: jg.learning.Problem, W: jg.mixing.Operator, eta: float | None = None) -> Algorithm:
        return ALGORITHMS[self.name](problem, optax.sgd(self.eta if eta is None else eta), W, **self.options)


EXACT = [
    Method("gradient_tracking", {"form": "diging"}, ("x", "y", "g"), p.diging_mode(ETA), 0.9912),
    Method("gradient_tracking", {"form": "semi_atc"}, ("x", "y", "g"), oracles.semi_atc_mode(ETA)),
    Method("gradient_tracking", {"form": "atc"}, ("x", "y", "g"), p.atc_tracking_mode(ETA), 0.99054),
    Method("extra", {}, ("x", "c"), p.extra_mode(ETA), 0.88013),
    Method("d2", {}, ("x", "c"), p.d2_mode(ETA), 0.89722),
    Method("exact_diffusion", {}, ("x", "c"), p.exact_diffusion_mode(ETA), 0.88301),
    Method("k_gt", {"local_steps": 3, "outer_rate": 0.7}, ("x", "c"), oracles.k_gt_mode(0.1, 3, 0.7), eta=0.1),
    Method("admm", {"penalty": 1.0, "local_steps": 3}, ("x", "dual"), oracles.admm_mode(ETA, 3, 1.0, 1 / 3)),
]
BIASED = [
    *(
        Method("dsgd", {"form": form}, ("x",), oracles.dsgd_mode(form, ETA), exact=False)
        for form in ("atc", "cta", "dgd")
    ),
    *(
        Method(name, {"momentum": 0.9}, ("x", "v"), oracles.momentum_mode(name, 0.1, 0.9), eta=0.1, exact=False)
        for name in ("dsgdm", "dmsgd", "qg_dsgdm", "decentlam")
    ),
]
BY_NAME = {str(method): method for method in EXACT + BIASED}
each = pytest.mark.parametrize("method", EXACT + BIASED, ids=str)
each_exact = pytest.mark.parametrize("method", EXACT, ids=str)


def ring() -> jg.mixing.Operator:
    return jg.mixing.metropolis_hastings(t.ring(N))


def ring_spectrum() -> np.ndarray:
    return (1 + 2 * np.cos(2 * np.pi * np.arange(N) / N)) / 3


def quadratic(dimension: int, **options: Any) -> jg.learning.Problem:
    return jg.learning.isotropic_quadratic(
        N, dimension=dimension, noise=0.0, dtype=jnp.float64, **{"heterogeneity": 0.0} | options
    )


def linear_map(make: Callable[[jg.learning.Problem], Algorithm], leaves: tuple[str, ...], **fixed: Any) -> np.ndarray:
    """Return the matrix of one step on ``leaves`` of the state: column j is what it makes of the j-th basis vector.

    Columns of the models do not see each other, so one step on as many columns as there are basis vectors gives all.
    """
    size = len(leaves) * N
    algorithm = make(quadratic(size))
    basis = dict(zip(leaves, jnp.eye(size).reshape(len(leaves), N, size), strict=True))
    state = algorithm.init(jax.random.key(0))._replace(**basis, **fixed)
    after, _ = jax.jit(lambda state: algorithm.step(state, Round(jnp.int32(0), jax.random.key(0), N)))(state)
    return np.concatenate([np.asarray(getattr(after, leaf)) for leaf in leaves])


@pytest.mark.by_default("dsgd dgd")
@each
def test_the_linear_map_of_a_step_has_the_predicted_spectrum(method: Method) -> None:
    with jax.enable_x64(True):
        M = linear_map(lambda problem: method.make(problem, ring()), method.leaves)
    expected = p.spectrum(method.mode, ring_spectrum())
    # Power sums tell multisets of eigenvalues apart and, unlike sorted lists, bear repeated ones.
    power = np.eye(len(M))
    for k in range(1, 9):
        power = power @ M
        assert abs(np.trace(power) - (expected**k).sum()) < 1e-9
    found = np.linalg.eigvals(M)
    if method.exact:
        assert np.abs(found - 1).min() < 1e-9
        found, expected = oracles.without_neutral(found), oracles.without_neutral(expected)
    assert abs(np.abs(found).max() - np.abs(expected).max()) < 1e-6
    if method.quoted:
        assert abs(np.abs(found).max() - method.quoted) < 5e-5


@pytest.mark.by_default("dsgd atc")
@each
def test_runs_contract_at_the_predicted_rate(method: Method) -> None:
    with jax.enable_x64(True):
        algorithm = method.make(quadratic(4, init="independent"), ring())
        measured = float(jax.jit(lambda: late_rate(algorithm, method.leaves, 4000))())
    expected = np.abs(p.spectrum(method.mode, ring_spectrum()[1:])).max()
    assert abs(measured / expected - 1) < 1e-3


@pytest.mark.slow
@each_exact
def test_different_data_leave_no_bias(method: Method) -> None:
    with jax.enable_x64(True):
        problem = quadratic(4, heterogeneity=1.0, init="independent")
        final = jg.simulate(method.make(problem, ring()), 4000, evaluate_every=4000).metrics.final
    assert final["distance_to_optimum_mean"] < 1e-9**2
    assert final["consensus_distance"] < 1e-9**2


@pytest.mark.slow
def test_push_diging_is_exact_on_a_directed_graph_at_the_predicted_rate() -> None:
    adjacency = DIRECTED != 0
    A = (adjacency + np.eye(N)) / (1 + adjacency.sum(0))
    expected = oracles.push_diging_map(A, 0.1)
    assert np.ptp(oracles.push_weights(A)) > 0.1
    with jax.enable_x64(True):
        mixing = jg.mixing.push_sum(t.from_scipy(adjacency.astype(float)))
        np.testing.assert_allclose(mixing.as_matrix(), A, atol=1e-15)

        def make(problem: jg.learning.Problem) -> Algorithm:
            return jg.algorithms.push_diging(problem, optax.sgd(0.1), mixing)

        M = linear_map(make, ("u", "y", "g"), w=jnp.asarray(oracles.push_weights(A)[:, None]))
        final = jg.simulate(make(quadratic(4, heterogeneity=1.0)), 4000, evaluate_every=4000).metrics.final
    found, wanted = (np.abs(oracles.without_neutral(np.linalg.eigvals(one))).max() for one in (M, expected))
    assert abs(found - wanted) < 1e-6
    assert wanted < 1
    for k in range(1, 9):
        powers = (np.trace(np.linalg.matrix_power(one, k)) for one in (M, expected))
        assert abs(next(powers) - next(powers)) < 1e-9
    assert final["distance_to_optimum_mean"] < 1e-9**2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method_name", "known"),
    [("dsgd dgd", 2 / 3), ("gradient_tracking diging", (2 / 3) ** 2 / 2), ("extra", 1.0)],
    ids=["dgd", "diging", "extra"],
)
def test_a_step_size_beyond_the_threshold_diverges(method_name: str, known: float) -> None:
    method = BY_NAME[method_name]
    name = str(method.options.get("form", method.name))
    threshold = p.largest_step(name, ring_spectrum().min())  # even ring: λ_min = −1/3
    assert abs(threshold - known) < 1e-12
    with jax.enable_x64(True):
        W = ring()
        maps = [linear_map(lambda problem, eta=eta: method.make(problem, W, eta), method.leaves) for eta in (0.0, 1.0)]

        def passed(eta: float) -> bool:  # a step of SGD is affine in η
            values = np.linalg.eigvals(maps[0] + eta * (maps[1] - maps[0]))
            return np.abs(oracles.without_neutral(values) if method.exact else values).max() > 1

        flip = p.crossing(passed, 0.05, 1.5)
        sizes = [
            np.abs(
                jg.simulate(method.make(quadratic(2, heterogeneity=1.0), W, factor * flip), 5000, evaluate_every=5000).x
            ).max()
            for factor in (0.99, 1.01)
        ]
    assert abs(flip / threshold - 1) < 1e-6
    assert sizes[0] < 10
    assert sizes[1] > 1e3


@pytest.mark.slow
def test_diging_diverges_at_a_step_that_extra_bears() -> None:
    with jax.enable_x64(True):
        problem, W = quadratic(2, heterogeneity=1.0), ring()
        diging, extra = (
            jg.simulate(BY_NAME[name].make(problem, W, 0.6), 3000, evaluate_every=3000).status
            for name in ("gradient_tracking diging", "extra")
        )
    assert (diging, extra) == ("diverged", "completed")


@pytest.mark.slow
def test_d2_is_unstable_once_an_eigenvalue_is_below_minus_one_third() -> None:
    eta = 1e-3
    with jax.enable_x64(True):
        L = 3 * (np.eye(N) - ring().as_matrix())

        def passed(alpha: float) -> bool:
            W = jg.mixing.operator(t.weights.from_matrix(np.eye(N) - alpha * L))
            M = linear_map(lambda problem: jg.algorithms.d2(problem, optax.sgd(eta), W), ("x", "c"))
            return np.abs(oracles.without_neutral(np.linalg.eigvals(M))).max() > 1

        flip = p.crossing(passed, 0.30, 0.36, 1e-4)
    lowest = 1 - 4 * flip  # the Laplacian of an even ring has the eigenvalue 4
    assert abs(lowest - p.d2_lowest(eta)) < 1e-3
    assert abs(lowest * -3 - 1) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("method", [method for method in BIASED if "momentum" in method.options], ids=str)
def test_momentum_leaves_the_bias_of_the_step_it_acts_as(method: Method) -> None:
    eta, beta = 0.02, 0.9
    targets = np.random.default_rng(0).normal(size=(N, 4))
    with jax.enable_x64(True):
        W = ring()
        lam, modes = np.linalg.eigh(W.as_matrix())
        algorithm = method.make(quadratic(4, targets=targets), W, eta)
        result = jg.simulate(algorithm, 3000, evaluate_every=3000)
    factor = p.bias_factor("atc", lam, p.momentum_step(method.name, lam, eta, beta))
    factor[-1] = 0  # the mean has no bias
    expected = targets.mean(0) + modes @ (factor[:, None] * (modes.T @ targets))
    np.testing.assert_allclose(result.x, expected, atol=1e-9)
    bias = (factor**2 * ((modes.T @ targets) ** 2).sum(1)).sum() / N
    assert abs(result.metrics.final["distance_to_optimum_mean"] / bias - 1) < 1e-6
