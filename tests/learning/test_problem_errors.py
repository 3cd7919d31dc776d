"""Problems that cannot be: batches, private parameters, functions and types that do not fit, told as they are made."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip.core.errors import DataError, InputError
from jaxgossip.learning import classification, isotropic_quadratic, least_squares, minibatches, models
from tests.learning.cases import UNEVEN, D, dataset


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"batch_size": -1},
            DataError,
            "classification: batch_size must not be negative: -1 (0 takes all samples of a node)",
        ),
        (
            {"private": ("v",)},
            InputError,
            "the model has no parameter 'v' to keep private (allowed: w)",
        ),
        (
            {"private": ("w",)},
            InputError,
            "all parameters are private: nothing is left to exchange (learning.private (in Python: private) names w: leave one of them out)",
        ),
    ],
)
def test_impossible_problems_are_told(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as told:
        classification(dataset(), UNEVEN, models.logistic((D,), 2), **options)
    assert str(told.value) == message


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("init", "apply", "loss", "message"),
    [
        (
            lambda _: jnp.zeros((D, 1)),
            lambda w, x: x @ w,
            "squared",
            "the model gives scores of shape (2, 1) for two samples of 2 classes (apply returns (samples, classes), or (samples,))",
        ),
        (
            lambda _: jnp.zeros(D),
            lambda w, x: (x @ w).mean(),
            "squared",
            "the model gives scores of shape () for two samples of 2 classes (apply returns (samples, classes), or (samples,))",
        ),
        (
            lambda _: jnp.zeros(D),
            lambda w, x: x @ w,
            lambda s, y: ((s - y) ** 2).mean(),
            "the loss of two samples has shape () (loss returns one number a sample)",
        ),
        (
            lambda _: {"w": jnp.zeros(D), "steps": jnp.zeros((), jnp.int32)},
            lambda p, x: x @ p["w"],
            "hinge",
            "the model's parameter ['steps'] is of type int32 (return floats from init)",
        ),
        (lambda _: {}, lambda _, x: x.sum(1), "hinge", "the model has no parameters (return some from the model's init)"),
    ],
)  # fmt: skip
def test_functions_of_ones_own_that_do_not_fit_are_told(init, apply, loss, message: str) -> None:
    with pytest.raises(InputError) as told:
        classification(dataset(), UNEVEN, models.from_functions(init, apply, loss))
    assert str(told.value) == message


def test_two_scores_for_three_classes_are_told() -> None:
    with pytest.raises(InputError) as told:
        classification(dataset(3), UNEVEN, models.softmax((D,), 2))
    assert str(told.value) == (
        "the model gives scores of shape (2, 2) for two samples of 3 classes (apply returns (samples, classes))"
    )


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (np.float64, "float64 is switched off in JAX (build and run within jax.enable_x64(True))"),
        (np.int32, "models are of a floating type, not int32 (dtype is bfloat16, float16, float32 or float64)"),
    ],
)
def test_types_that_models_cannot_have_are_told(dtype: type, message: str) -> None:
    for make in (
        lambda: classification(dataset(), UNEVEN, models.logistic((D,), 2), dtype=dtype),
        lambda: isotropic_quadratic(3, dtype=dtype),
        lambda: least_squares(3, dtype=dtype),
    ):
        with pytest.raises(InputError) as told:
            make()
        assert str(told.value) == message


def test_parameters_without_names_cannot_be_private() -> None:
    model = models.from_functions(lambda _: (jnp.zeros(D),), lambda p, x: x @ p[0], "hinge")
    with pytest.raises(InputError) as told:
        classification(dataset(), UNEVEN, model, private=("w",))
    assert str(told.value) == ("private names need a model whose parameters are a dict (return a dict from init)")


def test_all_samples_at_once_are_refused_where_padding_would_be_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minibatches, "MAX_PADDED_BYTES", 19 * D * 4)
    with pytest.raises(DataError) as told:
        classification(dataset(), UNEVEN, models.logistic((D,), 2), batch_size=0)
    assert str(told.value) == "batch_size = 0 pads 4 nodes to the 5 samples of node 2: 0.0 GiB (give a batch_size)"
    classification(dataset(), UNEVEN, models.logistic((D,), 2), batch_size=1)
