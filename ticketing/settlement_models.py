"""
Settlement with organisers (M20): what a show took, less what went back, moves from the guarantee account to the
organiser's, less the platform's fee.

`ShowSettlement` is the one record of a show and currency; its `standing` follows from its money and is set by every
look (ticketing.settling). `SettlementMove` is what was moved, append-only; the first is the settlement itself, later
ones are corrections. A trigger (migration 0006) refuses moves that pay out more than the show took, or another fee.
"""

from __future__ import annotations

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class Standing(models.TextChoices):
    DUE = "due", _("waiting")
    SETTLED = "settled", _("settled")
    OWING = "owing", _("the organiser owes")


class ShowSettlement(models.Model):
    """
    What a show took and gave back, as last looked at, and where its settlement stands. `fee_bps` follows the organiser
    until the first move, and stays from then on. `waits_for` are the codes of what keeps it waiting
    (ticketing.settlement_waits).
    """

    number = models.CharField(max_length=32, unique=True)
    show = models.ForeignKey("ticketing.Show", on_delete=models.PROTECT, related_name="settlements")
    merchant = models.CharField(_("organiser"), max_length=40, db_index=True)
    currency = models.CharField(max_length=3)
    fee_bps = models.PositiveIntegerField(
        _("fee (basis points)"), validators=[MaxValueValidator(10_000)], default=0
    )
    standing = models.CharField(_("standing"), max_length=8, choices=Standing, default=Standing.DUE)
    waits_for = models.JSONField(_("waits for"), default=list, blank=True)
    orders = models.IntegerField(_("paid orders"), default=0)
    paid_minor = models.BigIntegerField(_("taken"), default=0)
    refunded_minor = models.BigIntegerField(_("gone back"), default=0)
    opened_at = models.DateTimeField(_("opened at"))
    looked_at = models.DateTimeField(_("looked at"))

    class Meta:
        verbose_name = _("settlement with an organiser")
        verbose_name_plural = _("settlements with organisers")
        constraints = [
            models.UniqueConstraint(name="ticketing_showsettlement_one", fields=["show", "currency"]),
            models.CheckConstraint(
                name="ticketing_showsettlement_amounts",
                condition=Q(paid_minor__gte=0, refunded_minor__gte=0, refunded_minor__lte=F("paid_minor")),
            ),
            models.CheckConstraint(
                name="ticketing_showsettlement_fee", condition=Q(fee_bps__gte=0, fee_bps__lte=10_000)
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def due_total_minor(self) -> int:
        """What the show's settlement comes to in whole, fee included."""
        return self.paid_minor - self.refunded_minor


class SettlementMove(models.Model):
    """
    Money that left the guarantee account for the organiser's (`net_minor`) and the platform's fees (`fee_minor`); below
    zero it came back. `paid_minor` and `refunded_minor` are what the show had taken and given back then.
    """

    settlement = models.ForeignKey(ShowSettlement, on_delete=models.PROTECT, related_name="moves")
    nth = models.PositiveIntegerField(_("no."))
    gross_minor = models.BigIntegerField(_("out of guarantee"))
    fee_minor = models.BigIntegerField(_("fee"))
    net_minor = models.BigIntegerField(_("to the organiser"))
    paid_minor = models.BigIntegerField(_("taken"))
    refunded_minor = models.BigIntegerField(_("gone back"))
    at = models.DateTimeField(_("time"))

    class Meta:
        verbose_name = _("move of a settlement")
        verbose_name_plural = _("moves of settlements")
        constraints = [
            models.UniqueConstraint(name="ticketing_settlementmove_once", fields=["settlement", "nth"]),
            models.CheckConstraint(
                name="ticketing_settlementmove_adds_up",
                condition=Q(gross_minor=F("fee_minor") + F("net_minor")) & ~Q(gross_minor=0),
            ),
            models.CheckConstraint(
                name="ticketing_settlementmove_one_way",
                condition=Q(gross_minor__gt=0, fee_minor__gte=0, net_minor__gte=0)
                | Q(gross_minor__lt=0, fee_minor__lte=0, net_minor__lte=0),
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def key(self) -> str:
        """The journal entry's."""
        return f"show:{self.settlement.number}:{self.nth}"
