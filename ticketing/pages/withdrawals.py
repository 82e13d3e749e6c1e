"""Cash out of the wallet: ask for it, and see what became of it."""

from __future__ import annotations

import uuid

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from payments import withdrawals
from payments.api_withdrawals import WHY
from payments.withdrawal_models import Owner, PayeeKind, Withdrawal
from ticketing.pages.answers import SeeOther, buyer_of, personal
from ticketing.pages.refusals import Refusal
from ticketing.pages.wallet import minor_of
from wallet import statement

ACCOUNT_MAX, NAME_MAX = 100, 60


@personal
@require_http_methods(["GET", "HEAD", "POST"])
def withdraw(request: HttpRequest) -> HttpResponse:
    """The form, and below it what was withdrawn before."""
    if request.method != "POST":
        return _page(request, _new_key())
    key = request.POST.get("client_key", "")[:100] or _new_key()
    payee = withdrawals.Payee(
        kind=request.POST.get("kind", ""),
        account="".join(request.POST.get("account", "").split())[:ACCOUNT_MAX],
        name=request.POST.get("name", "").strip()[:NAME_MAX],
    )
    buyer = buyer_of(request)
    try:
        made = withdrawals.request(
            owner_kind=Owner.BUYER,
            owner=str(buyer.pk),
            payee=payee,
            amount_minor=minor_of(request.POST.get("amount", "")),
            client_key=key,
            actor=f"buyer:{buyer.pk}",
            now=timezone.now(),
        )
    except (withdrawals.NotWithdrawable, withdrawals.KeyReused) as error:
        refusal = _refusal(error)
        return _page(request, _new_key() if refusal.code == "key_reused" else key, refusal)
    return SeeOther(reverse("withdrawal", args=[made.number]))


def _refusal(error: withdrawals.NotWithdrawable | withdrawals.KeyReused) -> Refusal:
    if isinstance(error, withdrawals.KeyReused):
        return Refusal("key_reused", _("You have asked for a withdrawal from this page already."))
    if error.reason == "stopped":
        text = _("Withdrawals are stopped for now. Nothing was taken; your money stays in the wallet.")
        return Refusal("stopped", text, 503)
    return Refusal(error.reason, str(WHY.get(error.reason, error.reason)))


def _new_key() -> str:
    return f"page:{uuid.uuid4()}"


def _page(request: HttpRequest, key: str, refusal: Refusal | None = None) -> HttpResponse:
    buyer = buyer_of(request)
    now = timezone.now()
    context = {
        "client_key": key,
        "refusal": refusal,
        "kinds": PayeeKind.choices,
        "typed": {
            name: request.POST.get(name, "")[:ACCOUNT_MAX] for name in ("amount", "kind", "account", "name")
        },
        "balances": statement.balances(buyer.pk),
        "left_today": withdrawals.left_today(Owner.BUYER, str(buyer.pk), now=now),
        "withdrawals": withdrawals.of_owner(Owner.BUYER, str(buyer.pk)),
    }
    return render(request, "pages/withdraw.html", context, status=refusal.status if refusal else 200)


@personal
@require_safe
def withdrawal(request: HttpRequest, number: str) -> HttpResponse:
    found = Withdrawal.objects.filter(
        number=number, owner_kind=Owner.BUYER, owner=str(buyer_of(request).pk)
    ).first()
    if found is None:
        raise Http404
    context = {"withdrawal": found, "events": found.events.order_by("-pk")}
    return render(request, "pages/withdrawal.html", context)
