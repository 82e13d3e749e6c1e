"""Thresholds at the application (M9): what staff set, and what was estimated."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class RouteGroup(models.TextChoices):
    ORDERS = "orders", _("orders")
    PAYMENTS = "payments", _("payments")
    SIGN_IN = "sign_in", _("signing in")
    READS = "reads", _("reading")


class Source(models.TextChoices):
    OVERRIDE = "override", _("set by staff")
    WINDOW = "window", _("estimated: sliding window")
    ACCESS_LOG = "access_log", _("estimated: access log")


class ThresholdSetting(models.Model):
    """From which load on a route group sheds requests, over all processes together. Without a row: never."""

    group = models.CharField(_("route group"), max_length=16, choices=RouteGroup, unique=True)
    is_on = models.BooleanField(_("on"), default=False, help_text=_("Off: measured, never shed."))
    source = models.CharField(_("in force"), max_length=10, choices=Source, default=Source.OVERRIDE)
    tps = models.FloatField(
        _("requests a second (override)"), null=True, blank=True, validators=[MinValueValidator(0.1)]
    )
    concurrency = models.PositiveIntegerField(
        _("in flight at once"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Empty: no bound."),
    )
    share_percent = models.PositiveSmallIntegerField(
        _("percent of the estimate"),
        default=90,
        validators=[MinValueValidator(10), MaxValueValidator(100)],
        help_text=_("When an estimate is in force: this much of it is let in."),
    )
    reason = models.CharField(_("reason"), max_length=200, blank=True, default="")
    updated_by = models.CharField(_("set by"), max_length=64, blank=True, default="", editable=False)
    updated_at = models.DateTimeField(_("set at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("threshold")
        verbose_name_plural = _("thresholds")
        constraints = [
            models.CheckConstraint(
                name="risk_thresholdsetting_override_has_reason",
                condition=~Q(source=Source.OVERRIDE) | Q(tps=None, concurrency=None) | ~Q(reason=""),
            )
        ]

    def __str__(self) -> str:
        return self.group


class ThresholdEstimate(models.Model):
    """What a route group seems to bear: the best rate at which it was still about as fast as when idle."""

    group = models.CharField(_("route group"), max_length=16, choices=RouteGroup)
    source = models.CharField(_("source"), max_length=10, choices=Source)
    at = models.DateTimeField(_("at"), db_index=True)
    tps = models.FloatField(_("sustainable requests a second"))
    concurrency = models.FloatField(_("in flight at that rate"))
    latency_ms = models.FloatField(_("latency in ms"))
    measured_tps = models.FloatField(_("requests a second now"))
    requests = models.PositiveIntegerField(_("requests measured"))

    class Meta:
        verbose_name = _("threshold estimate")
        verbose_name_plural = _("threshold estimates")
        indexes = [models.Index(fields=["group", "source", "-at"], name="risk_estimate_latest")]

    def __str__(self) -> str:
        return f"{self.group} {self.source}: {self.tps:.1f}/s"
