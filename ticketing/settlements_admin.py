"""Settlement with organisers for the staff: what is in it, what was moved, and what keeps it waiting."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from basis import numbers, staff
from basis.staff import LookOnlyAdmin, LookOnlyInline
from payments import money
from risk.trading_models import SettlementHold
from ticketing import settlement_waits
from ticketing.models import SettlementMove, ShowSettlement
from ticketing.settlement_models import Standing
from wallet.admin import amount

staff.shows_numbers(numbers.SETTLEMENT, "ticketing_showsettlement")

STANDINGS: dict[str, str] = {
    Standing.DUE: staff.WAITING,
    Standing.SETTLED: staff.GOOD,
    Standing.OWING: staff.BAD,
}


def percent(bps: int) -> str:
    """Basis points as people read them: 550 is 5.5 %."""
    return f"{bps / 100:g} %"


class MoveInline(LookOnlyInline):
    model = SettlementMove
    fields = ("nth", "when", "gross", "fee", "net", "entry")

    def get_queryset(self, request: HttpRequest) -> QuerySet[SettlementMove]:
        return super().get_queryset(request).select_related("settlement")

    @admin.display(description=_("time"))
    def when(self, move: SettlementMove) -> str:
        return staff.moment(move.at)

    @admin.display(description=_("out of guarantee"))
    def gross(self, move: SettlementMove) -> str:
        return amount(move.gross_minor, move.settlement.currency)

    @admin.display(description=_("fee"))
    def fee(self, move: SettlementMove) -> str:
        return amount(move.fee_minor, move.settlement.currency)

    @admin.display(description=_("to the organiser"))
    def net(self, move: SettlementMove) -> str:
        return amount(move.net_minor, move.settlement.currency)

    @admin.display(description=_("journal entry"))
    def entry(self, move: SettlementMove) -> SafeString | str:
        return staff.page("wallet_journalentry", move.key, q=move.key)


@admin.register(ShowSettlement)
class ShowSettlementAdmin(LookOnlyAdmin):
    """As the last round of settlement left it; every ten minutes one looks again."""

    list_display = ("number", "of", "merchant", "taken", "back", "moved", "is_now", "waiting", "looked")
    list_filter = ("standing", "merchant", staff.since("looked_at"))
    list_select_related = ("show",)
    search_fields = ("number__exact", "show__code__exact", "merchant__exact")
    fields = (
        *("number", "of", "merchant", "is_now", "waiting", "hold"),
        *("orders_of", "taken", "back", "total", "rate", "moved", "missing", "account", "opened", "looked"),
    )
    inlines = (MoveInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ShowSettlement]:
        return super().get_queryset(request).annotate(moved_minor=Coalesce(Sum("moves__gross_minor"), 0))

    @admin.display(description=_("show"), ordering="show__starts_at")
    def of(self, one: ShowSettlement) -> SafeString | str:
        return staff.thing(one.show)

    @admin.display(description=_("standing"), ordering="standing")
    def is_now(self, one: ShowSettlement) -> SafeString:
        return staff.label(one.standing, one.get_standing_display(), STANDINGS)

    @admin.display(description=_("waits for"))
    def waiting(self, one: ShowSettlement) -> SafeString | str:
        return staff.listed(str(settlement_waits.WORDS.get(code, code)) for code in one.waits_for)

    @admin.display(description=_("held settlement"))
    def hold(self, one: ShowSettlement) -> SafeString | str:
        """Who held it, when and why."""
        held = SettlementHold.objects.filter(merchant=one.merchant, lifted_at=None)
        return staff.listed(f"{staff.moment(each.held_at)} {each.held_by}: {each.reason}" for each in held)

    @admin.display(description=_("paid orders"))
    def orders_of(self, one: ShowSettlement) -> SafeString | str:
        return staff.page("ticketing_order", one.orders, show__id__exact=one.show_id)

    @admin.display(description=_("taken"), ordering="paid_minor")
    def taken(self, one: ShowSettlement) -> str:
        return amount(one.paid_minor, one.currency)

    @admin.display(description=_("gone back"), ordering="refunded_minor")
    def back(self, one: ShowSettlement) -> str:
        return amount(one.refunded_minor, one.currency)

    @admin.display(description=_("to be settled in all"))
    def total(self, one: ShowSettlement) -> str:
        return amount(one.due_total_minor, one.currency)

    @admin.display(description=_("fee"))
    def rate(self, one: ShowSettlement) -> str:
        return percent(one.fee_bps)

    @admin.display(description=_("settled so far"), ordering="moved_minor")
    def moved(self, one: Any) -> str:
        return amount(one.moved_minor, one.currency)

    @admin.display(description=_("missing (below zero: the organiser owes it)"))
    def missing(self, one: Any) -> str:
        return amount(one.due_total_minor - one.moved_minor, one.currency)

    @admin.display(description=_("organiser's account"))
    def account(self, one: ShowSettlement) -> SafeString | str:
        code = money.merchant(one.merchant, one.currency)
        return staff.page("wallet_account", code, q=code)

    @admin.display(description=_("opened at"), ordering="opened_at")
    def opened(self, one: ShowSettlement) -> str:
        return staff.moment(one.opened_at)

    @admin.display(description=_("looked at"), ordering="looked_at")
    def looked(self, one: ShowSettlement) -> str:
        return staff.moment(one.looked_at)
