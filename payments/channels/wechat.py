"""
WeChat Pay v3 for a direct merchant: native (code to scan), query, close, refund, refund query, notifications.

Every answer with a 2xx status must be signed by a platform key that we pinned, and fresh. A refusal is judged
by its `code`, not by its HTTP status; WeChat does not always sign refusals, so one that carries no signature
may only say no.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from payments.channels import bills, port, wechat_bills, wechat_notify
from payments.channels.clock import BEIJING
from payments.channels.replay import SeenKeys
from payments.channels.signing import load_private, load_public, sign
from payments.channels.wechat_answers import (
    ABSENT_CODES,
    OPEN_REFUSALS,
    REFUND_ABSENT_CODES,
    REFUND_REFUSALS,
    Refusal,
    read,
    refund_answer,
)
from payments.channels.wechat_signature import NotBelieved, verify_headers
from payments.channels.wire import Answer, Silence, Wire

log = logging.getLogger(__name__)

SCHEME = "WECHATPAY2-SHA256-RSA2048"
TRADES = "/v3/pay/transactions"
REFUNDS = "/v3/refund/domestic/refunds"
# Counted in bytes: the documents do not say what a character is, and a title is not worth a refused payment.
DESCRIPTION_BYTES_MAX = 127
REASON_BYTES_MAX = 80
EXPIRES_EARLIEST = timedelta(seconds=65)  # WeChat asks for a minute; its clock is not ours.


@dataclass(frozen=True, slots=True)
class WechatConfig:
    """
    One merchant at WeChat Pay. `platform_keys` maps a serial ("PUB_KEY_ID_…" or a certificate's hex serial)
    to a PEM public key; during a switch WeChat uses both. `answer_serial` is the one that we ask answers to
    be signed with.
    """

    gateway_url: str
    appid: str
    mchid: str
    merchant_serial: str
    merchant_private_key_pem: str = field(repr=False)
    apiv3_key: str = field(repr=False)
    platform_keys: Mapping[str, str] = field(repr=False)
    notify_url: str
    refund_notify_url: str = ""
    answer_serial: str = ""
    connect_timeout_s: float = 2.0
    read_timeout_s: float = 5.0


def utc_now() -> datetime:
    return datetime.now(UTC)


class Wechat:
    """The port's `Channel` for WeChat Pay. One instance serves any number of threads."""

    code = "wechat"

    def __init__(
        self,
        config: WechatConfig,
        *,
        clock: Callable[[], datetime] = utc_now,
        replay_guard: Callable[[str, datetime], bool] | None = None,
    ) -> None:
        """
        `replay_guard` answers True the first time it is given a key (serial, timestamp, nonce of a
        notification).

        :raises ValueError: a key of `config` cannot be used
        """
        self._config = config
        self._clock = clock
        self._replay_guard = replay_guard or SeenKeys()
        self._private_key = load_private(config.merchant_private_key_pem)
        self._platform_keys = {serial: load_public(pem) for serial, pem in config.platform_keys.items()}
        self._apiv3_key = wechat_notify.load_apiv3_key(config.apiv3_key)
        self._answer_serial = config.answer_serial or _preferred(config.platform_keys)
        self._wire = Wire(connect_s=config.connect_timeout_s, read_s=config.read_timeout_s)

    # -- payments --------------------------------------------------------------------------------------------

    def open(self, trade: port.Trade) -> port.OpenResult:
        if trade.currency != "CNY":
            return port.Declined("currency_not_supported", trade.currency)
        if trade.expires_at <= self._clock():
            return port.Declined("expired")
        answer = self._call("POST", f"{TRADES}/native", self._trade_content(trade))
        if isinstance(answer, Refusal):
            return answer.as_declined() if answer.code in OPEN_REFUSALS else port.Unknown(answer.code)
        if isinstance(answer, port.Unknown):
            return answer
        code_url = answer.get("code_url")
        return port.Started("qr", str(code_url)) if code_url else port.Unknown("incomplete_answer")

    def query(self, number: str) -> port.QueryResult:
        answer = self._call("GET", f"{_trade_path(number)}?{urlencode({'mchid': self._config.mchid})}")
        if isinstance(answer, Refusal):
            return port.Absent() if answer.code in ABSENT_CODES else port.Unknown(answer.code)
        if isinstance(answer, port.Unknown):
            return answer
        if not self._is_about_ours(answer, number):
            return port.Unknown("answer_for_another_trade")
        return read(wechat_notify.trade_state, answer) or port.Unknown(f"trade_state {answer['trade_state']}")

    def close(self, number: str) -> port.CloseResult:
        answer = self._call("POST", f"{_trade_path(number)}/close", {"mchid": self._config.mchid})
        if isinstance(answer, port.Unknown):
            return answer
        if isinstance(answer, Refusal):
            return port.Absent() if answer.code in ABSENT_CODES else self._why_not_closed(number, answer)
        return port.Closed()

    def _why_not_closed(self, number: str, refusal: Refusal) -> port.CloseResult:
        # A refusal may be unsigned, and its code does not separate "paid" from "closed before": ask for the
        # facts.
        match self.query(number):
            case port.Paid():
                return port.AlreadyPaid()
            case port.Closed() | port.Absent() as end:
                return end
            case _:
                return port.Unknown(f"close refused: {refusal.code}")

    def _is_about_ours(self, answer: Mapping[str, Any], number: str) -> bool:
        ours = (self._config.mchid, self._config.appid, number)
        return (answer.get("mchid"), answer.get("appid"), answer.get("out_trade_no")) == ours

    def _trade_content(self, trade: port.Trade) -> dict[str, Any]:
        # WeChat refuses a deadline less than a minute away. A payment in between is late, not wrong: it is
        # refunded.
        expires_at = max(trade.expires_at, self._clock() + EXPIRES_EARLIEST)
        return {
            "appid": self._config.appid,
            "mchid": self._config.mchid,
            "description": _cut(trade.subject, DESCRIPTION_BYTES_MAX),
            "out_trade_no": trade.number,
            "time_expire": expires_at.astimezone(BEIJING).isoformat(timespec="seconds"),
            "notify_url": self._config.notify_url,
            "amount": {"total": trade.amount_minor, "currency": "CNY"},
        }

    # -- refunds ---------------------------------------------------------------------------------------------

    def refund(self, order: port.RefundOrder) -> port.RefundResult:
        content = {
            "out_trade_no": order.payment_number,
            "out_refund_no": order.number,
            "reason": _cut(order.reason, REASON_BYTES_MAX),
            "notify_url": self._config.refund_notify_url or self._config.notify_url,
            "amount": {"refund": order.amount_minor, "total": order.total_minor, "currency": order.currency},
        }
        answer = self._call("POST", REFUNDS, {name: value for name, value in content.items() if value})
        if isinstance(answer, Refusal):
            return answer.as_declined() if answer.code in REFUND_REFUSALS else port.Unknown(answer.code)
        return answer if isinstance(answer, port.Unknown) else refund_answer(answer, order)

    def query_refund(self, order: port.RefundOrder) -> port.RefundQueryResult:
        answer = self._call("GET", f"{REFUNDS}/{quote(order.number, safe='')}")
        if isinstance(answer, Refusal):
            return port.RefundAbsent() if answer.code in REFUND_ABSENT_CODES else port.Unknown(answer.code)
        return answer if isinstance(answer, port.Unknown) else refund_answer(answer, order)

    # -- statements ------------------------------------------------------------------------------------------

    @property
    def merchant(self) -> str:
        return self._config.mchid

    def ask_bill(self, *, kind: str, day: date) -> bills.BillResult:
        answer = self._call("GET", wechat_bills.path(kind, day))
        return answer if isinstance(answer, port.Unknown) else wechat_bills.read_link(answer)

    def download_bill(self, link: bills.BillLink, into: BinaryIO) -> bills.Downloaded | port.Unknown:
        path = link.url.removeprefix(self._config.gateway_url)
        if path == link.url or not path.startswith("/"):
            return port.Unknown("link_elsewhere")  # our signature goes to nobody but WeChat
        headers = {"Authorization": self._authorization("GET", path, b""), "User-Agent": "kaipiao"}
        return wechat_bills.download(self._wire, link, into, headers=headers)

    # -- notifications ---------------------------------------------------------------------------------------

    def read_notify(self, *, headers: Mapping[str, str], body: bytes, now: datetime) -> port.Notice:
        """
        An unknown serial is refused without asking anybody: it costs a forger nothing to invent one.

        :raises port.NotifyRefused: see the port
        """
        try:
            signed_by = verify_headers(headers, body, keys=self._platform_keys, now=now)
        except NotBelieved as error:
            raise port.NotifyRefused(error.reason, error.detail) from error
        # Only after the signature, so that a forger cannot use up a genuine message's key.
        if not self._replay_guard(signed_by.replay_key, now):
            raise port.NotifyRefused("replayed")
        event = wechat_notify.open_event(body, self._apiv3_key)
        wechat_notify.check_addressee(event, mchid=self._config.mchid, appid=self._config.appid)
        return wechat_notify.to_notice(event, key_id=signed_by.serial)

    def accepted(self) -> port.Reply:
        return port.Reply(204, b"")

    def refused(self, error: port.NotifyRefused) -> port.Reply:
        status = 401 if error.reason in ("bad_signature", "unknown_serial", "signature_probe") else 400
        body = json.dumps({"code": "FAIL", "message": error.reason}).encode()
        return port.Reply(status, body, content_type="application/json")

    # -- transport -------------------------------------------------------------------------------------------

    def _authorization(self, method: str, path: str, body: bytes) -> str:
        timestamp, nonce = str(int(self._clock().timestamp())), secrets.token_hex(16)
        message = b"\n".join((method.encode(), path.encode(), timestamp.encode(), nonce.encode(), body, b""))
        signature = sign(self._private_key, message)
        return (
            f'{SCHEME} mchid="{self._config.mchid}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{timestamp}",serial_no="{self._config.merchant_serial}"'
        )

    def _call(
        self, method: str, path: str, content: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | Refusal | port.Unknown:
        """The verified answer (empty for 204), a refusal with a code, or why there is nothing to believe."""
        body = (
            b""
            if content is None
            else json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        )
        headers = {
            "Authorization": self._authorization(method, path, body),
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "kaipiao",
            "Wechatpay-Serial": self._answer_serial,
        }
        answer = self._wire.send(method, self._config.gateway_url + path, headers=headers, body=body)
        result = answer.reason if isinstance(answer, Silence) else self._believe(answer)
        if isinstance(result, str):
            log.warning("channel.unknown", extra={"channel": self.code, "path": path, "reason": result})
            return port.Unknown(result)
        return result

    def _believe(self, answer: Answer) -> dict[str, Any] | Refusal | str:
        succeeded = 200 <= answer.status < 300
        if succeeded or "wechatpay-signature" in answer.headers:
            try:
                verify_headers(answer.headers, answer.body, keys=self._platform_keys, now=self._clock())
            except NotBelieved as error:
                return f"answer {error.reason}"
        if succeeded and not answer.body:
            return {} if answer.status == 204 else "unreadable_answer"
        try:
            content = json.loads(answer.body)
        except (ValueError, RecursionError):
            content = None
        if answer.status >= 500 or not isinstance(content, dict):
            return f"http_{answer.status}"
        return (
            content if succeeded else Refusal(str(content.get("code", "")), str(content.get("message", "")))
        )


def _trade_path(number: str) -> str:
    return f"{TRADES}/out-trade-no/{quote(number, safe='')}"


def _preferred(platform_keys: Mapping[str, str]) -> str:
    """A public key id if there is one: unlike a certificate it does not expire."""
    return next(iter(sorted(platform_keys, key=lambda serial: not serial.startswith("PUB_KEY_ID_"))), "")


def _cut(text: str, bytes_max: int) -> str:
    """The beginning of `text` within a number of UTF-8 bytes, never half a character."""
    return text.encode()[:bytes_max].decode(errors="ignore")
