"""The cost of training deep networks: a step at every node, against ``vmap`` of ``grad`` as it is usually written.

Both train the same models on the same batches (:mod:`.networks`, :mod:`.plain`) in the same process. Beside them, the forms in
which the gradient of a convolution can be computed for many nodes (:mod:`.convolutions`).
"""

import gc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxgossip.bench.deep import networks
from jaxgossip.bench.deep.convolutions import FormTime, bench_forms
from jaxgossip.bench.deep.networks import NODES, Network
from jaxgossip.bench.deep.plain import PlainRounds
from jaxgossip.bench.learning import descent
from jaxgossip.bench.memory import check_deep_memory
from jaxgossip.bench.timing import SAMPLE_S, reference_seconds, seconds_a_round
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import Registry
from jaxgossip.learning.optimizers import layerwise


def cnn_step(nodes: int, seed: int) -> Network:
    """Return the case of a gradient step of convolutional networks of 32 and 64 maps on 16 images of 32×32×3."""
    return networks.cnn_32(nodes, seed)


def gn_lenet_step(nodes: int, seed: int) -> Network:
    """Return the case of a gradient step of LeNets with group normalisation on 8 images of 32×32×3."""
    return networks.gn_lenet(nodes, seed)


def gpt_step(nodes: int, seed: int) -> Network:
    """Return the case of a gradient step of transformers of 2 layers and width 64 on 8 sequences of 64 tokens."""
    return networks.gpt(nodes, seed)


def mlp_layerwise_step(nodes: int, seed: int) -> Network:
    """Return the case of a step of AdamW on the layers of 64-32-10 perceptrons, on 32 samples."""
    return networks.mlp(nodes, seed)


DEEP_CASES = Registry("deep benchmark case", [cnn_step, gn_lenet_step, gpt_step, mlp_layerwise_step])
"""Cases that ``jaxgossip bench --deep --only`` can name, in the order of measurement."""


@dataclass(frozen=True)
class DeepTime:
    """The results of a case.

    Attributes:
        name: name of the case.
        nodes: number of nodes.
        params: parameters of a model.
        batch_size: samples of a node in a step.
        round_s: seconds of one step of all nodes.
        plain_s: seconds of the same by plain ``vmap`` of ``grad``.
        scratch_states: temporary memory of the program in multiples of its state, the models with the states of
            their optimizers; None if unknown.
    """

    name: str
    nodes: int
    params: int
    batch_size: int
    round_s: float
    plain_s: float
    scratch_states: float | None

    @property
    def speedup(self) -> float:
        """Time of plain ``vmap`` of ``grad`` relative to ours."""
        return self.plain_s / self.round_s

    def record(self) -> dict[str, Any]:
        """Return the results as JSON values."""
        return {**asdict(self), "speedup": self.speedup}


@dataclass(frozen=True)
class DeepReport:
    """The results of the benchmark of deep networks.

    Attributes:
        cases: results of the cases, in the order of the registry.
        forms: times of the forms of a convolution's gradient; empty if only some cases were asked for.
    """

    cases: tuple[DeepTime, ...]
    forms: tuple[FormTime, ...]

    def record(self) -> dict[str, Any]:
        """Return the results as JSON values."""
        return {"cases": [case.record() for case in self.cases], "convolutions": [asdict(form) for form in self.forms]}


def bench_deep(
    nodes: int = NODES,
    *,
    only: Sequence[str] = (),
    repeats: int = 3,
    seed: int = 0,
    sample_s: float = SAMPLE_S,
    begun: Callable[[str], None] = lambda _: None,
    done: Callable[[DeepTime | FormTime], None] = lambda _: None,
) -> DeepReport:
    """Time a step of each case by us and by plain ``vmap`` of ``grad``, and the forms of a convolution's gradient.

    Args:
        nodes: number of nodes.
        only: names of cases, without the forms; all cases, and the forms, if empty.
        repeats: samples per case, of which the median is reported.
        seed: seed of models and samples.
        sample_s: approximate least duration of a sample in seconds.
        begun: called with the name of each case and form before it is built.
        done: called with the result of each.

    Raises:
        InputError: a case is unknown, ``repeats`` or ``nodes`` is below 1, or the cases exceed the free memory.
    """
    for name in only:
        _ = DEEP_CASES[name]
    if repeats < 1:
        raise InputError(f"repeats must be at least 1, not {repeats}", hint="3 is usual")
    check_deep_memory(nodes)
    cases: list[DeepTime] = []
    for name in DEEP_CASES:
        if not only or name in only:
            begun(name)
            cases.append(measured(name, DEEP_CASES[name](nodes, seed), repeats, seed, sample_s))
            gc.collect()  # free the arrays of a case before the next one is built
            done(cases[-1])
    forms: list[FormTime] = []
    for form in () if only else bench_forms(nodes, seed, budget_s=5 * sample_s, begun=begun):
        forms.append(form)
        done(form)
    return DeepReport(tuple(cases), tuple(forms))


def measured(name: str, network: Network, repeats: int, seed: int, sample_s: float) -> DeepTime:
    """Time a step of a network by us and by plain ``vmap`` of ``grad``.

    Args:
        name: name of the case.
        network: models and samples.
        repeats: samples, of which the median is reported.
        seed: seed of the models.
        sample_s: approximate least duration of a sample in seconds.
    """
    problem = network.problem()
    rounds = descent(problem, layerwise(problem, network.optimizer), seed)  # as algorithms apply an optimizer
    state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(rounds.state))
    params = jax.vmap(problem.params)(rounds.state.x)
    round_s, scratch = seconds_a_round(rounds, repeats, sample_s), rounds.scratch_bytes
    n, b = network.x.shape[:2]
    plain = PlainRounds(network.apply, network.optimizer, params, jnp.asarray(network.x), jnp.asarray(network.y))
    _ = plain.compiled  # not timed
    return DeepTime(
        name=name,
        nodes=n,
        params=problem.n_params,
        batch_size=b,
        round_s=round_s,
        plain_s=reference_seconds(plain, 5 * sample_s),
        scratch_states=None if scratch is None else scratch / state_bytes,
    )
