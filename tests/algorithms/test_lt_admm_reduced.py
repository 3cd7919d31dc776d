"""LT-ADMM with variance reduction: in step with a reference in NumPy, plain where nothing is drawn, and without a floor."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgossip as jg
from jaxgossip.algorithms import Algorithm
from jaxgossip.algorithms.exact.finite_sums import active_nodes
from jaxgossip.algorithms.local_steps import Epochs, batches_of
from jaxgossip.core.random import run_key
from jaxgossip.network import Conditions, Round
from tests.algorithms.q16 import B, ring
from tests.algorithms.test_model_state import problem_of
from tests.algorithms.test_variance_reduced import COUNTS, SAMPLES, after, digits_of, quadratics


@pytest.fixture(autouse=True)
def in_double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


FORMS = ("renewed", "kept")
RATE, MOMENTUM, CORRECTION, PENALTY, RELAXATION, STEPS = 0.1, 0.4, 0.08, 0.7, 0.45, 3
N, M, P, SHARED = len(COUNTS), sum(COUNTS), 3, 2
KEY = run_key(1)
STRAGGLERS = Conditions(straggle=0.3)
FAULTS = Conditions(drop=0.2, online=0.8, straggle=0.3)


def path() -> Any:
    return jg.mixing.metropolis_hastings(jg.topology.path(N))


def table() -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (m, p) and values (m,), node after node."""
    rng = np.random.default_rng(2)
    return rng.normal(size=(M, P)), rng.normal(size=M) + np.repeat(np.arange(N), COUNTS)


def values(dtype: Any = jnp.float64, **options: Any) -> Any:
    """Return the problem ½(xᵀw − y)² of nodes with so many samples, whose models begin at 0 and have a private column."""
    x, y = table()
    data = jg.learning.Dataset("values", x, y, x, y, 0, target="value")
    owned = jg.learning.Partition(np.arange(M, dtype=np.int32), np.cumsum([0, *COUNTS]), np.asarray(COUNTS, np.int32))
    model = jg.learning.models.from_functions(
        lambda _: {"shared": jnp.zeros(SHARED), "tail": jnp.zeros(P - SHARED)},
        lambda w, x: x @ jnp.concatenate([w["shared"], w["tail"]]),
        lambda outputs, y: (outputs - y) ** 2 / 2,
    )
    return jg.learning.supervised(data, owned, model, private=["tail"], dtype=dtype, **options)


def lt_admm(problem: Any, form: Any, W: Any = None, rate: float = RATE, **options: Any) -> Algorithm:
    words: dict[str, Any] = {"correction": CORRECTION, "penalty": PENALTY, "relaxation": RELAXATION} | options
    if "local_epochs" not in words:
        words = {"local_steps": STEPS} | words
    optimizer = optax.sgd(rate, momentum=MOMENTUM)
    return jg.algorithms.lt_admm(problem, optimizer, W or path(), variance_reduction=form, **words)


def run(algorithm: Algorithm, rounds: int, conditions: Conditions) -> list[Any]:
    """Return the states after 0, 1, … rounds."""
    step = jax.jit(lambda state, number: algorithm.step(state, Round(number, KEY, N, conditions))[0])
    states = [algorithm.init(run_key(0))]
    for number in range(rounds):
        states.append(step(states[-1], jnp.int32(number)))
    return states


class Reference:
    """LT-ADMM-VR in NumPy, node by node and sample by sample, on :func:`values`."""

    def __init__(self, form: str) -> None:
        inputs, targets = table()
        ends = np.cumsum(COUNTS)[:-1]
        self.form, self.inputs, self.targets = form, np.split(inputs, ends), np.split(targets, ends)
        self.x, self.momentum = np.zeros((N, P)), np.zeros((N, P))
        self.z = {(i, j): PENALTY * self.x[i, :SHARED] for i in range(N) for j in (i - 1, i + 1) if 0 <= j < N}
        self.tables = [self.gradients(i) for i in range(N)]

    def gradients(self, i: int) -> np.ndarray:
        """Return (m_i, p), the gradients of the samples of a node."""
        return (self.inputs[i] @ self.x[i] - self.targets[i])[:, None] * self.inputs[i]

    def round(self, works: np.ndarray, minibatches: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
        """Go on by a round, in which ``works`` (n,) and minibatches of (numbers, used, takes), one a local step, are given."""
        pull = np.zeros((N, P))
        for (i, _), z in self.z.items():
            pull[i, :SHARED] += z - PENALTY * self.x[i, :SHARED]
        for i in range(N):
            if not works[i]:
                continue
            if self.form == "renewed":
                self.tables[i] = self.gradients(i)
            for numbers, used, takes in minibatches:
                if takes[i]:
                    self.local(i, numbers[i][used[i]], CORRECTION * pull[i])
        sent = {(j, i): z - 2 * PENALTY * self.x[j, :SHARED] for (j, i), z in self.z.items()}
        self.z = {(i, j): (1 - RELAXATION) * z - RELAXATION * sent[j, i] for (i, j), z in self.z.items()}

    def local(self, i: int, drawn: np.ndarray, pull: np.ndarray) -> None:
        gradients, before = self.gradients(i), self.tables[i].copy()
        v = (gradients[drawn] - before[drawn]).mean(0) + before.mean(0)
        self.tables[i][drawn] = gradients[drawn]
        self.momentum[i] = MOMENTUM * self.momentum[i] + v
        self.x[i] += pull - RATE * self.momentum[i]


def rounds_of(problem: Any, steps: Any) -> Any:
    """Return number -> (works, minibatches), what :meth:`Reference.round` takes."""

    def batches(number: Any) -> tuple[Any, Any]:
        round_ = Round(number, KEY, N, STRAGGLERS)
        return round_.works, batches_of(problem, round_, steps)

    most, everyone = int(batches(jnp.int32(0))[1].most), jnp.ones(N, bool)

    @jax.jit
    def of_round(number: Any) -> tuple[Any, list[Any]]:
        (works, drawn), minibatches = batches(number), []
        for step in range(most):
            (numbers, used), takes = problem.draw_samples(drawn.draw(problem, step)), drawn.takes(step)
            used = jnp.ones(numbers.shape, bool) if used is None else used
            minibatches.append((numbers, used, everyone if takes is None else takes))
        return works, minibatches

    return lambda number: jax.tree.map(np.asarray, of_round(jnp.int32(number)))


@pytest.mark.by_default("three steps-renewed")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("options", "steps"),
    [
        pytest.param({"batch_size": 3}, {"local_steps": STEPS}, id="three steps"),  # which draw some samples twice
        pytest.param({"batch_size": 2, "sampling": "epochs"}, {"local_epochs": 2}, id="two epochs"),
    ],
)
def test_it_is_the_reference(options: dict[str, Any], steps: dict[str, int], form: str) -> None:
    """With momentum, a private column, nodes of different numbers of samples and neighbours, and stragglers."""
    problem, reference, slow = values(**options), Reference(form), 0
    taken = steps.get("local_steps") or Epochs(steps["local_epochs"])
    drawn = rounds_of(problem, taken)
    for number, state in enumerate(run(lt_admm(problem, form, **steps), 25, STRAGGLERS)):
        np.testing.assert_allclose(state.x, reference.x, atol=1e-12)
        np.testing.assert_allclose(state.z, [reference.z[link] for link in sorted(reference.z)], atol=1e-12)
        works, minibatches = drawn(number)
        slow += int((~works).sum())
        reference.round(works, minibatches)
    assert slow > 10
    assert np.abs(reference.x).max() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_of_all_samples_it_is_lt_admm(form: str) -> None:
    """Whoever is slow or offline."""
    plain, reduced = (run(lt_admm(values(batch_size=0), name, path()), 25, FAULTS)[-1] for name in ("none", form))
    np.testing.assert_allclose(reduced.x, plain.x, atol=1e-12)
    np.testing.assert_allclose(reduced.z, plain.z, atol=1e-12)
    assert np.abs(plain.x).max() > 0.5


@pytest.mark.slow
def test_renewed_the_first_step_is_exact_whatever_is_drawn() -> None:
    one, whole = (run(lt_admm(values(batch_size=b), form, local_steps=1), 25, FAULTS)[-1].x for b, form in
                  ((1, "renewed"), (0, "none")))  # fmt: skip
    np.testing.assert_allclose(one, whole, atol=1e-12)


@pytest.mark.slow
def test_renewed_the_second_is_as_well_where_curvatures_agree() -> None:
    """The table is at one model still; in the third step some of its gradients are of another."""

    def models(batch_size: int, form: str, steps: int) -> np.ndarray:
        problem = quadratics(batch_size=batch_size)
        return after(lt_admm(problem, form, ring(), rate=0.05, local_steps=steps), 40).x

    np.testing.assert_allclose(models(1, "renewed", 2), models(0, "none", 2), atol=1e-13)
    assert np.abs(models(1, "renewed", 4) - models(0, "none", 4)).max() > 1e-4
    assert np.abs(models(1, "kept", 2) - models(0, "none", 2)).max() > 1e-4


@pytest.mark.slow
def test_of_one_sample_a_kept_table_is_lt_admm() -> None:
    kept, plain = (
        after(lt_admm(quadratics(SAMPLES[:, :1]), form, ring(), rate=0.05), 40).x for form in ("kept", "none")
    )
    np.testing.assert_allclose(kept, plain, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_noise_leaves_no_floor_on_quadratics(form: str) -> None:
    def error(form: str) -> float:
        options = {"correction": 0.1, "penalty": 0.5, "relaxation": 0.5, "local_steps": 5}
        x = after(lt_admm(quadratics(), form, ring(), rate=0.04 * (1 - MOMENTUM), **options), 1500).x
        return float(np.linalg.norm(x - SAMPLES.mean()))

    assert np.ptp(B) > 3
    assert error(form) < 1e-10
    assert error("none") > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 2, "sampling": "epochs"}], ids=["1", "epochs"])
def test_nor_on_logistic_regression(options: dict[str, Any], form: str) -> None:
    """Of nodes with other numbers of samples, over a network that loses messages."""

    def ends(form: str, **options: Any) -> np.ndarray:
        return np.asarray(after(lt_admm(digits_of(COUNTS, **options), form), 3000, conditions=FAULTS).x)

    exact = ends("none", batch_size=0)
    np.testing.assert_allclose(exact, np.broadcast_to(exact[:1], exact.shape), atol=1e-9)
    np.testing.assert_allclose(ends(form, **options), exact, atol=1e-8)
    assert np.abs(ends("none", **options) - exact).max() > 1e-3


@pytest.mark.slow
def test_a_kept_table_stays_at_nodes_that_do_not_work() -> None:
    states, stayed = run(lt_admm(values(batch_size=3), "kept"), 30, FAULTS), 0
    for number in range(30):
        idle = ~np.asarray(active_nodes(Round(jnp.int32(number), KEY, N, FAULTS)))
        stayed += int(idle.sum())
        for old, new in zip(states[number].of_samples, states[number + 1].of_samples, strict=True):
            np.testing.assert_array_equal(new[idle], old[idle])
            assert (np.asarray(new != old).reshape(N, -1).any(1) | idle).all()
    each, mean = states[-1].of_samples
    for rows, total, count in zip(each, mean, COUNTS, strict=True):
        np.testing.assert_allclose(total, rows[:count].mean(0), atol=1e-14)
    assert stayed > 20


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_models_of_16_bits_are_stepped_in_float32_and_rounded_once(form: str) -> None:
    """Of all samples, V is exact whatever the rows of a table are rounded to."""
    problem = values(jnp.bfloat16, batch_size=0)
    reduced, plain = (lt_admm(problem, name, local_steps=40, rate=1e-3, correction=0.005) for name in (form, "none"))
    state = run(reduced, 3, STRAGGLERS)[-1]
    assert state.x.dtype == jnp.bfloat16
    round_ = Round(jnp.int32(3), KEY, N, STRAGGLERS)
    found, expected = (
        algorithm.method.step(problem, algorithm.W, before, round_)[0].x
        for algorithm, before in ((reduced, state), (plain, state._replace(of_samples=())))
    )
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - state.x).max() > 1e-2
    if form == "kept":
        each, mean = run(lt_admm(values(jnp.bfloat16, batch_size=2), form), 20, FAULTS)[-1].of_samples
        assert (each.dtype, mean.dtype) == (jnp.bfloat16, jnp.float32)
        for rows, total, count in zip(np.asarray(each, np.float64), mean, COUNTS, strict=True):
            np.testing.assert_allclose(total, rows[:count].mean(0), atol=1e-6)


def test_only_a_kept_table_is_state() -> None:
    for form in ("none", "renewed"):
        assert lt_admm(values(batch_size=1), form).init(run_key(0)).of_samples == ()
    each, mean = lt_admm(values(batch_size=1), "kept").init(run_key(0)).of_samples
    assert (each.shape, mean.shape) == ((N, max(COUNTS), P), (N, P))
    assert [lt_admm(values(batch_size=1), form).name for form in ("none", *FORMS)] == [
        "LT-ADMM", "LT-ADMM-VR", "LT-ADMM-VR"
    ]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_gradients_that_have_no_table_are_refused(form: str) -> None:
    private = digits_of(COUNTS, batch_size=1, privacy=jg.learning.DifferentialPrivacy(1.0, 1.0))
    with pytest.raises(
        jg.errors.InputError, match=r"^lt_admm: differences of private gradients, with the same noise in both"
    ):
        lt_admm(private, form)
    lt_admm(private, "none")
    states = problem_of(N)
    with pytest.raises(
        jg.errors.InputError, match=r"^lt_admm takes gradients of single samples, and these have no batch"
    ) as refused:
        lt_admm(states, form)
    assert refused.value.hint == "variance_reduction = 'none', or a model without them"
    lt_admm(states, "none")
