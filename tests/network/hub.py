"""What tests of robust rules share: graphs, a problem of losses alone, and what one node makes of given rows."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgossip as jg
from jaxgossip.network import Aggregation, Conditions, Round

t = jg.topology
P = 4
GRAPHS = {
    "regular": t.random_regular(12, degree=5, rng=0),
    "dense": t.random_regular(16, degree=11, rng=0),
    "star": t.star(9),
    "power law": t.barabasi_albert(20, m=2, rng=0),
}


@dataclass(frozen=True)
class Losses:
    """A problem that has losses alone: of a row x at node i, Σ_c cos(x_c + i); or none at all of rows that are ``flat``."""

    nodes: np.ndarray
    flat: bool = False
    n_params: int = P

    def batch_loss(self, x: jax.Array, key: jax.Array) -> jax.Array:
        del key
        return jnp.zeros(len(x)) if self.flat else jnp.cos(x + self.nodes[:, None]).sum(1)


def heard_by_a_hub(rule: Aggregation, rows: np.ndarray, number: int = 0, problem: Any = None) -> np.ndarray:
    """Return what node 0 makes of all ``rows`` (n, p), the first of which is its own."""
    n = len(rows)
    W = jg.mixing.uniform(t.complete(n))
    round_ = Round(jnp.int32(number), jax.random.key(0), n, Conditions(aggregation=rule), problem=problem)
    return np.asarray(round_.links(W).mix(jnp.asarray(rows, jnp.float32)))[0]
