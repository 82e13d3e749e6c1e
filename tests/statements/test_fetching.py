"""Statements come by themselves: asked for on the next morning, again while they are not ready, loaded once."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from payments import outbox
from payments.channels import registry
from payments.models import OutboxMessage, Payment, Statement
from payments.statements import fetch, load
from payments.statements.load import Wanted
from tests.channels.rig import Sandbox

SHANGHAI = ZoneInfo("Asia/Shanghai")

pytestmark = pytest.mark.django_db


def today():
    """The sandbox takes money by the machine's clock; asked anew by each test, for a run may last past midnight."""
    return datetime.now(SHANGHAI).date()


def at(hour, minute=0, *, day=None):
    """On the next morning, if no day is given."""
    return datetime.combine(day or today() + timedelta(days=1), time(hour, minute), SHANGHAI)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    sandbox = Sandbox(tmp_path_factory.mktemp("fetching"))
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def bills(house, settings):
    """The sandbox with empty books on the next morning, and the product that knows it."""
    house.control("POST", "reset", {})
    ahead = (at(11) - datetime.now(SHANGHAI)).total_seconds()
    house.control("POST", "bills/clock", {"ahead_s": ahead})
    settings.SANDBOX_URL, settings.CHANNEL_KEYS_DIR = house.url, house.keys
    settings.STATEMENT_DAYS_BACK = 1
    settings.CHANNEL_TIMEOUT_S = 1.0
    registry._channels.cache_clear()
    yield house
    registry._channels.cache_clear()


def plant(bills, channel, what, *, where="trade", **args):
    asked = {"channel": channel, "day": today().isoformat(), "what": what, "where": where, "args": args}
    bills.control("POST", "bills/differences", asked)


def drain(now):
    fetch.plan(now=now)
    while outbox.drain(clock=lambda: now, lane=outbox.STATEMENTS, limit=1):
        pass


def message(channel="wechat", kind="trade"):
    return OutboxMessage.objects.get(key=f"statement:{channel}:{kind}:{today().isoformat()}")


def loaded():
    return set(Statement.objects.values_list("channel", "kind", "lines"))


def test_nothing_is_asked_before_the_morning(bills):
    drain(at(9, 59))
    assert set(OutboxMessage.objects.values_list("attempts", flat=True)) == {0}
    assert not Statement.objects.exists()


def test_both_kinds_of_both_channels_come_by_themselves_once(bills):
    for code in ("alipay", "wechat"):
        bills.paid(bills.channel(code))
    for hour in (11, 12, 13):
        drain(at(hour))
    assert loaded() == {
        *{("alipay", "trade", 1), ("wechat", "trade", 1)},
        *{("alipay", "funds", 3), ("wechat", "funds", 3)},
    }
    assert not OutboxMessage.objects.filter(done_at=None).exists()
    assert set(Statement.objects.values_list("source", flat=True)) == {"fetched"}


def test_not_ready_is_asked_again(bills):
    bills.paid(bills.wechat())
    plant(bills, "wechat", "not_ready", times=2)
    drain(at(11))
    assert ("wechat", "trade", 1) not in loaded()
    assert message().due_at == at(11) + fetch.AGAIN[0]
    assert message().last_error == "NotFetched: not ready: STATEMENT_CREATING"
    drain(at(11, 15))
    drain(at(11, 30))
    assert ("wechat", "trade", 1) in loaded()


def test_a_link_that_died_is_asked_for_anew(bills):
    bills.paid(bills.wechat())
    bills.control("POST", "bills/clock", {"link_s": -1})
    drain(at(11))
    assert "http_403" in message().last_error
    bills.control("POST", "bills/clock", {"link_s": 60})
    drain(at(12))
    assert ("wechat", "trade", 1) in loaded()


def test_a_spoilt_file_is_told_with_its_line_and_fetched_again(bills):
    bills.paid(bills.alipay())
    plant(bills, "alipay", "totals")
    drain(at(11))
    assert "line 8: totals" in message("alipay").last_error
    assert ("alipay", "trade", 1) not in loaded()
    bills.control("DELETE", "bills/differences")
    drain(at(12))
    assert ("alipay", "trade", 1) in loaded()


def test_a_file_that_stays_spoilt_is_asked_for_at_growing_distances_and_not_for_ever(bills):
    bills.paid(bills.alipay())
    plant(bills, "alipay", "totals")
    now, asked = at(11), []
    for _ in range(50):
        drain(now)
        spoilt = message("alipay")
        asked.append(now)
        if spoilt.done_at:
            break
        now = spoilt.due_at
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert len(asked) == len(fetch.AGAIN) + 1
    assert gaps == sorted(gaps)
    assert spoilt.last_error.startswith("Spoilt: line 8: totals")
    assert spoilt.key in {one.key for one in fetch.not_here(limit=99)}
    drain(now + timedelta(hours=1))
    assert message("alipay").attempts == len(asked)  # nobody asks by itself any more

    bills.control("DELETE", "bills/differences")
    outbox.hasten([spoilt.key], now=now)  # a person does
    drain(now)
    assert ("alipay", "trade", 1) in loaded()
    assert spoilt.key not in {one.key for one in fetch.not_here(limit=99)}


def test_a_day_without_payments_has_an_empty_statement(bills):
    drain(at(11))
    assert loaded() == {(channel, kind, 0) for channel in ("alipay", "wechat") for kind in ("trade", "funds")}


def test_there_is_none_is_not_believed_while_we_have_payments(bills):
    paid_at = at(20, day=today())
    Payment.objects.create(
        number="P1",
        purchase_kind="order",
        purchase_number="K1",
        buyer_id=1,
        channel="alipay",
        amount_minor=100,
        currency="CNY",
        subject="-",
        state="succeeded",
        outcome="won",
        created_at=paid_at,
        expires_at=paid_at,
        paid_at=paid_at,
    )
    drain(at(11))
    assert {channel for channel, _, _ in loaded()} == {"wechat"}
    drain(at(20, 1))
    assert ("alipay", "trade", 0) in loaded()  # and reconciliation will show the payment as missing there


def test_an_upload_is_quicker(bills):
    fetch.plan(now=at(9))
    load.load_nothing(wanted=Wanted(today(), "wechat", "trade"), now=at(9))
    bills.paid(bills.wechat())
    drain(at(11))
    assert ("wechat", "trade", 0) in loaded()
    assert message().done_at is not None


def test_a_slow_statement_holds_nothing_else_up():
    assert outbox.lane_of("statement.fetch") == outbox.STATEMENTS
    assert outbox.lane_of("refund.drive") == outbox.COMPENSATE
    assert outbox.lane_of("notify.apply") == outbox.NOTIFY
    for kind in ("statement.fetch", "refund.drive", "notify.apply"):
        outbox.put(kind, key=kind, payload={}, due_at=at(1), now=at(1))
    claimed = {
        lane: [row.kind for row in outbox._claim(now=at(2), lane=lane, limit=9)]
        for lane in (outbox.COMPENSATE, outbox.NOTIFY, outbox.STATEMENTS)
    }
    assert claimed == {
        "compensate": ["refund.drive"],
        "notify": ["notify.apply"],
        "statements": ["statement.fetch"],
    }
