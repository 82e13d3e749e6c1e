"""The desk in a browser: a world for scenes to happen in, staff who sit down, and what their hands do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accounts.models import User
from desk import roles
from desk.models import Case, ResolutionRequest
from tests.browser.conftest import BACKEND
from tests.browser.desk_world import WHY, World
from tests.channels.conftest import house  # noqa: F401  (fixtures)
from tests.channels.rig import Sandbox
from tests.desk.conftest import Desk, desk, paid  # noqa: F401  (fixtures)
from tests.payments.conftest import Till, pass_time, till  # noqa: F401  (fixtures)
from tests.reconcile.night import Night, emptied

INBOX = "/admin/desk/case/"
DESKTOP = {"width": 1440, "height": 900}


@pytest.fixture
def sandbox(house: Sandbox) -> Iterator[Sandbox]:  # noqa: F811
    """The shared sandbox with nothing in its books and fine weather: a statement tells all that it has."""
    emptied(house)
    yield house
    house.control("POST", "reset", {})


@pytest.fixture
def night(
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


@pytest.fixture
def world(
    till: Till,  # noqa: F811
    buyer: Callable[..., Any],
    paid: Callable[..., Any],  # noqa: F811
    pass_time: Callable[..., None],  # noqa: F811
    desk: Desk,  # noqa: F811
    night: Callable[[str], Night],
    live_server: Any,
    settings: Any,
) -> World:
    return World(till, buyer, paid, pass_time, desk, night, live_server.url, settings)


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


# -- what a person does --------------------------------------------------------------------------------------------


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
