"""
The two-phase payment token (M10): issued when the buyer reaches the order page, burned by the first payment request.

A token is signed for one buyer, one purchase, one amount and one `serial`, the count of tries made so far. All tabs and
reloads of one try get the same token, so however often Pay is pressed, one press burns it and the others learn for
which payment it was burned.

Who decides: the unique row in Postgres, written in the transaction that creates the payment. The fast store only spares
the repeated presses that transaction; wiped or away, it costs time and never a second charge.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from django.conf import settings

from basis import columns, fast, prepared

TOKEN_LIFE = timedelta(hours=2)
BURNED_MEMORY_S = 2 * 3600


class TokenRefused(Exception):
    """The token is not one of ours, is another buyer's or another purchase's, or is too old. `reason` is stable."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AlreadyBurned(Exception):
    """An earlier request used the token, for the payment `burned_for`."""

    def __init__(self, burned_for: str) -> None:
        super().__init__(burned_for)
        self.burned_for = burned_for


@dataclass(frozen=True, slots=True)
class Claim:
    """What a token entitles to: one payment request by this buyer for this purchase and amount."""

    buyer_id: int
    subject: str
    amount_minor: int
    serial: int


def issue(claim: Claim, *, now: datetime) -> str:
    """A token for `claim`; issuing it again for the same claim gives a token with the same nonce."""
    body = {
        "b": claim.buyer_id,
        "s": claim.subject,
        "a": claim.amount_minor,
        "n": claim.serial,
        "e": _until(now),
    }
    packed = _pack(json.dumps(body, separators=(",", ":")).encode())
    return f"{packed}.{_pack(_mac('sign', packed)[:18])}"


def check(token: str, *, buyer_id: int, subject: str, amount_minor: int, now: datetime) -> str:
    """
    The token's nonce, if it is valid for exactly this; says nothing about whether it was burned.

    :raises TokenRefused: `malformed`, `forged`, `foreign`, `amount_changed` or `expired`
    """
    try:
        packed, signature = token.split(".")
        body = json.loads(_unpack(packed))
        claim = Claim(body["b"], body["s"], body["a"], body["n"])
        until = body["e"]
    except (ValueError, KeyError, TypeError):
        raise TokenRefused("malformed") from None
    if not hmac.compare_digest(_pack(_mac("sign", packed)[:18]), signature):
        raise TokenRefused("forged")
    if (claim.buyer_id, claim.subject) != (buyer_id, subject):
        raise TokenRefused("foreign")
    if claim.amount_minor != amount_minor:
        raise TokenRefused("amount_changed")
    if until < now.timestamp():
        raise TokenRefused("expired")
    return _nonce(claim)


def burned_for(nonce: str) -> str:
    """The payment that the fast store remembers for this token; empty if it knows none or is away."""
    try:
        return str(fast.store().get(_key(nonce)) or "")
    except fast.FastStoreAway:
        return ""


def burn(*, nonce: str, subject: str, buyer_id: int, payment_number: str, now: datetime) -> None:
    """
    Use the token up for `payment_number`, in the caller's transaction. Of any number of callers exactly one returns.

    :raises AlreadyBurned: another request was first
    """
    with prepared.cursor() as cursor:
        # A second caller waits here until the first commits or rolls back.
        cursor.execute(
            "INSERT INTO risk_burnedtoken (nonce, subject, buyer_id, burned_for, burned_at) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (nonce) DO NOTHING",
            [nonce, subject, buyer_id, payment_number, now],
        )
        if cursor.rowcount == 1:
            return
        cursor.execute("SELECT burned_for FROM risk_burnedtoken WHERE nonce = %s", [nonce])
        raise AlreadyBurned(cursor.fetchone()[0])


@dataclass(frozen=True, slots=True)
class Burn:
    """A token to be used up for the payment of this number."""

    nonce: str
    subject: str
    buyer_id: int
    payment_number: str


BURN_ALL = """
INSERT INTO risk_burnedtoken (nonce, subject, buyer_id, burned_for, burned_at)
SELECT d.nonce, d.subject, d.buyer_id, d.burned_for, %s
  FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[]) AS d(nonce, subject, buyer_id, burned_for)
 ORDER BY d.nonce
ON CONFLICT (nonce) DO NOTHING RETURNING nonce
"""


def burn_all(burns: Sequence[Burn], *, now: datetime) -> dict[str, str]:
    """Use many tokens up, in the caller's transaction; by nonce, for which payment the others were burned before."""
    if not burns:
        return {}
    with prepared.cursor(wanted=len(burns) == 1) as cursor:
        cursor.execute(
            BURN_ALL,
            [
                now,
                columns.texts(burn.nonce for burn in burns),
                columns.texts(burn.subject for burn in burns),
                columns.wholes(burn.buyer_id for burn in burns),
                columns.texts(burn.payment_number for burn in burns),
            ],
        )
        missed = {burn.nonce for burn in burns} - {nonce for (nonce,) in cursor.fetchall()}
        if not missed:
            return {}
        cursor.execute(
            "SELECT nonce, burned_for FROM risk_burnedtoken WHERE nonce = ANY(%s::text[])",
            [columns.texts(missed)],
        )
        return dict(cursor.fetchall())


def remember_burned(nonce: str, payment_number: str) -> None:
    """Tell the fast store, after the commit. Losing this costs the next press one query."""
    try:
        fast.store().set(_key(nonce), payment_number, ex=BURNED_MEMORY_S)
    except fast.FastStoreAway:
        return


def _until(now: datetime) -> int:
    return int((now + TOKEN_LIFE).timestamp())


def _nonce(claim: Claim) -> str:
    return _mac("nonce", f"{claim.buyer_id}|{claim.subject}|{claim.amount_minor}|{claim.serial}").hex()[:32]


def _mac(purpose: str, text: str) -> bytes:
    return hmac.digest(_signing_key(purpose, settings.SECRET_KEY), text.encode(), "sha256")


@lru_cache(maxsize=8)
def _signing_key(purpose: str, secret: str) -> bytes:
    return hashlib.sha256(f"payment-token:{purpose}:{secret}".encode()).digest()


def _key(nonce: str) -> str:
    return f"paytoken:{{{nonce}}}"


def _pack(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unpack(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
