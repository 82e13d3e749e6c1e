"""The gate's challenge in a real browser: the work is done in the background and the order goes on."""

import re

import pytest

from risk import policy
from risk.models import GateSetting, RuleSetting
from tests.browser.conftest import EVENT
from ticketing.models import Order

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_channels")]


@pytest.fixture(autouse=True)
def doubtful(monkeypatch):
    """Every account is younger than a year, and that is enough to be asked."""
    GateSetting(difficulty=12).save()
    RuleSetting(code="young_account", mode="on", verdict="challenge", parameters={"minutes": 525_600}).save()
    monkeypatch.setattr(policy, "LOOK_EVERY_S", 2.0)
    policy.forget()


def test_the_phone_does_the_work_by_itself_and_the_choice_is_kept(show, signed_in):
    page = signed_in("lin")
    page.goto(f"{EVENT}?tier=UPPER&quantity=2")
    page.click(".paybar button")
    page.wait_for_url(re.compile(r"/events/.*tier=UPPER&quantity=2"))
    assert page.locator("input[name=quantity]:checked").get_attribute("value") == "2"
    page.click(".paybar button")
    page.wait_for_url(re.compile(r"/orders/K\w+/"))
    assert Order.objects.get().quantity == 2


def test_without_javascript_the_puzzle_can_be_read_and_answered(show, signed_in):
    page = signed_in("lin", language="en", options={"java_script_enabled": False})
    page.goto(f"{EVENT}?tier=UPPER&quantity=1")
    page.click(".paybar button")
    page.wait_for_url(re.compile(r"/challenge/"))
    asked = re.search(r"row ([ABC])", page.locator("legend").inner_text())[1]
    read_out = page.locator(f"li:has-text('Row {asked}')").inner_text()
    page.wait_for_timeout(3200)
    page.check(f"input[name=answer][value='{len(re.findall(r'free', read_out))}']")
    page.click("[data-puzzle] button")
    page.wait_for_url(re.compile(r"/events/.*tier=UPPER"))
    page.click(".paybar button")
    page.wait_for_url(re.compile(r"/orders/K\w+/"))
