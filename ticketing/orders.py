"""
Placing and ending orders. An order holds its seats from the first moment, and every end of it frees them.

Locks (docs/locks.md): the order, or the tier for an order that does not exist yet; then the payment; then accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from accounts.models import User
from basis import columns, numbers, prepared
from basis.built import Built
from payments import settle
from risk import switches
from ticketing import phases, seats
from ticketing.models import ORDER_LIFECYCLE, Order, OrderState, PriceTier, SalePhase

PURCHASE = "order"


class NoSuchTier(Exception):
    """The show has no such price tier, or is not published."""


class BadQuantity(Exception):
    """An order is for 1 to `ORDER_QUANTITY_MAX` seats."""


class KeyReused(Exception):
    """The client's key belongs to another order of this buyer, placed for something else."""


class NotCancellable(Exception):
    """The order is paid or closed already."""


def place_order(
    *,
    buyer: User,
    client_key: str,
    tier_id: int,
    tier: PriceTier | None = None,
    quantity: int,
    seat_ids: Sequence[int] = (),
    accept_equal_seats: bool = False,
    now: datetime,
) -> Order:
    """
    Hold the best `quantity` seats of a tier, or exactly `seat_ids`, for `ORDER_HOLD`. The same `client_key` of the same
    buyer returns the same order. `tier` spares a query where the caller has just found it, published and with its show.

    :raises NoSuchTier: see there
    :raises BadQuantity: see there
    :raises KeyReused: see there
    :raises ticketing.phases.NotOnSale: no phase is open
    :raises ticketing.phases.SaleStopped: staff have stopped the sale
    :raises ticketing.phases.NotEligible: the phase is not for this buyer
    :raises ticketing.phases.LimitReached: the buyer has too many seats
    :raises ticketing.seats.SoldOut: the tier has too few free seats
    :raises ticketing.seats.SeatsTaken: a chosen seat is gone
    """
    wanted = list(dict.fromkeys(seat_ids))
    quantity = len(wanted) or quantity
    if not 1 <= quantity <= settings.ORDER_QUANTITY_MAX:
        raise BadQuantity(quantity)
    try:
        tier = tier or _published(tier_id)
        if tier.show.cancelled_at or switches.stopped(switches.SALE, tier.show.code):
            raise phases.SaleStopped(tier.show.code)
        phase = phases.open_phase(tier.show_id, now=now)
        phases.check_eligible(phase, buyer, now=now)
        order = Order(
            number=numbers.new_number(numbers.ORDER, now),
            buyer=buyer,
            client_key=client_key,
            show_id=tier.show_id,
            phase=phase,
            tier=tier,
            quantity=quantity,
            amount_minor=tier.price_minor * quantity,
            currency=tier.currency,
            accept_equal_seats=accept_equal_seats,
            placed_at=now,
            hold_until=now + settings.ORDER_HOLD,
            hold_limit=now + max(settings.ORDER_HOLD, settings.ORDER_HOLD_LIMIT),
        )
        _place(order, phase, wanted)
    except (*REFUSED, _KeyTaken):
        # Nobody looks for the key before: a sale places a thousand orders for each one that is asked for again.
        known = _known(buyer.pk, client_key)
        if known is None:
            raise
        return _same(known, tier_id, quantity, wanted)
    return order


REFUSED = (
    NoSuchTier,
    phases.NotOnSale,
    phases.SaleStopped,
    phases.NotEligible,
    phases.LimitReached,
    seats.SoldOut,
    seats.SeatsTaken,
)


class _KeyTaken(Exception):
    """The buyer's key has an order by now; nothing was written."""


def _published(tier_id: int) -> PriceTier:
    found = PriceTier.objects.filter(pk=tier_id, show__event__published=True).select_related("show").first()
    if found is None:
        raise NoSuchTier(tier_id)
    return found


ORDER = Built(Order, alias="o")
KNOWN = f"SELECT {ORDER.columns} FROM ticketing_order o WHERE buyer_id = %s AND client_key = %s"  # noqa: S608


def _known(buyer_id: int, client_key: str) -> Order | None:
    found = prepared.row(KNOWN, [buyer_id, client_key])
    return ORDER.of(found) if found else None


def _same(order: Order, tier_id: int, quantity: int, wanted: list[int]) -> Order:
    given = set(order.order_seats.values_list("seat_id", flat=True)) if wanted else set()
    if (order.tier_id, order.quantity) != (tier_id, quantity) or not given.issuperset(wanted):
        raise KeyReused(order.client_key)
    return order


def _place(order: Order, phase: SalePhase, wanted: list[int]) -> None:
    """Take the seats and write the order."""
    with transaction.atomic():
        phases.take_allowance(phase, order.buyer_id, order.quantity)
        seats.lock_tier(order.tier_id)
        chosen = wanted or seats.best_available(order.tier_id, order.quantity)
        seats.check_held(chosen, _write(order, chosen, reason="placed"))


def _write(order: Order, chosen: list[int], *, reason: str) -> list[int | None]:
    """
    Write the order with its seats; those of them that were free.

    :raises _KeyTaken: see there; waits for a concurrent twin to commit or give up
    """
    rows = prepared.rows(PLACE, _values(order, chosen) | {"reason": reason})
    if not rows:
        raise _KeyTaken
    order.pk, order._state.adding = rows[0][0], False
    return [seat_id for _, seat_id in rows]


# The order, its seats, what it remembers of them, and its first event; the same rows as the rush's batches write.
PLACE = """
WITH placed AS (
  INSERT INTO ticketing_order (number, buyer_id, client_key, show_id, phase_id, tier_id, quantity, amount_minor,
                               currency, state, accept_equal_seats, winner, placed_at, hold_until, hold_limit)
  VALUES (%(number)s, %(buyer)s, %(key)s, %(show)s, %(phase)s, %(tier)s, %(quantity)s, %(amount)s,
          %(currency)s, 'held', %(equal)s, '', %(now)s, %(hold_until)s, %(hold_limit)s)
  ON CONFLICT (buyer_id, client_key) DO NOTHING
  RETURNING id, quantity, placed_at
), held AS (
  UPDATE ticketing_seat seat SET state = 'H', order_id = placed.id FROM placed
   WHERE seat.id = ANY(%(seats)s::bigint[]) AND seat.tier_id = %(tier)s AND seat.state = 'F'
  RETURNING seat.id
), kept AS (
  INSERT INTO ticketing_orderseat (order_id, seat_id, price_minor)
  SELECT placed.id, given.id, %(price)s::bigint FROM placed, unnest(%(seats)s::bigint[]) AS given(id)
), told AS (
  INSERT INTO ticketing_orderevent (order_id, from_state, to_state, at, reason, actor, facts)
  SELECT id, '', 'held', placed_at, %(reason)s, '', jsonb_build_object('seats', quantity) FROM placed
)
SELECT placed.id, held.id FROM placed LEFT JOIN held ON true
"""


def _values(order: Order, chosen: list[int]) -> dict[str, Any]:
    return {
        "number": order.number,
        "buyer": order.buyer_id,
        "key": order.client_key,
        "show": order.show_id,
        "phase": order.phase_id,
        "tier": order.tier_id,
        "quantity": order.quantity,
        "amount": order.amount_minor,
        "currency": order.currency,
        "equal": order.accept_equal_seats,
        "now": order.placed_at,
        "hold_until": order.hold_until,
        "hold_limit": order.hold_limit,
        "price": order.tier.price_minor,
        "seats": columns.wholes(chosen),
    }


def remember_seats(order_id: int, seat_ids: list[int], price_minor: int) -> None:
    """Write down which seats the order was given, for good."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ticketing_orderseat (order_id, seat_id, price_minor)"
            " SELECT %s, unnest(%s::bigint[]), %s ON CONFLICT DO NOTHING",
            [order_id, seat_ids, price_minor],
        )


LOOK = f"SELECT {ORDER.columns} FROM ticketing_order o WHERE number = %s"  # noqa: S608


def look(number: str) -> Order | None:
    """The order as it is, without a lock."""
    found = prepared.row(LOOK, [number])
    return ORDER.of(found) if found else None


LOCK = f"SELECT {ORDER.columns} FROM ticketing_order o WHERE number = %s FOR NO KEY UPDATE"  # noqa: S608


def lock_order(number: str) -> Order:
    """
    The order with its row locked, the first lock of the caller's transaction.

    :raises ticketing.models.Order.DoesNotExist: there is none of this number
    """
    found = prepared.row(LOCK, [number])
    if found is None:
        raise Order.DoesNotExist(number)
    return ORDER.of(found)


def cancel(*, number: str, actor: str, now: datetime) -> Order:
    """
    The buyer gives the seats back. Trades in flight are closed; money that comes all the same is refunded. Repeatable.

    :raises NotCancellable: see there
    """
    with transaction.atomic():
        order = lock_order(number)
        if order.state == OrderState.CANCELLED:
            return order
        if not order.open:
            raise NotCancellable(order.state)
        close([order], to=OrderState.CANCELLED, reason="cancelled_by_buyer", actor=actor, now=now)
    return order


def close(orders: list[Order], *, to: OrderState, reason: str, actor: str = "", now: datetime) -> None:
    """End open orders, locked by the caller: free seats and allowances, and have their trades closed."""
    keys = [order.pk for order in orders]
    ORDER_LIFECYCLE.move_all(orders, to=to, at=now, reason=reason, actor=actor)
    seats.free(keys)
    phases.give_back_allowance(keys)
    settle.supersede_all(PURCHASE, [order.number for order in orders], now=now)
