"""What an organiser has to give back is asked for before he withdraws, not ten minutes later."""

from __future__ import annotations

import pytest

from payments.channels import registry
from payments.withdrawal_models import Withdrawal
from payments.withdrawals import NotWithdrawable, Payee
from ticketing import merchant_withdrawals, settling

pytestmark = pytest.mark.django_db

CARD = Payee("bank", "6222020000001234", "河流文化")


@pytest.fixture
def settled(settle, sold, monkeypatch):
    """76,000 fen were settled: 72,200 are the organiser's."""
    monkeypatch.setattr(registry, "payouts", lambda: {"alipay": None})
    order = sold("lin")
    settle.is_over()
    settle.round()
    assert settle.merchant == 72_200
    return order


def withdraw(settle, amount_minor: int) -> Withdrawal:
    return merchant_withdrawals.request(
        merchant=settle.organiser.code,
        payee=CARD,
        amount_minor=amount_minor,
        client_key="k",
        actor="mei",
        now=settle.clock(),
    )


def test_a_refund_that_no_round_has_seen_comes_back_first(settle, settled, back):
    back.by_staff(settled, 38_000, n=1)
    with pytest.raises(NotWithdrawable, match="insufficient"):
        withdraw(settle, 72_200)
    assert withdraw(settle, 36_100).state == "ready"
    assert settling.owing_minor(settle.organiser.code, "CNY") == 0
    settle.round()
    assert settle.guarantee == 0


def test_what_he_has_too_little_of_is_owed_first(settle, settled, back):
    withdraw(settle, 72_200)
    back.by_staff(settled, 38_000, n=1)
    with pytest.raises(NotWithdrawable, match="owing"):
        merchant_withdrawals.request(
            merchant=settle.organiser.code,
            payee=CARD,
            amount_minor=100,
            client_key="another",
            actor="mei",
            now=settle.clock(),
        )


def test_the_same_press_again_is_the_same_withdrawal_whatever_came_since(settle, settled, back):
    first = withdraw(settle, 72_200)
    back.by_staff(settled, 38_000, n=1)
    assert withdraw(settle, 72_200).pk == first.pk
