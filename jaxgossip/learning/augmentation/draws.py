"""Augmentations of a problem: which they are, and the key of each sample's own draw."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt32

from jaxgossip.core.arguments import shown
from jaxgossip.core.errors import ArgumentTypeError, InputError
from jaxgossip.core.random import pair_words, purpose_key
from jaxgossip.core.typing import DrawNumbers, NodeInts, PRNGKey
from jaxgossip.learning.augmentation import AUGMENTATIONS
from jaxgossip.learning.data.arrays import Dataset
from jaxgossip.learning.models.checks import trace_shapes

Augmentation = Callable[[PRNGKey, Any], Any]
"""(key, x) -> x of one sample, of the same shape."""
Draws = tuple[Int[Array, "..."] | UInt32[Array, "..."], Int[Array, "..."]] | None
"""Of each sample the number of its draw and its place in the minibatch; None without augmentations."""


def draws_of(
    augmentations: Sequence[Augmentation], numbers: NodeInts | DrawNumbers, samples: Int[Array, "b m"]
) -> Draws:
    """Return the number of the draw and the place in the minibatch of each sample, (b, m), if there are augmentations."""
    if not augmentations:
        return None
    places = jnp.broadcast_to(jnp.arange(samples.shape[1], dtype=jnp.int32), samples.shape)
    return jnp.broadcast_to(numbers[:, None], samples.shape), places


def sample_keys(
    key: PRNGKey, numbers: Int[Array, "..."] | UInt32[Array, "..."], places: Int[Array, "..."]
) -> Key[Array, "..."]:
    """Return the key of each sample's augmentations, a function of (key of the step, number of the draw, place) alone.

    Args:
        key: key of the step.
        numbers: numbers of the draws: of the nodes, in rounds.
        places: places in the minibatch, of the same shape.
    """
    words = pair_words(purpose_key(key, "augmentation"), numbers.astype(jnp.uint32), places.astype(jnp.uint32))
    return jax.random.wrap_key_data(jnp.stack(words, -1), impl=str(jax.random.key_impl(key)))


def augmented(
    augmentations: Sequence[Augmentation], keys: Key[Array, " b"], x: Float[Array, "b ..."]
) -> Float[Array, "b ..."]:
    """Return samples after all augmentations in their order, each drawing with a key of its own."""

    def one(key: PRNGKey, sample: Float[Array, "..."]) -> Float[Array, "..."]:
        for place, augment in enumerate(augmentations):
            sample = jnp.asarray(augment(jax.random.fold_in(key, place), sample)).astype(sample.dtype)
        return sample

    return jax.vmap(one)(keys, x)


def chosen_augmentations(
    wanted: Sequence[str | Augmentation], dataset: Dataset, dtype: np.dtype
) -> tuple[Augmentation, ...]:
    """Return augmentations as functions, checked on the shape of the samples.

    Args:
        wanted: names in ``AUGMENTATIONS``, which have their defaults, or functions (key, x) -> x.
        dataset: the data set.
        dtype: dtype of computation.

    Raises:
        InputError: an unknown name, samples that are tokens or have a shape that an augmentation does not take, or a
            function that fails or changes the shape.
        ArgumentTypeError: neither a name nor a function, or a builder that was not called.
    """
    functions = tuple(map(_function, wanted))
    if functions and dataset.samples == "tokens":
        raise InputError(
            f"augmentations are of floats, and samples of {dataset.name} are tokens", hint="leave out augment"
        )
    key, sample = jax.random.key(0), jax.ShapeDtypeStruct(dataset.x_train.shape[1:], dtype)
    for given, function in zip(wanted, functions, strict=True):
        own = getattr(given, "func", given)  # that of a partial
        name = given if isinstance(given, str) else getattr(own, "__name__", type(own).__name__.lower())
        call = f"(key, x) -> x, x being one sample of shape {sample.shape}"
        result = trace_shapes(f"the augmentation {name}", call, function, key, sample)
        is_array = hasattr(result, "shape") and hasattr(result, "dtype")
        if not is_array or result.shape != sample.shape or not jnp.issubdtype(result.dtype, jnp.floating):
            found = f"{result.dtype} of shape {result.shape}" if is_array else shown(result)
            raise InputError(f"the augmentation {name} makes {found} of a sample of shape {sample.shape}", hint=call)
    return functions


def _function(wanted: Any) -> Augmentation:
    if isinstance(wanted, str):
        found = AUGMENTATIONS.resolve(wanted)
        return found if ":" in wanted else found()
    names = [name for name, builder in AUGMENTATIONS.items() if builder is wanted]
    if names:
        raise ArgumentTypeError(
            f"{names[0]} makes an augmentation when it is called", hint=f"jg.learning.augmentation.{names[0]}()"
        )
    if not callable(wanted):
        raise ArgumentTypeError(
            f"{shown(wanted)} is no augmentation", hint=f"a function (key, x) -> x, or {', '.join(AUGMENTATIONS)}"
        )
    return wanted
