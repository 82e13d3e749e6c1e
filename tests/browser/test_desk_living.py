"""A whole night at the desk: keys alone, two tabs, the back button, a reload, a session that ends, long lists."""

# ruff: noqa: F811  (fixtures come from desk_rig)

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from playwright.sync_api import Page, expect

from accounts.models import User
from desk.models import Case, CaseState, Resolution, ResolutionRequest
from desk.tasks import sum_inbox
from tests.browser.conftest import BACKEND
from tests.browser.desk_rig import (  # noqa: F401  (fixtures)
    INBOX,
    confirm,
    desk,
    house,
    look_at,
    night,
    paid,
    pass_time,
    sandbox,
    sit_down,
    till,
    world,
)
from tests.browser.desk_scenes import hold_orphaned, notification_unknown, suspense_differs
from tests.browser.desk_world import WHY, World
from tests.desk.test_approval_pages import asked_for
from tests.desk.test_inbox_pages import some_cases

pytestmark = [pytest.mark.django_db(transaction=True)]


def case_at(page: Page) -> int:
    return int(re.search(r"/case/(\d+)/change/", page.url)[1])


def press_tab_until(page: Page, selector: str) -> None:
    for _ in range(40):
        if page.evaluate("at => document.activeElement.matches(at)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {selector}")


def test_a_case_is_resolved_by_keys_alone(world: World, sit_down: Any) -> None:
    scene = notification_unknown(world)
    page = sit_down("root")
    page.goto(INBOX)
    for key in ("j", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url(re.compile(rf"/case/{scene.case.pk}/change/"))
    page.keyboard.press("r")
    press_tab_until(page, f"[data-way={scene.way}]")
    page.keyboard.press("Enter")
    page.locator("[data-confirm]").wait_for()
    page.keyboard.press("r")
    press_tab_until(page, "[data-confirm] [name=reason]")
    page.keyboard.type(WHY)
    if page.locator("[name=typed]").count():
        press_tab_until(page, "[name=typed]")
        asked = page.locator("label:has([name=typed])").inner_text()
        page.keyboard.type(re.search(r"[\d,]+\.\d\d", asked)[0])
    press_tab_until(page, "[data-confirm] button")
    page.keyboard.press("Enter")
    page.locator("[data-confirm]").wait_for(state="detached")
    assert Resolution.objects.get().reason == WHY
    world.desk.ends_clean(scene.case, scene.state)


def test_two_tabs_the_back_button_and_a_reload_do_it_once(world: World, sit_down: Any) -> None:
    scene = hold_orphaned(world)
    page = sit_down("root", language="en")
    other = page.context.new_page()
    for tab in (page, other):
        tab.goto(f"{INBOX}{scene.case.pk}/change/")
        look_at(tab, scene.way, {})
    confirm(page)
    expect(page.get_by_text("The case is watched until its cause is gone.")).to_be_visible()
    page.reload()
    assert Resolution.objects.count() == 1
    confirm(other)
    expect(other.get_by_text("somebody or something was faster")).to_be_visible()
    page.go_back()
    page.wait_for_load_state()
    if page.locator("[data-confirm]").count():  # as the browser kept it
        confirm(page)
    assert Resolution.objects.count() == 1
    world.desk.ends_clean(scene.case)


def test_a_session_that_ends_in_between_does_nothing_and_leads_back(world: World, sit_down: Any) -> None:
    scene = hold_orphaned(world)
    page = sit_down("root", language="en")
    page.goto(f"{INBOX}{scene.case.pk}/change/")
    look_at(page, scene.way, {})
    Session.objects.all().delete()
    page.fill("[data-confirm] [name=reason]", WHY)
    page.locator("[data-confirm] button").click()
    page.wait_for_url(re.compile("next="))
    assert not Resolution.objects.exists()
    back = re.search(r"next=([^&]+)", page.url)[1]
    client = Client()
    client.force_login(User.objects.get(handle="root"), backend=BACKEND)
    cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": world.url}
    page.context.add_cookies([cookie])
    page.goto(back)
    assert case_at(page) == scene.case.pk
    expect(page.get_by_text("you were signed out in between")).to_be_visible()
    look_at(page, scene.way, {})
    confirm(page)
    world.desk.ends_clean(scene.case)


def test_an_inbox_that_stays_open_says_what_became_of_it(world: World, sit_down: Any) -> None:
    now = datetime.now(UTC)
    some_cases(2, now=now)
    sum_inbox()
    page = sit_down("root", language="en")
    page.clock.install()
    page.goto(INBOX)
    some_cases(1, now=now, first=7)
    sum_inbox()
    page.clock.fast_forward(21_000)
    expect(page.locator("[data-changed]")).to_contain_text("3 cases wait now.")
    page.keyboard.press(".")
    expect(page.locator("[data-case]")).to_have_count(3)
    Session.objects.all().delete()
    page.clock.fast_forward(21_000)
    expect(page.locator("[data-over]")).to_contain_text("You were signed out.")


def test_from_page_to_page_and_case_to_case_as_the_inbox_had_them(world: World, sit_down: Any) -> None:
    now = datetime.now(UTC)
    some_cases(240, now=now)
    page = sit_down("root")
    page.goto(f"{INBOX}?channel=alipay&order=oldest")
    page.keyboard.press("n")
    page.wait_for_url(re.compile("page=2"))
    second = page.url
    in_order = [int(row.get_attribute("data-case")) for row in page.locator("[data-case]").all()]
    assert in_order == list(
        Case.objects.filter(channel="alipay").order_by("since", "pk").values_list("pk", flat=True)[50:]
    )
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/change/"))
    seen = [case_at(page)]
    for key in ("j", "j", "k"):
        with page.expect_navigation():
            page.keyboard.press(key)
        seen.append(case_at(page))
    assert seen == [in_order[0], in_order[1], in_order[2], in_order[1]]
    with page.expect_navigation():
        page.keyboard.press("u")
    assert page.url == second


def test_the_keys_are_told_on_every_page(world: World, sit_down: Any) -> None:
    scene = suspense_differs(world)
    now = datetime.now(UTC)
    [asked] = asked_for(
        some_cases(1, now=now, kind="suspense_differs", state=CaseState.APPROVAL),
        User.objects.get(handle="mei"),
        now=now,
    )
    page = sit_down("root")
    pages = ("", f"{scene.case.pk}/change/", "approvals/", f"approvals/{asked.pk}/")
    for path in pages:
        page.goto(f"{INBOX}{path}")
        keys = page.locator("dialog[data-keys]")
        expect(keys).to_be_hidden()
        page.keyboard.press("?")
        expect(keys).to_be_visible()
        page.keyboard.press("Escape")
        expect(keys).to_be_hidden()


def test_the_list_of_approvals(world: World, sit_down: Any) -> None:
    now, mei = datetime.now(UTC), User.objects.get(handle="mei")
    kinds = ("suspense_differs", "refund_refused")
    cases = [
        case
        for nth, kind in enumerate(kinds)
        for case in some_cases(30, now=now, first=100 * nth, kind=kind, state=CaseState.APPROVAL)
    ]
    asked_for(cases, mei, now=now)
    page = sit_down("root", language="en")
    page.goto(f"{INBOX}approvals/")
    expect(page.locator("[data-request]")).to_have_count(50)
    with page.expect_navigation():
        page.keyboard.press("n")
    expect(page.locator("[data-request]")).to_have_count(10)
    with page.expect_navigation():
        page.select_option("[name=kind]", "refund_refused")
    expect(page.locator("[data-request]")).to_have_count(30)
    with page.expect_navigation():
        page.get_by_role("link", name="Asked by me").click()
    expect(page.get_by_text("No request is about a case of this type.")).to_be_visible()
    with page.expect_navigation():
        page.get_by_role("link", name="Clear").click()
    expect(page.get_by_text("You have not asked for anything yet.")).to_be_visible()
    page.goto(f"{INBOX}approvals/?show=others")
    page.keyboard.press("j")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    first = ResolutionRequest.objects.order_by("made_at", "pk").first()
    assert page.url.endswith(f"/approvals/{first.pk}/")
