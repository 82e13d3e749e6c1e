"""Invariant 3: a paid order has its tickets, or a refund; a closed order's money is back or on its way."""

from operations.audit.checks import Check

REFUNDS = """
(SELECT payment_id, sum(amount_minor) AS asked,
        coalesce(sum(amount_minor) FILTER (WHERE state = 'succeeded'), 0) AS done
   FROM payments_refund GROUP BY payment_id)
"""

PAID_ORDERS_HAVE_TICKETS = Check(
    name="3.paid_orders_have_tickets",
    says="a paid order has a valid ticket for each of its seats, or a refund",
    checked="SELECT count(*) FROM ticketing_order WHERE state = 'paid'",
    wrong="""
SELECT o.number AS what, format('it is paid, has no refund, and no ticket for seat %%s', seat.id) AS why
  FROM ticketing_order o JOIN ticketing_seat seat ON seat.order_id = o.id
  LEFT JOIN ticketing_ticket ticket
    ON ticket.seat_id = seat.id AND ticket.order_id = o.id AND ticket.state <> 'void'
 WHERE o.state = 'paid' AND ticket.id IS NULL
   AND NOT EXISTS (SELECT 1 FROM payments_refund refund JOIN payments_payment payment ON payment.id = refund.payment_id
                    WHERE payment.number = o.winner)
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
    says="whatever was paid for an order that is closed is refunded or on its way back",
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
 WHERE payment.state = 'succeeded' AND NOT o.state = ANY(%(live_orders)s)
   AND coalesce(refund.asked, 0) < payment.amount_minor
""",  # noqa: S608
)

REFUNDED_ORDERS_ARE_REFUNDED = Check(
    name="3.refunded_orders_are_refunded",
    says="an order is refunded exactly when its winning payment is back with the buyer in full",
    checked="SELECT count(*) FROM ticketing_order WHERE state IN ('paid', 'refunded')",
    wrong=f"""
SELECT o.number AS what,
       format('it is %%s; of the %%s that payment %%s took, %%s are back with the buyer', o.state,
              payment.amount_minor, payment.number, coalesce(refund.done, 0)) AS why
  FROM ticketing_order o JOIN payments_payment payment ON payment.number = o.winner
  LEFT JOIN {REFUNDS} refund ON refund.payment_id = payment.id
 WHERE o.state IN ('paid', 'refunded')
   AND (o.state = 'refunded') <> (coalesce(refund.done, 0) >= payment.amount_minor)
""",  # noqa: S608
)

CHECKS = (
    PAID_ORDERS_HAVE_TICKETS,
    TICKETS_ARE_PAID_FOR,
    CLOSED_ORDERS_OWE_NOTHING,
    REFUNDED_ORDERS_ARE_REFUNDED,
)
