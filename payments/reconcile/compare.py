"""
Each line with the payment or refund whose number it names: known here, the same amount, currency, state, reference and
the fee of the contract. Every condition that holds is a discrepancy of its own.

Nearly every line of a day names a success of about that day: these are joined as sets. The others, and refunds, are
looked up one by one. Nothing walks over the payments of other days, however many there are.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from payments.reconcile import scope

# A channel's word for a line, put into our words by its reader (payments.statements): the money moved, it will, or,
# whatever else the word is, it did not.
DONE = "line.status IN ('success', 'refund')"
ON_ITS_WAY = "line.status IN ('processing', 'accepted')"
MOVED_NOT = f"NOT ({DONE} OR {ON_ITS_WAY})"

# A fee may be rounded to the fen either way. Where a discount at our cost took something off, the contract's share is
# one of what was left (WeChat Pay says so) or, for not every channel says, of what was ordered.
FEE = """least(abs(line.fee_milli * 1000 - line.amount_minor * %(fee_ppm)s),
  abs(line.fee_milli * 1000 - (line.amount_minor - line.discount_minor) * %(fee_ppm)s)) > 500000"""
# A payment's fee goes back in parts with its refunds, and what rounding left over goes with any of them: together they
# must be right. Asked only of a line that by itself is not.
TOGETHER = """coalesce((
  SELECT least(abs(sum(part.fee_milli * 1000 - part.amount_minor * %(fee_ppm)s)),
    abs(sum(part.fee_milli * 1000 - (part.amount_minor - part.discount_minor) * %(fee_ppm)s)))
    FROM payments_refund other CROSS JOIN LATERAL (
      SELECT line.fee_milli, line.amount_minor, line.discount_minor, line.status FROM payments_statementline line
       WHERE line.number = other.number AND line.kind = 'refund' AND line.channel = %(channel)s
         AND line.statement_id IN (SELECT id FROM live)
       ORDER BY line.day, line.line_no LIMIT 1) part
   WHERE other.payment_id = refund.payment_id AND part.status IN ('success', 'refund')) > 500000, true)"""
# Done by the channel. One that went to the buyer's wallet instead must not be done there too.
BACK = "(refund.state = 'succeeded' AND refund.destination = 'origin')"
OLD = "line.happened_at < %(now)s - %(carry)s"

PAYMENTS = {
    "missing_here": "payment.id IS NULL",
    "currency_differs": "payment.currency <> line.currency",
    "amount_differs": "payment.currency = line.currency AND payment.amount_minor <> line.amount_minor",
    "status_differs": f"({DONE} AND payment.state <> 'succeeded' OR {MOVED_NOT} AND payment.state = 'succeeded')",
    "reference_differs": "payment.state = 'succeeded' AND line.reference <> ''"
    " AND payment.channel_reference NOT IN ('', line.reference)",
    "fee_differs": f"payment.id IS NOT NULL AND {DONE} AND {FEE}",
}
REFUNDS = {
    "refund_missing_here": "refund.id IS NULL",
    "currency_differs": "refund.currency <> line.currency",
    "refund_amount_differs": "refund.currency = line.currency AND refund.amount_minor <> -line.amount_minor",
    # A refund that went to the buyer's wallet instead must not be done at its channel, too.
    "refund_status_differs": f"({DONE} AND NOT {BACK} OR {MOVED_NOT} AND {BACK}"
    f" OR {ON_ITS_WAY} AND NOT {BACK} AND {OLD})",
    # Alipay names a refund by its payment's number, WeChat Pay by one of its own.
    "reference_differs": f"{BACK} AND line.reference NOT IN ('', refund.channel_reference, payment.channel_reference)"
    " AND refund.channel_reference <> ''",
    "refund_of_other": "line.payment_number NOT IN ('', payment.number)",
    # Channels keep the fee of what is refunded, or give its share back.
    "fee_differs": f"refund.id IS NOT NULL AND {DONE} AND line.fee_milli <> 0 AND {FEE} AND {TOGETHER}",
    "crossing": f"{ON_ITS_WAY} AND NOT {BACK} AND NOT {OLD}",
}

NEAR = """(SELECT * FROM payments_payment WHERE channel = %(channel)s AND state = 'succeeded'
  AND paid_at >= %(near_begins)s AND paid_at < %(near_ends)s)"""
ELSEWHERE = """
CREATE TEMPORARY TABLE elsewhere ON COMMIT DROP AS
WITH {lines}
SELECT line.id FROM lines line WHERE NOT EXISTS (SELECT 1 FROM {near} near WHERE near.number = line.number);
ANALYZE elsewhere;
"""
OF_ELSEWHERE = "lines AS (SELECT * FROM payments_statementline WHERE id IN (SELECT id FROM elsewhere))"
AS_A_SET = f"JOIN {NEAR} payment ON payment.number = line.number"
# LIMIT keeps them from being joined with the whole table.
ONE_BY_ONE = """LEFT JOIN LATERAL (
  SELECT * FROM payments_payment one WHERE one.number = line.number AND one.channel = line.channel LIMIT 1
) payment ON true"""
COMPARE_PAYMENTS = """
WITH {lines}
INSERT INTO found (klass, kind, number, day, line_id, payment_id, ours_minor, theirs_minor, fee_milli,
                   fee_expected_milli, currency, facts, mark)
SELECT klass, 'payment', coalesce(nullif(line.number, ''), line.reference), line.day, line.id, payment.id,
       payment.amount_minor, line.amount_minor,
       CASE klass WHEN 'fee_differs' THEN line.fee_milli END,
       CASE klass WHEN 'fee_differs' THEN (line.amount_minor - line.discount_minor) * %(fee_ppm)s / 1000 END,
       line.currency,
       jsonb_build_object('line', line.line_no, 'reference', line.reference, 'status', line.status)
       || CASE WHEN payment.id IS NULL THEN '{{}}' ELSE jsonb_build_object('our_reference', payment.channel_reference,
            'our_state', payment.state, 'our_currency', payment.currency) END,
       CASE klass WHEN 'missing_here' THEN concat_ws('/', line.amount_minor, line.currency)
                  WHEN 'currency_differs' THEN concat_ws('/', payment.currency, line.currency)
                  WHEN 'amount_differs' THEN concat_ws('/', payment.amount_minor, line.amount_minor)
                  WHEN 'status_differs' THEN line.status
                  WHEN 'reference_differs' THEN line.reference
                  WHEN 'fee_differs' THEN line.fee_milli::text END
  FROM lines line {join}
 CROSS JOIN LATERAL unnest(ARRAY[{classes}]) AS klass
 WHERE ({any}) AND klass IS NOT NULL AND NOT EXISTS (SELECT 1 FROM extra WHERE extra.line_id = line.id)
"""
COMPARE_REFUNDS = """
WITH {lines}
INSERT INTO found (klass, kind, number, day, state, line_id, payment_id, refund_id, ours_minor, theirs_minor, fee_milli,
                   fee_expected_milli, currency, facts, mark)
SELECT klass, 'refund', coalesce(nullif(line.number, ''), line.reference), line.day,
       CASE klass WHEN 'crossing' THEN 'carried' ELSE 'open' END, line.id, payment.id, refund.id,
       -refund.amount_minor, line.amount_minor,
       CASE klass WHEN 'fee_differs' THEN line.fee_milli END,
       CASE klass WHEN 'fee_differs' THEN (line.amount_minor - line.discount_minor) * %(fee_ppm)s / 1000 END,
       line.currency,
       jsonb_build_object('line', line.line_no, 'reference', line.reference, 'status', line.status,
                          'payment', line.payment_number)
       || CASE WHEN refund.id IS NULL THEN '{{}}' ELSE jsonb_build_object('our_payment', payment.number,
            'our_reference', refund.channel_reference, 'our_state', refund.state, 'our_currency', refund.currency,
            'destination', refund.destination) END,
       CASE klass WHEN 'refund_missing_here' THEN concat_ws('/', line.amount_minor, line.currency)
                  WHEN 'currency_differs' THEN concat_ws('/', refund.currency, line.currency)
                  WHEN 'refund_amount_differs' THEN concat_ws('/', refund.amount_minor, line.amount_minor)
                  WHEN 'refund_status_differs' THEN line.status
                  WHEN 'refund_of_other' THEN line.payment_number
                  WHEN 'reference_differs' THEN line.reference
                  WHEN 'fee_differs' THEN line.fee_milli::text ELSE '' END
  FROM lines line
  LEFT JOIN LATERAL (
    SELECT one.* FROM payments_refund one JOIN payments_payment of ON of.id = one.payment_id
     WHERE one.number = line.number AND of.channel = line.channel LIMIT 1) refund ON true
  LEFT JOIN LATERAL (SELECT * FROM payments_payment one WHERE one.id = refund.payment_id LIMIT 1) payment ON true
 CROSS JOIN LATERAL unnest(ARRAY[{classes}]) AS klass
 WHERE line.status <> 'revoked' AND ({any}) AND klass IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM extra WHERE extra.line_id = line.id)
"""
# A revocation undoes the whole payment and has no number of a refund: it must find a payment that took no money.
REVOKED = """
WITH {lines}
INSERT INTO found (klass, kind, number, day, line_id, payment_id, ours_minor, theirs_minor, currency, facts, mark)
SELECT CASE WHEN payment.id IS NULL THEN 'refund_missing_here' ELSE 'status_differs' END, 'refund',
       coalesce(nullif(line.payment_number, ''), line.reference), line.day, line.id, payment.id, payment.amount_minor,
       line.amount_minor, line.currency,
       jsonb_build_object('line', line.line_no, 'reference', line.reference, 'status', line.status,
                          'our_state', payment.state), 'revoked'
  FROM lines line
  LEFT JOIN LATERAL (
    SELECT * FROM payments_payment one
     WHERE one.number = line.payment_number AND one.channel = line.channel LIMIT 1) payment ON true
 WHERE line.status = 'revoked' AND (payment.id IS NULL OR payment.state = 'succeeded')
   AND NOT EXISTS (SELECT 1 FROM extra WHERE extra.line_id = line.id)
"""


def find(values: dict[str, Any]) -> None:
    rules = values["fee_ppm"] is not None
    payments, refunds = scope.lines_of("payment"), scope.lines_of("refund")
    with connection.cursor() as cursor:
        cursor.execute(ELSEWHERE.format(lines=payments, near=NEAR), values)
        for lines, join in ((payments, AS_A_SET), (OF_ELSEWHERE, ONE_BY_ONE)):
            cursor.execute(_filled(COMPARE_PAYMENTS, PAYMENTS, fees=rules, lines=lines, join=join), values)
        cursor.execute(_filled(COMPARE_REFUNDS, REFUNDS, fees=rules, lines=refunds), values)
        cursor.execute(REVOKED.format(lines=refunds), values)


def _filled(statement: str, classes: dict[str, str], *, fees: bool, **parts: str) -> str:
    """Where no contract is known, fees are not compared."""
    asked = {name: rule for name, rule in classes.items() if fees or name != "fee_differs"}
    cases = ", ".join(f"CASE WHEN {rule} THEN '{name}' END" for name, rule in asked.items())
    return statement.format(classes=cases, any=" OR ".join(f"({rule})" for rule in asked.values()), **parts)
