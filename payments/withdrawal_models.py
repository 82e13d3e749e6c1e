"""
Money out of the product: a buyer's cash or an organiser's money, to an Alipay account or a bank card. Never bonus.

The amount is reserved in the ledger before anything is sent; `hold` and `entry` name the hold and the booking.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from basis import lifecycle
from basis.sealed import SealedTextField
from payments.channels import payouts


class WithdrawalState(models.TextChoices):
    WAITING = "waiting", _("asked for")  # an organiser's may wait for a second person
    READY = "ready", _("to be sent")
    SENT = "sent", _("on its way")
    PAID = "paid", _("paid out")
    REFUSED = "refused", _("refused, money back")
    RETURNED = "returned", _("returned by the bank, money back")


OPEN_STATES = (WithdrawalState.WAITING, WithdrawalState.READY, WithdrawalState.SENT)


class Owner(models.TextChoices):
    BUYER = "buyer", _("buyer")
    MERCHANT = "merchant", _("organiser")


class PayeeKind(models.TextChoices):
    ALIPAY = payouts.ALIPAY, _("Alipay account")
    BANK = payouts.BANK, _("bank card")


class Withdrawal(models.Model):
    """One transfer to its owner's account outside. Sending it twice under one number pays it out once."""

    number = models.CharField(max_length=32, unique=True)
    owner_kind = models.CharField(_("whose"), max_length=8, choices=Owner)
    owner = models.CharField(_("owner"), max_length=40)
    account = models.CharField(max_length=64)  # the ledger's code
    client_key = models.CharField(max_length=255)
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(max_length=3)
    channel = models.CharField(_("channel"), max_length=16)
    payee_kind = models.CharField(_("paid to"), max_length=8, choices=PayeeKind)
    payee_account = SealedTextField()
    payee_name = SealedTextField()
    payee_shown = models.CharField(_("account"), max_length=64)  # masked
    state = models.CharField(
        _("state"), max_length=16, choices=WithdrawalState, default=WithdrawalState.WAITING
    )
    needs_two = models.BooleanField(_("two people"), default=False)
    requested_by = models.CharField(_("asked by"), max_length=64)
    approved_by = models.CharField(_("approved by"), max_length=64, blank=True, default="")
    refusal = models.CharField(_("refusal"), max_length=64, blank=True, default="")
    refusal_text = models.CharField(max_length=200, blank=True, default="")
    channel_reference = models.CharField(_("the channel's number"), max_length=64, blank=True, default="")
    created_at = models.DateTimeField(_("time"))
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    class Meta:
        verbose_name = _("withdrawal")
        verbose_name_plural = _("withdrawals")
        permissions = [
            ("request_withdrawal", "Can ask for an organiser's withdrawal"),
            ("approve_withdrawal", "Can approve an organiser's withdrawal as the second person"),
        ]
        indexes = [
            models.Index(fields=["owner_kind", "owner", "-id"], name="payments_withdrawal_owner"),
            models.Index(
                fields=["created_at"], name="payments_withdrawal_open", condition=Q(state__in=OPEN_STATES)
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                name="payments_withdrawal_once", fields=["owner_kind", "owner", "client_key"]
            ),
            models.CheckConstraint(name="payments_withdrawal_positive", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(
                name="payments_withdrawal_two_people",
                condition=(Q(approved_by="") | ~Q(approved_by=F("requested_by")))
                & (
                    Q(needs_two=False)
                    | ~Q(approved_by="")
                    | Q(state__in=(WithdrawalState.WAITING, WithdrawalState.REFUSED))
                ),
            ),
            models.CheckConstraint(
                name="payments_withdrawal_ended_has_time",
                condition=Q(state__in=OPEN_STATES, ended_at=None)
                | (~Q(state__in=OPEN_STATES) & Q(ended_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def hold(self) -> str:
        return f"withdraw:{self.number}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


class WithdrawalEvent(lifecycle.LifecycleEvent):
    """A withdrawal's history."""

    withdrawal = models.ForeignKey(Withdrawal, on_delete=models.PROTECT, related_name="events")

    @property
    def shown(self) -> str:
        """The state that it came to, as people read it."""
        return str(WithdrawalState(self.to_state).label)

    class Meta:
        verbose_name = _("withdrawal event")
        verbose_name_plural = _("withdrawal events")


WITHDRAWAL_LIFECYCLE = lifecycle.Lifecycle(
    name="withdrawal",
    subject="withdrawal",
    event=WithdrawalEvent,
    moves=lifecycle.moves(
        {
            WithdrawalState.WAITING: [WithdrawalState.READY, WithdrawalState.REFUSED],
            WithdrawalState.READY: [WithdrawalState.SENT, WithdrawalState.REFUSED],
            WithdrawalState.SENT: [WithdrawalState.PAID, WithdrawalState.REFUSED],
            WithdrawalState.PAID: [WithdrawalState.RETURNED],
            WithdrawalState.REFUSED: [WithdrawalState.PAID],  # the channel paid it out after all
            WithdrawalState.RETURNED: [],
        }
    ),
)
