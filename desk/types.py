"""
The registry of case types: what makes one, who owns it, how long it may wait, and what may be done about it.

A detector is one SELECT over the tables of payments, wallet and ticketing, with the columns of `COLUMNS`; it may use
`%(now)s` and `%(before)s` (now less `rests`: younger things are still being driven by the product itself). Everything
else about a case follows from it: a row opens a case, the row's absence closes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext_lazy as _

from desk import matrix, ways
from desk.acts import Way
from desk.models import Queue

COLUMNS = (
    *("subject", "channel", "purchase_kind", "purchase_number", "payment_number"),
    *("amount_minor", "currency", "since", "cause", "facts"),
)


@dataclass(frozen=True, slots=True)
class CaseType:
    """
    `rests`: how long the product drives the thing by itself before a case is opened. `due`: the age limit of the case,
    from its cause on. `ways`: what may be done, the suggested one first.
    """

    code: str
    title: Any
    says: Any
    subject_kind: str
    queue: str
    rests: timedelta
    due: timedelta
    ways: tuple[Way, ...]
    detector: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    # A detector that reads whole tables is not asked in every round of the coordinator.
    looked_every: timedelta = timedelta(0)
    # What resolving it needs; empty: the right of its queue (`desk.resolve_<queue>`).
    right: str = ""
    # Not found but wished for by staff (desk.wanted): the case is over when its request is.
    is_wish: bool = False

    @property
    def suggested(self) -> str:
        return self.ways[0].code

    def way(self, code: str) -> Way | None:
        return next((way for way in self.ways if way.code == code), None)


PAYMENT = """
SELECT payment.number AS subject, payment.channel, payment.purchase_kind, payment.purchase_number,
       payment.number AS payment_number, payment.amount_minor, payment.currency,
       {since} AS since, {cause} AS cause, {facts} AS facts
  FROM payments_payment payment
"""

# The channel named another amount: that is a case of its own, whatever the payment's state.
OTHER_AMOUNT = """(
   EXISTS (SELECT 1 FROM payments_outboxmessage message
            WHERE message.key = 'chase:' || payment.number AND message.last_error LIKE %(other_amount)s)
   OR EXISTS (SELECT 1 FROM payments_notification told
               WHERE told.payment_number = payment.number AND told.verdict = 'parked'
                 AND told.reason = 'amount_differs'))"""

PAYMENT_UNKNOWN = CaseType(
    code="payment_unknown",
    title=_("Payment without a clear answer"),
    says=_("The channel has not said whether it has the payment. The buyer may or may not have paid."),
    subject_kind="payment",
    queue=Queue.OPERATIONS,
    rests=timedelta(minutes=5),
    due=timedelta(minutes=30),
    ways=(ways.ASK_CHANNEL, ways.TAKE_AS_PAID, ways.END_UNPAID),
    detector=PAYMENT.format(
        since="payment.created_at", cause="payment.state", facts="jsonb_build_object('state', payment.state)"
    )
    + """
 WHERE payment.state IN ('created', 'unknown') AND payment.created_at < %(before)s
   AND NOT EXISTS (SELECT 1 FROM payments_channelturn turn
                    WHERE turn.payment_id = payment.id AND turn.called_at IS NULL AND turn.left_at IS NULL)
"""
    + f"   AND NOT {OTHER_AMOUNT}",
    parameters={"other_amount": "AmountDiffers:%"},
)

PAYMENT_UNCLOSED = CaseType(
    code="payment_unclosed",
    title=_("Payment still open after its deadline"),
    says=_("The payment's time is over and the channel neither took the money nor closed it."),
    subject_kind="payment",
    queue=Queue.OPERATIONS,
    rests=timedelta(minutes=10),
    due=timedelta(hours=2),
    ways=(ways.ASK_CHANNEL, ways.END_UNPAID, ways.TAKE_AS_PAID),
    detector=PAYMENT.format(
        since="payment.expires_at",
        cause="payment.state",
        facts="jsonb_build_object('state', payment.state, 'superseded', payment.superseded_at IS NOT NULL)",
    )
    + """
 WHERE payment.state = 'pending' AND payment.expires_at < %(before)s
"""
    + f"   AND NOT {OTHER_AMOUNT}",
    parameters={"other_amount": "AmountDiffers:%"},
)

AMOUNT_DIFFERS = CaseType(
    code="amount_differs",
    title=_("The channel took another amount"),
    says=_(
        "The channel says that it took another amount or currency than the payment's. It pays nothing yet."
    ),
    subject_kind="payment",
    queue=Queue.FINANCE,
    rests=timedelta(0),
    due=timedelta(minutes=30),
    ways=(ways.TAKE_WHAT_CAME, ways.EXPLAIN),
    detector=PAYMENT.format(
        since="coalesce(told.received_at, payment.created_at)",
        cause="coalesce(told.facts ->> 'amount_minor', message.last_error, '')",
        facts="jsonb_build_object('told', told.facts, 'error', message.last_error)",
    )
    + """
  LEFT JOIN LATERAL (SELECT received_at, facts FROM payments_notification told
                      WHERE told.payment_number = payment.number AND told.channel = payment.channel
                        AND told.verdict = 'parked' AND told.reason = 'amount_differs'
                      ORDER BY told.id LIMIT 1) told ON true
  LEFT JOIN payments_outboxmessage message
    ON message.key = 'chase:' || payment.number AND message.last_error LIKE %(other_amount)s
 WHERE payment.state <> 'succeeded' AND (told.received_at IS NOT NULL OR message.id IS NOT NULL)
""",
    parameters={"other_amount": "AmountDiffers:%"},
)

NOTIFICATION_UNKNOWN = CaseType(
    code="notification_unknown",
    title=_("Message about a payment that we do not know"),
    says=_("A genuine message of the channel names a payment or refund that is not in our books."),
    subject_kind="notification",
    queue=Queue.FINANCE,
    rests=timedelta(0),
    due=timedelta(hours=4),
    ways=(ways.APPLY_AGAIN, ways.SEND_BACK, ways.EXPLAIN),
    detector="""
SELECT told.id::text AS subject, told.channel, coalesce(payment.purchase_kind, '') AS purchase_kind,
       coalesce(payment.purchase_number, '') AS purchase_number, coalesce(payment.number, '') AS payment_number,
       coalesce((told.facts ->> 'amount_minor')::bigint, 0) AS amount_minor,
       coalesce(told.facts ->> 'currency', 'CNY') AS currency, told.received_at AS since, told.event_id AS cause,
       jsonb_build_object('payment', told.payment_number, 'refund', told.facts ->> 'refund_number',
                          'reason', told.reason, 'says', told.facts ->> 'what') AS facts
  FROM payments_notification told LEFT JOIN payments_payment payment ON payment.number = told.payment_number
 WHERE told.verdict = 'parked' AND told.reason <> 'amount_differs'
""",
)

REFUND = """
SELECT refund.number AS subject, payment.channel, payment.purchase_kind, payment.purchase_number,
       payment.number AS payment_number, refund.amount_minor, refund.currency, refund.created_at AS since,
       {cause} AS cause, jsonb_build_object('state', refund.state, 'refusal', refund.refusal) AS facts
  FROM payments_refund refund JOIN payments_payment payment ON payment.id = refund.payment_id
"""

REFUND_REFUSED = CaseType(
    code="refund_refused",
    title=_("Refund refused by the channel"),
    says=_("The channel refused to send the money back. It is still owed to the buyer."),
    subject_kind="refund",
    queue=Queue.FINANCE,
    rests=timedelta(0),
    due=timedelta(hours=4),
    ways=(ways.SEND_REFUND_AGAIN, ways.SEND_TO_WALLET),
    detector=REFUND.format(cause="refund.refusal") + " WHERE refund.state = 'refused'",
)

REFUND_SILENT = CaseType(
    code="refund_silent",
    title=_("Refund without an end"),
    says=_("The refund was asked for long ago and the channel has not said that it is done."),
    subject_kind="refund",
    queue=Queue.FINANCE,
    rests=timedelta(hours=2),
    due=timedelta(hours=24),
    ways=(ways.SEND_REFUND_AGAIN, ways.SEND_TO_WALLET),
    detector=REFUND.format(cause="refund.state")
    + " WHERE refund.state IN ('requested', 'processing', 'redirected') AND refund.created_at < %(before)s",
)

MESSAGE_FAILING = CaseType(
    code="message_failing",
    title=_("Work that keeps failing"),
    says=_("A message of the outbox was tried again and again and ends in an error every time."),
    subject_kind="message",
    queue=Queue.OPERATIONS,
    rests=timedelta(0),
    due=timedelta(hours=1),
    ways=(ways.TRY_AGAIN,),
    detector="""
SELECT message.key AS subject, coalesce(payment.channel, told.channel, '') AS channel,
       coalesce(payment.purchase_kind, '') AS purchase_kind, coalesce(payment.purchase_number, '') AS purchase_number,
       coalesce(payment.number, '') AS payment_number,
       coalesce(refund.amount_minor, payment.amount_minor, 0) AS amount_minor,
       coalesce(payment.currency, 'CNY') AS currency, message.created_at AS since,
       left(message.last_error, 80) AS cause,
       jsonb_build_object('error', left(message.last_error, 300), 'kind', message.kind) AS facts
  FROM payments_outboxmessage message
  LEFT JOIN payments_refund refund ON refund.number = message.payload ->> 'refund'
  LEFT JOIN payments_payment refunded ON refunded.id = refund.payment_id
  LEFT JOIN payments_notification told ON told.id = (message.payload ->> 'notification')::bigint
  LEFT JOIN payments_payment payment
    ON payment.number = coalesce(message.payload ->> 'payment', refunded.number, told.payment_number)
 WHERE message.done_at IS NULL AND message.last_error <> '' AND message.attempts >= %(tries)s
   AND message.kind NOT IN ('statement.fetch', 'withdrawal.drive')
   AND NOT message.last_error LIKE %(other_amount)s
""",
    parameters={"other_amount": "AmountDiffers:%", "tries": 4},
)

HOLD_ORPHANED = CaseType(
    code="hold_orphaned",
    title=_("Money set aside for nothing"),
    says=_("An amount is held in a wallet, and what it was held for is over or never was."),
    subject_kind="hold",
    queue=Queue.FINANCE,
    rests=timedelta(minutes=15),
    due=timedelta(hours=4),
    ways=(ways.RELEASE_HOLD, ways.EXPLAIN),
    detector="""
SELECT hold.key AS subject, 'wallet' AS channel, '' AS purchase_kind, '' AS purchase_number, '' AS payment_number,
       hold.amount_minor, account.currency, hold.created_at AS since, hold.reference AS cause,
       jsonb_build_object('account', account.code, 'reference', hold.reference) AS facts
  FROM wallet_hold hold JOIN wallet_account account ON account.id = hold.account_id
 WHERE hold.state = 'reserved' AND hold.created_at < %(before)s
   AND NOT EXISTS (SELECT 1 FROM ticketing_order o
                    WHERE o.number = hold.reference AND o.state IN ('held', 'paying'))
   AND NOT EXISTS (SELECT 1 FROM payments_payment payment
                    WHERE payment.number = hold.reference AND payment.state IN ('created', 'pending', 'unknown'))
   AND NOT EXISTS (SELECT 1 FROM wallet_topup topup WHERE topup.number = hold.reference AND topup.state = 'open')
   AND NOT EXISTS (SELECT 1 FROM payments_withdrawal withdrawal WHERE withdrawal.number = hold.reference
                      AND withdrawal.state IN ('waiting', 'ready', 'sent'))
""",
)

# What is in suspense is on its way back to somebody: surplus that is not refunded yet, refunds that are not done.
SUSPENSE_DIFFERS = CaseType(
    code="suspense_differs",
    title=_("Suspense that nothing explains"),
    says=_("The suspense account holds another amount than the refunds that are on their way."),
    subject_kind="account",
    queue=Queue.FINANCE,
    rests=timedelta(0),
    due=timedelta(hours=4),
    ways=(ways.REVERSE_ENTRY, ways.BOOK_ENTRY, ways.EXPLAIN),
    detector="""
SELECT account.code AS subject, '' AS channel, '' AS purchase_kind, '' AS purchase_number, '' AS payment_number,
       abs(held.amount - owed.amount) AS amount_minor, account.currency, %(now)s AS since,
       (held.amount - owed.amount)::text AS cause,
       jsonb_build_object('holds_minor', held.amount, 'on_its_way_minor', owed.amount) AS facts
  FROM wallet_account account
  LEFT JOIN wallet_accountfold fold ON fold.account_id = account.id
  CROSS JOIN LATERAL (
    SELECT coalesce(fold.balance_minor, 0) + coalesce(sum(posting.amount_minor), 0) AS amount
      FROM wallet_posting posting
     WHERE posting.account_id = account.id AND posting.txid >= coalesce(fold.before_txid, 0)) held
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(refund.amount_minor), 0) AS amount FROM payments_refund refund
     WHERE refund.state <> 'succeeded' AND refund.currency = account.currency) owed
 WHERE account.kind = 'suspense' AND held.amount <> owed.amount
""",
)

STATE_INCONSISTENT = CaseType(
    code="state_inconsistent",
    title=_("States that do not fit together"),
    says=_("Order or top-up, payment and refund are in states that no flow of the product leads to."),
    subject_kind="purchase",
    queue=Queue.OPERATIONS,
    rests=timedelta(0),
    due=timedelta(minutes=30),
    ways=(ways.REPAIR, ways.EXPLAIN),
    detector=matrix.DETECTOR,
    looked_every=timedelta(minutes=5),
)

TYPES: dict[str, CaseType] = {}


def register(*types: CaseType) -> None:
    """Add types to the registry; a type that is there is replaced."""
    TYPES.update({one.code: one for one in types})


register(
    *(PAYMENT_UNKNOWN, PAYMENT_UNCLOSED, AMOUNT_DIFFERS, NOTIFICATION_UNKNOWN, REFUND_REFUSED, REFUND_SILENT),
    *(MESSAGE_FAILING, HOLD_ORPHANED, SUSPENSE_DIFFERS, STATE_INCONSISTENT),
)
