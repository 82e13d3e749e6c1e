"""
Incident 2 and its guards. Four stand in a row, and each alone is enough: the token, the order's lock under which
"paid" is read, the election by compare-and-set, and the unique index on winners. The ledger's key is the last one.
"""

from __future__ import annotations

import time
from functools import partial

import pytest
from django.db import transaction

from payments import batch, checkout, money
from payments.models import Payment
from tests.incidents.conftest import GUARDS
from tests.races.crowd import at_once
from wallet import ledger
from wallet.models import Posting

PRESSES = 4
PRICE = 38_000
CASH = 5 * PRICE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["plainly", "by steps"], autouse=True)
def way(request, monkeypatch):
    """The two ways to pay from the wallet: where nothing stands in the way, and where something might."""
    if request.param == "by steps":
        monkeypatch.setattr(batch, "pay_one", lambda *_, **__: None)


@pytest.fixture
def slow_hands(monkeypatch):
    """All presses have read "not paid yet" before the first one writes."""
    for step in ((checkout, "_record"), (batch, "_burn")):
        monkeypatch.setattr(*step, slowly(getattr(*step)))


def slowly(step):
    def slow(*args, **kwargs):
        time.sleep(0.3)
        return step(*args, **kwargs)

    return slow


def four_presses(till, lin):
    order = till.order(lin, quantity=1)
    token = till.token(order)
    return at_once([partial(till.press, order, "wallet", token) for _ in range(PRESSES)])


def deductions(lin):
    taken = Posting.objects.filter(account__code=money.buyer_cash(lin.pk, "CNY"), amount_minor__lt=0)
    return [-posting.amount_minor for posting in taken]


def test_without_any_guard_every_press_takes_the_money(till, buyer, unguarded, slow_hands):
    """If this fails, the tests below prove nothing."""
    lin = buyer("lin", cash=CASH)
    unguarded(*GUARDS)
    four_presses(till, lin)
    assert deductions(lin) == [PRICE] * PRESSES
    assert ledger.balance(money.buyer_cash(lin.pk, "CNY")) == PRICE


@pytest.mark.parametrize("kept", GUARDS)
def test_each_guard_alone_leaves_one_deduction(till, buyer, unguarded, slow_hands, kept):
    lin = buyer("lin", cash=CASH)
    unguarded(*(set(GUARDS) - {kept}))
    four_presses(till, lin)
    assert deductions(lin) == [PRICE]


def test_all_together_answer_every_press_with_the_same_payment(till, buyer, slow_hands):
    lin = buyer("lin", cash=CASH)
    answers = four_presses(till, lin)
    assert len({(payment.number, payment.state, payment.outcome) for payment in answers}) == 1
    assert deductions(lin) == [PRICE]
    assert ledger.balance(money.buyer_cash(lin.pk, "CNY")) == CASH - PRICE


def booked_again(till, lin):
    order = till.order(lin, quantity=1)
    payment = till.press(order, "wallet")
    with transaction.atomic():
        again = Payment.objects.get(pk=payment.pk)
        money.take_from_wallet(again, credit=money.guarantee("CNY"), at=till.clock())


def test_without_the_entry_key_a_repeated_booking_deducts_again(till, buyer, monkeypatch):
    """If this fails, the test below proves nothing."""
    lin = buyer("lin", cash=CASH)
    post = ledger.post
    keys = iter(range(100))
    monkeypatch.setattr(
        ledger,
        "post",
        lambda entry, *, at: post(
            ledger.Entry(f"{entry.key}:{next(keys)}", entry.kind, entry.reference, entry.lines), at=at
        ),
    )
    booked_again(till, lin)
    assert deductions(lin) == [PRICE, PRICE]


def test_with_the_entry_key_it_is_the_same_fact(till, buyer):
    lin = buyer("lin", cash=CASH)
    booked_again(till, lin)
    assert deductions(lin) == [PRICE]
