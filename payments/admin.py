"""
Payments, refunds, notifications and the outbox for the staff: to look at, whatever their rights.

What a channel sent is shown as text, with signatures, tokens and personal data masked; the browser never gets it as
markup.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from basis import events, numbers, staff
from basis.staff import HistoryAdmin, HistoryInline, LookOnlyAdmin, LookOnlyInline
from payments import (  # noqa: F401 - register their pages
    dispute_admin,
    entry_admin,
    reconcile_admin,
    statement_admin,
    withdrawals_admin,
)
from payments.models import (
    Notification,
    OutboxMessage,
    Payment,
    PaymentEvent,
    Refund,
    RefundEvent,
)
from wallet.admin import amount

staff.shows_numbers(numbers.PAYMENT, "payments_payment")
staff.shows_numbers(numbers.REFUND, "payments_refund")

PAYMENTS = {
    "created": staff.WAITING,
    "pending": staff.WAITING,
    "unknown": staff.LOOK,
    "succeeded": staff.GOOD,
    "failed": staff.BAD,
}
OUTCOMES = {"won": staff.GOOD, "surplus": staff.LOOK}
REFUNDS = {
    "requested": staff.WAITING,
    "processing": staff.WAITING,
    "succeeded": staff.GOOD,
    "refused": staff.BAD,
}
VERDICTS = {"accepted": staff.WAITING, "applied": staff.GOOD, "parked": staff.LOOK, "refused": staff.BAD}

SHOWN_BODY = 8192
# Channels name buyers in fields of their own.
BUYER_FIELDS = ("buyer_id", "buyer_logon_id", "buyer_open_id", "buyer_user_id", "openid", "payer")


class PaymentHistory(HistoryInline):
    model = PaymentEvent


class RefundInline(LookOnlyInline):
    model = Refund
    fields = ("refund", "is_now", "amount", "reason", "created_at", "refunded_at")

    @admin.display(description=_("refund"))
    def refund(self, refund: Refund) -> SafeString | str:
        return staff.thing(refund)

    @admin.display(description=_("state"))
    def is_now(self, refund: Refund) -> SafeString:
        return staff.label(refund.state, refund.get_state_display(), REFUNDS)

    @admin.display(description=_("amount"))
    def amount(self, refund: Refund) -> str:
        return amount(refund.amount_minor, refund.currency)


@admin.register(Payment)
class PaymentAdmin(LookOnlyAdmin):
    list_display = ("number", "is_now", "ended_as", "channel", "amount", "of", "who", "created_at", "paid_at")
    list_filter = ("state", "outcome", "channel", "purchase_kind", staff.since("created_at"))
    search_fields = ("number__exact", "purchase_number__exact", "channel_reference__exact")
    fields = (
        *("number", "is_now", "ended_as", "channel", "amount", "of", "who", "channel_reference", "refusal"),
        *("created_at", "expires_at", "superseded_at", "opening_at", "paid_at", "cashier_kind"),
        *("entries", "notifications", "messages", "tokens"),
    )
    inlines = (PaymentHistory, RefundInline)

    @admin.display(description=_("state"), ordering="state")
    def is_now(self, payment: Payment) -> SafeString:
        return staff.label(payment.state, payment.get_state_display(), PAYMENTS)

    @admin.display(description=_("outcome"), ordering="outcome")
    def ended_as(self, payment: Payment) -> SafeString | str:
        if not payment.outcome:
            return staff.NOTHING
        return staff.label(payment.outcome, payment.get_outcome_display(), OUTCOMES)

    @admin.display(description=_("amount"), ordering="amount_minor")
    def amount(self, payment: Payment) -> str:
        return amount(payment.amount_minor, payment.currency)

    @admin.display(description=_("for"))
    def of(self, payment: Payment) -> SafeString | str:
        return staff.number(payment.purchase_number)

    @admin.display(description=_("buyer"))
    def who(self, payment: Payment) -> SafeString:
        return staff.buyer(payment.buyer_id)

    @admin.display(description=_("ledger"))
    def entries(self, payment: Payment) -> SafeString | str:
        return staff.page("wallet_journalentry", _("all entries"), q=payment.purchase_number)

    @admin.display(description=_("notifications"))
    def notifications(self, payment: Payment) -> SafeString | str:
        return staff.page("payments_notification", _("what the channel told"), q=payment.number)

    @admin.display(description=_("outbox"))
    def messages(self, payment: Payment) -> SafeString | str:
        return staff.page("payments_outboxmessage", _("who asks the channel"), q=f"chase:{payment.number}")

    @admin.display(description=_("payment token"))
    def tokens(self, payment: Payment) -> SafeString | str:
        return staff.page("risk_burnedtoken", _("the token that it used"), q=payment.number)


@admin.register(PaymentEvent)
class PaymentEventAdmin(HistoryAdmin):
    subject = "payment"


class RefundHistory(HistoryInline):
    model = RefundEvent


@admin.register(Refund)
class RefundAdmin(LookOnlyAdmin):
    list_display = (
        "number",
        "is_now",
        "amount",
        "reason",
        "of",
        "via",
        "requested_by",
        "created_at",
        "refunded_at",
    )
    list_filter = ("state", "reason", "payment__channel", staff.since("created_at"))
    list_select_related = ("payment",)
    search_fields = ("number__exact", "payment__number__exact", "payment__purchase_number__exact")
    fields = (*list_display, "refusal", "channel_reference", "purchase", "entries", "messages")
    inlines = (RefundHistory,)

    @admin.display(description=_("state"), ordering="state")
    def is_now(self, refund: Refund) -> SafeString:
        return staff.label(refund.state, refund.get_state_display(), REFUNDS)

    @admin.display(description=_("amount"), ordering="amount_minor")
    def amount(self, refund: Refund) -> str:
        return amount(refund.amount_minor, refund.currency)

    @admin.display(description=_("payment"))
    def of(self, refund: Refund) -> SafeString | str:
        return staff.thing(refund.payment)

    @admin.display(description=_("channel"))
    def via(self, refund: Refund) -> str:
        return str(refund.payment.get_channel_display())

    @admin.display(description=_("for"))
    def purchase(self, refund: Refund) -> SafeString | str:
        return staff.number(refund.payment.purchase_number)

    @admin.display(description=_("ledger"))
    def entries(self, refund: Refund) -> SafeString | str:
        return staff.page("wallet_journalentry", _("all entries"), q=refund.payment.purchase_number)

    @admin.display(description=_("outbox"))
    def messages(self, refund: Refund) -> SafeString | str:
        return staff.page("payments_outboxmessage", _("who drives it"), q=f"refund:{refund.number}")


@admin.register(RefundEvent)
class RefundEventAdmin(HistoryAdmin):
    subject = "refund"


@admin.register(Notification)
class NotificationAdmin(LookOnlyAdmin):
    list_display = ("id", "became", "reason", "channel", "about", "when", "repeats", "applied_at")
    list_filter = ("verdict", "channel", "reason", staff.since("received_at"))
    search_fields = ("payment_number__exact", "event_id__exact")
    fields = (
        *("channel", "event_id", "key_id", "when", "became", "reason", "about", "repeats", "applied_at"),
        *("what_it_says", "as_it_came", "sent_headers"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notification]:
        found = super().get_queryset(request)
        match = request.resolver_match
        one = match is not None and (match.url_name or "").endswith("_change")
        return found if one else found.defer("body", "headers", "facts")

    @admin.display(description=_("verdict"), ordering="verdict")
    def became(self, row: Notification) -> SafeString:
        return staff.label(row.verdict, row.get_verdict_display(), VERDICTS)

    @admin.display(description=_("payment"))
    def about(self, row: Notification) -> SafeString | str:
        return staff.number(row.payment_number)

    @admin.display(description=_("received"), ordering="received_at")
    def when(self, row: Notification) -> str:
        return staff.moment(row.received_at)

    @admin.display(description=_("what it says"))
    def what_it_says(self, row: Notification) -> SafeString:
        return _pre(shown(row.facts))

    @admin.display(description=_("as it came"))
    def as_it_came(self, row: Notification) -> SafeString:
        return _pre(readable(bytes(row.body)))

    @admin.display(description=_("headers"))
    def sent_headers(self, row: Notification) -> SafeString:
        return _pre(shown(row.headers))


def readable(body: bytes) -> str:
    """A raw body as text to look at: signatures, buyers, telephones and addresses masked, the rest as it came."""
    text = body[:SHOWN_BODY].decode("utf-8", errors="replace")
    more = f"\n… {len(body) - SHOWN_BODY} more bytes" if len(body) > SHOWN_BODY else ""
    try:
        found = json.loads(text)
    except ValueError:
        fields = parse_qsl(text, keep_blank_values=True)
        return (shown(dict(fields)) if fields else events.masked_text(text)) + more
    return (shown(found) if isinstance(found, dict) else events.masked_text(text)) + more


def shown(facts: dict[str, Any]) -> str:
    hidden = {key: events.MASKED if key in BUYER_FIELDS else value for key, value in facts.items()}
    return json.dumps(dict(events.mask(None, "", hidden)), ensure_ascii=False, indent=2, default=str)


def _pre(text: str) -> SafeString:
    return format_html('<pre class="whitespace-pre-wrap break-all">{}</pre>', text)


@admin.register(OutboxMessage)
class OutboxMessageAdmin(LookOnlyAdmin):
    list_display = ("key", "kind", "is_now", "due_at", "attempts", "leased_until", "done_at", "went_wrong")
    list_filter = ("kind", ("done_at", admin.EmptyFieldListFilter), staff.since("created_at"))
    search_fields = ("key__exact",)
    fields = (*list_display[:-1], "payload", "last_error", "created_at")

    @admin.display(description=_("state"))
    def is_now(self, message: OutboxMessage) -> SafeString:
        if message.done_at:
            return staff.label("done", _("done"), {"done": staff.GOOD})
        if message.last_error:
            return staff.label("failing", _("failing, tried again"), {"failing": staff.BAD})
        return staff.label("waiting", _("waiting"), {"waiting": staff.WAITING})

    @admin.display(description=_("last error"))
    def went_wrong(self, message: OutboxMessage) -> str:
        return message.last_error[:80] or staff.NOTHING
