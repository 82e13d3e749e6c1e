"""
A show that does not take place, for the staff: what cancelling it would do, the decision (or asking another person for
it), and how far giving everything back is. Each number leads to the rows behind it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.models import User
from basis import staff
from basis.staff import HistoryAdmin, HistoryInline, LookOnlyAdmin
from payments.models import ChannelCode
from risk.gate_web import address_of
from ticketing import cancel_sums, cancelling, second_person
from ticketing.cancel_models import CancellationEvent, CancellationState, ShowCancellation
from ticketing.cancel_sums import Progress
from ticketing.models import Show
from ticketing.second_person import Maker, WantedCancellation
from wallet.admin import amount

CANCEL = "ticketing.cancel_show"
AGAIN_S = 3
"""An open page looks again after so long, until all is back."""
STATES: dict[str, str] = {
    CancellationState.ENDING: staff.WAITING,
    CancellationState.RETURNING: staff.LOOK,
    CancellationState.DONE: staff.GOOD,
}
WORDS: Mapping[str, Any] = {
    cancel_sums.TO_ASK: _("still to be asked for"),
    cancel_sums.ON_THE_WAY: _("on their way"),
    cancel_sums.SILENT: _("without an answer, offered to the wallet"),
    cancel_sums.REFUSED: _("refused by the channel, offered to the wallet"),
    cancel_sums.TO_WALLET: _("going to the wallet instead"),
    cancel_sums.IN_WALLET: _("done, in the wallet instead"),
    cancel_sums.BACK: _("done, the way it came"),
}
WHY: Mapping[str, Any] = {
    "needs_approval": _("Two people are needed for so much: ask for approval, and another person decides."),
    "same_person": _("The one who approves must be another person."),
    "reason_missing": _("Say why, in a few words."),
}


class CancelForm(forms.Form):
    """Why a show is cancelled, and what its buyers are told."""

    reason = forms.CharField(
        label=_("reason (for the staff)"), min_length=2, max_length=200, widget=UnfoldAdminTextInputWidget
    )
    said_zh = forms.CharField(
        label=_("told to buyers (Chinese)"), max_length=300, required=False, widget=UnfoldAdminTextInputWidget
    )
    said_en = forms.CharField(
        label=_("told to buyers (English)"), max_length=300, required=False, widget=UnfoldAdminTextInputWidget
    )
    understood = forms.BooleanField(label=_("I have read what will happen. It cannot be taken back."))
    key = forms.CharField(max_length=64, widget=forms.HiddenInput)


class EventInline(HistoryInline):
    model = CancellationEvent


@admin.register(ShowCancellation)
class ShowCancellationAdmin(LookOnlyAdmin):
    list_display = ("show", "is_now", "progress", "when", "actor", "approved_by", "reason")
    list_filter = ("state",)
    list_select_related = ("show",)
    search_fields = ("show__code",)
    fields = ("show", "is_now", "when", "actor", "approved_by", "reason", "said_zh", "said_en", "foreseen")
    inlines = (EventInline,)
    change_form_template = "admin/ticketing/cancellation.html"

    def get_urls(self) -> list[Any]:
        make = self.admin_site.admin_view(self.make)
        return [path("of/<slug:code>/", make, name="ticketing_cancel_show"), *super().get_urls()]

    @admin.display(description=_("state"), ordering="state")
    def is_now(self, cancelled: ShowCancellation) -> SafeString:
        return staff.label(cancelled.state, cancelled.get_state_display(), STATES)

    @admin.display(description=_("time"), ordering="cancelled_at")
    def when(self, cancelled: ShowCancellation) -> str:
        return staff.moment(cancelled.cancelled_at)

    @admin.display(description=_("money back"))
    def progress(self, cancelled: ShowCancellation) -> str:
        seen = cancel_sums.of(cancelled)
        return f"{seen.back} / {seen.total}"

    @admin.display(description=_("what was foreseen"))
    def foreseen(self, cancelled: ShowCancellation) -> SafeString | str:
        """What who decided was shown."""
        return staff.listed(_foreseen(cancelled.expected))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """How far it is; everything that is stored stands below."""
        found = get_object_or_404(ShowCancellation.objects.select_related("show"), pk=object_id)
        seen = cancel_sums.of(found)
        shown = {
            "seen": seen,
            "sums": [_shown(seen, one) for one in seen.sums],
            "cancelled": found,
            "again_s": AGAIN_S if found.state != CancellationState.DONE else 0,
            "state_label": self.is_now(found),
        }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})

    def make(self, request: HttpRequest, code: str) -> HttpResponse:
        """Look, then decide or ask for approval: only a post with its tick does anything."""
        if not request.user.has_perm(CANCEL):
            raise PermissionDenied
        show = get_object_or_404(Show.objects.select_related("event", "venue"), code=code)
        known = ShowCancellation.objects.filter(show=show).first()
        if known is not None:
            return HttpResponseRedirect(_page_of(known))
        form = CancelForm(request.POST or None, initial={"key": str(uuid.uuid4())})
        if request.method == "POST" and form.is_valid():
            done = (
                self._ask(request, show, form) if "ask" in request.POST else self._cancel(request, show, form)
            )
            if done is not None:
                return done
        return self._page(request, show, form)

    def _cancel(self, request: HttpRequest, show: Show, form: CancelForm) -> HttpResponse | None:
        said = form.cleaned_data
        try:
            made = cancelling.cancel(
                code=show.code,
                reason=said["reason"],
                actor=request.user.get_username(),
                said_zh=said["said_zh"],
                said_en=said["said_en"],
                now=timezone.now(),  # noqa: TID251 - a page
            )
        except cancelling.NotCancellable as error:
            form.add_error(None, str(WHY.get(error.reason, error.reason)))
            return None
        return HttpResponseRedirect(_page_of(made))

    def _ask(self, request: HttpRequest, show: Show, form: CancelForm) -> HttpResponse | None:
        said = form.cleaned_data
        wanted = WantedCancellation(show.code, said["said_zh"], said["said_en"])
        maker = Maker(
            cast(User, request.user), said["reason"], f"cancel:{said['key']}", address_of(request) or None
        )
        try:
            followed_at = second_person.ask(wanted, maker=maker, now=timezone.now())  # noqa: TID251 - a page
        except second_person.CannotAsk as error:
            form.add_error(None, str(error))
            return None
        text = _("Asked for. Another person decides; nothing has moved yet.")
        self.message_user(request, str(text), messages.SUCCESS)
        return HttpResponseRedirect(followed_at)

    def _page(self, request: HttpRequest, show: Show, form: CancelForm) -> HttpResponse:
        seen = cancelling.preview(show.code)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{_('Cancel the show')} {show.code}",
            "show": show,
            "form": form,
            "seen": seen,
            "paid": [
                (ChannelCode(one.channel).label, one.orders, amount(one.amount_minor, one.currency))
                for one in seen.paid
            ],
            "total": ", ".join(amount(minor, currency) for currency, minor in seen.sums.items()),
        }
        return TemplateResponse(request, "admin/ticketing/cancel_show.html", context)


def _foreseen(expected: Mapping[str, Any]) -> Iterator[str]:
    for one in expected.get("by_channel", []):
        yield gettext("%(money)s of %(orders)s orders goes to: %(channel)s") % {
            "money": amount(one["amount_minor"], one["currency"]),
            "orders": one["orders"],
            "channel": ChannelCode(one["channel"]).label,
        }
    yield f"{gettext('tickets that become void')}: {expected.get('tickets', 0)}"
    yield f"{gettext('unpaid orders that end')}: {expected.get('open_orders', 0)}"
    yield f"{gettext('people in the waiting room')}: {expected.get('waiting', 0)}"


def _page_of(cancelled: ShowCancellation) -> str:
    return reverse("admin:ticketing_showcancellation_change", args=[cancelled.pk])


def _shown(seen: Progress, one: cancel_sums.Sum) -> dict[str, Any]:
    """A sum in words, with the address of its rows."""
    code = seen.cancelled.show.code
    if one.code == cancel_sums.TO_ASK:
        of_show = urlencode({"show__id__exact": seen.cancelled.show_id, "state__exact": "paid"})
        rows = f"{reverse('admin:ticketing_order_changelist')}?{of_show}"
    else:
        query = urlencode({"of_show": code, **one.query})
        rows = f"{reverse('admin:payments_refund_changelist')}?{query}"
    return {
        "code": one.code,
        "words": WORDS[one.code],
        "count": one.count,
        "money": amount(one.amount_minor, one.currency),
        "rows": rows,
    }


class Cancelling:
    """For the pages of shows: whether one is cancelled, or the way to it."""

    @admin.display(description=_("takes place"))
    def takes_place(self, show: Show) -> SafeString | str:
        if show.cancelled_at:
            found = ShowCancellation.objects.filter(show=show).first()
            return staff.thing(found, _("cancelled")) if found else str(_("cancelled"))
        address = reverse("admin:ticketing_cancel_show", args=[show.code])
        return format_html('<a href="{}" class="text-primary-600">{}</a>', address, _("Cancel the show…"))


class CancellationEventAdmin(HistoryAdmin):
    subject = "cancellation"

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("cancellation__show__code__exact",)


admin.site.register(CancellationEvent, CancellationEventAdmin)
