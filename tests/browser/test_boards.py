"""The live sale in a real browser: it keeps itself fresh, can be paused, fits a phone, and says when nobody answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from playwright.sync_api import Page, expect

from accounts.models import User
from operations import seeding
from tests.browser.conftest import BACKEND, Phones
from tests.conftest import Clock

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def board(show: Any, clock: Clock, phones: Phones) -> Callable[..., Page]:
    seeding.seed_sold(show=show, seats=40, now=clock())

    def open_board(name: str) -> Page:
        client = Client()
        client.force_login(User.objects.create_superuser(f"boss-{name}"), backend=BACKEND)
        cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": phones.url}
        page = phones(cookies=[cookie])
        page.goto(f"/admin/boards/{name}/")
        return page

    return open_board


def barriers(page: Page) -> list[str]:
    """What axe finds on the board, beside what the admin's theme does."""
    found = Axe().run(page, context=".kp-board").response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found]


def test_the_live_sale_keeps_itself_fresh(board: Callable[..., Page], show: Any, clock: Clock) -> None:
    page = board("sale")
    tickets = page.locator("[data-live-id=figure-tickets] .kp-value")
    expect(tickets).to_have_text("40")
    seeding.seed_sold(show=show, seats=60, now=clock(), seed=2)
    expect(tickets).to_have_text("60", timeout=12_000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("Chart.getChart('chart-flow').data.datasets.length") == 3
    assert barriers(page) == []

    page.click("[data-pulse]")
    expect(page.locator("[data-pulse]")).to_have_attribute("data-is", "paused")
    page.click("[data-pulse]")
    page.route("**/admin/boards/sale/**", lambda route: route.abort())
    expect(page.locator("[data-pulse]")).to_have_attribute("data-is", "lost", timeout=12_000)
    page.unroute("**/admin/boards/sale/**")
    expect(page.locator("[data-pulse]")).to_have_attribute("data-is", "live", timeout=20_000)


@pytest.mark.parametrize("name", ["finance", "health"])
def test_the_other_boards_fit_a_phone(name: str, board: Callable[..., Page]) -> None:
    page = board(name)
    expect(page.locator(".kp-figure").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert barriers(page) == []
