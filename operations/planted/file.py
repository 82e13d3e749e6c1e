"""
The channel's file of a planted day, in Alipay's true format (docs/statements.md): GBK in a zip, cells that end with a
tab, totals that agree. Written as it is made up, so that a million lines need no memory.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from operations.planted import kinds
from operations.planted.kinds import REFUND_EVERY

HEADER = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,"
    "订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,"
    "券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)
ROW = (
    "{trade}\t,{order}\t,{what}\t,演唱会门票\t,{at}\t,{at}\t,\t,\t,\t,\t,zha***@example.com\t,"
    "{yuan},{received},0.00,0.00,0.00,{given},0.00,\t,0.00,0.00,{refund}\t,{fee},0.00,\t\r\n"
)
ACCOUNT = "20885021"
FEE_PPM = 6000
FIRST_HOUR, SECONDS = 1, 22 * 3600


@dataclass(frozen=True)
class Plan:
    """How many payments and refunds there are, and which carry a difference. Everything else follows by arithmetic."""

    day: date
    payments: int
    refunds: int
    odd: dict[int, str]
    odd_refunds: dict[int, str]

    def payment(self, nth: int) -> str:
        return f"P{self.day.toordinal():05X}{nth:014X}"

    def refund(self, nth: int, part: str = "R") -> str:
        return f"{part}{self.day.toordinal():05X}{nth:014X}"

    def trade(self, nth: int) -> str:
        return f"{self.day:%Y%m%d}22{nth:018d}"

    def amount(self, nth: int) -> int:
        return 10_000 + nth * 7919 % 990 * 100

    def refunded(self, nth: int) -> int:
        """Every other refund is of the whole."""
        whole = self.amount(nth * REFUND_EVERY)
        return whole if nth % 2 and self.odd_refunds.get(nth) != kinds.PARTS else whole // 2

    def second(self, nth: int) -> int:
        """Of the day: between one and eleven at night, but for those that cross midnight."""
        if self.odd.get(nth) in kinds.CROSSING:
            return 86_400 - 1 - nth % 300
        return FIRST_HOUR * 3600 + nth * SECONDS // (self.payments + 1)

    def refund_second(self, nth: int) -> int:
        return self.second(nth * REFUND_EVERY) + 600


class Row(NamedTuple):
    trade: str
    order: str
    refund: str
    minor: int
    fee: int
    second: int
    given: int = 0  # by a discount at our cost


def fee(minor: int) -> int:
    """In fen, rounded half up."""
    return (minor * FEE_PPM + 500_000) // 1_000_000


def write(plan: Plan, path: Path) -> int:
    """The day's file; how many lines it has."""
    return _write(plan.day, _rows(plan), path)


def write_next(plan: Plan, path: Path) -> int:
    """The next day's file: the payments that crossed midnight, and nothing else."""
    crossed = [nth for nth, name in sorted(plan.odd.items()) if name == kinds.CROSSING[0]]
    rows = (_payment(plan, nth)._replace(second=nth % 300) for nth in crossed)
    return _write(plan.day + timedelta(days=1), rows, path)


def _rows(plan: Plan) -> Iterator[Row]:
    for nth in range(1, plan.payments + 1):
        name = plan.odd.get(nth)
        row = _payment(plan, nth)
        yield from _bent(plan, nth, row, name) if name else (row,)
    for nth in range(1, plan.refunds + 1):
        name = plan.odd_refunds.get(nth)
        row = _refund(plan, nth)
        yield from _bent_refund(plan, nth, row, name) if name else (row,)


def _payment(plan: Plan, nth: int) -> Row:
    minor = plan.amount(nth)
    return Row(plan.trade(nth), plan.payment(nth), "", minor, fee(minor), plan.second(nth))


def _refund(plan: Plan, nth: int) -> Row:
    of, minor = nth * REFUND_EVERY, plan.refunded(nth)
    return Row(
        plan.trade(of), plan.payment(of), plan.refund(nth), -minor, -fee(minor), plan.refund_second(nth)
    )


def _bent(plan: Plan, nth: int, row: Row, name: str) -> Iterator[Row]:
    match name:
        case "not listed" | "listed on the next day" | "never listed, near midnight":
            return
        case "a yuan more":
            yield row._replace(minor=row.minor + 100, fee=fee(row.minor + 100))
        case "a fen less":
            yield row._replace(minor=row.minor - 1, fee=fee(row.minor - 1))
        case "fee too high":
            yield row._replace(fee=row.fee + 2)
        case "no fee":
            yield row._replace(fee=0)
        case "the same line twice":
            yield from (row, row)
        case "another trade under one number":
            yield from (row._replace(trade=plan.trade(nth + 5 * 10**17)), row)
        case "another reference":
            yield row._replace(trade=plan.trade(nth + 5 * 10**17))
        case kinds.GIVEN:
            yield _discounted(row)
        case _:
            yield row


def _bent_refund(plan: Plan, nth: int, row: Row, name: str) -> Iterator[Row]:
    match name:
        case "refund not listed":
            return
        case "a fen less refunded":
            yield row._replace(minor=row.minor + 1, fee=-fee(-row.minor - 1))
        case "the same refund twice":
            yield from (row, row)
        case "refund of another payment":
            yield row._replace(order=plan.payment(1))
        case "refund's fee wrong":
            yield row._replace(fee=row.fee - 2)
        case kinds.GIVEN:
            yield _discounted(row)
        case kinds.PARTS:
            whole = plan.amount(nth * REFUND_EVERY)
            rest = -whole - row.minor
            yield from (
                row,
                row._replace(refund=plan.refund(nth, "S"), minor=rest, fee=-fee(whole) - row.fee),
            )
        case _:
            yield row


def _discounted(row: Row) -> Row:
    """A fifth at our cost; the fee is taken of what is left."""
    given = row.minor // 5
    kept = fee(abs(row.minor - given))
    return row._replace(given=given, fee=kept if row.minor > 0 else -kept)


def _write(day: date, rows: Iterator[Row], path: Path) -> int:
    counts = {False: [0, 0, 0], True: [0, 0, 0]}
    name = f"{ACCOUNT}0156_{day:%Y%m%d}_业务明细.csv"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w", force_zip64=True) as raw,
    ):
        text = io.TextIOWrapper(raw, encoding="gbk", newline="", write_through=False)
        text.writelines(_preface(day))
        for row in rows:
            sums = counts[bool(row.refund)]
            sums[0] += 1
            sums[1] += row.minor - row.given
            sums[2] += row.given
            text.write(_line(day, row))
        text.writelines(_totals(counts[False], counts[True], day))
        text.flush()
        text.detach()
    return counts[False][0] + counts[True][0]


def _line(day: date, row: Row) -> str:
    minutes, seconds = divmod(row.second, 60)
    at = f"{day} {minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
    what = "退款" if row.refund else "交易"
    return ROW.format(
        trade=row.trade,
        order=row.order,
        what=what,
        at=at,
        yuan=_yuan(row.minor),
        received=_yuan(row.minor - row.given),
        given=_yuan(row.given),
        refund=row.refund,
        fee=_yuan(-row.fee),
    )


def _yuan(minor: int) -> str:
    sign, minor = ("-" if minor < 0 else ""), abs(minor)
    return f"{sign}{minor // 100}.{minor % 100:02d}"


def _preface(day: date) -> list[str]:
    until = day + timedelta(days=1)
    return [
        "#支付宝业务明细查询\r\n",
        f"#账号：[{ACCOUNT}0156]\r\n",
        f"#起始日期：[{day:%Y年%m月%d日} 00:00:00]   终止日期：[{until:%Y年%m月%d日} 00:00:00]\r\n",
        "#-----------------------------------------业务明细列表----------------------------------------\r\n",
        HEADER + "\r\n",
    ]


def _totals(paid: list[int], returned: list[int], day: date) -> list[str]:
    at = datetime(day.year, day.month, day.day) + timedelta(days=1, hours=9)  # noqa: DTZ001 (wall clock, as printed)
    received = f"商家实收共{_yuan(paid[1])}元，商家优惠共{_yuan(paid[2])}元"
    return [
        "#-----------------------------------------业务明细列表结束------------------------------------\r\n",
        f"#交易合计：{paid[0]}笔，{received}\r\n",
        f"#退款合计：{returned[0]}笔，商家实收退款共{_yuan(returned[1])}元，商家优惠退款共{_yuan(returned[2])}元\r\n",
        f"#导出时间：[{at:%Y年%m月%d日 %H:%M:%S}]\r\n",
    ]
