"""Merchants' trading (M21): its rules as staff set them, what merchants did, what was found, what is held."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from risk.models import Edited


class TradingRule(Edited):
    """How one rule of `risk.trading.rules` is used, and the bar that it learned. A rule without a row has defaults."""

    code = models.CharField(_("rule"), max_length=40, unique=True)
    is_on = models.BooleanField(_("on"), default=True)
    percentile = models.FloatField(
        _("percentile of all merchants"),
        default=99,
        validators=[MinValueValidator(50), MaxValueValidator(100)],
        help_text=_("Who does more than this share of the merchants is looked at."),
    )
    floor = models.FloatField(
        _("never below"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("Empty: the rule's own. Nothing at or below it is found, whatever others do."),
    )
    bar = models.FloatField(_("bar now"), null=True, blank=True, editable=False)
    learned_at = models.DateTimeField(_("learned at"), null=True, blank=True, editable=False)
    learned_from = models.JSONField(_("learned from"), default=dict, blank=True, editable=False)

    class Meta:
        verbose_name = _("trading rule")
        verbose_name_plural = _("trading rules")
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code


class MerchantDay(models.Model):
    """What a merchant did on a day: the population that bars are learned from."""

    merchant = models.CharField(_("merchant"), max_length=50)
    day = models.DateField(_("day"))
    facts = models.JSONField(_("facts"), default=dict)
    measures = models.JSONField(_("measures"), default=dict)
    score = models.PositiveIntegerField(_("score"), default=0)
    judged_at = models.DateTimeField(_("judged at"))

    class Meta:
        verbose_name = _("merchant's day")
        verbose_name_plural = _("merchants' days")
        constraints = [models.UniqueConstraint(name="risk_merchantday_once", fields=["merchant", "day"])]
        indexes = [models.Index(fields=["-day"], name="risk_merchantday_day")]

    def __str__(self) -> str:
        return f"{self.merchant} {self.day}"


class FindingState(models.TextChoices):
    OPEN = "open", _("to be looked at")
    CONFIRMED = "confirmed", _("confirmed")
    FALSE_ALARM = "false_alarm", _("false alarm")


class RiskFinding(models.Model):
    """One rule found one merchant's day odd. Staff say what it was; the rule's bar learns from it."""

    merchant = models.CharField(_("merchant"), max_length=50, db_index=True)
    rule = models.CharField(_("rule"), max_length=40)
    day = models.DateField(_("day"))
    measure = models.FloatField(_("measured"))
    bar = models.FloatField(_("bar"))
    weight = models.PositiveIntegerField(_("weight"))
    amount_minor = models.BigIntegerField(_("the day's takings"), default=0)
    currency = models.CharField(max_length=3, default="CNY")
    # {"orders": [numbers], "facts": {…}, "compared_with": merchants}
    evidence = models.JSONField(_("evidence"), default=dict)
    state = models.CharField(_("state"), max_length=12, choices=FindingState, default=FindingState.OPEN)
    found_at = models.DateTimeField(_("found at"))
    seen_at = models.DateTimeField(_("last seen at"))
    marked_by = models.CharField(_("marked by"), max_length=64, blank=True)
    marked_at = models.DateTimeField(_("marked at"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("finding about a merchant")
        verbose_name_plural = _("findings about merchants")
        constraints = [
            models.UniqueConstraint(name="risk_riskfinding_once", fields=["merchant", "rule", "day"]),
            models.CheckConstraint(
                name="risk_riskfinding_marked_has_reason",
                condition=Q(state=FindingState.OPEN, marked_at=None)
                | (
                    ~Q(state=FindingState.OPEN)
                    & Q(marked_at__isnull=False)
                    & ~Q(reason="")
                    & ~Q(marked_by="")
                ),
            ),
        ]
        indexes = [models.Index(fields=["found_at"], name="risk_riskfinding_open", condition=Q(state="open"))]

    def __str__(self) -> str:
        return f"{self.merchant} {self.day} {self.rule}"


class SettlementHold(models.Model):
    """A merchant gets nothing paid out while a hold on it is not lifted. Written once, lifted once."""

    merchant = models.CharField(_("merchant"), max_length=50)
    reason = models.CharField(_("reason"), max_length=500)
    held_by = models.CharField(_("held by"), max_length=64)
    held_at = models.DateTimeField(_("held at"))
    lifted_by = models.CharField(_("lifted by"), max_length=64, blank=True)
    lifted_at = models.DateTimeField(_("lifted at"), null=True, blank=True)
    lift_reason = models.CharField(_("why it was lifted"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("held settlement")
        verbose_name_plural = _("held settlements")
        permissions = [("hold_settlement", "Can hold a merchant's settlement and lift the hold")]
        constraints = [
            models.UniqueConstraint(
                name="risk_settlementhold_one", fields=["merchant"], condition=Q(lifted_at=None)
            ),
            models.CheckConstraint(
                name="risk_settlementhold_reason", condition=~Q(reason="") & ~Q(held_by="")
            ),
            models.CheckConstraint(
                name="risk_settlementhold_lifted_has_reason",
                condition=Q(lifted_at=None, lifted_by="", lift_reason="")
                | (Q(lifted_at__isnull=False) & ~Q(lifted_by="") & ~Q(lift_reason="")),
            ),
        ]

    def __str__(self) -> str:
        return self.merchant


class MerchantPerson(models.Model):
    """Somebody who acts for a merchant: what he buys from it is dealing with itself."""

    merchant = models.CharField(_("merchant"), max_length=50, db_index=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
    )
    note = models.CharField(_("note"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("person of a merchant")
        verbose_name_plural = _("people of merchants")
        constraints = [models.UniqueConstraint(name="risk_merchantperson_once", fields=["merchant", "user"])]

    def __str__(self) -> str:
        return f"{self.merchant} {self.user_id}"


class BuyerDevice(models.Model):
    """A device from which a buyer signed in (risk.devices). `device` is a blind index."""

    buyer_id = models.BigIntegerField(_("buyer"))
    device = models.CharField(_("device"), max_length=64)
    address = models.CharField(_("address"), max_length=45, blank=True)
    first_seen = models.DateTimeField(_("first seen"))
    last_seen = models.DateTimeField(_("last seen"))

    class Meta:
        verbose_name = _("buyer's device")
        verbose_name_plural = _("buyers' devices")
        constraints = [models.UniqueConstraint(name="risk_buyerdevice_once", fields=["buyer_id", "device"])]
        indexes = [models.Index(fields=["device"], name="risk_buyerdevice_device")]

    def __str__(self) -> str:
        return f"{self.buyer_id} {self.device[:8]}"
