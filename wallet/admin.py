"""The ledger for the staff: to look at, whatever their rights. Money moves by the product's own steps alone."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from basis import numbers, staff
from basis.staff import HistoryAdmin, HistoryInline, LookOnlyAdmin, LookOnlyInline
from wallet import ledger
from wallet.models import Account, AccountFold, Hold, JournalEntry, Posting, TopUp, TopUpEvent
from wallet.money import Money

staff.shows_numbers(numbers.TOPUP, "wallet_topup")

HOLDS = {"reserved": staff.WAITING, "captured": staff.GOOD, "released": staff.PLAIN}
TOPUPS = {"open": staff.WAITING, "credited": staff.GOOD, "closed": staff.PLAIN}


def amount(minor: int, currency: str) -> str:
    """Money as the reader writes it."""
    english = (get_language() or "").startswith("en")
    return Money(minor, currency).text("en_US" if english else "zh_Hans_CN")


class PostingInline(LookOnlyInline):
    model = Posting
    fields = ("where", "amount", "txid")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Posting]:
        return super().get_queryset(request).select_related("account")

    @admin.display(description=_("account"))
    def where(self, posting: Posting) -> SafeString | str:
        return staff.thing(posting.account)

    @admin.display(description=_("amount"))
    def amount(self, posting: Posting) -> str:
        return amount(posting.amount_minor, posting.account.currency)


@admin.register(Account)
class AccountAdmin(LookOnlyAdmin):
    list_display = ("code", "kind", "owner", "stored", "held")
    list_filter = ("kind", "currency")
    search_fields = ("code__exact", "owner__exact")
    fields = ("code", "kind", "owner", "currency", "floor_minor", "balance", "held", "created_at", "lines")

    @admin.display(description=_("stored balance"), ordering="balance_minor")
    def stored(self, account: Account) -> str:
        # A hot account stores none: its sum is on its own page, where it is asked for one account alone.
        return (
            staff.NOTHING if account.floor_minor is None else amount(account.balance_minor, account.currency)
        )

    @admin.display(description=_("held"), ordering="held_minor")
    def held(self, account: Account) -> str:
        return amount(account.held_minor, account.currency)

    @admin.display(description=_("balance"))
    def balance(self, account: Account) -> str:
        return amount(ledger.balance(account.code), account.currency)

    @admin.display(description=_("postings"))
    def lines(self, account: Account) -> SafeString | str:
        return staff.page("wallet_posting", _("all postings"), q=account.code)


@admin.register(JournalEntry)
class JournalEntryAdmin(LookOnlyAdmin):
    list_display = ("key", "kind", "of", "when", "memo")
    list_filter = (staff.since("at"), "kind")
    search_fields = ("key__exact", "reference__exact")
    fields = ("key", "kind", "of", "memo", "when", "undoes", "undone_by")
    inlines = (PostingInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[JournalEntry]:
        return super().get_queryset(request).select_related("reverses", "reversed_by")

    @admin.display(description=_("reference"))
    def of(self, entry: JournalEntry) -> SafeString | str:
        return staff.number(entry.reference)

    @admin.display(description=_("time"), ordering="at")
    def when(self, entry: JournalEntry) -> str:
        return staff.moment(entry.at)

    @admin.display(description=_("undoes"))
    def undoes(self, entry: JournalEntry) -> SafeString | str:
        return staff.thing(entry.reverses) if entry.reverses else staff.NOTHING

    @admin.display(description=_("undone by"))
    def undone_by(self, entry: JournalEntry) -> SafeString | str:
        other: Any = getattr(entry, "reversed_by", None)
        return staff.thing(other) if other else staff.NOTHING


@admin.register(Posting)
class PostingAdmin(LookOnlyAdmin):
    list_display = ("id", "booked_by", "of", "where", "amount")
    list_filter = ("account__kind",)
    list_select_related = ("entry", "account")
    search_fields = ("account__code__exact", "entry__key__exact", "entry__reference__exact")
    fields = ("booked_by", "of", "where", "amount", "txid")

    @admin.display(description=_("entry"))
    def booked_by(self, posting: Posting) -> SafeString | str:
        return staff.thing(posting.entry)

    @admin.display(description=_("reference"))
    def of(self, posting: Posting) -> SafeString | str:
        return staff.number(posting.entry.reference)

    @admin.display(description=_("account"))
    def where(self, posting: Posting) -> SafeString | str:
        return staff.thing(posting.account)

    @admin.display(description=_("amount"), ordering="amount_minor")
    def amount(self, posting: Posting) -> str:
        return amount(posting.amount_minor, posting.account.currency)


@admin.register(AccountFold)
class AccountFoldAdmin(LookOnlyAdmin):
    list_display = ("account", "sum", "before_txid", "folded_at")
    list_select_related = ("account",)
    search_fields = ("account__code__exact",)
    fields = ("account", "sum", "before_txid", "folded_at")

    @admin.display(description=_("balance"), ordering="balance_minor")
    def sum(self, fold: AccountFold) -> str:
        return amount(fold.balance_minor, fold.account.currency)


@admin.register(Hold)
class HoldAdmin(LookOnlyAdmin):
    list_display = ("key", "is_now", "amount", "where", "of", "created_at", "ended_at")
    list_filter = ("state", staff.since("created_at"))
    list_select_related = ("account",)
    search_fields = ("key__exact", "reference__exact", "account__code__exact")
    fields = list_display

    @admin.display(description=_("state"), ordering="state")
    def is_now(self, hold: Hold) -> SafeString:
        return staff.label(hold.state, hold.get_state_display(), HOLDS)

    @admin.display(description=_("amount"), ordering="amount_minor")
    def amount(self, hold: Hold) -> str:
        return amount(hold.amount_minor, hold.account.currency)

    @admin.display(description=_("account"))
    def where(self, hold: Hold) -> SafeString | str:
        return staff.thing(hold.account)

    @admin.display(description=_("reference"))
    def of(self, hold: Hold) -> SafeString | str:
        return staff.number(hold.reference)


class TopUpHistory(HistoryInline):
    model = TopUpEvent


@admin.register(TopUp)
class TopUpAdmin(LookOnlyAdmin):
    list_display = ("number", "is_now", "amount", "who", "paid_by", "created_at", "payable_until")
    list_filter = ("state", staff.since("created_at"))
    search_fields = ("number__exact", "winner__exact")
    fields = (
        "number",
        "is_now",
        "amount",
        "who",
        "paid_by",
        "tries",
        "entries",
        "created_at",
        "payable_until",
    )
    inlines = (TopUpHistory,)

    @admin.display(description=_("state"), ordering="state")
    def is_now(self, topup: TopUp) -> SafeString:
        return staff.label(topup.state, topup.get_state_display(), TOPUPS)

    @admin.display(description=_("amount"), ordering="amount_minor")
    def amount(self, topup: TopUp) -> str:
        return amount(topup.amount_minor, topup.currency)

    @admin.display(description=_("buyer"))
    def who(self, topup: TopUp) -> SafeString:
        return staff.buyer(topup.buyer_id)

    @admin.display(description=_("paid by"))
    def paid_by(self, topup: TopUp) -> SafeString | str:
        return staff.number(topup.winner)

    @admin.display(description=_("payments"))
    def tries(self, topup: TopUp) -> SafeString | str:
        return staff.page("payments_payment", _("all tries"), q=topup.number)

    @admin.display(description=_("ledger"))
    def entries(self, topup: TopUp) -> SafeString | str:
        return staff.page("wallet_journalentry", _("all entries"), q=topup.number)


@admin.register(TopUpEvent)
class TopUpEventAdmin(HistoryAdmin):
    subject = "topup"
