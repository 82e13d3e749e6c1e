"""
A batch of submissions of one tier becomes orders, in the order in which they were accepted, in one transaction.

The facts are those of `ticketing.orders.place_order`, written as sets. Locks: the lane, the buyers' allowances by id,
the tier. The copy of the hall may be behind (somebody ordered by the slow way, a worker died after its commit): the
counts of what was written say so, everything is rolled back, and the batch is decided again with a fresh copy and
against the orders that exist.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection, transaction

from basis import columns
from risk import policy, switches
from ticketing import seats
from ticketing.models import Invitation, PriceTier, SalePhase
from ticketing.rush import allowances, hall, known_orders, lanes
from ticketing.rush.messages import Submission

log = logging.getLogger(__name__)

TRIES = 5


class Surprise(Exception):
    """Postgres has something else than we believed; nothing was written."""


@dataclass(frozen=True, slots=True)
class Held:
    """The order has its seats."""

    order: str
    seat_ids: Sequence[int]
    places: Sequence[hall.Place]
    amount_minor: int
    currency: str
    hold_until: datetime
    state: str = "held"


@dataclass(frozen=True, slots=True)
class NotHeld:
    """
    `reason` as place_order's errors: sold_out, seats_taken, limit_reached, not_on_sale, sale_stopped, not_eligible,
    key_reused, failed.
    """

    reason: str


Answer = Held | NotHeld


@dataclass(slots=True)
class Lane:
    """What a drainer knows about the tier that it has."""

    tier: PriceTier
    fence: int
    phases: Sequence[SalePhase]
    hall: hall.Hall | None = None
    # The first batch of a lane may have been committed by another drainer.
    careful: bool = True
    looked_at: float = 0.0  # monotonic seconds of the last load of the hall

    @property
    def tier_id(self) -> int:
        return self.tier.pk


def allocate(lane: Lane, batch: Sequence[Submission], *, now: datetime) -> dict[str, Answer]:
    """
    Decide a batch; the answers by order number. When it returns, Postgres has committed them.

    :raises ticketing.rush.lanes.LaneLost: see there; nothing was decided
    """
    for _ in range(TRIES):
        try:
            with transaction.atomic(durable=True):
                lanes.keep(lane.tier_id, fence=lane.fence, now=now)
                answers = _Batch(lane, batch, now).decide()
            lane.careful = False
        except BaseException as error:
            # What was taken from the copy was not taken for good.
            lane.hall, lane.careful = None, True
            raced = isinstance(error, OperationalError) and lanes.lost_a_race(error)
            if not isinstance(error, Surprise) and not raced:
                raise
            log.info("rush.batch_again", extra={"tier": lane.tier_id, "why": str(error)})
        else:
            return answers
    raise Surprise(f"tier {lane.tier_id}: {TRIES} times")


class _Batch:
    """One try at a batch, inside its transaction."""

    def __init__(self, lane: Lane, batch: Sequence[Submission], now: datetime) -> None:
        self.lane, self.batch, self.now = lane, batch, now
        self.answers: dict[str, Answer] = {}
        self.placed: list[tuple[Submission, SalePhase, list[int]]] = []

    def decide(self) -> dict[str, Answer]:
        fresh, twins = self._once_each()
        if self.lane.careful:
            fresh = self._not_known(fresh)
        on_sale = self._on_sale(fresh)
        refused = allowances.take([(one, phase.pk, phase.per_buyer_limit) for one, phase in on_sale])
        self.answers |= dict.fromkeys(refused, NotHeld("limit_reached"))
        # Orders that come the slow way are the tier's writers too.
        seats.lock_tier(self.lane.tier_id)
        if self.lane.hall is None:
            self.lane.hall = hall.load(self.lane.tier_id)
        self._choose([(one, phase) for one, phase in on_sale if one.number not in refused])
        self._write()
        for twin, first in twins:
            self.answers[twin.number] = self.answers[first.number]
        return self.answers

    def _once_each(self) -> tuple[list[Submission], list[tuple[Submission, Submission]]]:
        """The submissions without repetitions, and those that repeat a key of this batch with their first one."""
        first: dict[tuple[int, str], Submission] = {}
        twins = []
        for one in self.batch:
            earlier = first.setdefault((one.buyer_id, one.client_key), one)
            if earlier is not one and earlier.number != one.number:
                twins.append((one, earlier))
        return list(first.values()), twins

    def _not_known(self, fresh: Sequence[Submission]) -> list[Submission]:
        """Leave out what has its order already, and buyers whom Postgres does not know or lets in no more."""
        found = known_orders.find(fresh, tier_id=self.lane.tier_id)
        for one in fresh:
            if one.number in found:
                known = found[one.number]
                self.answers[one.number] = Held(**known) if known else NotHeld("key_reused")
        people = known_orders.buyers(fresh)
        for one in fresh:
            if one.buyer_id not in people:
                self.answers[one.number] = NotHeld("not_eligible")
        return [one for one in fresh if one.number not in self.answers]

    def _on_sale(self, fresh: Sequence[Submission]) -> list[tuple[Submission, SalePhase]]:
        """The phase in which each was accepted, if its buyer may buy in it."""
        found = []
        show, denied = self.lane.tier.show, policy.current().lists
        if show.cancelled_at or switches.stopped(switches.SALE, show.code):
            self.answers |= dict.fromkeys((one.number for one in fresh), NotHeld("sale_stopped"))
            return []
        for one in fresh:
            phase = self._phase_at(one.at_ms) if show.event.published else None
            if denied.denies_buyer(one.buyer_id, now=self.now):
                self.answers[one.number] = NotHeld("not_eligible")
            elif phase is None:
                self.answers[one.number] = NotHeld("not_on_sale")
            elif not 1 <= one.quantity <= settings.ORDER_QUANTITY_MAX:
                self.answers[one.number] = NotHeld("bad_quantity")
            else:
                found.append((one, phase))
        strangers = _strangers(found, self.now)
        self.answers |= dict.fromkeys(strangers, NotHeld("not_eligible"))
        return [(one, phase) for one, phase in found if one.number not in strangers]

    def _phase_at(self, at_ms: int) -> SalePhase | None:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
        return next((phase for phase in self.lane.phases if phase.opens_at <= at < phase.closes_at), None)

    def _choose(self, wanted: Sequence[tuple[Submission, SalePhase]]) -> None:
        free = self.lane.hall
        if free is None:
            raise Surprise("no hall")
        unlucky = []
        for one, phase in wanted:
            if one.seat_ids:
                chosen = [] if free.take(one.seat_ids) else list(one.seat_ids)
            else:
                chosen = free.take_best(one.quantity)
            if chosen:
                self.placed.append((one, phase, chosen))
            else:
                self.answers[one.number] = NotHeld("seats_taken" if one.seat_ids else "sold_out")
                unlucky.append((one, phase.pk))
        allowances.give_back(unlucky)

    def _write(self) -> None:
        if not self.placed:
            return
        hold_until = self.now + settings.ORDER_HOLD
        with connection.cursor() as cursor:
            cursor.execute(PLACE, self._values(hold_until))
            orders, held = cursor.fetchone()
        wanted = sum(len(chosen) for _, _, chosen in self.placed)
        if (orders, held) != (len(self.placed), wanted):
            raise Surprise(f"{orders} of {len(self.placed)} orders, {held} of {wanted} seats")
        places, price = self.lane.hall.places, self.lane.tier.price_minor  # type: ignore[union-attr]
        for one, _, chosen in self.placed:
            self.answers[one.number] = Held(
                order=one.number,
                seat_ids=chosen,
                places=[places[seat_id] for seat_id in chosen],
                amount_minor=price * len(chosen),
                currency=self.lane.tier.currency,
                hold_until=hold_until,
            )

    def _values(self, hold_until: datetime) -> dict[str, Any]:
        tier, placed = self.lane.tier, self.placed
        return {
            "show": tier.show_id,
            "tier": tier.pk,
            "price": tier.price_minor,
            "currency": tier.currency,
            "now": self.now,
            "hold_until": hold_until,
            "hold_limit": self.now + max(settings.ORDER_HOLD, settings.ORDER_HOLD_LIMIT),
            "numbers": columns.texts(one.number for one, _, _ in placed),
            "buyers": columns.wholes(one.buyer_id for one, _, _ in placed),
            "keys": columns.texts(one.client_key for one, _, _ in placed),
            "phases": columns.wholes(phase.pk for _, phase, _ in placed),
            "quantities": columns.wholes(len(chosen) for _, _, chosen in placed),
            "equal": columns.wholes(one.accept_equal_seats for one, _, _ in placed),
            "seat_orders": columns.texts(one.number for one, _, chosen in placed for _ in chosen),
            "seats": columns.wholes(seat_id for _, _, chosen in placed for seat_id in chosen),
        }


# The rows of place_order: order, seats, seats of the order, event. Ids grow in the order of acceptance. A buyer whose
# account was shut meanwhile makes the counts differ, and the careful try leaves him out.
PLACE = """
WITH placed AS (
  INSERT INTO ticketing_order (number, buyer_id, client_key, show_id, phase_id, tier_id, quantity, amount_minor,
                               currency, state, accept_equal_seats, winner, placed_at, hold_until, hold_limit)
  SELECT d.number, d.buyer_id, d.client_key, %(show)s, d.phase_id, %(tier)s, d.quantity, d.quantity * %(price)s::bigint,
         %(currency)s, 'held', d.equal, '', %(now)s, %(hold_until)s, %(hold_limit)s
    FROM unnest(%(numbers)s::text[], %(buyers)s::bigint[], %(keys)s::text[], %(phases)s::bigint[],
                %(quantities)s::int[], %(equal)s::bool[])
         WITH ORDINALITY AS d(number, buyer_id, client_key, phase_id, quantity, equal, nth)
    JOIN accounts_user buyer ON buyer.id = d.buyer_id AND buyer.is_active
   ORDER BY d.nth
  ON CONFLICT DO NOTHING
  RETURNING id, number, quantity
), given AS (
  SELECT placed.id AS order_id, s.seat_id
    FROM unnest(%(seat_orders)s::text[], %(seats)s::bigint[]) AS s(number, seat_id) JOIN placed USING (number)
), held AS (
  UPDATE ticketing_seat seat SET state = 'H', order_id = given.order_id
    FROM given WHERE seat.id = given.seat_id AND seat.tier_id = %(tier)s AND seat.state = 'F'
  RETURNING seat.id
), kept AS (
  INSERT INTO ticketing_orderseat (order_id, seat_id, price_minor) SELECT order_id, seat_id, %(price)s FROM given
), told AS (
  INSERT INTO ticketing_orderevent (order_id, from_state, to_state, at, reason, actor, facts)
  SELECT id, '', 'held', %(now)s, 'placed', '', jsonb_build_object('seats', quantity) FROM placed ORDER BY id
)
SELECT (SELECT count(*) FROM placed), (SELECT count(*) FROM held)
"""


def _strangers(wanted: Sequence[tuple[Submission, SalePhase]], now: datetime) -> set[str]:
    """The order numbers whose buyers the phase is not for (ticketing.phases.check_eligible, for many)."""
    strangers: set[str] = set()
    for phase in {phase for _, phase in wanted if phase.eligibility != SalePhase.Eligibility.EVERYONE}:
        mine = [one for one, its in wanted if its == phase]
        welcome = _welcome(phase, {one.buyer_id for one in mine}, now)
        strangers |= {one.number for one in mine if one.buyer_id not in welcome}
    return strangers


def _welcome(phase: SalePhase, buyers: set[int], now: datetime) -> set[int]:
    from accounts.models import User

    if phase.eligibility == SalePhase.Eligibility.INVITED:
        invited = Invitation.objects.filter(phase=phase, buyer_id__in=buyers)
        return set(invited.values_list("buyer_id", flat=True))
    since = now - timedelta(days=phase.account_age_days)
    return set(User.objects.filter(pk__in=buyers, joined_at__lte=since).values_list("pk", flat=True))
