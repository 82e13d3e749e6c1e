"""
WeChat Pay's statements: UTF-8, every cell with a back-tick before it, which also tells a comma inside a cell from one
between two. The columns differ by what was asked for (ALL, SUCCESS, REFUND), so they are found by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

from payments.statement_models import LineKind, StatementKind
from payments.statements import cells
from payments.statements.shape import Expected, Line, Numbered, Reader, Refused

CHANNEL, CURRENCY = "wechat", "CNY"
PAYMENT_COLUMNS = [
    "交易时间",
    "商户号",
    "微信订单号",
    "商户订单号",
    "交易状态",
    "货币种类",
    "应结订单金额",
    "手续费",
    "订单金额",
]
REFUND_COLUMNS = ["微信退款单号", "商户退款单号", "退款金额", "充值券退款金额", "退款状态", "申请退款金额"]
# The totals' names, each with the column that it sums.
TRADE_TOTALS = {
    "应结订单总金额": "应结订单金额",
    "退款总金额": "退款金额",
    "充值券退款总金额": "充值券退款金额",
    "手续费总金额": "手续费",
    "订单总金额": "订单金额",
    "申请退款总金额": "申请退款金额",
}
TRADE_END, FUNDS_END = "总交易单数", "资金流水总笔数"
FUNDS_COLUMNS = [
    "记账时间",
    "微信支付业务单号",
    "资金流水单号",
    "业务类型",
    "收支类型",
    "收支金额(元)",
    "备注",
    "业务凭证号",
]
PAID, REFUNDED, REVOKED = "SUCCESS", "REFUND", "REVOKED"
REFUND_STATUS = {"SUCCESS": "success", "PROCESSING": "processing", "FAIL": "failed", "CHANGE": "changed"}
FUNDS_KINDS = {
    "交易": LineKind.PAYMENT,
    "退款": LineKind.REFUND,
    "扣除交易手续费": LineKind.FEE,
    "手续费": LineKind.FEE,
    "退回交易手续费": LineKind.FEE,
    "退还交易手续费": LineKind.FEE,
    "提现": LineKind.TRANSFER,
}
# Remarks are free text: only one that is nothing but this sum, and adds up, tells that the fee was taken inside.
FEE_INSIDE = re.compile(r"(?:结算|退款)总金额\s*([0-9.]+)\s*元;含手续费\s*([0-9.]+)\s*元").fullmatch


class WechatTrade:
    """Payments and refunds (`tradebill`)."""

    channel, currency = CHANNEL, CURRENCY
    kind: str = StatementKind.TRADE

    def recognises(self, head: Sequence[str]) -> bool:
        return bool(head) and head[0].startswith("交易时间,") and "微信订单号" in head[0]

    def reader(self, expected: Expected) -> Reader:
        return TradeReader(expected)


class WechatFunds:
    """Movements on the merchant's account (`fundflowbill`)."""

    channel, currency = CHANNEL, CURRENCY
    kind: str = StatementKind.FUNDS

    def recognises(self, head: Sequence[str]) -> bool:
        return bool(head) and head[0].startswith("记账时间,") and "资金流水单号" in head[0]

    def reader(self, expected: Expected) -> Reader:
        return FundsReader(expected)


class _WechatReader:
    """The frame that both share: a header, rows, the totals' header, the totals, nothing."""

    end: str
    covers: Sequence[str] = ("payment", "refund")
    refunds_by = "number"

    def __init__(self, expected: Expected) -> None:
        self.expected = expected
        self.told: dict[str, Any] = {}
        self.clock = cells.clock_of(expected.day)

    def lines(self, numbered: Numbered) -> Iterator[Line]:
        rows = iter(numbered)
        width = self.begin(next(rows)[1].split(","))
        number = 1
        for number, text in rows:
            if text.startswith("`"):
                row = text[1:].split(",`")
                if len(row) != width:
                    raise Refused(number, "row", f"{len(row)} ≠ {width}")
                yield self._row(number, row)
            elif text.startswith(self.end):
                self._finish(number, text.split(","), rows)
                return
            elif text.strip():
                raise Refused(number, "row", text[:40])
        raise Refused(number + 1, "truncated")

    def begin(self, names: Sequence[str]) -> int:
        raise NotImplementedError

    def row(self, number: int, row: Sequence[str]) -> Line:
        raise NotImplementedError

    def sums(self) -> dict[str, int]:
        """What the totals must say, by their names: amounts as `cells.milli`, counts as they are."""
        raise NotImplementedError

    def _row(self, number: int, row: Sequence[str]) -> Line:
        try:
            return self.row(number, row)
        except cells.NotOfTheDay as error:
            raise Refused(number, "other_day", str(error)) from error
        except ValueError as error:
            raise Refused(number, "row", str(error)) from error

    def _finish(self, number: int, names: Sequence[str], rows: Iterator[tuple[int, str]]) -> None:
        number, text = next(rows, (number + 1, ""))
        if not text.startswith("`"):
            raise Refused(number, "truncated")
        self.told = dict(zip((name.strip() for name in names), text[1:].split(",`"), strict=False))
        _check(number, self.told, self.sums())
        for number, text in rows:
            if text.strip():
                raise Refused(number, "after_the_end", text[:40])


class TradeReader(_WechatReader):
    end = TRADE_END
    covers: Sequence[str] = ()  # told by the header

    def begin(self, names: Sequence[str]) -> int:
        names = cells.header(names)
        _demand(names, PAYMENT_COLUMNS)
        has_refunds = "商户退款单号" in names
        if has_refunds:
            _demand(names, REFUND_COLUMNS)
        # A REFUND statement tells when the refund was asked for in a column of its own.
        when = "退款申请时间" if "退款申请时间" in names else "交易时间"
        of_both = ("payment", "refund")
        self.covers = ("payment",) if not has_refunds else ("refund",) if when != "交易时间" else of_both
        self.pick = itemgetter(*(names.index(name) for name in (when, *PAYMENT_COLUMNS)))
        # Where a statement has no refunds, empty cells stand for theirs.
        self.pick_refund = (
            itemgetter(*(names.index(name) for name in REFUND_COLUMNS)) if has_refunds else None
        )
        self.count, self.settled, self.fees, self.ordered = 0, 0, 0, 0
        self.refunded, self.vouchers, self.asked = 0, 0, 0
        return len(names)

    def row(self, number: int, row: Sequence[str]) -> Line:
        when, paid, merchant, trade, ours, state, currency, settled, fee, ordered = self.pick(row)
        if self.expected.merchant and merchant != self.expected.merchant:
            raise Refused(number, "other_merchant", merchant[:32])
        fee_milli, amount = cells.milli(fee), cells.fen(ordered)
        self.count += 1
        self.settled += cells.fen(settled)
        self.fees += fee_milli
        self.ordered += amount
        if min(amount, cells.fen(settled)) < 0:
            raise ValueError(f"订单金额 {ordered}, {settled}")
        at = self.clock(when or paid)
        currency = cells.currency(currency)
        refund_trade, refund, returned, voucher, refund_state, asked = (
            self.pick_refund(row) if self.pick_refund else ("", "", "0", "0", "", "0")
        )
        self.refunded += cells.fen(returned)
        self.vouchers += cells.fen(voucher)
        self.asked += cells.fen(asked)
        if cells.fen(asked) < 0:
            raise ValueError(f"申请退款金额 {asked}")
        if state == PAID:
            cells.safe(ours, trade)
            kind, off = LineKind.PAYMENT.value, cells.discount(amount, cells.fen(settled))
            return Line(number, kind, ours, ours, trade, amount, fee_milli, currency, "success", at, off)
        cells.safe(refund, ours, refund_trade)
        off = 0
        if state == REFUNDED:
            status, amount = _refund_status(refund_state), cells.fen(asked)
            off = cells.discount(amount, cells.fen(returned))
        elif state == REVOKED:
            status, amount = "revoked", cells.fen(asked) or amount
        else:
            raise ValueError(f"交易状态 {state[:32]!r}")
        return Line(
            number,
            LineKind.REFUND.value,
            "" if refund == "0" else refund,
            ours,
            refund_trade,
            -amount,
            fee_milli,
            currency,
            status,
            at,
            -off,
        )

    def sums(self) -> dict[str, int]:
        fen = {
            "应结订单总金额": self.settled,
            "退款总金额": self.refunded,
            "充值券退款总金额": self.vouchers,
            "订单总金额": self.ordered,
            "申请退款总金额": self.asked,
        }
        return {
            TRADE_END: self.count,
            "手续费总金额": self.fees,
            **{name: sum_ * 1000 for name, sum_ in fen.items()},
        }


class FundsReader(_WechatReader):
    end = FUNDS_END

    def begin(self, names: Sequence[str]) -> int:
        names = cells.header(names)
        _demand(names, FUNDS_COLUMNS)
        self.pick = itemgetter(*(names.index(name) for name in FUNDS_COLUMNS))
        self.count, self.came, self.went = 0, [0, 0], [0, 0]
        return len(names)

    def row(self, number: int, row: Sequence[str]) -> Line:
        when, business, flow, what, direction, moved, remark, ours = self.pick(row)
        if direction not in ("收入", "支出"):
            raise ValueError(f"收支类型 {direction[:8]!r}")
        amount = cells.fen(moved)
        if amount < 0:
            raise ValueError(f"收支金额 {moved}")
        side = self.came if direction == "收入" else self.went
        side[0], side[1] = side[0] + 1, side[1] + amount
        self.count += 1
        signed = amount if direction == "收入" else -amount
        kind = FUNDS_KINDS.get(what, LineKind.OTHER)
        at = self.clock(when)
        traded = kind in (LineKind.PAYMENT, LineKind.REFUND)
        inside = _fee_inside(remark, amount) if traded else 0
        fee = -signed * 1000 if kind == LineKind.FEE else inside
        reference = business if traded else flow
        number_of_ours = ours if traded else ""
        payment = ours if kind in (LineKind.PAYMENT, LineKind.FEE) else ""
        cells.safe(number_of_ours, payment, reference)
        return Line(
            number,
            kind.value,
            number_of_ours,
            payment,
            reference,
            signed,
            -fee if kind == LineKind.REFUND else fee,
            CURRENCY,
            "booked",
            at,
        )

    def sums(self) -> dict[str, int]:
        return {
            FUNDS_END: self.count,
            "收入笔数": self.came[0],
            "收入金额": self.came[1] * 1000,
            "支出笔数": self.went[0],
            "支出金额": self.went[1] * 1000,
        }


def _fee_inside(remark: str, moved: int) -> int:
    """What was kept of a sum before it moved, in thousandths of a fen."""
    told = FEE_INSIDE(remark.strip())
    if told is None or cells.fen(told[1]) * 1000 - cells.milli(told[2]) != moved * 1000:
        return 0
    return cells.milli(told[2])


def _refund_status(text: str) -> str:
    try:
        return REFUND_STATUS[text]
    except KeyError:
        raise ValueError(f"退款状态 {text[:32]!r}") from None


def _demand(names: Sequence[str], wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in names:
            raise Refused(1, "columns", name)


def _check(number: int, told: dict[str, str], sums: dict[str, int]) -> None:
    for name, ours in sums.items():
        if name not in told:
            raise Refused(number, "columns", name)
        try:
            theirs = cells.count(told[name]) if name.endswith("数") else cells.total(told[name])
        except ValueError as error:
            raise Refused(number, "totals", str(error)) from error
        if theirs != ours:
            shown = ours if name.endswith("数") else f"{ours / 100_000:.5f}"
            raise Refused(number, "totals", f"{name}: {told[name]} ≠ {shown}")
