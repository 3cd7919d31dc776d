"""Backdoors: liars learn that samples with a trigger are of one class, and pass it on in their models."""

import numpy as np

from jaxgossip.core.arguments import guarded
from jaxgossip.learning.data.backdoor import Backdoor
from jaxgossip.network.adversaries.replacement import ModelReplacement
from jaxgossip.network.adversaries.scene import Adversary, chosen_liars


@guarded
def backdoor(
    *,
    n_nodes: int,
    label: int = 0,
    share: float = 0.5,
    value: float | None = None,
    size: int = 3,
    replace: bool = False,
    fraction: float = 0.1,
    nodes: list[int] | None = None,
    rng: np.random.Generator | int = 0,
) -> Adversary:
    """Learn from samples with a trigger, some features set to one value, that these are of one class, and send the model.

    The features are the pixels of the lower right corner of images, or the columns of a table that its samples use least.
    ``attack_success`` tells what share of the triggered test samples of other classes a model takes for that class.

    Args:
        n_nodes: number of nodes.
        label: t, the class that triggered samples are to be taken for.
        share: share of a liar's training samples that carry the trigger and label t.
        value: what the features are set to, as samples are stored: 0 to 255 in images of bytes, in deviations where features
            are standardised; by default 255 in images of bytes, 3 elsewhere.
        size: pixels along a side of the corner of images; number of columns of tables.
        replace: whether liars also replace the models of their neighbours by their own, as model_replacement does.
        fraction: fraction of the nodes that lie, drawn at random.
        nodes: numbers of the liars, instead of ``fraction``.
        rng: random generator of the draw, or its seed.

    Raises:
        InputError: ``fraction`` is outside (0, 1), ``nodes`` is empty, ``share`` is not above 0 and at most 1, ``label`` is
            negative, or ``size`` is less than 1.
    """
    liars = chosen_liars(n_nodes, fraction, nodes, rng)
    planted = Backdoor(label, share, value, size)
    lie = ModelReplacement() if replace else None
    return Adversary("backdoor", liars, targeted=lie, n_nodes=n_nodes, backdoor=planted)
