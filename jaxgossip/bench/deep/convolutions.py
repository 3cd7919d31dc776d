"""The forms in which the gradient of a convolution can be computed for many nodes, each with images and a kernel of its own.

By :func:`~jaxgossip.learning.models.convolutions.fast_convolution`, patches times weights or XLA's own convolution with the
gradients of JAX, of all nodes at once (``vmap``) or one after another (a loop). Which is fastest depends on the device:
``CONVOLUTIONS`` chooses by it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgossip.bench.timing import elapsed, reference_seconds
from jaxgossip.core.random import host_rng
from jaxgossip.learning.models.convolutions import Convolution, fast_convolution, patch_convolution, plain_convolution

BATCH_SIZE, SIDE, CHANNELS, FEATURES = 16, 16, 32, 64
"""The second convolution of the case cnn_step: 16 images of 16×16×32, 64 maps, 3×3."""
FORM_NODES = 96
"""Largest number of nodes: patches of more take much memory."""
LONGEST_S = 10.0
"""Duration from which a form is not run but extrapolated, in seconds."""

Images = Float[Array, "n b h w c"]
Kernels = Float[Array, "n k k c f"]


@dataclass(frozen=True)
class FormTime:
    """The time of one form.

    Attributes:
        name: name of the form.
        nodes: number of nodes.
        round_s: seconds for the gradients of all nodes.
        extrapolated: whether this is the time of one node times their number, since all would have taken too long.
    """

    name: str
    nodes: int
    round_s: float
    extrapolated: bool


def gradients(convolution: Convolution, x: Images, kernels: Kernels, *, vmapped: bool) -> tuple[Images, Kernels]:
    """Return every node's gradient of ‖convolution‖²/2 in its images and its kernel.

    Args:
        convolution: the form of the convolution of one node.
        x: images of every node.
        kernels: kernel of every node.
        vmapped: whether nodes are computed all at once, or one after another.
    """

    def energy(x: Array, kernel: Array) -> Array:
        return jnp.square(convolution(x, kernel, (1, 1), ((1, 1), (1, 1)))).sum() / 2

    gradient = jax.grad(energy, (0, 1))
    if vmapped:
        return jax.vmap(gradient)(x, kernels)
    return jax.lax.map(lambda node: gradient(*node), (x, kernels))


FORMS = (
    ("written gradients, node by node", partial(gradients, fast_convolution, vmapped=False)),
    ("patches, node by node", partial(gradients, patch_convolution, vmapped=False)),
    ("patches, vmapped", partial(gradients, patch_convolution, vmapped=True)),
    ("XLA's convolution, vmapped", partial(gradients, plain_convolution, vmapped=True)),
    ("XLA's convolution, node by node", partial(gradients, plain_convolution, vmapped=False)),
)


def bench_forms(
    nodes: int, seed: int, *, budget_s: float = 1.0, longest_s: float = LONGEST_S, begun: Callable[[str], None]
) -> Iterator[FormTime]:
    """Yield the time of each form.

    Args:
        nodes: number of nodes, of which at most ``FORM_NODES`` are taken.
        seed: seed of images and kernels.
        budget_s: time in seconds after which a form is not run again.
        longest_s: a form that takes longer, judged by one node, is not run but extrapolated.
        begun: called with the name of each form before it is compiled.
    """
    n, rng = min(nodes, FORM_NODES), host_rng(seed, "bench convolution")
    x = jnp.asarray(rng.standard_normal((n, BATCH_SIZE, SIDE, SIDE, CHANNELS), np.float32))
    kernels = jnp.asarray(rng.standard_normal((n, 3, 3, CHANNELS, FEATURES), np.float32))
    for name, form in FORMS:
        begun(name)
        alone = _runs(form, x[:1], kernels[:1])
        alone(1)  # the first call also reserves memory
        guess_s = n * elapsed(alone, 1)
        if guess_s > longest_s:
            yield FormTime(name, n, guess_s, extrapolated=True)
        else:
            together = _runs(form, x, kernels)
            seconds = reference_seconds(partial(together, 1), budget_s)
            yield FormTime(name, n, seconds, extrapolated=False)


def _runs(form: Callable[..., Any], x: Images, kernels: Kernels) -> Callable[[int], None]:
    with jax.default_matmul_precision("highest"):  # as the engine compiles its programs
        compiled = jax.jit(form).lower(x, kernels).compile()

    def run(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(compiled(x, kernels))

    return run
