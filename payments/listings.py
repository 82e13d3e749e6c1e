"""A buyer's own payments, for those who look. Reads only; nothing here decides."""

from __future__ import annotations

from django.db.models import QuerySet

from basis import prepared
from basis.built import Built
from payments.models import Payment, PaymentState, Refund


def payments_of(buyer_id: int) -> QuerySet[Payment]:
    """A buyer's payments with their refunds; two queries."""
    return Payment.objects.filter(buyer_id=buyer_id).prefetch_related("refunds")


PAYMENT = Built(Payment, alias="payment")
OWN = f"SELECT {PAYMENT.columns} FROM payments_payment payment WHERE buyer_id = %s AND number = %s"  # noqa: S608


def payment_of(buyer_id: int, number: str) -> Payment | None:
    """The buyer's own payment; None also if it is somebody else's."""
    row = prepared.row(OWN, [buyer_id, number])
    return PAYMENT.of(row) if row else None


def refunds_of(payment: Payment) -> list[Refund]:
    """Oldest first. Only money that was taken can go back, so other payments cost no query."""
    if payment.state != PaymentState.SUCCEEDED:
        return []
    return sorted(payment.refunds.all(), key=lambda refund: refund.pk)
