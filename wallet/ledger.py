"""
The one door to money: entries are posted here and nowhere else.

Every function expects the caller's transaction, takes an idempotency key, and locks accounts in the order of their
ids (the posting trigger does it), which is the last step of the product's lock order (docs/locks.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Sum

from basis import columns, prepared
from wallet.models import (
    BOUNDED_KINDS,
    Account,
    AccountFold,
    AccountKind,
    Hold,
    HoldState,
    JournalEntry,
    Posting,
)
from wallet.money import CNY


class InsufficientFunds(Exception):
    """The account has less available than asked for; nothing was booked."""


class KeyReused(Exception):
    """The key was used before for another amount or other accounts; nothing was booked."""


class Unbalanced(Exception):
    """The lines do not sum to zero, or name an account that does not exist."""


class HoldEnded(Exception):
    """The hold was captured or released before."""


@dataclass(frozen=True, slots=True)
class Line:
    """`amount_minor` above zero credits `account` (its code), below zero debits it."""

    account: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry to be posted. `reference` is the number that staff search by (an order's, a top-up's)."""

    key: str
    kind: str
    reference: str
    lines: tuple[Line, ...]
    memo: str = ""
    reverses: str = ""  # the key of the entry that this one undoes


def account_code(kind: AccountKind, owner: str | int = "", currency: str = CNY) -> str:
    """The code of an account, e.g. `buyer_cash:42:CNY`, `guarantee::CNY`, `clearing:alipay:CNY`."""
    return f"{kind}:{owner}:{currency}"


def open_accounts(
    kind: AccountKind, owners: Iterable[str | int], *, now: datetime, currency: str = CNY
) -> list[str]:
    """Open one account per owner where it is missing, and answer their codes."""
    owners = [str(owner) for owner in owners]
    Account.objects.bulk_create(
        [
            Account(
                code=account_code(kind, owner, currency),
                kind=kind,
                owner=owner,
                currency=currency,
                floor_minor=0 if kind in BOUNDED_KINDS else None,
                created_at=now,
            )
            for owner in owners
        ],
        ignore_conflicts=True,
        batch_size=5000,
    )
    return [account_code(kind, owner, currency) for owner in owners]


def accounts_of(kind: AccountKind, owner: str | int) -> list[int]:
    """The ids of an owner's accounts of one kind, of every currency."""
    return list(
        Account.objects.filter(kind=kind, owner=str(owner)).order_by("pk").values_list("pk", flat=True)
    )


POST = """
WITH draft AS (
  SELECT * FROM unnest(
    %(keys)s::text[], %(kinds)s::text[], %(references)s::text[], %(memos)s::text[], %(reverses)s::text[]
  ) AS d(key, kind, reference, memo, reverses)
), entry AS (
  INSERT INTO wallet_journalentry (key, kind, reference, memo, at, reverses_id)
  SELECT key, kind, reference, memo, %(at)s,
         CASE WHEN reverses <> '' THEN (SELECT id FROM wallet_journalentry old WHERE old.key = draft.reverses) END
    FROM draft ORDER BY key
  ON CONFLICT (key) DO NOTHING
  RETURNING id, key
), posted AS (
  INSERT INTO wallet_posting (entry_id, account_id, amount_minor)
  SELECT entry.id, account.id, line.amount_minor
    FROM unnest(%(line_keys)s::text[], %(codes)s::text[], %(amounts)s::bigint[])
         WITH ORDINALITY AS line(key, code, amount_minor, nth)
    JOIN entry ON entry.key = line.key
    JOIN wallet_account account ON account.code = line.code
   ORDER BY line.nth
  RETURNING entry_id
), counted AS (
  SELECT entry_id, count(*) AS lines FROM posted GROUP BY entry_id
)
SELECT key, coalesce(counted.lines, 0) FROM entry LEFT JOIN counted ON counted.entry_id = entry.id
"""


def post_all(entries: Sequence[Entry], *, at: datetime) -> set[str]:
    """
    Post many entries in one statement; answer the keys that are new. A key that exists with the same lines is
    skipped: that fact is booked already.

    :raises InsufficientFunds: a bounded account would fall below its floor
    :raises KeyReused: a key exists with other lines
    :raises Unbalanced: an entry does not sum to zero, or names an unknown account
    """
    if not entries:
        return set()
    lines = [(entry.key, line) for entry in entries for line in entry.lines]
    values: dict[str, Any] = {
        "at": at,
        "keys": columns.texts(entry.key for entry in entries),
        "kinds": columns.texts(entry.kind for entry in entries),
        "references": columns.texts(entry.reference for entry in entries),
        "memos": columns.texts(entry.memo for entry in entries),
        "reverses": columns.texts(entry.reverses for entry in entries),
        "line_keys": columns.texts(key for key, _ in lines),
        "codes": columns.texts(line.account for _, line in lines),
        "amounts": columns.wholes(line.amount_minor for _, line in lines),
    }
    try:
        # The savepoint keeps the caller's transaction alive, so that it can record the refusal.
        with transaction.atomic(), prepared.cursor(wanted=len(entries) == 1) as cursor:
            cursor.execute(POST, values)
            posted = dict(cursor.fetchall())
            for entry in entries:
                if entry.key in posted and posted[entry.key] != len(entry.lines):
                    raise Unbalanced(f"{entry.key}: an account is missing")
    except IntegrityError as error:
        raise _meaning(error) from error
    repeated = [entry for entry in entries if entry.key not in posted]
    if repeated:
        _check_same(repeated)
    return set(posted)


def post(entry: Entry, *, at: datetime) -> bool:
    """Post one entry; answer whether it is new. Raises as `post_all` does."""
    return bool(post_all([entry], at=at))


def _meaning(error: IntegrityError) -> Exception:
    constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", "") or ""
    if constraint == "wallet_account_above_floor":
        return InsufficientFunds("the account has too little available")
    if constraint == "wallet_entry_balanced":
        return Unbalanced(str(error))
    if constraint == "wallet_journalentry_reverses_id_key":
        return KeyReused("the entry was reversed before")
    return error


def _check_same(entries: Sequence[Entry]) -> None:
    found: dict[str, list[tuple[str, int]]] = {entry.key: [] for entry in entries}
    rows = Posting.objects.filter(entry__key__in=list(found)).values_list(
        "entry__key", "account__code", "amount_minor"
    )
    for key, code, amount in rows:
        found[key].append((code, amount))
    for entry in entries:
        wanted = sorted((line.account, line.amount_minor) for line in entry.lines)
        if sorted(found[entry.key]) != wanted:
            raise KeyReused(f"{entry.key} was booked with other lines")


def lines_of(key: str) -> list[Line]:
    """The lines booked under `key`; empty if there is no such entry."""
    rows = Posting.objects.filter(entry__key=key).order_by("id").values_list("account__code", "amount_minor")
    return [Line(code, amount) for code, amount in rows]


def lines_of_all(keys: Iterable[str]) -> dict[str, list[Line]]:
    """The lines booked under each of these keys that exist."""
    found: dict[str, list[Line]] = {}
    rows = Posting.objects.filter(entry__key__in=list(keys)).order_by("id")
    for key, code, amount in rows.values_list("entry__key", "account__code", "amount_minor"):
        found.setdefault(key, []).append(Line(code, amount))
    return found


def reverse(key: str, *, by: str, at: datetime, memo: str = "") -> bool:
    """
    Undo the entry `key` by a new entry `by` with the opposite lines. Nothing is edited; a second reversal is refused.

    :raises InsufficientFunds: the money is no longer where the entry put it
    :raises KeyReused: the entry was reversed under another key
    """
    original = JournalEntry.objects.get(key=key)
    lines = tuple(Line(line.account, -line.amount_minor) for line in lines_of(key))
    return post(Entry(by, f"{original.kind}.reversal", original.reference, lines, memo, reverses=key), at=at)


def balance(code: str) -> int:
    """The account's balance in minor units: stored for a bounded account, summed for a hot one. 0 if not open yet."""
    account = Account.objects.select_related("fold").filter(code=code).first()
    if account is None:
        return 0
    if account.floor_minor is not None:
        return account.balance_minor
    postings = Posting.objects.filter(account=account)
    fold: AccountFold | None = getattr(account, "fold", None)
    folded = 0
    if fold is not None:
        folded, postings = fold.balance_minor, postings.filter(txid__gte=fold.before_txid)
    return folded + (postings.aggregate(total=Sum("amount_minor"))["total"] or 0)


def lock_accounts(codes: Iterable[str]) -> dict[str, Account]:
    """Lock accounts in the order of their ids and answer them by code."""
    rows = (
        Account.objects.select_for_update(of=("self",), no_key=True)
        .filter(code__in=list(codes))
        .order_by("pk")
    )
    return {account.code: account for account in rows}


LOCK_AVAILABLE = """
SELECT code, balance_minor - held_minor - coalesce(floor_minor, 0) FROM wallet_account
 WHERE code = ANY(%s::text[]) ORDER BY id FOR NO KEY UPDATE
"""


def lock_available(codes: Iterable[str]) -> dict[str, int]:
    """Lock bounded accounts in the order of their ids; what each can spend now, by code."""
    wanted = list(codes)
    with prepared.cursor(wanted=len(wanted) <= 2) as cursor:  # a buyer's cash and bonus
        cursor.execute(LOCK_AVAILABLE, [columns.texts(wanted)])
        return dict(cursor.fetchall())


def reserve(*, key: str, account: str, amount_minor: int, reference: str, now: datetime) -> Hold:
    """
    Set `amount_minor` aside in a bounded account. The same key returns the same hold.

    :raises InsufficientFunds: less is available
    :raises KeyReused: the key holds another amount or account
    """
    known = Hold.objects.filter(key=key).select_related("account").first()
    if known is not None:
        if (known.account.code, known.amount_minor) != (account, amount_minor):
            raise KeyReused(key)
        return known
    taken = Account.objects.filter(
        code=account,
        floor_minor__isnull=False,
        balance_minor__gte=F("floor_minor") + F("held_minor") + amount_minor,
    ).update(held_minor=F("held_minor") + amount_minor)
    if taken != 1:
        raise InsufficientFunds(account)
    return Hold.objects.create(
        key=key,
        account=Account.objects.get(code=account),
        amount_minor=amount_minor,
        reference=reference,
        created_at=now,
    )


def capture(*, key: str, entry: Entry, now: datetime) -> None:
    """
    Spend a reserved amount: end the hold and post `entry`, which must debit the held account by the held amount.

    :raises HoldEnded: the hold was released before
    """
    hold = _end(key, HoldState.CAPTURED, now)
    if hold is None:
        return
    debited = sum(-line.amount_minor for line in entry.lines if line.account == hold.account.code)
    if debited != hold.amount_minor:
        raise Unbalanced(f"{key} holds {hold.amount_minor}, the entry debits {debited}")
    post(entry, at=now)


def release(*, key: str, now: datetime) -> None:
    """
    Give a reserved amount back to the account's owner.

    :raises HoldEnded: the hold was captured before
    """
    _end(key, HoldState.RELEASED, now)


def _end(key: str, to: HoldState, now: datetime) -> Hold | None:
    """End a hold; None if it ended the same way before."""
    hold = Hold.objects.select_for_update(of=("self",), no_key=True).select_related("account").get(key=key)
    if hold.state == to:
        return None
    if hold.state != HoldState.RESERVED:
        raise HoldEnded(f"{key} is {hold.state}")
    Hold.objects.filter(pk=hold.pk).update(state=to, ended_at=now)
    Account.objects.filter(pk=hold.account_id).update(held_minor=F("held_minor") - hold.amount_minor)
    return hold
