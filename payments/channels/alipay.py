"""
Alipay over its open platform (RSA2): page pay and precreate, query, close, refund, refund query,
notifications.

Requests carry the common parameters in the query string and the business content in the form body. An answer
counts only when its signature, taken over the raw bytes of the answer object, is Alipay's.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, BinaryIO, Literal
from urllib.parse import urlencode

from payments.channels import alipay_bills, alipay_notify, alipay_payouts, bills, port
from payments.channels.alipay_answers import (
    CLOCK_FORMAT,
    CURRENCY,
    OK,
    OPEN_UNDECIDED,
    REFUND_REFUSALS,
    TRADE_ABSENT,
    beijing_time,
    believe,
    code_of,
    declined,
    read,
    trade_state,
)
from payments.channels.clock import BEIJING
from payments.channels.signing import load_private, load_public, sign
from payments.channels.wire import Silence, Wire
from payments.channels.yuan import to_fen, to_yuan

log = logging.getLogger(__name__)

SUBJECT_MAX = 256
# Alipay refuses these in a subject; their full-width twins read the same.
SUBJECT_TWINS = str.maketrans({"/": "／", "=": "＝", "&": "＆"})


@dataclass(frozen=True, slots=True)
class AlipayConfig:
    """One merchant app at Alipay. `alipay_public_key_pem` is Alipay's key, not the app's own public key."""

    gateway_url: str
    app_id: str
    seller_id: str
    app_private_key_pem: str = field(repr=False)
    alipay_public_key_pem: str = field(repr=False)
    notify_url: str
    return_url: str = ""
    product: Literal["page", "precreate"] = "page"
    connect_timeout_s: float = 2.0
    read_timeout_s: float = 5.0


def utc_now() -> datetime:
    return datetime.now(UTC)


class Alipay:
    """The port's `Channel` for Alipay. One instance serves any number of threads."""

    code = "alipay"

    def __init__(self, config: AlipayConfig, *, clock: Callable[[], datetime] = utc_now) -> None:
        """:raises BadKey: a key of `config` cannot be used"""
        self._config = config
        self._clock = clock
        self._private_key = load_private(config.app_private_key_pem)
        self._alipay_key = load_public(config.alipay_public_key_pem)
        self._wire = Wire(connect_s=config.connect_timeout_s, read_s=config.read_timeout_s)

    # -- payments --------------------------------------------------------------------------------------------

    def open(self, trade: port.Trade) -> port.OpenResult:
        """
        Page pay only builds a signed address, so it cannot fail; the trade appears at Alipay when the buyer
        opens it. Precreate asks Alipay for a code to scan, and the trade appears when it is scanned.
        """
        if trade.currency != CURRENCY:
            return port.Declined("currency_not_supported", trade.currency)
        if trade.expires_at <= self._clock():
            return port.Declined("expired")
        if self._config.product == "page":
            return port.Started("redirect", self._page_url(trade))
        return self._precreate(trade)

    def query(self, number: str) -> port.QueryResult:
        answer = self._call("alipay.trade.query", {"out_trade_no": number})
        if isinstance(answer, port.Unknown):
            return answer
        if answer.get("sub_code") == TRADE_ABSENT:
            return port.Absent()
        return read(trade_state, answer, number)

    def close(self, number: str) -> port.CloseResult:
        answer = self._call("alipay.trade.close", {"out_trade_no": number})
        if isinstance(answer, port.Unknown):
            return answer
        if answer.get("code") == OK and answer.get("out_trade_no", number) == number:
            return port.Closed()
        if answer.get("sub_code") == TRADE_ABSENT:
            return port.Absent()
        return self._why_not_closed(number, answer)

    def _why_not_closed(self, number: str, refusal: Mapping[str, Any]) -> port.CloseResult:
        # The refusal's code is the same for a paid trade and for one that was closed before: only a query
        # tells.
        match self.query(number):
            case port.Paid():
                return port.AlreadyPaid()
            case port.Closed() | port.Absent() as end:
                return end
            case _:
                return port.Unknown(f"close refused: {code_of(refusal)}")

    def _page_url(self, trade: port.Trade) -> str:
        content = self._trade_content(trade) | {"product_code": "FAST_INSTANT_TRADE_PAY"}
        fields = self._signed_fields(
            "alipay.trade.page.pay",
            content,
            notify_url=self._config.notify_url,
            return_url=trade.return_url or self._config.return_url,
        )
        return f"{self._config.gateway_url}?{urlencode(fields)}"

    def _precreate(self, trade: port.Trade) -> port.OpenResult:
        content = self._trade_content(trade)
        answer = self._call("alipay.trade.precreate", content, notify_url=self._config.notify_url)
        if isinstance(answer, port.Unknown):
            return answer
        if answer.get("code") != OK:
            undecided = str(answer.get("sub_code")) in OPEN_UNDECIDED
            return port.Unknown(code_of(answer)) if undecided else declined(answer)
        if answer.get("out_trade_no") != trade.number or not answer.get("qr_code"):
            return port.Unknown("answer_for_another_trade")
        return port.Started("qr", str(answer["qr_code"]))

    def _trade_content(self, trade: port.Trade) -> dict[str, str]:
        return {
            "out_trade_no": trade.number,
            "total_amount": to_yuan(trade.amount_minor),
            "subject": trade.subject.translate(SUBJECT_TWINS)[:SUBJECT_MAX],
            "time_expire": trade.expires_at.astimezone(BEIJING).strftime(CLOCK_FORMAT),
        }

    # -- refunds ---------------------------------------------------------------------------------------------

    def refund(self, order: port.RefundOrder) -> port.RefundResult:
        content = {
            "out_trade_no": order.payment_number,
            "refund_amount": to_yuan(order.amount_minor),
            "out_request_no": order.number,
            "refund_reason": order.reason[:SUBJECT_MAX],
        }
        answer = self._call("alipay.trade.refund", content)
        if isinstance(answer, port.Unknown):
            return answer
        if answer.get("code") != OK:
            final = str(answer.get("sub_code")) in REFUND_REFUSALS
            return declined(answer) if final else port.Unknown(code_of(answer))
        if answer.get("out_trade_no") != order.payment_number:
            return port.Unknown("answer_for_another_trade")
        if answer.get("fund_change") != "Y":
            # Either nothing moved yet or this is a repetition. Only the refund query tells which.
            return port.RefundAccepted()
        return read(self._refund_done, answer, order)

    def query_refund(self, order: port.RefundOrder) -> port.RefundQueryResult:
        content = {
            "out_trade_no": order.payment_number,
            "out_request_no": order.number,
            "query_options": ["gmt_refund_pay"],
        }
        answer = self._call("alipay.trade.fastpay.refund.query", content)
        if isinstance(answer, port.Unknown):
            return answer
        if answer.get("code") != OK:
            return (
                port.RefundAbsent()
                if answer.get("sub_code") == TRADE_ABSENT
                else port.Unknown(code_of(answer))
            )
        if not answer.get("refund_amount"):
            return port.RefundAbsent()
        if answer.get("out_request_no") != order.number or answer.get("out_trade_no") != order.payment_number:
            return port.Unknown("answer_for_another_refund")
        if answer.get("refund_status", "REFUND_SUCCESS") != "REFUND_SUCCESS":
            return port.RefundAccepted()
        return read(self._refund_done, answer, order)

    def _refund_done(self, answer: Mapping[str, Any], order: port.RefundOrder) -> port.Refunded:
        # A refund answer's refund_fee is the sum of all refunds of the trade, so it is never this refund's
        # amount.
        amount = answer.get("refund_amount")
        paid_back = answer.get("gmt_refund_pay")
        return port.Refunded(
            channel_reference=str(answer["trade_no"]),
            amount_minor=to_fen(amount) if amount else order.amount_minor,
            refunded_at=beijing_time(paid_back) if paid_back else self._clock(),
        )

    # -- statements ------------------------------------------------------------------------------------------

    @property
    def merchant(self) -> str:
        return self._config.seller_id

    def ask_bill(self, *, kind: str, day: date) -> bills.BillResult:
        content = {"bill_type": alipay_bills.TYPES[kind], "bill_date": day.isoformat()}
        answer = self._call(alipay_bills.METHOD, content)
        return answer if isinstance(answer, port.Unknown) else alipay_bills.read_link(answer)

    def download_bill(self, link: bills.BillLink, into: BinaryIO) -> bills.Downloaded | port.Unknown:
        return alipay_bills.download(self._wire, link, into, gateway_url=self._config.gateway_url)

    # -- notifications ---------------------------------------------------------------------------------------

    def read_notify(self, *, headers: Mapping[str, str], body: bytes, now: datetime) -> port.Notice:
        """
        A notice of a refund names it and leaves the amount to a refund query: Alipay tells only the trade's
        sum.

        :raises port.NotifyRefused: see the port
        """
        fields = alipay_notify.verified_fields(body, self._alipay_key)
        if fields.get("msg_method") == alipay_payouts.CHANGED:
            alipay_notify.check_app(fields, app_id=self._config.app_id)
            return alipay_payouts.to_notice(fields, alipay_notify.KEY_ID)
        alipay_notify.check_addressee(fields, app_id=self._config.app_id, seller_id=self._config.seller_id)
        return alipay_notify.to_notice(fields)

    def accepted(self) -> port.Reply:
        return port.Reply(200, b"success")

    def refused(self, error: port.NotifyRefused) -> port.Reply:
        return port.Reply(400, b"fail")

    # -- transport -------------------------------------------------------------------------------------------

    def _signed_fields(self, method: str, content: Mapping[str, Any], **common: str) -> dict[str, str]:
        fields = {
            "app_id": self._config.app_id,
            "method": method,
            "format": "json",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": self._clock().astimezone(BEIJING).strftime(CLOCK_FORMAT),
            "version": "1.0",
            "biz_content": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
            **common,
        }
        fields = {name: value for name, value in sorted(fields.items()) if value}
        message = "&".join(f"{name}={value}" for name, value in fields.items())
        return fields | {"sign": sign(self._private_key, message.encode())}

    def call(self, method: str, content: Mapping[str, Any]) -> dict[str, Any] | port.Unknown:
        """For the methods that have a module of their own; see `_call`."""
        return self._call(method, content)

    def _call(self, method: str, content: Mapping[str, Any], **common: str) -> dict[str, Any] | port.Unknown:
        """The verified answer object, whatever its code, or why there is none to believe."""
        query = self._signed_fields(method, content, **common)
        form = urlencode({"biz_content": query.pop("biz_content")}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}
        url = f"{self._config.gateway_url}?{urlencode(query)}"
        answer = self._wire.send("POST", url, headers=headers, body=form)
        if isinstance(answer, Silence):
            reason = answer.reason
        elif answer.status != 200:
            reason = f"http_{answer.status}"
        else:
            result = believe(answer.body, method, self._alipay_key)
            if isinstance(result, dict):
                return result
            reason = result
        log.warning("channel.unknown", extra={"channel": self.code, "method": method, "reason": reason})
        return port.Unknown(reason)
