"""Invariant 4: at most one payment wins a purchase; every other success has its refund."""

from operations.audit.checks import Check

PURCHASES = """
(SELECT 'order' AS kind, number, buyer_id, amount_minor, currency, winner FROM ticketing_order
  UNION ALL SELECT 'topup', number, buyer_id, amount_minor, currency, winner FROM wallet_topup)
"""

ONE_WINNER = Check(
    name="4.one_winner",
    says="at most one payment won each purchase",
    checked="SELECT count(*) FROM payments_payment WHERE outcome = 'won'",
    wrong="""
SELECT purchase_number AS what,
       format('%%s payments won it: %%s', count(*), string_agg(number, ', ' ORDER BY number)) AS why
  FROM payments_payment WHERE outcome = 'won'
 GROUP BY purchase_kind, purchase_number HAVING count(*) > 1
""",
)

WINNER_IS_NAMED = Check(
    name="4.winner_is_named",
    says="the winner that a purchase names is the payment that won it, and the other way round",
    checked=f"SELECT count(*) FROM {PURCHASES} purchase WHERE winner <> ''",  # noqa: S608
    wrong=f"""
SELECT purchase.number AS what, format('it names %%s as its winner, which %%s', purchase.winner,
         CASE WHEN payment.id IS NULL THEN 'does not exist' ELSE 'is ' || payment.state || ', outcome "'
              || payment.outcome || '", for ' || payment.purchase_number END) AS why
  FROM {PURCHASES} purchase LEFT JOIN payments_payment payment ON payment.number = purchase.winner
 WHERE purchase.winner <> '' AND (payment.id IS NULL OR payment.outcome <> 'won' OR payment.state <> 'succeeded'
        OR (payment.purchase_kind, payment.purchase_number) <> (purchase.kind, purchase.number))
UNION ALL
SELECT payment.number, format('it won %%s, which names "%%s" as its winner', purchase.number, purchase.winner)
  FROM payments_payment payment
  JOIN {PURCHASES} purchase ON (purchase.kind, purchase.number) = (payment.purchase_kind, payment.purchase_number)
 WHERE payment.outcome = 'won' AND purchase.winner <> payment.number
   AND NOT EXISTS (SELECT 1 FROM payments_payment twin
                    WHERE twin.number = purchase.winner AND twin.outcome = 'won'
                      AND twin.purchase_number = payment.purchase_number)
""",  # noqa: S608
)

PAYMENTS_FIT_THEIR_PURCHASES = Check(
    name="4.payments_fit_their_purchases",
    says="a payment is for a purchase that exists, of its buyer and amount, or goes back; a stray is for none",
    checked="SELECT count(*) FROM payments_payment",
    wrong=f"""
SELECT payment.number AS what,
       CASE WHEN purchase.number IS NULL
            THEN format('there is no %%s %%s', payment.purchase_kind, payment.purchase_number)
            ELSE format('buyer %%s, %%s %%s; %%s is for buyer %%s, %%s %%s', payment.buyer_id, payment.amount_minor,
                        payment.currency, purchase.number, purchase.buyer_id, purchase.amount_minor,
                        purchase.currency) END AS why
  FROM payments_payment payment
  LEFT JOIN {PURCHASES} purchase
    ON (purchase.kind, purchase.number) = (payment.purchase_kind, payment.purchase_number)
 WHERE (purchase.number IS NULL AND NOT (payment.purchase_kind = 'stray' AND payment.outcome = 'surplus'))
    OR payment.buyer_id <> purchase.buyer_id
    OR (payment.outcome <> 'surplus'
        AND (payment.amount_minor, payment.currency) <> (purchase.amount_minor, purchase.currency))
""",  # noqa: S608
)

SURPLUS_GOES_BACK = Check(
    name="4.surplus_goes_back",
    says="every success that did not win has refunds of exactly its amount",
    checked="SELECT count(*) FROM payments_payment WHERE state = 'succeeded' AND outcome <> 'won'",
    wrong="""
SELECT payment.number AS what,
       format('it took %%s and did not win; its refunds are %%s', payment.amount_minor,
              coalesce(refund.asked, 0)) AS why
  FROM payments_payment payment
  LEFT JOIN (SELECT payment_id, sum(amount_minor) AS asked FROM payments_refund GROUP BY payment_id) refund
    ON refund.payment_id = payment.id
 WHERE payment.state = 'succeeded' AND payment.outcome <> 'won'
   AND coalesce(refund.asked, 0) <> payment.amount_minor
""",
)

REFUNDS_WITHIN_PAYMENTS = Check(
    name="4.refunds_within_payments",
    says="no payment is refunded more than it took, or without having taken it, or in another currency",
    checked="SELECT count(*) FROM payments_refund",
    wrong="""
SELECT payment.number AS what,
       format('it is %%s over %%s %%s; its refunds are %%s in %%s', payment.state, payment.amount_minor,
              payment.currency, sum(refund.amount_minor), string_agg(DISTINCT refund.currency, ', ')) AS why
  FROM payments_refund refund JOIN payments_payment payment ON payment.id = refund.payment_id
 GROUP BY payment.id
HAVING payment.state <> 'succeeded' OR bool_or(refund.currency <> payment.currency)
    OR (payment.outcome = 'won' AND sum(refund.amount_minor) > payment.amount_minor)
""",
)

CHECKS = (
    ONE_WINNER,
    WINNER_IS_NAMED,
    PAYMENTS_FIT_THEIR_PURCHASES,
    SURPLUS_GOES_BACK,
    REFUNDS_WITHIN_PAYMENTS,
)
