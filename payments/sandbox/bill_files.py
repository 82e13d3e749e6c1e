"""Statements as files, in the formats of the two gateways: every tab, back-tick, and GBK name where theirs are."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from payments.sandbox.bill_rows import PAYMENT, BillRow
from payments.sandbox.trades import BEIJING

CLOCK = "%Y-%m-%d %H:%M:%S"
RULE = "-----------------------------------------"
ALIPAY_TRADE_HEADER = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,"
    "支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
    "退款批次号/请求号,服务费（元）,分润（元）,备注"
)
ALIPAY_FUNDS_HEADER = (
    "账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,账户余额（元）,交易渠道,"
    "业务类型,备注"
)
WECHAT_TRADE_HEADER = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,"
    "代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,"
    "申请退款金额,费率备注"
)
WECHAT_TRADE_TOTALS = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)
WECHAT_FUNDS_HEADER = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),资金变更提交申请人,备注,"
    "业务凭证号"
)
WECHAT_FUNDS_TOTALS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"


@dataclass(frozen=True, slots=True)
class About:
    """Whose statement of which day. `slip_minor` is added to a total, for a file that does not add up."""

    merchant: str
    app: str
    day: date
    slip_minor: int = 0


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement on the merchant's account; `what` is payment, refund, fee, fee_back or transfer."""

    what: str
    row: BillRow | None
    minor: int
    at: datetime


def yuan(minor: int) -> str:
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"


def movements(rows: Sequence[BillRow], day: date) -> list[Movement]:
    """Each payment and refund with its fee, and in the evening everything that came goes to the bank."""
    found: list[Movement] = []
    for row in rows:
        sign, fee = 1 if row.kind == PAYMENT else -1, (row.fee_milli + 500) // 1000
        found.append(Movement(row.kind, row, sign * row.amount_minor, row.at))
        if fee:
            found.append(Movement("fee" if sign > 0 else "fee_back", row, -sign * fee, row.at))
    left = sum(movement.minor for movement in found)
    if left > 0:
        evening = datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=BEIJING)
        found.append(Movement("transfer", None, -left, evening))
    return found


# -- Alipay --------------------------------------------------------------------------------------------------


class GbkName(zipfile.ZipInfo):
    """Alipay's zips name their members in GBK without the flag that would say what the bytes are."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode("gbk"), self.flag_bits & ~0x800


def alipay_trade(about: About, rows: Sequence[BillRow]) -> str:
    sums = {True: [0, 0], False: [0, 0]}
    lines = []
    for row in rows:
        paid = row.kind == PAYMENT
        minor = row.amount_minor if paid else -row.amount_minor
        sums[paid][0] += 1
        sums[paid][1] += minor
        fee = row.fee_milli // 1000 * (1 if paid else -1)
        trade, number = _alipay_numbers(row)
        lines.append(
            f"{trade}\t,{number}\t,{'交易' if paid else '退款'}\t,{row.subject},"
            f"{row.created_at.strftime(CLOCK)},{row.at.strftime(CLOCK)},\t,\t,\t,\t,{row.buyer}\t,{yuan(minor)},"
            f"{yuan(minor)},0.00,0.00,0.00,0.00,0.00,,0.00\t,0.00,{'' if paid else row.number}\t,{yuan(fee)},0.00,"
        )
    taken, back = sums[True], sums[False]
    totals = [
        f"#交易合计：{taken[0]}笔，商家实收共{yuan(taken[1] + about.slip_minor)}元，商家优惠共0.00元",
        f"#退款合计：{back[0]}笔，商家实收退款共{yuan(back[1])}元，商家优惠退款共0.00元",
    ]
    return _alipay_text(about, "业务明细", ALIPAY_TRADE_HEADER, lines, totals)


def alipay_funds(about: About, rows: Sequence[BillRow]) -> str:
    names = {
        "payment": "在线支付",
        "refund": "交易退款",
        "fee": "收费",
        "fee_back": "退费",
        "transfer": "提现",
    }
    sums = {True: [0, 0], False: [0, 0]}
    lines, balance = [], 0
    for index, movement in enumerate(movements(rows, about.day)):
        came, row = movement.minor > 0, movement.row
        balance += movement.minor
        sums[came][0] += 1
        sums[came][1] += abs(movement.minor)
        trade, number = _alipay_numbers(row) if row else ("", "")
        at, subject = movement.at.strftime(CLOCK), row.subject if row else ""
        income, expense = (yuan(movement.minor), "") if came else ("", yuan(movement.minor))
        lines.append(
            f"{_flow(about, index)}\t,{trade}\t,{number}\t,{subject}\t,{at},"
            f"\t,{income},{expense},{yuan(balance)},支付宝\t,{names[movement.what]}\t,\t"
        )
    went, came_in = sums[False], sums[True]
    totals = [
        f"#支出合计：{went[0]}笔，共{yuan(went[1] + about.slip_minor)}元",
        f"#收入合计：{came_in[0]}笔，共{yuan(came_in[1])}元",
    ]
    return _alipay_text(about, "账务明细", ALIPAY_FUNDS_HEADER, lines, totals)


def _alipay_numbers(row: BillRow) -> tuple[str, str]:
    """A refund is told by the numbers of its payment; its own stands in a column of the trades alone."""
    return (row.reference, row.number) if row.kind == PAYMENT else (row.payment_reference, row.payment_number)


def alipay_zip(about: About, text: str, what: str) -> bytes:
    """The detail and a summary beside it; which comes first differs from export to export."""
    stem = f"{about.merchant}0156_{about.day:%Y%m%d}_{what}"
    summary = f"#支付宝{what[:2]}汇总查询\r\n#账号：[{about.merchant}0156]\r\n"
    members = [(f"{stem}(汇总).csv", summary), (f"{stem}.csv", text)]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members if about.day.day % 2 else reversed(members):
            info = GbkName(name, (about.day.year, about.day.month, about.day.day, 8, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content.encode("gb18030"))
    return file.getvalue()


def _alipay_text(about: About, what: str, header: str, lines: list[str], totals: list[str]) -> str:
    first, last = (f"{day:%Y年%m月%d日} 00:00:00" for day in (about.day, about.day + timedelta(days=1)))
    export = f"{about.day + timedelta(days=1):%Y年%m月%d日} 07:27:37"
    text = [
        f"#支付宝{what}查询",
        f"#账号：[{about.merchant}0156]",
        f"#起始日期：[{first}]   终止日期：[{last}]",
        f"#{RULE}{what}列表{RULE}",
        header,
        *lines,
        f"#{RULE}{what}列表结束{RULE}",
        *totals,
        f"#导出时间：[{export}]",
    ]
    return "\r\n".join([*text, ""])


# -- WeChat Pay ----------------------------------------------------------------------------------------------


def wechat_trade(about: About, rows: Sequence[BillRow]) -> str:
    lines = [_wechat_row(about, row) for row in rows]
    paid = sum(_ordered(row) for row in rows)
    back = sum(row.amount_minor for row in rows if row.kind != PAYMENT)
    fees = sum(row.fee_milli * (1 if row.kind == PAYMENT else -1) for row in rows)
    sums = [
        f"{len(rows)}.0",
        yuan(paid + about.slip_minor),
        yuan(back),
        "0.00",
        _fee(fees),
        yuan(paid + about.slip_minor),
        yuan(back),
    ]
    return _wechat_text(WECHAT_TRADE_HEADER, lines, WECHAT_TRADE_TOTALS, sums)


def _ordered(row: BillRow) -> int:
    return row.amount_minor if row.kind == PAYMENT else 0


def _wechat_row(about: About, row: BillRow) -> str:
    paid = row.kind == PAYMENT
    state = (row.status if paid else "REFUND", "" if paid else row.status)
    refund = ("0", "0", "0.00") if paid else (row.reference, row.number, yuan(row.amount_minor))
    ordered, fee = yuan(_ordered(row)), _fee(row.fee_milli if paid else -row.fee_milli)
    cells = [
        *(row.at.strftime(CLOCK), about.app, about.merchant, "0", ""),
        row.reference if paid else row.payment_reference,
        *(row.number if paid else row.payment_number, row.buyer, "NATIVE", state[0], "OTHERS", row.currency),
        *(ordered, "0.00", *refund, "0.00", "" if paid else "ORIGINAL", state[1], row.subject, "", fee),
        *("0.60%", ordered, refund[2], ""),
    ]
    return "`" + ",`".join(cells)


def wechat_funds(about: About, rows: Sequence[BillRow]) -> str:
    names = {
        "payment": "交易",
        "refund": "退款",
        "fee": "扣除交易手续费",
        "fee_back": "退还交易手续费",
        "transfer": "提现",
    }
    sums = {True: [0, 0], False: [0, 0]}
    lines, balance = [], 0
    for index, movement in enumerate(movements(rows, about.day)):
        came, row = movement.minor > 0, movement.row
        balance += movement.minor
        sums[came][0] += 1
        sums[came][1] += abs(movement.minor)
        cells = [
            *(movement.at.strftime(CLOCK), row.reference if row else "", _flow(about, index)),
            *(names[movement.what], names[movement.what], "收入" if came else "支出"),
            *(yuan(abs(movement.minor)), yuan(balance), "system", "", row.number if row else ""),
        ]
        lines.append("`" + ",`".join(cells))
    came_in, went = sums[True], sums[False]
    totals = [
        *(f"{came_in[0] + went[0]}.0", f"{came_in[0]}.0", yuan(came_in[1] + about.slip_minor)),
        *(f"{went[0]}.0", yuan(went[1])),
    ]
    return _wechat_text(WECHAT_FUNDS_HEADER, lines, WECHAT_FUNDS_TOTALS, totals)


def wechat_gzip(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


def _wechat_text(header: str, lines: list[str], totals_header: str, totals: list[str]) -> str:
    return "\ufeff" + "\r\n".join([header, *lines, totals_header, "`" + ",`".join(totals), ""])


def _flow(about: About, index: int) -> str:
    return f"{about.merchant}{about.day:%Y%m%d}{index:08d}"


def _fee(milli: int) -> str:
    return f"{'-' if milli < 0 else ''}{abs(milli) // 100_000}.{abs(milli) % 100_000:05d}"
