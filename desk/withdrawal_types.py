"""
Cases about money on its way out (docs/withdrawals.md): one that rests without an end, or that the channel tells of
otherwise than our books; and one that waits for a second person.
"""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from desk import ways
from desk.acts import ALWAYS, Act, CannotBeDone, Input, Way
from desk.facts import Facts
from desk.models import Case, Queue
from desk.types import CaseType, register
from payments import outbox, paying_out, withdrawals
from payments.channels.payouts import AskResult, TransferAbsent, TransferWorking
from payments.channels.port import Unknown
from payments.withdrawal_models import Withdrawal

APPROVE_RIGHT = "payments.approve_withdrawal"
TRIES = 4
"""So often may a withdrawal's step end in an error before it is a case."""


def _of(case: Case, facts: Facts) -> Withdrawal:
    if facts.withdrawal is None:
        raise CannotBeDone("no_withdrawal", case.subject)
    return facts.withdrawal


# -- it rests on its way out ---------------------------------------------------------------------------------------


def query_transfer(case: Case, facts: Facts) -> AskResult:
    """Ask the channel about the transfer, outside any transaction; changes nothing."""
    withdrawal = _of(case, facts)
    if withdrawal.sent_at is None:
        raise CannotBeDone("never_sent", withdrawal.state)
    return paying_out.ask(withdrawal)


def take_transfer_answer(act: Act) -> None:
    """Apply what the channel said; what it does not have, or works on, is sent or asked about again at once."""
    withdrawal, answer = _of(act.case, act.facts), act.answer
    if isinstance(answer, TransferAbsent | TransferWorking | Unknown):
        outbox.hasten([withdrawal.hold], now=act.now)
    else:
        paying_out.apply_answer(withdrawal.number, answer, now=act.now)


ASK_PAYOUT = Way(
    code="ask_payout",
    title=_("Ask the channel about the transfer"),
    says=_(
        "Paid out: booked. Failed: its owner has the money again. Not there: sent again, one number pays once."
    ),
    look=query_transfer,
    do=take_transfer_answer,
    alone=True,
)


def mark_paid(act: Act) -> None:
    """A person read in the channel's own papers that the payee has it."""
    number = _of(act.case, act.facts).number
    paying_out.mark_paid(number, reference=act.inputs["reference"], actor=act.actor, now=act.now)


MARK_PAID = Way(
    code="mark_paid_out",
    title=_("Take it as paid out"),
    says=_(
        "Books the withdrawal as the channel's statement shows it. The channel itself has not confirmed it."
    ),
    do=mark_paid,
    inputs=(Input("reference", _("the channel's number for it")),),
    two_people=ALWAYS,
)


def mark_returned(act: Act) -> None:
    """A person read in the channel's own papers that nothing left, or that it came back."""
    number = _of(act.case, act.facts).number
    paying_out.mark_returned(number, why=act.reason, actor=act.actor, now=act.now)


MARK_RETURNED = Way(
    code="mark_returned",
    title=_("Give it back to its owner"),
    says=_(
        "Ends the withdrawal unpaid, as the channel's statement shows it. What is paid out later is still taken in."
    ),
    do=mark_returned,
    two_people=ALWAYS,
)

# What is to be sent and may not be (withdrawals are stopped, the organiser is held) waits for staff who know of it.
MAY_NOT_BE_SENT = """(withdrawal.state = 'ready' AND (
   EXISTS (SELECT 1 FROM risk_killswitch switch WHERE switch.kind = 'withdrawals' AND switch.is_stopped)
   OR withdrawal.owner_kind = 'merchant' AND EXISTS (
        SELECT 1 FROM risk_settlementhold held
         WHERE held.merchant = withdrawal.owner AND held.lifted_at IS NULL)))"""
COLUMNS = """
SELECT withdrawal.number AS subject, withdrawal.channel, 'withdrawal' AS purchase_kind,
       withdrawal.number AS purchase_number, '' AS payment_number, withdrawal.amount_minor, withdrawal.currency,
       moved.at AS since, concat_ws(' ', withdrawal.state, left(message.last_error, 80)) AS cause,
       jsonb_build_object('state', withdrawal.state, 'account', withdrawal.payee_shown, 'tries', message.attempts,
                          'error', left(message.last_error, 300)) AS facts
  FROM payments_withdrawal withdrawal
  LEFT JOIN payments_outboxmessage message
    ON message.key = 'withdraw:' || withdrawal.number AND message.done_at IS NULL
 CROSS JOIN LATERAL (SELECT max(event.at) AS at FROM payments_withdrawalevent event
                      WHERE event.withdrawal_id = withdrawal.id) moved
"""

RESTING = (
    COLUMNS  # noqa: S608
    + f"""
 WHERE withdrawal.number IN (
         SELECT late.number FROM payments_withdrawal late
          WHERE late.state IN ('ready', 'sent') AND late.created_at < %(before)s
          UNION
         SELECT failing.payload ->> 'withdrawal' FROM payments_outboxmessage failing
          WHERE failing.kind = %(drive)s AND failing.done_at IS NULL AND failing.last_error <> '')
   AND (withdrawal.state IN ('ready', 'sent') AND moved.at < %(before)s AND NOT {MAY_NOT_BE_SENT}
        OR message.last_error <> '' AND (message.attempts >= %(tries)s OR message.last_error LIKE ANY(%(at_once)s)))
"""  # noqa: S608
)

STUCK = CaseType(
    code="withdrawal_stuck",
    title=_("Withdrawal without an end"),
    says=_("The channel has not said what became of it, or tells of it otherwise than our books."),
    subject_kind="withdrawal",
    queue=Queue.FINANCE,
    rests=timedelta(hours=2),
    due=timedelta(hours=24),
    ways=(ASK_PAYOUT, MARK_PAID, MARK_RETURNED, ways.BOOK_ENTRY),
    detector=RESTING,
    parameters={
        "drive": withdrawals.DRIVE,
        "tries": TRIES,
        "at_once": ["AmountDiffers:%", "InsufficientFunds:%"],
    },
)


# -- it waits for a second person ------------------------------------------------------------------------------------


def approve(act: Act) -> None:
    """The second person agrees; who asked for it cannot."""
    withdrawals.approve(number=_of(act.case, act.facts).number, actor=_name(act), now=act.now)


def reject(act: Act) -> None:
    number = _of(act.case, act.facts).number
    withdrawals.reject(number=number, actor=_name(act), reason=act.reason, now=act.now)


def _name(act: Act) -> str:
    """As the withdrawal's own page writes people."""
    return act.actor.removeprefix("staff:")


APPROVE = Way(
    code="approve_withdrawal",
    title=_("Approve it"),
    says=_("The money is sent. Whoever asked for the withdrawal cannot approve it."),
    do=approve,
)
REJECT = Way(
    code="reject_withdrawal",
    title=_("Reject it"),
    says=_("Nothing is sent, and its owner has the money again. Your reason stays with it."),
    do=reject,
)

UNAPPROVED = CaseType(
    code="withdrawal_unapproved",
    title=_("Withdrawal waits for a second person"),
    says=_("An organiser's withdrawal is so large that another person has to look at it. Nobody has yet."),
    subject_kind="withdrawal",
    queue=Queue.FINANCE,
    rests=timedelta(hours=1),
    due=timedelta(hours=24),
    ways=(APPROVE, REJECT),
    right=APPROVE_RIGHT,
    detector=COLUMNS + " WHERE withdrawal.state = 'waiting' AND withdrawal.created_at < %(before)s",
)

ways.ALL.update({way.code: way for way in (ASK_PAYOUT, MARK_PAID, MARK_RETURNED, APPROVE, REJECT)})
register(STUCK, UNAPPROVED)
