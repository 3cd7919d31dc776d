"""Mixing X ← W X: operators on the device, chosen by the structure of the graph, and time-varying mixing.

>>> W = jaxgossip.mixing.metropolis_hastings(jaxgossip.topology.ring(1024))
>>> W(x)              # (n, p) -> (n, p)
>>> W.as_matrix()     # (n, n) float64 NumPy

Every builder raises ArgumentTypeError for arguments that are missing, unknown or, mostly, of the wrong type, and
InputError, its base class, for numbers that are NaN, infinite or not whole where they must be; bounds are under its
``Raises``.
"""

from jaxgossip.core.registry import Registry
from jaxgossip.mixing.build import (
    best_constant,
    dense,
    fresh_regular,
    matching,
    max_degree,
    metropolis_hastings,
    one_peer_exponential,
    one_peer_hypercube,
    operator,
    pairwise,
    pull,
    push,
    push_sum,
    sinkhorn,
    static,
    table_operator,
    uniform,
)
from jaxgossip.mixing.by_classes import CliqueMixing, d_cliques, stl_fw
from jaxgossip.mixing.centrality import centrality_gain, perron_vector
from jaxgossip.mixing.faults import Faults
from jaxgossip.mixing.fragments import Fragments
from jaxgossip.mixing.operator import Mixing, Operator, TimeVarying
from jaxgossip.mixing.optimized.weights import fastest, from_file, learned_sequence
from jaxgossip.mixing.time_varying.contacts import contacts
from jaxgossip.mixing.time_varying.equitopo import equi_static, od_equi_dyn, ou_equi_dyn, u_equi_static
from jaxgossip.mixing.time_varying.finite_time import base_k_plus_one, de_bruijn, hyper_hypercube, k_peer_exponential
from jaxgossip.mixing.time_varying.fragmented import divshare, fragmented, mosaic, shatter
from jaxgossip.mixing.time_varying.periodic import periodic
from jaxgossip.mixing.time_varying.windowed import windowed

__all__ = [
    "MIXINGS",
    "CliqueMixing",
    "Faults",
    "Fragments",
    "Mixing",
    "Operator",
    "Schedule",
    "TimeVarying",
    "base_k_plus_one",
    "best_constant",
    "centrality_gain",
    "contacts",
    "d_cliques",
    "de_bruijn",
    "dense",
    "divshare",
    "equi_static",
    "fastest",
    "fragmented",
    "fresh_regular",
    "from_file",
    "hyper_hypercube",
    "k_peer_exponential",
    "learned_schedule",
    "learned_sequence",
    "matching",
    "max_degree",
    "metropolis_hastings",
    "mosaic",
    "od_equi_dyn",
    "one_peer_exponential",
    "one_peer_hypercube",
    "operator",
    "ou_equi_dyn",
    "pairwise",
    "periodic",
    "perron_vector",
    "pull",
    "push",
    "push_sum",
    "shatter",
    "sinkhorn",
    "static",
    "stl_fw",
    "table_operator",
    "u_equi_static",
    "uniform",
    "windowed",
]

Schedule = TimeVarying
"""Former name of :class:`TimeVarying`."""

learned_schedule = learned_sequence
"""Former name of :func:`learned_sequence`."""

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
        d_cliques,
        stl_fw,
        divshare,
        mosaic,
        shatter,
        from_file,
        contacts,
    ],
)
"""Builders of mixing by name, as in ``mixing.kind``."""
