"""A few payments, refunds and statement lines put down by hand, with their bookings, at a channel of any name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection

from payments import money
from payments.models import Payment, PaymentEvent, Refund, RefundEvent, Statement, StatementLine


@dataclass
class Hand:
    """Our books and the channel's, line by line."""

    channel: str = "alipay"
    nth: int = 0
    statements: dict[tuple[str, date], Statement] = field(default_factory=dict)

    def pay(self, at: datetime, amount: int = 10_000, **more: Any) -> Payment:
        self.nth += 1
        number = f"P{self.nth:019d}"
        facts = {"state": "succeeded", "outcome": "won", "paid_at": at, "currency": "CNY"} | more
        payment = Payment.objects.create(
            number=number,
            purchase_kind="planted",
            purchase_number=number,
            buyer_id=1,
            channel=self.channel,
            amount_minor=amount,
            subject="x",
            created_at=at,
            expires_at=at + timedelta(minutes=15),
            channel_reference=f"c{number}",
            **facts,
        )
        if payment.state == "succeeded":
            self.book(payment)
        return payment

    def book(self, payment: Payment) -> None:
        at = payment.created_at
        money.open_system_accounts(channels=[self.channel], currency=payment.currency, now=at)
        money.book_success(payment, credit=money.guarantee(payment.currency), at=at)

    def refund(self, payment: Payment, asked: datetime, done: datetime | None, amount: int = 4_000) -> Refund:
        self.nth += 1
        number = f"R{self.nth:019d}"
        refund = Refund.objects.create(
            number=number,
            payment=payment,
            key=number,
            amount_minor=amount,
            currency=payment.currency,
            reason="asked",
            state="succeeded" if done else "processing",
            created_at=asked,
            refunded_at=done,
        )
        if done:
            money.book_refund_done(refund, at=done)
        return refund

    def finish(self, refund: Refund, done: datetime, *, recorded: datetime | None = None) -> None:
        Refund.objects.filter(pk=refund.pk).update(state="succeeded", refunded_at=done)
        refund.refresh_from_db()
        money.book_refund_done(refund, at=done)
        if recorded:
            self.recorded(refund, recorded)

    def succeed(self, payment: Payment, paid: datetime, *, recorded: datetime, booked: bool = True) -> None:
        """A payment that waited was paid, as we learn at `recorded`."""
        Payment.objects.filter(pk=payment.pk).update(state="succeeded", outcome="won", paid_at=paid)
        payment.refresh_from_db()
        if booked:
            self.book(payment)
        self.recorded(payment, recorded)

    def recorded(self, thing: Payment | Refund, at: datetime) -> None:
        """The event of its success."""
        event: Any = PaymentEvent if isinstance(thing, Payment) else RefundEvent
        subject = "payment" if isinstance(thing, Payment) else "refund"
        event.objects.create(**{subject: thing}, to_state=thing.state, at=at, reason="query")

    def of(self, thing: Payment | Refund, at: datetime, **changed: Any) -> StatementLine:
        """The line that agrees, but for `changed`."""
        payment = thing if isinstance(thing, Payment) else thing.payment
        amount = thing.amount_minor if thing is payment else -thing.amount_minor
        facts: dict[str, Any] = {
            "kind": "payment" if thing is payment else "refund",
            "number": thing.number,
            "payment_number": payment.number,
            "reference": f"c{payment.number}",
            "amount_minor": amount,
            "fee_milli": amount * 6,
            "currency": thing.currency,
            "status": "success",
            "happened_at": at,
        }
        return StatementLine(channel=self.channel, **(facts | changed))

    def moved(self, thing: Payment | Refund, at: datetime, **changed: Any) -> StatementLine:
        """The movement of its money, its fee in a line of its own (`fee_of`)."""
        return self.of(thing, at, **{"fee_milli": 0, "status": "booked"} | changed)

    def fee_of(self, thing: Payment | Refund, at: datetime, minor: int) -> StatementLine:
        payment = thing if isinstance(thing, Payment) else thing.payment
        facts: dict[str, Any] = {"kind": "fee", "number": "", "payment_number": payment.number}
        return self.of(thing, at, amount_minor=-minor, fee_milli=minor * 1000, status="booked", **facts)

    def load(
        self, day: date, lines: Sequence[StatementLine], kind: str = "trade", **totals: Any
    ) -> Statement:
        """A day's statement; one that is there is replaced."""
        old = self.statements.get((kind, day))
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval('payments_statement_id_seq')")
            key = cursor.fetchone()[0]
        if old:
            Statement.objects.filter(pk=old.pk).update(replaced_by_id=key)
        made = Statement.objects.create(
            pk=key,
            channel=self.channel,
            kind=kind,
            day=day,
            currency="CNY",
            sha256=hashlib.sha256(str(key).encode()).hexdigest(),
            lines=len(lines),
            totals=totals,
            loaded_at=datetime.fromisoformat(f"{day}T23:00Z"),
        )
        for place, line in enumerate(lines, start=1):
            line.pk, line.statement, line.line_no, line.day = None, made, place, day
        StatementLine.objects.bulk_create(lines)
        self.statements[kind, day] = made
        return made
