"""
The predefined resolutions. Each does what the product's own steps do: it calls the function that a worker, a
notification or the coordinator would have called, and nothing else moves a state or books a line.
"""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from desk import repair
from desk.acts import ALWAYS, BY_MONEY_AT_RISK, Act, CannotBeDone, Input, Way
from desk.facts import Facts
from desk.models import Case, CaseState
from payments import asking, money, notify, outbox, redirect, refunds, settle, strays
from payments.channels import registry
from payments.channels.port import (
    Absent,
    Declined,
    Paid,
    QueryResult,
    RefundAbsent,
    RefundQueryResult,
    Unknown,
    Waiting,
)
from payments.models import ChannelCode, Notification, PaymentState, RefundState, Verdict
from payments.purchases import Won, handler_of
from wallet import journal

MEMO = 200
AMOUNT_END_MINOR = 10**15
"""No single entry by hand is larger: ten million million yuan is a slip of the pen."""


# -- a payment and its channel -----------------------------------------------------------------------------------


def query_payment(case: Case, facts: Facts) -> QueryResult:
    """Ask the channel about the payment, outside any transaction; changes nothing."""
    payment = facts.payment(case.payment_number)
    if payment is None or payment.channel == ChannelCode.WALLET:
        raise CannotBeDone("no_channel", case.payment_number)
    return registry.channel(payment.channel).query(payment.number)


def take_answer(act: Act) -> None:
    """Apply what the channel said; what it must be told (to close a trade that nobody wants) goes out as a chase."""
    payment, answer = act.payment, act.answer
    if isinstance(answer, Paid) and (answer.amount_minor, answer.currency) != (
        payment.amount_minor,
        payment.currency,
    ):
        raise CannotBeDone("amount_differs", f"{answer.amount_minor} {answer.currency}")
    asking.apply_answer(payment, answer, source="desk", now=act.now)
    if isinstance(answer, Waiting | Absent | Unknown):
        outbox.hasten([f"chase:{payment.number}"], now=act.now)


ASK_CHANNEL = Way(
    code="ask_channel",
    title=_("Ask the channel and do what it says"),
    says=_(
        "Asks the channel what became of the payment. Paid: settled. Closed: ended. Still open: asked again."
    ),
    look=query_payment,
    do=take_answer,
    alone=True,
)


def take_as_paid(act: Act) -> None:
    """A person read in the channel's own papers that the money came."""
    payment = act.payment
    paid = Paid(act.inputs["reference"], payment.amount_minor, payment.currency, act.now)
    settle.apply_success(payment_number=payment.number, paid=paid, source="desk", now=act.now)


TAKE_AS_PAID = Way(
    code="take_as_paid",
    title=_("Take it as paid"),
    says=_("Books the payment as the channel's statement shows it. The channel itself has not confirmed it."),
    do=take_as_paid,
    inputs=(Input("reference", _("the channel's number for it")),),
    two_people=ALWAYS,
)


def end_unpaid(act: Act) -> None:
    """A person read in the channel's own papers that no money came."""
    if not act.payment.live:
        raise CannotBeDone("not_live", act.payment.state)
    asking.end(act.payment.number, to=PaymentState.CLOSED, reason="desk", refusal="by_hand", now=act.now)


END_UNPAID = Way(
    code="end_unpaid",
    title=_("End it unpaid"),
    says=_(
        "Ends the payment without money, as the channel's statement shows it. Late money is still taken in."
    ),
    do=end_unpaid,
    two_people=ALWAYS,
)


def take_what_came(act: Act) -> None:
    """
    The channel's own word counts, not the message's: the right amount settles the payment, another one all goes back.
    """
    payment, answer = act.payment, act.answer
    if not isinstance(answer, Paid):
        raise CannotBeDone("not_paid_there", type(answer).__name__)
    right = (answer.amount_minor, answer.currency) == (payment.amount_minor, payment.currency)
    take = settle.apply_success if right else settle.take_other_amount
    take(payment_number=payment.number, paid=answer, source="desk", now=act.now)
    parked = Notification.objects.filter(
        payment_number=payment.number, verdict=Verdict.PARKED, reason="amount_differs"
    )
    parked.update(verdict=Verdict.APPLIED, applied_at=act.now)


TAKE_WHAT_CAME = Way(
    code="take_what_came",
    title=_("Ask what it took, and settle that"),
    says=_(
        "The right amount pays the order. Another amount is booked and sent back; the order can be paid anew."
    ),
    look=query_payment,
    do=take_what_came,
)


# -- a refund and its channel ------------------------------------------------------------------------------------


def query_refund(case: Case, facts: Facts) -> RefundQueryResult:
    """Ask the channel about the refund, outside any transaction; changes nothing."""
    refund = facts.refund(case.subject)
    if refund is None or refund.payment.channel == ChannelCode.WALLET:
        raise CannotBeDone("no_channel", case.subject)
    return registry.channel(refund.payment.channel).query_refund(refunds.order_of(refund))


def take_refund_answer(act: Act) -> None:
    """Apply what the channel said; a refund that it does not have or refused is sent again under its number."""
    refund, answer = act.refund, act.answer
    if isinstance(answer, Declined | RefundAbsent | Unknown):
        outbox.hasten([f"refund:{refund.number}"], now=act.now)
    else:
        refunds.apply_answer(refund, answer, now=act.now)


SEND_REFUND_AGAIN = Way(
    code="send_refund_again",
    title=_("Ask about the refund, and send it again"),
    says=_(
        "Asks the channel about the refund. If it is not done, it is sent again: one number refunds only once."
    ),
    look=query_refund,
    do=take_refund_answer,
    alone=True,
)


def send_to_wallet(act: Act) -> None:
    """Staff do for the buyer what he is offered: the money goes to his wallet, once the channel's word is final."""
    redirect.by_staff(number=act.refund.number, actor=act.actor.removeprefix("staff:"), now=act.now)


SEND_TO_WALLET = Way(
    code="send_to_wallet",
    title=_("Send it to the buyer's wallet instead"),
    says=_("Nothing more is sent to the channel. Once it surely did not refund, the wallet gets the money."),
    do=send_to_wallet,
    two_people=BY_MONEY_AT_RISK,
)


# -- what a channel told -----------------------------------------------------------------------------------------


def apply_again(act: Act) -> None:
    """The message is looked at as if it had just come."""
    notify.unpark(_told(act.case, act.facts).pk, now=act.now)


APPLY_AGAIN = Way(
    code="apply_again",
    title=_("Apply the message again"),
    says=_("Takes the channel's message out of the parked ones and applies it as if it had just come."),
    do=apply_again,
)


def _told(case: Case, facts: Facts) -> Notification:
    row = next((one for one in facts.told if str(one.pk) == case.subject), None)
    if row is None:
        raise CannotBeDone("no_notification", case.subject)
    return row


def query_stray(case: Case, facts: Facts) -> QueryResult:
    """Ask the channel about a number that is not ours, outside any transaction; why it cannot be sent back, if so."""
    row = _told(case, facts)
    if row.facts.get("what") != "Paid":
        raise CannotBeDone("no_money_told", row.facts.get("what") or "")
    if facts.payments:
        raise CannotBeDone("known_by_now", row.payment_number)
    if len(row.payment_number) > strays.NUMBER_MAX:
        raise CannotBeDone("number_too_long", row.payment_number)
    answer = registry.channel(row.channel).query(row.payment_number)
    match answer:
        case Paid():
            return answer
        case Absent():
            raise CannotBeDone("not_under_our_account", row.payment_number)
        case Unknown():
            raise CannotBeDone("no_clear_answer", row.payment_number)
        case _:
            raise CannotBeDone("nothing_there", type(answer).__name__)


def send_back(act: Act) -> None:
    """The channel's own word counts, not the message's: what it took is booked, and all of it goes back."""
    strays.send_back(told=_told(act.case, act.facts), paid=act.answer, actor=act.actor, now=act.now)


SEND_BACK = Way(
    code="send_back",
    title=_("Take the money in and send it back"),
    says=_(
        "Asks the channel what it took under that number, books it into suspense, and refunds it there in full."
    ),
    look=query_stray,
    do=send_back,
    two_people=ALWAYS,
)


# -- work that fails ---------------------------------------------------------------------------------------------


def try_again(act: Act) -> None:
    outbox.hasten([act.case.subject], now=act.now)


TRY_AGAIN = Way(
    code="try_again",
    title=_("Try again now"),
    says=_("The work that failed is done again at once, from the start of its schedule."),
    do=try_again,
    alone=True,
)


# -- money set aside, and the books ------------------------------------------------------------------------------


def release_hold(act: Act) -> None:
    money.release_hold(key=act.case.subject, now=act.now)


RELEASE_HOLD = Way(
    code="release_hold",
    title=_("Give the money back to its owner"),
    says=_("Ends the hold: the owner of the account can use the money again."),
    do=release_hold,
    two_people=BY_MONEY_AT_RISK,
)


def reverse_entry(act: Act) -> None:
    key = act.inputs["entry"]
    money.reverse_by_hand(key, by=f"hand:{act.case.number}:{key}"[:80], memo=act.reason[:MEMO], now=act.now)


REVERSE_ENTRY = Way(
    code="reverse_entry",
    title=_("Undo an entry"),
    says=_("Books the opposite of an entry. The entry itself stays: nothing in the ledger is ever edited."),
    do=reverse_entry,
    inputs=(Input("entry", _("key of the entry")),),
    two_people=ALWAYS,
)


def book_entry(act: Act) -> None:
    """One entry made by hand, between two accounts that exist."""
    debit, credit = act.inputs["debit"], act.inputs["credit"]
    for code in (debit, credit):
        if not journal.account_exists(code):
            raise CannotBeDone("no_account", code)
    try:
        amount_minor = int(act.inputs["amount"])
    except ValueError:
        raise CannotBeDone("bad_amount", act.inputs["amount"]) from None
    if not 0 < amount_minor < AMOUNT_END_MINOR or debit == credit:
        raise CannotBeDone("bad_amount", act.inputs["amount"])
    money.book_by_hand(
        key=f"hand:{act.case.number}",
        debit=debit,
        credit=credit,
        amount_minor=amount_minor,
        reference=act.case.purchase_number or act.case.number,
        memo=act.reason[:MEMO],
        now=act.now,
    )


BOOK_ENTRY = Way(
    code="book_entry",
    title=_("Book an entry by hand"),
    says=_("Moves an amount from one account of the ledger to another."),
    do=book_entry,
    inputs=(
        Input("debit", _("account to debit"), "account"),
        Input("credit", _("account to credit"), "account"),
        Input("amount", _("amount, in the smallest unit"), "amount"),
    ),
    two_people=ALWAYS,
)


def book_missing(act: Act) -> None:
    """Book what happened as the product books it, under the same keys: what is booked already is left alone."""
    payment = act.payment
    if payment.state != PaymentState.SUCCEEDED:
        raise CannotBeDone("not_paid_there", payment.state)
    handler = handler_of(payment.purchase_kind)
    purchase = handler.lock(payment.purchase_number)
    verdict = handler.settle(purchase, payment_number=payment.number, now=act.now)
    credit = verdict.credit if isinstance(verdict, Won) else money.suspense(payment.currency)
    money.book_success(payment, credit=credit, at=act.now)
    for refund in act.facts.refunds:
        if refund.payment_id == payment.pk:
            money.book_refund_requested(refund, at=act.now)
            if refund.state == RefundState.SUCCEEDED:
                money.book_refund_done(refund, at=act.now)


BOOK_MISSING = Way(
    code="book_missing",
    title=_("Book what is missing"),
    says=_("Books the payment and its refunds as they happened. What is booked already stays as it is."),
    do=book_missing,
    two_people=ALWAYS,
)


# -- states that do not fit together -----------------------------------------------------------------------------

REPAIR = Way(
    code="repair",
    title=_("Do the step that was left out"),
    says=_("Looks at what the facts lack (tickets, a refund, the end of an order) and does that step, once."),
    do=repair.run,
    alone=True,
)


# -- nothing to do -----------------------------------------------------------------------------------------------


def explain(act: Act) -> None:
    """Nothing moves: the case says why all is right as it is."""


EXPLAIN = Way(
    code="explain",
    title=_("Explain it"),
    says=_("Changes nothing. Your reason stays with the case, and the same finding opens no other one."),
    do=explain,
    two_people=BY_MONEY_AT_RISK,
    leaves=CaseState.EXPLAINED,
)

WATCHED_FOR = timedelta(minutes=10)
"""A case that was acted on and whose cause is still there after this long comes back to the inbox."""

ALL: dict[str, Way] = {
    way.code: way
    for way in (
        *(ASK_CHANNEL, TAKE_AS_PAID, END_UNPAID, TAKE_WHAT_CAME, SEND_REFUND_AGAIN, APPLY_AGAIN, TRY_AGAIN),
        *(RELEASE_HOLD, REVERSE_ENTRY, BOOK_ENTRY, REPAIR, EXPLAIN, SEND_TO_WALLET, BOOK_MISSING, SEND_BACK),
    )
}
