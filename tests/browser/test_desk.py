"""
Every type of case, as a member of the staff meets it: it happened at the channels' sandbox or in the product's own
services, stands in the inbox, is resolved in a browser, and the audit is clean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import Group
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accounts.models import User
from desk import roles, types
from desk.models import Case, Resolution, ResolutionRequest, TrailEntry
from tests.browser.conftest import BACKEND, IPHONE
from tests.browser.desk_scenes import (
    SCENES,
    World,
    hold_orphaned,
    notification_unknown,
    payment_unknown,
    refund_refused,
    suspense_differs,
)
from tests.channels.conftest import house, sandbox  # noqa: F401  (fixtures)
from tests.desk.conftest import Desk, desk, paid  # noqa: F401  (fixtures)
from tests.payments.conftest import Till, pass_time, till  # noqa: F401  (fixtures)

pytestmark = [pytest.mark.django_db(transaction=True)]

INBOX = "/admin/desk/case/"
WHY = "the channel's own papers say so"
DESKTOP = {"width": 1440, "height": 900}


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
