"""
Invariant 7: nothing rests in a state that needs an action with no action scheduled.

`overdue` is now less the grace: a sale in progress always has a few things that are just due.
"""

from operations.audit.checks import Check

LIVE_PAYMENTS_ARE_CHASED = Check(
    name="7.live_payments_are_chased",
    says="a payment without a final answer has a message that will ask its channel",
    checked="SELECT count(*) FROM payments_payment WHERE state = ANY(%(live_payments)s)",
    wrong="""
SELECT payment.number AS what,
       format('it is %%s and nothing will ask %%s about it', payment.state, payment.channel) AS why
  FROM payments_payment payment
  LEFT JOIN payments_outboxmessage message ON message.key = 'chase:' || payment.number AND message.done_at IS NULL
 WHERE payment.state = ANY(%(live_payments)s) AND message.id IS NULL
""",
)

REFUNDS_ARE_DRIVEN = Check(
    name="7.refunds_are_driven",
    says="a refund that is not done, also a refused one, has a message that drives it",
    checked="SELECT count(*) FROM payments_refund WHERE state <> 'succeeded'",
    wrong="""
SELECT refund.number AS what, format('it is %%s and nothing drives it', refund.state) AS why
  FROM payments_refund refund
  LEFT JOIN payments_outboxmessage message ON message.key = 'refund:' || refund.number AND message.done_at IS NULL
 WHERE refund.state <> 'succeeded' AND message.id IS NULL
""",
)

NOTIFICATIONS_ARE_APPLIED = Check(
    name="7.notifications_are_applied",
    says="an accepted notification has a message that applies it",
    checked="SELECT count(*) FROM payments_notification WHERE verdict = 'accepted'",
    wrong="""
SELECT 'notification ' || row.id AS what,
       format('%%s sent it, it is accepted and nothing applies it', row.channel) AS why
  FROM payments_notification row
  LEFT JOIN payments_outboxmessage message ON message.key = 'notify:' || row.id AND message.done_at IS NULL
 WHERE row.verdict = 'accepted' AND message.id IS NULL
""",
)

OPEN_ORDERS_END = Check(
    name="7.open_orders_end",
    says="no open order is past its hold by more than the grace",
    checked="SELECT count(*) FROM ticketing_order WHERE state = ANY(%(open_orders)s)",
    wrong="""
SELECT number AS what, format('it is %%s, its hold ended at %%s', state, hold_until) AS why
  FROM ticketing_order WHERE state = ANY(%(open_orders)s) AND hold_until < %(overdue)s
""",
)

PAYING_ORDERS_HAVE_A_PAYMENT = Check(
    name="7.paying_orders_have_a_payment",
    says="an order that is being paid has a payment in flight",
    checked="SELECT count(*) FROM ticketing_order WHERE state = 'paying'",
    wrong="""
SELECT o.number AS what, 'it is being paid and no payment of it is in flight' AS why
  FROM ticketing_order o
 WHERE o.state = 'paying'
   AND NOT EXISTS (SELECT 1 FROM payments_payment payment
                    WHERE payment.purchase_kind = 'order' AND payment.purchase_number = o.number
                      AND payment.state = ANY(%(live_payments)s))
""",
)

OPEN_TOPUPS_END = Check(
    name="7.open_topups_end",
    says="no open top-up is past its time by more than the grace",
    checked="SELECT count(*) FROM wallet_topup WHERE state = 'open'",
    wrong="""
SELECT number AS what, format('it is open, its time ended at %%s', payable_until) AS why
  FROM wallet_topup WHERE state = 'open' AND payable_until < %(overdue)s
""",
)

MESSAGES_MOVE = Check(
    name="7.messages_move",
    says="no message of the outbox is overdue by more than the grace",
    checked="SELECT count(*) FROM payments_outboxmessage WHERE done_at IS NULL",
    wrong="""
SELECT key AS what,
       format('due at %%s, tried %%s times%%s', due_at, attempts,
              CASE WHEN last_error <> '' THEN ', last: ' || left(last_error, 120) ELSE '' END) AS why
  FROM payments_outboxmessage
 WHERE done_at IS NULL AND due_at < %(overdue)s AND (leased_until IS NULL OR leased_until < %(overdue)s)
""",
)

HOLDS_BELONG_TO_SOMETHING = Check(
    name="7.holds_belong_to_something",
    says="money that is set aside belongs to a payment, order, top-up or withdrawal that is still open",
    checked="SELECT count(*) FROM wallet_hold WHERE state = 'reserved'",
    wrong="""
SELECT hold.key AS what,
       format('it holds %%s for "%%s", which is not open', hold.amount_minor, hold.reference) AS why
  FROM wallet_hold hold
 WHERE hold.state = 'reserved'
   AND NOT EXISTS (SELECT 1 FROM ticketing_order o WHERE o.number = hold.reference AND o.state = ANY(%(open_orders)s))
   AND NOT EXISTS (SELECT 1 FROM payments_payment payment
                    WHERE payment.number = hold.reference AND payment.state = ANY(%(live_payments)s))
   AND NOT EXISTS (SELECT 1 FROM wallet_topup topup WHERE topup.number = hold.reference AND topup.state = 'open')
   AND NOT EXISTS (SELECT 1 FROM payments_withdrawal withdrawal WHERE withdrawal.number = hold.reference
                      AND withdrawal.state IN ('waiting', 'ready', 'sent'))
""",
)

CHECKS = (
    LIVE_PAYMENTS_ARE_CHASED,
    REFUNDS_ARE_DRIVEN,
    NOTIFICATIONS_ARE_APPLIED,
    OPEN_ORDERS_END,
    PAYING_ORDERS_HAVE_A_PAYMENT,
    OPEN_TOPUPS_END,
    MESSAGES_MOVE,
    HOLDS_BELONG_TO_SOMETHING,
)
