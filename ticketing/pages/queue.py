"""The waiting room's page. It reloads itself without JavaScript; with it, only the numbers on it change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from basis import fast
from risk import room_answers, waiting_room
from risk.pages import gated
from risk.room_models import Room
from risk.signing import QueueNumber
from risk.waiting_room import Standing
from ticketing import admission
from ticketing.api_queue import forget, remember, shown_by
from ticketing.models import Order, PriceTier, Show
from ticketing.pages.answers import SeeOther, buyer_of, personal, unkept
from ticketing.rush import receipts
from ticketing.rush.receipts import Receipt

# What the page shows, besides a standing's own status.
NOT_IN, CLOSED, FULL, SOLD_OUT, AWAY = "not_in", "closed", "full", "sold_out", "away"
REFUSALS: dict[type[Exception], str] = {
    waiting_room.NotInside: NOT_IN,
    waiting_room.RoomClosed: CLOSED,
    waiting_room.RoomFull: FULL,
    waiting_room.SoldOut: SOLD_OUT,
    fast.FastStoreAway: AWAY,
}
STATUSES = {NOT_IN: 200, CLOSED: 200, SOLD_OUT: 200, FULL: 429, AWAY: 503}
NOBODY_JOINS = ("closed", "draining")
AGAIN_S = 20


@unkept
@require_http_methods(["GET", "HEAD", "POST"])
@gated("order", limited=False)
def queue(request: HttpRequest, code: str) -> HttpResponse:
    room = Room.objects.filter(show=code).first()
    show = Show.objects.filter(code=code, event__published=True).select_related("event", "venue").first()
    if room is None or show is None:
        raise Http404
    now = timezone.now()
    try:
        buyer_id, standing = _standing(request, code, now)
    except tuple(REFUSALS) as refusal:
        return _page(request, room, show, _stage_of(refusal, room), now=now)
    if request.method == "POST":
        response: HttpResponse = SeeOther(reverse("queue", args=[code]))
    else:
        response = _page(request, room, show, standing.status, standing, buyer_id=buyer_id, now=now)
    remember(response, code, room_answers.of(code, buyer_id, standing, now=now))
    return response


@personal
@require_POST
def leave(request: HttpRequest, code: str) -> HttpResponse:
    """The buyer's own place is given up; he is told so, whether he had one or not."""
    tiers = [tier.pk for tier in PriceTier.objects.filter(show__code=code)]
    response = SeeOther(reverse("queue", args=[code]))
    try:
        admission.leave(
            show=code,
            buyer_id=buyer_of(request).pk,
            shown=shown_by(request, code),
            tier_ids=tiers,
            now=timezone.now(),
        )
    except waiting_room.NoRoom as error:
        raise Http404 from error
    except fast.FastStoreAway:
        messages.warning(request, _("The server did not answer. You are still in line; please try again."))
        return response
    messages.success(request, _("You have left the line."))
    forget(response, code)
    return response


def _standing(request: HttpRequest, code: str, now: datetime) -> tuple[int, Standing]:
    """A post joins, a get asks; a signed number is enough to ask with."""
    shown = shown_by(request, code)
    if request.method == "POST" and request.user.is_authenticated:
        buyer_id = buyer_of(request).pk
        if "again" in request.POST:
            _give_up(code, buyer_id, shown, now)
        return buyer_id, waiting_room.join(show=code, buyer_id=buyer_id, shown=shown, now=now)
    if shown is None and not request.user.is_authenticated:
        raise waiting_room.NotInside(code)
    buyer_id = shown.buyer_id if shown else buyer_of(request).pk
    return buyer_id, waiting_room.poll(show=code, buyer_id=buyer_id, shown=shown, now=now)


def _give_up(code: str, buyer_id: int, shown: QueueNumber | None, now: datetime) -> None:
    """Whose turn has given what it can may stand in line once more, at its end."""
    standing = waiting_room.poll(show=code, buyer_id=buyer_id, shown=shown, now=now)
    admitted = waiting_room.pass_of(code, buyer_id, standing)
    if admitted is not None:
        admission.give_up(admitted, [tier.pk for tier in PriceTier.objects.filter(show__code=code)], now=now)


@dataclass(frozen=True, slots=True)
class Ordered:
    """What a turn was used for: a tier, and where its order or submission is shown."""

    tier: PriceTier
    url: str


def _ordered(show: Show, buyer_id: int, standing: Standing) -> tuple[list[Ordered], bool]:
    """What the buyer has ordered with this turn, and whether it is good for another tier."""
    admitted = waiting_room.pass_of(show.code, buyer_id, standing)
    if admitted is None:
        return [], False
    tiers = list(show.tiers.order_by("pk"))
    used = admission.used_for(admitted, [tier.pk for tier in tiers])
    ordered = [Ordered(tier, _where(tier, buyer_id, used[tier.pk])) for tier in tiers if tier.pk in used]
    return ordered, len(used) < len(tiers)


def _where(tier: PriceTier, buyer_id: int, mark: str) -> str:
    if mark.startswith("key:"):
        order = Order.objects.filter(buyer_id=buyer_id, client_key=mark.removeprefix("key:")).first()
        return reverse("order", args=[order.number]) if order else reverse("orders")
    return reverse("submission", args=[receipts.sign(Receipt(tier.pk, mark, buyer_id))])


def _stage_of(refusal: Exception, room: Room) -> str:
    stage = next(stage for kind, stage in REFUSALS.items() if isinstance(refusal, kind))
    return CLOSED if stage == NOT_IN and room.state in NOBODY_JOINS else stage


def _page(
    request: HttpRequest,
    room: Room,
    show: Show,
    stage: str,
    standing: Standing | None = None,
    *,
    buyer_id: int = 0,
    now: datetime,
) -> HttpResponse:
    refresh_s = math.ceil(standing.interval_ms / 1000) if standing else AGAIN_S
    ends = stage in {SOLD_OUT, "admitted"} or (stage == NOT_IN and room.drawn is not None)
    ordered, is_good = _ordered(show, buyer_id, standing) if standing else ([], False)
    context: dict[str, Any] = {
        "ordered": ordered,
        "is_good": is_good,
        # A number that came along may be somebody else's: looking is free, leaving is for its buyer.
        "can_leave": buyer_id == request.user.pk and (stage == "waiting" or is_good),
        "room": room,
        "show": show,
        "event": show.event,
        "stage": stage,
        "standing": standing,
        "wait": _wait(standing),
        "come": standing.place - standing.ahead if standing else 0,
        "ends_at": datetime.fromtimestamp(standing.expires_s, UTC)
        if standing and standing.expires_s
        else None,
        "refresh_s": 0 if ends else refresh_s,
        "now": now,
        "undrawn": room.drawn is None,
    }
    response = render(request, "pages/queue.html", context, status=STATUSES.get(stage, 200))
    if response.status_code in {429, 503}:
        response.headers["Retry-After"] = str(refresh_s)
    return response


def _wait(standing: Standing | None) -> tuple[int, int] | None:
    """Minutes, from and to; None while unknown."""
    if standing is None or standing.wait_high_s < 0:
        return None
    return max(1, standing.wait_low_s // 60), max(1, math.ceil(standing.wait_high_s / 60))
