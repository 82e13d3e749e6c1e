"""Countdowns follow the server's clock: a phone whose clock is ten minutes off counts down rightly."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.browser.conftest import EVENT, take_seats, wait_for
from ticketing.models import Order, SalePhase

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_channels")]

# The device's wall clock is shifted before any script of the page runs; its steady clock goes on as it does.
SHIFT = """
(() => {
  const Real = Date, shift = %d;
  window.Date = class extends Real {
    constructor(...given) { given.length ? super(...given) : super(Real.now() + shift); }
    static now() { return Real.now() + shift; }
  };
})();
"""


def left(page):
    minutes, seconds = page.locator("[data-deadline]").first.inner_text().split(":")[-2:]
    return int(minutes) * 60 + int(seconds)


@pytest.mark.parametrize("minutes", [-10, 0, 10])
def test_hold_counts_down_rightly_on_a_wrong_clock(signed_in, minutes):
    page = signed_in("lin", cash=100_000)
    page.context.add_init_script(SHIFT % (minutes * 60_000))
    take_seats(page)
    page.wait_for_timeout(1500)
    truth = (Order.objects.get().hold_until - datetime.now(UTC)).total_seconds()
    assert abs(left(page) - truth) < 3
    page.click("[data-press]")
    wait_for(page, "paid")


@pytest.mark.parametrize("minutes", [-10, 10])
def test_polling_keeps_the_clock_right(signed_in, minutes):
    """The status answers carry the server's Date; a device clock that jumps while the page is open does no harm."""
    page = signed_in("lin", cash=100_000)
    take_seats(page)
    page.evaluate(SHIFT % (minutes * 60_000))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(2500)
    truth = (Order.objects.get().hold_until - datetime.now(UTC)).total_seconds()
    assert abs(left(page) - truth) < 4


@pytest.mark.parametrize("minutes", [-10, 0, 10])
def test_sale_opens_by_itself_at_the_servers_time(signed_in, minutes):
    page = signed_in("lin")
    opens_at = datetime.now(UTC) + timedelta(seconds=6)
    SalePhase.objects.filter(kind="general").update(opens_at=opens_at)
    page.context.add_init_script(SHIFT % (minutes * 60_000))
    page.goto(EVENT)
    assert page.locator("[data-sale]").get_attribute("data-sale") == "coming"
    assert left(page) <= 6
    page.wait_for_selector("[data-sale=open]", timeout=15_000)
    assert datetime.now(UTC) >= opens_at
    assert page.locator(".paybar button").is_enabled()


def test_end_of_the_hold_shows_by_itself_and_is_announced(signed_in):
    page = signed_in("lin")
    url = take_seats(page)
    Order.objects.update(hold_until=datetime.now(UTC) + timedelta(seconds=33))
    page.goto(url)
    said = page.locator("[data-announcements]", has_text=re.compile(r"剩余付款时间 30\s?秒"))
    said.wait_for(state="attached", timeout=10_000)
    Order.objects.update(hold_until=datetime.now(UTC) + timedelta(seconds=3))
    page.reload()
    wait_for(page, "expired", timeout_s=15)
    assert "座位已释放" in page.locator("[data-cashier]").inner_text()
