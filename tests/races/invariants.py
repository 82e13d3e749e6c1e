"""
What must be true of the database, said once more in plain SQL, apart from the product and from its audit.

`broken` holds between any two steps; `unfinished` is empty once everything has come to rest.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import connection

# How many of its seats an order gave back.
GAVE_BACK = """(SELECT count(*) FROM ticketing_refundrequest g JOIN ticketing_refundedseat gs ON gs.request_id = g.id
                 WHERE g.order_id = o.id)"""

# Each query answers the rows that are wrong.
ALWAYS = {
    "a live order has exactly its seats, in the state that fits": f"""
        SELECT o.number, o.state FROM ticketing_order o
          LEFT JOIN ticketing_seat s ON s.order_id = o.id
         GROUP BY o.id
        HAVING (o.state IN ('held', 'paying')
                AND (count(s.id) <> o.quantity OR coalesce(bool_or(s.state <> 'H'), false)))
            OR (o.state = 'paid'
                AND (count(s.id) <> o.quantity - {GAVE_BACK} OR coalesce(bool_or(s.state <> 'S'), false)))
            OR (o.state IN ('cancelled', 'expired', 'refunded') AND count(s.id) <> 0)""",
    "a seat has an order exactly when it is taken": """
        SELECT id FROM ticketing_seat WHERE (state IN ('H', 'S')) <> (order_id IS NOT NULL)""",
    "a paid order has a valid ticket for every seat that it has, any other none": f"""
        SELECT o.number, o.state FROM ticketing_order o
          LEFT JOIN ticketing_ticket t ON t.order_id = o.id AND t.state <> 'void'
          LEFT JOIN ticketing_seat s ON s.id = t.seat_id AND s.order_id = o.id
         GROUP BY o.id
        HAVING count(t.id) <> (CASE WHEN o.state = 'paid' THEN o.quantity - {GAVE_BACK} ELSE 0 END)
            OR count(s.id) <> count(t.id)""",
    "what a buyer has taken is what the live orders hold": f"""
        SELECT a.id, a.taken FROM ticketing_allowance a
          LEFT JOIN ticketing_order o ON o.phase_id = a.phase_id AND o.buyer_id = a.buyer_id
                AND o.state IN ('held', 'paying', 'paid')
          JOIN ticketing_salephase p ON p.id = a.phase_id
         GROUP BY a.id, p.id
        HAVING a.taken <> coalesce(sum(o.quantity - {GAVE_BACK}), 0) OR a.taken > p.per_buyer_limit""",
    "an order's history ends in its state": """
        SELECT number FROM ticketing_order o WHERE state IS DISTINCT FROM
          (SELECT to_state FROM ticketing_orderevent e WHERE e.order_id = o.id ORDER BY e.id DESC LIMIT 1)""",
    "a payment's history ends in its state": """
        SELECT number FROM payments_payment p WHERE state IS DISTINCT FROM
          (SELECT to_state FROM payments_paymentevent e WHERE e.payment_id = p.id ORDER BY e.id DESC LIMIT 1)""",
    "a refund's history ends in its state": """
        SELECT number FROM payments_refund r WHERE state IS DISTINCT FROM
          (SELECT to_state FROM payments_refundevent e WHERE e.refund_id = r.id ORDER BY e.id DESC LIMIT 1)""",
    "a history has no gaps": """
        SELECT e.id FROM (SELECT id, from_state, lag(to_state, 1, '') OVER (PARTITION BY order_id ORDER BY id) AS last
                            FROM ticketing_orderevent) e WHERE e.from_state <> e.last
        UNION ALL
        SELECT e.id FROM (SELECT id, from_state, lag(to_state, 1, '') OVER (PARTITION BY payment_id ORDER BY id) AS last
                            FROM payments_paymentevent) e WHERE e.from_state <> e.last""",
    "an order's winner is its one winning payment": """
        SELECT coalesce(o.number, p.purchase_number) FROM
          (SELECT * FROM ticketing_order WHERE winner <> '') o FULL JOIN
          (SELECT * FROM payments_payment WHERE outcome = 'won' AND purchase_kind = 'order') p
            ON o.number = p.purchase_number
         WHERE o.winner IS DISTINCT FROM p.number""",
    "a success that was not needed has its refund": """
        SELECT p.number FROM payments_payment p LEFT JOIN payments_refund r ON r.payment_id = p.id
         WHERE p.outcome = 'surplus' GROUP BY p.id HAVING coalesce(sum(r.amount_minor), 0) <> p.amount_minor""",
    "no payment is refunded more than it took": """
        SELECT p.number FROM payments_payment p JOIN payments_refund r ON r.payment_id = p.id
         GROUP BY p.id HAVING sum(r.amount_minor) > p.amount_minor OR p.state <> 'succeeded'""",
    "what was granted is a refund of the winner, and its seats are gone": """
        SELECT g.id FROM ticketing_refundrequest g JOIN ticketing_order o ON o.id = g.order_id
          LEFT JOIN payments_refund r ON r.number = g.refund_number
          LEFT JOIN payments_payment p ON p.id = r.payment_id
         WHERE p.number IS DISTINCT FROM o.winner OR r.amount_minor <> g.amount_minor
        UNION ALL
        SELECT g.id FROM ticketing_refundrequest g JOIN ticketing_refundedseat gs ON gs.request_id = g.id
          JOIN ticketing_ticket t ON t.id = gs.ticket_id JOIN ticketing_seat s ON s.id = t.seat_id
         WHERE t.state <> 'void' OR s.order_id = g.order_id""",
    "a refund is paid out once: by its channel, or into the wallet": """
        SELECT r.number FROM payments_refund r JOIN payments_payment p ON p.id = r.payment_id
          JOIN wallet_journalentry e ON e.key = 'refund:' || r.number
          JOIN wallet_posting x ON x.entry_id = e.id JOIN wallet_account a ON a.id = x.account_id
         WHERE x.amount_minor > 0 AND p.channel <> 'wallet'
           AND a.kind <> CASE r.destination WHEN 'wallet' THEN 'buyer_cash' ELSE 'clearing' END""",
    "every entry balances": """
        SELECT entry_id FROM wallet_posting GROUP BY entry_id HAVING sum(amount_minor) <> 0""",
    "every stored balance is the sum of its postings, and above its floor": """
        SELECT a.code FROM wallet_account a LEFT JOIN wallet_posting p ON p.account_id = a.id
         WHERE a.floor_minor IS NOT NULL GROUP BY a.id
        HAVING a.balance_minor <> coalesce(sum(p.amount_minor), 0) OR a.balance_minor < a.floor_minor + a.held_minor""",
    "what the ledger says a channel owes is what its payments and refunds say": """
        SELECT a.code FROM wallet_account a
          LEFT JOIN LATERAL (SELECT coalesce(sum(amount_minor), 0) AS total
                               FROM wallet_posting WHERE account_id = a.id) booked ON true
          LEFT JOIN LATERAL (SELECT coalesce(sum(amount_minor), 0) AS total FROM payments_payment
                              WHERE channel = a.owner AND state = 'succeeded') taken ON true
          LEFT JOIN LATERAL (SELECT coalesce(sum(r.amount_minor), 0) AS total FROM payments_refund r
                               JOIN payments_payment p ON p.id = r.payment_id
                              WHERE p.channel = a.owner AND r.state = 'succeeded' AND r.destination = 'origin'
                             ) given ON true
         WHERE a.kind = 'clearing' AND a.owner <> 'wallet' AND -booked.total <> taken.total - given.total""",
    "what waits for an answer has work scheduled": """
        SELECT p.number FROM payments_payment p WHERE p.state IN ('created', 'pending', 'unknown') AND NOT EXISTS
          (SELECT 1 FROM payments_outboxmessage m WHERE m.key = 'chase:' || p.number AND m.done_at IS NULL)
        UNION ALL
        SELECT r.number FROM payments_refund r WHERE r.state <> 'succeeded' AND NOT EXISTS
          (SELECT 1 FROM payments_outboxmessage m WHERE m.key = 'refund:' || r.number AND m.done_at IS NULL)
        UNION ALL
        SELECT n.id::text FROM payments_notification n WHERE n.verdict = 'accepted' AND NOT EXISTS
          (SELECT 1 FROM payments_outboxmessage m WHERE m.key = 'notify:' || n.id AND m.done_at IS NULL)""",
}

AT_REST = {
    "an order is open": "SELECT number, state FROM ticketing_order WHERE state IN ('held', 'paying')",
    "a payment is open": "SELECT number, state FROM payments_payment WHERE state IN ('created', 'pending', 'unknown')",
    "a refund is not done": "SELECT number, state, refusal FROM payments_refund WHERE state <> 'succeeded'",
    "a top-up is open": "SELECT number, state FROM wallet_topup WHERE state = 'open'",
    "a notification was not applied": """
        SELECT id, verdict, reason FROM payments_notification WHERE verdict NOT IN ('applied', 'refused')""",
    "work is left": "SELECT key, last_error FROM payments_outboxmessage WHERE done_at IS NULL",
    "a handler failed": "SELECT key, last_error FROM payments_outboxmessage WHERE last_error <> ''",
    "money is in suspense": """
        SELECT a.code, sum(p.amount_minor) FROM wallet_account a JOIN wallet_posting p ON p.account_id = a.id
         WHERE a.kind = 'suspense' GROUP BY a.id HAVING sum(p.amount_minor) <> 0""",
}

OWED = """
SELECT coalesce(-sum(p.amount_minor), 0) FROM wallet_posting p JOIN wallet_account a ON a.id = p.account_id
 WHERE a.kind = 'clearing' AND a.owner = %s
"""


def broken() -> list[str]:
    """What is wrong right now, in words; empty if nothing is."""
    return _wrong(ALWAYS)


def unfinished(channels: Mapping[str, int]) -> list[str]:
    """What is not at rest, or differs from the channels' own books (code → fen taken less given back)."""
    found = _wrong(AT_REST)
    for code, net_minor in channels.items():
        with connection.cursor() as cursor:
            cursor.execute(OWED, [code])
            owed = int(cursor.fetchone()[0])
        if owed != net_minor:
            found.append(f"{code} says {net_minor}, our ledger {owed}")
    return found


def _wrong(checks: Mapping[str, str]) -> list[str]:
    found = []
    with connection.cursor() as cursor:
        for meaning, query in checks.items():
            cursor.execute(query)
            rows = cursor.fetchall()
            if rows:
                found.append(f"NOT: {meaning}: {rows[:5]}")
    return found
