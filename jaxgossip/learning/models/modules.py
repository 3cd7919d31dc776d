"""Models written in flax, linen or nnx, and in equinox; each library is imported only where one of its models is made."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgossip.core.arguments import guarded
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.typing import PRNGKey, PyTree
from jaxgossip.learning.models.model import Loss, Model, Outputs, StateRule

TRAINING: Mapping[str, bool] = MappingProxyType(
    {"train": True, "training": True, "is_training": True, "deterministic": False, "use_running_average": False}
)
"""What the parameter of a module that tells training from evaluation is called, and its value in training."""


@guarded
def from_linen(
    module: Any,
    input_shape: Sequence[int],
    *,
    loss: Loss | None = None,
    regularization: float = 0.0,
    state: StateRule = "mixed",
    tokens: bool = False,
) -> Model:
    """Make a model of a flax linen module, with its batch statistics and its dropout.

    A parameter of its ``__call__`` named like one of ``TRAINING`` is set in training and in evaluation. Random layers draw from
    the stream "dropout".

    Args:
        module: the module, which takes samples (b, …).
        input_shape: shape of a sample.
        loss: (outputs, targets) -> (b,); None is the usual one of the targets.
        regularization: weight of ‖params‖²/2 in the objective.
        state: whether collections beside "params", such as batch statistics, are "mixed" like parameters, "private", or
            private and "recalibrated" before evaluation; see :class:`.Model`.
        tokens: whether samples are int32 tokens.

    Raises:
        InputError: flax is not installed, or the module cannot be initialised with such samples.
        ArgumentTypeError: it is no linen module.
    """
    linen = _library("flax.linen", "flax")
    if not isinstance(module, linen.Module):
        raise ArgumentTypeError(
            f"{module!r} is no linen module", hint="from_linen(MyModule(), (28, 28, 1)), an instance"
        )
    flags = [name for name in inspect.signature(module.__call__).parameters if name in TRAINING]
    evaluation, training = ({name: TRAINING[name] == trains for name in flags} for trains in (False, True))
    x = jnp.zeros((1, *input_shape), jnp.int32 if tokens else jnp.float32)

    def variables_of(key: PRNGKey) -> dict[str, Any]:
        keys = dict(zip(("params", "dropout"), jax.random.split(key), strict=True))
        return dict(module.init(keys, x, **evaluation))

    try:
        shapes = jax.eval_shape(variables_of, jax.random.key(0))
    except Exception as error:  # the user's own code can raise any exception
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        raise InputError(
            f"the module raised {type(error).__name__}: {reason}", hint=f"it is called with samples of shape {x.shape}"
        ) from error
    collections = tuple(name for name in shapes if name != "params")

    def init(key: PRNGKey) -> PyTree:
        variables = variables_of(key)
        return variables if collections else variables["params"]

    def whole(params: PyTree) -> Mapping[str, Any]:
        return params if collections else {"params": params}

    def apply(params: PyTree, x: Array) -> Outputs:
        return module.apply(whole(params), x, **evaluation)

    def forward(params: PyTree, x: Array, key: PRNGKey) -> tuple[Outputs, Mapping[str, PyTree]]:
        outputs, state = module.apply(whole(params), x, rngs={"dropout": key}, mutable=list(collections), **training)
        return outputs, dict(state)

    return Model(
        init, apply, loss, regularization, forward=forward if collections or flags else None, state=collections,
        state_rule=state,
    )  # fmt: skip


@guarded
def from_nnx(
    make: Callable[..., Any],
    *,
    loss: Loss | None = None,
    regularization: float = 0.0,
    state: StateRule = "mixed",
) -> Model:
    """Make a model of a flax nnx module, with its batch statistics and its dropout.

    Args:
        make: rngs -> the module, such as ``lambda rngs: MyModule(10, rngs=rngs)``.
        loss: (outputs, targets) -> (b,); None is the usual one of the targets.
        regularization: weight of ‖params‖²/2 in the objective.
        state: whether batch statistics are "mixed" like parameters, "private", or private and "recalibrated" before
            evaluation; see :class:`.Model`.

    Raises:
        InputError: flax is not installed.
        ArgumentTypeError: ``make`` does not return a module.
    """
    nnx = _library("flax.nnx", "flax")

    def split(key: PRNGKey) -> tuple[Any, Any, Any, Any]:
        words = jax.random.split(key)
        module = make(nnx.Rngs(params=words[0], dropout=words[1]))
        if not isinstance(module, nnx.Module):
            raise ArgumentTypeError(f"{module!r} is no nnx module", hint="from_nnx(lambda rngs: MyModule(rngs=rngs))")
        return nnx.split(module, nnx.Param, nnx.RngState, ...)

    graph, _, streams, rest = split(jax.random.key(0))
    has_state, draws = bool(jax.tree.leaves(rest)), bool(jax.tree.leaves(streams))

    def init(key: PRNGKey) -> PyTree:
        _, params, _, rest = split(key)
        return (
            {"params": nnx.to_pure_dict(params), "state": nnx.to_pure_dict(rest)}
            if has_state
            else nnx.to_pure_dict(params)
        )

    def merged(params: PyTree, key: PRNGKey) -> Any:
        _, like, streams, other = split(key) if draws else jax.eval_shape(split, key)
        trained = params["params"] if has_state else params
        nnx.replace_by_pure_dict(like, trained)
        if has_state:
            nnx.replace_by_pure_dict(other, params["state"])
        return nnx.merge(graph, like, streams, other)

    def apply(params: PyTree, x: Array) -> Outputs:
        module = merged(params, jax.random.key(0))
        module.eval()
        return module(x)

    def forward(params: PyTree, x: Array, key: PRNGKey) -> tuple[Outputs, Mapping[str, PyTree]]:
        module = merged(params, key)
        module.train()
        outputs = module(x)
        after = nnx.split(module, nnx.Param, nnx.RngState, ...)[3]
        return outputs, {"state": nnx.to_pure_dict(after)} if has_state else {}

    return Model(
        init, apply, loss, regularization, forward=forward if has_state or draws else None,
        state=("state",) if has_state else (), state_rule=state,
    )  # fmt: skip


@guarded
def from_equinox(
    make: Callable[[PRNGKey], Any], *, loss: Loss | None = None, regularization: float = 0.0, keyed: bool = False
) -> Model:
    """Make a model of an equinox module, which takes one sample.

    Args:
        make: key -> the module, such as ``lambda key: eqx.nn.MLP(784, 10, 32, 1, key=key)``.
        loss: (outputs, targets) -> (b,); None is the usual one of the targets.
        regularization: weight of ‖params‖²/2 in the objective.
        keyed: whether the module is called with ``key=`` in training, for dropout; in evaluation it is in inference mode.

    Raises:
        InputError: equinox is not installed.
    """
    eqx = _library("equinox", "equinox")
    static = eqx.partition(eqx.filter_eval_shape(make, jax.random.key(0)), eqx.is_inexact_array_like)[1]

    def init(key: PRNGKey) -> PyTree:
        return eqx.partition(make(key), eqx.is_inexact_array)[0]

    def apply(params: PyTree, x: Array) -> Outputs:
        return jax.vmap(eqx.nn.inference_mode(eqx.combine(params, static)))(x)

    def forward(params: PyTree, x: Array, key: PRNGKey) -> tuple[Outputs, Mapping[str, PyTree]]:
        module = eqx.combine(params, static)
        return jax.vmap(lambda one, key: module(one, key=key))(x, jax.random.split(key, x.shape[0])), {}

    return Model(init, apply, loss, regularization, forward=forward if keyed else None)


def _library(name: str, package: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f"{package} is not installed", hint='pip install "jaxgossip[nets]"') from error
