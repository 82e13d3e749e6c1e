"""From which devices a buyer signs in: what tells that many accounts, or a merchant's own people, are one hand."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.http import HttpRequest
from django.utils import timezone

from basis import addresses
from basis.sealed import blind_index
from risk.gate_web import device_mark

SEEN = """
INSERT INTO risk_buyerdevice (buyer_id, device, address, first_seen, last_seen)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (buyer_id, device) DO UPDATE SET last_seen = excluded.last_seen, address = excluded.address
"""


def note(sender: Any = None, request: HttpRequest | None = None, user: Any = None, **_more: object) -> None:
    """Django's `user_logged_in`: one statement a sign-in, none where the request carries no mark."""
    mark = device_mark(request) if request is not None else ""
    if not mark or user is None:
        return
    now = timezone.now()  # noqa: TID251 - a sign-in's edge
    with connection.cursor() as cursor:
        cursor.execute(SEEN, [user.pk, blind_index(mark, "list:device"), addresses.of(request), now, now])  # type: ignore[arg-type]
