"""Token accounts: how much a node sends by itself, and how much in reaction to what it hears.

Every node has an account of a tokens. Once a cycle it sends a message with probability PROACTIVE(a), or else is given a
token. When a message arrives that is useful or not (u), it sends REACTIVE(a, u) messages at once, each for a token; a
number that is not whole is rounded up or down at random, to the right mean. With capacity C and reaction A:

                 PROACTIVE(a)                              REACTIVE(a, u useful)   not useful
    proactive    1                                         0                       0
    reactive     0                                         k                       0
    simple       1 if a ≥ C, else 0                        1 if a > 0, else 0      the same
    generalised  1 if a ≥ C, else 0                        ⌊(A − 1 + a)/A⌋         ⌊(A − 1 + a)/(2A)⌋
    randomised   (a − A + 1)/(C − A + 1), within 0..1      a/A                     0

No account but the reactive one ever sends more than it has tokens, so that a node sends at most t/Δ + C messages in any
time t. Danner and Jelasity 2018, "Token account algorithms: the best of the proactive and reactive worlds", ICDCS;
within gossip learning: Hegedűs, Danner and Jelasity 2021, "Decentralized learning works: an empirical
comparison of gossip learning and federated learning".
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxgossip.core.arguments import guarded, whole
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import Registry


@dataclass(frozen=True)
class TokenAccount:
    """How a node spends its tokens.

    Attributes:
        proactive: tokens -> probability to send at a tick, instead of taking another token.
        reactive: (tokens, useful) -> expected number of messages sent at once when one has arrived.
        begins: whether a node sends at its first tick in any case: what only reacts would never begin.
        overdraws: whether more may be sent than there are tokens.
    """

    proactive: Callable[[int], float]
    reactive: Callable[[int, bool], float]
    begins: bool = False
    overdraws: bool = False


@guarded
def proactive() -> TokenAccount:
    """Return plain gossip: one message a tick, none in reaction."""
    return TokenAccount(lambda tokens: 1.0, lambda tokens, useful: 0.0)  # noqa: ARG005 - one form for all accounts


@guarded
def reactive(*, k: int = 1) -> TokenAccount:
    """Return messages that cause messages: each node sends at its first tick, and then k for every useful one that arrives.

    Nothing limits them. With k = 1 they are random walks, which end where a message is lost; above that they multiply,
    and zero delay makes an instant last for ever.

    Args:
        k: messages sent for each that arrives.
    """
    messages = float(whole("reactive token account", "k", k, 1))
    return TokenAccount(
        lambda tokens: 0.0,  # noqa: ARG005 - one form for all accounts
        lambda tokens, useful: messages if useful else 0.0,  # noqa: ARG005
        begins=True,
        overdraws=True,
    )


@guarded
def simple(*, capacity: int = 20) -> TokenAccount:
    """Return one message in reaction while there are tokens, and one a tick when the account is full.

    Args:
        capacity: C, tokens that an account holds.
    """
    C = whole("simple token account", "capacity", capacity, 1)
    return TokenAccount(lambda tokens: float(tokens >= C), lambda tokens, useful: float(tokens > 0))  # noqa: ARG005


@guarded
def generalised(*, capacity: int = 20, reaction: int = 10) -> TokenAccount:
    """Return more messages in reaction the more tokens there are, and half as many to what is of no use.

    Args:
        capacity: C, tokens that an account holds.
        reaction: A, tokens for which one message is sent in reaction.
    """
    C, A = _capacity_and_reaction("generalised", capacity, reaction)

    def react(tokens: int, useful: bool) -> float:
        return float((A - 1 + tokens) // (A if useful else 2 * A))

    return TokenAccount(lambda tokens: float(tokens >= C), react)


@guarded
def randomised(*, capacity: int = 20, reaction: int = 10) -> TokenAccount:
    """Return messages at ticks the likelier, and the more in reaction to useful ones, the more tokens there are.

    Args:
        capacity: C, tokens that an account holds.
        reaction: A, tokens for which one message is sent in reaction.
    """
    C, A = _capacity_and_reaction("randomised", capacity, reaction)

    def act(tokens: int) -> float:
        return min(1.0, max(0.0, (tokens - A + 1) / (C - A + 1)))

    return TokenAccount(act, lambda tokens, useful: tokens / A if useful else 0.0)


def _capacity_and_reaction(kind: str, capacity: int, reaction: int) -> tuple[int, int]:
    A = whole(f"{kind} token account", "reaction", reaction, 1)
    C = whole(f"{kind} token account", "capacity", capacity, 1)
    if A > C:
        raise InputError(
            f"{kind} token account: the reaction {A} is larger than the capacity {C}",
            hint="no account would ever hold enough tokens for a message: make reaction at most capacity",
        )
    return C, A


TOKEN_ACCOUNTS = Registry("token account", [proactive, reactive, simple, generalised, randomised])
"""How nodes spend tokens, by name."""
