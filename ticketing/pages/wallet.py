"""The buyer's wallet: what is in it, where it came from and went, and how to put more in."""

from __future__ import annotations

import uuid
from decimal import Decimal, InvalidOperation
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_safe

from ticketing.pages import cashier, refusals
from ticketing.pages.answers import SeeOther, buyer_of, personal, safe_next
from ticketing.pages.presses import purchase
from ticketing.pages.refusals import Refusal
from wallet import statement, topups

# In the session: the top-up made last, and the page of ours to go back to after it.
AFTER = "after_topup"
SUGGESTED_MINOR = (10_000, 50_000, 100_000, 200_000)
KINDS: dict[str, Any] = {
    "payment": _("Payment"),
    "refund": _("Refund"),
    "refund_requested": _("Refund"),
    "opening": _("Opening balance"),
    "red_packet": _("Red packet"),
    "topup": _("Top-up"),
    "withdrawal": _("Withdrawal"),
    "withdrawal_returned": _("Withdrawal that came back"),
}


@personal
@require_safe
def wallet(request: HttpRequest) -> HttpResponse:
    buyer = buyer_of(request)
    before = request.GET.get("before", "")
    lines = statement.entries(
        buyer.pk, before=int(before) if before.isascii() and before.isdigit() and len(before) < 18 else None
    )
    context = {
        "balances": statement.balances(buyer.pk),
        "entries": [(line, _kind(line), _link(line.reference)) for line in lines],
        "older": lines[-1].id if len(lines) == statement.PAGE else None,
        "is_first": not before,
    }
    return render(request, "pages/wallet.html", context)


def _kind(line: statement.StatementLine) -> str:
    if line.kind == "payment" and line.amount_minor > 0:
        return str(KINDS["topup"])
    return str(KINDS.get(line.kind.removesuffix(".reversal"), line.kind))


def _link(reference: str) -> str:
    """Every entry leads to what it was for."""
    match reference[:1]:
        case "K":
            return reverse("order", args=[reference])
        case "W":
            return reverse("topup", args=[reference])
        case "D":
            return reverse("withdrawal", args=[reference])
    return ""


@personal
@require_http_methods(["GET", "HEAD", "POST"])
def new_topup(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _form(request, request.GET.get("amount", ""), _new_key())
    text, key = request.POST.get("amount", ""), request.POST.get("client_key", "")[:100] or _new_key()
    try:
        topup = topups.request_topup(
            buyer_id=buyer_of(request).pk, client_key=key, amount_minor=minor_of(text), now=timezone.now()
        )
    except (topups.AmountOutOfBounds, topups.KeyReused) as error:
        refusal = refusals.of_topup(error)
        return _form(request, text, _new_key() if refusal.code == "key_reused" else key, refusal)
    back = safe_next(request, request.POST.get("next"), "")
    if back:
        request.session[AFTER] = {topup.number: back}
    return SeeOther(reverse("topup", args=[topup.number]))


def _new_key() -> str:
    return f"page:{uuid.uuid4()}"


def minor_of(text: str) -> int:
    """Yuan as typed, in fen; -1 for what is no amount, or has more than two decimals."""
    try:
        fen = Decimal(text.strip().lstrip("¥￥").replace(",", "")).scaleb(2)
        return int(fen) if fen.is_finite() and fen == fen.to_integral_value() else -1
    except (InvalidOperation, ValueError, OverflowError):
        return -1


def _form(request: HttpRequest, amount: str, key: str, refusal: Refusal | None = None) -> HttpResponse:
    back = safe_next(request, request.POST.get("next") or request.GET.get("next"), "")
    context = {
        "amount": amount[:20],
        "client_key": key,
        "refusal": refusal,
        "next": back,
        "suggested": [(minor // 100, minor) for minor in SUGGESTED_MINOR],
        "balances": statement.balances(buyer_of(request).pk),
    }
    return render(request, "pages/topup_new.html", context, status=refusal.status if refusal else 200)


@personal
@require_safe
def topup(request: HttpRequest, number: str) -> HttpResponse:
    found = topups.find(number)
    if found is None or found.buyer_id != buyer_of(request).pk:
        raise Http404
    now = timezone.now()
    desk = cashier.look(
        purchase("topup", number), buyer_id=found.buyer_id, came_back="back" in request.GET, now=now
    )
    if (wait := cashier.held_back(request, desk)) is not None:
        return wait
    context = {
        "topup": found,
        "cashier": desk,
        "heading": cashier.words(desk.stage),
        "next": request.session.get(AFTER, {}).get(number, ""),
        "now": now,
    }
    return render(request, "pages/topup.html", context)
