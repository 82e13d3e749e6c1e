"""Entry to a channel whose capacity is bounded (M11): what staff set, and who waits."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

# Of the lightest buyer's bound, this many seconds are left to him whatever the others weigh.
SPARE_S = 5


class ChannelSetting(models.Model):
    """
    How much a channel bears, and who goes first. Without a row it is unbounded.

    Weights are seconds of head start: who has 20 is treated as if he had come 20 seconds earlier.
    """

    channel = models.CharField(_("channel"), max_length=16, unique=True)
    is_on = models.BooleanField(_("bounded"), default=True)
    calls_per_second = models.FloatField(
        _("calls a second"), default=50, validators=[MinValueValidator(0.1), MaxValueValidator(10_000)]
    )
    in_flight = models.PositiveIntegerField(
        _("calls in flight"), default=20, validators=[MinValueValidator(1), MaxValueValidator(10_000)]
    )
    max_wait_s = models.PositiveIntegerField(
        _("longest wait, in seconds"),
        default=60,
        validators=[MinValueValidator(10)],
        help_text=_(
            "Of the lightest. When more would come than can be served by then, the channel is greyed."
        ),
    )
    vip_s = models.FloatField(_("seconds for each VIP level"), default=8, validators=[MinValueValidator(0)])
    large_s = models.FloatField(
        _("seconds for a large customer"), default=15, validators=[MinValueValidator(0)]
    )
    wallet_s = models.FloatField(_("seconds for a full wallet"), default=8, validators=[MinValueValidator(0)])
    wallet_full_minor = models.PositiveBigIntegerField(
        _("a full wallet, in fen"), default=200_000, validators=[MinValueValidator(1)]
    )
    amount_s = models.FloatField(
        _("seconds for a large amount"), default=8, validators=[MinValueValidator(0)]
    )
    amount_full_minor = models.PositiveBigIntegerField(
        _("a large amount, in fen"), default=500_000, validators=[MinValueValidator(1)]
    )
    breaker_failures = models.PositiveSmallIntegerField(
        _("failures that open the breaker"), default=8, help_text=_("Within ten seconds. 0: no breaker.")
    )
    breaker_open_s = models.PositiveSmallIntegerField(
        _("seconds until it is tried again"), default=10, validators=[MinValueValidator(1)]
    )
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="")
    updated_by = models.CharField(_("set by"), max_length=64, blank=True, default="", editable=False)
    updated_at = models.DateTimeField(_("set at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("channel's capacity")
        verbose_name_plural = _("channels' capacity")
        constraints = [
            models.CheckConstraint(
                name="payments_channelsetting_positive",
                condition=Q(calls_per_second__gt=0, in_flight__gte=1, max_wait_s__gt=SPARE_S),
            ),
            # A weight below zero would let somebody wait longer than is promised to the lightest.
            models.CheckConstraint(
                name="payments_channelsetting_weights",
                condition=Q(vip_s__gte=0, large_s__gte=0, wallet_s__gte=0, amount_s__gte=0)
                & Q(wallet_full_minor__gte=1, amount_full_minor__gte=1, breaker_open_s__gte=1),
            ),
        ]

    def __str__(self) -> str:
        return self.channel

    def clean(self) -> None:
        """
        :raises ValidationError: waiting would outlast what a payment may take
        """
        window_s = int(settings.PAYMENT_WINDOW.total_seconds())
        if self.max_wait_s is not None and self.max_wait_s >= window_s:
            text = _("A payment is open for %(window)d seconds; waiting must take less.")
            raise ValidationError({"max_wait_s": text % {"window": window_s}})


class ChannelTurn(models.Model):
    """A payment that waits, or waited, for its call to the channel. The earliest `due_at` goes first."""

    payment = models.OneToOneField("payments.Payment", on_delete=models.PROTECT, related_name="turn")
    channel = models.CharField(_("channel"), max_length=16)
    weight = models.CharField(_("weight"), max_length=64, blank=True)
    head_start_s = models.FloatField(_("head start, in seconds"), default=0)
    return_url = models.TextField(blank=True)
    queued_at = models.DateTimeField(_("queued at"))
    due_at = models.DateTimeField(_("at the latest"))
    called_at = models.DateTimeField(_("called at"), null=True, blank=True)
    left_at = models.DateTimeField(_("left unserved at"), null=True, blank=True)

    class Meta:
        verbose_name = _("turn at a channel")
        verbose_name_plural = _("turns at channels")
        indexes = [
            models.Index(
                fields=["channel", "due_at", "id"],
                name="payments_turn_waiting",
                condition=Q(called_at=None, left_at=None),
            )
        ]
        constraints = [
            models.CheckConstraint(name="payments_turn_due_later", condition=Q(due_at__gte=F("queued_at"))),
            models.CheckConstraint(
                name="payments_turn_one_end", condition=Q(called_at=None) | Q(left_at=None)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.payment_id}"
