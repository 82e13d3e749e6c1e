"""What a show's sale tells the pacer of its waiting room."""

from __future__ import annotations

from dataclasses import replace

from django.db import connection

from basis import fast
from risk.pacing import Stock
from risk.room_models import Room
from ticketing.models import PriceTier
from ticketing.rush import keys

FACTS = """
SELECT (SELECT count(*) FROM ticketing_seat seat WHERE seat.show_id = show.id AND seat.state = 'F'),
       (SELECT count(*) FROM ticketing_seat seat WHERE seat.show_id = show.id AND seat.state = 'H'),
       orders.placed, orders.seats
  FROM ticketing_show show
  CROSS JOIN LATERAL (
    SELECT count(*) AS placed, coalesce(sum(quantity), 0) AS seats
      FROM ticketing_order WHERE show_id = show.id AND placed_at >= %s
  ) orders
 WHERE show.code = %s
"""


def stock_of(room: Room) -> Stock:
    """Seats free and held, and the orders since the room opened. A show that is not there has nothing to sell."""
    with connection.cursor() as cursor:
        # Not the announced time: staff may open earlier, and buyers of uncounted orders would never be outside.
        cursor.execute(FACTS, [room.opened_at, room.show])
        row = cursor.fetchone()
    return Stock(*row) if row else Stock(0, 0, 0, 0)


def with_queued(stock: Stock, tier_ids: list[int]) -> Stock:
    """
    `stock` as it will be when what was accepted in these tiers has its orders: a crowd takes a house
    in less time than it takes to write it down, and letting more in meanwhile would be for nothing.
    """
    pipe = fast.store().pipeline(transaction=False)
    for tier_id in tier_ids:
        pipe.hget(keys.sale(tier_id), "queued")
        pipe.xlen(keys.orders(tier_id))
    told = pipe.execute()
    seats = min(stock.free, max(0, sum(int(queued or 0) for queued in told[::2])))
    orders = sum(int(length) for length in told[1::2])
    return replace(
        stock,
        free=stock.free - seats,
        held=stock.held + seats,
        orders=stock.orders + orders,
        seats_ordered=stock.seats_ordered + seats,
    )


def tiers_of(room: Room) -> list[int]:
    return list(PriceTier.objects.filter(show__code=room.show).values_list("pk", flat=True))
