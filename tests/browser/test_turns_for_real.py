"""A buyer's way through a rush with the whole stack running: edge, pages on disk, pacer, drainer."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from operations import devservices, edge
from operations.stack import Stack
from tests.browser.conftest import EVENT, IPHONE, wait_for
from tests.needs import needed

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a long enough password"
QUEUE = "/shows/small/queue/"
FILL = """
from datetime import timedelta
from django.utils import timezone
from risk import steering
from risk.room_models import Room
from ticketing import sample
now = timezone.now()
sample.make_show(code="small", now=now - timedelta(hours=1), rows_per_section=1)
Room.objects.create(show="small", opens_at=now + timedelta(seconds=1))
steering.collect(show="small", actor="ops", now=now)
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The product behind its edge; the show's draw is a second away."""
    if edge.missing():
        needed(" ".join(edge.missing()), "a rush goes through a real nginx")
    stack = Stack(
        database="kaipiao_turns",
        redis_db=4,
        fresh=True,
        state_dir=tmp_path_factory.mktemp("turns"),
        web_workers=1,
        extras=("drain", "pace", "edge", "pages"),
    )
    with stack:
        subprocess.run(
            [sys.executable, "manage.py", "shell", "-c", FILL],
            cwd=ROOT, env=os.environ | stack.environment(), check=True, capture_output=True,
        )  # fmt: skip
        rendered = stack.state_dir / "edge" / "pages" / "zh-hans" / EVENT.strip("/") / "index.html"
        until = time.monotonic() + 30
        while not rendered.exists() or QUEUE not in rendered.read_text():
            assert time.monotonic() < until, stack.log("pages")
            time.sleep(0.2)
        yield stack


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
def phone(chromium, shop, request):
    context = chromium.new_context(
        base_url=shop.url, viewport=IPHONE, is_mobile=True, has_touch=True, locale="zh-CN",
        timezone_id="Asia/Shanghai", java_script_enabled=request.param,
    )  # fmt: skip
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()


def test_from_the_event_page_through_the_queue_and_the_rush_to_the_order(phone, shop, request):
    seen = []
    phone.on("framenavigated", lambda frame: seen.append(frame.url))
    phone.goto(EVENT)  # from disk, for nobody is signed in
    assert phone.locator("[data-show]").count() == 1
    phone.click(f"a[href='{QUEUE}']")
    phone.goto(f"/sign-up/?next={QUEUE}")
    phone.fill("[name=identifier]", f"139{abs(hash(request.node.name)) % 10**8:08}")
    phone.fill("[name=password]", PASSWORD)
    phone.click("main button.primary")
    phone.click("[data-queue] button.primary")
    wait_for(phone, "admitted", timeout_s=40)
    phone.click("section a.button.primary")
    phone.wait_for_selector("[data-turn=admitted]")
    phone.check("input[name=tier][value=UPPER]", force=True)
    phone.check("input[name=quantity][value='2']", force=True)
    phone.click(".paybar button")
    phone.wait_for_url(re.compile(r"/orders/K\w+/"))
    wait_for(phone, "payable")
    assert any("/submissions/v1." in url for url in seen), seen


def test_every_way_back_to_the_queue(chromium, shop):
    """Paused: a second tab, another phone and a wiped store keep the place; then back button, used turn, sold out."""
    phones = [chromium.new_context(base_url=shop.url, viewport=IPHONE, locale="zh-CN") for _ in range(3)]
    lin, other, wei = (context.new_page() for context in phones)
    tell(shop, "steering.pause(**ops)")
    enter(lin, "13900000001", new=True)
    enter(wei, "13900000002", new=True)
    enter(other, "13900000001")
    second = phones[0].new_page()
    second.goto(QUEUE)
    place = place_of(lin)
    assert place_of(second) == place_of(other) == place != place_of(wei)
    assert lin.locator("[data-paused]").is_visible()

    fast = redis.Redis.from_url(devservices.redis_url(4))
    fast.flushdb()
    for page in (lin, second, other):
        page.reload()
        assert place_of(page) == place

    # Wei's turn too: he came, and does nothing yet.
    tell(shop, "steering.open_room(**ops)")
    wait_for(lin, "admitted", timeout_s=40)
    wait_for(wei, "admitted", timeout_s=40)
    lin.click("section a.button.primary")
    lin.go_back()
    wait_for(lin, "admitted")
    lin.click("section a.button.primary")
    lin.check("input[name=tier][value=UPPER]", force=True)
    lin.click(".paybar button")
    lin.wait_for_url(re.compile(r"/orders/K\w+/"))
    order = lin.url
    for page in (second, other):
        page.goto(QUEUE)
        page.locator("[data-ordered] a").click()
        page.wait_for_url(order)
    other.go_back()
    other.click("[name=again] + button")
    other.wait_for_selector("[data-queue]:not([data-stage=admitted]), [data-queue]:not(:has([data-ordered]))")
    assert other.locator("[data-ordered]").count() == 0

    # Nothing is left, and nothing is held that could come back: whoever waits is told.
    tell(shop, "steering.pause(**ops)")
    late = phones[2].new_page()
    phones[2].clear_cookies()
    enter(late, "13900000003", new=True)
    assert place_of(late)
    tell(shop, *NOTHING_LEFT)
    wait_for(late, "sold_out", timeout_s=40)
    for context in phones:
        context.close()


NOTHING_LEFT = (
    "from ticketing import orders",
    "from ticketing.models import Order, Seat",
    "[orders.cancel(number=one.number, actor='ops', now=ops['now']) for one in Order.objects.all()]",
    "Seat.objects.filter(show__code='small', state='F').update(state='B')",
)


def tell(shop, *words):
    """What staff do, in the product's own words."""
    begin = "from django.utils import timezone; from risk import steering"
    ops = "ops = {'show': 'small', 'actor': 'ops', 'now': timezone.now()}"
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", "; ".join((begin, ops, *words))],
        cwd=ROOT, env=os.environ | shop.environment(), check=True, capture_output=True,
    )  # fmt: skip


def enter(page, phone, *, new=False):
    """Sign up or in, and join."""
    page.set_default_timeout(30_000)
    page.goto(f"/sign-{'up' if new else 'in'}/?next={QUEUE}")
    page.fill("[name=identifier]", phone)
    page.fill("[name=password]", PASSWORD)
    page.click("main button.primary")
    page.wait_for_selector("[data-queue]")
    if page.locator("[data-queue][data-stage=not_in]").count():
        page.click("[data-queue] button.primary")
        page.wait_for_selector("[data-queue]:not([data-stage=not_in])")


def place_of(page):
    return page.wait_for_selector("[data-place]").inner_text()
