"""A phone with a real browser in front of a real server."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.conftest import Clock

CHROMIUM = os.environ.get("KAIPIAO_CHROMIUM") or shutil.which("chromium") or ""
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
IPHONE = {"width": 390, "height": 664}
BACKEND = "accounts.signin.PhoneOrEmailBackend"
EVENT = "/events/river-of-stars/"

# Playwright keeps an event loop in the test's thread; Django's guard is about code that runs inside one.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM:
        if os.environ.get("KAIPIAO_REQUIRE_ALL") == "1":
            pytest.fail("the browser tests need Debian's chromium: apt-get install chromium")
        pytest.skip("the browser tests need Debian's chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def clock() -> Clock:
    return Clock(now=datetime.now(UTC))


@pytest.fixture
def no_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    from payments.channels import registry

    monkeypatch.setattr(registry, "_channels", dict)


@dataclass
class Phones:
    """Opens phones; remembers what their pages complained about."""

    browser: Browser
    url: str
    complaints: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def __call__(self, *, cookies: list[Any] | None = None, language: str = "zh-CN", **options: Any) -> Page:
        context = self.browser.new_context(
            base_url=self.url, viewport=IPHONE, is_mobile=True, has_touch=True, device_scale_factor=2,
            locale=language, timezone_id="Asia/Shanghai", **options,
        )  # fmt: skip
        self.contexts.append(context)
        if cookies:
            context.add_cookies(cookies)
        return self.tab(context)

    def tab(self, context: BrowserContext) -> Page:
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._listen)
        page.on("request", self._watch)
        return page

    def _listen(self, message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(f"console: {message.text}")

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:", "about:")):
            self.complaints.append(f"asked another site: {request.url}")


@pytest.fixture
def phones(chromium: Browser, live_server: Any, settings: Any) -> Iterator[Phones]:
    settings.PUBLIC_URL = live_server.url
    opened = Phones(chromium, live_server.url)
    yield opened
    for context in opened.contexts:
        context.close()
    assert not opened.complaints


@pytest.fixture
def signed_in(show: Any, buyer: Callable[..., Any], phones: Phones) -> Callable[..., Page]:
    """`signed_in("lin", cash=100_000)`: a phone on which lin is signed in already."""

    def make(
        handle: str, *, language: str = "zh-CN", options: dict[str, Any] | None = None, **money: int
    ) -> Page:
        client = Client()
        client.force_login(buyer(handle, **money), backend=BACKEND)
        cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": phones.url}
        return phones(cookies=[cookie], language=language, **(options or {}))

    return make


def take_seats(page: Page, tier: str = "UPPER", quantity: int = 1) -> str:
    """Order from the event page; answer the order page's address."""
    page.goto(f"{EVENT}?tier={tier}&quantity={quantity}")
    page.click(".paybar button")
    page.wait_for_url(re.compile(r"/orders/K\w+/"))
    return page.url


def stage(page: Page) -> str:
    return page.locator("[data-cashier]").get_attribute("data-stage") or ""


def wait_for(page: Page, name: str, timeout_s: float = 15) -> None:
    page.wait_for_selector(f"[data-stage={name}]", timeout=timeout_s * 1000)
