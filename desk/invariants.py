"""
What must hold about one purchase, asked in the transaction that changes it: before, so that what was broken already is
not blamed on the resolution, and after. The whole database is the audit's matter (docs/audit.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection

from desk import cells
from desk.facts import Facts
from desk.matrix import MATRICES
from desk.preview import Check, Line

QUESTIONS: Mapping[str, str] = {
    "refunds_within_payments": """
SELECT payment.number || ' took ' || payment.amount_minor || ', its refunds are ' || sum(refund.amount_minor)
  FROM payments_payment payment JOIN payments_refund refund ON refund.payment_id = payment.id
 WHERE payment.number = ANY(%(payments)s)
 GROUP BY payment.id HAVING sum(refund.amount_minor) > payment.amount_minor
""",
    "payments_are_booked": """
SELECT payment.number || ' took ' || payment.amount_minor || ', booked are ' || coalesce(sum(posting.amount_minor), 0)
  FROM payments_payment payment
  LEFT JOIN wallet_journalentry entry ON entry.key = 'pay:' || payment.number
  LEFT JOIN wallet_posting posting ON posting.entry_id = entry.id AND posting.amount_minor > 0
 WHERE payment.number = ANY(%(payments)s)
 GROUP BY payment.id
HAVING coalesce(sum(posting.amount_minor), 0)
    <> CASE WHEN payment.state = 'succeeded' THEN payment.amount_minor ELSE 0 END
""",
    "tickets_have_seats": """
SELECT ticket.number || ' is ' || ticket.state || ' and its seat is not the order''s'
  FROM ticketing_ticket ticket JOIN ticketing_order o ON o.id = ticket.order_id
  JOIN ticketing_seat seat ON seat.id = ticket.seat_id
 WHERE o.number = %(purchase)s AND ticket.state <> 'void'
   AND (o.state <> 'paid' OR seat.order_id IS DISTINCT FROM o.id)
""",
}


def checks(facts: Facts, *, booked: Iterable[Line] = ()) -> list[Check]:
    """Everything that must hold about the purchase, as it is in this transaction."""
    values = {
        "payments": [payment.number for payment in facts.payments],
        "purchase": facts.purchase.number if facts.purchase else "",
    }
    found = [Check(code, *_answer(question, values)) for code, question in QUESTIONS.items()]
    return [*found, _fits(facts), _balanced(booked), _driven(facts)]


def _answer(question: str, values: Mapping[str, Any]) -> tuple[bool, str]:
    with connection.cursor() as cursor:
        cursor.execute(question, values)
        wrong = [row[0] for row in cursor.fetchall()]
    return not wrong, "; ".join(wrong)


def _fits(facts: Facts) -> Check:
    """Purchase, payment and refunds are in a cell of the matrix that is no defect."""
    purchase, wrong = facts.purchase, []
    for payment in facts.payments if purchase else ():
        mine = [refund for refund in facts.refunds if refund.payment_id == payment.pk]
        word = cells.refund_class(mine, payment.amount_minor)
        state = cells.payment_class(payment.state, payment.outcome)
        found = MATRICES[payment.purchase_kind].meaning(purchase.state, state, word) if purchase else None
        if found and found.kind == cells.INCONSISTENT:
            wrong.append(f"{payment.number}: {found.why}")
    return Check("states_fit", not wrong, "; ".join(wrong))


def _balanced(booked: Iterable[Line]) -> Check:
    sums: dict[str, int] = {}
    for line in booked:
        sums[line.currency] = sums.get(line.currency, 0) + line.amount_minor
    wrong = [f"{currency}: {amount}" for currency, amount in sums.items() if amount]
    return Check("entries_balance", not wrong, "; ".join(wrong))


def _driven(facts: Facts) -> Check:
    """Whatever is not final has a message that drives it."""
    waiting = facts.next_steps()
    lost = [
        payment.number
        for payment in facts.payments
        if payment.live and f"chase:{payment.number}" not in waiting
    ]
    lost += [
        refund.number
        for refund in facts.refunds
        if refund.state != "succeeded" and f"refund:{refund.number}" not in waiting
    ]
    withdrawal = facts.withdrawal
    if withdrawal and withdrawal.is_open and withdrawal.state != "waiting" and withdrawal.hold not in waiting:
        lost.append(withdrawal.number)
    return Check("something_is_next", not lost, "; ".join(lost))
