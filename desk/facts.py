"""
All facts about a case, from where they belong: the order or top-up, its payments, refunds, tickets, what channels told,
the ledger, what waits in the outbox. Ten queries at most. `Facts.states` is the same as a flat table, which a preview
takes before and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Q

from desk.models import Case
from payments.dispute_models import Dispute
from payments.models import Notification, OutboxMessage, Payment, Refund
from payments.reconcile_models import Discrepancy
from payments.withdrawal_models import Withdrawal
from risk.switch_models import KillSwitch, Stoppable
from ticketing.models import Order, Seat, ShowCancellation, Ticket
from wallet import journal, topups
from wallet.journal import Booked, SetAside
from wallet.topups import TopUp

ORDER, TOPUP, WITHDRAWAL = "order", "topup", "withdrawal"
TOLD_MAX = 50
"""So many notifications about one purchase are looked at, the newest."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known now. Lists are in the order in which things began."""

    order: Order | None
    topup: TopUp | None
    withdrawal: Withdrawal | None
    payments: list[Payment]
    refunds: list[Refund]
    tickets: list[Ticket]
    seats: list[Seat]
    told: list[Notification]
    booked: list[Booked]
    holds: list[SetAside]
    messages: list[OutboxMessage]
    others: Mapping[Key, str]
    """States of what only this type of case is about: a discrepancy, a dispute, a finding, a held settlement."""

    @property
    def purchase(self) -> Order | TopUp | None:
        return self.order or self.topup

    def payment(self, number: str) -> Payment | None:
        return next((one for one in self.payments if one.number == number), None)

    def refund(self, number: str) -> Refund | None:
        return next((one for one in self.refunds if one.number == number), None)

    def states(self) -> dict[Key, str]:
        """Everything that has a state, as (kind, number) → state: what a resolution may move."""
        table: dict[Key, str] = {}
        if self.order is not None:
            table["order", self.order.number] = self.order.state
        if self.topup is not None:
            table["topup", self.topup.number] = self.topup.state
        if self.withdrawal is not None:
            table["withdrawal", self.withdrawal.number] = self.withdrawal.state
        for payment in self.payments:
            unwanted = " (unwanted)" if payment.superseded_at and payment.live else ""
            table["payment", payment.number] = f"{payment.state} {payment.outcome}".strip() + unwanted
            table["amount", payment.number] = f"{payment.amount_minor} {payment.currency}"
        table |= {("refund", refund.number): refund.state for refund in self.refunds}
        table |= {("ticket", ticket.number): ticket.state for ticket in self.tickets}
        table |= {("seat", str(seat.pk)): seat.state for seat in self.seats}
        table |= {("notification", str(row.pk)): row.verdict for row in self.told}
        table |= {("hold", hold.key): hold.state for hold in self.holds}
        return table | dict(self.others)

    def next_steps(self) -> Mapping[str, OutboxMessage]:
        """The messages that are not done, by their keys."""
        return {message.key: message for message in self.messages if message.done_at is None}


def of(case: Case) -> Facts:
    """What is known about a case now."""
    order, topup = _purchase(case)
    payments = _payments(case)
    numbers = [payment.number for payment in payments]
    refunds = list(
        Refund.objects.filter(payment__in=payments).select_related("payment").order_by("pk")
        if payments
        else ()
    )
    told = _told(case, numbers)
    reference = case.purchase_number
    hold_keys = [case.subject] if case.subject_kind == "hold" else []
    return Facts(
        order=order,
        topup=topup,
        withdrawal=_withdrawal(case),
        payments=payments,
        refunds=refunds,
        tickets=list(Ticket.objects.filter(order=order).order_by("pk")) if order else [],
        seats=list(Seat.objects.filter(order=order).select_related("row__section").order_by("pk"))
        if order
        else [],
        told=told,
        booked=journal.booked_for([reference]) if reference else [],
        holds=journal.set_aside_for([*filter(None, [reference]), *numbers], keys=hold_keys)
        if reference or hold_keys
        else [],
        messages=_messages(case, numbers, refunds, told),
        others=_others(case),
    )


def _purchase(case: Case) -> tuple[Order | None, TopUp | None]:
    if case.purchase_kind == ORDER:
        found = Order.objects.filter(number=case.purchase_number)
        return found.select_related("tier", "show__event", "buyer").first(), None
    if case.purchase_kind == TOPUP:
        return None, topups.find(case.purchase_number)
    return None, None


def _withdrawal(case: Case) -> Withdrawal | None:
    wanted = case.purchase_number if case.purchase_kind == WITHDRAWAL else ""
    return Withdrawal.objects.filter(number=wanted).first() if wanted else None


def _payments(case: Case) -> list[Payment]:
    mine = Q(number=case.payment_number) if case.payment_number else Q(pk=None)
    if case.subject_kind == "notification":
        told = Notification.objects.filter(pk=int(case.subject)).exclude(payment_number="")
        mine |= Q(number__in=told.values("payment_number"))
    if case.purchase_number:
        mine |= Q(purchase_number=case.purchase_number, purchase_kind=case.purchase_kind)
    return list(Payment.objects.filter(mine).order_by("pk"))


def _told(case: Case, numbers: list[str]) -> list[Notification]:
    mine = Q(payment_number__in=numbers) if numbers else Q(pk=None)
    if case.subject_kind == "notification":
        mine |= Q(pk=int(case.subject))
    return sorted(Notification.objects.filter(mine).order_by("-pk")[:TOLD_MAX], key=lambda row: row.pk)


def _others(case: Case) -> dict[Key, str]:
    if case.subject_kind == "show":
        return _of_show(case.subject)
    if case.subject_kind == "dispute":
        decided = Dispute.objects.filter(pk=int(case.subject)).values_list("state", flat=True).first()
        return {("dispute", case.subject): str(decided or "")}
    if case.subject_kind != "discrepancy":
        return {}
    found = Discrepancy.objects.filter(pk=int(case.subject)).values_list("state", flat=True).first()
    return {("discrepancy", case.subject): str(found or "")}


def _of_show(code: str) -> dict[Key, str]:
    """Whether it takes place, and whether its sale is stopped."""
    cancelled = ShowCancellation.objects.filter(show__code=code).first()
    stopped = KillSwitch.objects.filter(kind=Stoppable.SALE, target=code, is_stopped=True).exists()
    return {
        ("show", code): "cancelled" if cancelled else "takes_place",
        ("sale", code): "stopped" if stopped else "on",
    }


def _messages(
    case: Case, numbers: list[str], refunds: list[Refund], told: list[Notification]
) -> list[OutboxMessage]:
    keys = [f"chase:{number}" for number in numbers]
    keys += [f"refund:{refund.number}" for refund in refunds]
    keys += [f"notify:{row.pk}" for row in told]
    if case.purchase_kind == WITHDRAWAL:
        keys.append(f"withdraw:{case.purchase_number}")
    if case.subject_kind == "message":
        keys.append(case.subject)
    if case.subject_kind == "show":
        keys.append(f"cancel:{case.subject}")
    return list(OutboxMessage.objects.filter(key__in=keys).order_by("pk")) if keys else []
