"""
An order's way as a parcel's: every recorded fact about the order, its payments, refunds and tickets, in order.

A fact is (subject, state, reason). `SENTENCES` says each of them to the buyer; where the reason is a channel's own
word (`OPEN_REASONS`), the state alone is said, and the word stays in the event for staff.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as says
from django.utils.translation import ngettext

from payments.models import Payment, PaymentEvent, RefundEvent
from ticketing.models import Order, OrderEvent, RefundRequest, Ticket
from ticketing.refund_models import AskedBy
from ticketing.wording import amount, channel_name

ORDER, PAYMENT, REFUND, TICKETS = "order", "payment", "refund", "tickets"
BUYER, CHANNEL, SYSTEM, STAFF = "buyer", "channel", "system", "staff"


@dataclass(frozen=True, slots=True)
class Line:
    """
    One fact. `code` is stable (`payment.succeeded.notify`), `text` is for people, `reference` is the number to quote,
    `actor` is `buyer`, `channel`, `system` or `staff`.
    """

    at: datetime
    code: str
    text: str
    reference: str
    actor: str


# (subject, state reached, reason) -> (who, the sentence). The reason `*` stands for the reasons of OPEN_REASONS.
SENTENCES: Mapping[tuple[str, str, str], tuple[str, str]] = {
    (ORDER, "held", "placed"): (BUYER, says("Order placed. The seats are held for you.")),
    (ORDER, "paying", "payment_started"): (SYSTEM, says("A payment is under way; the seats stay yours meanwhile.")),
    (ORDER, "held", "payment_ended"): (SYSTEM, says("The payment ended without money. You can pay another way.")),
    (ORDER, "paid", "paid"): (SYSTEM, says("The order is paid.")),
    (ORDER, "paid", "paid_late_same_seats"): (
        SYSTEM,
        says("The money came after the order had closed. Your seats were still free: the order is paid."),
    ),
    (ORDER, "paid", "paid_late_equal_seats"): (
        SYSTEM,
        says("The money came after the order had closed. As you allowed, equal seats of the same price are yours."),
    ),
    (ORDER, "cancelled", "cancelled_by_buyer"): (BUYER, says("You cancelled the order. The seats are released.")),
    (ORDER, "cancelled", "show_cancelled"): (
        STAFF,
        says("The show does not take place. The order is cancelled; nothing is to be paid."),
    ),
    (ORDER, "expired", "hold_over"): (SYSTEM, says("Not paid in time. The seats are released.")),
    (ORDER, "refunded", "refunded_in_full"): (SYSTEM, says("The order is refunded in full. Its tickets are void.")),
    (ORDER, "refunded", "refunded_less_fee"): (
        SYSTEM,
        says("Every ticket was given back, and the money that goes back is with you. The order is over."),
    ),
    (PAYMENT, "created", "pressed_pay"): (BUYER, says("You chose to pay %(amount)s with %(channel)s.")),
    (PAYMENT, "pending", "channel"): (CHANNEL, says("%(channel)s is waiting for you to pay.")),
    (PAYMENT, "pending", "*"): (CHANNEL, says("%(channel)s is waiting for you to pay.")),
    (PAYMENT, "unknown", "*"): (
        SYSTEM,
        says("%(channel)s has not answered clearly. We keep asking; do not pay again."),
    ),
    (PAYMENT, "succeeded", "wallet"): (SYSTEM, says("%(amount)s paid from your wallet.")),
    (PAYMENT, "succeeded", "notify"): (CHANNEL, says("%(channel)s told us that %(amount)s is paid.")),
    (PAYMENT, "succeeded", "query"): (SYSTEM, says("We asked %(channel)s: %(amount)s is paid.")),
    (PAYMENT, "succeeded", "check"): (SYSTEM, says("We asked %(channel)s: %(amount)s is paid.")),
    (PAYMENT, "succeeded", "switch"): (
        SYSTEM,
        says("When we closed this payment for another, %(channel)s said that %(amount)s is paid."),
    ),
    (PAYMENT, "succeeded", "*"): (SYSTEM, says("%(channel)s confirmed that %(amount)s is paid.")),
    (PAYMENT, "failed", "wallet"): (SYSTEM, says("Your wallet holds too little. Nothing was taken.")),
    (PAYMENT, "failed", "channel"): (CHANNEL, says("%(channel)s refused the payment. No money was taken.")),
    (PAYMENT, "failed", "*"): (CHANNEL, says("%(channel)s refused the payment. No money was taken.")),
    (PAYMENT, "closed", "notify"): (CHANNEL, says("%(channel)s closed the payment unpaid.")),
    (PAYMENT, "closed", "query"): (SYSTEM, says("The payment at %(channel)s is closed unpaid.")),
    (PAYMENT, "closed", "check"): (SYSTEM, says("The payment at %(channel)s is closed unpaid.")),
    (PAYMENT, "closed", "switch"): (
        SYSTEM,
        says("You chose another way to pay, so the payment at %(channel)s is closed unpaid."),
    ),
    (PAYMENT, "closed", "never_opened"): (SYSTEM, says("The payment at %(channel)s was never opened; it is closed.")),
    (PAYMENT, "closed", "never_called"): (
        SYSTEM,
        says("The payment was still waiting its turn and never reached %(channel)s; it is closed."),
    ),
    (PAYMENT, "closed", "*"): (SYSTEM, says("The payment at %(channel)s is closed unpaid.")),
    (REFUND, "requested", "paid_twice"): (
        SYSTEM,
        says("The order was paid already, so %(amount)s goes back through %(channel)s."),
    ),
    (REFUND, "requested", "too_late"): (
        SYSTEM,
        says("The money came too late for seats, so %(amount)s goes back through %(channel)s."),
    ),
    (REFUND, "requested", "cancelled"): (
        SYSTEM,
        says("The order was cancelled before the money came, so %(amount)s goes back through %(channel)s."),
    ),
    (REFUND, "requested", "amount_differs"): (
        SYSTEM,
        says("%(channel)s took another amount than the order's, so %(amount)s goes back."),
    ),
    (REFUND, "requested", "by_rule"): (BUYER, says("%(amount)s goes back to you through %(channel)s.")),
    (REFUND, "requested", "by_staff"): (STAFF, says("Our staff send %(amount)s back to you through %(channel)s.")),
    (REFUND, "requested", "show_cancelled"): (
        STAFF,
        says("The show does not take place: all that is left, %(amount)s, goes back to you through %(channel)s."),
    ),
    (REFUND, "requested", "chargeback"): (
        CHANNEL,
        says("The payment was contested: %(channel)s took %(amount)s back from us for you."),
    ),
    (REFUND, "requested", "*"): (STAFF, says("A refund of %(amount)s through %(channel)s is requested.")),
    (REFUND, "processing", "accepted"): (CHANNEL, says("%(channel)s is working on the refund.")),
    (REFUND, "processing", "*"): (SYSTEM, says("The refund is with %(channel)s; we keep asking until it is done.")),
    (REFUND, "succeeded", "wallet"): (SYSTEM, says("%(amount)s is back in your wallet.")),
    (REFUND, "succeeded", "channel"): (CHANNEL, says("%(amount)s is back with you through %(channel)s.")),
    (REFUND, "redirected", "accepted_by_buyer"): (
        BUYER,
        says("You chose to have %(amount)s in your wallet. It comes when %(channel)s has said its last word."),
    ),
    (REFUND, "redirected", "*"): (
        STAFF,
        says("%(amount)s goes to your wallet instead, as soon as %(channel)s has told that it does not refund it."),
    ),
    (REFUND, "succeeded", "to_wallet"): (SYSTEM, says("%(amount)s is in your wallet, instead of %(channel)s.")),
    (REFUND, "succeeded", "*"): (SYSTEM, says("%(amount)s is back with you through %(channel)s.")),
    (REFUND, "refused", "*"): (
        CHANNEL,
        says("%(channel)s refused the refund for now. We keep trying, and our staff look into it."),
    ),
}  # fmt: skip
# States whose reason may be a channel's word or a person's: the sentence with `*` serves what is not listed.
OPEN_REASONS = frozenset({state for state in SENTENCES if state[2] == "*"})


def timeline(order: Order) -> list[Line]:
    """Every fact about the order, oldest first; four queries, one more if money went back."""
    payments = {
        payment.pk: payment
        for payment in Payment.objects.filter(purchase_kind=ORDER, purchase_number=order.number)
    }
    refunded = list(_refund_facts(list(payments))) if payments else []
    facts = [
        *_order_facts(order),
        *_payment_facts(payments),
        *refunded,
        *_ticket_facts(order),
        *(_give_back_facts(order) if refunded else ()),
    ]
    return sorted(facts, key=lambda line: (line.at, _rank(line.code)))


# One request has one time for all it does: among facts of one moment, this is the order of cause and effect. What
# ended before another payment began comes first.
CAUSES = (
    "order.held.placed",
    "payment.closed",
    "order.held.payment_ended",
    "payment.created",
    "order.paying",
    "payment.pending",
    "payment.unknown",
    "payment.failed",
    "payment.succeeded",
    "order",
    "tickets",
    "refund.requested",
    "refund",
    "refund.offered",
    "order.refunded",
)


def _rank(code: str) -> int:
    """The place of the longest match in CAUSES."""
    return max((len(cause), rank) for rank, cause in enumerate(CAUSES) if code.startswith(cause))[1]


def _order_facts(order: Order) -> Iterable[Line]:
    for event in OrderEvent.objects.filter(order=order).order_by("pk"):
        yield _line(ORDER, event, order.number, {})


def _payment_facts(payments: Mapping[int, Payment]) -> Iterable[Line]:
    for event in PaymentEvent.objects.filter(payment__in=payments).order_by("pk"):
        payment = payments[event.payment_id]
        words = {
            "channel": channel_name(payment.channel),
            "amount": amount(payment.amount_minor, payment.currency),
        }
        yield _line(PAYMENT, event, payment.number, words)


def _refund_facts(payment_ids: list[int]) -> Iterable[Line]:
    events = RefundEvent.objects.filter(refund__payment__in=payment_ids).select_related("refund__payment")
    offered: set[str] = set()
    for event in events.order_by("pk"):
        refund = event.refund
        words = {
            "channel": channel_name(refund.payment.channel),
            "amount": amount(refund.amount_minor, refund.currency),
        }
        if refund.offered_at and refund.number not in offered:
            offered.add(refund.number)
            text = (
                _("%(channel)s does not refund %(amount)s. You can have it in your wallet instead.") % words
            )
            yield Line(refund.offered_at, "refund.offered", text, refund.number, SYSTEM)
        yield _line(REFUND, event, refund.number, words)


def _ticket_facts(order: Order) -> Iterable[Line]:
    issued: dict[datetime, list[str]] = {}
    for number, at in Ticket.objects.filter(order=order).order_by("pk").values_list("number", "issued_at"):
        issued.setdefault(at, []).append(number)
    for at, numbers in issued.items():
        text = ngettext("%(count)d ticket issued.", "%(count)d tickets issued.", len(numbers)) % {
            "count": len(numbers)
        }
        yield Line(at, "tickets.valid.issued", text, numbers[0], SYSTEM)


def _give_back_facts(order: Order) -> Iterable[Line]:
    given = RefundRequest.objects.filter(order=order).annotate(tickets=Count("seats")).exclude(tickets=0)
    for request in given.order_by("pk"):
        words = {"count": request.tickets, "kept": amount(request.kept_minor, request.currency)}
        text = ngettext(
            "%(count)d ticket given back; it is void. %(kept)s of its price is kept.",
            "%(count)d tickets given back; they are void. %(kept)s of their price is kept.",
            request.tickets,
        )
        if request.asked_by == AskedBy.SHOW:
            text = ngettext(
                "%(count)d ticket is void: the show does not take place.",
                "%(count)d tickets are void: the show does not take place.",
                request.tickets,
            )
        who = BUYER if request.asked_by == AskedBy.BUYER else STAFF
        yield Line(request.made_at, "tickets.void.given_back", text % words, request.refund_number, who)


def _line(subject: str, event: Any, reference: str, words: Mapping[str, str]) -> Line:
    who, text = sentence(subject, event.to_state, event.reason)
    code = f"{subject}.{event.to_state}.{event.reason}"
    actor = STAFF if event.actor.startswith(f"{STAFF}:") else who
    return Line(event.at, code, _(text) % words, reference, actor)


def sentence(subject: str, state: str, reason: str) -> tuple[str, str]:
    """
    Who did it, and the untranslated sentence.

    :raises KeyError: nobody wrote a sentence for this fact; a defect
    """
    known = SENTENCES.get((subject, state, reason))
    return known or SENTENCES[subject, state, "*"]
