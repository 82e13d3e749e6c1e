"""
What a channel says about one day: its own list of payments and refunds (trade) or of movements on its account with us
(funds), as loaded from its file. payments.statements reads the files; reconciliation compares.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.files.storage import FileSystemStorage, Storage
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class StatementKind(models.TextChoices):
    TRADE = "trade", _("payments and refunds")
    FUNDS = "funds", _("movements of money")


class StatementSource(models.TextChoices):
    FETCHED = "fetched", _("fetched from the channel")
    UPLOADED = "uploaded", _("uploaded by staff")


class LineKind(models.TextChoices):
    PAYMENT = "payment", _("payment")
    REFUND = "refund", _("refund")
    FEE = "fee", _("fee")
    TRANSFER = "transfer", _("transfer to the bank")
    OTHER = "other", _("something else")


class PrivateFiles(FileSystemStorage):
    """A directory that no web server shows and that only the product's own user reads."""

    def __init__(self) -> None:
        super().__init__(base_url=None, file_permissions_mode=0o600, directory_permissions_mode=0o700)

    @property
    def base_location(self) -> Path:
        return Path(settings.STATEMENTS_DIR)

    @property
    def location(self) -> str:
        return str(self.base_location.absolute())


def private_files() -> Storage:
    return PrivateFiles()


class Statement(models.Model):
    """
    One file of one channel for one day in Shanghai. Of several for the same day the one without `replaced_by` counts.
    A day on which the channel says that nothing happened has a statement without a file and without lines.
    """

    channel = models.CharField(_("channel"), max_length=16)
    kind = models.CharField(_("kind"), max_length=8, choices=StatementKind)
    day = models.DateField(_("day"))
    currency = models.CharField(_("currency"), max_length=3)
    sha256 = models.CharField("SHA-256", max_length=64)
    source = models.CharField(_("source"), max_length=8, choices=StatementSource)
    file = models.FileField(_("file"), storage=private_files, max_length=200, blank=True)
    lines = models.IntegerField(_("lines"))
    # {"payment": {"count": 3, "amount_minor": 5400, "fee_milli": 32400}, "refund": {…}, "told": {the file's own},
    # "covers": ["payment", "refund"]}: a statement that covers only one of the two says nothing about the other.
    totals = models.JSONField(_("totals"), default=dict)
    loaded_at = models.DateTimeField(_("loaded at"))
    uploaded_by = models.CharField(_("uploaded by"), max_length=64, blank=True)
    replaced_by = models.ForeignKey(
        "self",
        verbose_name=_("replaced by"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
    )

    class Meta:
        verbose_name = _("statement")
        verbose_name_plural = _("statements")
        constraints = [
            models.UniqueConstraint(
                name="payments_statement_once", fields=["channel", "kind", "day", "sha256"]
            ),
            models.UniqueConstraint(
                name="payments_statement_one_counts",
                fields=["channel", "kind", "day"],
                condition=Q(replaced_by=None),
            ),
            models.CheckConstraint(name="payments_statement_lines_counted", condition=Q(lines__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.kind} {self.day}"

    @property
    def is_whole(self) -> bool:
        """Whether it would have a line for every payment and every refund of its day."""
        return {"payment", "refund"} <= set(self.totals.get("covers") or ("payment", "refund"))


class StatementLine(models.Model):
    """One line, in our words. `amount_minor` is signed as money for us: a payment above zero, a refund below."""

    # Unconstrained: a million checks cost a quarter of the load, and the database refuses to delete statements.
    statement = models.ForeignKey(
        Statement, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    line_no = models.IntegerField(_("line"))  # in the file, from 1
    channel = models.CharField(_("channel"), max_length=16)
    day = models.DateField(_("day"))
    kind = models.CharField(_("kind"), max_length=16, choices=LineKind)
    # Ours: the payment's number on its line, the refund's on its line; empty where the channel tells none.
    number = models.CharField(_("number"), max_length=64, blank=True)
    payment_number = models.CharField(_("payment"), max_length=64, blank=True)
    reference = models.CharField(_("channel's number"), max_length=64, blank=True)
    amount_minor = models.BigIntegerField(_("amount"))
    fee_milli = models.BigIntegerField(_("fee"))  # thousandths of a fen; above zero the channel keeps it
    # What of the amount a discount at our own cost took off at the channel: signed as the amount, and never moved.
    discount_minor = models.BigIntegerField(_("of it a discount of ours"), default=0, db_default=0)
    currency = models.CharField(_("currency"), max_length=3)
    status = models.CharField(_("status"), max_length=32)
    happened_at = models.DateTimeField(_("happened at"))

    class Meta:
        verbose_name = _("statement line")
        verbose_name_plural = _("statement lines")
        indexes = [
            models.Index(fields=["channel", "day", "kind"], name="payments_line_day"),
            models.Index(fields=["number"], name="payments_line_number"),
            # A revocation has no number of its own; there are hardly any.
            models.Index(
                fields=["payment_number"], name="payments_line_revoked", condition=Q(status="revoked")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.day} {self.line_no}"
