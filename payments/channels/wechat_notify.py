"""
Read what WeChat Pay posts to us: an envelope whose resource is encrypted with AES-256-GCM under the APIv3
key.

The signature is checked before (`wechat_signature`). Only the merchant's own APIv3 key opens the resource;
the merchant and app inside it are compared all the same.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from payments.channels import port

BODY_BYTES_MAX = 64 * 1024
APIV3_KEY_BYTES = 32
GCM_NONCE_BYTES = 12
ALGORITHM = "AEAD_AES_256_GCM"


@dataclass(frozen=True, slots=True)
class Event:
    """One decrypted notification. `id` is equal in every repetition, whatever its nonce and ciphertext."""

    id: str
    type: str
    resource: Mapping[str, Any]


def load_apiv3_key(text: str) -> AESGCM:
    """:raises ValueError: it is not 32 bytes long"""
    if len(text.encode()) != APIV3_KEY_BYTES:
        raise ValueError("the APIv3 key must be 32 bytes long")
    return AESGCM(text.encode())


def open_event(body: bytes, apiv3_key: AESGCM) -> Event:
    """:raises port.NotifyRefused: malformed, undecryptable"""
    if len(body) > BODY_BYTES_MAX:
        raise port.NotifyRefused("malformed", "too large")
    try:
        envelope = json.loads(body)
        resource = envelope["resource"]
        if envelope["resource_type"] != "encrypt-resource" or resource["algorithm"] != ALGORITHM:
            raise ValueError("unknown encryption")
        nonce, ciphertext = (
            resource["nonce"].encode(),
            base64.b64decode(resource["ciphertext"], validate=True),
        )
        associated = (resource.get("associated_data") or "").encode()
        event_id, event_type = str(envelope["id"] or ""), str(envelope["event_type"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise port.NotifyRefused("malformed", type(error).__name__) from error
    if not event_id:
        raise port.NotifyRefused("malformed", "no id")
    return Event(event_id, event_type, _decrypt(apiv3_key, nonce, ciphertext, associated))


def _decrypt(key: AESGCM, nonce: bytes, ciphertext: bytes, associated: bytes) -> Mapping[str, Any]:
    if len(nonce) != GCM_NONCE_BYTES:
        raise port.NotifyRefused("undecryptable", "nonce")
    try:
        content = json.loads(key.decrypt(nonce, ciphertext, associated))
    except (InvalidTag, ValueError, RecursionError) as error:
        raise port.NotifyRefused("undecryptable") from error
    if not isinstance(content, dict):
        raise port.NotifyRefused("malformed", "resource")
    return content


def check_addressee(event: Event, *, mchid: str, appid: str) -> None:
    """
    A refund's resource names no app, and by some accounts no merchant either; the APIv3 key speaks for it
    then.

    :raises port.NotifyRefused: wrong_merchant, wrong_app
    """
    payment = event.type.startswith("TRANSACTION.")
    if event.resource.get("mchid", None if payment else mchid) != mchid:
        raise port.NotifyRefused("wrong_merchant", str(event.resource.get("mchid"))[:32])
    if payment and event.resource.get("appid") != appid:
        raise port.NotifyRefused("wrong_app", str(event.resource.get("appid"))[:32])


def to_notice(event: Event, *, key_id: str) -> port.Notice:
    """:raises port.NotifyRefused: malformed, unknown_event"""
    try:
        number = _text(event.resource, "out_trade_no")
        if event.type.startswith("TRANSACTION."):
            return port.Notice(event.id, key_id, number, payment=trade_state(event.resource))
        if event.type.startswith("REFUND."):
            refund = refund_state(event.resource, str(event.resource["refund_status"]))
            settled = None if isinstance(refund, port.Unknown) else refund
            refund_number = _text(event.resource, "out_refund_no")
            return port.Notice(event.id, key_id, number, refund_number=refund_number, refund=settled)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise port.NotifyRefused("malformed", f"{type(error).__name__}: {error}") from error
    raise port.NotifyRefused("unknown_event", event.type[:64])


def trade_state(resource: Mapping[str, Any]) -> port.Paid | port.Closed | port.Waiting | None:
    """
    What a transaction, in an answer or a notification, says; None for a state that decides nothing here.

    :raises KeyError, ValueError, TypeError: it lacks what it must hold
    """
    state = resource["trade_state"]
    # REFUND: it was paid, and a refund was begun later. A refunded trade never returns to SUCCESS.
    if state in ("SUCCESS", "REFUND"):
        amount = resource["amount"]
        currency = str(amount.get("currency", "CNY"))
        paid_at = _time(resource["success_time"])
        payer = resource.get("payer")
        openid = str(payer.get("openid") or "") if isinstance(payer, dict) else ""
        return port.Paid(_text(resource, "transaction_id"), _fen(amount["total"]), currency, paid_at, openid)
    if state in ("CLOSED", "REVOKED"):
        return port.Closed(state)
    return port.Waiting() if state in ("NOTPAY", "USERPAYING", "ACCEPT") else None


def refund_state(resource: Mapping[str, Any], status: str) -> port.Refunded | port.Declined | port.Unknown:
    """
    What a refund, in an answer or a notification, says once it is no longer being processed. ABNORMAL means
    that the buyer's card cannot take the money: staff must choose another way at WeChat.

    :raises KeyError, ValueError, TypeError: it lacks what it must hold
    """
    if status == "SUCCESS":
        returned_at = _time(resource["success_time"])
        return port.Refunded(_text(resource, "refund_id"), _fen(resource["amount"]["refund"]), returned_at)
    if status in ("CLOSED", "ABNORMAL"):
        return port.Declined(f"REFUND_{status}")
    return port.Unknown(f"refund status {status}")


def _text(resource: Mapping[str, Any], name: str) -> str:
    value = resource[name]
    if not isinstance(value, str) or not value:
        raise ValueError(name)
    return value


def _fen(value: Any) -> int:
    if type(value) is not int or value < 0:  # True is an int, 1.0 is a float: neither is an amount
        raise ValueError("amount")
    return value


def _time(value: Any) -> datetime:
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at
