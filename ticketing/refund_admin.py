"""
Refunds for the staff: a rule's ladder until its sale opens; an order's refund, previewed and then confirmed with a
reason; what was refunded, to look at. Above `REFUND_ALONE_MAX_MINOR` it is asked for, and another person approves.
"""

from __future__ import annotations

import uuid
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.models import User
from basis import staff
from basis.staff import LookOnlyAdmin, LookOnlyInline
from payments.models import ChannelCode
from risk.gate_web import address_of
from ticketing import refund_preview, refund_terms, refunding, second_person
from ticketing.models import Order, RefundedSeat, RefundPolicy, RefundRequest, RefundStep
from ticketing.refund_models import SeatsAfter
from ticketing.second_person import Maker, WantedRefund
from wallet.admin import amount
from wallet.journal import kind_name
from wallet.money import Money

REFUND = "ticketing.refund_order"
WHY = {
    "not_paid": _("The order took no money."),
    "no_tickets": _("The order has no such tickets."),
    "no_such_ticket": _("The order has no such tickets."),
    "ticket_used": _("A ticket was used already: refund money alone, without the ticket."),
    "ticket_void": _("A ticket is void already."),
    "too_much": _("That much is not left of the payment."),
    "stale": _("Something has changed since the preview. Nothing was done; please look again."),
    "needs_approval": _("Two people are needed for so much: ask for approval, and another person decides."),
    "same_person": _("The one who approves must be another person."),
}


class LadderFormSet(BaseInlineFormSet):
    """All steps together."""

    def clean(self) -> None:
        super().clean()
        kept = [form.cleaned_data for form in self.forms if getattr(form, "cleaned_data", None)]
        steps = [
            (one["hours_before"], one["percent_back"])
            for one in kept
            if not one.get("DELETE") and "hours_before" in one and "percent_back" in one
        ]
        if fault := refund_terms.faults(steps):
            raise ValidationError(fault)


class StepInline(TabularInline):
    model = RefundStep
    formset = LadderFormSet
    extra = 0
    fields = ("hours_before", "percent_back")


@admin.register(RefundPolicy)
class RefundPolicyAdmin(ModelAdmin):
    """Frozen once a phase of its sale has opened: buyers have bought under it."""

    list_display = ("event", "show", "ladder", "seats_after")
    list_select_related = ("event", "show")
    inlines = (StepInline,)
    fields = ("event", "show", "seats_after", "note_zh", "note_en")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("steps")

    def has_change_permission(self, request: HttpRequest, obj: RefundPolicy | None = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or not refund_terms.is_frozen(obj, now=timezone.now()))  # noqa: TID251 - a page

    def has_delete_permission(self, request: HttpRequest, obj: RefundPolicy | None = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and obj is not None and not refund_terms.is_frozen(obj, now=timezone.now())  # noqa: TID251 - a page

    @admin.display(description=_("steps of refund rules"))
    def ladder(self, policy: RefundPolicy) -> str:
        return ", ".join(str(step) for step in policy.steps.all())


class RefundedSeatInline(LookOnlyInline):
    model = RefundedSeat
    fields = ("ticket", "price", "back", "seat_after")

    @admin.display(description=_("price"))
    def price(self, seat: RefundedSeat) -> str:
        return amount(seat.price_minor, seat.request.currency)

    @admin.display(description=_("goes back"))
    def back(self, seat: RefundedSeat) -> str:
        return amount(seat.back_minor, seat.request.currency)


class RefundForm(forms.Form):
    """What staff want to refund. Amounts are in yuan."""

    tickets = forms.MultipleChoiceField(
        label=_("tickets that become void"), required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    amount = forms.DecimalField(
        label=_("amount that goes back (yuan)"),
        min_value=0,
        max_digits=12,
        decimal_places=2,
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
    )
    seats_after = forms.ChoiceField(
        label=_("what becomes of the seats"), choices=SeatsAfter.choices, widget=UnfoldAdminSelectWidget
    )
    reason = forms.CharField(label=_("reason"), max_length=200, widget=UnfoldAdminTextInputWidget)
    key = forms.CharField(max_length=64, widget=forms.HiddenInput)
    fingerprint = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)

    def __init__(self, order: Order, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tickets"].choices = [  # type: ignore[attr-defined]
            (ticket.number, f"{_place(ticket)} {ticket.number} {ticket.get_state_display()}")
            for ticket in order.tickets.select_related("seat__row__section").order_by("pk")
        ]

    @property
    def amount_minor(self) -> int:
        return int(self.cleaned_data["amount"] * 100)


def source_name(code: str) -> str:
    """Where money goes back to: a channel, or a part of the wallet."""
    return str(ChannelCode(code).label) if code in ChannelCode.values else kind_name(code)


def _place(ticket: Any) -> str:
    row = ticket.seat.row
    return f"{row.section.code}-{row.label}-{ticket.seat.label}"


@admin.register(RefundRequest)
class RefundRequestAdmin(LookOnlyAdmin):
    list_display = ("when", "of", "refund", "amount", "kept", "asked_by", "actor", "approved_by", "reason")
    list_filter = ("asked_by", staff.since("made_at"))
    list_select_related = ("order",)
    search_fields = ("order__number__exact", "refund_number__exact", "actor__exact")
    fields = (*list_display, "facts")
    inlines = (RefundedSeatInline,)

    def get_urls(self) -> list[Any]:
        make = self.admin_site.admin_view(self.make)
        return [path("of/<str:number>/", make, name="ticketing_refund_order"), *super().get_urls()]

    @admin.display(description=_("time"), ordering="made_at")
    def when(self, request: RefundRequest) -> str:
        return staff.moment(request.made_at)

    @admin.display(description=_("order"))
    def of(self, request: RefundRequest) -> SafeString | str:
        return staff.thing(request.order)

    @admin.display(description=_("refund"))
    def refund(self, request: RefundRequest) -> SafeString | str:
        return staff.number(request.refund_number)

    @admin.display(description=_("goes back"), ordering="amount_minor")
    def amount(self, request: RefundRequest) -> str:
        return amount(request.amount_minor, request.currency)

    @admin.display(description=_("kept"), ordering="kept_minor")
    def kept(self, request: RefundRequest) -> str:
        return amount(request.kept_minor, request.currency)

    def make(self, request: HttpRequest, number: str) -> HttpResponse:
        """Choose, preview, confirm: each a post of the same form; only the last one does anything."""
        if not request.user.has_perm(REFUND):
            raise PermissionDenied
        order = get_object_or_404(Order.objects.select_related("show", "tier"), number=number)
        form = RefundForm(order, request.POST or None, initial=self._initial(order))
        seen = None
        if request.method == "POST" and form.is_valid():
            if "confirm" in request.POST:
                return self._confirm(request, order, form)
            if "ask" in request.POST:
                return self._ask(request, order, form)
            seen = self._seen(request, order, form)
        return self._page(request, order, form, seen)

    def _initial(self, order: Order) -> dict[str, Any]:
        return {"key": str(uuid.uuid4()), "seats_after": SeatsAfter.FREE}

    def _seen(self, request: HttpRequest, order: Order, form: RefundForm) -> refund_preview.Preview | None:
        said = form.cleaned_data
        try:
            return refund_preview.preview(
                order,
                tickets=said["tickets"],
                amount_minor=form.amount_minor,
                actor=request.user.get_username(),
                seats_after=said["seats_after"],
                now=timezone.now(),  # noqa: TID251 - a page
            )
        except refunding.NotRefundable as error:
            form.add_error(None, str(WHY.get(error.reason, error.reason)))
            return None

    def _confirm(self, request: HttpRequest, order: Order, form: RefundForm) -> HttpResponse:
        said = form.cleaned_data
        try:
            made = refunding.by_staff(
                number=order.number,
                tickets=said["tickets"],
                amount_minor=form.amount_minor,
                reason=said["reason"],
                key=said["key"],
                actor=request.user.get_username(),
                seats_after=said["seats_after"],
                fingerprint=said["fingerprint"] or "none",
                now=timezone.now(),  # noqa: TID251 - a page
            )
        except (refunding.NotRefundable, refunding.KeyReused) as error:
            why = WHY.get(error.reason, error.reason) if isinstance(error, refunding.NotRefundable) else error
            form.add_error(None, str(why))
            return self._page(request, order, form, None)
        self.message_user(request, f"{_('refund')}: {made.refund_number}", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:ticketing_refundrequest_change", args=[made.pk]))

    def _ask(self, request: HttpRequest, order: Order, form: RefundForm) -> HttpResponse:
        """Above the limit of one person: nothing moves, another one is asked."""
        said = form.cleaned_data
        wanted = WantedRefund(
            order.number,
            said["tickets"],
            form.amount_minor,
            fingerprint=said["fingerprint"] or "none",
            seats_after=said["seats_after"],
        )
        user = cast(User, request.user)
        maker = Maker(user, said["reason"], f"refund:{said['key']}", address_of(request) or None)
        try:
            followed_at = second_person.ask(wanted, maker=maker, now=timezone.now())  # noqa: TID251 - a page
        except second_person.CannotAsk as error:
            form.add_error(None, str(error))
            return self._page(request, order, form, None)
        self.message_user(
            request, str(_("Asked for. Another person decides; nothing has moved yet.")), messages.SUCCESS
        )
        return HttpResponseRedirect(followed_at)

    def _page(
        self,
        request: HttpRequest,
        order: Order,
        form: RefundForm,
        seen: refund_preview.Preview | None,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{_('Refund')} {order.number}",
            "order": order,
            "form": form,
            "seen": seen,
            "why": WHY.get(seen.refusal, seen.refusal) if seen else "",
            "limit": Money(settings.REFUND_ALONE_MAX_MINOR, order.currency).text("zh_Hans_CN"),
            "money": {
                name: amount(minor, order.currency)
                for name, minor in (
                    ("back", seen.amount_minor),
                    ("left", seen.left_minor),
                    ("rule", seen.by_rule.back_minor),
                )
            }
            if seen
            else {},
            "sources": [
                (source_name(one.code), amount(one.amount_minor, order.currency)) for one in seen.sources
            ]
            if seen
            else [],
        }
        return TemplateResponse(request, "admin/ticketing/refund.html", context)
