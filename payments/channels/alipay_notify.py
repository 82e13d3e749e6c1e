"""
Read what Alipay posts to us: a form signed with RSA2 over every field except `sign` and `sign_type`.

Alipay gives a notification no time limit and no nonce, so a copy of a genuine one passes here. Its
`notify_id`, equal in every repetition, makes the inbox store it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from payments.channels import port
from payments.channels.clock import BEIJING
from payments.channels.signing import is_signed
from payments.channels.yuan import to_fen

BODY_BYTES_MAX = 64 * 1024
FIELDS_MAX = 100
KEY_ID = "RSA2"
PAID_STATES = ("TRADE_SUCCESS", "TRADE_FINISHED")


def verified_fields(body: bytes, alipay_key: RSAPublicKey) -> dict[str, str]:
    """
    The fields of a notification that Alipay signed.

    :raises port.NotifyRefused: malformed, sign_type, bad_signature
    """
    fields = _form(body)
    if fields.get("sign_type") != KEY_ID:
        raise port.NotifyRefused("sign_type", "only RSA2 is believed")
    # Fields with an empty value are part of the signed text, as "name=".
    named = sorted((name, value) for name, value in fields.items() if name not in ("sign", "sign_type"))
    message = "&".join(f"{name}={value}" for name, value in named)
    if not is_signed(alipay_key, message.encode(), fields.get("sign", "")):
        raise port.NotifyRefused("bad_signature")
    return fields


def check_addressee(fields: Mapping[str, str], *, app_id: str, seller_id: str) -> None:
    """
    Alipay signs everybody's notifications with the key that we trust, so a genuine one may still be
    another's.

    :raises port.NotifyRefused: wrong_app, wrong_seller
    """
    check_app(fields, app_id=app_id)
    if fields.get("seller_id") != seller_id:
        raise port.NotifyRefused("wrong_seller", fields.get("seller_id", ""))


def check_app(fields: Mapping[str, str], *, app_id: str) -> None:
    """:raises port.NotifyRefused: wrong_app"""
    if fields.get("app_id") != app_id:
        raise port.NotifyRefused("wrong_app", fields.get("app_id", ""))


def to_notice(fields: Mapping[str, str]) -> port.Notice:
    """:raises port.NotifyRefused: malformed"""
    try:
        return _refund_notice(fields) if _is_refund(fields) else _payment_notice(fields)
    except (KeyError, ValueError) as error:
        raise port.NotifyRefused("malformed", str(error)) from error


def _form(body: bytes) -> dict[str, str]:
    if len(body) > BODY_BYTES_MAX:
        raise port.NotifyRefused("malformed", "too large")
    try:
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError as error:
        raise port.NotifyRefused("malformed", "not a form") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise port.NotifyRefused("malformed", "a field is given twice")
    return fields


def _is_refund(fields: Mapping[str, str]) -> bool:
    # A refund has no address of its own: it arrives where the payment's notifications arrive, state
    # unchanged.
    return bool(fields.get("refund_fee") and fields.get("gmt_refund"))


def _refund_notice(fields: Mapping[str, str]) -> port.Notice:
    return port.Notice(
        event_id=_needed(fields, "notify_id"),
        key_id=KEY_ID,
        payment_number=_needed(fields, "out_trade_no"),
        refund_number=_needed(fields, "out_biz_no"),
    )


def _payment_notice(fields: Mapping[str, str]) -> port.Notice:
    return port.Notice(
        event_id=_needed(fields, "notify_id"),
        key_id=KEY_ID,
        payment_number=_needed(fields, "out_trade_no"),
        payment=_payment(fields),
    )


def _payment(fields: Mapping[str, str]) -> port.Paid | port.Closed | port.Waiting | None:
    state = fields["trade_status"]
    if state in PAID_STATES:
        paid_at = datetime.strptime(fields["gmt_payment"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
        payer = fields.get("buyer_open_id") or fields.get("buyer_id") or ""
        return port.Paid(_needed(fields, "trade_no"), to_fen(fields["total_amount"]), "CNY", paid_at, payer)
    if state == "WAIT_BUYER_PAY":
        return port.Waiting()
    # Closed after a payment means refunded in full: the query tells.
    return port.Closed(state) if state == "TRADE_CLOSED" and not fields.get("gmt_payment") else None


def _needed(fields: Mapping[str, str], name: str) -> str:
    """A field that must be there and hold something, such as the id that makes repetitions equal."""
    if not fields.get(name):
        raise KeyError(name)
    return fields[name]
