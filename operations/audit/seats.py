"""Invariant 1: a seat belongs to at most one live order; sold + held + free + blocked = the seats of the tier."""

from operations.audit.checks import Check

# Seats that orders gave back for money while they went on with the others.
GIVEN_BACK = """
(SELECT request.order_id, count(*) AS n, sum(seat.price_minor) AS price
   FROM ticketing_refundrequest request JOIN ticketing_refundedseat seat ON seat.request_id = request.id
  GROUP BY request.order_id)
"""

SEATS_MATCH_THEIR_ORDERS = Check(
    name="1.seats_match_their_orders",
    says="a sold seat is a paid order's, a held one an open order's, any other is nobody's",
    checked="SELECT count(*) FROM ticketing_seat",
    wrong="""
SELECT 'seat ' || seat.id AS what,
       format('its state is %%s, its order is %%s', seat.state,
              coalesce(o.number || ' (' || o.state || ')', seat.order_id::text || ' (missing)', 'none'))
       || CASE WHEN o.show_id <> seat.show_id THEN ', of another show' ELSE '' END AS why
  FROM ticketing_seat seat LEFT JOIN ticketing_order o ON o.id = seat.order_id
 WHERE (o.id IS NULL OR o.state = ANY(%(live_orders)s))
   AND (o.show_id <> seat.show_id
        OR NOT CASE WHEN seat.state IN ('F', 'B') THEN seat.order_id IS NULL
                    WHEN seat.state = 'H' THEN coalesce(o.state = ANY(%(open_orders)s), false)
                    WHEN seat.state = 'S' THEN coalesce(o.state = 'paid', false)
                    ELSE true END)
""",
)

CLOSED_ORDERS_HAVE_NO_SEATS = Check(
    name="1.closed_orders_have_no_seats",
    says="an order that is cancelled, expired or refunded has no seat any more",
    checked="SELECT count(*) FROM ticketing_order WHERE NOT state = ANY(%(live_orders)s)",
    wrong="""
SELECT o.number AS what, format('it is %%s and still has seat %%s', o.state, seat.id) AS why
  FROM ticketing_seat seat JOIN ticketing_order o ON o.id = seat.order_id
 WHERE NOT o.state = ANY(%(live_orders)s)
""",
)

LIVE_ORDERS_HAVE_THEIR_SEATS = Check(
    name="1.live_orders_have_their_seats",
    says="a live order has exactly as many seats as it is for and has not given back",
    checked="SELECT count(*) FROM ticketing_order WHERE state = ANY(%(live_orders)s)",
    wrong=f"""
SELECT o.number AS what,
       format('it is %%s for %%s seats, gave back %%s and has %%s', o.state, o.quantity, coalesce(given.n, 0),
              coalesce(has.n, 0)) AS why
  FROM ticketing_order o
  LEFT JOIN (SELECT order_id, count(*) AS n FROM ticketing_seat WHERE order_id IS NOT NULL GROUP BY order_id) has
    ON has.order_id = o.id
  LEFT JOIN {GIVEN_BACK} given ON given.order_id = o.id
 WHERE o.state = ANY(%(live_orders)s) AND coalesce(has.n, 0) + coalesce(given.n, 0) <> o.quantity
""",  # noqa: S608
)

SEATS_ARE_REMEMBERED = Check(
    name="1.seats_are_remembered",
    says="every seat that an order has is written down as given to it",
    checked="SELECT count(*) FROM ticketing_seat WHERE order_id IS NOT NULL",
    wrong="""
SELECT 'seat ' || seat.id AS what, format('order %%s has it, and it is not among its seats', o.number) AS why
  FROM ticketing_seat seat JOIN ticketing_order o ON o.id = seat.order_id
  LEFT JOIN ticketing_orderseat given ON given.order_id = seat.order_id AND given.seat_id = seat.id
 WHERE given.id IS NULL
""",
)

TIERS_ADD_UP = Check(
    name="1.tiers_add_up",
    says="sold + held + free + blocked = the tier's seats, all of the tier's own show",
    checked="SELECT count(*) FROM ticketing_pricetier",
    wrong="""
SELECT 'tier ' || tier.code || ' of show ' || show.code AS what,
       format('%%s sold + %%s held + %%s free + %%s blocked are not its %%s seats, or %%s are another show''s',
              n.sold, n.held, n.free, n.blocked, n.seats, n.strangers) AS why
  FROM (SELECT seat.tier_id, count(*) AS seats,
               count(*) FILTER (WHERE seat.state = 'S') AS sold, count(*) FILTER (WHERE seat.state = 'H') AS held,
               count(*) FILTER (WHERE seat.state = 'F') AS free, count(*) FILTER (WHERE seat.state = 'B') AS blocked,
               count(*) FILTER (WHERE seat.show_id <> tier.show_id) AS strangers
          FROM ticketing_seat seat JOIN ticketing_pricetier tier ON tier.id = seat.tier_id
         GROUP BY seat.tier_id) n
  JOIN ticketing_pricetier tier ON tier.id = n.tier_id JOIN ticketing_show show ON show.id = tier.show_id
 WHERE n.sold + n.held + n.free + n.blocked <> n.seats OR n.strangers > 0
""",
)

ORDERS_COST_THEIR_SEATS = Check(
    name="1.orders_cost_their_seats",
    says="a live order's amount is the sum of its seats' prices, with those that it gave back",
    checked="SELECT count(*) FROM ticketing_order WHERE state = ANY(%(live_orders)s)",
    wrong=f"""
SELECT o.number AS what,
       format('its amount is %%s, its seats cost %%s', o.amount_minor, cost.total + coalesce(back.price, 0)) AS why
  FROM ticketing_order o
  JOIN (SELECT given.order_id, sum(given.price_minor) AS total
          FROM ticketing_seat seat
          JOIN ticketing_orderseat given ON given.order_id = seat.order_id AND given.seat_id = seat.id
         GROUP BY given.order_id HAVING count(*) > 0) cost ON cost.order_id = o.id
  JOIN (SELECT order_id, count(*) AS n FROM ticketing_seat WHERE order_id IS NOT NULL GROUP BY order_id) has
    ON has.order_id = o.id
  LEFT JOIN {GIVEN_BACK} back ON back.order_id = o.id
 WHERE o.state = ANY(%(live_orders)s) AND has.n + coalesce(back.n, 0) = o.quantity
   AND cost.total + coalesce(back.price, 0) <> o.amount_minor
""",  # noqa: S608
)

ALLOWANCES_MATCH_ORDERS = Check(
    name="1.allowances_match_orders",
    says="what a buyer has taken in a phase is what the live orders there are for and have not given back",
    checked="SELECT count(*) FROM ticketing_allowance",
    wrong=f"""
SELECT format('buyer %%s in phase %%s', coalesce(a.buyer_id, live.buyer_id),
              coalesce(a.phase_id, live.phase_id)) AS what,
       format('%%s seats are counted, live orders are for %%s', coalesce(a.taken, 0), coalesce(live.n, 0)) AS why
  FROM ticketing_allowance a
  FULL JOIN (SELECT phase_id, buyer_id, sum(quantity - coalesce(back.n, 0)) AS n
               FROM ticketing_order o LEFT JOIN {GIVEN_BACK} back ON back.order_id = o.id
              WHERE state = ANY(%(live_orders)s)
              GROUP BY phase_id, buyer_id) live ON live.phase_id = a.phase_id AND live.buyer_id = a.buyer_id
 WHERE coalesce(a.taken, 0) <> coalesce(live.n, 0)
""",  # noqa: S608
)

CHECKS = (
    SEATS_MATCH_THEIR_ORDERS,
    CLOSED_ORDERS_HAVE_NO_SEATS,
    LIVE_ORDERS_HAVE_THEIR_SEATS,
    SEATS_ARE_REMEMBERED,
    TIERS_ADD_UP,
    ORDERS_COST_THEIR_SEATS,
    ALLOWANCES_MATCH_ORDERS,
)
