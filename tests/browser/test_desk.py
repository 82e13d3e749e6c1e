"""
Every type of case, as a member of the staff meets it: it comes from the channels' sandbox, stands in the inbox, is
resolved in a browser by as many people as it takes, and the audit is clean.
"""

# ruff: noqa: F811  (fixtures come from desk_rig)

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from desk import types
from desk.models import Resolution, ResolutionRequest, TrailEntry
from tests.browser.conftest import IPHONE
from tests.browser.desk_rig import (  # noqa: F401  (fixtures)
    INBOX,
    approve,
    confirm,
    desk,
    house,
    look_at,
    night,
    open_from_inbox,
    paid,
    pass_time,
    sandbox,
    sit_down,
    till,
    world,
    yuan,
)
from tests.browser.desk_scenes import (
    SCENES,
    hold_orphaned,
    notification_unknown,
    payment_unknown,
    refund_refused,
    suspense_differs,
)
from tests.browser.desk_world import WHY, World

pytestmark = [pytest.mark.django_db(transaction=True)]


def test_every_type_has_a_scene() -> None:
    assert set(types.TYPES) == set(SCENES)


@pytest.mark.parametrize("kind", SCENES)
def test_a_case_is_found_in_the_inbox_and_resolved(kind: str, world: World, sit_down: Any) -> None:
    scene = SCENES[kind](world)
    page = sit_down("root")
    open_from_inbox(page, scene.case)
    if not scene.is_wished:
        look_at(page, scene.way, scene.inputs)
        assert not Resolution.objects.exists()
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
