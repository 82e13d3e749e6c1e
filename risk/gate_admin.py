"""The staff's desk at the gate: rules, lists, limits, thresholds beside their estimates, and what was judged."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from basis import staff
from basis.staff import LookOnlyAdmin
from risk import lists, policy, rules
from risk.load_models import Source, ThresholdEstimate, ThresholdSetting
from risk.models import SEALED_SUBJECTS, GateSetting, Judgement, LimitSetting, ListEntry, RuleSetting

VERDICTS = {"allow": staff.GOOD, "passed": staff.GOOD, "challenge": staff.LOOK, "deny": staff.BAD}
MODES = {"off": staff.PLAIN, "shadow": staff.LOOK, "on": staff.GOOD}


class SignedAdmin(ModelAdmin):
    """Notes who set it and when. In force within two seconds, in every process."""

    readonly_fields: tuple[str, ...] = ("updated_by", "updated_at")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.updated_by, obj.updated_at = request.user.get_username(), timezone.now()  # noqa: TID251  # the staff's edge
        super().save_model(request, obj, form, change)


class RuleForm(forms.ModelForm):
    code = forms.ChoiceField(label=_("rule"), choices=lambda: [(code, code) for code in sorted(rules.RULES)])

    class Meta:
        model = RuleSetting
        fields = ("code", "mode", "verdict", "weight", "parameters", "if_failed", "reason")


@admin.register(RuleSetting)
class RuleSettingAdmin(SignedAdmin):
    form = RuleForm
    list_display = ("code", "shown_mode", "verdict", "weight", "parameters", "updated_by", "updated_at")
    list_filter = ("mode", "verdict")
    ordering = ("code",)
    readonly_fields = ("about", "updated_by", "updated_at")
    fields = (*RuleForm.Meta.fields, "about", "updated_by", "updated_at")

    @admin.display(description=_("mode"), ordering="mode")
    def shown_mode(self, row: RuleSetting) -> SafeString:
        return staff.label(row.mode, row.get_mode_display(), MODES)

    @admin.display(description=_("the rules and their parameters"))
    def about(self, row: RuleSetting) -> SafeString:
        return format_html_join(
            mark_safe("<br>"),
            "<b>{}</b>: {} {}",
            (
                (code, kind.about, ", ".join(f"{p.name}={p.default}" for p in kind.parameters))
                for code, kind in sorted(rules.RULES.items())
            ),
        )


@admin.register(GateSetting)
class GateSettingAdmin(SignedAdmin):
    list_display = (
        "__str__",
        "challenge_at",
        "deny_at",
        "difficulty",
        "pass_minutes",
        "updated_by",
        "updated_at",
    )
    fields = (
        "challenge_at", "deny_at", "difficulty", "pass_minutes", "reason", "updated_by", "updated_at",
    )  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not GateSetting.objects.exists()


class ListEntryForm(forms.ModelForm):
    class Meta:
        model = ListEntry
        fields = ("kind", "subject", "value", "reason", "expires_at")

    def clean(self) -> dict[str, Any]:
        """The value in the form in which it is stored; a secret one is never stored as it was typed."""
        data: dict[str, Any] = super().clean() or {}
        if data.get("subject") and data.get("value"):
            try:
                data["value"], self.instance.hint = lists.stored(data["subject"], data["value"])
            except lists.BadValue:
                raise ValidationError({"value": _("This is no value of that kind.")}) from None
        return data


@admin.register(ListEntry)
class ListEntryAdmin(ModelAdmin):
    """Entries are added and taken off; to change one's value, take it off and add another."""

    form = ListEntryForm
    list_display = ("kind", "subject", "shown", "reason", "expires_at", "added_by", "added_at")
    list_filter = ("kind", "subject")
    search_fields = ("value__exact", "hint__exact", "reason")
    ordering = ("-pk",)
    fields = ("kind", "subject", "value", "reason", "expires_at")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            kwargs["form"] = forms.ModelForm  # what is stored must not be sealed again
        return super().get_form(request, obj, change=change, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("kind", "subject", "value", "added_by", "added_at") if obj else ()

    def save_model(self, request: HttpRequest, obj: ListEntry, form: Any, change: bool) -> None:
        obj.added_by = obj.added_by or request.user.get_username()
        super().save_model(request, obj, form, change)

    @admin.display(description=_("value"))
    def shown(self, entry: ListEntry) -> str:
        return entry.hint if entry.subject in SEALED_SUBJECTS else entry.value


@admin.register(LimitSetting)
class LimitSettingAdmin(SignedAdmin):
    list_display = (
        "route",
        "scope",
        "show",
        "limit",
        "window_ms",
        "if_away",
        "is_on",
        "updated_by",
        "updated_at",
    )
    list_filter = ("route", "scope", "is_on")
    search_fields = ("show",)
    fields = (
        "route", "scope", "show", "limit", "window_ms", "if_away", "is_on", "reason", "updated_by", "updated_at",
    )  # fmt: skip


@admin.register(ThresholdSetting)
class ThresholdSettingAdmin(SignedAdmin):
    """What is in force, and beside it what both estimates say."""

    list_display = (
        "group",
        "is_on",
        "source",
        "in_force",
        "concurrency",
        "by_window",
        "by_log",
        "updated_by",
    )
    readonly_fields = ("by_window", "by_log", "updated_by", "updated_at")
    fields = (
        "group", "is_on", "source", "tps", "concurrency", "share_percent", "by_window", "by_log", "reason",
        "updated_by", "updated_at",
    )  # fmt: skip

    @admin.display(description=_("requests a second in force"))
    def in_force(self, row: ThresholdSetting) -> str:
        tps = policy.threshold_of(row).tps if row.is_on else None
        return f"{tps:.1f}" if tps else staff.NOTHING

    @admin.display(description=Source.WINDOW.label)
    def by_window(self, row: ThresholdSetting) -> SafeString | str:
        return _estimate(row, Source.WINDOW)

    @admin.display(description=Source.ACCESS_LOG.label)
    def by_log(self, row: ThresholdSetting) -> SafeString | str:
        return _estimate(row, Source.ACCESS_LOG)


def _estimate(row: ThresholdSetting, source: Source) -> SafeString | str:
    seen = ThresholdEstimate.objects.filter(group=row.group, source=source).order_by("-at").first()
    if seen is None:
        return staff.NOTHING
    text = (
        f"{seen.tps:.1f}/s = {seen.concurrency:.1f} ÷ {seen.latency_ms:.0f} ms; now {seen.measured_tps:.1f}/s"
    )
    return format_html("{}<br><small>{}</small>", text, staff.moment(seen.at))


@admin.register(Judgement)
class JudgementAdmin(LookOnlyAdmin):
    list_display = ("when", "purpose", "shown_verdict", "score", "why", "who", "show", "address")
    list_filter = ("purpose", "verdict", staff.since("at"))
    search_fields = ("buyer_id__exact", "address__exact", "show__exact", "request_id__exact")
    fields = (
        "when", "purpose", "shown_verdict", "score", "why", "who", "show", "address", "device", "request_id",
    )  # fmt: skip

    @admin.display(description=_("time"), ordering="at")
    def when(self, row: Judgement) -> str:
        return staff.moment(row.at)

    @admin.display(description=_("verdict"), ordering="verdict")
    def shown_verdict(self, row: Judgement) -> SafeString:
        return staff.label(row.verdict, row.verdict, VERDICTS)

    @admin.display(description=_("buyer"))
    def who(self, row: Judgement) -> SafeString | str:
        return staff.buyer(row.buyer_id) if row.buyer_id else staff.NOTHING

    @admin.display(description=_("reasons"))
    def why(self, row: Judgement) -> SafeString | str:
        return staff.listed(
            format_html(
                "<b>{}</b> {} ({}{})",
                reason["code"],
                reason["message"],
                reason["weight"],
                "" if reason["acted"] else ", shadow",
            )
            for reason in row.reasons
        )
