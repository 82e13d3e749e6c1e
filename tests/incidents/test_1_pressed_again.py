"""Incident 1 and its guard: the payment token, burned once in the transaction that makes the payment."""

from __future__ import annotations

from functools import partial

import pytest

from tests.races.crowd import at_once, errors

PRESSES = 6

pytestmark = pytest.mark.django_db(transaction=True)


def press_all(till, order, channel):
    token = till.token(order)
    return at_once([partial(till.press, order, channel, token) for _ in range(PRESSES)])


def trades_of(till, order):
    return till.house.control("GET", f"trades?subject={order.number}")["trades"]


def test_without_the_token_every_press_opens_a_trade(till, buyer, unguarded):
    """If this fails, the test below proves nothing."""
    unguarded("token")
    order = till.order(buyer("lin"))
    answers = press_all(till, order, "wechat")
    assert not errors(answers)
    assert len(trades_of(till, order)) == PRESSES


@pytest.mark.parametrize("channel", ["wechat", "alipay"])
def test_with_it_all_presses_are_one_trade_and_one_answer(till, buyer, channel):
    order = till.order(buyer("lin"))
    answers = press_all(till, order, channel)
    assert not errors(answers)
    assert len({payment.number for payment in answers}) == 1
    assert len(trades_of(till, order)) == 1


def test_the_token_holds_also_when_the_fast_store_is_away(till, buyer, monkeypatch):
    """The row in Postgres decides; Redis only answers sooner."""
    from basis import fast
    from risk import payment_tokens

    def away():
        raise fast.FastStoreAway

    order = till.order(buyer("lin"))
    with monkeypatch.context() as outage:
        outage.setattr(payment_tokens.fast, "store", away)
        answers = press_all(till, order, "wechat")
    assert not errors(answers)
    assert len(trades_of(till, order)) == 1
