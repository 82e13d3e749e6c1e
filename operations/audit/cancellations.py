"""Invariants 3 and 7 where a show does not take place: nobody is left with an order, a seat or money in it."""

from operations.audit.checks import Check

# Since the decision every process knows of it, the work has been through all orders: none may be open or owed money.
CANCELLED_SHOWS_OWE_NOTHING = Check(
    name="3.cancelled_shows_owe_nothing",
    says="a cancelled show that was gone through has no open order, nothing to ask back, no seat to sell",
    checked="SELECT count(*) FROM ticketing_showcancellation WHERE state <> 'ending'",
    wrong="""
SELECT o.number AS what, format('show %%s is cancelled, the order is %%s', show.code, o.state) AS why
  FROM ticketing_showcancellation cancelled JOIN ticketing_show show ON show.id = cancelled.show_id
  JOIN ticketing_order o ON o.show_id = show.id
  LEFT JOIN payments_payment payment ON payment.number = o.winner
 WHERE cancelled.state <> 'ending' AND cancelled.cancelled_at < %(overdue)s
   AND (o.state = ANY(%(open_orders)s)
        OR (o.state = 'paid' AND payment.amount_minor > (
              SELECT coalesce(sum(refund.amount_minor), 0) FROM payments_refund refund
               WHERE refund.payment_id = payment.id)))
UNION ALL
SELECT show.code, format('it is cancelled and done, and %%s of its seats can be sold', count(*))
  FROM ticketing_showcancellation cancelled JOIN ticketing_show show ON show.id = cancelled.show_id
  JOIN ticketing_seat seat ON seat.show_id = show.id AND seat.state IN ('F', 'H')
 WHERE cancelled.state = 'done' GROUP BY show.code
""",
)

CANCELLED_SHOWS_ARE_DRIVEN = Check(
    name="7.cancelled_shows_are_driven",
    says="a cancelled show whose money is not all back has a message that drives it",
    checked="SELECT count(*) FROM ticketing_showcancellation",
    wrong="""
SELECT show.code AS what, format('its cancellation is %%s and nothing drives it', cancelled.state) AS why
  FROM ticketing_showcancellation cancelled JOIN ticketing_show show ON show.id = cancelled.show_id
  LEFT JOIN payments_outboxmessage message ON message.key = 'cancel:' || show.code AND message.done_at IS NULL
 WHERE cancelled.state <> 'done' AND message.id IS NULL
""",
)

CHECKS = (CANCELLED_SHOWS_OWE_NOTHING, CANCELLED_SHOWS_ARE_DRIVEN)
