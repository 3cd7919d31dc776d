"""Optimizers that a configuration can name: common ones of optax under their own names, and Pegasos."""

import functools
import inspect
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from jaxgossip.core.arguments import guarded, is_number, number, shown
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.registry import Builder, Registry
from jaxgossip.learning.optimizers.masks import MASK, mask_of


@guarded
def pegasos(*, regularization: float = 1e-4) -> optax.GradientTransformation:
    """Pegasos: gradient steps of size 1/(λ t), t = 1, 2, … being the age of the model.

    Shalev-Shwartz, Singer, Srebro and Cotter 2011, "Pegasos: primal estimated sub-gradient solver for SVM", figure 1.

    Args:
        regularization: λ, the same as the model's.

    Raises:
        InputError: a regularization that is not positive.
    """
    if is_number(regularization) and regularization <= 0:
        raise InputError(f"optimizer 'pegasos' needs a positive regularization, not {regularization:g}")
    return optax.sgd(lambda count: 1 / (regularization * (count + 1)))


OPTAX_NAMES = (
    "sgd",
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "adan",
    "lamb",
    "lars",
    "lion",
    "nadam",
    "nadamw",
    "radam",
    "rmsprop",
    "yogi",
)
"""Common optimizers that are registered under optax's names."""
CONTRIB_NAMES = ("muon",)
"""Optimizers of optax.contrib that are registered under their names there."""
DECAY_RATES = ("b1", "b2", "b3", "decay", "rho", "beta", "adam_b1", "adam_b2")
"""Decay rates of running means, which must be below 1."""
OPTIONAL = (
    "learning_rate",
    "momentum",
    "weight_decay_rate",
    "clipping_threshold",
    "adam_learning_rate",
    "consistent_rms",
)
"""Numbers that may also be None or, of learning rates, missing."""
ANNOTATIONS: Mapping[str, Any] = MappingProxyType(
    {"ns_steps": int, "ns_coeffs": Any, "muon_weight_dimension_numbers": Any}
)
"""Annotations in place of optax's: what counts something is whole, and what no configuration can hold is left to Python."""
MASK_HELP = (
    "the parameters that decay: 'kernels', those of two or more dimensions, or a list of top-level names and patterns of "
    "paths, such as '*/kernel'; all if left out"
)


def _validated(name: str, builder: Builder) -> Builder:
    """Wrap an optax builder so that it rejects what is no number, negative and infinite ones, and decay rates of 1 or more."""
    named = _with_names(name, builder)
    defaults = {key: parameter.default for key, parameter in inspect.signature(named).parameters.items()}

    def check(kind: str, given: Mapping[str, Any]) -> None:
        for key, value in given.items():
            if value is defaults[key]:
                continue
            if key.endswith("dtype"):
                _check_dtype(kind, key, value)
            elif key in OPTIONAL or is_number(defaults[key]):
                if not is_number(value) and (callable(value) or hasattr(value, "dtype")):
                    continue  # a schedule, or an array on the device
                if number(kind, key, value) >= 1 and key in DECAY_RATES:
                    raise InputError(f"{kind}: {key} must be below 1, not {value}")

    return guarded(named, check, name)


def _with_names(name: str, builder: Builder) -> Builder:
    """Wrap an optax builder with weight decay so that its mask may also name parameters, as ``weight_decay_mask``."""
    signature = inspect.signature(builder)
    takes = next((key for key in (MASK, "mask") if key in signature.parameters), None)
    if takes is None:
        return builder
    mask = inspect.Parameter(MASK, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=str | list[str] | None)
    kept = [
        parameter.replace(annotation=ANNOTATIONS.get(key, parameter.annotation))
        for key, parameter in signature.parameters.items()
        if key != MASK
    ]
    signature = signature.replace(parameters=[*kept, mask])
    decay = next(key for key in ("weight_decay", "weight_decay_rate") if key in signature.parameters)

    @functools.wraps(builder)
    def build(*args: Any, **keywords: Any) -> optax.GradientTransformation:
        given = signature.bind(*args, **keywords).arguments
        if (value := given.pop(MASK, None)) is not None:
            if takes in given:
                raise InputError(f"{name}: {takes} and {MASK} are the same", hint=f"give {MASK} alone")
            strength = given.get(decay, signature.parameters[decay].default)
            if strength is None or (is_number(strength) and strength == 0):
                raise InputError(f"{name}: {MASK} without {decay} has no effect", hint=f"give a {decay} above 0")
            given[takes] = mask_of(value)
        return builder(**given)

    annotations = {key: parameter.annotation for key, parameter in signature.parameters.items()}
    vars(build).update(__signature__=signature)
    build.__annotations__ = annotations
    build.__doc__ = re.sub(r"Args:\n( +)", rf"Args:\n\1{MASK}: {MASK_HELP}.\n\1", builder.__doc__ or "", count=1)
    return build


def _check_dtype(kind: str, name: str, value: Any) -> None:
    try:
        is_floating = jnp.issubdtype(np.dtype(value), jnp.floating)
    except TypeError:
        is_floating = False
    if not is_floating:
        raise ArgumentTypeError(
            f"{kind}: {name} must be a dtype of floats, not {shown(value)}", hint="float32 or bfloat16"
        )


OPTIMIZERS = Registry(
    "optimizer",
    {
        **{name: _validated(name, getattr(optax, name)) for name in OPTAX_NAMES},
        **{name: _validated(name, getattr(optax.contrib, name)) for name in CONTRIB_NAMES},
        "pegasos": pegasos,
    },
)
"""Builders that ``optimizer.kind`` can name: optax's under their own names, and Pegasos."""
