"""
The purchase handler of orders: what payments asks, and what it tells when money came, was late, or went back.

Late money (incident 3): the same seats if they are free; else, if the buyer allowed it, equal seats of the tier, or of
a better tier of the same price; else it goes back. One transaction decides, the settlement's own.
"""

from __future__ import annotations

from datetime import datetime
from typing import cast

from django.db import transaction

from payments import asking, money, refunds
from payments.purchases import NoSuchPurchase, Quote, Surplus, Won
from ticketing import orders, phases, seats, tickets
from ticketing.models import ORDER_LIFECYCLE, Order, OrderSeat, OrderState, PriceTier, RefundedSeat

REFUSALS = {
    OrderState.PAID: "paid",
    OrderState.REFUNDED: "refunded",
    OrderState.CANCELLED: "cancelled",
    OrderState.EXPIRED: "expired",
}


class OrderHandler:
    """See payments.purchases.PurchaseHandler."""

    def quote(self, number: str, *, now: datetime) -> Quote:
        order = orders.look(number)
        if order is None:
            raise NoSuchPurchase(number)
        return self.quote_locked(order, now=now)

    def lock(self, number: str) -> Order:
        return orders.lock_order(number)

    def quote_locked(self, purchase: object, *, now: datetime) -> Quote:
        order = cast(Order, purchase)
        refusal = REFUSALS.get(cast(OrderState, order.state), "")
        if not refusal and order.hold_until <= now:
            refusal = "expired"
        return Quote(
            buyer_id=order.buyer_id,
            amount_minor=order.amount_minor,
            currency=order.currency,
            subject=f"Tickets {order.number}",
            payable_until=order.hold_until,
            limit_until=order.hold_limit,
            refusal=refusal,
        )

    def payment_started(
        self, purchase: object, *, payment_number: str, expires_at: datetime, now: datetime
    ) -> None:
        order = cast(Order, purchase)
        hold_until = min(order.hold_limit, max(order.hold_until, expires_at))
        if order.state == OrderState.HELD:
            ORDER_LIFECYCLE.move(
                order,
                to=OrderState.PAYING,
                at=now,
                reason="payment_started",
                facts={"payment": payment_number, "held_until": hold_until.isoformat()},
                hold_until=hold_until,
            )
        else:
            Order.objects.filter(pk=order.pk).update(hold_until=hold_until)

    def payment_ended(self, purchase: object, *, payment_number: str, now: datetime) -> None:
        order = cast(Order, purchase)
        if order.state == OrderState.PAYING and not _in_flight(order, besides=payment_number):
            ORDER_LIFECYCLE.move(
                order, to=OrderState.HELD, at=now, reason="payment_ended", facts={"payment": payment_number}
            )

    def settle(self, purchase: object, *, payment_number: str, now: datetime) -> Won | Surplus:
        order = cast(Order, purchase)
        if order.winner:
            return (
                Won(money.guarantee(order.currency))
                if order.winner == payment_number
                else Surplus("paid_twice")
            )
        if order.state == OrderState.CANCELLED:
            return Surplus("cancelled")
        if order.open:
            seat_ids, how = seats.sell(order.pk), "paid"
        else:
            seat_ids, how = _seats_for_late_money(order)
            if not seat_ids:
                return Surplus("too_late")
        ORDER_LIFECYCLE.move(
            order,
            to=OrderState.PAID,
            at=now,
            reason=how,
            facts={"payment": payment_number},
            winner=payment_number,
        )
        tickets.issue(order, seat_ids, now=now)
        return Won(money.guarantee(order.currency))

    def refunded(self, purchase: object, *, payment_number: str, now: datetime) -> None:
        order = cast(Order, purchase)
        if order.state == OrderState.PAID and order.winner == payment_number:
            ORDER_LIFECYCLE.move(order, to=OrderState.REFUNDED, at=now, reason="refunded_in_full")
            tickets.void(order)
            seats.free([order.pk])
            phases.give_back_allowance([order.pk])

    def refunded_in_part(self, purchase: object, *, payment_number: str, now: datetime) -> None:
        """An order that gave back every seat, and whose money is all back that was to go back, is over."""
        order = cast(Order, purchase)
        if order.state == OrderState.PAID and order.winner == payment_number and _all_is_back(order):
            ORDER_LIFECYCLE.move(order, to=OrderState.REFUNDED, at=now, reason="refunded_less_fee")


def _all_is_back(order: Order) -> bool:
    given_back = RefundedSeat.objects.filter(request__order=order).count()
    return given_back == order.quantity and not refunds.under_way(order.winner)


def _in_flight(order: Order, *, besides: str) -> bool:
    return any(payment.number != besides for payment in asking.live_of(orders.PURCHASE, order.number))


def _seats_for_late_money(order: Order) -> tuple[list[int], str]:
    """Take seats for an order that closed before its money came; none if there is nothing to give."""
    try:
        with transaction.atomic():  # what was tried in vain is taken back
            phases.take_allowance(order.phase, order.buyer_id, order.quantity)
            same = list(OrderSeat.objects.filter(order=order).values_list("seat_id", flat=True))
            seats.lock_tier(order.tier_id)
            try:
                with transaction.atomic():
                    seats.sell_free(same, tier_id=order.tier_id, order_id=order.pk)
                return same, "paid_late_same_seats"
            except seats.SeatsTaken:
                if not order.accept_equal_seats:
                    raise
            return _equal_seats(order), "paid_late_equal_seats"
    except (phases.LimitReached, seats.SeatsTaken, seats.SoldOut):
        return [], ""


def _equal_seats(order: Order) -> list[int]:
    """
    The best free seats of the order's tier, or of a better one at the same price.

    :raises ticketing.seats.SoldOut: there are none
    """
    paid_each = order.amount_minor // order.quantity  # the tier's price may have changed since
    tiers = PriceTier.objects.filter(
        show_id=order.show_id,
        price_minor=paid_each,
        currency=order.currency,
        rank__lte=order.tier.rank,
    ).order_by("-rank")
    for tier in tiers:
        seats.lock_tier(tier.pk)
        try:
            found = seats.best_available(tier.pk, order.quantity)
        except seats.SoldOut:
            continue
        seats.sell_free(found, tier_id=tier.pk, order_id=order.pk)
        orders.remember_seats(order.pk, found, paid_each)
        return found
    raise seats.SoldOut(order.tier_id)
