"""
A statement by hand, in a browser: the channel's own file of a day at the sandbox is uploaded; a spoilt, a doubled and a
foreign one are refused whole, and the page says which line and why.
"""

# ruff: noqa: F811  (fixtures come from desk_rig)

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from payments import tasks
from payments.channels.bills import BillLink
from payments.models import Statement, StatementLine
from tests.browser.conftest import IPHONE
from tests.browser.desk_rig import (  # noqa: F401  (fixtures)
    desk,
    house,
    night,
    paid,
    pass_time,
    sandbox,
    sit_down,
    till,
    world,
)
from tests.browser.desk_world import World
from tests.reconcile.night import Night

pytestmark = [pytest.mark.django_db(transaction=True)]

LIST = "/admin/payments/statement/"


def own_file(night: Night) -> bytes:
    """What the channel gives to whoever asks for the day's trades."""
    channel, file = night.till.house.wechat(), io.BytesIO()
    link = channel.ask_bill(kind="trade", day=night.today)
    assert isinstance(link, BillLink)
    channel.download_bill(link, file)
    return file.getvalue()


def upload(page: Page, content: bytes, day: date) -> None:
    page.locator("[name=day]").fill(day.isoformat())
    page.set_input_files(
        "[name=file]", {"name": "wechat.csv.gz", "mimeType": "application/gzip", "buffer": content}
    )
    with page.expect_navigation():
        page.locator("form:has([name=file]) button[type=submit]").click()


def refused(page: Page, said: str) -> None:
    """The page stays, tells why where the eye is, and nothing is here."""
    expect(page.locator("form .text-red-600, form .text-red-500").filter(has_text=said)).to_be_visible()
    assert page.url.endswith("/upload/")


def looks_right(page: Page) -> None:
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    serious = [
        (one["id"], [node["html"][:140] for node in one["nodes"][:3]])
        for one in Axe().run(page, context="form").response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_a_statement_is_uploaded_or_refused_whole(
    screen: str, world: World, night: Callable[[str], Night], sit_down: Any
) -> None:
    day = night("wechat")
    first = day.sold()
    day.sold()
    day.morning(days=1)
    good = own_file(day)
    text = gzip.decompress(good).decode()
    phone = {"viewport": IPHONE, "is_mobile": True, "has_touch": True}
    page = sit_down("root", language="en", **(phone if screen == "phone" else {}))
    page.goto(LIST)
    if screen == "phone":
        page.locator("a:has-text('more_horiz')").click()
    page.get_by_role("link", name="Upload a statement").first.click()
    page.wait_for_url(re.compile("upload"))
    looks_right(page)

    amount = re.search(r"`(\d+\.\d\d),`0\.00,`0,`0,", text)[1]
    spoilt = text.replace(f"`{amount},", "`12x.00,", 1)
    upload(page, gzip.compress(spoilt.encode()), day.today)
    refused(page, "Line 2")
    looks_right(page)
    upload(page, b"name,price\r\nseat,380\r\n", day.today)
    refused(page, "Line 1")
    world.till.house.control(
        "POST",
        "bills/differences",
        {"channel": "wechat", "day": day.today.isoformat(), "what": "other_merchant", "where": "both"},
    )
    upload(page, own_file(day), day.today)
    refused(page, "Line 2")
    assert not Statement.objects.exists()
    assert not StatementLine.objects.exists()

    upload(page, good, day.today)
    page.wait_for_url(re.compile(r"/statement/\d+/change/"))
    expect(page.get_by_text("is loaded: 2 lines.")).to_be_visible()
    kept = Statement.objects.get()
    assert (kept.uploaded_by, kept.lines) == ("root", 2)
    page.goto(f"{LIST}upload/")
    upload(page, good, day.today)
    refused(page, "this file was loaded before")
    assert Statement.objects.get() == kept

    tasks.reconcile_what_is_due()
    assert StatementLine.objects.filter(number=first.number).exists()
    page.goto(LIST)
    expect(page.get_by_text(f"wechat {day.today.isoformat()}").first).to_be_visible()


def test_who_may_only_look_finds_no_way_to_upload(world: World, sit_down: Any, tmp_path: Path) -> None:
    page = sit_down("guest", language="en")
    page.goto(LIST)
    assert page.get_by_role("link", name="Upload a statement").count() == 0
    assert page.goto(f"{LIST}upload/").status == 403
