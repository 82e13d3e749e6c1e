"""
What WeChat Pay's answers mean: refusals by their code, refunds by their status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from payments.channels import port, wechat_notify

ABSENT_CODES = frozenset({"ORDER_NOT_EXIST", "ORDERNOTEXIST"})
REFUND_ABSENT_CODES = frozenset({"RESOURCE_NOT_EXISTS", "REFUND_NOT_EXISTS"})
# What ends an attempt to open. Others may hide an earlier success (OUT_TRADE_NO_USED, ORDERPAID) or pass by.
OPEN_REFUSALS = frozenset(
    {
        "PARAM_ERROR",
        "INVALID_REQUEST",
        "ORDER_CLOSED",
        "ORDERCLOSED",
        "RULE_LIMIT",
        "RULELIMIT",
        "NO_AUTH",
        "NOAUTH",
        "ACCOUNT_ERROR",
        "APPID_MCHID_NOT_MATCH",
        "MCH_NOT_EXISTS",
    }
)
# What ends a refund. A merchant balance that is too low (NOT_ENOUGH) or a limit passes; we ask again.
REFUND_REFUSALS = frozenset({"PARAM_ERROR", "INVALID_REQUEST", "RESOURCE_NOT_EXISTS"}) | ABSENT_CODES


@dataclass(frozen=True, slots=True)
class Refusal:
    code: str
    message: str

    def as_declined(self) -> port.Declined:
        return port.Declined(self.code, self.message)


def refund_answer(answer: Mapping[str, Any], order: port.RefundOrder) -> Any:
    if (answer.get("out_refund_no"), answer.get("out_trade_no")) != (order.number, order.payment_number):
        return port.Unknown("answer_for_another_refund")
    if answer.get("status") == "PROCESSING":
        return port.RefundAccepted()
    return read(wechat_notify.refund_state, answer, str(answer.get("status")))


def read(reader: Callable[..., Any], *arguments: Any) -> Any:
    """A signed answer that lacks what it must hold is no answer."""
    try:
        return reader(*arguments)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        return port.Unknown(f"incomplete_answer: {type(error).__name__}")
