"""Compressors Q(x) of the rows that nodes send, with exact message sizes; independent of graphs and learning.

>>> Q = jaxgossip.compression.top_k(fraction=0.1)
>>> Q(x, key)                      # (n, p) -> (n, p), as decompressed by the receiver
>>> Q.size(64, x.dtype)            # Size(data=24, metadata=5), bytes of one message

Every builder raises ArgumentTypeError for arguments that are missing, unknown or, mostly, of the wrong type, and
InputError, its base class, for numbers that are NaN, infinite or not whole where they must be; bounds are under its
``Raises``.
"""

from jaxgossip.compression.blocks import by_blocks as by_blocks
from jaxgossip.compression.casts import bfloat16 as bfloat16
from jaxgossip.compression.casts import float16 as float16
from jaxgossip.compression.casts import identity as identity
from jaxgossip.compression.compressor import Compressor as Compressor
from jaxgossip.compression.compressor import Size as Size
from jaxgossip.compression.error_feedback import empty_memory as empty_memory
from jaxgossip.compression.error_feedback import feedback as feedback
from jaxgossip.compression.quantizers import qsgd as qsgd
from jaxgossip.compression.quantizers import sign as sign
from jaxgossip.compression.sparsifiers import random_k as random_k
from jaxgossip.compression.sparsifiers import top_k as top_k
from jaxgossip.compression.subspace import low_rank as low_rank
from jaxgossip.core.registry import Registry

COMPRESSORS = Registry(
    "compressor",
    {
        "none": identity,
        "top_k": top_k,
        "random_k": random_k,
        "qsgd": qsgd,
        "sign": sign,
        "low_rank": low_rank,
        "float16": float16,
        "bfloat16": bfloat16,
    },
)
"""Builders of compressors by name."""
