"""
Every type of case, as a member of the staff meets it: it happened at the channels' sandbox or in the product's own
services, stands in the inbox, is resolved in a browser, and the audit is clean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accounts.models import User
from desk import detect, roles, types
from desk.models import Case, CaseState, Resolution, ResolutionRequest, TrailEntry
from payments import money, refunds
from payments.channels import registry
from payments.models import Discrepancy, Payment, Refund, Statement, StatementLine
from payments.reconcile import run
from risk.trading import assess, marking
from risk.trading.profile import Trading
from tests.browser.conftest import BACKEND, IPHONE
from tests.channels.conftest import house, sandbox  # noqa: F401  (fixtures)
from tests.conftest import Clock
from tests.desk.conftest import Desk, desk, paid  # noqa: F401  (fixtures)
from tests.payments.conftest import Till, pass_time, till  # noqa: F401  (fixtures)
from tests.reconcile.hand import Hand
from ticketing.models import Order, Ticket
from wallet import ledger
from wallet.ledger import Entry, Line

pytestmark = [pytest.mark.django_db(transaction=True)]

INBOX = "/admin/desk/case/"
WHY = "the channel's own papers say so"
DESKTOP = {"width": 1440, "height": 900}


@dataclass
class World:
    """What a scene can be made of."""

    till: Till
    buyer: Callable[..., Any]
    paid: Callable[..., Any]
    pass_time: Callable[..., None]
    desk: Desk
    monkeypatch: pytest.MonkeyPatch

    def fine_weather(self) -> None:
        self.till.house.control("DELETE", "faults")


@dataclass
class Scene:
    """What happened, and what a person does about it. `state` is what becomes of the case."""

    case: Case
    way: str
    inputs: dict[str, str] = field(default_factory=dict)
    state: str = CaseState.RESOLVED
    then: Callable[[], None] = lambda: None
    truth: Callable[[], bool] = lambda: True


@pytest.fixture
def world(
    till: Till,  # noqa: F811
    buyer: Callable[..., Any],
    paid: Callable[..., Any],  # noqa: F811
    pass_time: Callable[..., None],  # noqa: F811
    desk: Desk,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> World:
    settings.RECONCILE_CROSSING = timedelta(seconds=1)  # also a day that ends while the tests run is compared
    return World(till, buyer, paid, pass_time, desk, monkeypatch)


@pytest.fixture
def sit_down(
    chromium: Browser,
    live_server: Any,
    settings: Any,
    desk: Desk,  # noqa: F811
) -> Iterator[Callable[..., Page]]:
    """`sit_down("mei")`: mei's browser, signed in. What a page complains about fails the test."""
    roles.make_groups()
    for person in desk.people.values():
        person.groups.add(Group.objects.get(name=roles.VIEWER))
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def make(who: str, *, language: str = "zh-CN", **screen: Any) -> Page:
        client = Client()
        client.force_login(User.objects.get(handle=who), backend=BACKEND)
        context = chromium.new_context(
            base_url=live_server.url, locale=language, **(screen or {"viewport": DESKTOP})
        )
        cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}
        context.add_cookies([cookie])
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def refund_of(payment: Payment, clock: Clock) -> Refund:
    with transaction.atomic():
        return refunds.request(
            Payment.objects.get(pk=payment.pk),
            amount_minor=payment.amount_minor,
            reason="asked",
            key=f"test:{payment.number}",
            now=clock(),
        )


# -- what happens ------------------------------------------------------------------------------------------------


def payment_unknown(world: World) -> Scene:
    world.till.house.fault("no_answer", op="open", times=1)
    world.till.house.fault("http_500", op="query", times=None)
    order = world.till.order(world.buyer("lin"))
    payment = world.till.press(order, "wechat")
    world.desk.clock.advance(minutes=6)
    case = world.desk.one("payment_unknown")
    world.fine_weather()
    world.till.house.pay("wechat", payment.number)
    return Scene(case, "ask_channel", truth=lambda: Order.objects.get(pk=order.pk).state == "paid")


def payment_unclosed(world: World) -> Scene:
    payment = world.till.press(world.till.order(world.buyer("lin")), "alipay")
    world.till.house.fault("http_500", op="query", times=None)
    world.pass_time(minutes=30)
    case = world.desk.one("payment_unclosed")

    def then() -> None:
        world.fine_weather()
        world.pass_time(seconds=1)

    return Scene(case, "ask_channel", then=then, truth=lambda: not Payment.objects.get(pk=payment.pk).live)


def amount_differs(world: World) -> Scene:
    order = world.till.order(world.buyer("lin"))
    payment = world.till.press(order, "alipay")
    world.till.pay_at_channel(payment)
    world.till.notify(payment, "wrong_amount")
    world.pass_time(seconds=1)
    case = world.desk.one("amount_differs")
    return Scene(case, case.suggested, truth=lambda: Order.objects.get(pk=order.pk).state == "paid")


def notification_unknown(world: World) -> Scene:
    world.till.deliver("wechat", "PUNKNOWN0000000000001", "unknown_order")
    world.pass_time(seconds=1)
    return Scene(world.desk.one("notification_unknown"), "explain", state=CaseState.EXPLAINED)


def refund_refused(world: World) -> Scene:
    order, payment = world.paid()
    world.till.house.fault("decline", op="refund", times=None)
    refund_of(payment, world.desk.clock)
    world.pass_time(seconds=1)
    case = world.desk.one("refund_refused")
    world.fine_weather()
    return Scene(
        case,
        "send_refund_again",
        then=lambda: world.pass_time(seconds=5),
        truth=lambda: Order.objects.get(pk=order.pk).state == "refunded",
    )


def refund_silent(world: World) -> Scene:
    order, payment = world.paid("lin", "wechat")
    for op in ("refund", "refund_query"):
        world.till.house.fault("http_500", op=op, times=None)
    refund_of(payment, world.desk.clock)
    world.pass_time(seconds=1)
    world.desk.clock.advance(hours=2, minutes=1)
    case = world.desk.one("refund_silent")
    world.fine_weather()

    def then() -> None:
        world.pass_time(seconds=1)
        world.pass_time(minutes=5)

    return Scene(
        case, "send_refund_again", then=then, truth=lambda: Order.objects.get(pk=order.pk).state == "refunded"
    )


def message_failing(world: World) -> Scene:
    world.till.press(world.till.order(world.buyer("lin")), "alipay")
    with world.monkeypatch.context() as without:
        without.setattr(registry, "_channels", dict)  # the channel's credentials are gone
        for _ in range(6):
            world.pass_time(minutes=1)
        case = world.desk.one("message_failing")
    return Scene(case, "try_again", then=lambda: world.pass_time(seconds=1))


def hold_orphaned(world: World) -> Scene:
    cash = money.buyer_cash(world.buyer("lin", cash=1000).pk, "CNY")
    ledger.reserve(key="h1", account=cash, amount_minor=700, reference="K0", now=world.desk.clock())
    world.desk.clock.advance(minutes=16)
    return Scene(world.desk.one("hold_orphaned"), "release_hold")


def suspense_differs(world: World) -> Scene:
    world.buyer("lin", cash=1000)
    lines = (Line(ledger.account_code("opening"), -500), Line(money.suspense("CNY"), 500))
    ledger.post(Entry("slip", "by_hand", "", lines), at=world.desk.clock())
    case = world.desk.one("suspense_differs")
    return Scene(
        case,
        "reverse_entry",
        {"entry": "slip"},
        truth=lambda: ledger.balance(money.suspense("CNY")) == 0,
    )


def state_inconsistent(world: World) -> Scene:
    order, _payment = world.paid()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ticketing_ticket")  # as a bad restore would
    case = world.desk.one("state_inconsistent")
    return Scene(case, "repair", truth=lambda: Ticket.objects.filter(order=order).count() == 2)


def merchant_suspect(world: World) -> Scene:
    day = Trading("north", world.desk.clock().date(), paid=30, took_minor=900_000, own_people=9)
    assess.assess([day], now=world.desk.clock())
    case = world.desk.one("merchant_suspect")
    return Scene(case, "hold_settlement", truth=lambda: marking.is_held("north"))


def statement(world: World, kind: str, day: date, lines: list[StatementLine]) -> Case:
    """The channel's statement of a day, compared with our books; the case of the one difference."""
    made = Statement.objects.create(
        channel="alipay", kind=kind, day=day, currency="CNY", sha256=f"{kind}{day}", lines=len(lines),
        loaded_at=world.desk.clock(),
    )  # fmt: skip
    for place, line in enumerate(lines, start=1):
        line.statement, line.line_no, line.day = made, place, day
    StatementLine.objects.bulk_create(lines)
    run.reconcile(channel="alipay", day=day, now=world.desk.clock())
    detect.run(now=world.desk.clock())
    [found] = Discrepancy.objects.filter(state="open")
    return Case.objects.get(subject=str(found.pk), subject_kind="discrepancy")


def differences_settled() -> bool:
    return not Discrepancy.objects.filter(state="open").exists()


def statement_missing_here(world: World) -> Scene:
    at = datetime(2026, 11, 19, 4, tzinfo=UTC)
    stranger = StatementLine(
        channel="alipay", kind="payment", number="PSTRANGER00000000001", payment_number="PSTRANGER00000000001",
        reference="c1", amount_minor=100, fee_milli=600, currency="CNY", status="success", happened_at=at,
    )  # fmt: skip
    case = statement(world, "trade", date(2026, 11, 19), [stranger])
    return Scene(case, "explain_difference", truth=differences_settled)


def _day_of(payment: Payment) -> date:
    return timezone.localtime(payment.paid_at or payment.created_at).date()


def statement_missing_there(world: World) -> Scene:
    _order, payment = world.paid()
    return Scene(statement(world, "trade", _day_of(payment), []), "set_right", truth=differences_settled)


def statement_differs(world: World) -> Scene:
    _order, payment = world.paid()
    line = Hand().of(payment, payment.paid_at, amount_minor=payment.amount_minor - 100, fee_milli=455_400)
    line.reference = payment.channel_reference
    case = statement(world, "trade", _day_of(payment), [line])
    return Scene(case, "explain_difference", truth=differences_settled)


def statement_status(world: World) -> Scene:
    order = world.till.order(world.buyer("lin"))
    payment = world.till.press(order, "alipay")
    at = payment.created_at
    world.till.pay_at_channel(payment)
    line = Hand().of(payment, at, reference=world.till.house.trade(payment.number)["reference"])
    case = statement(world, "trade", _day_of(payment), [line])

    def then() -> None:
        run.reconcile(channel="alipay", day=_day_of(payment), now=world.desk.clock())

    return Scene(case, "ask_channel", then=then, truth=lambda: Order.objects.get(pk=order.pk).state == "paid")


def statement_ledger(world: World) -> Scene:
    at = datetime(2026, 11, 19, 4, tzinfo=UTC)
    world.buyer("lin")
    other = StatementLine(
        channel="alipay", kind="other", amount_minor=-500, fee_milli=0, currency="CNY", status="success",
        happened_at=at,
    )  # fmt: skip
    Statement.objects.create(
        channel="alipay", kind="trade", day=date(2026, 11, 19), currency="CNY", sha256="none", lines=0,
        loaded_at=at,
    )  # fmt: skip
    case = statement(world, "funds", date(2026, 11, 19), [other])
    return Scene(case, "explain_difference", truth=differences_settled)


SCENES: dict[str, Callable[[World], Scene]] = {
    scene.__name__: scene
    for scene in (
        *(payment_unknown, payment_unclosed, amount_differs, notification_unknown, refund_refused),
        *(refund_silent, message_failing, hold_orphaned, suspense_differs, state_inconsistent),
        *(merchant_suspect,),
        *(statement_missing_here, statement_missing_there, statement_differs, statement_status),
        *(statement_ledger, merchant_suspect),
    )
}


def test_every_type_has_a_scene() -> None:
    assert set(types.TYPES) == set(SCENES)


# -- what a person does ------------------------------------------------------------------------------------------


def open_from_inbox(page: Page, case: Case) -> None:
    page.goto(INBOX)
    row = page.locator(f"[data-case='{case.pk}']")
    expect(row).to_be_visible()
    assert row.get_attribute("data-kind") == case.kind
    row.locator(".what a").click()
    page.wait_for_url(re.compile(rf"/case/{case.pk}/change/"))


def look_at(page: Page, way: str, inputs: dict[str, str]) -> None:
    """Choose a way and see what it would do."""
    page.locator(f"[data-way={way}]").click()
    for name, value in inputs.items():
        page.fill(f"[name=in-{name}]", value)
    if inputs:
        page.locator("#resolve form[method=get] button").click()
    page.locator("[data-confirm]").wait_for()


def confirm(page: Page) -> None:
    """Type what the label asks for, say why, and do it."""
    if page.locator("[name=typed]").count():
        asked = page.locator("label:has([name=typed])").inner_text()
        page.fill("[name=typed]", re.search(r"[\d,]+\.\d\d", asked)[0])
    page.fill("[data-confirm] [name=reason]", WHY)
    page.locator("[data-confirm] button").click()
    page.locator("[data-confirm]").wait_for(state="detached")


def approve(page: Page, asked: ResolutionRequest) -> None:
    page.goto(f"{INBOX}approvals/")
    page.locator(f"[data-request='{asked.pk}'] a").click()
    page.fill("[name=reason]", "seen, and right")
    page.locator("button[value=approve]").click()
    page.locator("button[value=approve]").wait_for(state="detached")


def yuan(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


@pytest.mark.parametrize("kind", SCENES)
def test_a_case_is_found_in_the_inbox_and_resolved(kind: str, world: World, sit_down: Any) -> None:
    scene = SCENES[kind](world)
    page = sit_down("root")
    open_from_inbox(page, scene.case)
    before = Resolution.objects.count()
    look_at(page, scene.way, scene.inputs)
    assert Resolution.objects.count() == before
    confirm(page)
    asked = ResolutionRequest.objects.filter(case=scene.case).first()
    if asked is not None:
        the_same_person_is_refused(page, asked)
        approve(sit_down("bo"), asked)
    scene.then()
    assert scene.truth()
    world.desk.ends_clean(scene.case, scene.state)
    said = TrailEntry.objects.get(case=scene.case, action="resolved")
    assert said.actor == ("staff:bo" if asked else "staff:root")
    assert said.reason == WHY
    page.goto(INBOX)
    assert page.locator(f"[data-case='{scene.case.pk}']").count() == 0


def the_same_person_is_refused(page: Page, asked: ResolutionRequest) -> None:
    """Who asked, a superuser, finds no button; and the form of a button that he made himself is refused."""
    page.goto(f"{INBOX}approvals/{asked.pk}/")
    assert page.locator("button[value=approve]").count() == 0
    assert page.locator("button[value=withdraw]").count() == 1
    page.evaluate("document.querySelector('button[value=withdraw]').value = 'approve'")
    page.locator("button[value=approve]").click()
    page.locator("button[value=withdraw]").wait_for()
    asked.refresh_from_db()
    assert (asked.state, asked.checker_id) == ("waiting", None)
    assert not Resolution.objects.filter(case=asked.case_id).exists()


# -- living at the desk ------------------------------------------------------------------------------------------


def test_the_keyboard_is_enough(world: World, sit_down: Any) -> None:
    notification_unknown(world)
    scene = hold_orphaned(world)
    page = sit_down("root")
    page.goto(INBOX)
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.locator("[data-case].chosen").count() == 1
    page.keyboard.press("?")
    expect(page.locator("dialog[data-keys]")).to_be_visible()
    page.keyboard.press("Escape")
    with page.expect_navigation():
        page.keyboard.press("m")
    assert TrailEntry.objects.filter(action="assigned", actor="staff:root").count() == 1
    page.goto(f"{INBOX}?kind={scene.case.kind}")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/case/{scene.case.pk}/change/"))
    page.keyboard.press("r")
    page.keyboard.press("Enter")
    page.locator("[data-confirm]").wait_for()
    page.keyboard.press("u")
    page.wait_for_url(re.compile(r"/desk/case/\?kind="))


def test_a_look_that_is_overtaken_does_nothing(world: World, sit_down: Any) -> None:
    """Between look and confirmation the coordinator was faster: the page says so, and nothing is done twice."""
    scene = payment_unknown(world)
    page = sit_down("root", language="en")
    open_from_inbox(page, scene.case)
    look_at(page, scene.way, {})
    world.desk.clock.advance(minutes=11)
    world.desk.resolve(scene.case, "ask_channel")
    page.fill("[name=typed]", yuan(scene.case.amount_minor))
    page.fill("[name=reason]", WHY)
    page.locator("[data-confirm] button").click()
    expect(page.get_by_text("somebody or something was faster")).to_be_visible()
    assert Resolution.objects.filter(case=scene.case).count() == 1
    world.desk.ends_clean(scene.case)


@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_every_page_fits_its_screen_and_everybody_can_use_it(
    screen: str, world: World, sit_down: Any
) -> None:
    scene = suspense_differs(world)
    other = refund_refused(world)
    phone = {"viewport": IPHONE, "is_mobile": True, "has_touch": True}
    page = sit_down("root", **(phone if screen == "phone" else {}))
    case = f"{INBOX}{scene.case.pk}/change/?way=reverse_entry&in-entry=slip"
    page.goto(case)
    confirm(page)
    asked = ResolutionRequest.objects.get()
    told = f"{INBOX}{other.case.pk}/change/?way={other.way}"
    for path in (INBOX, told, f"{INBOX}approvals/", f"{INBOX}approvals/{asked.pk}/", f"{INBOX}trail/"):
        page.goto(path)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} scrolls sideways by {wide} px"
        serious = [
            (one["id"], [node["html"][:140] for node in one["nodes"][:3]])
            for one in Axe().run(page, context=".desk").response["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], path
