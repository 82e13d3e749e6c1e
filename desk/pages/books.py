"""Order, payment, ledger and channel side by side, and in what they do not agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from basis import staff
from desk import enquiry
from desk.facts import Facts
from desk.models import Case, TrailEntry
from desk.pages import kinds, words
from payments.models import Notification, Outcome, Payment, PaymentState, Refund, RefundState, Verdict
from payments.withdrawal_models import Withdrawal
from ticketing.wording import channel_name
from wallet.journal import Booked

# What is compared: every book that knows it must say the same.
AMOUNT, CURRENCY, TAKEN, RETURNED, REFERENCE = "amount", "currency", "taken", "returned", "reference"
GOOD_VERDICTS = (Verdict.ACCEPTED, Verdict.APPLIED, Verdict.PARKED)


@dataclass(frozen=True, slots=True)
class Pair:
    """One line of a book. `says` is what is compared under `key`; a book that does not know leaves it None. `form` is
    `entry` for the head of an entry and `line` for what it books."""

    name: str
    text: SafeString | str
    key: str = ""
    says: Any = None
    colour: str = ""
    differs: bool = False
    starts: bool = False
    form: str = ""


@dataclass(frozen=True, slots=True)
class Book:
    title: str
    icon: str
    pairs: list[Pair] = field(default_factory=list)


def side_by_side(case: Case, facts: Facts) -> list[Book]:
    """The four books about a case; pairs in which they do not agree are marked."""
    payment = _in_question(case, facts)
    books = [
        Book(
            _title(facts),
            "account_balance_wallet" if facts.withdrawal else "shopping_bag",
            list(_purchase(facts, payment)),
        ),
        Book(_("Payment"), "payments", list(_payments(facts, payment))),
        Book(_("Ledger"), "account_balance", list(_ledger(facts, payment))),
        Book(_("Channel"), "hub", list(_channel(case, facts, payment))),
    ]
    return _marked(books)


def _title(facts: Facts) -> str:
    if facts.withdrawal:
        return _("Withdrawal")
    return _("Top-up") if facts.topup else pgettext("what was bought", "Order")


def _marked(books: Iterable[Book]) -> list[Book]:
    books = list(books)
    said: dict[str, set[Any]] = {}
    for pair in (pair for book in books for pair in book.pairs if pair.key and pair.says is not None):
        said.setdefault(pair.key, set()).add(pair.says)
    apart = {key for key, values in said.items() if len(values) > 1}
    return [
        replace(
            book,
            pairs=[replace(pair, differs=pair.key in apart and pair.says is not None) for pair in book.pairs],
        )
        for book in books
    ]


def _in_question(case: Case, facts: Facts) -> Payment | None:
    if case.payment_number:
        return facts.payment(case.payment_number)
    won = (payment for payment in facts.payments if payment.outcome == Outcome.WON)
    return next(won, facts.payments[-1] if facts.payments else None)


def _purchase(facts: Facts, payment: Payment | None) -> Iterator[Pair]:
    if facts.order:
        yield from _order(facts, payment)
    elif facts.topup:
        topup = facts.topup
        yield Pair(_("number"), staff.number(topup.number))
        yield Pair(_("state"), topup.get_state_display(), colour=words.COLOURS.get(topup.state, ""))
        yield Pair(_("amount"), words.amount(topup.amount_minor, topup.currency), AMOUNT, topup.amount_minor)
        yield Pair(_("buyer"), staff.buyer(topup.buyer_id))
    elif facts.withdrawal:
        yield from _withdrawal(facts.withdrawal)


def _withdrawal(one: Withdrawal) -> Iterator[Pair]:
    yield Pair(_("number"), staff.number(one.number))
    yield Pair(_("state"), one.get_state_display(), colour=words.COLOURS.get(one.state, ""))
    yield Pair(_("amount"), words.amount(one.amount_minor, one.currency))
    yield Pair(_("whose"), f"{one.get_owner_kind_display()} {one.owner}")
    yield Pair(_("paid to"), f"{one.get_payee_kind_display()} {one.payee_shown}")
    yield Pair(_("asked by"), one.requested_by)
    if one.approved_by:
        yield Pair(_("approved by"), one.approved_by)
    yield Pair(_("sent at"), staff.moment(one.sent_at))
    if one.channel_reference:
        yield Pair(_("channel’s number"), one.channel_reference)


def _order(facts: Facts, payment: Payment | None) -> Iterator[Pair]:
    order = facts.order
    assert order is not None  # noqa: S101 (the caller looked)
    # Money that the order does not need is not missed there.
    compared = payment is not None and payment.outcome != Outcome.SURPLUS
    is_paid = compared and order.winner == getattr(payment, "number", "")
    yield Pair(_("number"), staff.thing(order))
    yield Pair(
        _("state"),
        order.get_state_display(),
        TAKEN,
        is_paid if compared else None,
        words.COLOURS.get(order.state, ""),
    )
    yield Pair(_("amount"), words.amount(order.amount_minor, order.currency), AMOUNT, order.amount_minor)
    yield Pair(_("currency"), order.currency, CURRENCY, order.currency)
    yield Pair(_("show"), f"{order.show.event.name} · {order.show.code}")
    yield Pair(_("seats"), _("%(count)d × %(tier)s") % {"count": order.quantity, "tier": order.tier.name})
    valid = sum(ticket.state != "void" for ticket in facts.tickets)
    yield Pair(_("tickets"), f"{valid} / {len(facts.tickets)}" if facts.tickets else staff.NOTHING)
    yield Pair(_("buyer"), staff.buyer(order.buyer_id, str(order.buyer)))
    yield Pair(_("placed"), staff.moment(order.placed_at))
    if order.open:
        yield Pair(_("held until"), staff.moment(order.hold_until))


def _payments(facts: Facts, first: Payment | None) -> Iterator[Pair]:
    if first is None:
        return
    for payment in [first, *(other for other in facts.payments if other.pk != first.pk)]:
        is_first = payment is first
        yield Pair(_("number"), staff.thing(payment), starts=not is_first)
        yield Pair(
            _("state"),
            _state(payment),
            TAKEN if is_first else "",
            payment.state == PaymentState.SUCCEEDED,
            words.COLOURS.get(payment.state, ""),
        )
        yield Pair(
            _("amount"),
            words.amount(payment.amount_minor, payment.currency),
            AMOUNT if is_first else "",
            payment.amount_minor,
        )
        if is_first:
            yield from _more_of(payment)
        for refund in facts.refunds:
            if refund.payment_id == payment.pk:
                yield from _refund(refund)
        if is_first and (back := _refunded(facts, payment)):
            yield Pair(_("refunded"), words.amount(back, payment.currency), RETURNED, back)


def _more_of(payment: Payment) -> Iterator[Pair]:
    yield Pair(_("currency"), payment.currency, CURRENCY, payment.currency)
    yield Pair(_("channel"), channel_name(payment.channel))
    if payment.channel_reference:
        yield Pair(_("channel’s number"), payment.channel_reference, REFERENCE, payment.channel_reference)
    if payment.paid_at:
        yield Pair(_("paid"), staff.moment(payment.paid_at))
    if payment.refusal:
        yield Pair(_("refusal"), payment.refusal)


def _state(payment: Payment) -> str:
    text = payment.get_state_display()
    return f"{text} · {payment.get_outcome_display()}" if payment.outcome else str(text)


def _refund(refund: Refund) -> Iterator[Pair]:
    yield Pair(_("refund"), staff.thing(refund))
    said = f"{refund.get_state_display()} · {words.amount(refund.amount_minor, refund.currency)}"
    if refund.refusal:
        said += f" · {refund.refusal}"
    yield Pair(_("its state"), said, colour=words.COLOURS.get(refund.state, ""))


def _refunded(facts: Facts, payment: Payment) -> int:
    done = (refund for refund in facts.refunds if refund.payment_id == payment.pk)
    return sum(refund.amount_minor for refund in done if refund.state == RefundState.SUCCEEDED)


def _ledger(facts: Facts, payment: Payment | None) -> Iterator[Pair]:
    entries: dict[str, list[Booked]] = {}
    for line in facts.booked:
        entries.setdefault(line.entry, []).append(line)
    if payment is not None:
        taken = entries.get(f"pay:{payment.number}", [])
        yield Pair(_("payment booked"), _("yes") if taken else _("no"), TAKEN, bool(taken))
        if taken:
            minor = sum(line.amount_minor for line in taken if line.amount_minor > 0)
            yield Pair(_("amount"), words.amount(minor, taken[0].currency), AMOUNT, minor)
            yield Pair(_("currency"), taken[0].currency, CURRENCY, taken[0].currency)
    for number, (key, lines) in enumerate(entries.items()):
        yield Pair(
            str(lines[0].kind),
            staff.page("wallet_journalentry", key, q=key),
            starts=number == 0,
            form="entry",
        )
        for line in lines:
            yield Pair(line.account, words.amount(line.amount_minor, line.currency), form="line")
    for hold in facts.holds:
        yield Pair(
            _("set aside"), f"{words.amount(hold.amount_minor, hold.currency)} · {hold.state}", starts=True
        )


def _channel(case: Case, facts: Facts, payment: Payment | None) -> Iterator[Pair]:
    """What the channel told about the payment in question: by itself, in its statement, or when it was asked."""
    if payment is not None:
        yield Pair(_("channel"), channel_name(payment.channel))
        told = _last_told(facts, payment)
        if told is not None:
            yield from _told(told, payment)
    if asked := enquiry.last_answer(case):
        yield from _asked(asked)
    yield from _next_steps(facts)
    yield from _statement(case)


def _last_told(facts: Facts, payment: Payment) -> Notification | None:
    mine = (
        row
        for row in reversed(facts.told)
        if row.payment_number == payment.number and row.verdict in GOOD_VERDICTS and row.facts
    )
    return next(mine, None)


def _told(row: Notification, payment: Payment) -> Iterator[Pair]:
    said = row.facts
    paid = said.get("what") == "Paid"
    colour = words.COLOURS.get(row.verdict, "")
    taken = paid if said.get("what") in ("Paid", "Closed") else None
    yield Pair(_("told by itself"), kinds.answer(said.get("what", "")), TAKEN, taken, colour)
    if paid:
        minor, currency = int(said["amount_minor"]), str(said["currency"])
        yield Pair(_("amount"), words.amount(minor, currency), AMOUNT, minor)
        yield Pair(_("currency"), currency, CURRENCY, currency)
        # A payment that never learnt its number does not contradict the channel.
        known = said.get("channel_reference") or None
        yield Pair(
            _("channel’s number"),
            known or staff.NOTHING,
            REFERENCE,
            known if payment.channel_reference else None,
        )
    yield Pair(_("received"), staff.moment(row.received_at))
    yield Pair(_("our verdict"), row.get_verdict_display(), colour=colour)


def _next_steps(facts: Facts) -> Iterator[Pair]:
    """What the product itself does next, and what went wrong the last time."""
    for message in facts.next_steps().values():
        yield Pair(_("next step"), kinds.message(message.kind), starts=True)
        yield Pair(_("next at"), staff.moment(message.due_at)[:-4])
        if message.attempts:
            yield Pair(_("tries"), str(message.attempts))
        if message.last_error:
            yield Pair(_("last error"), message.last_error[:160], colour=words.BAD)


def _asked(entry: TrailEntry) -> Iterator[Pair]:
    said = entry.facts
    paid = said.get("what") == "Paid"
    yield Pair(_("when asked"), kinds.answer(said.get("what", "")), TAKEN, paid, starts=True)
    if paid:
        minor, currency = int(said["amount_minor"]), str(said["currency"])
        yield Pair(_("amount"), words.amount(minor, currency), AMOUNT, minor)
        yield Pair(_("currency"), currency, CURRENCY, currency)
        yield Pair(_("channel’s number"), said.get("channel_reference") or staff.NOTHING)
    yield Pair(_("asked"), f"{staff.moment(entry.at)} · {entry.actor}")


def _statement(case: Case) -> Iterator[Pair]:
    """The facts of a discrepancy, which its case repeats: what the channel's statement says."""
    facts = case.facts
    if case.subject_kind != "discrepancy":
        return
    yield Pair(_("statement of"), str(facts.get("day", "")), starts=True)
    theirs = facts.get("theirs_minor")
    if theirs is None:
        yield Pair(_("it says"), _("nothing about it"), TAKEN, False)
    else:
        is_refund = int(theirs) < 0
        minor = abs(int(theirs))
        yield Pair(
            _("refund in the statement") if is_refund else _("amount in the statement"),
            words.amount(minor, case.currency),
            "" if is_refund else AMOUNT,
            minor,
        )
    if facts.get("number"):
        yield Pair(_("number"), str(facts["number"]))
    fees = (facts.get("fee_milli"), facts.get("fee_expected_milli"))
    for name, milli in zip((_("fee"), _("fee by contract")), fees, strict=True):
        if milli is not None:
            yield Pair(name, words.amount(int(milli) // 1000, case.currency))
