"""Giving tickets back on the order's page: choose, see what goes back, confirm; and the offer of the wallet."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from payments import redirect
from payments.models import Refund
from ticketing import refund_terms, refunding
from ticketing.models import Order
from ticketing.pages.answers import SeeOther, buyer_of, personal
from ticketing.wording import amount, is_english

TICKETS_MAX = 100


@personal
@require_http_methods(["GET", "HEAD", "POST"])
def give_back(request: HttpRequest, number: str) -> HttpResponse:
    """Without tickets: the list to choose from. With some: what goes back, and the button. A post does it."""
    order = _mine(request, number)
    if request.method == "POST":
        return _give_back(request, order)
    return _page(request, order, request.GET.getlist("ticket")[:TICKETS_MAX], now=timezone.now())


def _mine(request: HttpRequest, number: str) -> Order:
    found = Order.objects.select_related("show__event", "show__venue", "tier")
    return get_object_or_404(found, number=number, buyer=buyer_of(request))


def _page(
    request: HttpRequest,
    order: Order,
    chosen: list[str],
    *,
    now: datetime,
    refusal: str = "",
    status: int = 200,
) -> HttpResponse:
    offered = refunding.quote(order, now=now)
    picked = refunding.quote(order, now=now, numbers=chosen) if chosen else None
    terms = refund_terms.terms_of(order.show)
    context: dict[str, Any] = {
        "order": order,
        "offered": offered,
        "picked": picked if picked and picked.lines and not picked.refusal else None,
        "chosen": chosen,
        "rule": rule_of(terms),
        "refusal": refusal or (said(offered.refusal) if offered.refusal else ""),
        "key": request.POST.get("key", "")[:100] or str(uuid.uuid4()),
    }
    return render(request, "pages/give_back.html", context, status=status)


def _give_back(request: HttpRequest, order: Order) -> HttpResponse:
    now, chosen = timezone.now(), request.POST.getlist("ticket")[:TICKETS_MAX]
    expected = request.POST.get("back", "")
    try:
        made = refunding.give_back(
            number=order.number,
            tickets=sorted(set(chosen)),
            expected_minor=int(expected)
            if expected.isascii() and expected.isdigit() and len(expected) < 18
            else -1,
            key=f"page:{request.POST.get('key', '')[:100]}",
            actor=f"buyer:{order.buyer_id}",
            now=now,
        )
    except refunding.NotRefundable as error:
        return _page(request, order, chosen, now=now, refusal=said(error.reason), status=409)
    except refunding.KeyReused:
        return _page(request, order, chosen, now=now, refusal=said("key_reused"), status=409)
    back = amount(made.amount_minor, made.currency)
    messages.success(request, _("Given back. %(amount)s is on its way to you.") % {"amount": back})
    return SeeOther(reverse("order", args=[order.number]))


def said(reason: str) -> str:
    """Why nothing was given back, to the buyer."""
    match reason:
        case "no_rule":
            return _("The organiser takes no tickets of this show back.")
        case "too_late":
            return _("The time to give tickets back is over.")
        case "show_cancelled":
            return _("The show does not take place: all of your money goes back by itself.")
        case "terms_changed":
            return _("Another amount goes back by now. Nothing was given back; please look again.")
        case "ticket_used":
            return _("A ticket that was used cannot be given back.")
        case "no_tickets" | "no_such_ticket" | "ticket_void":
            return _("Choose tickets that are still valid.")
        case "key_reused":
            return _("You have used this page already. Please look again.")
    return _("This order cannot be given back.")


def rule_of(terms: refund_terms.Terms | None) -> list[str]:
    """The published rule in the reader's words, the organiser's note included."""
    note = "" if terms is None else terms.note_en if is_english() else terms.note_zh
    return refund_terms.sentences(terms, note)


@personal
@require_POST
def to_wallet(request: HttpRequest, number: str, refund: str) -> HttpResponse:
    """The buyer takes the offer."""
    order = _mine(request, number)
    if not Refund.objects.filter(number=refund, payment__purchase_number=order.number).exists():
        raise Http404
    try:
        redirect.accept(number=refund, buyer_id=order.buyer_id, now=timezone.now())
    except redirect.NoSuchRefund:
        raise Http404 from None
    except redirect.NotOffered:
        messages.warning(request, _("The refund is done, or its channel works on it."))
    return SeeOther(reverse("order", args=[order.number]))
