"""
What reconciliation leaves behind: a run per statement, a discrepancy per thing in which a channel and we disagree, and
a settlement per amount that a channel kept or sent to our bank. payments.reconcile writes them.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from payments.models import Payment, Refund
from payments.statement_models import Statement, StatementLine


class RunState(models.TextChoices):
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


class ReconcileRun(models.Model):
    """One statement compared with our books, once or many times: running it again counts `rounds`."""

    key = models.CharField(max_length=64, unique=True)  # channel:day:statement
    channel = models.CharField(_("channel"), max_length=16)
    day = models.DateField(_("day"))
    statement = models.ForeignKey(
        Statement, verbose_name=_("statement"), on_delete=models.PROTECT, related_name="runs"
    )
    # The day's movements that it compared and booked, if there were any.
    funds = models.ForeignKey(
        Statement,
        verbose_name=_("movements of money"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    state = models.CharField(_("state"), max_length=8, choices=RunState, default=RunState.RUNNING)
    rounds = models.IntegerField(_("rounds"), default=1)
    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    # {"lines", "matched", "found": {class: count}, "opened", "settled_by_itself", "late", "settled"}
    counts = models.JSONField(_("counts"), default=dict, blank=True)
    error = models.CharField(_("error"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("reconciliation run")
        verbose_name_plural = _("reconciliation runs")
        indexes = [models.Index(fields=["channel", "day"], name="payments_run_day")]

    def __str__(self) -> str:
        return self.key


class Klass(models.TextChoices):
    """In what a channel and we disagree. What agrees is counted and leaves no row."""

    MISSING_HERE = "missing_here", _("payment unknown here")
    MISSING_THERE = "missing_there", _("payment not listed by the channel")
    AMOUNT_DIFFERS = "amount_differs", _("amount differs")
    STATUS_DIFFERS = "status_differs", _("state differs")
    FEE_DIFFERS = "fee_differs", _("fee differs")
    DUPLICATE = "duplicate", _("listed twice")
    CURRENCY_DIFFERS = "currency_differs", _("currency differs")
    REFERENCE_DIFFERS = "reference_differs", _("channel's number differs")
    REFUND_MISSING_HERE = "refund_missing_here", _("refund unknown here")
    REFUND_MISSING_THERE = "refund_missing_there", _("refund not listed by the channel")
    REFUND_AMOUNT_DIFFERS = "refund_amount_differs", _("refunded amount differs")
    REFUND_STATUS_DIFFERS = "refund_status_differs", _("refund's state differs")
    REFUND_OF_OTHER = "refund_of_other", _("refund of another payment")
    CROSSING = "crossing", _("crosses the cut-off")
    LEDGER_DIFFERS = "ledger_differs", _("ledger differs")
    FUNDS_DIFFER = "funds_differ", _("money moved differs from the statement")


class DiscrepancyState(models.TextChoices):
    OPEN = "open", _("open")
    CARRIED = "carried", _("waits for another day")
    RESOLVED = "resolved", _("resolved")
    EXPLAINED = "explained", _("explained")


UNSETTLED = (DiscrepancyState.OPEN, DiscrepancyState.CARRIED)


class Discrepancy(models.Model):
    """
    One thing in which a statement and our books disagree. `key` is made of what disagrees, so the same disagreement
    is the same row however often it is found; once resolved or explained, no run changes it again.
    """

    key = models.CharField(max_length=160, unique=True)
    run = models.ForeignKey(
        ReconcileRun, verbose_name=_("run"), on_delete=models.PROTECT, related_name="discrepancies"
    )
    channel = models.CharField(_("channel"), max_length=16)
    day = models.DateField(_("day"))
    klass = models.CharField(_("class"), max_length=24, choices=Klass)
    kind = models.CharField(_("kind"), max_length=16)  # payment, refund, or of the funds: payment, refund
    number = models.CharField(_("number"), max_length=64, blank=True, db_index=True)
    line = models.ForeignKey(
        StatementLine,
        verbose_name=_("line"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    payment = models.ForeignKey(
        Payment,
        verbose_name=_("payment"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="discrepancies",
    )
    refund = models.ForeignKey(
        Refund,
        verbose_name=_("refund"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="discrepancies",
    )
    ours_minor = models.BigIntegerField(_("ours"), null=True, blank=True)
    theirs_minor = models.BigIntegerField(_("theirs"), null=True, blank=True)
    # Thousandths of a fen, above zero what the channel keeps: what it took, and what it should have taken.
    fee_milli = models.BigIntegerField(_("fee"), null=True, blank=True)
    fee_expected_milli = models.BigIntegerField(_("fee by contract"), null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=3)
    state = models.CharField(_("state"), max_length=16, choices=DiscrepancyState)
    resolution = models.CharField(_("resolution"), max_length=32, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    resolved_by = models.CharField(_("resolved by"), max_length=64, blank=True)
    resolved_at = models.DateTimeField(_("resolved at"), null=True, blank=True)
    facts = models.JSONField(_("facts"), default=dict, blank=True)
    first_seen_day = models.DateField(_("first seen on the statement of"))
    found_at = models.DateTimeField(_("found at"))

    class Meta:
        verbose_name = _("discrepancy")
        verbose_name_plural = _("discrepancies")
        indexes = [
            models.Index(
                fields=["channel", "day"],
                name="payments_discrepancy_unsettled",
                condition=Q(state__in=UNSETTLED),
            ),
            models.Index(fields=["channel", "day", "klass"], name="payments_discrepancy_day"),
        ]
        constraints = [
            models.CheckConstraint(
                name="payments_discrepancy_settled_has_time",
                condition=Q(state__in=UNSETTLED, resolved_at=None, resolution="")
                | (~Q(state__in=UNSETTLED) & Q(resolved_at__isnull=False) & ~Q(resolution="")),
            )
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.day} {self.klass} {self.number}"

    @property
    def gap_minor(self) -> int:
        """How much money the disagreement is about, never below zero."""
        if self.ours_minor is None or self.theirs_minor is None:
            return abs(self.ours_minor or self.theirs_minor or 0)
        return abs(self.ours_minor - self.theirs_minor) or abs(self.theirs_minor)


class SettlementKind(models.TextChoices):
    FEE = "fee", _("fee kept by the channel")
    TRANSFER = "transfer", _("sent to our bank")


class Settlement(models.Model):
    """
    An amount that left a clearing account because a funds statement says so. A statement that replaces another adds
    the difference as a row of its own. Append-only.
    """

    key = models.CharField(max_length=80, unique=True)  # the journal entry's
    channel = models.CharField(_("channel"), max_length=16)
    day = models.DateField(_("day"))
    kind = models.CharField(_("kind"), max_length=8, choices=SettlementKind)
    statement = models.ForeignKey(
        Statement, verbose_name=_("statement"), on_delete=models.PROTECT, related_name="settlements"
    )
    amount_minor = models.BigIntegerField(_("amount"))  # above zero: the channel owes us that much less
    currency = models.CharField(_("currency"), max_length=3)
    booked_at = models.DateTimeField(_("booked at"))

    class Meta:
        verbose_name = _("settlement")
        verbose_name_plural = _("settlements")
        indexes = [models.Index(fields=["channel", "day"], name="payments_settlement_day")]
        constraints = [
            models.CheckConstraint(name="payments_settlement_not_zero", condition=~Q(amount_minor=0))
        ]

    def __str__(self) -> str:
        return self.key
