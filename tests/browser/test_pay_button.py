"""Incident 1 at the button: however it is pressed, it is one payment, and the page says what is the case."""

import re
import threading
import time

import pytest

from payments import checkout
from payments.models import Payment, PaymentState
from tests.browser.conftest import EVENT, stage, take_seats, wait_for
from ticketing.models import Order, OrderState, Ticket
from wallet import statement

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_channels")]


def paid_once(order_count=1):
    assert Payment.objects.filter(state=PaymentState.SUCCEEDED).count() == order_count
    assert Payment.objects.count() == order_count
    assert Order.objects.filter(state=OrderState.PAID).count() == order_count


@pytest.fixture
def slow_pay(monkeypatch):
    """The server takes its time over Pay, so that there is something to be impatient about."""
    real, gate = checkout.pay, threading.Event()

    def pay(**kwargs):
        gate.wait(20)
        return real(**kwargs)

    monkeypatch.setattr(checkout, "pay", pay)
    yield gate
    gate.set()


def test_whole_purchase_from_a_strangers_phone(show, phones, buyer):
    page = phones()
    page.goto("/")
    page.click(".poster")
    page.locator(".tier", has_text="上层看台").tap()
    page.locator(".segments label", has_text="2").tap()
    assert page.locator("[data-total]").inner_text() == "¥760"
    page.click(".paybar button")
    page.wait_for_url("**/sign-in/**")
    page.click("text=注册账号")
    page.fill("[name=identifier]", "13812345678")
    page.fill("[name=password]", "a long enough password")
    page.click("main button.primary")
    page.wait_for_url(f"**{EVENT}*")
    assert page.locator("input[value=UPPER]").is_checked()
    assert page.locator("[data-total]").inner_text() == "¥760"
    page.click(".paybar button")
    wait_for(page, "payable")
    assert page.locator("input[value=wallet]").is_disabled()
    assert "充值" in page.locator("[data-cashier]").inner_text()


def test_purchase_with_the_wallet_ends_with_tickets(signed_in):
    page = signed_in("lin", cash=100_000)
    take_seats(page, "UPPER", 2)
    page.click("[data-press]")
    wait_for(page, "paid")
    page.locator(".tickets a").first.click()
    page.wait_for_url("**/tickets/**")
    assert page.locator(".ticket .qr svg").is_visible()
    assert page.locator(".ticket .qr").bounding_box()["width"] > 180
    paid_once()


@pytest.mark.parametrize("presses", [2, 4])
def test_impatient_presses_are_one_payment(signed_in, slow_pay, presses):
    page = signed_in("lin", cash=100_000)
    take_seats(page)
    button = page.locator("[data-press]")
    box = button.bounding_box()
    for _ in range(presses):
        page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert button.is_disabled()
    assert button.get_attribute("aria-busy") == "true"
    assert button.inner_text() == "提交中…"
    slow_pay.set()
    wait_for(page, "paid")
    paid_once()


def test_presses_that_reach_the_server_are_one_payment(signed_in):
    """Past the button's own guard: the form itself is sent eight times at once."""
    page = signed_in("lin", cash=100_000)
    take_seats(page)
    answers = page.evaluate(
        """async () => {
          const form = document.querySelector("[data-pay]");
          const body = new FormData(form);
          const send = () => fetch(form.action, {method: "POST", body, headers: {Accept: "application/json"}});
          return (await Promise.all(Array.from({length: 8}, send))).map((answer) => answer.status);
        }"""
    )
    assert set(answers) == {200}
    page.reload()
    assert stage(page) == "paid"
    paid_once()


def test_slow_answer_is_explained_and_never_a_dead_spinner(signed_in, slow_pay):
    page = signed_in("lin", cash=100_000)
    take_seats(page)
    page.click("[data-press]")
    trouble = page.locator("[data-trouble]")
    trouble.wait_for(state="visible", timeout=12_000)
    assert "请不要重复付款" in trouble.inner_text()
    assert page.locator("[data-press]").is_disabled()
    slow_pay.set()
    wait_for(page, "paid")
    paid_once()


def test_lost_answer_is_found_out(signed_in):
    """The payment went through, its answer did not: the page asks, and shows that it is paid."""
    page = signed_in("lin", cash=100_000)
    take_seats(page)

    def lose(route):
        route.fetch()
        route.abort("connectionreset")

    page.route(re.compile("/pay/$"), lose)
    page.click("[data-press]")
    page.wait_for_selector("[data-trouble]:not([hidden]), [data-stage=paid]")
    wait_for(page, "paid")
    paid_once()


def test_lost_request_may_be_pressed_again(signed_in):
    """Nothing reached the server: after asking, the page says so and gives the button back; the token is the same."""
    page = signed_in("lin", cash=100_000)
    take_seats(page)
    token = page.locator("[name=token]").input_value()
    page.route(re.compile("/pay/$"), lambda route: route.abort("connectionfailed"))
    page.click("[data-press]")
    page.wait_for_selector("[data-trouble]:not([hidden])")
    assert "网络中断" in page.locator("[data-trouble]").inner_text()
    assert page.locator("[data-press]").is_disabled()
    page.wait_for_selector("[data-press]:enabled")
    assert "没有扣款" in page.locator("[data-trouble]").inner_text()
    assert Payment.objects.count() == 0
    assert page.locator("[name=token]").input_value() == token
    page.unroute(re.compile("/pay/$"))
    page.click("[data-press]")
    wait_for(page, "paid")
    paid_once()


def test_offline_press_waits_for_the_network(signed_in):
    page = signed_in("lin", cash=100_000)
    take_seats(page)
    page.context.set_offline(True)
    page.wait_for_selector("[data-offline]:not([hidden])")
    page.click("[data-press]")
    page.wait_for_selector("[data-trouble]:not([hidden])")
    time.sleep(4)
    assert page.locator("[data-press]").is_disabled()
    page.context.set_offline(False)
    page.wait_for_selector("[data-press]:enabled")
    assert Payment.objects.count() == 0
    page.click("[data-press]")
    wait_for(page, "paid")
    paid_once()


def test_refresh_at_every_step(signed_in):
    page = signed_in("lin", cash=100_000)
    page.goto(f"{EVENT}?tier=UPPER&quantity=1")
    page.reload()
    page.click(".paybar button")
    wait_for(page, "payable")
    page.reload()
    page.click("[data-press]")
    wait_for(page, "paid")
    page.reload()
    wait_for(page, "paid")
    paid_once()
    assert Order.objects.count() == 1


def test_refresh_while_paying_resumes_the_payment(signed_in, slow_pay):
    page = signed_in("lin", cash=100_000)
    take_seats(page)
    page.click("[data-press]")
    page.reload()
    slow_pay.set()
    wait_for(page, "payable")
    # The first press may still be on its way; the page follows it by itself, and a second press is the same payment.
    if stage(page) == "payable":
        page.click("[data-press]")
    wait_for(page, "paid")
    paid_once()


def test_back_button_after_paying_shows_paid_and_orders_nothing_new(signed_in):
    page = signed_in("lin", cash=100_000)
    order = take_seats(page)
    page.click("[data-press]")
    wait_for(page, "paid")
    page.locator(".tickets a").first.click()
    page.wait_for_url("**/tickets/**")
    page.go_back()
    assert page.url.split("?")[0] == order
    assert stage(page) == "paid"
    page.go_back()
    page.wait_for_url(f"**{EVENT}*")
    assert page.locator(".paybar button").get_attribute("aria-busy") is None
    paid_once()
    assert Order.objects.count() == 1


def test_two_tabs_pay_once_and_the_second_learns_it(signed_in, phones):
    first = signed_in("lin", cash=100_000)
    order = take_seats(first)
    second = phones.tab(first.context)
    second.goto(order)
    first.bring_to_front()
    first.click("[data-press]")
    wait_for(first, "paid")
    second.bring_to_front()
    assert stage(second) in ("payable", "paid")
    if stage(second) == "payable":
        second.click("[data-press]")
    wait_for(second, "paid")
    paid_once()


def test_without_javascript_the_same_way(signed_in):
    page = signed_in("lin", cash=100_000, options={"java_script_enabled": False})
    page.goto(f"{EVENT}?tier=UPPER&quantity=2")
    page.click(".paybar button")
    assert stage(page) == "payable"
    assert page.locator("[role=timer]").inner_text()[2] == ":"
    page.click("[data-press]")
    assert stage(page) == "paid"
    page.locator(".tickets a").first.click()
    assert page.locator(".ticket .qr svg").is_visible()
    paid_once()
    assert Ticket.objects.count() == 2


def test_without_javascript_four_presses_are_one_payment(signed_in):
    page = signed_in("lin", cash=100_000, options={"java_script_enabled": False})
    take_seats(page)
    page.locator("[data-press]").click(click_count=4, no_wait_after=True)
    page.wait_for_selector("[data-stage=paid]")
    paid_once()
    assert statement.balances(Order.objects.get().buyer_id).cash_minor == 62_000


def test_language_switch_in_mid_checkout_keeps_order_and_payment(signed_in):
    page = signed_in("lin", cash=100_000)
    order = take_seats(page)
    page.click("text=English")
    page.wait_for_selector("html[lang=en]")
    assert page.url == order
    assert stage(page) == "payable"
    assert "Pay within" in page.locator("[data-cashier]").inner_text()
    page.click("[data-press]")
    wait_for(page, "paid")
    page.click("text=中文")
    page.wait_for_selector("html[lang=zh-Hans]")
    assert stage(page) == "paid"
    paid_once()


def test_language_switch_keeps_what_was_chosen(signed_in):
    page = signed_in("lin")
    page.goto(EVENT)
    page.locator(".tier", has_text="金色看台").tap()
    page.locator(".segments label", has_text="3").tap()
    page.click("text=English")
    page.wait_for_selector("html[lang=en]")
    assert page.locator("input[value=GOLD]").is_checked()
    assert page.locator("input[name=quantity][value='3']").is_checked()


def test_wallet_emptied_meanwhile_is_said_with_the_way_to_top_up(signed_in, buyer):
    page = signed_in("lin", cash=40_000)
    take_seats(page)
    other = signed_in("lin")
    take_seats(other)
    other.click("[data-press]")
    wait_for(other, "paid")
    page.click("[data-press]")
    page.wait_for_selector("[data-failed=insufficient_funds]")
    assert "钱包余额不足" in page.locator("[data-cashier]").inner_text()
    page.click("[data-cashier] >> text=充值")
    page.wait_for_url("**/wallet/top-up/**")
    assert page.locator("#amount").input_value() == "360"
