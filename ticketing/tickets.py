"""
Tickets: issued when an order is paid, shown with a QR code that anybody with the public key can verify offline.

Payload: `KP1.<claims>.<signature>`, both parts base64url without padding; the claims are JSON with `t` (ticket number),
`s` (show code), `p` (section-row-seat) and `h` (the holder's id), signed with Ed25519 over `KP1.<claims>`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

from basis import numbers
from ticketing.models import Order, Ticket, TicketState

VERSION = "KP1"


class BadTicket(Exception):
    """The payload is not one of ours, or was changed."""


@dataclass(frozen=True, slots=True)
class TicketClaims:
    """What a verified payload says."""

    ticket: str
    show: str
    place: str
    holder: str


def issue(order: Order, seat_ids: list[int], *, now: datetime) -> None:
    """One valid ticket per seat, in one statement. A second valid ticket for a seat is refused by the database."""
    Ticket.objects.bulk_create(
        Ticket(
            number=numbers.new_number(numbers.TICKET, now),
            order=order,
            seat_id=seat_id,
            show_id=order.show_id,
            buyer_id=order.buyer_id,
            issued_at=now,
        )
        for seat_id in seat_ids
    )


def void(order: Order) -> int:
    """The order's tickets admit nobody any more."""
    return Ticket.objects.filter(order=order).exclude(state=TicketState.VOID).update(state=TicketState.VOID)


def place(ticket: Ticket) -> str:
    """Section, row and seat, e.g. `A1-3-12`. Needs seat, row and section selected."""
    row = ticket.seat.row
    return f"{row.section.code}-{row.label}-{ticket.seat.label}"


def payload(ticket: Ticket) -> str:
    """The text of the ticket's QR code."""
    claims = {"t": ticket.number, "s": ticket.show.code, "p": place(ticket), "h": str(ticket.buyer_id)}
    head = f"{VERSION}.{_pack(json.dumps(claims, separators=(',', ':'), ensure_ascii=False).encode())}"
    return f"{head}.{_pack(_private_key().sign(head.encode()))}"


def public_key() -> bytes:
    """The raw 32 bytes that a gate needs to verify tickets without a network."""
    return _private_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def verify(text: str, key: bytes) -> TicketClaims:
    """
    Verify a payload offline with the public key.

    :raises BadTicket: see there
    """
    try:
        head, _, signature = text.rpartition(".")
        version, _, packed = head.partition(".")
        Ed25519PublicKey.from_public_bytes(key).verify(_unpack(signature), head.encode())
        claims = json.loads(_unpack(packed))
        if version != VERSION:
            raise BadTicket(version)
        return TicketClaims(claims["t"], claims["s"], claims["p"], claims["h"])
    except (InvalidSignature, ValueError, KeyError, TypeError) as error:
        raise BadTicket(text[:16]) from error


@lru_cache(maxsize=1)
def _private_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(settings.TICKET_KEY))


def _pack(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unpack(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
