"""Kill switches: what staff have stopped, why, and what buyers are told; and the trail of it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

REASON_MAX, SAID_MAX = 200, 300


class Stoppable(models.TextChoices):
    SALE = "sale", _("the sale of a show")
    CHANNEL = "channel", _("a payment channel")
    TOPUPS = "topups", _("wallet top-ups")
    WITHDRAWALS = "withdrawals", _("withdrawals")


class KillSwitch(models.Model):
    """A thing that can be stopped. `target` is a show's or channel's code; empty: every show, or the only one."""

    kind = models.CharField(_("what"), max_length=12, choices=Stoppable)
    target = models.CharField(_("of"), max_length=50, blank=True, default="")
    is_stopped = models.BooleanField(_("stopped"))
    reason = models.CharField(_("reason"), max_length=REASON_MAX)
    said_zh = models.CharField(_("told to buyers (Chinese)"), max_length=SAID_MAX, blank=True, default="")
    said_en = models.CharField(_("told to buyers (English)"), max_length=SAID_MAX, blank=True, default="")
    set_by = models.CharField(_("set by"), max_length=64)
    set_at = models.DateTimeField(_("set at"))

    class Meta:
        verbose_name = _("kill switch")
        verbose_name_plural = _("kill switches")
        permissions = [("throw_killswitch", "Can stop and resume sales, channels, top-ups and withdrawals")]
        constraints = [
            models.UniqueConstraint(name="risk_killswitch_once", fields=["kind", "target"]),
            models.CheckConstraint(name="risk_killswitch_kind", condition=Q(kind__in=Stoppable.values)),
            models.CheckConstraint(name="risk_killswitch_reason", condition=~Q(reason="")),
            models.CheckConstraint(
                name="risk_killswitch_target",
                condition=Q(kind=Stoppable.SALE)
                | (Q(kind=Stoppable.CHANNEL) & ~Q(target=""))
                | (Q(kind__in=(Stoppable.TOPUPS, Stoppable.WITHDRAWALS)) & Q(target="")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.target}".strip()


class SwitchAction(models.TextChoices):
    STOP = "stop", _("stopped")
    RESUME = "resume", _("resumed")


class SwitchEvent(models.Model):
    """One throw of a switch. Append-only: a database trigger refuses to change or delete it."""

    switch = models.ForeignKey(KillSwitch, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField(_("time"))
    action = models.CharField(_("action"), max_length=8, choices=SwitchAction)
    actor = models.CharField(_("who"), max_length=64)
    reason = models.CharField(_("reason"), max_length=REASON_MAX)
    facts = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name = _("throw of a switch")
        verbose_name_plural = _("throws of switches")

    def __str__(self) -> str:
        return f"{self.action} {self.switch_id}"
