"""The staff's desk at merchants' trading: what was found and why, what it was, and whose settlement is held."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from babel.numbers import format_currency, get_currency_precision
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin

from basis import staff
from basis.staff import LookOnlyAdmin
from risk.gate_admin import SignedAdmin
from risk.trading import marking, rules
from risk.trading_models import (
    BuyerDevice,
    FindingState,
    MerchantDay,
    MerchantPerson,
    RiskFinding,
    SettlementHold,
    TradingRule,
)

STATES: dict[str, str] = {
    FindingState.OPEN: staff.LOOK,
    FindingState.CONFIRMED: staff.BAD,
    FindingState.FALSE_ALARM: staff.GOOD,
}
FACTS = (
    ("paid", gettext_lazy("paid orders")),
    ("buyers", gettext_lazy("buyers")),
    ("usual_minor", gettext_lazy("usual takings")),
    ("took_minor", gettext_lazy("the day's takings")),
    ("largest_minor", gettext_lazy("dearest order")),
    ("middling_minor", gettext_lazy("median order")),
    ("at_night", gettext_lazy("paid at night")),
    ("refunded", gettext_lazy("refunded")),
    ("refunded_soon", gettext_lazy("refunded within the hour")),
    ("week_paid", gettext_lazy("paid within the week")),
    ("week_refunded", gettext_lazy("of them refunded")),
    ("month_paid", gettext_lazy("paid within four weeks")),
    ("month_disputed", gettext_lazy("orders with a dispute in them")),
    ("round_trips", gettext_lazy("refunded in full to one buyer within the week")),
    ("own_people", gettext_lazy("orders of its own people")),
    ("split", gettext_lazy("orders in the longest row")),
    ("off_show", gettext_lazy("orders without a show")),
)


@admin.register(RiskFinding)
class RiskFindingAdmin(LookOnlyAdmin):
    """To look at; what it was is said below the facts, with a reason."""

    list_display = ("found", "merchant", "day", "what", "measured", "allowed", "is_now", "settlement")
    list_display_links = ("found", "merchant")
    list_filter = ("state", "rule", staff.since("found_at"))
    search_fields = ("merchant__exact",)
    fields = (
        *(
            "merchant",
            "day",
            "what",
            "says",
            "measured",
            "allowed",
            "compared",
            "score",
            "is_now",
            "settlement",
        ),
        *("orders", "facts", "found", "seen", "marked_by", "marked", "reason"),
    )
    change_form_outer_after_template = "admin/trading/decide.html"

    def get_urls(self) -> list[URLPattern]:
        decide = path(
            "<int:pk>/decide/", self.admin_site.admin_view(self.decide), name="risk_riskfinding_decide"
        )
        return [decide, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> Any:
        holds = SettlementHold.objects.filter(merchant=OuterRef("merchant"), lifted_at=None)
        return super().get_queryset(request).annotate(merchant_held=Exists(holds))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        finding = self.get_object(request, object_id)
        extra = {
            "finding": finding,
            "is_held": finding is not None and finding.merchant_held,
            "may_mark": request.user.has_perm("risk.change_riskfinding"),
            "may_hold": request.user.has_perm("risk.hold_settlement"),
        }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})

    def decide(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Mark the finding, or hold or lift the merchant's settlement."""
        what, reason = request.POST.get("what", ""), request.POST.get("reason", "")
        right = "risk.hold_settlement" if what in ("hold", "lift") else "risk.change_riskfinding"
        if not request.user.has_perm(right):
            raise PermissionDenied
        back = HttpResponseRedirect(reverse("admin:risk_riskfinding_change", args=[pk]))
        finding = RiskFinding.objects.filter(pk=pk).first()
        if finding is None or request.method != "POST":
            return back
        actor, now = request.user.get_username(), timezone.now()  # noqa: TID251 - a page
        try:
            self._done(finding, what, actor=actor, reason=reason, now=now)
        except marking.NoReason:
            self.message_user(request, _("Say why."), messages.ERROR)
        except (marking.MarkedBefore, marking.HeldBefore, marking.NotHeld):
            self.message_user(request, _("Somebody was faster: look again."), messages.WARNING)
        else:
            self.message_user(
                request, _("Done, and written down with your name and reason."), messages.SUCCESS
            )
        return back

    def _done(self, finding: RiskFinding, what: str, **how: Any) -> None:
        match what:
            case FindingState.CONFIRMED | FindingState.FALSE_ALARM:
                marking.mark(finding_id=finding.pk, state=what, **how)
            case "hold":
                marking.hold(merchant=finding.merchant, **how)
            case "lift":
                marking.lift(merchant=finding.merchant, **how)

    @admin.display(description=gettext_lazy("found"), ordering="found_at")
    def found(self, finding: RiskFinding) -> str:
        return staff.moment(finding.found_at)

    @admin.display(description=gettext_lazy("last seen"))
    def seen(self, finding: RiskFinding) -> str:
        return staff.moment(finding.seen_at)

    @admin.display(description=gettext_lazy("marked at"))
    def marked(self, finding: RiskFinding) -> str:
        return staff.moment(finding.marked_at)

    @admin.display(description=gettext_lazy("what"), ordering="rule")
    def what(self, finding: RiskFinding) -> str:
        return rules.title(finding.rule)

    @admin.display(description=gettext_lazy("it means"))
    def says(self, finding: RiskFinding) -> str:
        return str(rules.RULES[finding.rule].says) if finding.rule in rules.RULES else staff.NOTHING

    @admin.display(description=gettext_lazy("measured"))
    def measured(self, finding: RiskFinding) -> str:
        return rules.shown(finding.rule, finding.measure)

    @admin.display(description=gettext_lazy("bar"))
    def allowed(self, finding: RiskFinding) -> str:
        return rules.shown(finding.rule, finding.bar)

    @admin.display(description=gettext_lazy("compared with"))
    def compared(self, finding: RiskFinding) -> str:
        days = finding.evidence.get("compared_with", 0)
        return (
            _("%(days)s days of merchants") % {"days": days}
            if days
            else _("no population yet: the rule's floor")
        )

    @admin.display(description=gettext_lazy("score"))
    def score(self, finding: RiskFinding) -> SafeString | str:
        day = MerchantDay.objects.filter(merchant=finding.merchant, day=finding.day).first()
        return staff.thing(day, day.score) if day else staff.NOTHING

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def is_now(self, finding: RiskFinding) -> SafeString:
        return staff.label(finding.state, finding.get_state_display(), STATES)

    @admin.display(description=gettext_lazy("settlement"))
    def settlement(self, finding: RiskFinding) -> SafeString | str:
        if not finding.merchant_held:  # type: ignore[attr-defined]
            return staff.NOTHING
        return staff.label("held", _("held"), {"held": staff.BAD})

    @admin.display(description=gettext_lazy("orders"))
    def orders(self, finding: RiskFinding) -> SafeString | str:
        return staff.listed([staff.number(number) for number in finding.evidence.get("orders", [])])

    @admin.display(description=gettext_lazy("facts of the day"))
    def facts(self, finding: RiskFinding) -> SafeString | str:
        known = finding.evidence.get("facts", {})
        told = [(name, text, known[name]) for name, text in FACTS if name in known]
        return staff.listed(
            [format_html("{}: {}", text, _fact(name, value, finding.currency)) for name, text, value in told]
        )


def _fact(name: str, value: int, currency: str) -> str:
    """A count, or an amount of the day."""
    if not name.endswith("_minor"):
        return f"{value}"
    main_unit = Decimal(value).scaleb(-get_currency_precision(currency))
    return format_currency(main_unit, currency, locale="zh_Hans_CN")


@admin.register(TradingRule)
class TradingRuleAdmin(SignedAdmin):
    """Which rules are used and how strictly. Bars are learned every night."""

    list_display = ("what", "is_on", "percentile", "floor", "bar_now", "learned", "updated_by")
    list_filter = ("is_on",)
    readonly_fields = ("code", "what", "bar_now", "learned", "updated_by", "updated_at")
    fields = (
        *("code", "what", "is_on", "percentile", "floor", "reason"),
        *("bar_now", "learned", "updated_by", "updated_at"),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=gettext_lazy("rule"), ordering="code")
    def what(self, row: TradingRule) -> str:
        return rules.title(row.code)

    @admin.display(description=gettext_lazy("bar now"))
    def bar_now(self, row: TradingRule) -> str:
        return staff.NOTHING if row.bar is None else rules.shown(row.code, row.bar)

    @admin.display(description=gettext_lazy("learned from"))
    def learned(self, row: TradingRule) -> str:
        known = row.learned_from
        if not known:
            return staff.NOTHING
        text = _("%(days)s days, %(alarms)s false alarms, %(confirmed)s confirmed")
        return text % {
            "days": known.get("days", 0),
            "alarms": known.get("false_alarms", 0),
            "confirmed": known.get("confirmed", 0),
        }


@admin.register(MerchantDay)
class MerchantDayAdmin(LookOnlyAdmin):
    list_display = ("merchant", "day", "score", "judged_at")
    list_filter = (staff.since("judged_at"),)
    search_fields = ("merchant__exact",)
    fields = ("merchant", "day", "score", "judged_at", "measures", "facts")


@admin.register(SettlementHold)
class SettlementHoldAdmin(LookOnlyAdmin):
    """Made and lifted from a finding's page."""

    list_display = ("merchant", "held_at", "held_by", "reason", "lifted_at", "lifted_by")
    list_filter = (("lifted_at", admin.EmptyFieldListFilter),)
    search_fields = ("merchant__exact",)
    fields = (*list_display, "lift_reason")


@admin.register(BuyerDevice)
class BuyerDeviceAdmin(LookOnlyAdmin):
    list_display = ("who", "device", "address", "first_seen", "last_seen")
    search_fields = ("buyer_id__exact", "device__exact", "address__exact")
    fields = list_display

    @admin.display(description=gettext_lazy("buyer"))
    def who(self, row: BuyerDevice) -> SafeString:
        return staff.buyer(row.buyer_id)


@admin.register(MerchantPerson)
class MerchantPersonAdmin(ModelAdmin):
    """Who acts for a merchant, as staff know it."""

    list_display = ("merchant", "user", "note")
    list_select_related = ("user",)
    search_fields = ("merchant__exact", "user__handle__exact")
    raw_id_fields = ("user",)
