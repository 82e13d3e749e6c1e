"""The way through Alipay and WeChat Pay, with the whole stack running and the sandbox playing the channels."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from operations.stack import Stack
from tests.browser.conftest import EVENT, IPHONE, stage, wait_for

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a long enough password"
FILL = """
from datetime import timedelta
from django.utils import timezone
from ticketing import sample
sample.make_show(code="small", now=timezone.now() - timedelta(hours=1), rows_per_section=1)
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The product, running: on a database of its own, with channels of its own."""
    state = tmp_path_factory.mktemp("shop")
    with Stack(database="kaipiao_browser", redis_db=8, fresh=True, state_dir=state, web_workers=1) as stack:
        subprocess.run(
            [sys.executable, "manage.py", "shell", "-c", FILL],
            cwd=ROOT, env=os.environ | stack.environment(), check=True, capture_output=True,
        )  # fmt: skip
        yield stack


@pytest.fixture
def phone(chromium, shop):
    context = chromium.new_context(
        base_url=shop.url,
        viewport=IPHONE,
        is_mobile=True,
        has_touch=True,
        locale="zh-CN",
        timezone_id="Asia/Shanghai",
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


@pytest.fixture
def order(phone, request):
    """A new buyer with seats held; the order's address."""
    number = abs(hash(request.node.name)) % 10**8
    phone.goto(f"/sign-up/?next={EVENT}?tier=UPPER")
    phone.fill("[name=identifier]", f"139{number:08}")
    phone.fill("[name=password]", PASSWORD)
    phone.click("main button.primary")
    phone.wait_for_url(f"**{EVENT}*")
    phone.click(".paybar button")
    wait_for(phone, "payable")
    return phone.url


def choose(page, channel):
    page.check(f"input[value={channel}]")
    page.click("[data-press]")


def pay_at_the_channel(page):
    page.click("form[action$='/pay'] button")


def test_alipay_there_and_back(phone, order):
    choose(phone, "alipay")
    phone.wait_for_url("**/cashier/alipay/**")
    pay_at_the_channel(phone)
    phone.wait_for_url(re.compile(r"/orders/K\w+/\?back=1"))
    wait_for(phone, "paid", timeout_s=30)
    assert phone.locator(".tickets a").count() == 1
    assert "支付宝" in phone.locator(".timeline").inner_text()


def test_leaving_alipay_resumes_and_back_is_safe(phone, order):
    choose(phone, "alipay")
    phone.wait_for_url("**/cashier/alipay/**")
    phone.go_back()
    phone.wait_for_url(f"{order}*")
    wait_for(phone, "waiting")
    phone.reload()
    wait_for(phone, "waiting")
    phone.click("[data-cashier-link]")
    phone.wait_for_url("**/cashier/alipay/**")
    pay_at_the_channel(phone)
    wait_for(phone, "paid", timeout_s=30)


def test_wechat_by_its_code_while_the_page_waits(phone, order):
    choose(phone, "wechat")
    wait_for(phone, "waiting")
    assert phone.locator(".qr svg").is_visible()
    other = phone.context.new_page()
    other.goto(phone.locator("[data-cashier-link]").get_attribute("href"))
    pay_at_the_channel(other)
    wait_for(phone, "paid", timeout_s=30)  # by itself


def test_from_alipay_to_wechat_and_one_payment_wins(phone, order):
    choose(phone, "alipay")
    phone.wait_for_url("**/cashier/alipay/**")
    alipay = phone.url
    phone.go_back()
    wait_for(phone, "waiting")
    phone.click("summary >> nth=0")
    phone.check(".fold input[value=wechat]")
    phone.click(".fold [data-press]")
    phone.wait_for_selector(".qr")
    assert "您换了支付方式" in phone.locator(".timeline").inner_text()
    other = phone.context.new_page()
    other.goto(alipay)
    assert other.locator("form[action$='/pay'] button").count() == 0  # the first trade is closed at Alipay
    other.goto(phone.locator("[data-cashier-link]").get_attribute("href"))
    pay_at_the_channel(other)
    wait_for(phone, "paid", timeout_s=30)


def test_top_up_without_javascript_and_pay_with_it(chromium, shop, order, phone):
    plain = chromium.new_context(
        base_url=shop.url, viewport=IPHONE, java_script_enabled=False, storage_state=phone.context.storage_state(),
        locale="zh-CN",
    )  # fmt: skip
    page = plain.new_page()
    page.goto(order)
    page.click("text=充值")
    page.click("main button.primary")
    page.check("input[value=wechat]")
    page.click("[data-press]")
    assert stage(page) == "waiting"
    top_up = page.url
    page.goto(page.locator("[data-cashier-link]").get_attribute("href"))
    pay_at_the_channel(page)
    page.goto(top_up)
    for _ in range(20):
        if stage(page) == "paid":
            break
        page.wait_for_timeout(1000)
        page.click("[data-check] button") if page.locator("[data-check]").count() else page.reload()
    assert stage(page) == "paid"
    page.click("text=返回订单")
    page.check("input[value=wallet]")
    page.click("[data-press]")
    assert stage(page) == "paid"
    plain.close()
