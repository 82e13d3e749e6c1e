"""What a buyer may see of the wallet: balances, and entries with the balance after each. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Sum, Window

from wallet.ledger import account_code
from wallet.models import Account, AccountKind, Posting
from wallet.money import CNY

CASH, BONUS = "cash", "bonus"
PAGE = 50


@dataclass(frozen=True, slots=True)
class Balances:
    """What is in the wallet, in minor units. `held_minor` is set aside and part of neither `cash` nor `bonus`."""

    cash_minor: int
    bonus_minor: int
    held_minor: int
    currency: str

    @property
    def available_minor(self) -> int:
        return self.cash_minor + self.bonus_minor


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One posting to the wallet. `balance_minor` is what the `account` (cash or bonus) held after it."""

    id: int
    at: datetime
    kind: str
    account: str
    amount_minor: int
    balance_minor: int
    currency: str
    reference: str


def balances(buyer_id: int, *, currency: str = CNY) -> Balances:
    """The buyer's balances; all zero for a wallet that was never used. One query."""
    found = {account.kind: account for account in Account.objects.filter(code__in=_codes(buyer_id, currency))}
    cash, bonus = found.get(AccountKind.BUYER_CASH), found.get(AccountKind.BUYER_BONUS)
    return Balances(
        cash_minor=cash.available_minor if cash else 0,
        bonus_minor=bonus.available_minor if bonus else 0,
        held_minor=sum(account.held_minor for account in found.values()),
        currency=currency,
    )


def entries(
    buyer_id: int, *, currency: str = CNY, before: int | None = None, limit: int = PAGE
) -> list[StatementLine]:
    """Up to `limit` entries, newest first; `before` is the id of the last one of the page before. One query."""
    # The sum runs over all earlier postings: `before` and `limit` only cut later ones and the answer.
    lines = (
        Posting.objects.filter(account__code__in=_codes(buyer_id, currency))
        .annotate(after=Window(Sum("amount_minor"), partition_by=[F("account_id")], order_by=F("id").asc()))
        .select_related("entry", "account")
        .order_by("-id")
    )
    if before is not None:
        lines = lines.filter(id__lt=before)
    return [_line(posting) for posting in lines[:limit]]


def _codes(buyer_id: int, currency: str) -> list[str]:
    kinds = (AccountKind.BUYER_CASH, AccountKind.BUYER_BONUS)
    return [account_code(kind, buyer_id, currency) for kind in kinds]


def _line(posting: Posting) -> StatementLine:
    entry, account = posting.entry, posting.account
    return StatementLine(
        id=posting.pk,
        at=entry.at,
        kind=entry.kind,
        account=CASH if account.kind == AccountKind.BUYER_CASH else BONUS,
        amount_minor=posting.amount_minor,
        balance_minor=getattr(posting, "after"),  # noqa: B009 (an annotation)
        currency=account.currency,
        reference=entry.reference,
    )
