"""
A show that does not take place: who decided it and why, what buyers are told, and how far giving everything back is.

The row is made once, by the transaction that decides; nothing takes it back. `Show.cancelled_at` repeats its time for
the pages of buyers, which have the show at hand.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from basis import lifecycle


class CancellationState(models.TextChoices):
    ENDING = "ending", _("ending orders and asking for refunds")
    RETURNING = "returning", _("every refund is asked for, money is on its way")
    DONE = "done", _("all money is back")


class ShowCancellation(models.Model):
    """
    `reason` is for the staff, `said_zh` and `said_en` are for buyers. `expected` is what the preview said when it was
    decided: orders, tickets, and money by channel.
    """

    show = models.OneToOneField(
        "ticketing.Show", verbose_name=_("show"), on_delete=models.PROTECT, related_name="cancellation"
    )
    state = models.CharField(
        _("state"), max_length=16, choices=CancellationState, default=CancellationState.ENDING
    )
    reason = models.CharField(_("reason"), max_length=200)
    said_zh = models.CharField(_("told to buyers (Chinese)"), max_length=300, blank=True, default="")
    said_en = models.CharField(_("told to buyers (English)"), max_length=300, blank=True, default="")
    actor = models.CharField(_("who"), max_length=64)
    approved_by = models.CharField(_("approved by"), max_length=64, blank=True, default="")
    expected = models.JSONField(default=dict, blank=True)
    cancelled_at = models.DateTimeField(_("time"))
    done_at = models.DateTimeField(_("done at"), null=True, blank=True)

    class Meta:
        verbose_name = _("cancelled show")
        verbose_name_plural = _("cancelled shows")
        permissions = [("cancel_show", "Can cancel shows")]
        constraints = [
            models.CheckConstraint(
                name="ticketing_showcancellation_two_people",
                condition=Q(approved_by="") | ~Q(approved_by=F("actor")),
            ),
            models.CheckConstraint(
                name="ticketing_showcancellation_done_has_time",
                condition=Q(state=CancellationState.DONE, done_at__isnull=False)
                | (~Q(state=CancellationState.DONE) & Q(done_at=None)),
            ),
        ]

    def __str__(self) -> str:
        return str(self.show)

    @property
    def said(self) -> str:
        """The staff's words to buyers, in the reader's language; may be empty."""
        return self.said_en if (get_language() or "").startswith("en") else self.said_zh


class CancellationEvent(lifecycle.LifecycleEvent):
    """A cancellation's history."""

    cancellation = models.ForeignKey(ShowCancellation, on_delete=models.PROTECT, related_name="events")

    class Meta:
        verbose_name = _("event of a cancelled show")
        verbose_name_plural = _("events of cancelled shows")


CANCELLATION_LIFECYCLE = lifecycle.Lifecycle(
    name="cancellation",
    subject="cancellation",
    event=CancellationEvent,
    moves=lifecycle.moves(
        {
            CancellationState.ENDING: [CancellationState.RETURNING],
            # An order that was being paid while the show was cancelled.
            CancellationState.RETURNING: [CancellationState.ENDING, CancellationState.DONE],
            CancellationState.DONE: [CancellationState.ENDING],
        }
    ),
)
