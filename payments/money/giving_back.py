"""What goes back to buyers: requested, it waits in suspense; done, it is with the channel or in the wallet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from payments.models import ChannelCode, Destination, Outcome, Payment, Refund
from payments.money.accounts import buyer_cash, clearing, open_buyer_accounts, suspense
from payments.money.taking import post_between
from wallet import ledger
from wallet.ledger import Entry, Line
from wallet.models import AccountKind


def book_refund_requested(refund: Refund, *, at: datetime) -> None:
    """A won payment's money leaves where it was credited; a surplus payment's waits in suspense already."""
    book_refunds_requested([refund], at=at)


def book_refunds_requested(refunds: Sequence[Refund], *, at: datetime) -> None:
    """The same for many, in two statements."""
    won = [refund for refund in refunds if refund.payment.outcome == Outcome.WON]
    taken = ledger.lines_of_all(f"pay:{refund.payment.number}" for refund in won)
    entries = []
    for refund in won:
        number, amount_minor = refund.payment.number, refund.amount_minor
        credited = next(line.account for line in taken[f"pay:{number}"] if line.amount_minor > 0)
        lines = (Line(credited, -amount_minor), Line(suspense(refund.currency), amount_minor))
        key, reference = f"refund-requested:{refund.number}", refund.payment.purchase_number
        entries.append(Entry(key, "refund_requested", reference, lines))
    ledger.post_all(entries, at=at)


def book_refund_done(refund: Refund, *, at: datetime) -> None:
    """The money is back with the buyer: the channel owes us that much less, or the wallet has it again."""
    payment = refund.payment
    key, source = f"refund:{refund.number}", suspense(refund.currency)
    if payment.channel != ChannelCode.WALLET:
        target = clearing(payment.channel, payment.currency)
        if refund.destination == Destination.WALLET:  # the channel goes on owing us what it did not refund
            open_buyer_accounts([payment.buyer_id], currency=refund.currency, now=at)
            target = buyer_cash(payment.buyer_id, refund.currency)
        amount = refund.amount_minor
        post_between(
            key=key, kind="refund", of=payment, debit=source, credit=target, amount_minor=amount, at=at
        )
        return
    back = _split_as_taken(payment, refund.amount_minor)
    lines = (Line(source, -refund.amount_minor), *back)
    ledger.post(Entry(key, "refund", payment.purchase_number, lines), at=at)


def book_wallet_refunds_done(refunds: Sequence[Refund], *, at: datetime) -> None:
    """
    Refunds of wallet payments, each of another payment, all in one statement: as `book_refund_done` books one. Their
    purchases are locked.
    """
    earlier: dict[int, list[str]] = {}
    payments = [refund.payment for refund in refunds]
    for payment_id, number in Refund.objects.filter(payment__in=payments).values_list("payment_id", "number"):
        earlier.setdefault(payment_id, []).append(f"refund:{number}")
    booked = ledger.lines_of_all(
        [
            *(f"pay:{payment.number}" for payment in payments),
            *(key for keys in earlier.values() for key in keys),
        ]
    )
    entries = []
    for refund in refunds:
        payment, amount_minor = refund.payment, refund.amount_minor
        given = [line for key in earlier[payment.pk] for line in booked.get(key, ())]
        back = _shared_as_taken(booked[f"pay:{payment.number}"], given, amount_minor)
        lines = (Line(suspense(refund.currency), -amount_minor), *back)
        entries.append(Entry(f"refund:{refund.number}", "refund", payment.purchase_number, lines))
    # In the order of their ids, before the posting: so nobody who takes several waits for us in a circle.
    ledger.lock_available({line.account for entry in entries for line in entry.lines[1:]})
    ledger.post_all(entries, at=at)


def ways_back(payment: Payment, amount_minor: int) -> list[tuple[str, int]]:
    """
    Where so much of a payment would go: its channel, or the wallet's cash and bonus as they were taken, by the kind of
    account.
    """
    if payment.channel != ChannelCode.WALLET:
        return [(str(payment.channel), amount_minor)]
    return [
        (line.account.partition(":")[0], line.amount_minor) for line in _split_as_taken(payment, amount_minor)
    ]


def _split_as_taken(payment: Payment, amount_minor: int) -> list[Line]:
    """
    Give cash back first, then bonus, each no more than was taken and not given back by an earlier refund; all refunds
    together are the exact mirror. The purchase is locked, so that no other refund is booked meanwhile.
    """
    numbers = Refund.objects.filter(payment=payment).values_list("number", flat=True)
    given = ledger.lines_of_all(f"refund:{number}" for number in numbers)
    before = [line for lines in given.values() for line in lines]
    return _shared_as_taken(ledger.lines_of(f"pay:{payment.number}"), before, amount_minor)


def _shared_as_taken(paid: Iterable[Line], given: Iterable[Line], amount_minor: int) -> list[Line]:
    taken = {line.account: -line.amount_minor for line in paid if line.amount_minor < 0}
    for line in given:
        if line.account in taken:
            taken[line.account] -= line.amount_minor
    back: list[Line] = []
    for account in sorted(taken, key=lambda code: code.startswith(AccountKind.BUYER_BONUS)):
        part = min(taken[account], amount_minor)
        if part:
            back.append(Line(account, part))
            amount_minor -= part
    return back
