"""
The inbox: what channels tell us by themselves.

`receive` verifies, stores and acknowledges: after its commit the message survives anything. `apply` does what it says,
from the outbox, as often as it takes. A message that is not the channel's is stored as refused and changes nothing; one
that is genuine and does not fit (unknown payment, another amount) is parked where staff see it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from basis.sealed import blind_index
from payments import asking, outbox, paying_out, refunds, settle
from payments.channels import registry
from payments.channels.port import Declined, Notice, NotifyRefused, Paid, Refunded, Reply
from payments.models import Notification, Payment, PaymentState, Refund, Verdict, Withdrawal

log = logging.getLogger(__name__)

KEPT_REFUSED_BODY = 4096
KEPT_HEADERS = (
    "content-type",
    "user-agent",
    "x-request-id",
    "wechatpay-serial",
    "wechatpay-timestamp",
    "wechatpay-nonce",
    "wechatpay-signature",
)


def receive(*, channel: str, headers: Mapping[str, str], body: bytes, now: datetime) -> Reply:
    """
    Take one notification and answer the channel.

    :raises payments.channels.registry.NoSuchChannel: see there
    """
    adapter = registry.channel(channel)
    kept = {name: value for name, value in headers.items() if name.lower() in KEPT_HEADERS}
    try:
        notice = adapter.read_notify(headers=headers, body=body, now=now)
    except NotifyRefused as refusal:
        log.warning("notify.refused", extra={"channel": channel, "why": refusal.reason})
        Notification.objects.create(
            channel=channel,
            received_at=now,
            headers=kept,
            body=body[:KEPT_REFUSED_BODY],
            verdict=Verdict.REFUSED,
            reason=refusal.reason[:64],
        )
        return adapter.refused(refusal)
    _store(channel, notice, kept, body, now)
    return adapter.accepted()


def _store(channel: str, notice: Notice, headers: dict[str, str], body: bytes, now: datetime) -> None:
    with transaction.atomic():
        row = Notification(
            channel=channel,
            event_id=notice.event_id,
            key_id=notice.key_id,
            received_at=now,
            headers=headers,
            body=body,
            verdict=Verdict.ACCEPTED,
            payment_number=notice.payment_number[:64],
            facts=_facts(notice),
        )
        # A repetition finds the row and writes nothing but a count, also while the first one is being stored.
        Notification.objects.bulk_create([row], ignore_conflicts=True)
        stored = Notification.objects.get(channel=channel, event_id=notice.event_id)
        if stored.received_at != now:
            Notification.objects.filter(pk=stored.pk).update(repeats=F("repeats") + 1)
            return
        outbox.put(
            "notify.apply",
            key=f"notify:{stored.pk}",
            payload={"notification": stored.pk},
            due_at=now,
            now=now,
        )


def _facts(notice: Notice) -> dict[str, Any]:
    what = notice.payment or notice.refund
    facts = (
        {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(what).items()
        }
        if what
        else {}
    )
    if facts.get("payer"):
        # Whose account it is nobody needs to read; that it is the same one again, those who look for patterns do.
        facts["payer"] = blind_index(facts["payer"], "payments:payer")
    return {
        "what": type(what).__name__ if what else "",
        "refund_number": notice.refund_number,
        **facts,
        **_of_transfer(notice),
    }


def _of_transfer(notice: Notice) -> dict[str, str]:
    return {"transfer_number": notice.transfer_number} if notice.transfer_number else {}


@outbox.handles("notify.apply")
def apply(payload: dict[str, Any], *, attempt: int, now: datetime) -> datetime | None:
    """Do what a stored notification says, once. What does not fit is parked."""
    row = Notification.objects.get(pk=payload["notification"])
    if row.verdict != Verdict.ACCEPTED:
        return None
    try:
        _apply(row, now=now)
    except (Payment.DoesNotExist, Refund.DoesNotExist, Withdrawal.DoesNotExist):
        _finish(row, Verdict.PARKED, "unknown_number", now)
    except settle.AmountDiffers:
        _finish(row, Verdict.PARKED, "amount_differs", now)
    except refunds.RefundedTwice:
        _finish(row, Verdict.PARKED, "refunded_twice", now)
    else:
        _finish(row, Verdict.APPLIED, "", now)
    return None


def unpark(notification_id: int, *, now: datetime) -> None:
    """Apply a parked message again, as if it had just come: what it did not fit may have changed."""
    with transaction.atomic():
        rows = Notification.objects.filter(pk=notification_id, verdict=Verdict.PARKED)
        if rows.update(verdict=Verdict.ACCEPTED, reason="", applied_at=None):
            key, payload = f"notify:{notification_id}", {"notification": notification_id}
            outbox.put("notify.apply", key=key, payload=payload, due_at=now, now=now)
            outbox.hasten([key], now=now)


def _apply(row: Notification, *, now: datetime) -> None:
    facts = row.facts
    if facts.get("transfer_number"):
        paying_out.told(facts["transfer_number"], now=now)
        return
    payment = Payment.objects.get(number=row.payment_number, channel=row.channel)
    match facts["what"]:
        case "Paid":
            paid_at = datetime.fromisoformat(facts["paid_at"])
            paid = Paid(facts["channel_reference"], facts["amount_minor"], facts["currency"], paid_at)
            settle.apply_success(payment_number=payment.number, paid=paid, source="notify", now=now)
        case "Closed":
            asking.end(
                payment.number,
                to=PaymentState.CLOSED,
                reason="notify",
                refusal=facts.get("code", ""),
                now=now,
            )
        case "Refunded":
            done_at = datetime.fromisoformat(facts["refunded_at"])
            done = Refunded(facts["channel_reference"], facts["amount_minor"], done_at)
            refunds.apply_answer(_refund(payment, facts), done, now=now)
        case "Declined":
            refunds.apply_answer(_refund(payment, facts), Declined(facts["code"]), now=now)
        case _:
            _look_again(payment, facts, now=now)


def _refund(payment: Payment, facts: dict[str, Any]) -> Refund:
    return Refund.objects.select_related("payment").get(number=facts["refund_number"], payment=payment)


def _look_again(payment: Payment, facts: dict[str, Any], *, now: datetime) -> None:
    """The message says that something changed, not what: ask the channel now."""
    if facts["refund_number"]:
        outbox.hasten([f"refund:{_refund(payment, facts).number}"], now=now)
    else:
        outbox.hasten([f"chase:{payment.number}"], now=now)


def applied(row: Notification, *, now: datetime) -> None:
    """Staff did what a parked message could not do by itself."""
    _finish(row, Verdict.APPLIED, "by_staff", now)


def _finish(row: Notification, verdict: Verdict, reason: str, now: datetime) -> None:
    if verdict == Verdict.PARKED:
        log.warning("notify.parked", extra={"notification": row.pk, "why": reason})
    Notification.objects.filter(pk=row.pk).update(verdict=verdict, reason=reason, applied_at=now)
