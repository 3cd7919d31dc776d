"""Metrics of a network, computed on the device; every evaluation gives one flat record."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgossip.core.devices.blocks import at_hand, count_rows, own, row_numbers
from jaxgossip.core.devices.exchanges import collected, fetch, node_mean, only_nodes
from jaxgossip.core.pytree import register_dataclass
from jaxgossip.core.random import purpose_key
from jaxgossip.core.rows import gather
from jaxgossip.core.typing import NodeInts, PRNGKey, Rows
from jaxgossip.learning import Problem
from jaxgossip.learning.problem import as_evaluated, has_own_data_only
from jaxgossip.mixing.bijection import random_bijection
from jaxgossip.mixing.operators.structured import blocked_mean
from jaxgossip.topology import Order

QUANTILES = (5, 25, 50, 75, 95)
AT_HOME = 16
"""Number of nodes that a block measures at a time, of those whose data are on its device alone."""


@register_dataclass
@dataclass(frozen=True)
class HonestNodes:
    """The nodes that are not adversarial.

    Attributes:
        nodes: (k,) int32, node numbers, ascending.
        rows: (k,) int32, rows of the model matrix, ascending.
    """

    nodes: NodeInts
    rows: NodeInts

    @classmethod
    def of(cls, honest: np.ndarray, order: Order | None) -> "HonestNodes":
        """Return the honest nodes, given an (n,) bool mask by node number."""
        rows = honest if order is None else honest[order.nodes]
        return cls(*(jnp.asarray(np.flatnonzero(mask), jnp.int32) for mask in (honest, rows)))


def sample_nodes(run_key: PRNGKey, n_nodes: int, sampled_nodes: int, honest: HonestNodes | None = None) -> NodeInts:
    """Return the (s,) int32 nodes that are evaluated, ascending: all of them, or ``sampled_nodes`` drawn once per run.

    A run evaluates the same nodes throughout, so that the values along a curve are comparable. Extremes and quantiles are
    those of the evaluated nodes.

    Args:
        run_key: the run's key.
        n_nodes: number of nodes.
        sampled_nodes: maximum number of nodes to evaluate.
        honest: the nodes to draw from; None for all.
    """
    if honest is not None:
        return honest.nodes[sample_nodes(run_key, honest.nodes.size, sampled_nodes)]
    if sampled_nodes >= n_nodes:
        return jnp.arange(n_nodes, dtype=jnp.int32)
    seats = jnp.arange(sampled_nodes, dtype=jnp.uint32)
    return jnp.sort(random_bijection(purpose_key(run_key, "evaluated nodes"), n_nodes)(seats)).astype(jnp.int32)


def measure(
    problem: Problem, x: Rows, run_key: PRNGKey, sampled_nodes: int, honest: HonestNodes | None = None
) -> dict[str, jax.Array]:
    """Return scalars: statistics over the evaluated nodes, scores of the mean model, and the consensus distance.

    Every measurement ``m`` of the problem gives m_mean, m_std, m_min, m_max, m_q05 … m_q95 over the evaluated nodes and, if
    it is taken on common data, mean_model_m, that of the mean model x̄ = (1/n) Σ_i x_i. ``consensus_distance`` is
    (1/n) Σ_i ‖x_i − x̄‖² over the shared columns of all n nodes. Nodes without a local test split are excluded from the
    statistics of local measurements.

    Recalibrated batch statistics are those of :func:`.as_evaluated`: of a node's model, on its own samples; of the mean model,
    or of one that all share, the mean of those on the samples of each evaluated node.

    If some nodes are adversarial, everything is computed over the ``honest`` nodes alone.

    Args:
        problem: the learning problem.
        x: (n, p) models, or (1, p) if all nodes share one.
        run_key: the run's key.
        sampled_nodes: maximum number of nodes to evaluate.
        honest: the honest nodes; None for all.
    """
    return summary(problem, measured_rows(problem, x, run_key, sampled_nodes, honest))


class Measured(NamedTuple):
    """What is measured of the rows of all nodes.

    Attributes:
        nodes: (s,) int32, the rows of the evaluated nodes.
        scores: every measurement of them, (s,) each.
        x_mean: (p,) the mean model.
        consensus_distance: () see :func:`measure`.
    """

    nodes: Int[Array, " s"]
    scores: dict[str, jax.Array]
    x_mean: jax.Array
    consensus_distance: jax.Array


def measured_rows(
    problem: Problem, x: Rows, run_key: PRNGKey, sampled_nodes: int, honest: HonestNodes | None
) -> Measured:
    """Return what needs the rows of all nodes, of what :func:`measure` does."""
    each = x.shape[0] == count_rows(problem.n_nodes)
    honest = honest if each else None
    nodes = sample_nodes(run_key, problem.n_nodes, sampled_nodes, honest)
    if problem.order is not None and nodes.shape[0] < problem.n_nodes:  # all are measured in the order of their rows
        nodes = jnp.asarray(problem.order.rows)[nodes]
    everyone, shared = _honest_rows(problem, x, honest), problem.n_shared
    x_mean = everyone.mean(x)
    distance = everyone.mean(jnp.square(x[:, :shared] - x_mean[:shared]).sum(1))
    return Measured(nodes, _scores(problem, x, nodes, each=each), x_mean, distance)


def summary(problem: Problem, measured: Measured) -> dict[str, jax.Array]:
    """Return the scalars of :func:`measure`; the problem is that of all nodes."""
    record: dict[str, jax.Array] = {}
    for name, values in measured.scores.items():
        record |= statistics(name, values)
    mean_model = as_evaluated(problem, measured.x_mean[None], measured.nodes)
    record |= {f"mean_model_{name}": value[0] for name, value in problem.evaluate(mean_model).items()}
    return record | {"consensus_distance": measured.consensus_distance}


def _scores(problem: Problem, x: Rows, nodes: Int[Array, " s"], *, each: bool) -> dict[str, jax.Array]:
    """Return the measurements, (s,) each, of the models of the nodes of rows ``nodes`` (s,), or of one that all share."""
    block = at_hand()
    if not each or block is None:
        rows = gather(x, nodes) if nodes.shape[0] < x.shape[0] else x
        return _measured(problem, rows, nodes, each=each)
    number, own_rows = nodes.shape[0], jnp.minimum(row_numbers(problem.n_nodes), problem.n_nodes - 1)
    if number == problem.n_nodes:
        scores = _measured(problem, x, own_rows, each=True)
        return {name: collected(values, number) for name, values in scores.items()}
    # Every block measures an equal part of them, or has the local scores of that part from those who have the data.
    part = -(-number // -(-problem.n_nodes // block.n_rows))
    seats = block.first // block.n_rows * part + jnp.arange(part, dtype=jnp.int32)
    some = nodes[jnp.minimum(seats, number - 1)]
    rows = fetch(x, some)
    scores = _measured(problem, rows, some, each=not has_own_data_only(problem))
    if has_own_data_only(problem):
        at_home = _measured_at_home(problem, x, own_rows, nodes)
        scores |= {name: fetch(values, some) for name, values in at_home.items()}
    return {name: collected(values, number) for name, values in scores.items()}


def _measured_at_home(
    problem: Problem, x: Rows, own_rows: Int[Array, " rows"], nodes: Int[Array, " s"]
) -> dict[str, jax.Array]:
    """Return the local measurements, (rows,) each, of those rows at hand that are among ``nodes``; zeros for the others."""
    wanted = only_nodes(own(jnp.zeros(problem.n_nodes, bool).at[nodes].set(True)))
    at_once, n_rows = min(AT_HOME, x.shape[0]), x.shape[0]
    places = jnp.nonzero(wanted, size=n_rows + at_once, fill_value=0)[0].astype(jnp.int32)

    def some(start: jax.Array) -> dict[str, jax.Array]:
        chosen = jax.lax.dynamic_slice_in_dim(places, start, at_once)
        return dict(problem.evaluate_local(gather(x, chosen), gather(own_rows, chosen)))

    def fill(state: tuple[jax.Array, dict[str, jax.Array]]) -> tuple[jax.Array, dict[str, jax.Array]]:
        start, scores = state
        # What fills up the last part is of the first row: it is measured again, alike.
        where = jax.lax.dynamic_slice_in_dim(places, start, at_once)
        return start + at_once, {name: scores[name].at[where].set(values) for name, values in some(start).items()}

    zeros = {name: jnp.zeros(n_rows, like.dtype) for name, like in jax.eval_shape(some, jnp.int32(0)).items()}
    if not zeros:
        return {}
    return jax.lax.while_loop(lambda state: state[0] < wanted.sum(), fill, (jnp.int32(0), zeros))[1]


def _measured(
    problem: Problem, rows: Float[Array, "s p"], nodes: Int[Array, " k"], *, each: bool
) -> dict[str, jax.Array]:
    rows = as_evaluated(problem, rows, nodes)
    scores = dict(problem.evaluate(rows))
    return scores | dict(problem.evaluate_local(rows, nodes)) if each else scores


class _HonestRows(NamedTuple):
    """Means over the rows of all honest nodes.

    Attributes:
        rows: (k,) the honest rows; None for all.
        n_rows: number of rows of all nodes, or 1 where all share one.
    """

    rows: Int[Array, " k"] | None
    n_rows: int

    def mean(self, values: jax.Array) -> jax.Array:
        """Return (…): the mean of values (rows, …) over the honest rows."""
        if at_hand() is None or self.n_rows == 1:
            return blocked_mean(values if self.rows is None else values[self.rows])
        if self.rows is None:
            return node_mean(values, self.n_rows)[0]
        mask = own(jnp.zeros(self.n_rows, bool).at[self.rows].set(True))
        return node_mean(jnp.where(mask.reshape(-1, *[1] * (values.ndim - 1)), values, 0), self.rows.shape[0])[0]


def _honest_rows(problem: Problem, x: Rows, honest: HonestNodes | None) -> _HonestRows:
    single = x.shape[0] == 1 and count_rows(problem.n_nodes) != 1
    return _HonestRows(None if honest is None else honest.rows, 1 if single else problem.n_nodes)


def statistics(name: str, values: jax.Array) -> dict[str, jax.Array]:
    """Return mean, standard deviation, extremes and quantiles of (s,) values, ignoring NaN: nodes without the measurement."""
    record = {
        f"{name}_mean": jnp.nanmean(values),
        f"{name}_std": jnp.nanstd(values),
        f"{name}_min": jnp.nanmin(values),
        f"{name}_max": jnp.nanmax(values),
    }
    quantiles = jnp.nanquantile(values, jnp.asarray(QUANTILES) / 100)
    return record | {f"{name}_q{q:02d}": quantiles[i] for i, q in enumerate(QUANTILES)}


def measurement_names(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the measurements whose :func:`statistics` are in a record."""
    return tuple(key.removesuffix("_q50") for key in record if key.endswith("_q50"))


def is_finite(value: object) -> bool:
    """Return whether a record's value is a finite number; stored records have None in place of NaN and infinities."""
    return isinstance(value, int | float) and math.isfinite(value)


def first_lost_round(records: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the first round of the final records in which no measurement has a finite mean; None if the run is not lost.

    Finite models so large that every measurement overflows count as lost, like infinite ones. If no measurement was ever
    finite but the consensus distance still is, the measurements are undefined for these models rather than lost.

    Args:
        records: records of a run in the order of rounds, with NaN and infinities as such or as None.
    """
    finite = [any(is_finite(record.get(f"{name}_mean")) for name in measurement_names(record)) for record in records]
    if not records or finite[-1] or not measurement_names(records[-1]):
        return None
    if not any(finite) and is_finite(records[-1].get("consensus_distance")):
        return None
    first = len(finite) - finite[::-1].index(True) if any(finite) else 0
    return int(records[first]["round"])


class Metrics(Sequence[Mapping[str, Any]]):
    """The records of a run, one per evaluation; indexing by name gives a column over all evaluations.

    Raises:
        KeyError: on indexing by a name that is not in the records.

    >>> result.metrics["test_accuracy_mean"]   # (evaluations,) float64
    >>> result.metrics[-1]                     # the last record, a dict
    """

    def __init__(self, records: Sequence[Mapping[str, Any]]) -> None:
        self.records = tuple(records)

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, str):
            if which not in self.names:
                raise KeyError(f"no metric '{which}'; there are: {', '.join(self.names)}")
            return np.asarray([record.get(which, np.nan) for record in self.records], np.float64)
        return self.records[which]

    def __len__(self) -> int:
        return len(self.records)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all metrics, in the order of the last record."""
        return tuple(self.records[-1]) if self.records else ()

    @property
    def final(self) -> Mapping[str, Any]:
        """The last record."""
        return self.records[-1]

    def __repr__(self) -> str:
        return f"Metrics({len(self)} evaluations of {', '.join(self.names)})"
