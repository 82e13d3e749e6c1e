"""Invariants 3, 4 and 5 where orders are refunded seat by seat: tickets, refunds, and who got what back."""

from operations.audit.checks import Check

REFUNDED_SEATS_ARE_GONE = Check(
    name="3.refunded_seats_are_gone",
    says="a seat that was given back is not the order's any more, and its ticket is void",
    checked="SELECT count(*) FROM ticketing_refundedseat",
    wrong="""
SELECT o.number AS what,
       format('it gave back seat %%s for %%s of %%s; its ticket is %%s%%s', given.seat_id, seat.back_minor,
              given.price_minor, ticket.state,
              CASE WHEN given.order_id <> o.id OR ticket.order_id <> o.id THEN '; the seat was another order''s'
                   WHEN now.order_id = o.id THEN '; the order has it still' ELSE '' END) AS why
  FROM ticketing_refundedseat seat
  JOIN ticketing_refundrequest request ON request.id = seat.request_id
  JOIN ticketing_order o ON o.id = request.order_id
  JOIN ticketing_orderseat given ON given.id = seat.order_seat_id
  JOIN ticketing_seat now ON now.id = given.seat_id
  JOIN ticketing_ticket ticket ON ticket.id = seat.ticket_id
 WHERE ticket.state <> 'void' OR now.order_id = o.id OR given.order_id <> o.id OR ticket.order_id <> o.id
    OR ticket.seat_id <> given.seat_id OR seat.price_minor <> given.price_minor
""",
)

REQUESTS_ARE_REFUNDS = Check(
    name="4.requests_are_refunds",
    says="what was granted to an order is a refund of its winning payment, of that amount, shared out among its seats",
    checked="SELECT count(*) FROM ticketing_refundrequest",
    wrong="""
SELECT o.number AS what,
       format('%%s was granted as %%s, of which its seats have %%s and keep %%s; the refund is %%s of payment %%s',
              request.amount_minor, request.refund_number, coalesce(seats.back, 0), request.kept_minor,
              coalesce(refund.amount_minor::text, 'none'), coalesce(payment.number, 'none')) AS why
  FROM ticketing_refundrequest request
  JOIN ticketing_order o ON o.id = request.order_id
  LEFT JOIN (SELECT request_id, sum(back_minor) AS back, sum(price_minor) AS price
               FROM ticketing_refundedseat GROUP BY request_id) seats ON seats.request_id = request.id
  LEFT JOIN payments_refund refund ON refund.number = request.refund_number
  LEFT JOIN payments_payment payment ON payment.id = refund.payment_id
 WHERE refund.id IS NULL OR payment.number <> o.winner
    OR (refund.amount_minor, refund.currency) <> (request.amount_minor, request.currency)
    OR coalesce(seats.back, 0) > request.amount_minor
    OR coalesce(seats.price - seats.back, 0) <> request.kept_minor
""",
)

WALLETS_GET_BACK_WHAT_THEY_PAID = Check(
    name="5.wallets_get_back_what_they_paid",
    says="the refunds of a wallet payment give cash and bonus back, neither more than was taken of it",
    checked="SELECT count(*) FROM payments_refund WHERE state = 'succeeded'",
    wrong="""
WITH part AS (
  SELECT payment.number, posting.account_id, posting.amount_minor
    FROM payments_payment payment JOIN wallet_journalentry entry ON entry.key = 'pay:' || payment.number
    JOIN wallet_posting posting ON posting.entry_id = entry.id AND posting.amount_minor < 0
   WHERE payment.channel = 'wallet' AND payment.state = 'succeeded'
     AND EXISTS (SELECT 1 FROM payments_refund refund WHERE refund.payment_id = payment.id)
  UNION ALL
  SELECT payment.number, posting.account_id, posting.amount_minor
    FROM payments_payment payment JOIN payments_refund refund ON refund.payment_id = payment.id
    JOIN wallet_journalentry entry ON entry.key = 'refund:' || refund.number
    JOIN wallet_posting posting ON posting.entry_id = entry.id AND posting.amount_minor > 0
   WHERE payment.channel = 'wallet'
)
SELECT part.number AS what, format('%%s got %%s more back than was taken', account.code, sum(part.amount_minor)) AS why
  FROM part JOIN wallet_account account ON account.id = part.account_id
 GROUP BY part.number, account.code HAVING sum(part.amount_minor) > 0
""",
)

CHECKS = (REFUNDED_SEATS_ARE_GONE, REQUESTS_ARE_REFUNDS, WALLETS_GET_BACK_WHAT_THEY_PAID)
