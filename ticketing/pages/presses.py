"""
Pay, check, status: what a purchase's page presses and asks, the same for an order and a top-up. The address says which
(`kind`); whose it is, the cashier finds out.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from ticketing.pages import cashier
from ticketing.pages.answers import personal


def purchase(kind: str, number: str) -> cashier.Purchase:
    """The addresses are named after the kind: `order`, `order-pay`, …"""
    return cashier.Purchase(
        kind=kind,
        number=number,
        page=reverse(kind, args=[number]),
        pay=reverse(f"{kind}-pay", args=[number]),
        check=reverse(f"{kind}-check", args=[number]),
        status=reverse(f"{kind}-status", args=[number]),
    )


@personal
@require_POST
def pay(request: HttpRequest, number: str, kind: str) -> HttpResponse:
    return cashier.press_pay(request, purchase(kind, number))


@personal
@require_POST
def check(request: HttpRequest, number: str, kind: str) -> HttpResponse:
    return cashier.press_check(request, purchase(kind, number))


@personal
@require_safe
def status(request: HttpRequest, number: str, kind: str) -> HttpResponse:
    return cashier.status(request, purchase(kind, number))
