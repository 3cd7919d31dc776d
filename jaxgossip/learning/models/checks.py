"""Checks of a model's functions, which are traced once before they are used."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

import jaxgossip
from jaxgossip.core.errors import InputError, JaxGossipError
from jaxgossip.learning.data.arrays import Dataset
from jaxgossip.learning.models.model import Model

STATISTICS = ("batch_stats", "cache", "intermediates", "spectral_stats")
"""Collections of variables that flax keeps beside parameters."""


def check_functions(model: Model, dataset: Dataset, dtype: np.dtype) -> jax.ShapeDtypeStruct:
    """Check that a model's functions fit together, and that outputs and losses have the right shapes.

    Args:
        model: the model to check.
        dataset: the data set on which it is trained.
        dtype: dtype of computation.

    Returns:
        The shape and dtype of two samples.

    Raises:
        InputError: a function fails, or returns an array of the wrong shape; or the model is for other targets.
    """
    if model.of and dataset.target not in model.of:
        raise InputError(
            f"the model is for targets that are {' or '.join(model.of)}, and {dataset.name} has {dataset.target}",
            hint="mlp predicts values, gpt and lstm_char sequences",
        )
    samples = jax.ShapeDtypeStruct((2, *dataset.x_train.shape[1:]), np.int32 if dataset.samples == "tokens" else dtype)
    params = trace_shapes(
        "the model's init", "init(key) -> params, floats in any pytree", model.init, jax.random.key(0)
    )
    _check_variables(params, model.state)
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), params)
    told = f"prepare(x), x of two samples being of shape {samples.shape}"
    x = trace_shapes("the model's prepare", told, model.prepare, samples)
    kind = dtype if dataset.target == "value" else np.dtype(np.int32)
    targets = jax.ShapeDtypeStruct((2, *dataset.y_train.shape[1:]), kind)
    outputs = trace_shapes(
        "the model's apply", f"apply(params, x), x of two samples being of shape {x.shape}", model.apply, params, x
    )
    _check_outputs(model, dataset, outputs, targets)
    name = "loss" if model.objective is None else "objective"
    takes = "(outputs, targets)" if model.objective is None else "(params, x, targets)"
    losses = trace_shapes(
        f"the model's {name}", f"{name}{takes} -> one number a sample", model.losses, params, x, targets
    )
    if losses.shape != (2,):
        raise InputError(
            f"the {name} of two samples has shape {losses.shape}", hint=f"{name} returns one number a sample"
        )
    return samples


def check_training(
    model: Model, n_train: Int[np.ndarray, " n"], batch_size: int, *, by_epochs: bool, private: bool
) -> None:
    """Check that a model with dropout or batch statistics can be trained on these minibatches.

    Args:
        model: the model.
        n_train: (n,) number of training samples of each node.
        batch_size: samples of a minibatch; 0 for all of the node.
        by_epochs: whether nodes go through epochs.
        private: whether the gradient of each sample is clipped.

    Raises:
        InputError: it cannot.
    """
    if model.forward is not None and private:
        raise InputError(
            "privacy clips the gradient of each sample, and a model with dropout or batch statistics has none",
            hint="group normalisation and no dropout, or no privacy",
        )
    ragged = n_train % batch_size if by_epochs else n_train - n_train.max() if batch_size == 0 else 0
    if model.state and np.any(ragged):
        raise InputError(
            "batch statistics need whole batches, and nodes have different numbers of samples",
            hint="a batch_size above 0 with sampling = 'replacement', as many samples on each node, or group normalisation",
        )


def _check_outputs(model: Model, dataset: Dataset, outputs: Any, targets: Any) -> None:
    shape, classes = outputs.shape, max(2, dataset.n_classes)
    if model.measures is not None:  # outputs need not refer to the targets
        takes = f"measures(outputs, targets) -> numbers by name, targets being of shape {targets.shape}"
        measured = trace_shapes("the model's measures", takes, model.measures, outputs, targets)
        if not measured:
            raise InputError("the model's measures are empty", hint="measures gives numbers by name, one at least")
        for name, measure in measured.items():
            if measure.shape != ():
                raise InputError(
                    f"the measure '{name}' has shape {measure.shape}", hint="measures gives numbers by name"
                )
    elif dataset.target == "value":
        if shape not in {targets.shape, (*targets.shape, 1)}:
            raise InputError(
                f"the model gives outputs of shape {shape} for two samples, whose values have shape {targets.shape}",
                hint="apply returns outputs of the shape of the targets",
            )
    elif dataset.target == "sequence":
        if shape[:-1] != targets.shape or shape[-1] < classes:
            raise InputError(
                f"the model gives scores of shape {shape} for two sequences {targets.shape} of {dataset.n_classes} tokens",
                hint="apply returns (samples, length, tokens)",
            )
    elif not (len(shape) == 2 and shape[0] == 2 and shape[1] >= classes) and (shape != (2,) or dataset.n_classes != 2):
        raise InputError(
            f"the model gives scores of shape {shape} for two samples of {dataset.n_classes} classes",
            hint="apply returns (samples, classes)" + (", or (samples,)" if dataset.n_classes == 2 else ""),
        )


def _check_variables(params: Any, state: Sequence[str]) -> None:
    """Reject variables that flax keeps beside parameters: running statistics are not learnt by gradients."""
    undeclared = [name for name in STATISTICS if name not in state]
    others = [name for name in undeclared if isinstance(params, Mapping) and "params" in params and name in params]
    if others:
        raise InputError(
            f"init returns {', '.join(others)} beside params, which no gradient moves",
            hint="init returns module.init(key, x)['params'] alone; take a module without running statistics, such as "
            "LayerNorm in the place of BatchNorm",
        )


def trace_shapes(what: str, call: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the shapes of a function's results; an exception becomes one sentence that names the user's own line.

    Args:
        what: what the function is, as named in messages.
        call: how it is called, for the hint.
        function: the function.
        arguments: arrays, or their shapes.

    Raises:
        InputError: the function raised an exception.
    """
    try:
        return jax.eval_shape(function, *arguments)
    except JaxGossipError:
        raise
    except Exception as error:
        reason = (str(error).strip() or "nothing said").split("\n", maxsplit=1)[0].removesuffix(".")
        place = _own_line(error)
        raise InputError(
            f"{what} raised {type(error).__name__}: {reason}", hint=f"{call}{place and f'; {place}'}"
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
