"""
Placing and ending orders. An order holds its seats from the first moment, and every end of it frees them.

Locks (docs/locks.md): the order, or the tier for an order that does not exist yet; then the payment; then accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db import connection, transaction

from accounts.models import User
from basis import numbers
from payments import settle
from risk import switches
from ticketing import phases, seats
from ticketing.models import ORDER_LIFECYCLE, Order, OrderState, PriceTier

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
    known = Order.objects.filter(buyer=buyer, client_key=client_key).first()
    if known is not None:
        return _same(known, tier_id, quantity, wanted)
    if tier is None:
        tier = (
            PriceTier.objects.filter(pk=tier_id, show__event__published=True).select_related("show").first()
        )
    if tier is None:
        raise NoSuchTier(tier_id)
    if tier.show.cancelled_at or switches.stopped(switches.SALE, tier.show.code):
        raise phases.SaleStopped(tier.show.code)
    phase = phases.open_phase(tier.show_id, now=now)
    phases.check_eligible(phase, buyer, now=now)
    with transaction.atomic():
        phases.take_allowance(phase, buyer.pk, quantity)
        seats.lock_tier(tier.pk)
        chosen = wanted or seats.best_available(tier.pk, quantity)
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
        if not _insert(order):
            transaction.set_rollback(True)
        else:
            seats.hold(chosen, tier_id=tier.pk, order_id=order.pk)
            remember_seats(order.pk, chosen, tier.price_minor)
            ORDER_LIFECYCLE.begin(order, at=now, reason="placed", seats=len(chosen))
            return order
    # The same key twice at once: the other request was first.
    return _same(Order.objects.get(buyer=buyer, client_key=client_key), tier_id, quantity, wanted)


def _same(order: Order, tier_id: int, quantity: int, wanted: list[int]) -> Order:
    given = set(order.order_seats.values_list("seat_id", flat=True)) if wanted else set()
    if (order.tier_id, order.quantity) != (tier_id, quantity) or not given.issuperset(wanted):
        raise KeyReused(order.client_key)
    return order


def _insert(order: Order) -> bool:
    """Insert the order; False if the buyer's key exists by now. Waits for a concurrent twin to commit or give up."""
    fields = [field for field in Order._meta.local_concrete_fields if not field.primary_key]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO ticketing_order ({columns}) VALUES ({marks})"  # noqa: S608 (column names of our own model)
            " ON CONFLICT (buyer_id, client_key) DO NOTHING RETURNING id",
            [field.get_db_prep_save(getattr(order, field.attname), connection) for field in fields],
        )
        row = cursor.fetchone()
    if row is None:
        return False
    order.pk = row[0]
    order._state.adding = False
    return True


def remember_seats(order_id: int, seat_ids: list[int], price_minor: int) -> None:
    """Write down which seats the order was given, for good."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ticketing_orderseat (order_id, seat_id, price_minor)"
            " SELECT %s, unnest(%s::bigint[]), %s ON CONFLICT DO NOTHING",
            [order_id, seat_ids, price_minor],
        )


def lock_order(number: str) -> Order:
    """The order with its row locked, the first lock of the caller's transaction."""
    return Order.objects.select_for_update(of=("self",), no_key=True).get(number=number)


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
