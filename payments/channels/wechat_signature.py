"""
Believe a WeChat Pay message, answer or notification alike, by its four headers.

The key is chosen by `Wechatpay-Serial` from the pinned set and nothing is fetched for a serial that is not in
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from payments.channels.signing import is_signed

FRESH_S = 300
# WeChat sends messages with such a signature on purpose, to see that they are refused.
PROBE = "WECHATPAY/SIGNTEST/"


class NotBelieved(Exception):
    """`reason` is a stable code: unsigned, signature_probe, stale, unknown_serial or bad_signature."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class SignedBy:
    """Who signed, and what makes this one message unlike every other."""

    serial: str
    replay_key: str


def verify_headers(
    headers: Mapping[str, str], body: bytes, *, keys: Mapping[str, RSAPublicKey], now: datetime
) -> SignedBy:
    """:raises NotBelieved: see there"""
    lowered = {name.lower(): value for name, value in headers.items()}
    values = [lowered.get(f"wechatpay-{name}", "") for name in ("serial", "timestamp", "nonce", "signature")]
    if not all(values):
        raise NotBelieved("unsigned")
    serial, timestamp, nonce, signature = values
    if signature.startswith(PROBE):
        raise NotBelieved("signature_probe")
    if not _is_fresh(timestamp, now):
        raise NotBelieved("stale", timestamp[:32])
    if serial not in keys:
        raise NotBelieved("unknown_serial", serial[:64])
    if not is_signed(
        keys[serial], f"{timestamp}\n{nonce}\n".encode(errors="replace") + body + b"\n", signature
    ):
        raise NotBelieved("bad_signature")
    return SignedBy(serial, f"{serial}:{timestamp}:{nonce}")


def _is_fresh(timestamp: str, now: datetime) -> bool:
    plain = timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12
    return plain and abs(now.timestamp() - int(timestamp)) < FRESH_S
