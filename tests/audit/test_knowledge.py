"""What attackers at nodes recover: the published counts, exactly; gradients of a run of D-GD; lost messages and matchings."""

from collections.abc import Sequence
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgossip import algorithms, mixing, topology
from jaxgossip.audit import knowledge_matrix, reconstruct_updates, reconstruct_values, recovered
from jaxgossip.core.errors import GraphError, InputError
from jaxgossip.learning.problem import SyntheticProblem
from jaxgossip.network import Conditions, Round
from jaxgossip.topology import metropolis_hastings

VALUES = [
    ("path 8", topology.path(8), 0, (2, 3, 4, 8), 8),
    ("path 8", topology.path(8), 3, (3, 5, 7, 8), 8),
    ("ring 16", topology.ring(16), 0, (3, 5, 7, 16), 16),
    ("leaf of star 8", topology.star(8), 1, (2, 2, 2, 2), 3),
    ("hub of star 8", topology.star(8), 0, (8, 8, 8, 8), 8),
    ("corner of grid 9", topology.grid(9), 0, (3, 3, 3, 9), 9),
    ("edge of grid 9", topology.grid(9), 1, (4, 7, 9, 9), 9),
    ("hypercube 8", topology.hypercube(8), 0, (4, 7, 8, 8), 8),
    ("leaf of tree 15", topology.binary_tree(15), 14, (2, 2, 2, 3), 9),
]
"""Nodes recovered after 1, 2, 3 and n rounds with Metropolis–Hastings weights, and the rank after n."""
KARATE = [(0, (17, 21, 22, 29)), (33, (18, 24, 26, 26)), (11, (2, 2, 2, 2))]
"""After 1, 2, 3 and 4 rounds, by attacker."""
UPDATES = [
    ("path 8", topology.path(8), 0, 7),
    ("ring 16", topology.ring(16), 0, 15),
    ("grid 9", topology.grid(9), 0, 8),
    ("hypercube 8", topology.hypercube(8), 0, 7),
    ("leaf of star 8", topology.star(8), 1, 1),
    ("leaf of tree 15", topology.binary_tree(15), 14, 2),
]
"""Targets whose updates are recovered after n rounds."""


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("graph", "attacker", "counts", "rank"), [case[1:] for case in VALUES])
def test_recovered_values_are_the_published_ones(
    graph: topology.Graph, attacker: int, counts: tuple[int, ...], rank: int, exact: bool
) -> None:
    n = graph.n_nodes
    found = recovered(metropolis_hastings(graph), attacker, n, exact=exact)
    assert tuple(found.counts[[0, 1, 2, n - 1]]) == counts
    assert found.rank[-1] == rank
    assert (np.diff(found.counts) >= 0).all()
    assert found.nodes(n).tolist() == np.flatnonzero(found.share > 1 - 1e-7).tolist()


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("attacker", "counts"), KARATE)
def test_recovered_values_of_the_karate_club(attacker: int, counts: tuple[int, ...], exact: bool) -> None:
    found = recovered(metropolis_hastings(topology.karate()), attacker, 4, exact=exact)
    assert tuple(found.counts) == counts


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("graph", "attacker", "targets"), [case[1:] for case in UPDATES])
def test_recovered_updates_are_the_published_ones(
    graph: topology.Graph, attacker: int, targets: int, exact: bool
) -> None:
    found = recovered(metropolis_hastings(graph), attacker, graph.n_nodes, form="updates", exact=exact)
    assert found.counts[-1] == targets
    assert attacker not in found.nodes(graph.n_nodes)


def by_elimination(matrix: Sequence[Sequence[Fraction]]) -> list[int]:
    """Return the columns u with e_u in the row space, by Gauss and Jordan over the rationals."""
    rows, pivots = [list(row) for row in matrix], 0
    for column in range(len(rows[0])):
        at = next((i for i in range(pivots, len(rows)) if rows[i][column]), None)
        if at is None:
            continue
        rows[pivots], rows[at] = rows[at], rows[pivots]
        rows[pivots] = [value / rows[pivots][column] for value in rows[pivots]]
        for i, row in enumerate(rows):
            if i != pivots and row[column]:
                rows[i] = [a - row[column] * b for a, b in zip(row, rows[pivots], strict=True)]
        pivots += 1
    return sorted(next(u for u, value in enumerate(row) if value) for row in rows if sum(map(bool, row)) == 1)


def pairs(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return (I + P)/2 of a random perfect matching, in fractions."""
    order, matrix = rng.permutation(n), np.full((n, n), Fraction(0), object)
    for a, b in zip(order[::2], order[1::2], strict=True):
        matrix[a, a] = matrix[b, b] = matrix[a, b] = matrix[b, a] = Fraction(1, 2)
    return matrix


def lossy_ring(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return a ring with weights 1/3, of which a third of the messages is lost; their weights stay with the receivers."""
    matrix = np.full((n, n), Fraction(0), object)
    for node in range(n):
        heard = [(node + step) % n for step in (-1, 1) if rng.random() > 1 / 3]
        matrix[node, heard] = Fraction(1, 3)
        matrix[node, node] = 1 - Fraction(len(heard), 3)
    return matrix


def products(matrices: Sequence[np.ndarray], attackers: Sequence[int], form: str) -> list[list[list[Fraction]]]:
    """Return K after each round by dense products, as the definition says."""
    n = len(matrices[0])
    away = set(attackers) if form == "updates" else set()
    power = np.array([[Fraction(int(i == j)) for j in range(n)] for i in range(n)], object)
    unit, rows, grown = power.copy(), [], []
    if form == "values":
        rows = [list(power[a]) for a in attackers]
    for matrix in matrices:
        heard = [v for v in range(n) if v not in attackers and any(matrix[a][v] for a in attackers)]
        rows += [[value if u not in away else Fraction(0) for u, value in enumerate(power[v])] for v in heard]
        grown.append([list(row) for row in rows])
        kept = matrix.copy()
        for node in away:
            kept[node, :], kept[:, node] = Fraction(0), Fraction(0)
        power = kept.dot(power) + (unit if form == "updates" else 0)
    return grown


@pytest.mark.parametrize("form", ["values", "updates"])
@pytest.mark.parametrize("attackers", [(0,), (2, 5)])
def test_matchings_and_losses_are_solved_as_by_elimination(attackers: tuple[int, ...], form: str) -> None:
    rng = np.random.default_rng(0)
    matrices = [(pairs if number % 3 == 2 else lossy_ring)(rng, 8) for number in range(9)]
    exact = recovered(matrices, attackers, form=form, exact=True)  # pyright: ignore[reportArgumentType]
    floating = recovered(matrices, attackers, form=form)  # pyright: ignore[reportArgumentType]
    for number, known in enumerate(products(matrices, attackers, form), start=1):
        wanted = by_elimination(known)
        assert exact.nodes(number).tolist() == wanted
        assert floating.nodes(number).tolist() == wanted
    assert exact.rank.tolist() == floating.rank.tolist()
    np.testing.assert_allclose(exact.share, floating.share, atol=1e-9)
    assert 0 < exact.counts[0] < exact.counts[-1]


def test_equal_matrices_one_by_one_are_those_of_all_rounds() -> None:
    W = metropolis_hastings(topology.grid(9)).to_scipy().toarray()
    one_by_one = [W.copy() for _ in range(9)]
    for form in ("values", "updates"):
        for exact in (True, False):
            apart = recovered(one_by_one, 4, form=form, exact=exact)
            together = recovered(W, 4, 9, form=form, exact=exact)
            assert apart.first.tolist() == together.first.tolist()
            assert apart.rank.tolist() == together.rank.tolist()


def test_a_message_that_is_lost_is_not_heard() -> None:
    W = metropolis_hastings(topology.path(4)).to_scipy().toarray()
    lost = W.copy()
    lost[0, 0], lost[0, 1] = 1.0, 0.0  # node 0 does not hear node 1 in the first round
    assert recovered([W, W], 0, exact=True).first.tolist() == [0, 1, 2, -1]
    assert recovered([lost, W], 0, exact=True).first.tolist() == [0, -1, -1, -1]
    # By then node 1 has averaged; alone, its row tells neither value, as do two rounds of a leaf of three.
    assert recovered([W, W], 0, exact=True, heard=[[], [1]]).first.tolist() == [0, -1, -1, -1]


def test_several_attackers_know_more_than_each() -> None:
    W = metropolis_hastings(topology.star(4))
    assert [recovered(W, leaf, 4, exact=True).counts.tolist() for leaf in (1, 2)] == [[2] * 4] * 2
    together = recovered(W, (2, 1), 4, exact=True)
    assert together.counts.tolist() == [3, 4, 4, 4]
    assert together.attackers == (1, 2)


def test_ten_thousand_nodes_are_within_reach() -> None:
    found = recovered(metropolis_hastings(topology.ring(10_000)), (0, 5000), 8)
    assert found.counts.tolist() == [6, 10, 14, 18, 22, 26, 30, 34]


def test_values_are_reconstructed_from_what_is_heard() -> None:
    conditions, W = Conditions(drop=0.3), mixing.metropolis_hastings(topology.ring(10))
    rng, n, rounds, attackers = np.random.default_rng(0), 10, 4, [3]
    x = first = rng.normal(size=(n, 2))
    matrices, messages = [], []
    with jax.enable_x64(True):
        for number in range(rounds):
            links = Round(jnp.int32(number), jax.random.key(0), n, conditions).links(W)
            matrix = np.asarray(links.operator.mix(jnp.eye(n), links.faults))
            heard = np.flatnonzero((matrix[3] != 0) & (np.arange(n) != 3))
            matrices.append(matrix)
            messages.append(x[heard])
            x = matrix @ x
    found = reconstruct_values(matrices, attackers, first[attackers], messages)
    known = recovered(matrices, attackers)
    assert np.flatnonzero(~np.isnan(found[:, 0])).tolist() == known.nodes(rounds).tolist()
    assert 2 < known.counts[-1] < n
    np.testing.assert_allclose(found[known.nodes(rounds)], first[known.nodes(rounds)], atol=1e-9)


class Slopes(SyntheticProblem):
    """f_i(x) = ⟨g_i, x⟩, whose gradient is the same everywhere."""

    def __init__(self, slopes: jax.Array) -> None:
        self.slopes, (self.n_nodes, self.n_params), self.dtype = slopes, slopes.shape, np.dtype(slopes.dtype)
        self.n_shared, self.sample_counts = self.n_params, jnp.ones(self.n_nodes)

    def init(self, key: jax.Array) -> jax.Array:
        del key
        return jnp.zeros_like(self.slopes)

    def gradient(self, x: jax.Array, key: object) -> jax.Array:
        del x, key
        return self.slopes

    def gradient_at(self, x: jax.Array, nodes: jax.Array, key: object, numbers: object) -> jax.Array:
        del x, key, numbers
        return self.slopes[nodes]

    def loss_at(self, x: jax.Array, nodes: jax.Array) -> jax.Array:
        return (x * self.slopes[nodes]).sum(1)

    def evaluate(self, x: jax.Array) -> dict[str, jax.Array]:
        return {"norm": jnp.linalg.norm(x, axis=1)}


@pytest.mark.parametrize("attackers", [(0,), (1, 6)])
def test_gradients_of_a_run_are_reconstructed(attackers: tuple[int, ...]) -> None:
    graph, rounds = topology.binary_tree(7), 7
    weights = metropolis_hastings(graph)
    with jax.enable_x64(True):
        slopes, start = jax.random.normal(jax.random.key(1), (2, 7, 3))
        start = start[0]
        problem = Slopes(slopes)
        algorithm = algorithms.dsgd(problem, optax.sgd(0.1), mixing.operator(weights))
        state = algorithm.init(jax.random.key(0))
        state = state._replace(x=jnp.broadcast_to(start, state.x.shape))
        sent = []
        for number in range(rounds):
            sent.append(np.asarray(state.x - 0.1 * slopes))
            state, _ = algorithm.step(state, Round(jnp.int32(number), jax.random.key(0), 7))
    known = recovered(weights, attackers, rounds, form="updates", exact=True)
    heard = sorted(
        {int(v) for a in attackers for v in graph.indices[graph.indptr[a] : graph.indptr[a + 1]]} - {*attackers}
    )
    found = reconstruct_updates(
        weights, attackers, np.asarray(start), [y[list(attackers)] for y in sent], [y[heard] for y in sent]
    )
    targets = known.nodes(rounds)
    assert np.flatnonzero(~np.isnan(found[:, 0])).tolist() == targets.tolist()
    assert targets.size
    np.testing.assert_allclose(found[targets], -0.1 * np.asarray(slopes)[targets], atol=1e-10)


@pytest.mark.wrong_types
def test_mistakes_are_named() -> None:
    W = metropolis_hastings(topology.ring(4))
    with pytest.raises(InputError, match="recovered: attackers must be nodes from 0 to 3, not 4"):
        recovered(W, 4, 2)
    with pytest.raises(InputError, match="recovered: all 4 nodes are attackers, and none is left to learn about"):
        recovered(W, [0, 1, 2, 3], 2)
    with pytest.raises(InputError, match="recovered: of one W for all rounds it must be said how many these are"):
        recovered(W, 0)
    with pytest.raises(InputError, match="recovered: 3 rounds of 2 matrices"):
        recovered([np.eye(4)] * 2, 0, 3)
    with pytest.raises(InputError, match="recovered: form must be 'values' or 'updates', not 'models'"):
        recovered(W, 0, 2, form="models")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="recovered: who is heard is given for 1 of 2 rounds"):
        recovered(W, 0, 2, heard=[[1]])
    with pytest.raises(GraphError, match="knowledge_matrix: matrices of several numbers of nodes"):
        knowledge_matrix([np.eye(4), np.eye(5)], 0)
    with pytest.raises(GraphError, match=r"recovered: mixing is a matrix \(n, n\), not of shape \(4, 5\)"):
        recovered(np.ones((4, 5)), 0, 2)
    with pytest.raises(InputError, match="reconstruct_values: 2 rows, and 3 are heard"):
        reconstruct_values(W, 0, np.zeros((1, 1)), [np.zeros((1, 1))])
