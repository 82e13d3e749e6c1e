"""
Moving money for "something bought". What was bought is opaque here: (`purchase_kind`, `purchase_number`), settled by
the handler that the owner of that kind registered (payments.purchases).
"""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from basis import lifecycle


class ChannelCode(models.TextChoices):
    WALLET = "wallet", _("Wallet")
    ALIPAY = "alipay", _("Alipay")
    WECHAT = "wechat", _("WeChat Pay")


class PaymentState(models.TextChoices):
    CREATED = "created", _("created")  # recorded, the channel not yet answered
    PENDING = "pending", _("waiting for the buyer")  # open at the channel
    UNKNOWN = "unknown", _("being checked with the channel")
    SUCCEEDED = "succeeded", _("paid")
    FAILED = "failed", _("refused by the channel")
    CLOSED = "closed", _("closed unpaid")


LIVE_STATES = (PaymentState.CREATED, PaymentState.PENDING, PaymentState.UNKNOWN)


class Outcome(models.TextChoices):
    NONE = "", _("none")
    WON = "won", _("paid the purchase")
    SURPLUS = "surplus", _("not needed, refunded")


class Payment(models.Model):
    """One try at one channel. A purchase may have several; at most one of them wins it."""

    number = models.CharField(max_length=32)
    purchase_kind = models.CharField(max_length=16)
    purchase_number = models.CharField(max_length=32)
    buyer_id = models.BigIntegerField(db_index=True)
    channel = models.CharField(max_length=16, choices=ChannelCode)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    subject = models.CharField(max_length=120)
    state = models.CharField(max_length=16, choices=PaymentState, default=PaymentState.CREATED)
    outcome = models.CharField(max_length=8, choices=Outcome, default=Outcome.NONE, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    # Nobody wants this payment any more: its trade is being closed, and if it succeeds all the same it is surplus.
    superseded_at = models.DateTimeField(null=True, blank=True)
    # Who called the channel's `open` last; a crash leaves it behind, and the next press may call again after a while.
    opening_at = models.DateTimeField(null=True, blank=True)
    cashier_kind = models.CharField(max_length=16, blank=True)
    cashier_url = models.TextField(blank=True)
    channel_reference = models.CharField(max_length=64, blank=True)
    refusal = models.CharField(max_length=64, blank=True)
    paid_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        indexes = [
            models.Index(fields=["channel_reference"], name="payments_payment_reference"),
            models.Index(fields=["purchase_number", "purchase_kind"], name="payments_payment_purchase"),
            models.Index(
                fields=["created_at"], name="payments_payment_live", condition=Q(state__in=LIVE_STATES)
            ),
            # A day's successes of one channel, for its statement.
            models.Index(
                fields=["channel", "paid_at"],
                name="payments_payment_paid",
                condition=Q(state=PaymentState.SUCCEEDED),
            ),
        ]
        constraints = [
            models.UniqueConstraint(name="payments_payment_number_once", fields=["number"]),
            models.CheckConstraint(name="payments_payment_amount_positive", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(
                name="payments_payment_outcome_of_success",
                condition=(Q(state=PaymentState.SUCCEEDED) & ~Q(outcome="") & Q(paid_at__isnull=False))
                | (~Q(state=PaymentState.SUCCEEDED) & Q(outcome="")),
            ),
            models.UniqueConstraint(
                name="payments_payment_one_winner",
                fields=["purchase_kind", "purchase_number"],
                condition=Q(outcome=Outcome.WON),
            ),
            models.UniqueConstraint(
                name="payments_payment_one_wanted",
                fields=["purchase_kind", "purchase_number"],
                condition=Q(state__in=LIVE_STATES, superseded_at=None),
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def live(self) -> bool:
        return self.state in LIVE_STATES


def _as_written(name: str) -> BrinIndex:
    """Events are appended as they happen: what was recorded since a moment is found by ranges of pages, for nothing."""
    return BrinIndex(fields=["at"], name=name, pages_per_range=32, autosummarize=True)


class PaymentEvent(lifecycle.LifecycleEvent):
    """A payment's history."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="events")

    class Meta:
        verbose_name = _("payment event")
        verbose_name_plural = _("payment events")
        indexes = [_as_written("payments_paymentevent_at")]


PAYMENT_LIFECYCLE = lifecycle.Lifecycle(
    name="payment",
    subject="payment",
    event=PaymentEvent,
    moves=lifecycle.moves(
        {
            PaymentState.CREATED: [
                PaymentState.PENDING,
                PaymentState.UNKNOWN,
                PaymentState.SUCCEEDED,
                PaymentState.FAILED,
                PaymentState.CLOSED,
            ],
            PaymentState.PENDING: [PaymentState.SUCCEEDED, PaymentState.FAILED, PaymentState.CLOSED],
            PaymentState.UNKNOWN: [
                PaymentState.PENDING,
                PaymentState.SUCCEEDED,
                PaymentState.FAILED,
                PaymentState.CLOSED,
            ],
            # A channel that said no and then took the money: the signed success is the fact.
            PaymentState.FAILED: [PaymentState.SUCCEEDED],
            PaymentState.CLOSED: [PaymentState.SUCCEEDED],
            PaymentState.SUCCEEDED: [],
        }
    ),
)


class RefundState(models.TextChoices):
    REQUESTED = "requested", _("requested")
    PROCESSING = "processing", _("on its way")
    SUCCEEDED = "succeeded", _("refunded")
    REFUSED = "refused", _("refused by the channel")
    # Never sent again: the channel's last word is awaited, then the money goes to the wallet (payments.redirect).
    REDIRECTED = "redirected", _("going to the wallet instead")


class Destination(models.TextChoices):
    ORIGIN = "origin", _("the way it came")
    WALLET = "wallet", _("the buyer's wallet instead")


class Refund(models.Model):
    """
    Money going back the way it came. Sending it twice under one number refunds once, at every channel. One that its
    channel refuses, or is silent about, is offered to the buyer's wallet (payments.redirect): never both.
    """

    number = models.CharField(max_length=32, unique=True)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    key = models.CharField(max_length=80, unique=True)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=32)
    state = models.CharField(max_length=16, choices=RefundState, default=RefundState.REQUESTED)
    refusal = models.CharField(max_length=64, blank=True)
    channel_reference = models.CharField(max_length=64, blank=True)
    requested_by = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    refunded_at = models.DateTimeField(null=True, blank=True)
    # Where the money went, or is to go; only a redirected refund goes to the wallet.
    destination = models.CharField(
        max_length=8, choices=Destination, default=Destination.ORIGIN, db_default=Destination.ORIGIN
    )
    sent_at = models.DateTimeField(null=True, blank=True)  # when the channel was last told to refund it
    silent_since = models.DateTimeField(null=True, blank=True)  # no clear answer since then
    offered_at = models.DateTimeField(null=True, blank=True)  # since then the buyer may have it in the wallet

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        indexes = [
            models.Index(
                fields=["offered_at"],
                name="payments_refund_offered",
                condition=Q(offered_at__isnull=False) & ~Q(state=RefundState.SUCCEEDED),
            ),
            models.Index(
                fields=["refunded_at"],
                name="payments_refund_done",
                condition=Q(state=RefundState.SUCCEEDED),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="payments_refund_redirected_to_wallet",
                condition=(Q(destination=Destination.ORIGIN) & ~Q(state=RefundState.REDIRECTED))
                | Q(
                    destination=Destination.WALLET,
                    state__in=(RefundState.REDIRECTED, RefundState.SUCCEEDED),
                ),
            ),
            models.CheckConstraint(name="payments_refund_amount_positive", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(
                name="payments_refund_done_has_time",
                condition=Q(state=RefundState.SUCCEEDED, refunded_at__isnull=False)
                | (~Q(state=RefundState.SUCCEEDED) & Q(refunded_at=None)),
            ),
        ]

    def __str__(self) -> str:
        return self.number


class RefundEvent(lifecycle.LifecycleEvent):
    """A refund's history."""

    refund = models.ForeignKey(Refund, on_delete=models.PROTECT, related_name="events")

    class Meta:
        verbose_name = _("refund event")
        verbose_name_plural = _("refund events")
        indexes = [_as_written("payments_refundevent_at")]


REFUND_LIFECYCLE = lifecycle.Lifecycle(
    name="refund",
    subject="refund",
    event=RefundEvent,
    moves=lifecycle.moves(
        {
            RefundState.REQUESTED: [RefundState.PROCESSING, RefundState.SUCCEEDED, RefundState.REFUSED],
            RefundState.PROCESSING: [RefundState.SUCCEEDED, RefundState.REFUSED, RefundState.REDIRECTED],
            RefundState.REFUSED: [RefundState.PROCESSING, RefundState.SUCCEEDED, RefundState.REDIRECTED],
            RefundState.REDIRECTED: [RefundState.SUCCEEDED],
            RefundState.SUCCEEDED: [],
        }
    ),
)


class Verdict(models.TextChoices):
    ACCEPTED = "accepted", _("accepted, to be applied")
    APPLIED = "applied", _("applied")
    PARKED = "parked", _("parked for staff")
    REFUSED = "refused", _("refused")


class Notification(models.Model):
    """What a channel (or somebody who pretends to be one) sent us, as it came, and what we made of it."""

    channel = models.CharField(max_length=16, choices=ChannelCode)
    event_id = models.CharField(max_length=128, blank=True)
    key_id = models.CharField(max_length=64, blank=True)
    received_at = models.DateTimeField(db_index=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField()
    verdict = models.CharField(max_length=16, choices=Verdict)
    reason = models.CharField(max_length=64, blank=True)
    payment_number = models.CharField(max_length=64, blank=True, db_index=True)
    facts = models.JSONField(default=dict, blank=True)  # what the verified message says (payments.notify)
    repeats = models.IntegerField(default=0)
    applied_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        constraints = [
            models.UniqueConstraint(
                name="payments_notification_once", fields=["channel", "event_id"], condition=~Q(event_id="")
            )
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.event_id or self.pk}"


class OutboxMessage(models.Model):
    """Work that must happen after a commit, committed with it. `key` is unique: one message per piece of work."""

    key = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=32)
    payload = models.JSONField(default=dict)
    due_at = models.DateTimeField()
    attempts = models.IntegerField(default=0)
    leased_until = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("outbox message")
        verbose_name_plural = _("outbox messages")
        indexes = [models.Index(fields=["due_at"], name="payments_outbox_due", condition=Q(done_at=None))]

    def __str__(self) -> str:
        return self.key


# Disputes and entry to bounded channels keep their tables in modules of their own.
from payments.dispute_models import Dispute  # noqa: E402, F401
from payments.entry_models import ChannelSetting, ChannelTurn  # noqa: E402, F401

# And what comparing them with our books leaves behind.
from payments.reconcile_models import Discrepancy, ReconcileRun, Settlement  # noqa: E402, F401

# So do the channels' statements.
from payments.statement_models import Statement, StatementLine  # noqa: E402, F401

# Money out of the product: withdrawals.
from payments.withdrawal_models import Withdrawal, WithdrawalEvent  # noqa: E402, F401
