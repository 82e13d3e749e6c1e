"""
The switchboard: what is stopped, and the switches. A throw is asked for on one page, confirmed with a reason on the
next, and written down for good.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from basis import staff
from basis.staff import LookOnly, LookOnlyAdmin
from risk import switches
from risk.switch_models import REASON_MAX, SAID_MAX, KillSwitch, Stoppable, SwitchEvent

THROW = "risk.throw_killswitch"
COLOURS = {"stop": staff.BAD, "resume": staff.GOOD}
EFFECTS = {
    Stoppable.SALE: _(
        "Nobody can place an order, nor submit one in a rush. Orders that hold seats can be paid until their time is"
        " over; tickets stay valid."
    ),
    Stoppable.CHANNEL: _(
        "Nobody can start a payment there. Payments under way are asked for and settled; refunds go on."
    ),
    Stoppable.TOPUPS: _(
        "Nobody can pay a top-up. Balances can be spent; money that comes all the same is credited."
    ),
    Stoppable.WITHDRAWALS: _("Nobody can take money out of the wallet. Balances stay and can be spent."),
}


class ThrowForm(forms.Form):
    """Why, what buyers are told, and that it is meant."""

    reason = forms.CharField(label=_("reason"), max_length=REASON_MAX, widget=UnfoldAdminTextInputWidget)
    said_zh = forms.CharField(
        label=_("told to buyers (Chinese)"),
        max_length=SAID_MAX,
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("Empty: a sentence of ours."),
    )
    said_en = forms.CharField(
        label=_("told to buyers (English)"),
        max_length=SAID_MAX,
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("Empty: a sentence of ours."),
    )
    meant = forms.BooleanField(label=_("Yes, do it now"), widget=UnfoldBooleanWidget)

    def __init__(self, *args: Any, stops: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not stops:
            del self.fields["said_zh"], self.fields["said_en"]


@admin.register(KillSwitch)
class KillSwitchAdmin(LookOnly, ModelAdmin):
    """One row for each thing that can be stopped; see risk.switches."""

    def get_urls(self) -> list[Any]:
        confirm = self.admin_site.admin_view(self.confirm)
        return [
            path("throw/<str:action>/<str:kind>/", confirm, name="risk_killswitch_throw"),
            path("throw/<str:action>/<str:kind>/<slug:target>/", confirm, name="risk_killswitch_throw"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        known = {(row.kind, row.target): row for row in KillSwitch.objects.all()}
        rows = [
            self._row(kind, code, str(name), known.get((kind, code)))
            for kind in Stoppable.values
            for code, name in switches.targets(kind)
        ]
        return self._page(
            request,
            "switches",
            rows=sorted(rows, key=lambda row: not row["is_stopped"]),
            trail=SwitchEvent.objects.select_related("switch").order_by("-pk")[:10],
            may_throw=request.user.has_perm(THROW),
        )

    def _row(self, kind: str, code: str, name: str, row: KillSwitch | None) -> dict[str, Any]:
        is_stopped = row is not None and row.is_stopped
        where = [("resume" if is_stopped else "stop"), kind, *([code] if code else [])]
        return {
            "what": Stoppable(kind).label,
            "name": name,
            "row": row,
            "is_stopped": is_stopped,
            "throw": reverse("admin:risk_killswitch_throw", args=where),
        }

    def confirm(self, request: HttpRequest, action: str, kind: str, target: str = "") -> HttpResponse:
        """What will happen; a post with a reason lets it happen."""
        if not request.user.has_perm(THROW):
            raise PermissionDenied
        names = dict(switches.targets(kind)) if kind in Stoppable.values else {}
        if action not in COLOURS or target not in names:
            raise Http404
        stops = action == "stop"
        form = ThrowForm(request.POST or None, stops=stops)
        if request.method == "POST" and form.is_valid():
            return self._throw(request, stops, kind, target, form.cleaned_data)
        return self._page(
            request,
            "switch_confirm",
            form=form,
            stops=stops,
            what=Stoppable(kind).label,
            name=names[target],
            effect=EFFECTS[Stoppable(kind)],
        )

    def _throw(
        self, request: HttpRequest, stops: bool, kind: str, target: str, said: dict[str, Any]
    ) -> HttpResponse:
        said.pop("meant")
        verb = switches.stop if stops else switches.resume
        try:
            verb(kind=kind, target=target, actor=request.user.get_username(), now=timezone.now(), **said)  # noqa: TID251 - a page
        except (switches.NoSuchTarget, switches.NoReason) as error:
            self.message_user(request, f"{_('not possible now')} ({error})", messages.WARNING)
        else:
            done = _("Stopped. Every process knows within seconds.") if stops else _("Resumed.")
            self.message_user(request, done, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:risk_killswitch_changelist"))

    def _page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts, "title": _("Kill switches")}
        return TemplateResponse(request, f"admin/risk/{template}.html", shared | context)


@admin.register(SwitchEvent)
class SwitchEventAdmin(LookOnlyAdmin):
    list_display = ("when", "did", "what", "actor", "reason")
    list_filter = ("action", "switch__kind", staff.since("at"))
    list_select_related = ("switch",)
    fields = (*list_display, "facts")

    @admin.display(description=_("time"), ordering="at")
    def when(self, event: SwitchEvent) -> str:
        return staff.moment(event.at)

    @admin.display(description=_("action"), ordering="action")
    def did(self, event: SwitchEvent) -> SafeString:
        return staff.label(event.action, event.get_action_display(), COLOURS)

    @admin.display(description=_("what"))
    def what(self, event: SwitchEvent) -> str:
        return f"{event.switch.get_kind_display()} {event.switch.target}".strip()
