"""What was booked, to look at: entries by what they are about, and what a transaction has booked so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Max, Q, QuerySet

from wallet.models import Account, AccountKind, Hold, Posting


@dataclass(frozen=True, slots=True)
class Booked:
    """One line of an entry, with the entry it is of. Above zero it credits `account`, below zero it debits it."""

    id: int
    entry: str
    kind: str
    reference: str
    memo: str
    at: datetime
    account: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """Money set aside in an account: `state` is reserved, captured or released."""

    key: str
    account: str
    amount_minor: int
    currency: str
    state: str
    reference: str
    created_at: datetime


def booked_for(references: Iterable[str], *, limit: int = 200) -> list[Booked]:
    """The lines of all entries about these numbers (an order's, a top-up's), oldest first."""
    return _read(Posting.objects.filter(entry__reference__in=list(references)), limit=limit)


def last_line() -> int:
    """The id of the newest line; a mark for `booked_since`."""
    return Posting.objects.aggregate(newest=Max("id"))["newest"] or 0


def booked_since(mark: int) -> list[Booked]:
    """What this transaction has booked after `mark`; what others book at the same time is not among it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        txid = cursor.fetchone()[0]
    return _read(Posting.objects.filter(id__gt=mark, txid=txid))


def _read(lines: QuerySet[Posting], *, limit: int = 1000) -> list[Booked]:
    return [
        Booked(
            id=line.pk,
            entry=line.entry.key,
            kind=line.entry.kind,
            reference=line.entry.reference,
            memo=line.entry.memo,
            at=line.entry.at,
            account=line.account.code,
            amount_minor=line.amount_minor,
            currency=line.account.currency,
        )
        for line in lines.select_related("entry", "account").order_by("id")[:limit]
    ]


def set_aside_for(references: Iterable[str], *, keys: Iterable[str] = ()) -> list[SetAside]:
    """The holds about these numbers, and those of these keys, oldest first."""
    found = Hold.objects.filter(Q(reference__in=list(references)) | Q(key__in=list(keys)))
    return [
        SetAside(
            key=hold.key,
            account=hold.account.code,
            amount_minor=hold.amount_minor,
            currency=hold.account.currency,
            state=hold.state,
            reference=hold.reference,
            created_at=hold.created_at,
        )
        for hold in found.select_related("account").order_by("pk")
    ]


def kind_name(kind: str) -> str:
    """A kind of account in the reader's words."""
    return str(AccountKind(kind).label) if kind in AccountKind.values else kind


def account_exists(code: str) -> bool:
    return Account.objects.filter(code=code).exists()
