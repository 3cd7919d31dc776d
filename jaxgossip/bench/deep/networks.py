"""Networks of deep models with a batch of samples a node, on which jaxgossip and others do the same work.

Every node takes the exact gradient of its own batch, so that what others compute can be compared number by number.
"""

from dataclasses import dataclass

import numpy as np
import optax
from jaxtyping import Int32, Num

from jaxgossip.bench.deep import plain
from jaxgossip.bench.deep.plain import Apply
from jaxgossip.core.errors import InputError
from jaxgossip.core.random import host_rng
from jaxgossip.learning import Dataset, Model, models
from jaxgossip.learning.data.targets import Target
from jaxgossip.learning.partitions.partition import Partition
from jaxgossip.learning.supervised import Supervised, supervised

NODES = 96
"""Usual number of nodes."""
CLASSES = 10
TOKENS, LENGTH = 65, 64
LEARNING_RATE = 0.01


@dataclass(frozen=True, eq=False)
class Network:
    """Models of one kind, the samples of every node, and how they are trained.

    Attributes:
        model: our model.
        apply: (params, x (b, …)) -> scores, the same model by :mod:`.plain`.
        x: (n, b, …), the samples of every node.
        y: (n, b, …), their classes or tokens.
        target: what a target is.
        n_classes: number of classes or of tokens.
        optimizer: optimizer of every node.
    """

    model: Model
    apply: Apply
    x: Num[np.ndarray, "n b ..."]
    y: Int32[np.ndarray, "n b ..."]
    target: Target
    n_classes: int
    optimizer: optax.GradientTransformation

    def problem(self) -> Supervised:
        """Return the problem in which each node has its own initial model and always takes all of its samples."""
        n, b = self.x.shape[:2]
        x, y = self.x.reshape(n * b, *self.x.shape[2:]), self.y.reshape(n * b, *self.y.shape[2:])
        data = Dataset("bench", x, y, x[:1], y[:1], self.n_classes, target=self.target)
        own = Partition(np.arange(n * b, dtype=np.int32), b * np.arange(n + 1), np.full(n, b, np.int32), n * b)
        return supervised(data, own, self.model, batch_size=0, init="independent")


def cnn_32(nodes: int, seed: int) -> Network:
    """Return convolutional networks of 32 and 64 maps on 16 images of 32×32×3 each: 60,362 parameters."""
    return _images((32, 32, 3), models.cnn((32, 32, 3), CLASSES, channels=(32, 64)), plain.cnn, nodes, 16, seed)


def cnn_28(nodes: int, seed: int) -> Network:
    """Return convolutional networks of 32 and 64 maps on 32 images of 28×28×1 each: 50,186 parameters."""
    return _images((28, 28, 1), models.cnn((28, 28, 1), CLASSES, channels=(32, 64)), plain.cnn, nodes, 32, seed)


def gn_lenet(nodes: int, seed: int) -> Network:
    """Return LeNets with group normalisation on 8 images of 32×32×3 each: 89,834 parameters."""
    return _images((32, 32, 3), models.gn_lenet((32, 32, 3), CLASSES), plain.gn_lenet, nodes, 8, seed)


def gpt(nodes: int, seed: int) -> Network:
    """Return transformers of 2 layers, width 64 and 4 heads on 8 sequences of 64 tokens each, of 65 kinds."""
    _check_nodes(nodes)
    rng, shape = host_rng(seed, "bench samples"), (nodes, 8, LENGTH)
    x, y = (rng.integers(TOKENS, size=shape, dtype=np.int32) for _ in range(2))
    model = models.gpt((LENGTH,), TOKENS, layers=2, width=64, heads=plain.HEADS)
    return Network(model, plain.gpt, x, y, "sequence", TOKENS, optax.sgd(LEARNING_RATE))


def mlp(nodes: int, seed: int) -> Network:
    """Return perceptrons 64-32-10 on 32 samples each, trained by AdamW."""
    model = models.mlp((64,), CLASSES, hidden=(32,))
    return _images((64,), model, plain.mlp, nodes, 32, seed, optax.adamw(1e-3))


def _images(
    shape: tuple[int, ...],
    model: Model,
    apply: Apply,
    nodes: int,
    batch_size: int,
    seed: int,
    optimizer: optax.GradientTransformation | None = None,
) -> Network:
    _check_nodes(nodes)
    rng = host_rng(seed, "bench samples")
    x = rng.standard_normal((nodes, batch_size, *shape), np.float32)
    y = rng.integers(CLASSES, size=(nodes, batch_size), dtype=np.int32)
    return Network(model, apply, x, y, "class", CLASSES, optimizer or optax.sgd(LEARNING_RATE))


def _check_nodes(nodes: int) -> None:
    if nodes < 1:
        raise InputError(f"deep networks need at least one node, not {nodes:,}", hint=f"{NODES} are usual")
