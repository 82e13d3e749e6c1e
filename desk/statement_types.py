"""
Cases about what a channel's statement and our books say differently (docs/reconciliation.md). Reconciliation keeps the
discrepancies; here they become work: one case for each that is open, none for one that waits for another day.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils.translation import gettext_lazy as _

from desk import ways
from desk.acts import BY_MONEY_AT_RISK, Act, Way
from desk.models import Queue
from desk.types import CaseType, register
from payments import outbox
from payments.reconcile import explain
from payments.reconcile_models import DiscrepancyState, Klass


def settle_as_explained(act: Act) -> None:
    _settle(act, DiscrepancyState.EXPLAINED, "explained")


def settle_as_set_right(act: Act) -> None:
    _settle(act, DiscrepancyState.RESOLVED, "set_right")


def _settle(act: Act, state: DiscrepancyState, resolution: str) -> None:
    explain.settle(
        discrepancy_id=int(act.case.subject),
        state=state,
        resolution=resolution,
        reason=act.reason,
        by=act.actor,
        now=act.now,
    )


EXPLAIN_DIFFERENCE = Way(
    code="explain_difference",
    title=_("Explain the difference"),
    says=_("The difference may stay. Your reason stays with it, and no later run opens it again."),
    do=settle_as_explained,
    two_people=BY_MONEY_AT_RISK,
)
SET_RIGHT = Way(
    code="set_right",
    title=_("It was set right elsewhere"),
    says=_("The channel or we corrected it by other means. Say which. No later run opens it again."),
    do=settle_as_set_right,
    two_people=BY_MONEY_AT_RISK,
)


def ask_statement_again(act: Act) -> None:
    outbox.hasten([act.case.subject], now=act.now)


ASK_STATEMENT = Way(
    code="ask_statement",
    title=_("Ask for the statement again"),
    says=_(
        "The channel is asked now, and again at growing distances. Uploading the file settles the case as well."
    ),
    do=ask_statement_again,
)
ways.ALL.update({way.code: way for way in (EXPLAIN_DIFFERENCE, SET_RIGHT, ASK_STATEMENT)})
SETTLED = (EXPLAIN_DIFFERENCE, SET_RIGHT)

DETECTOR = """
SELECT d.id::text AS subject, d.channel, coalesce(payment.purchase_kind, '') AS purchase_kind,
       coalesce(payment.purchase_number, '') AS purchase_number, coalesce(payment.number, '') AS payment_number,
       CASE WHEN d.fee_milli IS NOT NULL AND d.klass = 'fee_differs'
            THEN abs(d.fee_milli - coalesce(d.fee_expected_milli, 0)) / 1000
            WHEN d.klass IN ('status_differs', 'refund_status_differs')
            THEN greatest(abs(d.theirs_minor), abs(d.ours_minor), 0)
            ELSE abs(coalesce(d.theirs_minor, 0) - coalesce(d.ours_minor, 0)) END AS amount_minor,
       d.currency, d.found_at AS since,
       concat_ws(' ', d.klass, d.ours_minor, d.theirs_minor, d.fee_milli) AS cause,
       jsonb_build_object('class', d.klass, 'day', d.day, 'number', d.number, 'ours_minor', d.ours_minor,
                          'theirs_minor', d.theirs_minor, 'fee_milli', d.fee_milli,
                          'fee_expected_milli', d.fee_expected_milli) AS facts
  FROM payments_discrepancy d
  LEFT JOIN payments_refund refund ON refund.id = d.refund_id
  LEFT JOIN payments_payment payment ON payment.id = coalesce(d.payment_id, refund.payment_id)
 WHERE d.state = 'open' AND d.klass = ANY(%(classes)s)
"""


def _type(
    code: str, title: Any, says: Any, classes: tuple[Klass, ...], *more: Way, hours: int = 24
) -> CaseType:
    return CaseType(
        code=code,
        title=title,
        says=says,
        subject_kind="discrepancy",
        queue=Queue.FINANCE,
        rests=timedelta(0),
        due=timedelta(hours=hours),
        ways=(*more, *SETTLED),
        detector=DETECTOR,
        parameters={"classes": [str(one) for one in classes]},
    )


MISSING_HERE = _type(
    "statement_missing_here",
    _("The statement has money that we do not know"),
    _("The channel lists a payment or refund that is not in our books."),
    (Klass.MISSING_HERE, Klass.REFUND_MISSING_HERE),
    hours=8,
)
MISSING_THERE = _type(
    "statement_missing_there",
    _("The statement lacks money that we have booked"),
    _("Our books have a payment or refund that the channel does not list."),
    (Klass.MISSING_THERE, Klass.REFUND_MISSING_THERE),
    hours=8,
)
DIFFERS = _type(
    "statement_differs",
    _("Statement and books name different amounts"),
    _("Amount, currency, fee or number differ, or the channel lists the same twice."),
    (
        *(Klass.AMOUNT_DIFFERS, Klass.CURRENCY_DIFFERS, Klass.FEE_DIFFERS, Klass.DUPLICATE),
        *(Klass.REFERENCE_DIFFERS, Klass.REFUND_AMOUNT_DIFFERS, Klass.REFUND_OF_OTHER, Klass.CROSSING),
    ),
)
STATUS = _type(
    "statement_status",
    _("Statement and books name different states"),
    _("The channel says that it took or returned the money, and we have it in another state."),
    (Klass.STATUS_DIFFERS, Klass.REFUND_STATUS_DIFFERS),
    *(ways.ASK_CHANNEL, ways.TAKE_AS_PAID),
    hours=4,
)
LEDGER = _type(
    "statement_ledger",
    _("The ledger differs from the statement"),
    _("What was booked or moved on the channel's account is not what the statement says."),
    (Klass.LEDGER_DIFFERS, Klass.FUNDS_DIFFER),
    *(ways.BOOK_MISSING, ways.REVERSE_ENTRY, ways.BOOK_ENTRY),
)

ALL = (MISSING_HERE, MISSING_THERE, DIFFERS, STATUS, LEDGER)

# Statements that were asked for (payments.statements.fetch: from five past ten on the next day) and are not here whole.
NOT_HERE = """
SELECT message.key AS subject, message.payload ->> 'channel' AS channel, '' AS purchase_kind, '' AS purchase_number,
       '' AS payment_number, 0 AS amount_minor, 'CNY' AS currency, asked.at AS since,
       left(message.last_error, 80) AS cause,
       jsonb_build_object('error', left(message.last_error, 300), 'kind', message.payload ->> 'kind',
                          'day', message.payload ->> 'day', 'tries', message.attempts,
                          'asked_again', message.done_at IS NULL) AS facts
  FROM payments_outboxmessage message
 CROSS JOIN LATERAL (
   SELECT greatest(((message.payload ->> 'day')::date + 1 + time '10:05') AT TIME ZONE %(zone)s,
                   message.created_at) AS at) asked
 WHERE message.key LIKE %(keys)s AND (message.done_at IS NULL OR message.last_error <> '')
   AND (message.last_error LIKE %(spoilt)s) = {spoilt} AND asked.at < %(before)s
   AND NOT EXISTS (
     SELECT 1 FROM payments_statement here
      WHERE here.channel = message.payload ->> 'channel' AND here.kind = message.payload ->> 'kind'
        AND here.day = (message.payload ->> 'day')::date AND here.replaced_by_id IS NULL
        AND coalesce(here.totals -> 'covers', '["payment", "refund"]') @> '["payment", "refund"]')
"""
NAMES = {"zone": "Asia/Shanghai", "keys": "statement:%", "spoilt": "Spoilt:%"}

LATE = CaseType(
    code="statement_late",
    title=_("A statement has not come"),
    says=_(
        "The channel has not given us a day's statement. Until it is here, nothing of that day is compared."
    ),
    subject_kind="message",
    queue=Queue.FINANCE,
    rests=timedelta(hours=2),
    due=timedelta(hours=24),
    ways=(ASK_STATEMENT, ways.EXPLAIN),
    detector=NOT_HERE.format(spoilt="false"),
    parameters=NAMES,
)
REFUSED = CaseType(
    code="statement_refused",
    title=_("A statement cannot be read"),
    says=_(
        "The channel's file is damaged or not what it must be, and none of it is loaded. The error names the line."
    ),
    subject_kind="message",
    queue=Queue.FINANCE,
    rests=timedelta(0),
    due=timedelta(hours=24),
    ways=(ASK_STATEMENT, ways.EXPLAIN),
    detector=NOT_HERE.format(spoilt="true"),
    parameters=NAMES,
)

register(*ALL, LATE, REFUSED)
