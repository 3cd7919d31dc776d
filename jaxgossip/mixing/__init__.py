"""X ← W X as device operators, chosen by the structure of the graph.

>>> W = jaxgossip.mixing.metropolis_hastings(jaxgossip.topology.ring(1024))
>>> W(x)              # (n, p) -> (n, p)
>>> W.as_matrix()     # (n, n) float64 NumPy
"""

from jaxgossip.core.registry import Registry
from jaxgossip.mixing.build import (
    best_constant as best_constant,
)
from jaxgossip.mixing.build import (
    dense as dense,
)
from jaxgossip.mixing.build import (
    fresh_regular as fresh_regular,
)
from jaxgossip.mixing.build import (
    matching as matching,
)
from jaxgossip.mixing.build import (
    max_degree as max_degree,
)
from jaxgossip.mixing.build import (
    metropolis_hastings as metropolis_hastings,
)
from jaxgossip.mixing.build import (
    one_peer_exponential as one_peer_exponential,
)
from jaxgossip.mixing.build import (
    one_peer_hypercube as one_peer_hypercube,
)
from jaxgossip.mixing.build import (
    operator as operator,
)
from jaxgossip.mixing.build import (
    pairwise as pairwise,
)
from jaxgossip.mixing.build import (
    pull as pull,
)
from jaxgossip.mixing.build import (
    push as push,
)
from jaxgossip.mixing.build import (
    push_sum as push_sum,
)
from jaxgossip.mixing.build import (
    sinkhorn as sinkhorn,
)
from jaxgossip.mixing.build import (
    static as static,
)
from jaxgossip.mixing.build import (
    table_operator as table_operator,
)
from jaxgossip.mixing.build import (
    uniform as uniform,
)
from jaxgossip.mixing.faults import Faults as Faults
from jaxgossip.mixing.operator import Mixing as Mixing
from jaxgossip.mixing.operator import Operator as Operator
from jaxgossip.mixing.operator import TimeVarying as TimeVarying
from jaxgossip.mixing.optimized.weights import fastest as fastest
from jaxgossip.mixing.optimized.weights import from_file as from_file
from jaxgossip.mixing.optimized.weights import learned_schedule as learned_schedule
from jaxgossip.mixing.time_varying.equitopo import equi_static as equi_static
from jaxgossip.mixing.time_varying.equitopo import od_equi_dyn as od_equi_dyn
from jaxgossip.mixing.time_varying.equitopo import ou_equi_dyn as ou_equi_dyn
from jaxgossip.mixing.time_varying.equitopo import u_equi_static as u_equi_static
from jaxgossip.mixing.time_varying.finite_time import base_k_plus_one as base_k_plus_one
from jaxgossip.mixing.time_varying.finite_time import de_bruijn as de_bruijn
from jaxgossip.mixing.time_varying.finite_time import hyper_hypercube as hyper_hypercube
from jaxgossip.mixing.time_varying.finite_time import k_peer_exponential as k_peer_exponential
from jaxgossip.mixing.time_varying.periodic import periodic as periodic

Schedule = TimeVarying
"""Its name in the first release."""

MIXINGS = Registry(
    "mixing",
    [
        static,
        matching,
        pairwise,
        push,
        pull,
        push_sum,
        fresh_regular,
        one_peer_exponential,
        one_peer_hypercube,
        base_k_plus_one,
        hyper_hypercube,
        k_peer_exponential,
        de_bruijn,
        equi_static,
        u_equi_static,
        od_equi_dyn,
        ou_equi_dyn,
        from_file,
    ],
)
"""What ``mixing.kind`` can name."""
