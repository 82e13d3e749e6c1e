"""A buyer's own wallet, for those who look. Reads only; nothing here decides."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from wallet.ledger import account_code
from wallet.models import Account, AccountKind, Posting, TopUp
from wallet.money import CNY

BUYER_KINDS = (AccountKind.BUYER_CASH, AccountKind.BUYER_BONUS)


@dataclass(frozen=True, slots=True)
class Balances:
    """What a buyer has, in minor units; `held_minor` of it is set aside and cannot be spent."""

    cash_minor: int
    bonus_minor: int
    held_minor: int
    currency: str

    @property
    def available_minor(self) -> int:
        return self.cash_minor + self.bonus_minor - self.held_minor


def balances(buyer_id: int, currency: str = CNY) -> Balances:
    """The buyer's balances, in one query; zero where no account is open yet."""
    found = {account.kind: account for account in Account.objects.filter(code__in=_codes(buyer_id, currency))}
    stored = [found[kind].balance_minor if kind in found else 0 for kind in BUYER_KINDS]
    held = sum(account.held_minor for account in found.values())
    return Balances(stored[0], stored[1], held, currency)


def postings_of(buyer_id: int, currency: str = CNY) -> QuerySet[Posting]:
    """Every line of the ledger on the buyer's accounts."""
    codes = _codes(buyer_id, currency)
    return Posting.objects.filter(account__code__in=codes).select_related("account", "entry")


def topups_of(buyer_id: int) -> QuerySet[TopUp]:
    return TopUp.objects.filter(buyer_id=buyer_id)


def _codes(buyer_id: int, currency: str) -> list[str]:
    return [account_code(kind, buyer_id, currency) for kind in BUYER_KINDS]
