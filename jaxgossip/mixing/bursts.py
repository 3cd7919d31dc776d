"""Failures of links that come in bursts: a Markov chain of two states for every link, which works or fails.

With q the share of rounds in which a link fails and b the mean number of rounds for which a failure lasts:

    a failed link works in the next round with probability r = 1/b, and one that works fails with g = r q/(1 − q):
    q = g/(g + r),   and the autocorrelation of rounds k apart is λᵏ,   λ = 1 − g − r = 1 − 1/(b (1 − q)).

Gilbert 1960, "Capacity of a burst-noise channel"; Elliott 1963, "Estimates of error rates for codes on burst-noise channels".

No state is carried from round to round: the state in a round is a function of (key, link, round), so that links may come and
go, and resuming, sharding and the order of the rows change nothing. Rounds that are multiples of M = 2ᴸ are drawn with
probability q, each by itself: M is so large that λᴹ < 2⁻²⁴, the resolution of draws. Of two known rounds a and c that are 2h
apart, the round s in the middle has the law of a bridge,

    P(s | a, c) = P_h(a, s) P_h(s, c) / P_2h(a, c),   P_h(a, s) = π_s + λʰ (1{a = s} − π_s),   π = (1 − q, q),

and halving goes on to the round asked for. A link takes L + 2 draws a round, where L = ⌈log₂(17 b)⌉.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, UInt32

from jaxgossip.core.pytree import pytree_dataclass, static_field
from jaxgossip.core.random import pair_words, to_unit
from jaxgossip.core.typing import PRNGKey

MEMORY = 17
"""Bursts, of mean length, until a link has forgotten: e⁻¹⁷ < 2⁻²⁴."""


@pytree_dataclass
class Bursts:
    """The round of a run as chains of failures have it.

    Attributes:
        key: key of the chains, the same in all rounds of a run.
        round: () int32, number of earlier rounds.
        length: b, mean number of rounds for which a failure lasts.
    """

    key: PRNGKey
    round: Int[Array, ""]
    length: float = static_field()

    def failing(
        self, low: UInt32[Array, "*links"], high: UInt32[Array, "*links"], share: float | Array
    ) -> Bool[Array, "*links"]:
        """Return bool: whether the links between nodes ``low`` and ``high`` fail in this round.

        Args:
            low: uint32, the smaller node number of each link.
            high: uint32, the larger one.
            share: q, the share of rounds in which a link fails.
        """
        halvings = math.ceil(math.log2(MEMORY * self.length))
        now, fails = self.round.astype(jnp.uint32), jnp.asarray(share, jnp.float32)
        log_decay = jnp.log1p(-jnp.minimum(1 / (self.length * (1 - fails)), 1))  # log λ

        def drawn(number: Array, probability: Array) -> Array:
            word, _ = pair_words(jax.random.fold_in(self.key, number), low, high)
            return to_unit(word) < probability

        def passing(distance: Array, before: bool, after: bool) -> Array:
            """Return P_distance(before, after); True for a link that fails."""
            mixed = -jnp.expm1(distance.astype(jnp.float32) * log_decay)  # 1 − λ^distance
            change = mixed * ((1 - fails) if before else fails)
            return 1 - change if before == after else change

        def between(half: Array, before: bool, after: bool) -> Array:
            """Return the probability that a link fails in the middle of two known rounds."""
            through = passing(half, before, after=True) * passing(half, True, after)
            return through / passing(2 * half, before, after)

        def halve(level: Array, around: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            begin, before, after = around
            half = jnp.uint32(1 << (halvings - 1)) >> level.astype(jnp.uint32)
            works, failed = (
                jnp.where(after, between(half, known, after=True), between(half, known, after=False))
                for known in (False, True)
            )
            middle = drawn(begin + half, jnp.where(before, failed, works))
            earlier = now < begin + half
            begin = jnp.where(earlier, begin, begin + half)
            return begin, jnp.where(earlier, before, middle), jnp.where(earlier, middle, after)

        begin = (now >> halvings) << halvings
        ends = begin, drawn(begin, fails), drawn(begin + jnp.uint32(1 << halvings), fails)
        return jax.lax.fori_loop(0, halvings, halve, ends)[1]
