"""The ledger's accounts that money moves between: their codes, opening them, what they hold."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from wallet import ledger
from wallet.models import AccountKind


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


def balance_of(code: str) -> int:
    """What an account has now; 0 if it is not open yet."""
    return ledger.balance(code)


def lock_account(code: str) -> int:
    """Lock one account of an owner; what it can give now, 0 if it is not open yet."""
    return ledger.lock_available([code]).get(code, 0)


def lock_merchants(owners: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Lock the accounts of these (organiser, currency); what each can give now, by account."""
    return ledger.lock_available({merchant(code, currency) for code, currency in owners})


def clearing_accounts(channel: str) -> list[int]:
    """The ids of a channel's clearing accounts, of every currency."""
    return ledger.accounts_of(AccountKind.CLEARING, channel)
