"""The staff's desk at bounded channels: capacity and weights, and who waited how long."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from basis import staff
from basis.staff import LookOnlyAdmin
from payments import breaker, entry
from payments.entry_models import ChannelSetting, ChannelTurn
from payments.models import ChannelCode

CIRCUITS = {breaker.CLOSED: staff.GOOD, breaker.HALF_OPEN: staff.LOOK, breaker.OPEN: staff.BAD}


@admin.register(ChannelSetting)
class ChannelSettingAdmin(ModelAdmin):
    """In force within two seconds. The wallet is no channel over a network and cannot be bounded."""

    list_display = ("channel", "is_on", "calls_per_second", "in_flight", "max_wait_s", "waiting", "circuit")
    actions = ("close_circuit",)
    readonly_fields = ("updated_by", "updated_at")
    fieldsets = (
        (None, {"fields": ("channel", "is_on", "calls_per_second", "in_flight", "max_wait_s", "reason")}),
        (
            _("Head start"),
            {
                "fields": (
                    "vip_s",
                    "large_s",
                    "wallet_s",
                    "wallet_full_minor",
                    "amount_s",
                    "amount_full_minor",
                )
            },
        ),
        (_("Breaker"), {"fields": ("breaker_failures", "breaker_open_s")}),
        (None, {"fields": ("updated_by", "updated_at")}),
    )

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "channel":
            from django.forms import ChoiceField

            offered = [(code, label) for code, label in ChannelCode.choices if code != ChannelCode.WALLET]
            return ChoiceField(label=db_field.verbose_name, choices=offered)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: ChannelSetting, form: Any, change: bool) -> None:
        obj.updated_by, obj.updated_at = request.user.get_username(), timezone.now()  # noqa: TID251  # the staff's edge
        super().save_model(request, obj, form, change)

    @admin.display(description=_("waiting"))
    def waiting(self, row: ChannelSetting) -> int:
        return entry.waiting(row.channel).count()

    @admin.display(description=_("circuit"))
    def circuit(self, row: ChannelSetting) -> SafeString:
        found = breaker.state(row.channel)
        return staff.label(found, found, CIRCUITS)

    @admin.action(description=_("Close the circuit"), permissions=("change",))
    def close_circuit(self, request: HttpRequest, queryset: QuerySet[ChannelSetting]) -> None:
        for row in queryset.order_by("pk"):
            breaker.forget(row.channel)
        self.message_user(request, _("The next call is made."), messages.SUCCESS)


@admin.register(ChannelTurn)
class ChannelTurnAdmin(LookOnlyAdmin):
    list_display = ("channel", "number", "weight", "head_start_s", "queued", "due", "waited")
    list_filter = ("channel", staff.since("queued_at"))
    list_select_related = ("payment",)
    search_fields = ("payment__number__exact",)
    fields = ("channel", "number", "weight", "head_start_s", "queued", "due", "waited")

    @admin.display(description=_("payment"))
    def number(self, turn: ChannelTurn) -> SafeString | str:
        return staff.number(turn.payment.number)

    @admin.display(description=_("queued at"), ordering="queued_at")
    def queued(self, turn: ChannelTurn) -> str:
        return staff.moment(turn.queued_at)

    @admin.display(description=_("at the latest"), ordering="due_at")
    def due(self, turn: ChannelTurn) -> str:
        return staff.moment(turn.due_at)

    @admin.display(description=_("waited"))
    def waited(self, turn: ChannelTurn) -> str:
        if turn.left_at:
            return str(_("left unserved"))
        if turn.called_at is None:
            return str(_("waits"))
        return f"{(turn.called_at - turn.queued_at).total_seconds():.1f} s"
