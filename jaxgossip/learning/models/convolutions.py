"""Convolutions of many different models, in the form that is fastest on the device at hand.

On a CPU, XLA has a fast convolution for one model at a time, with channels last and without gaps. Gradients are therefore
written as such convolutions, too: left to JAX, that of the kernels is not one in a loop over nodes, and takes forty times as
long. Of several models at once, a convolution is a grouped one, which XLA computes slowly; patches times weights take less than
half as long. They also serve for strides, and where a patch has few numbers. On other devices, which were not measured, it is
XLA's own convolution.
``jaxgossip bench --deep`` measures the forms.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.extend.core import Jaxpr, Literal, primitives
from jaxtyping import Array, Float

from jaxgossip.learning.models.model import Model

Images = Float[Array, "b h w c"]
Kernel = Float[Array, "p q c f"]
Pair = tuple[int, int]
Around = tuple[Pair, Pair]
Convolution = Callable[[Images, Kernel, Pair, Around], Float[Array, "b i j f"]]

SMALL_PATCH = 16
"""Numbers of a patch up to which patches times weights are fastest for one model, too."""


def plain_convolution(x: Images, kernel: Kernel, strides: Pair, around: Around) -> Float[Array, "b i j f"]:
    """Return XLA's convolution of images: places ``strides`` apart, with ``around`` zeros before and after each axis."""
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, strides, around, dimension_numbers=numbers)


def patch_convolution(x: Images, kernel: Kernel, strides: Pair, around: Around) -> Float[Array, "b i j f"]:
    """Return the same as a product of patches, the pixels that the kernel meets at each place, and weights."""
    sizes, features = kernel.shape[:2], kernel.shape[-1]
    padded = jnp.pad(x, ((0, 0), *around, (0, 0)))
    rows, columns = (
        [slice(first, first + length - size + 1, stride) for first in range(size)]
        for length, size, stride in zip(padded.shape[1:3], sizes, strides, strict=True)
    )
    patches = jnp.concatenate([padded[:, i, j] for i in rows for j in columns], -1)
    flat = patches.reshape(-1, patches.shape[-1]) @ kernel.reshape(-1, features)
    return flat.reshape(*patches.shape[:3], features)


def fast_convolution(x: Images, kernel: Kernel, strides: Pair, around: Around) -> Float[Array, "b i j f"]:
    """Return the same in the form that is fastest on a CPU, with gradients in that form; it has no forward-mode derivative."""
    sizes = kernel.shape[:2]
    is_dense = strides == (1, 1) and all(max(zeros) < size for zeros, size in zip(around, sizes, strict=True))
    if not is_dense or sizes == (1, 1) or math.prod(kernel.shape[:-1]) <= SMALL_PATCH:
        return patch_convolution(x, kernel, strides, around)
    return _dense_convolution(x, kernel, around)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _dense_convolution(x: Images, kernel: Kernel, around: Around) -> Float[Array, "b i j f"]:
    """Return the convolution at every place, of one model by XLA, and of several by patches times weights."""

    @custom_vmap
    def convolve(x: Images, kernel: Kernel) -> Array:
        return plain_convolution(x, kernel, (1, 1), around)

    @convolve.def_vmap
    def _(size: int, batched: Sequence[bool], x: Array, kernel: Array) -> tuple[Array, bool]:
        if not batched[1]:  # more samples of one model
            found = convolve(x.reshape(-1, *x.shape[2:]), kernel)
            return found.reshape(size, -1, *found.shape[1:]), True
        axes = tuple(0 if is_batched else None for is_batched in batched)
        return jax.vmap(lambda x, kernel: patch_convolution(x, kernel, (1, 1), around), axes)(x, kernel), True

    return convolve(x, kernel)


def _forward(x: Images, kernel: Kernel, around: Around) -> tuple[Array, tuple[Array, Array]]:
    return _dense_convolution(x, kernel, around), (x, kernel)


def _backward(around: Around, given: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    """Return the gradients: convolutions of the slope with turned kernels, and of the images with the slope."""
    x, kernel = given
    (above, below), (left, right) = around
    p, q = kernel.shape[0] - 1, kernel.shape[1] - 1
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    of_x = _dense_convolution(slope, turned, ((p - above, p - below), (q - left, q - right)))
    # Colours take the place of samples, and samples that of colours.
    of_kernel = _dense_convolution(x.transpose(3, 1, 2, 0), slope.transpose(1, 2, 0, 3), around)
    return of_x, of_kernel.transpose(1, 2, 0, 3)


_dense_convolution.defvjp(_forward, _backward)

CONVOLUTIONS: Mapping[str, Convolution] = MappingProxyType({"cpu": fast_convolution})
"""The form of a convolution on each kind of device; others take :func:`plain_convolution`."""


@dataclass(frozen=True)
class FastConvolutions:
    """A function whose convolutions are computed by :func:`fast_convolution`; equal to another of the same function.

    Attributes:
        function: any function of arrays that JAX can trace.
    """

    function: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function returns."""
        program, shape = jax.make_jaxpr(self.function, return_shape=True)(*arguments)
        results = _evaluate(program.jaxpr, program.consts, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), results)


def with_fast_convolutions(model: Model, samples: jax.ShapeDtypeStruct) -> Model:
    """Return the model with its convolutions in the form that is fastest here; itself if that is how they are written.

    Args:
        model: any model.
        samples: shape (b, …) and dtype of samples.
    """
    if jax.default_backend() not in CONVOLUTIONS:
        return model
    params, x = jax.eval_shape(model.init, jax.random.key(0)), jax.eval_shape(model.prepare, samples)
    if not _convolves(jax.make_jaxpr(model.apply)(params, x).jaxpr):
        return model
    return replace(
        model,
        apply=FastConvolutions(model.apply),
        forward=model.forward and FastConvolutions(model.forward),
        objective=model.objective and FastConvolutions(model.objective),
    )


def _evaluate(program: Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    """Return the results of a traced program, with its convolutions replaced."""
    values = dict(zip((*program.constvars, *program.invars), (*constants, *arguments), strict=True))
    for equation in program.eqns:
        given = [entry.val if isinstance(entry, Literal) else values[entry] for entry in equation.invars]
        inner: Any = equation.params.get("jaxpr")
        if equation.primitive is primitives.conv_general_dilated_p and _is_plain(equation.params):
            results = [_convolved(given[0], given[1], equation.params)]
        elif equation.primitive is primitives.jit_p and _convolves(inner.jaxpr):
            results = _evaluate(inner.jaxpr, inner.consts, given)
        else:
            options = equation.primitive.get_bind_params(equation.params)
            results = equation.primitive.bind(*given, **options)
            results = results if equation.primitive.multiple_results else [results]
        values.update(zip(equation.outvars, results, strict=True))
    return [entry.val if isinstance(entry, Literal) else values[entry] for entry in program.outvars]


def _convolved(x: Array, kernel: Array, options: Mapping[str, Any]) -> Array:
    """Return what a convolution of any order of axes returns."""
    (above, below), (left, right) = options["padding"]
    samples, channels, *places = options["dimension_numbers"].lhs_spec
    images = x.transpose(samples, *places, channels)
    after, before, *places = options["dimension_numbers"].rhs_spec
    down, along = options["window_strides"]
    kernel = kernel.transpose(*places, before, after)
    found = fast_convolution(images, kernel, (down, along), ((above, below), (left, right)))
    samples, channels, *places = options["dimension_numbers"].out_spec
    return jnp.moveaxis(found, (0, 1, 2, 3), (samples, *places, channels))


def _is_plain(options: Mapping[str, Any]) -> bool:
    """Return whether a convolution is of images, of one group, and without dilation or cropping."""
    return (
        len(options["window_strides"]) == 2
        and options["feature_group_count"] == options["batch_group_count"] == 1
        and all(dilation == 1 for name in ("lhs_dilation", "rhs_dilation") for dilation in options[name])
        and all(zeros >= 0 for pair in options["padding"] for zeros in pair)
    )


def _convolves(program: Jaxpr) -> bool:
    """Return whether a traced program has a convolution that :func:`_evaluate` replaces."""
    return any(
        equation.primitive is primitives.conv_general_dilated_p and _is_plain(equation.params)
        for equation in _equations(program)
    )


def _equations(program: Jaxpr) -> Iterator[Any]:
    for equation in program.eqns:
        yield equation
        inner: Any = equation.params.get("jaxpr")
        if equation.primitive is primitives.jit_p:
            yield from _equations(inner.jaxpr)
