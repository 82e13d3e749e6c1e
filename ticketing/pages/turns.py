"""
Placing an order from a page, where the show is sold by turns too: the buyer's pass is in a cookie, and while a drainer
has the tier the order goes through the rush, so that pages and programs stand in one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from basis import fast
from risk import room_answers, switches
from risk.signing import Pass
from ticketing import admission, orders, phases, seats
from ticketing.models import Show
from ticketing.pages.answers import buyer_of
from ticketing.rush import receipts, submission
from ticketing.rush.receipts import Receipt


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the buyer pressed for. `tier_id` 0 is one that nobody sells."""

    tier_id: int
    client_key: str
    quantity: int
    seat_ids: Sequence[int] = ()
    accept_equal_seats: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """Whether a visitor may order now: `is_needed` in turn, and `until` when if it is his."""

    is_needed: bool
    until: datetime | None

    @property
    def is_missing(self) -> bool:
        return self.is_needed and self.until is None


def turn_of(request: HttpRequest, show: Show, *, now: datetime) -> Turn:
    """What the page shows; a pass that was used for one tier is good for the others."""
    if not admission.is_needed(show.code):
        return Turn(is_needed=False, until=None)
    if not request.user.is_authenticated:
        return Turn(is_needed=True, until=None)
    try:
        found = _pass_of(request, show)
    except admission.PassNeeded:
        return Turn(is_needed=True, until=None)
    until = datetime.fromtimestamp(found.expires_s, UTC) if found else None
    return Turn(is_needed=True, until=until if until and until > now else None)


def place(request: HttpRequest, show: Show, wanted: Wanted) -> str:
    """
    Place the order; the address where it goes on: the order's page, or the submission's while that is decided.

    :raises ticketing.admission.PassNeeded: see there
    :raises ticketing.admission.PassUsed: see there
    :raises Exception: what `ticketing.orders.place_order` raises, whichever way the order took
    """
    admitted = _pass_of(request, show)
    if admitted is not None and (receipt := _submitted(request, show, wanted, admitted)) is not None:
        return reverse("submission", args=[receipts.sign(receipt)])
    # No drainer has the tier, or the store does not say whether it took the order in: the same key is the same order.
    with admission.used(admitted, tier_id=wanted.tier_id, client_key=wanted.client_key, now=timezone.now()):
        order = orders.place_order(
            buyer=buyer_of(request),
            client_key=wanted.client_key,
            tier_id=wanted.tier_id,
            quantity=wanted.quantity,
            seat_ids=wanted.seat_ids,
            accept_equal_seats=wanted.accept_equal_seats,
            now=timezone.now(),
        )
    return reverse("order", args=[order.number])


def _pass_of(request: HttpRequest, show: Show) -> Pass | None:
    text = request.COOKIES.get(room_answers.PASS_COOKIE.format(show=show.code), "")
    return admission.shown(text, show=show.code, buyer_id=buyer_of(request).pk)


def _submitted(request: HttpRequest, show: Show, wanted: Wanted, admitted: Pass) -> Receipt | None:
    buyer, now = buyer_of(request), timezone.now()
    try:
        number = submission.submit(
            tier_id=wanted.tier_id,
            buyer_id=buyer.pk,
            client_key=wanted.client_key,
            quantity=wanted.quantity,
            seat_ids=wanted.seat_ids,
            accept_equal_seats=wanted.accept_equal_seats,
            admission=submission.Pass(admitted.nonce, admitted.expires_s * 1000),
            now=now,
        )
    except submission.Refused as refused:
        if refused.reason == "cold":
            return None
        raise error_of(refused.reason, show=show, buyer_id=buyer.pk, now=now) from refused
    except fast.FastStoreAway:
        return None
    return Receipt(wanted.tier_id, number, buyer.pk)


def error_of(reason: str, *, show: Show, buyer_id: int, now: datetime) -> Exception:
    """What `place_order` raises for that for which the rush has a word only; `Lost` for what it cannot explain."""
    if switches.stopped(switches.SALE, show.code):
        return phases.SaleStopped(show.code)
    try:
        phase = phases.open_phase(show.pk, now=now)
    except phases.NotOnSale as error:
        return error
    match reason:
        case "sold_out":
            return seats.SoldOut(show.code)
        case "seats_taken":
            return seats.SeatsTaken([])
        case "limit_reached":
            left = max(0, phase.per_buyer_limit - phases.taken(phase.pk, buyer_id))
            return phases.LimitReached(phase.per_buyer_limit, left)
        case "not_eligible":
            return phases.NotEligible(phase.eligibility)
        case "bad_quantity":
            return orders.BadQuantity(reason)
        case "key_reused":
            return orders.KeyReused(reason)
        case "pass_used":
            return admission.PassUsed(reason)
        case "sale_stopped" | "stopped":  # it was then, and goes on by now
            return phases.SaleStopped(show.code)
    return Lost(reason)


class Lost(Exception):
    """The order was not placed and nobody knows why; nothing was taken, and pressing again is safe."""
