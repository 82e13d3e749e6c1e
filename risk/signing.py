"""
What the edge can check by itself: queue numbers and admission passes, signed so that nginx verifies and issues them
without asking Django. `deploy/nginx/lua/signing.lua` speaks the same format.

    v1.<fields joined by ~>.<base64url of HMAC-SHA1>

HMAC-SHA1 because stock nginx has it in C (`ngx.hmac_sha1`). The known collisions of SHA-1 do not touch its use as a
MAC: forging one still means guessing 160 bits.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

from django.conf import settings

VERSION = "v1"
QUEUE_NUMBER, ADMISSION_PASS = "queue-number", "admission-pass"
FIELD = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII).fullmatch
WHOLE = re.compile(r"[0-9]{1,15}", re.ASCII).fullmatch
TEXT_MAX = 256


class NotOurs(Exception):
    """The text was not signed by us for this purpose, or is not in the format."""


@dataclass(frozen=True, slots=True)
class QueueNumber:
    """A place in the room of `show`: the `number`-th that was given out in this `epoch`, to this buyer."""

    show: str
    buyer_id: int
    number: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Pass:
    """Lets this buyer submit once, until `expires_s` (Unix seconds). `nonce` is the same for the same queue number."""

    show: str
    buyer_id: int
    number: int
    expires_s: int
    nonce: str

    @property
    def epoch(self) -> int | None:
        """The generation of the number that earned it (see `nonce_of`); None if the nonce is not made of one."""
        epoch = self.nonce.partition("-")[0]
        return int(epoch) if WHOLE(epoch) else None


def sign_number(number: QueueNumber) -> str:
    return _signed(QUEUE_NUMBER, number.show, number.buyer_id, number.number, number.epoch)


def read_number(text: str) -> QueueNumber:
    """
    :raises NotOurs: see there
    """
    show, buyer_id, number, epoch = _fields(QUEUE_NUMBER, text, 4)
    return QueueNumber(show, _whole(buyer_id), _whole(number), _whole(epoch))


def sign_pass(admitted: Pass) -> str:
    return _signed(
        ADMISSION_PASS, admitted.show, admitted.buyer_id, admitted.number, admitted.expires_s, admitted.nonce
    )


def read_pass(text: str) -> Pass:
    """
    The pass as it was signed; whether it has expired is for the caller to see.

    :raises NotOurs: see there
    """
    show, buyer_id, number, expires_s, nonce = _fields(ADMISSION_PASS, text, 5)
    return Pass(show, _whole(buyer_id), _whole(number), _whole(expires_s), nonce)


def nonce_of(number: QueueNumber) -> str:
    """
    Names the one pass that a number entitles to, so that all tabs of a buyer share one pass and one use of it. It need
    not be secret, for the pass around it is signed; the buyer is in it in case a lost store gave a number out twice.
    """
    return f"{number.epoch}-{number.number}-{number.buyer_id}"


def key_of(purpose: str, secret: str = "") -> str:
    """The key of one purpose, 64 hex digits; the edge is given these and never the secret that they come from."""
    return hashlib.sha256(f"edge:{purpose}:{secret or settings.SECRET_KEY}".encode()).hexdigest()


def keys_of(purpose: str) -> list[str]:
    """The keys that verify, newest first: the older ones are those of `SECRET_KEY_FALLBACKS`."""
    return [
        key_of(purpose, secret)
        for secret in (settings.SECRET_KEY, *getattr(settings, "SECRET_KEY_FALLBACKS", []))
    ]


def mac(key: str, text: str) -> str:
    raw = hmac.digest(key.encode(), text.encode(), "sha1")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _signed(purpose: str, *fields: str | int) -> str:
    texts = [str(field) for field in fields]
    if not all(FIELD(text) for text in texts):
        raise ValueError(f"not signable: {texts}")
    body = f"{VERSION}.{'~'.join(texts)}"
    return f"{body}.{mac(key_of(purpose), body)}"


def _fields(purpose: str, text: str, count: int) -> list[str]:
    body, _dot, given = text.rpartition(".")
    version, _dot, payload = body.partition(".")
    fields = payload.split("~")
    sane = len(text) <= TEXT_MAX and text.isascii() and version == VERSION and len(fields) == count
    if not sane or not all(FIELD(field) for field in fields):
        raise NotOurs("malformed")
    if not any(hmac.compare_digest(mac(key, body), given) for key in keys_of(purpose)):
        raise NotOurs("forged")
    return fields


def _whole(text: str) -> int:
    if not WHOLE(text):
        raise NotOurs("malformed")
    return int(text)
