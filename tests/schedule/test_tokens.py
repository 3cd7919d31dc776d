"""Token accounts: the formulas of Danner and Jelasity 2018, at hand-computed values."""

import pytest

from jaxgossip.core.errors import InputError
from jaxgossip.schedule import TOKEN_ACCOUNTS


def test_every_account_at_some_balances() -> None:
    account = TOKEN_ACCOUNTS["proactive"]()
    assert (account.proactive(0), account.reactive(5, True)) == (1.0, 0.0)
    account = TOKEN_ACCOUNTS["reactive"](k=2)
    assert (account.proactive(9), account.reactive(0, True), account.reactive(0, False)) == (0.0, 2.0, 0.0)
    account = TOKEN_ACCOUNTS["simple"](capacity=3)
    assert [account.proactive(a) for a in range(5)] == [0, 0, 0, 1, 1]
    assert [account.reactive(a, useful) for a in (0, 1, 3) for useful in (True, False)] == [0, 0, 1, 1, 1, 1]
    account = TOKEN_ACCOUNTS["generalised"](capacity=20, reaction=5)
    assert [account.proactive(a) for a in (19, 20)] == [0, 1]
    # ⌊(4 + a)/5⌋ and ⌊(4 + a)/10⌋
    assert [account.reactive(a, True) for a in (0, 1, 5, 6, 20)] == [0, 1, 1, 2, 4]
    assert [account.reactive(a, False) for a in (0, 5, 6, 15, 16, 20)] == [0, 0, 1, 1, 2, 2]
    account = TOKEN_ACCOUNTS["randomised"](capacity=20, reaction=10)
    assert [account.proactive(a) for a in (0, 8, 9, 10, 20, 21)] == [0, 0, 0, 1 / 11, 1, 1]
    assert [account.reactive(a, True) for a in (0, 5, 20)] == [0, 0.5, 2]
    assert account.reactive(20, False) == 0


@pytest.mark.parametrize("name", ["simple", "generalised", "randomised"])
def test_nothing_is_sent_without_tokens(name: str) -> None:
    keys = {"capacity": 7} if name == "simple" else {"capacity": 7, "reaction": 3}
    account = TOKEN_ACCOUNTS[name](**keys)
    for a in range(8):
        for useful in (True, False):
            assert account.reactive(a, useful) <= a
        assert 0 <= account.proactive(a) <= 1
    assert account.proactive(7) == 1  # so that no account ever holds more than its capacity


def test_impossible_accounts() -> None:
    with pytest.raises(InputError, match="randomised token account: the reaction 5 is larger than the capacity 3"):
        TOKEN_ACCOUNTS["randomised"](capacity=3, reaction=5)
    with pytest.raises(InputError, match="simple token account: capacity must be a whole number of at least 1, not 0"):
        TOKEN_ACCOUNTS["simple"](capacity=0)
