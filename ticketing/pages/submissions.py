"""
A submission's page: it stands in line, a moment later it is an order, and the page becomes the order's. It asks by
itself: with JavaScript at the address that the edge answers, without it by reloading.
"""

from __future__ import annotations

import math
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from risk import signing
from ticketing.models import PriceTier, Show
from ticketing.pages import refusals, turns
from ticketing.pages.answers import SeeOther, buyer_of, personal
from ticketing.pages.refusals import Refusal
from ticketing.rush import pressing, receipts, submission

QUEUED, LOST, REFUSED = "queued", "lost", "refused"


@personal
@require_safe
def submitted(request: HttpRequest, receipt: str) -> HttpResponse:
    try:
        found = receipts.read(receipt)
    except signing.NotOurs as error:
        raise Http404 from error
    if found.buyer_id != buyer_of(request).pk:
        raise Http404
    told = submission.status(found.tier_id, found.order, buyer_id=found.buyer_id)
    if "order" in told:
        return SeeOther(reverse("order", args=[told["order"]]))
    tier = get_object_or_404(PriceTier.objects.select_related("show__event"), pk=found.tier_id)
    after_ms = pressing.poll_after_ms(told, now=timezone.now())
    context: dict[str, Any] = {
        "receipt": receipt,
        "tier": tier,
        "show": tier.show,
        "event": tier.show.event,
        "stage": {"queued": QUEUED, "unknown": LOST}.get(told["state"], REFUSED),
        "refusal": _refusal(told, tier.show, found.buyer_id),
        "after_ms": after_ms,
        "refresh_s": math.ceil(after_ms / 1000),
    }
    return render(request, "pages/submission.html", context)


def _refusal(told: dict[str, Any], show: Show, buyer_id: int) -> Refusal | None:
    if "reason" not in told:
        return None
    error = turns.error_of(told["reason"], show=show, buyer_id=buyer_id, now=timezone.now())
    return refusals.of_order(error)
