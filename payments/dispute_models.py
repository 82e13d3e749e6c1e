"""Disputes: a buyer, or the buyer's bank, contests a payment. A fact about it; the money moves by its own papers."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class DisputeKind(models.TextChoices):
    CHARGEBACK = "chargeback", _("chargeback")
    COMPLAINT = "complaint", _("complaint")
    FRAUD = "fraud", _("payment that the owner did not make")


class DisputeState(models.TextChoices):
    OPEN = "open", _("open")
    UPHELD = "upheld", _("the buyer was right")
    DISMISSED = "dismissed", _("dismissed")


class Dispute(models.Model):
    """
    One objection to one payment. `source` says who told of it: a channel's code, or `staff`; `reference` is that
    source's own number for it, so that the same one is filed once however often it is told.
    """

    payment = models.ForeignKey(
        "payments.Payment", verbose_name=_("payment"), on_delete=models.PROTECT, related_name="disputes"
    )
    kind = models.CharField(_("kind"), max_length=12, choices=DisputeKind)
    source = models.CharField(_("told by"), max_length=16)
    reference = models.CharField(_("its number there"), max_length=64)
    amount_minor = models.BigIntegerField(_("amount"))
    currency = models.CharField(max_length=3)
    note = models.CharField(_("note"), max_length=500, blank=True)
    opened_at = models.DateTimeField(_("opened at"))
    filed_by = models.CharField(_("filed by"), max_length=64)
    filed_at = models.DateTimeField(_("filed at"))
    state = models.CharField(_("state"), max_length=12, choices=DisputeState, default=DisputeState.OPEN)
    decided_by = models.CharField(_("decided by"), max_length=64, blank=True)
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)
    decision = models.CharField(_("why so"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("dispute")
        verbose_name_plural = _("disputes")
        indexes = [models.Index(fields=["opened_at"], name="payments_dispute_opened")]
        constraints = [
            models.UniqueConstraint(name="payments_dispute_once", fields=["source", "reference"]),
            models.CheckConstraint(name="payments_dispute_amount_positive", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(name="payments_dispute_has_number", condition=~Q(reference="")),
            models.CheckConstraint(
                name="payments_dispute_decided_has_reason",
                condition=Q(state=DisputeState.OPEN, decided_at=None, decided_by="", decision="")
                | (
                    ~Q(state=DisputeState.OPEN)
                    & Q(decided_at__isnull=False)
                    & ~Q(decided_by="")
                    & ~Q(decision="")
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.reference}"
