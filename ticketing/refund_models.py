"""
Refunds of orders: the rule that was published before the sale (M28), and what was given back under it or by staff.

A refunded seat is no longer the order's: its ticket is void, and the seat is free again or kept from sale. The order
stays paid while it has seats or its money is on the way; `OrderSeat` remembers what it had.
"""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _


class SeatsAfter(models.TextChoices):
    FREE = "free", _("free again")
    KEPT = "kept", _("kept from sale")


class RefundPolicy(models.Model):
    """Until when buyers may give tickets back, and for how much: of an event, or of one show, which counts first."""

    event = models.OneToOneField(
        "ticketing.Event",
        verbose_name=_("event"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="refund_policy",
    )
    show = models.OneToOneField(
        "ticketing.Show",
        verbose_name=_("show"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="refund_policy",
    )
    seats_after = models.CharField(
        _("what becomes of the seats"), max_length=4, choices=SeatsAfter, default=SeatsAfter.FREE
    )
    note_zh = models.CharField(_("note to buyers (Chinese)"), max_length=300, blank=True, default="")
    note_en = models.CharField(_("note to buyers (English)"), max_length=300, blank=True, default="")

    class Meta:
        verbose_name = _("refund rule")
        verbose_name_plural = _("refund rules")
        constraints = [
            models.CheckConstraint(
                name="ticketing_refundpolicy_of_one",
                condition=Q(event__isnull=True) ^ Q(show__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return str(self.show or self.event)

    @property
    def note(self) -> str:
        return self.note_en if (get_language() or "").startswith("en") else self.note_zh

    def clean(self) -> None:
        """
        :raises ValidationError: it is for an event and a show, or for neither
        """
        if (self.event_id is None) == (self.show_id is None):
            raise ValidationError(_("Choose an event or a show, not both."))


class RefundStep(models.Model):
    """Up to `hours_before` the show begins, `percent_back` of a ticket's price goes back."""

    policy = models.ForeignKey(RefundPolicy, on_delete=models.CASCADE, related_name="steps")
    hours_before = models.PositiveIntegerField(
        _("up to so many hours before the show"), validators=[MaxValueValidator(24 * 366)]
    )
    percent_back = models.PositiveSmallIntegerField(
        _("percent of the price that goes back"), validators=[MaxValueValidator(100)]
    )

    class Meta:
        verbose_name = _("step of a refund rule")
        verbose_name_plural = _("steps of refund rules")
        ordering = ["-hours_before"]
        constraints = [
            models.UniqueConstraint(name="ticketing_refundstep_once", fields=["policy", "hours_before"]),
            models.CheckConstraint(
                name="ticketing_refundstep_percent", condition=Q(percent_back__gte=1, percent_back__lte=100)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hours_before} h: {self.percent_back}%"


class AskedBy(models.TextChoices):
    BUYER = "buyer", _("the buyer, by the published rule")
    STAFF = "staff", _("staff")
    SHOW = "show", _("the show was cancelled")


class RefundRequest(models.Model):
    """
    A refund of an order that was decided and carried out: tickets void, money on its way. Append-only.

    `amount_minor` goes back, `kept_minor` of the seats' prices is kept. The key of its asker makes it one.
    """

    order = models.ForeignKey("ticketing.Order", on_delete=models.PROTECT, related_name="refund_requests")
    key = models.CharField(max_length=255)
    asked_by = models.CharField(_("asked by"), max_length=5, choices=AskedBy)
    actor = models.CharField(_("who"), max_length=64)
    approved_by = models.CharField(_("approved by"), max_length=64, blank=True, default="")
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="")
    amount_minor = models.BigIntegerField()
    kept_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    refund_number = models.CharField(_("refund"), max_length=32, unique=True)
    facts = models.JSONField(default=dict, blank=True)  # the terms that applied
    made_at = models.DateTimeField(_("time"))

    class Meta:
        verbose_name = _("refund of an order")
        verbose_name_plural = _("refunds of orders")
        permissions = [("refund_order", "Can refund orders")]
        constraints = [
            models.UniqueConstraint(name="ticketing_refundrequest_once", fields=["order", "key"]),
            models.CheckConstraint(
                name="ticketing_refundrequest_amounts", condition=Q(amount_minor__gt=0, kept_minor__gte=0)
            ),
            models.CheckConstraint(
                name="ticketing_refundrequest_two_people",
                condition=Q(approved_by="") | ~Q(approved_by=models.F("actor")),
            ),
        ]

    def __str__(self) -> str:
        return self.refund_number


class RefundedSeat(models.Model):
    """A seat that a refund took back. A seat of an order is given back once, by construction. Append-only."""

    request = models.ForeignKey(RefundRequest, on_delete=models.PROTECT, related_name="seats")
    order_seat = models.OneToOneField(
        "ticketing.OrderSeat", on_delete=models.PROTECT, related_name="refunded"
    )
    ticket = models.OneToOneField("ticketing.Ticket", on_delete=models.PROTECT, related_name="refunded")
    price_minor = models.BigIntegerField()
    back_minor = models.BigIntegerField()
    seat_after = models.CharField(max_length=4, choices=SeatsAfter)

    class Meta:
        verbose_name = _("refunded seat")
        verbose_name_plural = _("refunded seats")
        constraints = [
            models.CheckConstraint(
                name="ticketing_refundedseat_amounts",
                condition=Q(back_minor__gte=0, back_minor__lte=models.F("price_minor")),
            )
        ]

    def __str__(self) -> str:
        return f"{self.request_id} {self.order_seat_id}"
