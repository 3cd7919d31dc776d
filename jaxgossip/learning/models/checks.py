"""Checks of a model's functions, which are traced once before they are used."""

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgossip
from jaxgossip.core.errors import InputError, JaxGossipError
from jaxgossip.learning.data.arrays import Dataset
from jaxgossip.learning.models.model import Model

STATISTICS = ("batch_stats", "cache", "intermediates", "spectral_stats")
"""Collections of variables that flax keeps beside parameters."""


def check_functions(model: Model, dataset: Dataset, dtype: np.dtype) -> None:
    """Check that a model's functions fit together, and that scores and losses have the right shapes.

    Args:
        model: the model to check.
        dataset: the data set on which it is trained.
        dtype: dtype of computation.

    Raises:
        InputError: a function fails, or returns an array of the wrong shape.
    """
    x = jax.ShapeDtypeStruct((2, *dataset.x_train.shape[1:]), dtype)
    params = _trace_shapes("init", "init(key) -> params, floats in any pytree", model.init, jax.random.key(0))
    _check_variables(params)
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), params)
    shape = x.shape
    x = _trace_shapes("prepare", f"prepare(x), x of two samples being of shape {shape}", model.prepare, x)
    labels = jax.ShapeDtypeStruct((2,), jnp.int32)
    scores = _trace_shapes(
        "apply", f"apply(params, x), x of two samples being of shape {x.shape}", model.apply, params, x
    )
    _check_scores(model, dataset, scores, labels)
    name = "loss" if model.objective is None else "objective"
    takes = "(scores, labels)" if model.objective is None else "(params, x, labels)"
    losses = _trace_shapes(name, f"{name}{takes} -> one number a sample", model.losses, params, x, labels)
    if losses.shape != (2,):
        raise InputError(
            f"the {name} of two samples has shape {losses.shape}", hint=f"{name} returns one number a sample"
        )


def _check_scores(model: Model, dataset: Dataset, scores: Any, labels: Any) -> None:
    wide = scores.ndim == 2 and scores.shape[0] == 2 and scores.shape[1] >= max(2, dataset.n_classes)
    if model.measures is not None:  # scores need not refer to classes
        measured = jax.eval_shape(model.measures, scores, labels)
        if not measured:
            raise InputError("the model's measures are empty", hint="measures gives numbers by name, one at least")
        for name, measure in measured.items():
            if measure.shape != ():
                raise InputError(
                    f"the measure '{name}' has shape {measure.shape}", hint="measures gives numbers by name"
                )
    elif not wide and (scores.shape != (2,) or dataset.n_classes != 2):
        raise InputError(
            f"the model gives scores of shape {scores.shape} for two samples of {dataset.n_classes} classes",
            hint="apply returns (samples, classes)" + (", or (samples,)" if dataset.n_classes == 2 else ""),
        )


def _check_variables(params: Any) -> None:
    """Reject variables that flax keeps beside parameters: running statistics are not learnt by gradients."""
    others = [name for name in STATISTICS if isinstance(params, Mapping) and "params" in params and name in params]
    if others:
        raise InputError(
            f"init returns {', '.join(others)} beside params, which no gradient moves",
            hint="init returns module.init(key, x)['params'] alone; take a module without running statistics, such as "
            "LayerNorm in the place of BatchNorm",
        )


def _trace_shapes(name: str, call: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the shapes of a function's results; an exception becomes one sentence that names the user's own line."""
    try:
        return jax.eval_shape(function, *arguments)
    except JaxGossipError:
        raise
    except Exception as error:
        reason = (str(error).strip() or "nothing said").split("\n", maxsplit=1)[0].removesuffix(".")
        place = _own_line(error)
        raise InputError(
            f"the model's {name} raised {type(error).__name__}: {reason}", hint=f"{call}{place and f'; {place}'}"
        ) from error


def _own_line(error: Exception) -> str:
    """Return the last line of the user's own code in the traceback of ``error``; empty if there is none."""
    libraries = (str(Path(jaxgossip.__file__).parent), "site-packages", "<")
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(library in frame.filename for library in libraries)
    ]
    return f"{own[-1].filename}, line {own[-1].lineno}: {own[-1].line}" if own else ""
