"""
From the channel's own books to a closed case: payments and refunds at the sandbox, its statements with every difference
that it can plant, fetched, loaded and compared by the product's own tasks, worked off at the desk.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from desk.models import Case, CaseState
from payments import tasks
from payments.channels.bills import BillLink
from payments.models import Discrepancy, Payment, Settlement, Statement, StatementLine
from payments.reconcile import run
from payments.statement_models import StatementSource
from payments.statements import fetch, load
from payments.statements.load import Wanted
from tests.channels.rig import Sandbox
from tests.desk.conftest import Desk, desk  # noqa: F401  (fixtures)
from tests.payments.conftest import Till, clock, till  # noqa: F401  (fixtures)
from tests.reconcile.night import Night, emptied
from wallet.models import JournalEntry

# What the sandbox can plant in a row, and as what it must be found: of a payment, and of a refund. What is moved to the
# next day is found when that day's statement is here.
PLANTED: dict[str, tuple[set[str], set[str]]] = {
    "missing": ({"missing_there"}, {"refund_missing_there"}),
    "doubled": ({"duplicate"}, {"duplicate"}),
    "amount": ({"amount_differs"}, {"refund_amount_differs"}),
    "fee": ({"fee_differs"}, {"fee_differs"}),
    "renumbered": ({"missing_there"}, {"refund_missing_there"}),
    "reference": ({"reference_differs"}, {"reference_differs"}),
    "next_day": (set(), set()),
    "status": ({"status_differs"}, {"refund_status_differs"}),
    "currency": ({"currency_differs"}, {"currency_differs"}),
}
ONLY_WECHAT = {"status", "currency"}
WAITING = {"missing_there": "crossing", "refund_missing_there": "crossing"}
CASE_OF = {
    "missing_here": "statement_missing_here",
    "refund_missing_here": "statement_missing_here",
    "missing_there": "statement_missing_there",
    "refund_missing_there": "statement_missing_there",
    "amount_differs": "statement_differs",
    "currency_differs": "statement_differs",
    "fee_differs": "statement_differs",
    "duplicate": "statement_differs",
    "reference_differs": "statement_differs",
    "refund_amount_differs": "statement_differs",
    "status_differs": "statement_status",
    "refund_status_differs": "statement_status",
    "funds_differ": "statement_ledger",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox of our own: a statement tells everything that its books have."""
    sandbox = Sandbox(tmp_path_factory.mktemp("a day"), time_factor=2000.0)
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(house: Sandbox) -> Sandbox:
    """With empty books, and no midnight on the way."""
    emptied(house)
    return house


@pytest.fixture
def at(
    till: Till,  # noqa: F811
    desk: Desk,  # noqa: F811
    buyer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    tmp_path: Path,
) -> Callable[[str], Night]:
    settings.STATEMENTS_DIR = tmp_path
    settings.STATEMENT_DAYS_BACK = 2
    # The tests run at any time of day: everything might stand on the next day's statement.
    settings.RECONCILE_CROSSING = timedelta(days=1)
    return lambda channel: Night(channel, till, desk, buyer, monkeypatch)


def in_state(state: str) -> set[tuple[str, str]]:
    """Classes and numbers."""
    return set(Discrepancy.objects.filter(state=state).values_list("klass", "number"))


def cases() -> set[tuple[str, str, str]]:
    rows = Case.objects.filter(closed_at=None, kind__startswith="statement_")
    return {(case.kind, case.facts["class"], case.facts["number"]) for case in rows}


def everything_kept() -> list[Any]:
    """What a run could change; its own times and counts it may."""
    return [
        *Discrepancy.objects.order_by("pk").values(),
        *Settlement.objects.order_by("pk").values(),
        *Statement.objects.order_by("pk").values(),
        *JournalEntry.objects.order_by("pk").values(),
        *Case.objects.order_by("pk").values_list("pk", "state", "closed_at"),
    ]


def planted_everywhere(night: Night) -> set[tuple[str, str]]:
    """Every difference of a row, on a payment and on a refund of its own; classes and numbers to be found."""
    base, wanted = night.sold(), set()
    for what, (of_payment, of_refund) in PLANTED.items():
        if what in ONLY_WECHAT and night.channel != "wechat":
            continue
        payment, refund = night.sold(), night.back(base)
        night.plant(what, payment.number)
        night.plant(what, refund.number, **({"status": "FAIL"} if what == "status" else {}))
        wanted |= {(klass, payment.number) for klass in of_payment}
        if (what, night.channel) != ("reference", "alipay"):  # names refunds by their payments' numbers
            wanted |= {(klass, refund.number) for klass in of_refund}
        if what in ONLY_WECHAT:  # movements have neither currency nor state of a trade
            wanted |= {("funds_differ", payment.number), ("funds_differ", refund.number)}
        if what == "renumbered":
            wanted |= {
                ("missing_here", "X" + payment.number[1:]),
                ("refund_missing_here", "X" + refund.number[1:]),
            }
    night.plant("invented", "NOSUCH1")
    night.plant("invented", "NOSUCH2", kind="refund", payment=base.number)
    wanted |= {("missing_here", "NOSUCH1"), ("refund_missing_here", "NOSUCH2")}
    if night.channel == "wechat":
        # Not a difference: WeChat Pay lists a refund as it was on that day, and never corrects it.
        night.plant("status", night.back(night.sold()).number)
    return wanted


def of_the_movements(night: Night) -> set[tuple[str, str]]:
    """Another amount moved than was listed."""
    moved = night.sold().number
    night.plant("amount", moved, where="funds")
    return {("funds_differ", moved)}


@pytest.mark.parametrize("channel", ["alipay", "wechat"])
def test_every_planted_difference_is_found_and_worked_off(at: Callable[[str], Night], channel: str) -> None:
    night = at(channel)
    desk = night.desk  # noqa: F811
    planted, moved = planted_everywhere(night), of_the_movements(night)
    found = planted | moved
    night.until_refunded()
    untold = night.sold(told=False)
    found.add(("status_differs", untold.number))

    night.morning(days=1)
    night.beat()
    # What one of two statements does not have may stand on the next day's.
    one_sided = {one for one in planted if one[0] == "funds_differ"}
    assert in_state("open") == {one for one in found - one_sided if one[0] not in WAITING}
    assert {one for one in in_state("carried") if one[0] != "crossing"} == one_sided
    desk.look()
    assert cases() == {(CASE_OF[klass], klass, number) for klass, number in in_state("open")}

    night.morning(days=2)
    night.beat()
    assert in_state("open") == found
    assert in_state("carried") == set()
    later = Discrepancy.objects.filter(resolution="matched_later").values_list("kind", flat=True)
    assert sorted(later) == ["payment", "refund"]  # what the channel listed a day later
    others = {
        (case.kind, case.payment_number) for case in desk.look() if not case.kind.startswith("statement_")
    }
    assert others == {("payment_unclosed", untold.number)}
    assert cases() == {(CASE_OF[klass], klass, number) for klass, number in found}

    worked_off(desk, untold)
    desk.work()
    night.beat()
    assert desk.look() == []
    assert in_state("open") == set()
    assert not Case.objects.exclude(state__in=[CaseState.RESOLVED, CaseState.GONE]).exists()
    untold.refresh_from_db()
    assert untold.state == "succeeded"
    desk.audit_is_clean()

    kept = everything_kept()
    night.beat()
    for day in range(-1, 2):
        run.reconcile(channel=channel, day=night.today + timedelta(days=day), now=desk.clock())
    assert desk.look() == []
    assert everything_kept() == kept


def worked_off(desk: Desk, untold: Payment) -> None:  # noqa: F811
    """Each case by a resolution of its type; who asks the channel settles the difference with its cause."""
    kinds = set()
    for nth, case in enumerate(
        Case.objects.filter(closed_at=None, kind__startswith="statement_").order_by("pk")
    ):
        kinds.add(case.kind)
        if case.payment_number == untold.number:
            desk.resolve(case, "ask_channel")
        else:
            desk.resolve(case, ("explain_difference", "set_right")[nth % 2])
    assert kinds == set(CASE_OF.values())


@pytest.mark.parametrize("channel", ["alipay", "wechat"])
def test_what_only_the_statement_knows_needs_no_person(at: Callable[[str], Night], channel: str) -> None:
    night = at(channel)
    untold = night.sold(told=False)
    night.morning(days=1)
    night.beat()
    assert in_state("open") == {("status_differs", untold.number)}
    night.desk.round()
    night.desk.work()
    night.beat()
    night.desk.round()
    untold.refresh_from_db()
    assert untold.state == "succeeded"
    assert in_state("open") == set()
    assert Discrepancy.objects.get(number=untold.number).resolution == "agrees"
    assert not Case.objects.filter(closed_at=None).exists()
    night.desk.audit_is_clean()


# -- half statements -----------------------------------------------------------------------------------------------

OF_REFUNDS = (
    "微信退款单号",
    "商户退款单号",
    "退款金额",
    "充值券退款金额",
    "退款类型",
    "退款状态",
    "申请退款金额",
)
ASKED_AT = "退款申请时间"


def half(text: str, state: str) -> bytes:
    """The SUCCESS or REFUND file of the same day, as WeChat Pay writes them beside ALL."""
    names, *lines = text.removeprefix("\ufeff").splitlines()
    header = names.split(",")
    rows = [dict(zip(header, line[1:].split(",`"), strict=True)) for line in lines[:-2]]
    rows = [row | {ASKED_AT: row["交易时间"]} for row in rows if row["交易状态"] == state]
    header = [*header, ASKED_AT] if state == "REFUND" else [name for name in header if name not in OF_REFUNDS]

    def total(name: str) -> str:
        return str(sum((Decimal(row[name]) for row in rows), Decimal(0)))

    sums = ("应结订单金额", "退款金额", "充值券退款金额", "手续费", "订单金额", "申请退款金额")
    told = [",`".join(row[name] for name in header) for row in rows]
    told = [",".join(header), *(f"`{row}" for row in told), lines[-2]]
    told.append("`" + ",`".join([str(len(rows)), *map(total, sums)]))
    return gzip.compress(("\ufeff" + "\r\n".join([*told, ""])).encode())


def upload(night: Night, kind: str, state: str = "") -> None:
    """The channel's own file of the day, or the half of it that a person has, by hand."""
    channel, file = night.till.house.wechat(), io.BytesIO()
    link = channel.ask_bill(kind=kind, day=night.today)
    assert isinstance(link, BillLink)
    channel.download_bill(link, file)
    if state:
        file = io.BytesIO(half(gzip.decompress(file.getvalue()).decode(), state))
    wanted = Wanted(day=night.today, channel="wechat", kind=kind, merchants=fetch.merchants())
    load.load(file, wanted=wanted, source=StatementSource.UPLOADED, now=night.desk.clock(), by="mei")
    tasks.reconcile_what_is_due()


def test_what_a_half_statement_does_not_cover_is_not_missing(
    at: Callable[[str], Night], settings: Any
) -> None:
    night = at("wechat")
    paid, gone = night.sold(), night.sold()
    refund = night.back(paid)
    night.until_refunded()
    night.plant("missing", gone.number)

    night.morning(days=1)
    upload(night, "funds")
    upload(night, "trade", "SUCCESS")
    assert listed(night) == {paid.number}
    assert unsettled() == {("crossing", gone.number)}  # and no word of the refund

    upload(night, "trade", "REFUND")  # joins the other half
    assert listed(night) == {paid.number, refund.number}
    assert unsettled() == {("crossing", gone.number)}
    night.morning(days=6)
    settings.STATEMENT_DAYS_BACK = 6
    night.beat()  # the neighbours come; nobody asks for a day that is here whole
    assert Statement.objects.get(**_of_the_day(night)).source == "uploaded"
    assert unsettled() == {("missing_there", gone.number)}


def test_half_a_day_is_replaced_by_the_whole_of_it(at: Callable[[str], Night], settings: Any) -> None:
    night = at("wechat")
    paid, gone = night.sold(), night.sold()
    night.plant("missing", gone.number)
    night.morning(days=1)
    upload(night, "trade", "REFUND")
    assert unsettled() == set()
    night.morning(days=6)
    tasks.reconcile_what_is_due()
    assert unsettled() == set()  # what nobody covers is not missing, however long ago
    settings.STATEMENT_DAYS_BACK = 6
    night.beat()
    assert listed(night) == {paid.number}
    assert Statement.objects.get(**_of_the_day(night)).source == "fetched"
    assert unsettled() == {("missing_there", gone.number)}


def unsettled() -> set[tuple[str, str]]:
    return in_state("open") | in_state("carried")


def listed(night: Night) -> set[str]:
    counts = Statement.objects.get(**_of_the_day(night))
    return set(StatementLine.objects.filter(statement=counts).values_list("number", flat=True))


def _of_the_day(night: Night) -> dict[str, Any]:
    return {"channel": "wechat", "kind": "trade", "day": night.today, "replaced_by": None}
