"""The purchase handler of wallet top-ups: money that comes is the buyer's, early or late, first or second."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from payments import money
from payments.purchases import NoSuchPurchase, Quote, Surplus, Won
from wallet import topups
from wallet.topups import TopUp, TopUpState

REFUSALS = {TopUpState.CREDITED: "paid", TopUpState.CLOSED: "expired"}


class TopUpHandler:
    """See payments.purchases.PurchaseHandler."""

    def quote(self, number: str, *, now: datetime) -> Quote:
        topup = topups.find(number)
        if topup is None:
            raise NoSuchPurchase(number)
        return self.quote_locked(topup, now=now)

    def lock(self, number: str) -> TopUp:
        return topups.lock(number)

    def quote_locked(self, purchase: object, *, now: datetime) -> Quote:
        topup = cast(TopUp, purchase)
        refusal = REFUSALS.get(cast(TopUpState, topup.state), "")
        if not refusal and topup.payable_until <= now:
            refusal = "expired"
        return Quote(
            buyer_id=topup.buyer_id,
            amount_minor=topup.amount_minor,
            currency=topup.currency,
            subject=f"Wallet top-up {topup.number}",
            payable_until=topup.payable_until,
            limit_until=topup.payable_until,
            refusal=refusal,
        )

    def payment_started(
        self, purchase: object, *, payment_number: str, expires_at: datetime, now: datetime
    ) -> None:
        return

    def payment_ended(self, purchase: object, *, payment_number: str, now: datetime) -> None:
        return

    def settle(self, purchase: object, *, payment_number: str, now: datetime) -> Won | Surplus:
        topup = cast(TopUp, purchase)
        if topup.winner and topup.winner != payment_number:
            return Surplus("paid_twice")
        if not topup.winner:
            money.open_buyer_accounts([topup.buyer_id], currency=topup.currency, now=now)
            topups.credit(topup, winner=payment_number, now=now)
        return Won(money.buyer_cash(topup.buyer_id, topup.currency))

    def refunded(self, purchase: object, *, payment_number: str, now: datetime) -> None:
        return

    def refunded_in_part(self, purchase: object, *, payment_number: str, now: datetime) -> None:
        return
