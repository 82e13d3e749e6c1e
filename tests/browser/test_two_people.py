"""What one person may not do alone is asked for on its page, and another person does it at the desk."""

# ruff: noqa: F811  (fixtures come from desk_rig)

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from desk.models import Resolution, ResolutionRequest
from payments.models import Refund
from tests.browser.desk_rig import (  # noqa: F401  (fixtures)
    approve,
    desk,
    house,
    night,
    paid,
    pass_time,
    sandbox,
    sit_down,
    till,
    world,
    yuan,
)
from tests.browser.desk_scenes import takes_two
from tests.browser.desk_world import WHY, World
from ticketing.cancel_models import CancellationState, ShowCancellation
from ticketing.models import Order, RefundRequest, Ticket

pytestmark = [pytest.mark.django_db(transaction=True)]


def asked(page: Page) -> ResolutionRequest:
    """Press the button that asks: one is led to the request, and has no button to approve it with."""
    page.locator("button[name=ask]").click()
    page.locator("[data-wanted]").wait_for()
    expect(page.locator("button[value=approve]")).to_have_count(0)
    expect(page.locator("button[value=withdraw]")).to_have_count(1)
    made = ResolutionRequest.objects.get()
    assert page.url.endswith(f"/approvals/{made.pk}/")
    assert not Resolution.objects.exists()
    return made


def test_a_refund_above_the_limit(world: World, sit_down: Any) -> None:
    order, payment = takes_two(world, "refund_order")
    page = sit_down("root")
    page.goto(f"/admin/ticketing/refundrequest/of/{order.number}/")
    for box in page.locator("input[name=tickets]").all():
        box.check()
    page.fill("input[name=amount]", yuan(order.amount_minor))
    page.fill("input[name=reason]", WHY)
    page.locator("button[name=preview]").click()
    expect(page.locator("[data-source]")).to_have_count(1)
    expect(page.locator("button[name=confirm]")).to_have_count(0)
    wish = asked(page)
    assert not RefundRequest.objects.exists()
    approve(sit_down("bo"), wish)
    world.catch_up()
    world.pass_time(seconds=5)
    assert Order.objects.get(pk=order.pk).state == "refunded"
    assert Refund.objects.get(payment=payment).state == "succeeded"
    assert RefundRequest.objects.values_list("actor", "approved_by", "reason").get() == ("root", "bo", WHY)
    world.desk.ends_clean(wish.case)
    page.reload()
    expect(page.locator("button[value=withdraw]")).to_have_count(0)


def test_a_show_that_does_not_take_place(world: World, sit_down: Any) -> None:
    order, _payment = takes_two(world, "cancel_show")
    page = sit_down("root", language="en")
    address = f"/admin/ticketing/showcancellation/of/{order.show.code}/"
    page.goto(address)
    expect(page.locator("[data-orders='1']")).to_be_visible()
    page.fill("input[name=reason]", WHY)
    page.fill("input[name=said_zh]", "台风")
    page.fill("input[name=said_en]", "A typhoon")
    page.check("input[name=understood]")
    wish = asked(page)
    assert not ShowCancellation.objects.exists()
    approve(sit_down("bo"), wish)
    world.catch_up()
    page.goto(address)  # leads on to how far it is
    expect(page.locator("[data-progress]")).to_have_attribute("data-state", CancellationState.ENDING)
    world.work_off()
    # The page that stayed open says so by itself.
    expect(page.locator("[data-progress='100']")).to_have_attribute("data-state", CancellationState.DONE)
    page.locator("[data-sum=back] a").click()
    expect(page.get_by_text(Refund.objects.get().number).first).to_be_visible()
    assert Ticket.objects.exclude(state="void").count() == 0
    world.desk.ends_clean(wish.case)
    buyer = sit_down("lin", language="en")
    buyer.goto(f"/orders/{order.number}/")
    expect(buyer.get_by_text("This show does not take place.")).to_be_visible()
    expect(buyer.get_by_text("A typhoon")).to_be_visible()
    buyer.goto("/events/river-of-stars/")
    expect(buyer.get_by_text("A typhoon")).to_be_visible()
    expect(buyer.locator(".paybar button:enabled")).to_have_count(0)
