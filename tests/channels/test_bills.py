"""Statements on the channels' terms: when they are ready, how long their links live, what makes the file genuine."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from payments.channels import port
from payments.channels.bills import BillAbsent, BillLink, BillNotReady, Downloaded
from payments.statements import formats
from payments.statements.parts import Parts
from payments.statements.shape import Expected, Refused
from tests.channels.rig import Sandbox, a_refund, eventually

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY_S = 86400


def today():
    return datetime.now(SHANGHAI).date()


def ahead(sandbox, *, days=0, hour=11, link_s=60.0):
    """Put the statements' clock to `hour` o'clock, so many days from now."""
    now = datetime.now(SHANGHAI)
    then = (now + timedelta(days=days)).replace(hour=hour, minute=0, second=0)
    sandbox.control("POST", "bills/clock", {"ahead_s": (then - now).total_seconds(), "link_s": link_s})


def plant(sandbox, channel, what, *, number="", where="trade", **args):
    asked = {"channel": channel, "day": today().isoformat(), "what": what, "number": number, "where": where}
    sandbox.control("POST", "bills/differences", asked | {"args": args})


@pytest.fixture(scope="module")
def own_house(tmp_path_factory):
    sandbox = Sandbox(tmp_path_factory.mktemp("bills"))
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def empty(own_house):
    """A sandbox with empty books, for a statement tells everything of a day."""
    own_house.control("POST", "reset", {})
    return own_house


@pytest.fixture
def bills(empty):
    """The same on the morning after."""
    ahead(empty, days=1)
    return empty


def fetched(channel, kind="trade"):
    link = channel.ask_bill(kind=kind, day=today())
    assert isinstance(link, BillLink), link
    file = io.BytesIO()
    answer = channel.download_bill(link, file)
    assert isinstance(answer, Downloaded), answer
    assert answer.size == len(file.getvalue())
    return file


def read(file, merchant):
    form, texts = formats.find(file)
    return list(Parts(form, texts, Expected(today(), merchant)).lines())


@pytest.mark.parametrize("code", ["alipay", "wechat"])
def test_a_day_in_both_statements(bills, code):
    channel = bills.channel(code)
    first, second = bills.paid(channel, subject="看台, 380"), bills.paid(channel, amount_minor=88001)
    refund = a_refund(first, amount_minor=12345)
    channel.refund(refund)
    eventually(lambda: isinstance(channel.query_refund(refund), port.Refunded))

    lines = read(fetched(channel), channel.merchant)

    assert {(line.kind, line.number, line.amount_minor, line.status) for line in lines} == {
        ("payment", first.number, 38000, "success"),
        ("payment", second.number, 88001, "success"),
        ("refund", refund.number, -12345, "success"),
    }
    fees = {line.number: line.fee_milli for line in lines}
    exact = code == "wechat"
    assert fees[second.number] == (528006 if exact else 528000)
    assert fees[refund.number] == (-74070 if exact else -74000)
    paid = channel.query(first.number)
    assert isinstance(paid, port.Paid)
    assert {line.reference for line in lines if line.number == first.number} == {paid.channel_reference}

    moved = read(fetched(channel, "funds"), channel.merchant)
    assert sum(line.amount_minor for line in moved) == 0  # what is left goes to the bank in the evening
    assert {line.kind for line in moved} == {"payment", "refund", "fee", "transfer"}
    assert sum(line.amount_minor for line in moved if line.kind in ("payment", "refund")) == 113656


@pytest.mark.parametrize(
    ("code", "early"),
    [("alipay", BillAbsent("BILL_NOT_EXIST")), ("wechat", BillNotReady("STATEMENT_CREATING"))],
)
def test_when_it_is_written(empty, code, early):
    channel = empty.channel(code)
    empty.paid(channel)
    assert isinstance(channel.ask_bill(kind="trade", day=today()), port.Declined)  # the day is not over
    ahead(empty, days=1, hour=8)
    assert channel.ask_bill(kind="trade", day=today()) == early
    ahead(empty, days=1, hour=10)
    assert isinstance(channel.ask_bill(kind="trade", day=today()), BillLink)
    ahead(empty, days=1000)
    assert isinstance(channel.ask_bill(kind="trade", day=today()), port.Declined)


@pytest.mark.parametrize("code", ["alipay", "wechat"])
def test_a_day_on_which_nothing_happened(bills, code):
    assert isinstance(bills.channel(code).ask_bill(kind="trade", day=today()), BillAbsent)


@pytest.mark.parametrize("code", ["alipay", "wechat"])
def test_links_age(bills, code):
    channel = bills.channel(code)
    bills.paid(channel)
    ahead(bills, days=1, link_s=-1)
    link = channel.ask_bill(kind="trade", day=today())
    assert channel.download_bill(link, io.BytesIO()) == port.Unknown("http_403")


def test_a_wechat_file_that_is_not_the_announced_one(bills):
    channel = bills.wechat()
    bills.paid(channel)
    plant(bills, "wechat", "wrong_sha1")
    link = channel.ask_bill(kind="trade", day=today())
    assert channel.download_bill(link, io.BytesIO()) == port.Unknown("wrong_sha1")


def test_our_signature_goes_to_nobody_else(bills):
    link = BillLink("http://127.0.0.1:1/v3/billdownload/file?token=x", "0" * 40)
    assert bills.wechat().download_bill(link, io.BytesIO()) == port.Unknown("link_elsewhere")


@pytest.mark.parametrize(
    ("fault", "reason"), [("http_500", "http_500"), ("drop_connection", "network"), ("slow", "timeout")]
)
def test_a_download_that_fails(bills, fault, reason):
    channel = bills.alipay()
    bills.paid(channel)
    bills.fault(fault, op="bill_file")
    answer = channel.download_bill(channel.ask_bill(kind="trade", day=today()), io.BytesIO())
    assert isinstance(answer, port.Unknown)
    assert answer.reason.startswith(reason)
    bills.fault(fault, op="bill")
    assert isinstance(channel.ask_bill(kind="trade", day=today()), port.Unknown)
    assert isinstance(channel.ask_bill(kind="trade", day=today()), BillLink)


DIFFERENCES = [
    "missing",
    "doubled",
    "amount",
    "fee",
    "status",
    "currency",
    "renumbered",
    "reference",
    "next_day",
]


@pytest.mark.parametrize("what", [*DIFFERENCES, "invented"])
def test_planted_differences_are_in_the_file_and_the_file_still_adds_up(bills, what):
    channel = bills.wechat()
    trade = bills.paid(channel)
    true = read(fetched(channel), channel.merchant)
    plant(bills, "wechat", what, number="" if what == "invented" else trade.number)
    bills.paid(channel)
    said = [line for line in read(fetched(channel), channel.merchant) if line.number == trade.number]
    if what in ("missing", "next_day", "renumbered"):
        assert said == []
    elif what == "doubled":
        assert len(said) == 2
    elif what != "invented":
        assert [line[1:] for line in said] != [line[1:] for line in true]
    bills.control("DELETE", "bills/differences")


def test_what_crossed_midnight_is_in_the_next_day(bills):
    channel = bills.wechat()
    trade = bills.paid(channel)
    plant(bills, "wechat", "next_day", number=trade.number)
    assert isinstance(channel.ask_bill(kind="trade", day=today()), BillAbsent)
    ahead(bills, days=2)
    link = channel.ask_bill(kind="trade", day=today() + timedelta(days=1))
    assert isinstance(link, BillLink)


@pytest.mark.parametrize("code", ["alipay", "wechat"])
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("totals", "totals"),
        ("truncated", "truncated"),
        ("damaged", "damaged"),
        ("other_merchant", "other_merchant"),
        ("junk", "foreign"),
    ],
)
def test_spoilt_files_are_refused(bills, code, what, reason):
    channel = bills.channel(code)
    bills.paid(channel)
    plant(bills, code, what)
    link, file = channel.ask_bill(kind="trade", day=today()), io.BytesIO()
    answer = channel.download_bill(link, file)
    if code == "wechat" and what in ("damaged", "junk"):
        assert answer == port.Unknown("wrong_sha1")
        return
    assert isinstance(answer, Downloaded)
    with pytest.raises(Refused) as caught:
        read(file, channel.merchant)
    assert caught.value.reason == reason


def test_not_ready_for_a_while(bills):
    channel = bills.wechat()
    bills.paid(channel)
    plant(bills, "wechat", "not_ready", times=2)
    answers = [type(channel.ask_bill(kind="trade", day=today())) for _ in range(3)]
    assert answers == [BillNotReady, BillNotReady, BillLink]


def test_the_control_interface_refuses_what_makes_no_sense(bills):
    for asked in (
        {"channel": "nobody", "day": "2026-11-20", "what": "missing", "number": "X"},
        {"channel": "alipay", "day": "soon", "what": "missing", "number": "X"},
        {"channel": "alipay", "day": "2026-11-20", "what": "magic"},
        {"channel": "alipay", "day": "2026-11-20", "what": "missing"},
        {"channel": "alipay", "day": "2026-11-20", "what": "currency", "number": "X"},
    ):
        answer = bills.http.post(f"{bills.url}/_control/bills/differences", json=asked)
        assert answer.status_code == 400, asked
