"""
Alipay's statements: GBK, four lines of preface, a header, rows whose text cells end with a tab, and totals behind `#`.

A name may hold commas, with or without quotes; a row with too many cells is put together again around its times.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, timedelta
from operator import itemgetter
from typing import Any

from payments.statement_models import LineKind, StatementKind
from payments.statements import cells
from payments.statements.shape import Expected, Line, Numbered, Reader, Refused

CHANNEL, CURRENCY = "alipay", "CNY"
TRADE_COLUMNS = [
    *["支付宝交易号", "商户订单号", "业务类型", "完成时间", "订单金额(元)", "商家实收(元)", "商家优惠(元)"],
    *["退款批次号/请求号", "服务费(元)"],
]
FUNDS_COLUMNS = [
    "账务流水号",
    "业务流水号",
    "商户订单号",
    "发生时间",
    "收入金额(+元)",
    "支出金额(-元)",
    "业务类型",
]
NAME = "商品名称"
TIMES = {"创建时间", "完成时间", "发生时间"}
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}").match
ACCOUNT = re.compile(r"#账号[：:]\s*\[?([0-9]+)").match
DATES = re.compile(r"\[([0-9]{4})年([0-9]{2})月([0-9]{2})日").findall
TOTAL = re.compile(r"#+([^：:]+合计)[：:]\s*([0-9]+)笔(.*)").match
SUMS = re.compile(r"，\s*([^共，]*)共\s*([+-]?[0-9.]+)元").findall
FUNDS_KINDS = {
    "在线支付": LineKind.PAYMENT,
    "交易付款": LineKind.PAYMENT,
    "交易退款": LineKind.REFUND,
    "收费": LineKind.FEE,
    "退费": LineKind.FEE,
    "提现": LineKind.TRANSFER,
}
PREFACE_LINES_MAX = 20


class AlipayTrade:
    """Payments and refunds (`trade`, 业务明细)."""

    channel, currency = CHANNEL, CURRENCY
    kind: str = StatementKind.TRADE

    def recognises(self, head: Sequence[str]) -> bool:
        return bool(head) and head[0].startswith("#支付宝业务明细")

    def reader(self, expected: Expected) -> Reader:
        return TradeReader(expected)


class AlipayFunds:
    """Movements on the merchant's account (`signcustomer`, 账务明细)."""

    channel, currency = CHANNEL, CURRENCY
    kind: str = StatementKind.FUNDS

    def recognises(self, head: Sequence[str]) -> bool:
        return bool(head) and head[0].startswith("#支付宝账务明细")

    def reader(self, expected: Expected) -> Reader:
        return FundsReader(expected)


class _AlipayReader:
    """The frame that both share: preface, header, rows, the end of the list, totals, time of export."""

    wanted: Sequence[str]
    covers: Sequence[str] = ("payment", "refund")
    refunds_by = "number"

    def __init__(self, expected: Expected) -> None:
        self.expected = expected
        self.told: dict[str, Any] = {}
        self.says_whose = self.says_when = False
        self.clock = cells.clock_of(expected.day)

    def lines(self, numbered: Numbered) -> Iterator[Line]:
        rows = iter(numbered)
        number = self._begin(rows)
        width = len(self.names)
        for number, text in rows:
            if text.startswith("#"):
                self._finish(number, text, rows)
                return
            row = text.split(",")
            if len(row) != width or '"' in text:
                row = self._mended(text)
                if len(row) != width:
                    if not text.strip():
                        continue
                    raise Refused(number, "row", f"{len(row)} ≠ {width}")
            yield self._row(number, row)
        raise Refused(number + 1, "truncated")

    def _begin(self, rows: Iterator[tuple[int, str]]) -> int:
        number = 0
        for number, text in rows:
            if not text.startswith("#") and text.strip():
                if not (self.says_whose and self.says_when):
                    raise Refused(number, "preface")
                self.names = cells.header(text.split(","))
                for name in self.wanted:
                    if name not in self.names:
                        raise Refused(number, "columns", name)
                self.pick = itemgetter(*(self.names.index(name) for name in self.wanted))
                return number
            self._preface(number, text)
            if number > PREFACE_LINES_MAX:
                raise Refused(number, "foreign")
        raise Refused(number + 1, "truncated")

    def _preface(self, number: int, text: str) -> None:
        account, merchant = ACCOUNT(text), self.expected.merchant
        if account and merchant and not account[1].startswith(merchant):
            raise Refused(number, "other_merchant", account[1])
        self.says_whose = self.says_whose or account is not None
        if not text.startswith("#起始日期"):
            return
        self.says_when = True
        try:
            first, last = (date(*map(int, parts)) for parts in DATES(text))
        except ValueError as error:
            raise Refused(number, "row", text[:60]) from error
        if first != self.expected.day or last > first + timedelta(days=1):
            raise Refused(number, "other_day", f"{first} – {last}")

    def _mended(self, text: str) -> list[str]:
        """The cells of a row whose name or remark holds commas."""
        if '"' in text:
            with suppress(csv.Error):
                row = next(csv.reader([text]))
                if len(row) == len(self.names):
                    return row
        row = text.split(",")
        surplus = len(row) - len(self.names)
        if surplus <= 0 or NAME not in self.names:
            return row
        at = self.names.index(NAME)
        times = [self.names.index(name) for name in self.names if name in TIMES]
        for in_name in range(surplus + 1):
            if all(TIME(row[time + in_name]) for time in times):
                row[at : at + in_name + 1] = [",".join(row[at : at + in_name + 1])]
                last = len(self.names) - 1
                return [*row[:last], ",".join(row[last:])]
        return row

    def row(self, number: int, row: Sequence[str]) -> Line:
        raise NotImplementedError

    def sums(self) -> dict[str, tuple[int, dict[str, int]]]:
        """Per total: how many rows, and fen by the words that the totals use."""
        raise NotImplementedError

    def _row(self, number: int, row: Sequence[str]) -> Line:
        try:
            return self.row(number, row)
        except cells.NotOfTheDay as error:
            raise Refused(number, "other_day", str(error)) from error
        except ValueError as error:
            raise Refused(number, "row", str(error)) from error

    def _finish(self, number: int, text: str, rows: Iterator[tuple[int, str]]) -> None:
        if "列表结束" not in text:
            raise Refused(number, "row", text[:40])
        ours, last = self.sums(), number
        for last, line in rows:
            total = TOTAL(line)
            if total:
                try:
                    self._check(last, total, ours)
                except ValueError as error:
                    raise Refused(last, "totals", str(error)[:60]) from error
            elif line.strip() and not (self.told and line.startswith("#导出时间")):
                raise Refused(last, "after_the_end", line[:40])
        # Where there was nothing, some exports leave the total of it out; but never all of them.
        if not self.told or any(rows for rows, _ in ours.values()):
            raise Refused(last + 1, "truncated", "、".join(ours))

    def _check(self, number: int, total: re.Match[str], ours: dict[str, tuple[int, dict[str, int]]]) -> None:
        """Compare one line of totals and strike it off those that are still wanted."""
        name, told = total[1], {word.strip(): yuan for word, yuan in SUMS(total[3])}
        if name not in ours:
            raise Refused(number, "after_the_end" if name in self.told else "totals", name)
        rows, sums = ours.pop(name)
        self.told[name] = {"count": total[2]} | told
        if int(total[2]) != rows:
            raise Refused(number, "totals", f"{name}: {total[2]} ≠ {rows}")
        if not told.keys() & sums.keys():
            raise Refused(number, "totals", total[0][:60])
        for word, fen in sums.items():
            yuan = told.get(word)
            if yuan is not None and abs(cells.total(yuan)) != abs(fen) * 1000:
                raise Refused(number, "totals", f"{name} {word}: {yuan} ≠ {fen / 100:.2f}")


class TradeReader(_AlipayReader):
    wanted = TRADE_COLUMNS

    def __init__(self, expected: Expected) -> None:
        super().__init__(expected)
        # Rows, ordered, received, given by the merchant; of payments and of refunds.
        self.paid, self.returned = [0, 0, 0, 0], [0, 0, 0, 0]

    def row(self, number: int, row: Sequence[str]) -> Line:
        trade, ours, what, when, ordered, received, given, refund, fee = map(str.strip, self.pick(row))
        amount = cells.fen(ordered)
        payment = what == "交易"
        if not payment and what != "退款":
            raise ValueError(f"业务类型 {what[:16]!r}")
        if payment and amount < 0:
            raise ValueError(f"订单金额 {ordered}")
        sums = self.paid if payment else self.returned
        sums[0] += 1
        sums[1] += amount
        sums[2] += cells.fen(received)
        sums[3] += cells.fen(given or "0")
        # Exports disagree about the sign of the fee; its direction follows from the row.
        kept = abs(cells.milli(fee or "0"))
        at = self.clock(when)
        off = cells.discount(abs(amount), abs(cells.fen(received)))
        if payment:
            cells.safe(ours, trade)
            return Line(
                number, LineKind.PAYMENT.value, ours, ours, trade, amount, kept, CURRENCY, "success", at, off
            )
        cells.safe(refund, ours, trade)
        back, kind = -abs(amount), LineKind.REFUND.value
        return Line(number, kind, refund, ours, trade, back, -kept, CURRENCY, "success", at, -off)

    def sums(self) -> dict[str, tuple[int, dict[str, int]]]:
        paid, returned = self.paid, self.returned
        return {
            "交易合计": (paid[0], {"交易金额": paid[1], "商家实收": paid[2], "商家优惠": paid[3]}),
            "退款合计": (
                returned[0],
                {"交易退款金额": returned[1], "商家实收退款": returned[2], "商家优惠退款": returned[3]},
            ),
        }


class FundsReader(_AlipayReader):
    wanted = FUNDS_COLUMNS
    refunds_by = "payment"

    def __init__(self, expected: Expected) -> None:
        super().__init__(expected)
        self.came, self.went = [0, 0], [0, 0]

    def row(self, number: int, row: Sequence[str]) -> Line:
        flow, business, ours, when, income, expense, what = map(str.strip, self.pick(row))
        came, went = cells.fen(income or "0"), abs(cells.fen(expense or "0"))
        if bool(came) == bool(went):
            raise ValueError(f"收入 {income!r}, 支出 {expense!r}")
        side = self.came if came else self.went
        side[0], side[1] = side[0] + 1, side[1] + came + went
        kind = FUNDS_KINDS.get(what, LineKind.OTHER)
        amount = came - went
        reference = (business if kind in (LineKind.PAYMENT, LineKind.REFUND) else flow) or flow
        number_of_ours = ours if kind == LineKind.PAYMENT else ""
        at = self.clock(when)
        cells.safe(number_of_ours, ours, reference)
        fee = -amount * 1000 if kind == LineKind.FEE else 0
        return Line(number, kind.value, number_of_ours, ours, reference, amount, fee, CURRENCY, "booked", at)

    def sums(self) -> dict[str, tuple[int, dict[str, int]]]:
        # "共" stands directly behind the comma here.
        return {
            "支出合计": (self.went[0], {"": self.went[1]}),
            "收入合计": (self.came[0], {"": self.came[1]}),
        }
