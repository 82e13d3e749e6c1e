"""Invariant 3: a paid order has its tickets, or a refund; a closed order's money is back or on its way."""

from operations.audit.checks import Check

REFUNDS = """
(SELECT payment_id, sum(amount_minor) AS asked,
        coalesce(sum(amount_minor) FILTER (WHERE state = 'succeeded'), 0) AS done
   FROM payments_refund GROUP BY payment_id)
"""

# What orders gave back less than its price, and how many of their seats they gave back.
KEPT = """
(SELECT request.order_id, sum(request.kept_minor) AS kept, sum(seats.n) AS seats
   FROM ticketing_refundrequest request
   JOIN (SELECT request_id, count(*) AS n FROM ticketing_refundedseat GROUP BY request_id) seats
     ON seats.request_id = request.id
  GROUP BY request.order_id)
"""

PAID_ORDERS_HAVE_TICKETS = Check(
    name="3.paid_orders_have_tickets",
    says="a paid order has a ticket for each of its seats, unless all its money is on the way back",
    checked="SELECT count(*) FROM ticketing_order WHERE state = 'paid'",
    wrong="""
SELECT o.number AS what, format('it is paid, keeps its money, and has no ticket for seat %%s', seat.id) AS why
  FROM ticketing_order o JOIN ticketing_seat seat ON seat.order_id = o.id
  LEFT JOIN ticketing_ticket ticket
    ON ticket.seat_id = seat.id AND ticket.order_id = o.id AND ticket.state <> 'void'
 WHERE o.state = 'paid' AND ticket.id IS NULL
   AND NOT EXISTS (SELECT 1 FROM payments_refund refund JOIN payments_payment payment ON payment.id = refund.payment_id
                    WHERE payment.number = o.winner
                    GROUP BY payment.id HAVING sum(refund.amount_minor) >= payment.amount_minor)
""",
)

TICKETS_ARE_PAID_FOR = Check(
    name="3.tickets_are_paid_for",
    says="every ticket that is not void is for a seat that its buyer's paid order has",
    checked="SELECT count(*) FROM ticketing_ticket WHERE state <> 'void'",
    wrong="""
SELECT ticket.number AS what,
       format('it is %%s for seat %%s of order %%s, which is %%s%%s', ticket.state, ticket.seat_id, o.number, o.state,
              CASE WHEN seat.order_id IS DISTINCT FROM o.id THEN '; the seat is not the order''s'
                   WHEN ticket.buyer_id <> o.buyer_id THEN '; the ticket is another buyer''s'
                   WHEN ticket.show_id <> o.show_id THEN '; the ticket is for another show' ELSE '' END) AS why
  FROM ticketing_ticket ticket
  JOIN ticketing_order o ON o.id = ticket.order_id JOIN ticketing_seat seat ON seat.id = ticket.seat_id
 WHERE ticket.state <> 'void'
   AND (o.state <> 'paid' OR seat.order_id IS DISTINCT FROM o.id
        OR ticket.buyer_id <> o.buyer_id OR ticket.show_id <> o.show_id)
""",
)

CLOSED_ORDERS_OWE_NOTHING = Check(
    name="3.closed_orders_owe_nothing",
    says="whatever was paid for an order that is closed is refunded, on its way back, or kept by the published rule",
    checked="""
SELECT count(*) FROM payments_payment payment
  JOIN ticketing_order o ON payment.purchase_kind = 'order' AND o.number = payment.purchase_number
 WHERE payment.state = 'succeeded' AND NOT o.state = ANY(%(live_orders)s)
""",
    wrong=f"""
SELECT o.number AS what,
       format('it is %%s; payment %%s took %%s, of which %%s are refunded or on their way', o.state, payment.number,
              payment.amount_minor, coalesce(refund.asked, 0)) AS why
  FROM payments_payment payment
  JOIN ticketing_order o ON payment.purchase_kind = 'order' AND o.number = payment.purchase_number
  LEFT JOIN {REFUNDS} refund ON refund.payment_id = payment.id
  LEFT JOIN {KEPT} kept ON kept.order_id = o.id AND payment.number = o.winner
 WHERE payment.state = 'succeeded' AND NOT o.state = ANY(%(live_orders)s)
   AND coalesce(refund.asked, 0) + coalesce(kept.kept, 0) < payment.amount_minor
""",  # noqa: S608
)

REFUNDED_ORDERS_ARE_REFUNDED = Check(
    name="3.refunded_orders_are_refunded",
    says="an order is refunded exactly when all its money is back, or all its seats and the money that goes back",
    checked="SELECT count(*) FROM ticketing_order WHERE state IN ('paid', 'refunded')",
    wrong=f"""
SELECT o.number AS what,
       format('it is %%s; of the %%s that payment %%s took, %%s are back with the buyer', o.state,
              payment.amount_minor, payment.number, coalesce(refund.done, 0)) AS why
  FROM ticketing_order o JOIN payments_payment payment ON payment.number = o.winner
  LEFT JOIN {REFUNDS} refund ON refund.payment_id = payment.id
  LEFT JOIN {KEPT} kept ON kept.order_id = o.id
 WHERE o.state IN ('paid', 'refunded')
   AND NOT CASE WHEN coalesce(refund.done, 0) >= payment.amount_minor THEN o.state = 'refunded'
                WHEN coalesce(kept.seats, 0) < o.quantity THEN o.state = 'paid'
                WHEN refund.done = refund.asked THEN o.state = 'refunded'
                -- All seats are back and money is on its way: the order ends with the last of it, and stays ended
                -- when staff give back later what was kept.
                ELSE o.state = 'paid' OR refund.done >= payment.amount_minor - kept.kept END
""",  # noqa: S608
)

CHECKS = (
    PAID_ORDERS_HAVE_TICKETS,
    TICKETS_ARE_PAID_FOR,
    CLOSED_ORDERS_OWE_NOTHING,
    REFUNDED_ORDERS_ARE_REFUNDED,
)
