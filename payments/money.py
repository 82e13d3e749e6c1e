"""
How payments and refunds are booked: the only module of payments that touches the wallet's ledger.

| fact                              | debit                | credit                         |
|-----------------------------------|----------------------|--------------------------------|
| payment through a channel, won    | clearing:<channel>   | what the purchase names        |
| payment through a channel, surplus| clearing:<channel>   | suspense                       |
| payment from the wallet           | buyer bonus, then cash | what the purchase names      |
| refund of a won payment, requested| what was credited    | suspense                       |
| refund done by a channel          | suspense             | clearing:<channel>             |
| refund done to the wallet         | suspense             | buyer bonus and cash, as taken |
| refund redirected to the wallet   | suspense             | buyer cash                     |
| fee kept by a channel             | channel_fee:<channel>| clearing:<channel>             |
| channel sends to our bank         | bank                 | clearing:<channel>             |
| show settled with its organiser   | guarantee            | merchant:<organiser>, fee      |
| withdrawal paid out               | buyer cash or merchant | bank                         |
| withdrawal returned               | bank                 | buyer cash or merchant         |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from payments.models import ChannelCode, Destination, Outcome, Payment, Refund, Withdrawal
from wallet import folding, ledger
from wallet.ledger import Entry, HoldEnded, InsufficientFunds, KeyReused, Line
from wallet.models import AccountKind

__all__ = [
    "HoldEnded",
    "InsufficientFunds",
    "KeyReused",
    "NoSuchEntry",
    "Share",
    "Taking",
    "book_by_hand",
    "book_refund_done",
    "book_refund_requested",
    "book_refunds_requested",
    "book_show_settlements",
    "book_success",
    "book_wallet_refunds_done",
    "fold",
    "lock_and_share",
    "release_hold",
    "reverse_by_hand",
    "take_all_from_wallets",
    "take_from_wallet",
    "ways_back",
]

fold = folding.fold


def guarantee(currency: str) -> str:
    """Where buyers' money waits until the show has taken place (M20)."""
    return ledger.account_code(AccountKind.GUARANTEE, currency=currency)


def suspense(currency: str) -> str:
    return ledger.account_code(AccountKind.SUSPENSE, currency=currency)


def clearing(channel: str, currency: str) -> str:
    return ledger.account_code(AccountKind.CLEARING, channel, currency)


def buyer_cash(buyer_id: int, currency: str) -> str:
    return ledger.account_code(AccountKind.BUYER_CASH, buyer_id, currency)


def buyer_bonus(buyer_id: int, currency: str) -> str:
    return ledger.account_code(AccountKind.BUYER_BONUS, buyer_id, currency)


def merchant(code: str, currency: str) -> str:
    """What is an organiser's own and may be withdrawn."""
    return ledger.account_code(AccountKind.MERCHANT, code, currency)


def open_system_accounts(*, channels: list[str], currency: str, now: datetime) -> None:
    """Open the accounts that every sale posts to. Repeatable."""
    for kind in (
        AccountKind.GUARANTEE,
        AccountKind.SUSPENSE,
        AccountKind.FEE,
        AccountKind.PROMOTION,
        AccountKind.OPENING,
    ):
        ledger.open_accounts(kind, [""], now=now, currency=currency)
    ledger.open_accounts(AccountKind.CLEARING, channels, now=now, currency=currency)


def open_buyer_accounts(buyer_ids: list[int], *, currency: str, now: datetime) -> None:
    """Open cash and bonus accounts. Repeatable."""
    ledger.open_accounts(AccountKind.BUYER_CASH, buyer_ids, now=now, currency=currency)
    ledger.open_accounts(AccountKind.BUYER_BONUS, buyer_ids, now=now, currency=currency)


def book_success(payment: Payment, *, credit: str, at: datetime) -> None:
    """A channel took the buyer's money: it owes us that much more."""
    _post(
        key=f"pay:{payment.number}",
        kind="payment",
        of=payment,
        debit=clearing(payment.channel, payment.currency),
        credit=credit,
        amount_minor=payment.amount_minor,
        at=at,
    )


def take_from_wallet(payment: Payment, *, credit: str, at: datetime) -> None:
    """
    Pay from the buyer's wallet, bonus first (M27).

    :raises InsufficientFunds: bonus and cash together are too little; nothing is booked
    """
    bonus, cash = (
        buyer_bonus(payment.buyer_id, payment.currency),
        buyer_cash(payment.buyer_id, payment.currency),
    )
    accounts = ledger.lock_accounts([bonus, cash])
    has_bonus = accounts[bonus].available_minor if bonus in accounts else 0
    has_cash = accounts[cash].available_minor if cash in accounts else 0
    from_bonus = min(has_bonus, payment.amount_minor)
    from_cash = payment.amount_minor - from_bonus
    if from_cash > has_cash:
        raise InsufficientFunds(f"{has_bonus + has_cash} of {payment.amount_minor}")
    lines = [Line(bonus, -from_bonus), Line(cash, -from_cash), Line(credit, payment.amount_minor)]
    taken = tuple(line for line in lines if line.amount_minor)
    ledger.post(Entry(f"pay:{payment.number}", "payment", payment.purchase_number, taken), at=at)


@dataclass(frozen=True, slots=True)
class Taking:
    """A wallet payment to be taken: `payment` and `purchase` are numbers."""

    payment: str
    purchase: str
    buyer_id: int
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Share:
    """What a taking debits bonus and cash by; no `lines` if the wallet cannot pay it."""

    taking: Taking
    lines: Sequence[Line]


def take_all_from_wallets(shares: Sequence[Share], *, credits: Mapping[str, str], at: datetime) -> None:
    """
    Book many wallet payments in one statement, to the account of its currency in `credits`.

    :raises InsufficientFunds: one of them cannot be paid; nothing is booked
    """
    entries = []
    for share in shares:
        one = share.taking
        if not share.lines:
            raise InsufficientFunds(one.payment)
        lines = (*share.lines, Line(credits[one.currency], one.amount_minor))
        entries.append(Entry(f"pay:{one.payment}", "payment", one.purchase, lines))
    ledger.post_all(entries, at=at)


def lock_and_share(takings: Sequence[Taking]) -> list[Share]:
    """
    Lock the wallets, and say what each taking debits, bonus first, when all are taken in this order. It holds until the
    transaction ends.
    """
    wallets = [(buyer_bonus(o.buyer_id, o.currency), buyer_cash(o.buyer_id, o.currency)) for o in takings]
    left = ledger.lock_available({code for wallet in wallets for code in wallet})
    found = []
    for one, (bonus, cash) in zip(takings, wallets, strict=True):
        from_bonus = min(left.get(bonus, 0), one.amount_minor)
        from_cash = one.amount_minor - from_bonus
        parts = [(bonus, from_bonus), (cash, from_cash)]
        if from_cash > left.get(cash, 0):
            parts = []
        for code, part in parts:
            if part:
                left[code] -= part
        found.append(Share(one, [Line(code, -part) for code, part in parts if part]))
    return found


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
        _post(key=key, kind="refund", of=payment, debit=source, credit=target, amount_minor=amount, at=at)
        return
    back = _split_as_taken(payment, refund.amount_minor)
    lines = (Line(source, -refund.amount_minor), *back)
    ledger.post(Entry(key, "refund", payment.purchase_number, lines), at=at)


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


def book_settlement(
    *, key: str, channel: str, currency: str, kind: str, amount_minor: int, reference: str, at: datetime
) -> None:
    """
    A channel owes us `amount_minor` less, because it kept it (`kind` is "fee") or sent it to our bank ("transfer").
    Below zero it is the other way round: a fee given back, a transfer that returned.
    """
    if kind == "fee":
        (source,) = ledger.open_accounts(AccountKind.CHANNEL_FEE, [channel], now=at, currency=currency)
    else:
        (source,) = ledger.open_accounts(AccountKind.BANK, [""], now=at, currency=currency)
    (owed,) = ledger.open_accounts(AccountKind.CLEARING, [channel], now=at, currency=currency)
    lines = (Line(source, -amount_minor), Line(owed, amount_minor))
    ledger.post(Entry(key, "settlement", reference, lines), at=at)


@dataclass(frozen=True, slots=True)
class ShowSettled:
    """A show's money to its organiser (`net_minor`) and to the platform (`fee_minor`); below zero it comes back."""

    key: str
    reference: str
    merchant: str
    currency: str
    net_minor: int
    fee_minor: int


def book_show_settlements(settled: Sequence[ShowSettled], *, at: datetime) -> None:
    """
    Out of the guarantee account, all in one statement.

    :raises InsufficientFunds: an organiser has less than is to come back; nothing is booked
    """
    for currency in {one.currency for one in settled}:
        owners = sorted({one.merchant for one in settled if one.currency == currency})
        ledger.open_accounts(AccountKind.MERCHANT, owners, now=at, currency=currency)
        ledger.open_accounts(AccountKind.FEE, [""], now=at, currency=currency)
    entries = []
    for one in settled:
        lines = (
            Line(guarantee(one.currency), -one.net_minor - one.fee_minor),
            Line(merchant(one.merchant, one.currency), one.net_minor),
            Line(ledger.account_code(AccountKind.FEE, currency=one.currency), one.fee_minor),
        )
        moved = tuple(line for line in lines if line.amount_minor)
        entries.append(Entry(one.key, "show_settlement", one.reference, moved))
    ledger.post_all(entries, at=at)


def balance_of(code: str) -> int:
    """What an account has now; 0 if it is not open yet."""
    return ledger.balance(code)


def lock_account(code: str) -> int:
    """Lock one account of an owner; what it can give now, 0 if it is not open yet."""
    return ledger.lock_available([code]).get(code, 0)


def reserve_withdrawal(withdrawal: Withdrawal, *, now: datetime) -> None:
    """
    Set the money aside until the channel has spoken.

    :raises InsufficientFunds: less is available
    """
    ledger.reserve(
        key=withdrawal.hold,
        account=withdrawal.account,
        amount_minor=withdrawal.amount_minor,
        reference=withdrawal.number,
        now=now,
    )


def book_withdrawal_paid(withdrawal: Withdrawal, *, now: datetime) -> None:
    """
    What was set aside is gone, from the money that is ours outside. That the channel then has less of it, its statement
    of movements says (`book_settlement`, "transfer"): booked here too, it would leave the channel's account twice.
    """
    (bank,) = ledger.open_accounts(AccountKind.BANK, [""], now=now, currency=withdrawal.currency)
    amount = withdrawal.amount_minor
    lines = (Line(withdrawal.account, -amount), Line(bank, amount))
    entry = Entry(withdrawal.hold, "withdrawal", withdrawal.number, lines)
    ledger.capture(key=withdrawal.hold, entry=entry, now=now)


def book_withdrawal_after_all(withdrawal: Withdrawal, *, now: datetime) -> None:
    """
    It was given back, and the channel paid it out all the same: its owner has it twice until this is booked.

    :raises InsufficientFunds: he has less by now
    """
    (bank,) = ledger.open_accounts(AccountKind.BANK, [""], now=now, currency=withdrawal.currency)
    amount = withdrawal.amount_minor
    lines = (Line(withdrawal.account, -amount), Line(bank, amount))
    ledger.post(Entry(withdrawal.hold, "withdrawal", withdrawal.number, lines), at=now)


def book_withdrawal_returned(withdrawal: Withdrawal, *, now: datetime) -> None:
    """It came back after it was paid out."""
    bank = ledger.account_code(AccountKind.BANK, currency=withdrawal.currency)
    amount, key = withdrawal.amount_minor, f"withdraw-returned:{withdrawal.number}"
    lines = (Line(bank, -amount), Line(withdrawal.account, amount))
    ledger.post(Entry(key, "withdrawal_returned", withdrawal.number, lines), at=now)


def lock_merchants(owners: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Lock the accounts of these (organiser, currency); what each can give now, by account."""
    return ledger.lock_available({merchant(code, currency) for code, currency in owners})


# For statements over many payments: what an entry moved on clearing accounts (`%(clearing)s`, by their ids).
CLEARED = """
SELECT sum(posting.amount_minor)
  FROM wallet_journalentry entry JOIN wallet_posting posting ON posting.entry_id = entry.id
 WHERE entry.key = {entry} AND posting.account_id = ANY(%(clearing)s)
"""
CLEARED_EXACTLY = """
SELECT 1 FROM wallet_journalentry entry JOIN wallet_posting posting ON posting.entry_id = entry.id
 WHERE entry.key = {entry} AND posting.account_id = ANY(%(clearing)s) AND posting.amount_minor = {amount}
"""


def clearing_accounts(channel: str) -> list[int]:
    """The ids of a channel's clearing accounts, of every currency."""
    return ledger.accounts_of(AccountKind.CLEARING, channel)


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


def book_by_hand(
    *, key: str, debit: str, credit: str, amount_minor: int, reference: str, memo: str, now: datetime
) -> None:
    """
    An entry that two people made (desk). The same `key` books once.

    :raises InsufficientFunds: a bounded account would fall below its floor
    """
    lines = (Line(debit, -amount_minor), Line(credit, amount_minor))
    ledger.post(Entry(key, "by_hand", reference, lines, memo), at=now)


def reverse_by_hand(entry: str, *, by: str, memo: str, now: datetime) -> None:
    """
    Undo an entry; two people decided it (desk). Raises as `wallet.ledger.reverse` does.

    :raises NoSuchEntry: there is no entry of this key
    """
    if not ledger.lines_of(entry):
        raise NoSuchEntry(entry)
    ledger.reverse(entry, by=by, at=now, memo=memo)


def release_hold(*, key: str, now: datetime) -> None:
    """
    Give money that was set aside back to its owner. Repeatable.

    :raises HoldEnded: it was spent before
    """
    ledger.release(key=key, now=now)


class NoSuchEntry(Exception):
    """The ledger has no entry of this key."""


def _post(
    *, key: str, kind: str, of: Payment, debit: str, credit: str, amount_minor: int, at: datetime
) -> None:
    lines = (Line(debit, -amount_minor), Line(credit, amount_minor))
    ledger.post(Entry(key, kind, of.purchase_number, lines), at=at)
