"""Statements in the channels' own formats are read exactly, and whatever is wrong with one is found at its line."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from contextlib import suppress
from datetime import timedelta

import pytest

from payments.statements import archive, cells, formats
from payments.statements.parts import Parts
from payments.statements.shape import REASONS, Expected, Refused
from tests.statements import papers
from tests.statements.papers import DAY, MCHID, SELLER


def read(file, *, day=DAY, merchant=""):
    form, texts = formats.find(file)
    parts = Parts(form, texts, Expected(day, merchant))
    return form, parts, list(parts.lines())


def refusal(file, **expected):
    with pytest.raises(Refused) as caught:
        read(file, **expected)
    assert caught.value.reason in REASONS
    assert caught.value.said()
    return caught.value.line, caught.value.reason


class TestAlipay:
    @pytest.mark.parametrize("summary_first", [False, True])
    def test_payments_and_refunds(self, summary_first):
        form, reader, lines = read(papers.alipay(summary_first=summary_first), merchant=SELLER)

        assert (form.channel, form.kind) == ("alipay", "trade")
        first, second, refund = lines
        assert first == (
            *(6, "payment", "PAYMENT00000001", "PAYMENT00000001", "2026112022001400001"),
            *(176000, 1056000, "CNY", "success", "2026-11-20 10:00:03", 0),
        )
        assert (second.amount_minor, second.fee_milli) == (
            38000,
            228000,
        )  # the fee's sign is the exporter's whim
        assert refund == (
            *(8, "refund", "REFUND000000001", "PAYMENT00000002", "2026112022001400002"),
            *(-10050, -60000, "CNY", "success", "2026-11-20 11:30:00", 0),
        )
        assert reader.told["交易合计"] == {"count": "2", "商家实收": "2140.00", "商家优惠": "0.00"}

    def test_movements(self):
        form, _, lines = read(papers.alipay(papers.ALIPAY_FUNDS, what="账务明细"), merchant=SELLER)

        assert form.kind == "funds"
        assert [(line.kind, line.amount_minor, line.fee_milli) for line in lines] == [
            ("payment", 176000, 0),
            ("fee", -1056, 1056000),
            ("refund", -10050, 0),
            ("transfer", -160000, 0),
        ]
        assert [line.reference for line in lines] == [
            *("2026112022001400001", "902", "2026112022001400002", "904")
        ]

    def test_ascii_parentheses_and_other_totals(self):
        text = papers.ALIPAY_TRADE.replace("（", "(").replace("）", ")")
        text = text.replace("商家实收共", "交易金额共").replace("商家优惠共", "优惠金额共")
        text = text.replace("商家实收退款共", "交易退款金额共").replace("商家优惠退款共", "优惠退款金额共")
        assert len(read(papers.alipay(text))[2]) == 3

    def test_a_bare_file_and_one_saved_as_utf_8(self):
        assert len(read(io.BytesIO(papers.ALIPAY_TRADE.encode("gbk")))[2]) == 3
        assert len(read(io.BytesIO(b"\xef\xbb\xbf" + papers.ALIPAY_TRADE.encode()))[2]) == 3

    def test_names_in_gbk_are_read_as_they_were_meant(self):
        assert [text.name for text in archive.texts(papers.alipay())] == [
            "20881021000000010156_20261120_业务明细.csv",
            "20881021000000010156_20261120_业务明细(汇总).csv",
        ]

    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            ("1760.00,1760.00", "1760.0x,1760.00", (6, "row")),
            ("1760.00,1760.00", "1760.00,1760.01", (10, "totals")),
            ("PAYMENT00000001\t", "PAY\\MENT001\t", (6, "row")),
            ("2026-11-20 11:30:00", "2026-11-21 00:00:00", (8, "other_day")),
            ("2026-11-20 11:30:00", "2026-11-20 25:30:00", (8, "row")),
            (",服务费（元）", ",服务（元）", (5, "columns")),
            ("交易\t,体育场之夜 内场", "转账\t,体育场之夜 内场", (6, "row")),
            ("2笔", "3笔", (10, "totals")),
            ("共-100.50元", "共-100.51元", (11, "totals")),
            ("#交易合计：", "#交易总数：", (10, "after_the_end")),
            ("2026年11月20日 00", "2026年11月19日 00", (3, "other_day")),
            ("2026年11月21日 00:00:00]\n#---", "2026年11月30日 00:00:00]\n#---", (3, "other_day")),
            ("[20881021000000010156]", "[20889999000000010156]", (2, "other_merchant")),
            ("\t,1760.00,1760.00", "\t,-1760.00,1760.00", (6, "row")),
        ],
    )
    def test_what_is_wrong_is_named_with_its_line(self, old, new, expected):
        assert old in papers.ALIPAY_TRADE
        assert refusal(papers.alipay(papers.ALIPAY_TRADE.replace(old, new, 1)), merchant=SELLER) == expected

    @pytest.mark.parametrize(
        ("old", "new", "line"),
        [
            ("共2140.00元", "共2140.0.0元", 10),
            ("合计：2笔", f"合计：{'9' * 5000}笔", 10),
            ('"体育场之夜, 看台"', '"体育场之夜,\r 看台"', 0),
            ('"体育场之夜, 看台"', '"体育场之夜,\n 看台"', 8),
            (",1760.00,1760.00", ",99999999999.00,1760.00", 6),
            ("PAYMENT00000001\t,交易", f"{'P' * 63}!\t,交易", 6),
        ],
    )
    def test_what_no_writer_writes_is_refused_at_its_line_or_read(self, old, new, line):
        """Broken numbers, a line's end within a name, sums beyond any, a number that takes years to look at."""
        assert old in papers.ALIPAY_TRADE
        file = papers.alipay(papers.ALIPAY_TRADE.replace(old, new, 1))
        assert not line or refusal(file)[0] == line
        assert line or len(read(file)[2]) == 3

    @pytest.mark.parametrize("kept", [3, 5, 7, 9, 10])
    def test_a_truncated_file(self, kept):
        text = "".join(papers.ALIPAY_TRADE.splitlines(keepends=True)[:kept])
        assert refusal(papers.alipay(text)) == (kept + 1, "truncated")

    def test_a_doubled_text(self):
        assert refusal(papers.alipay(papers.ALIPAY_TRADE * 2)) == (13, "after_the_end")
        totals = papers.ALIPAY_TRADE.splitlines(keepends=True)[9]
        assert refusal(papers.alipay(papers.ALIPAY_TRADE + totals)) == (13, "after_the_end")

    @pytest.mark.parametrize("gone", ["#账号：[20881021000000010156]\n", "#起始日期："])
    def test_a_file_that_does_not_say_whose_or_of_which_day(self, gone):
        text = papers.ALIPAY_TRADE.replace(gone, "#" if gone.endswith("：") else "")
        assert refusal(papers.alipay(text), merchant=SELLER)[1] == "preface"

    def test_a_day_on_which_nothing_happened(self):
        head, tail = (
            papers.ALIPAY_TRADE.splitlines(keepends=True)[:5],
            papers.ALIPAY_TRADE.splitlines(True)[8:],
        )
        none = "".join([*head, *tail]).replace("2笔", "0笔").replace("1笔", "0笔")
        none = none.replace("2140.00", "0.00").replace("-100.50", "0.00")
        assert read(papers.alipay(none))[2] == []
        no_refunds = "".join(line for line in none.splitlines(keepends=True) if "退款合计" not in line)
        assert read(papers.alipay(no_refunds))[2] == []
        no_totals = "".join(line for line in none.splitlines(keepends=True) if "合计" not in line)
        assert refusal(papers.alipay(no_totals))[1] in ("after_the_end", "truncated")

    def test_money_sent_to_somebody_is_no_transfer_to_our_bank(self):
        text = papers.ALIPAY_FUNDS.replace("提现\t,\t\n", "转账\t,\t\n")
        assert [line.kind for line in read(papers.alipay(text, what="账务明细"))[2]][-1] == "other"

    def test_a_large_day_comes_in_parts(self):
        other = papers.ALIPAY_TRADE.replace("PAYMENT", "PAYMORE").replace("REFUND", "REMORE")
        names = ("业务明细_1.csv", "业务明细_2.csv")
        parts = papers.zipped(
            ("汇总.csv", papers.ALIPAY_SUMMARY), *zip(names, (papers.ALIPAY_TRADE, other), strict=True)
        )
        _, reader, lines = read(parts, merchant=SELLER)
        assert [line.line_no for line in lines] == [6, 7, 8, 14, 15, 16]
        assert len({line.number for line in lines}) == 6
        assert reader.told[names[1]]["交易合计"]["count"] == "2"
        spoilt = papers.zipped((names[0], papers.ALIPAY_TRADE), (names[1], other.replace("2笔", "3笔")))
        with pytest.raises(Refused) as caught:
            read(spoilt)
        assert (caught.value.line, caught.value.reason) == (10, "totals")
        assert caught.value.detail.startswith(names[1])
        assert refusal(papers.zipped(("a.csv", other), ("b.csv", other))) == (0, "part_twice")

    def test_what_a_discount_of_ours_took_off(self):
        """20 of 380 yuan, and its share of what went back; a discount of Alipay's own costs us nothing."""
        text = papers.ALIPAY_TRADE.replace(
            "380.00,380.00,0.00,0.00,0.00,0.00", "380.00,360.00,0.00,0.00,0.00,20.00"
        )
        text = text.replace("-100.50,-100.50,0.00,0.00,0.00,0.00", "-100.50,-95.21,0.00,0.00,0.00,-5.29")
        text = text.replace("1760.00,1760.00,0.00,0.00,0.00", "1760.00,1760.00,0.00,0.00,5.00")
        text = text.replace("共2140.00元，商家优惠共0.00", "共2120.00元，商家优惠共20.00")
        text = text.replace("共-100.50元，商家优惠退款共0.00", "共-95.21元，商家优惠退款共-5.29")
        assert [line.discount_minor for line in read(papers.alipay(text))[2]] == [0, 2000, -529]


class TestWechat:
    @pytest.mark.parametrize("zipped_up", [False, True])
    def test_payments_and_refunds(self, zipped_up):
        form, reader, lines = read(papers.wechat(zipped_up=zipped_up), merchant=MCHID)

        assert (form.channel, form.kind) == ("wechat", "trade")
        first, second, refund = lines
        assert first == (
            *(2, "payment", "PAYMENT00000001", "PAYMENT00000001", "4200000000000000000000000001"),
            *(176000, 1056000, "CNY", "success", "2026-11-20 10:00:03", 0),
        )
        assert (second.amount_minor, second.fee_milli) == (9, 54)
        assert refund == (
            *(4, "refund", "REFUND000000001", "PAYMENT00000001", "50300000000000000000000000001"),
            *(-10050, -60300, "CNY", "processing", "2026-11-20 11:30:00", 0),
        )
        assert tuple(reader.covers) == ("payment", "refund")
        assert reader.told["总交易单数"] == "3.0"

    @pytest.mark.parametrize(
        ("text", "covers", "amount"),
        [(papers.WECHAT_SUCCESS, ("payment",), 176000), (papers.WECHAT_REFUND, ("refund",), -10050)],
    )
    def test_half_statements_say_what_they_cover(self, text, covers, amount):
        _, reader, lines = read(papers.wechat(text))
        assert (tuple(reader.covers), [line.amount_minor for line in lines]) == (covers, [amount])
        assert lines[0].happened_at.startswith("2026-11-20")

    def test_what_a_discount_of_ours_took_off(self):
        """A coupon that we did not pay in beforehand: 5 yuan are not settled; one that we did is."""
        text = papers.WECHAT_ALL.replace("`CNY,`1760.00,`0.00", "`CNY,`1755.00,`5.00").replace(
            "`1760.09,`100", "`1755.09,`100", 1
        )
        text = text.replace("`CNY,`0.09,`0.00", "`CNY,`0.09,`0.01")
        text = text.replace("`REFUND000000001,`100.50", "`REFUND000000001,`100.21").replace(
            "`1755.09,`100.50", "`1755.09,`100.21"
        )
        lines = read(papers.wechat(text))[2]
        assert [(line.amount_minor, line.discount_minor) for line in lines] == [
            (176000, 500),
            (9, 0),
            (-10050, -29),
        ]

    def test_a_revoked_payment(self):
        text = papers.WECHAT_ALL.replace("`REFUND,`OTHERS", "`REVOKED,`OTHERS").replace("`PROCESSING", "`")
        line = read(papers.wechat(text))[2][2]
        assert (line.kind, line.status, line.amount_minor) == ("refund", "revoked", -10050)

    def test_movements(self):
        form, _, lines = read(papers.wechat(papers.WECHAT_FUNDS))
        assert form.kind == "funds"
        assert [(line.kind, line.amount_minor, line.fee_milli, line.number) for line in lines] == [
            ("payment", 176000, 0, "PAYMENT00000001"),
            ("fee", -1056, 1056000, ""),
            ("refund", -10050, 0, "REFUND000000001"),
            ("transfer", -160000, 0, ""),
        ]

    def test_a_fee_that_was_taken_inside_is_told_by_the_remark_and_by_nothing_else(self):
        def fees(remark, moved, *, total):
            text = papers.WECHAT_FUNDS.replace("结算总金额 1760.00 元;含手续费 0.00 元", remark)
            text = text.replace("`收入,`1760.00", f"`收入,`{moved}").replace(
                "`1.0,`1760.00", f"`1.0,`{total}"
            )
            return next(line.fee_milli for line in read(papers.wechat(text))[2])

        assert fees("结算总金额 1760.00 元;含手续费 10.56 元", "1749.44", total="1749.44") == 1056000
        assert (
            fees("结算总金额 1760.00 元;含手续费 10.56 元", "1760.00", total="1760.00") == 0
        )  # does not add up
        assert fees("买家说:含手续费 10.56 元", "1760.00", total="1760.00") == 0

    def test_movements_of_refunds_carry_a_fee_only_if_it_was_kept_inside(self):
        refund = read(papers.wechat(papers.WECHAT_FUNDS))[2][2]
        assert (refund.amount_minor, refund.fee_milli) == (-10050, 0)

    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            ("`1760.00,`0.00,`0,`0", "`1,760.00,`0.00,`0,`0", (2, "row")),
            ("`1760.00,`0.00,`\n", "`1760.01,`0.00,`\n", (6, "totals")),
            ("`10.56000", "`10.56001", (6, "totals")),
            ("`10.56000", "`10.560001", (2, "row")),
            ("`3.0", "`4.0", (6, "totals")),
            ("`CNY", "`yuan", (2, "row")),
            ("`1900000109", "`1900000999", (2, "other_merchant")),
            ("`2026-11-20 11:30:00", "`2026-11-19 11:30:00", (4, "other_day")),
            ("`PROCESSING", "`WONDERING", (4, "row")),
            (",货币种类", ",币种", (1, "columns")),
            ("\n总交易单数", "\n#\n总交易单数", (5, "row")),
        ],
    )
    def test_what_is_wrong_is_named_with_its_line(self, old, new, expected):
        assert old in papers.WECHAT_ALL
        assert refusal(papers.wechat(papers.WECHAT_ALL.replace(old, new, 1)), merchant=MCHID) == expected

    @pytest.mark.parametrize("kept", [1, 3, 4, 5])
    def test_a_truncated_file(self, kept):
        text = "".join(papers.WECHAT_ALL.splitlines(keepends=True)[:kept])
        assert refusal(papers.wechat(text)) == (kept + 1, "truncated")

    def test_a_doubled_text(self):
        assert refusal(papers.wechat(papers.WECHAT_ALL * 2)) == (7, "after_the_end")


class TestArchives:
    def test_nothing_at_all(self):
        assert refusal(io.BytesIO()) == (0, "empty")

    @pytest.mark.parametrize(
        "junk", [b"\x89PNG\r\n", b"name,amount\n1,2\n", papers.ALIPAY_SUMMARY.encode("gbk")]
    )
    def test_a_foreign_file(self, junk):
        assert refusal(io.BytesIO(junk)) == (1, "foreign")

    def test_two_statements_in_one(self):
        both = papers.zipped(("a.csv", papers.ALIPAY_TRADE), ("b.csv", papers.ALIPAY_FUNDS))
        assert refusal(both) == (0, "several")
        overlapping = papers.zipped(("a.csv", papers.WECHAT_SUCCESS), ("b.csv", papers.WECHAT_ALL))
        assert refusal(overlapping) == (0, "several")

    @pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
    def test_an_archive_packed_as_no_channel_packs(self, packing):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", packing) as archive:
            archive.writestr("a.csv", papers.WECHAT_ALL)
        assert refusal(file)[1] == "foreign"

    def test_an_archive_in_an_archive(self):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.zip", papers.alipay().getvalue())
        assert refusal(file) == (1, "foreign")

    def test_what_unpacks_to_far_more_than_it_is(self):
        """64 MB of one line in 64 kB: no more of it is unpacked than a line may be long."""
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", papers.WECHAT_ALL.encode() + b"`" * (64 << 20))
        assert file.tell() < 1 << 17
        assert refusal(file) == (7, "too_large")

    @pytest.mark.parametrize("whole", [papers.alipay(), papers.wechat(), papers.wechat(zipped_up=False)])
    def test_whatever_is_done_to_its_bytes_it_is_read_or_refused(self, whole):
        chance = random.Random(b"bytes")
        for _ in range(400):
            file = bytearray(whole.getvalue())
            for _ in range(chance.choice((1, 2, 5))):
                at = chance.randrange(len(file))
                file[at : at + chance.choice((0, 1, 9))] = chance.randbytes(chance.choice((0, 1, 4)))
            with suppress(Refused):
                read(io.BytesIO(file))

    def test_both_halves_of_a_day_in_one_archive(self):
        both = papers.zipped(("a.csv", papers.WECHAT_SUCCESS), ("b.csv", papers.WECHAT_REFUND))
        _, reader, lines = read(both, merchant=MCHID)
        assert reader.covers == ["payment", "refund"]
        assert [line.number for line in lines] == ["PAYMENT00000001", "REFUND000000001"]

    def test_every_cut_of_a_gzip_is_found(self):
        whole = papers.wechat().getvalue()
        for size in range(1, len(whole)):
            line, reason = refusal(io.BytesIO(whole[:size]))
            assert reason in ("damaged", "truncated", "foreign"), (size, line, reason)

    def test_a_flipped_bit_in_a_zip_is_found(self):
        raw = bytearray(papers.alipay().getvalue())
        raw[200] ^= 0x10
        assert refusal(io.BytesIO(bytes(raw)))[1] in ("damaged", "row", "encoding", "foreign")

    def test_bytes_that_are_no_text(self):
        raw = papers.WECHAT_ALL.encode().replace("看台".encode(), b"\xff\xfe")
        assert refusal(io.BytesIO(gzip.compress(raw))) == (3, "encoding")

    def test_a_line_without_end(self):
        raw = papers.WECHAT_ALL.encode() + b"`" * archive.LINE_BYTES_MAX
        assert refusal(io.BytesIO(raw)) == (7, "too_large")


@pytest.mark.parametrize(
    ("text", "fen"), [("0", 0), ("12", 1200), ("12.3", 1230), ("-0.01", -1), ("+1.00", 100), (" 5.00 ", 500)]
)
def test_amounts(text, fen):
    assert cells.fen(text) == fen


@pytest.mark.parametrize("text", ["", "1.234", "1,000.00", "1e2", "١.00", "0x1", "NaN", "--1", "1_0.00"])
def test_what_is_no_amount(text):
    with pytest.raises(ValueError, match="amount"):
        cells.fen(text)


def test_another_day_is_told_from_no_time():
    clock = cells.clock_of(DAY + timedelta(days=1))
    with pytest.raises(cells.NotOfTheDay):
        clock("2026-11-20 10:00:00")
