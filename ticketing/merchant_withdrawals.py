"""An organiser's settled money out to his bank: asked for by staff, never while he is held or owes."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from payments import money, withdrawals
from payments.withdrawal_models import Owner, Withdrawal
from payments.withdrawals import NotWithdrawable, Payee
from ticketing import settling
from wallet.money import CNY


def request(
    *, merchant: str, payee: Payee, amount_minor: int, client_key: str, actor: str, now: datetime
) -> Withdrawal:
    """
    Ask for it; see `payments.withdrawals.request`. What he owes of settled shows comes first, also of refunds that no
    round of settlement has seen yet.

    :raises NotWithdrawable: `owing`, and as there
    :raises KeyReused: as there
    """
    with transaction.atomic():
        settling.settle_of(merchant, now=now)
        money.lock_account(money.merchant(merchant, CNY))
        owed = settling.owing_minor(merchant, CNY)
        if owed and not withdrawals.asked_before(Owner.MERCHANT, merchant, client_key):
            raise NotWithdrawable("owing", str(owed))
        return withdrawals.request(
            owner_kind=Owner.MERCHANT,
            owner=merchant,
            payee=payee,
            amount_minor=amount_minor,
            client_key=client_key,
            actor=actor,
            now=now,
        )
