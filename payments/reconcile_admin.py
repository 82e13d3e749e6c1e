"""Runs, discrepancies and settlements for the staff: to look at. What is to be done about one is a case at the desk."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from basis import staff
from basis.staff import LookOnlyAdmin
from payments.reconcile_models import UNSETTLED, Discrepancy, ReconcileRun, Settlement
from wallet.admin import amount

RUNS = {"running": staff.WAITING, "done": staff.GOOD, "failed": staff.BAD}
STATES = {"open": staff.BAD, "carried": staff.WAITING, "resolved": staff.GOOD, "explained": staff.PLAIN}


@admin.register(ReconcileRun)
class ReconcileRunAdmin(LookOnlyAdmin):
    list_display = ("what", "is_now", "lines", "agree", "differ", "unsettled", "rounds", "finished")
    list_filter = ("state", "channel", staff.since("started_at"))
    list_select_related = ("statement",)
    date_hierarchy = "day"
    ordering = ("-day", "-pk")
    fields = (
        "channel",
        "day",
        "is_now",
        "statement",
        "rounds",
        "started",
        "finished",
        "lines",
        "agree",
        "differ",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReconcileRun]:
        waiting = Count("discrepancies", filter=Q(discrepancies__state__in=UNSETTLED))
        return super().get_queryset(request).annotate(waiting=waiting)

    @admin.display(description=_("statement"), ordering="day")
    def what(self, run: ReconcileRun) -> str:
        return f"{run.channel} {run.day}"

    @admin.display(description=_("state"), ordering="state")
    def is_now(self, run: ReconcileRun) -> SafeString:
        return staff.label(run.state, run.get_state_display(), RUNS)

    @admin.display(description=_("lines"))
    def lines(self, run: ReconcileRun) -> str:
        return f"{run.counts.get('lines', 0):,}"

    @admin.display(description=_("agree"))
    def agree(self, run: ReconcileRun) -> str:
        return f"{run.counts.get('matched', 0):,}"

    @admin.display(description=_("found"))
    def differ(self, run: ReconcileRun) -> SafeString | str:
        found = sorted(run.counts.get("found", {}).items())
        about = {"channel": run.channel, "day": run.day.isoformat()}
        return staff.listed(
            staff.page("payments_discrepancy", f"{_klass(name)}: {number:,}", klass=name, **about)
            for name, number in found
        )

    @admin.display(description=_("unsettled"), ordering="waiting")
    def unsettled(self, run: Any) -> SafeString | str:
        if not run.waiting:
            return staff.NOTHING
        return staff.page(
            "payments_discrepancy", run.waiting, run__id__exact=run.pk, state__in=",".join(UNSETTLED)
        )

    @admin.display(description=_("started at"), ordering="started_at")
    def started(self, run: ReconcileRun) -> str:
        return staff.moment(run.started_at)

    @admin.display(description=_("finished at"), ordering="finished_at")
    def finished(self, run: ReconcileRun) -> str:
        return staff.moment(run.finished_at)


def _klass(name: str) -> str:
    return str(dict(Discrepancy._meta.get_field("klass").flatchoices).get(name, name))


@admin.register(Discrepancy)
class DiscrepancyAdmin(LookOnlyAdmin):
    list_display = (
        "day",
        "channel",
        "what",
        "is_now",
        "about",
        "ours",
        "theirs",
        "gap",
        "settled_as",
        "found",
    )
    list_filter = ("state", "klass", "channel", "day", staff.since("found_at"))
    search_fields = ("number__exact", "payment__number__exact", "key__exact")
    ordering = ("-day", "-pk")
    fields = (
        *("channel", "day", "what", "is_now", "about", "paid", "ours", "theirs", "gap", "fee", "line_of"),
        *("first_seen_day", "found", "in_run", "settled_as", "reason", "resolved_by", "settled", "says"),
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Discrepancy]:
        return super().get_queryset(request).select_related("payment", "refund", "line", "run")

    @admin.display(description=_("class"), ordering="klass")
    def what(self, row: Discrepancy) -> str:
        return str(row.get_klass_display())

    @admin.display(description=_("state"), ordering="state")
    def is_now(self, row: Discrepancy) -> SafeString:
        return staff.label(row.state, row.get_state_display(), STATES)

    @admin.display(description=_("about"), ordering="number")
    def about(self, row: Discrepancy) -> SafeString | str:
        known = row.refund or row.payment
        return staff.thing(known, row.number) if known else row.number or staff.NOTHING

    @admin.display(description=_("payment"))
    def paid(self, row: Discrepancy) -> SafeString | str:
        return staff.thing(row.payment) if row.payment else staff.NOTHING

    @admin.display(description=_("ours"), ordering="ours_minor")
    def ours(self, row: Discrepancy) -> str:
        return _money(row.ours_minor, str(row.facts.get("our_currency") or row.currency))

    @admin.display(description=_("theirs"), ordering="theirs_minor")
    def theirs(self, row: Discrepancy) -> str:
        return _money(row.theirs_minor, row.currency)

    @admin.display(description=_("at stake"))
    def gap(self, row: Discrepancy) -> str:
        return amount(row.gap_minor, row.currency)

    @admin.display(description=_("fee"))
    def fee(self, row: Discrepancy) -> str:
        if row.fee_milli is None or row.fee_expected_milli is None:
            return staff.NOTHING
        taken, expected = (f"{milli / 100_000:.5f}" for milli in (row.fee_milli, row.fee_expected_milli))
        return str(_("taken %(taken)s, by contract %(expected)s") % {"taken": taken, "expected": expected})

    @admin.display(description=_("line"))
    def line_of(self, row: Discrepancy) -> str:
        if row.line is None:
            return staff.NOTHING
        return f"{row.line.day} #{row.line.line_no} {row.line.reference}"

    @admin.display(description=_("run"))
    def in_run(self, row: Discrepancy) -> SafeString | str:
        return staff.thing(row.run)

    @admin.display(description=_("resolution"), ordering="resolution")
    def settled_as(self, row: Discrepancy) -> str:
        return row.resolution or staff.NOTHING

    @admin.display(description=_("found at"), ordering="found_at")
    def found(self, row: Discrepancy) -> str:
        return staff.moment(row.found_at)

    @admin.display(description=_("resolved at"), ordering="resolved_at")
    def settled(self, row: Discrepancy) -> str:
        return staff.moment(row.resolved_at)

    @admin.display(description=_("facts"))
    def says(self, row: Discrepancy) -> SafeString | str:
        return staff.listed(f"{name}: {value}" for name, value in sorted(row.facts.items()))


def _money(minor: int | None, currency: str) -> str:
    return staff.NOTHING if minor is None else amount(minor, currency)


@admin.register(Settlement)
class SettlementAdmin(LookOnlyAdmin):
    list_display = ("day", "channel", "kind", "how_much", "booked", "entry")
    list_filter = ("channel", "kind", staff.since("booked_at"))
    ordering = ("-day", "-pk")
    fields = ("channel", "day", "kind", "how_much", "statement", "booked", "entry")
    readonly_fields = fields

    @admin.display(description=_("amount"), ordering="amount_minor")
    def how_much(self, row: Settlement) -> str:
        return amount(row.amount_minor, row.currency)

    @admin.display(description=_("booked at"), ordering="booked_at")
    def booked(self, row: Settlement) -> str:
        return staff.moment(row.booked_at)

    @admin.display(description=_("ledger"))
    def entry(self, row: Settlement) -> SafeString | str:
        return staff.page("wallet_journalentry", _("its entry"), q=f"{row.channel}:{row.day}")
