"""
What Alipay's verified answers mean. Everything here is easy to misread, so it stands in one place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from payments.channels import port, raw_json
from payments.channels.clock import BEIJING
from payments.channels.signing import is_signed
from payments.channels.yuan import to_fen

CLOCK_FORMAT = "%Y-%m-%d %H:%M:%S"
CURRENCY = "CNY"

OK = "10000"
BUSINESS_FAILURE = "40004"
TRADE_ABSENT = "ACQ.TRADE_NOT_EXIST"
PAID_STATES = ("TRADE_SUCCESS", "TRADE_FINISHED")

# The only refusals that end a refund. Anything else, known or new, is asked again with the same refund
# number.
REFUND_REFUSALS = frozenset(
    {
        TRADE_ABSENT,
        "ACQ.TRADE_HAS_CLOSE",
        "ACQ.TRADE_NOT_ALLOW_REFUND",
        "ACQ.REASON_TRADE_STATUS_INVALID",
        "ACQ.TRADE_STATUS_ERROR",
        "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL",
        "ACQ.REASON_TRADE_REFUND_FEE_ERR",
        "ACQ.REASON_TRADE_BEEN_FREEZEN",
        "ACQ.DISCORDANT_REPEAT_REQUEST",
        "ACQ.INVALID_PARAMETER",
    }
)
# Refusals of a precreate that may hide an earlier success, or a fault on their side.
OPEN_UNDECIDED = frozenset({"ACQ.SYSTEM_ERROR", "ACQ.TRADE_HAS_SUCCESS", "ACQ.CONTEXT_INCONSISTENT"})


def believe(raw: bytes, method: str, alipay_key: RSAPublicKey) -> dict[str, Any] | str:
    """The answer object if Alipay signed it and it decides anything; else the reason why not."""
    try:
        parts = raw_json.members(raw)
        signature = json.loads(parts.get("sign", b'""'))
        signed = parts.get(method.replace(".", "_") + "_response") or parts["error_response"]
        answer = json.loads(signed)
    except (ValueError, KeyError, RecursionError):
        return "unreadable_answer"
    if not signature:
        return "unsigned_answer"
    if not isinstance(signature, str) or not is_signed(alipay_key, signed, signature):
        return "bad_signature"
    if not isinstance(answer, dict) or answer.get("code") not in (OK, BUSINESS_FAILURE):
        # 20000 is their fault, 4000x and 20001 concern the request itself: neither says anything of the
        # trade.
        return code_of(answer) if isinstance(answer, dict) else "unreadable_answer"
    return answer


def trade_state(answer: Mapping[str, Any], number: str) -> port.QueryResult:
    if answer.get("code") != OK:
        return port.Unknown(code_of(answer))
    if answer["out_trade_no"] != number:
        return port.Unknown("answer_for_another_trade")
    state, paid_at = answer["trade_status"], answer.get("send_pay_date")
    # A full refund also ends in TRADE_CLOSED; only a trade that was paid has a time of payment.
    if state in PAID_STATES or (state == "TRADE_CLOSED" and paid_at):
        return port.Paid(
            str(answer["trade_no"]), to_fen(answer["total_amount"]), CURRENCY, beijing_time(paid_at)
        )
    if state == "TRADE_CLOSED":
        return port.Closed(state)
    return port.Waiting() if state == "WAIT_BUYER_PAY" else port.Unknown(f"trade_status {state}")


def read(reader: Callable[..., Any], *arguments: Any) -> Any:
    """A signed answer that lacks what it must hold is no answer."""
    try:
        return reader(*arguments)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        return port.Unknown(f"incomplete_answer: {type(error).__name__}")


def beijing_time(text: Any) -> datetime:
    """:raises ValueError, TypeError: it is not a time as Alipay writes it"""
    return datetime.strptime(text, CLOCK_FORMAT).replace(tzinfo=BEIJING)


def code_of(answer: Mapping[str, Any]) -> str:
    return " ".join(str(answer[name]) for name in ("code", "sub_code") if answer.get(name))


def declined(answer: Mapping[str, Any]) -> port.Declined:
    return port.Declined(str(answer.get("sub_code", "")), str(answer.get("sub_msg", "")))
