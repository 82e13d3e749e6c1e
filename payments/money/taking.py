"""What buyers pay: a channel took it, or the wallet gives it, bonus first (M27)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from payments.models import Payment
from payments.money.accounts import buyer_bonus, buyer_cash, clearing
from wallet import ledger
from wallet.ledger import Entry, InsufficientFunds, Line


def book_success(payment: Payment, *, credit: str, at: datetime) -> None:
    """A channel took the buyer's money: it owes us that much more."""
    post_between(
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


def post_between(
    *, key: str, kind: str, of: Payment, debit: str, credit: str, amount_minor: int, at: datetime
) -> None:
    """One entry about a payment, from `debit` to `credit`."""
    lines = (Line(debit, -amount_minor), Line(credit, amount_minor))
    ledger.post(Entry(key, kind, of.purchase_number, lines), at=at)
