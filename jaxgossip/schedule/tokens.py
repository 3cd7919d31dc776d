"""Token accounts: how much a node sends on its own, and how much in reaction to what it receives.

Every node has an account of a tokens. Once a cycle it sends a message with probability PROACTIVE(a), or else receives a
token. When a message arrives, which is useful or not (u), it sends REACTIVE(a, u) messages at once, each for one token; a
fractional number is rounded up or down at random, with the right mean. With capacity C and reaction A:

                 PROACTIVE(a)                              REACTIVE(a, u useful)   not useful
    proactive    1                                         0                       0
    reactive     0                                         k                       0
    simple       1 if a ≥ C, else 0                        1 if a > 0, else 0      the same
    generalised  1 if a ≥ C, else 0                        ⌊(A − 1 + a)/A⌋         ⌊(A − 1 + a)/(2A)⌋
    randomised   (a − A + 1)/(C − A + 1), within 0..1      a/A                     0

Except for the reactive one, no account sends more messages than it has tokens, so that a node sends at most t/Δ + C
messages in any time t. Danner and Jelasity 2018, "Token account algorithms: the best of the proactive and reactive
worlds", ICDCS; in gossip learning: Hegedűs, Danner and Jelasity 2021, "Decentralized learning works: an empirical
comparison of gossip learning and federated learning".
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxgossip.core.arguments import check_fields, guarded, whole
from jaxgossip.core.errors import InputError
from jaxgossip.core.registry import Registry


@dataclass(frozen=True)
class TokenAccount:
    """How a node spends its tokens.

    Attributes:
        proactive: tokens -> probability of sending at a tick, instead of receiving another token.
        reactive: (tokens, useful) -> expected number of messages sent at once when one has arrived.
        begins: whether a node always sends at its first tick; purely reactive nodes would otherwise never start.
        overdraws: whether more messages may be sent than there are tokens.
    """

    proactive: Callable[[int], float]
    reactive: Callable[[int, bool], float]
    begins: bool = False
    overdraws: bool = False

    def __post_init__(self) -> None:
        check_fields("token account", self)


@guarded
def proactive() -> TokenAccount:
    """Return plain gossip: one message per tick, none in reaction."""
    return TokenAccount(lambda tokens: 1.0, lambda tokens, useful: 0.0)  # noqa: ARG005 - one form for all accounts


@guarded
def reactive(*, k: int = 1) -> TokenAccount:
    """Return purely reactive sending: one message at the first tick, then k for every useful message that arrives.

    Nothing limits the messages. With k = 1 they are random walks, which end when a message is lost; with more they
    multiply, without end at a single instant if there is no delay.

    Args:
        k: number of messages sent for each useful one that arrives, at least 1.

    Raises:
        InputError: ``k`` is below 1.
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
    """Return one message in reaction while there are tokens, and one per tick while the account is full.

    Args:
        capacity: C, largest number of tokens in an account, at least 1.

    Raises:
        InputError: ``capacity`` is below 1.
    """
    C = whole("simple token account", "capacity", capacity, 1)
    return TokenAccount(lambda tokens: float(tokens >= C), lambda tokens, useful: float(tokens > 0))  # noqa: ARG005


@guarded
def generalised(*, capacity: int = 20, reaction: int = 10) -> TokenAccount:
    """Return more messages in reaction the more tokens there are, and half as many to useless messages.

    Args:
        capacity: C, largest number of tokens in an account, at least A.
        reaction: A, number of tokens for which one message is sent in reaction, at least 1.

    Raises:
        InputError: ``reaction`` is below 1, or above ``capacity``.
    """
    C, A = _capacity_and_reaction("generalised", capacity, reaction)

    def react(tokens: int, useful: bool) -> float:
        return float((A - 1 + tokens) // (A if useful else 2 * A))

    return TokenAccount(lambda tokens: float(tokens >= C), react)


@guarded
def randomised(*, capacity: int = 20, reaction: int = 10) -> TokenAccount:
    """Return messages that grow with the tokens: in probability at ticks, and in number in reaction to useful messages.

    Args:
        capacity: C, largest number of tokens in an account, at least A.
        reaction: A, number of tokens for which one message is sent in reaction, at least 1.

    Raises:
        InputError: ``reaction`` is below 1, or above ``capacity``.
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
"""Token accounts by name."""
