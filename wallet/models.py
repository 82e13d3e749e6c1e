"""
The double-entry ledger's tables. `wallet.ledger` is the only module that writes them.

Signs: a posting above zero credits its account, one below zero debits it; an entry sums to zero per currency. A buyer's
account is what we owe the buyer (credit); a channel's clearing account goes below zero by what the channel owes us.

The database refuses what must never be: migration 0002 installs triggers that refuse an unbalanced entry, an edited or
deleted entry or posting, a balance written by anything but a posting, and bonus turned into cash.
"""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Cast
from django.utils.translation import gettext_lazy as _

from basis import lifecycle


class AccountKind(models.TextChoices):
    BUYER_CASH = "buyer_cash", _("buyer, cash")
    BUYER_BONUS = "buyer_bonus", _("buyer, bonus")
    GUARANTEE = "guarantee", _("guarantee")
    MERCHANT = "merchant", _("merchant")
    FEE = "fee", _("fees")
    CLEARING = "clearing", _("channel clearing")
    SUSPENSE = "suspense", _("suspense")
    PROMOTION = "promotion", _("promotion")
    OPENING = "opening", _("opening balances")
    BANK = "bank", _("our bank account")
    CHANNEL_FEE = "channel_fee", _("fees kept by channels")


# Accounts with a floor store a balance, so that it can be checked in one statement. The others are hot: every sale
# posts to them, so they store none and sum their postings.
BOUNDED_KINDS = frozenset({AccountKind.BUYER_CASH, AccountKind.BUYER_BONUS, AccountKind.MERCHANT})


class Account(models.Model):
    """One account. `code` names it for ever; `floor_minor` is the least balance it may have, NULL for none."""

    code = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=16, choices=AccountKind)
    owner = models.CharField(max_length=40, blank=True, db_index=True)
    currency = models.CharField(max_length=3)
    floor_minor = models.BigIntegerField(null=True, blank=True)
    balance_minor = models.BigIntegerField(default=0)
    held_minor = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        constraints = [
            models.CheckConstraint(
                name="wallet_account_above_floor",
                condition=Q(floor_minor=None) | Q(balance_minor__gte=F("floor_minor") + F("held_minor")),
            ),
            models.CheckConstraint(name="wallet_account_held_not_negative", condition=Q(held_minor__gte=0)),
            models.CheckConstraint(
                name="wallet_account_unbounded_stores_none",
                condition=Q(floor_minor__isnull=False) | Q(balance_minor=0, held_minor=0),
            ),
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def available_minor(self) -> int:
        """What a bounded account can spend now."""
        return self.balance_minor - self.held_minor - (self.floor_minor or 0)


class JournalEntry(models.Model):
    """One fact about money. `key` is unique: the same fact is booked once."""

    key = models.CharField(max_length=80)
    kind = models.CharField(max_length=32)
    reference = models.CharField(max_length=40, blank=True)
    memo = models.CharField(max_length=200, blank=True)
    reverses = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="reversed_by"
    )
    at = models.DateTimeField()

    class Meta:
        verbose_name = _("journal entry")
        verbose_name_plural = _("journal entries")
        # Plain ones: `unique=True` and `db_index=True` would each add an index for LIKE, written with every entry.
        indexes = [
            models.Index(fields=["reference"], name="wallet_journalentry_of"),
            # Entries are appended as they happen: those of a day are found by ranges of pages, for nothing.
            BrinIndex(fields=["at"], name="wallet_journalentry_at", pages_per_range=32, autosummarize=True),
        ]
        constraints = [models.UniqueConstraint(name="wallet_journalentry_key_once", fields=["key"])]

    def __str__(self) -> str:
        return self.key


class Posting(models.Model):
    """One line of an entry. `txid` is the transaction that wrote it: folding relies on it (wallet.folding)."""

    entry = models.ForeignKey(JournalEntry, on_delete=models.PROTECT, related_name="postings")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="postings", db_index=False)
    amount_minor = models.BigIntegerField()
    txid = models.BigIntegerField(
        db_default=Cast(
            Cast(Func(function="pg_current_xact_id"), output_field=models.TextField()),
            output_field=models.BigIntegerField(),
        ),
        editable=False,
    )

    class Meta:
        verbose_name = _("posting")
        verbose_name_plural = _("postings")
        indexes = [models.Index(fields=["account", "txid"], name="wallet_posting_account_txid")]
        constraints = [models.CheckConstraint(name="wallet_posting_not_zero", condition=~Q(amount_minor=0))]

    def __str__(self) -> str:
        return f"{self.amount_minor:+d}"


class AccountFold(models.Model):
    """The sum of a hot account's postings of all transactions before `before_txid`. A cache: deleting it is safe."""

    account = models.OneToOneField(Account, on_delete=models.PROTECT, related_name="fold", primary_key=True)
    before_txid = models.BigIntegerField()
    balance_minor = models.BigIntegerField()
    folded_at = models.DateTimeField()

    class Meta:
        verbose_name = _("account fold")
        verbose_name_plural = _("account folds")

    def __str__(self) -> str:
        return f"{self.account_id} before {self.before_txid}"


class HoldState(models.TextChoices):
    RESERVED = "reserved", _("reserved")
    CAPTURED = "captured", _("captured")
    RELEASED = "released", _("released")


class Hold(models.Model):
    """Money set aside in a bounded account: reserved once, then either captured or released, never both."""

    key = models.CharField(max_length=80, unique=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="holds")
    amount_minor = models.BigIntegerField()
    state = models.CharField(max_length=16, choices=HoldState, default=HoldState.RESERVED)
    reference = models.CharField(max_length=40, blank=True, db_index=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("hold")
        verbose_name_plural = _("holds")
        constraints = [
            models.CheckConstraint(name="wallet_hold_amount_positive", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(
                name="wallet_hold_ended_or_reserved",
                condition=Q(state=HoldState.RESERVED, ended_at=None)
                | (~Q(state=HoldState.RESERVED) & Q(ended_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.state}"


class TopUpState(models.TextChoices):
    OPEN = "open", _("waiting for payment")
    CREDITED = "credited", _("credited")
    CLOSED = "closed", _("closed")


class TopUp(models.Model):
    """A buyer's wish to put money into the wallet; paid through a channel like any purchase."""

    number = models.CharField(max_length=32, unique=True)
    buyer_id = models.BigIntegerField(db_index=True)
    client_key = models.CharField(max_length=255)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=16, choices=TopUpState, default=TopUpState.OPEN)
    winner = models.CharField(max_length=32, blank=True)
    created_at = models.DateTimeField()
    payable_until = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = _("top-up")
        verbose_name_plural = _("top-ups")
        constraints = [
            models.CheckConstraint(name="wallet_topup_amount_positive", condition=Q(amount_minor__gt=0)),
            models.UniqueConstraint(name="wallet_topup_one_per_key", fields=["buyer_id", "client_key"]),
        ]

    def __str__(self) -> str:
        return self.number


class TopUpEvent(lifecycle.LifecycleEvent):
    """A top-up's history."""

    topup = models.ForeignKey(TopUp, on_delete=models.PROTECT, related_name="events")

    class Meta:
        verbose_name = _("top-up event")
        verbose_name_plural = _("top-up events")


TOPUP_LIFECYCLE = lifecycle.Lifecycle(
    name="topup",
    subject="topup",
    event=TopUpEvent,
    moves=lifecycle.moves(
        {
            TopUpState.OPEN: [TopUpState.CREDITED, TopUpState.CLOSED],
            TopUpState.CLOSED: [TopUpState.CREDITED],  # money that comes late is still the buyer's
            TopUpState.CREDITED: [],
        }
    ),
)
