"""What a show's sale tells the pacer of its waiting room."""

from __future__ import annotations

from django.db import connection

from risk.pacing import Stock
from risk.room_models import Room

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
    # Not the announced time: staff may open earlier, and buyers whose orders are not counted would never be outside.
    opened_at = room.opened_at
    with connection.cursor() as cursor:
        cursor.execute(FACTS, [opened_at, room.show])
        row = cursor.fetchone()
    return Stock(*row) if row else Stock(0, 0, 0, 0)
