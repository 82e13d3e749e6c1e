"""Everybody can use every page: axe finds nothing serious, fingers find 44 pixels, the keyboard finds its way."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from payments.channels.port import Started, Unknown
from payments.models import Payment
from tests.browser.conftest import EVENT, stage, take_seats, wait_for
from tests.pages.conftest import channels  # noqa: F401 (a fixture)
from ticketing.models import Order, SalePhase, Seat, Ticket

pytestmark = pytest.mark.django_db(transaction=True)

STATIC = Path(__file__).resolve().parents[2] / "static" / "kaipiao"
SERIOUS = {"serious", "critical"}
SMALL_TARGETS = """
() => [...document.querySelectorAll("a[href], button, summary, input:not([type=hidden]), label")]
  .filter((it) => it.checkVisibility({visibilityProperty: true, opacityProperty: false}))
  .filter((it) => !it.matches(".skip") && !(it.matches("a") && it.closest("p:not(.back, .aside), small, dd")))
  .map((it) => (it.matches("input") && it.closest("label")) || it)
  .filter((it) => !it.matches(".field label"))
  .map((it) => [it.outerHTML.slice(0, 90), it.getBoundingClientRect()])
  .filter(([, box]) => box.width && (box.height < 43.5 || box.width < 43.5))
  .map(([html, box]) => `${Math.round(box.width)}x${Math.round(box.height)} ${html}`)
"""


def check(page, name):
    found = [one for one in Axe().run(page).response["violations"] if one["impact"] in SERIOUS]
    told = "\n".join(
        f"{name}: {one['impact']} {one['id']}: {[node['html'][:160] for node in one['nodes'][:4]]}"
        for one in found
    )
    assert not found, told
    assert page.evaluate(SMALL_TARGETS) == [], name
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{name} scrolls sideways by {wide} px"


@pytest.fixture(params=["light", "dark"])
def phone(request, signed_in):
    page = signed_in("lin", cash=60_000, options={"color_scheme": request.param})
    page.set_viewport_size({"width": 360, "height": 640})
    return page


def test_pages_of_looking_and_choosing(phone, phones):
    for path in ("/", EVENT, "/shows/small/sections/", "/shows/small/sections/C1/"):
        phone.goto(path)
        check(phone, path)
    Seat.objects.filter(tier__code="GOLD").update(state="B")
    phone.goto(f"{EVENT}?tier=SILVER")
    phone.evaluate("document.querySelector('input[value=GOLD]').disabled = false")
    phone.check("input[value=GOLD]")
    phone.click(".paybar button")
    phone.wait_for_selector("[data-refusal=sold_out]")
    check(phone, "sold out")
    opens_at = datetime.now(UTC) + timedelta(hours=3)
    SalePhase.objects.filter(kind="general").update(opens_at=opens_at)
    phone.goto(EVENT)
    check(phone, "coming")


def test_pages_of_signing(phones, show):
    page = phones()
    for path in ("/sign-in/", "/sign-up/"):
        page.goto(path)
        check(page, path)
        page.click("main button.primary")
        page.wait_for_selector(".field.bad")
        check(page, f"{path} with errors")


def test_every_stage_of_the_order_page(phone, channels):  # noqa: F811
    url = take_seats(phone)
    check(phone, "payable")
    channels["alipay"].opened = Started("qr", "https://pay.example/abc")
    phone.check("input[value=alipay]")
    phone.click("[data-press]")
    wait_for(phone, "waiting")
    phone.click("summary >> nth=0")
    check(phone, "waiting")
    phone.goto(f"{url}?back=1")
    check(phone, "confirming")
    for state in ("unknown", "created"):
        Payment.objects.update(state=state, cashier_url="")
        phone.goto(url)
        check(phone, stage(phone))
    Payment.objects.update(state="pending")
    channels["alipay"].takes_money()
    phone.goto(url)
    phone.click("[data-check] button")
    wait_for(phone, "paid")
    check(phone, "paid")
    phone.goto(f"/tickets/{Ticket.objects.get().number}/")
    check(phone, "ticket")


def test_lists_and_wallet(phone, channels):  # noqa: F811
    for path in ("/orders/", "/tickets/", "/wallet/", "/wallet/top-up/"):
        phone.goto(path)
        check(phone, f"{path} at first")
    take_seats(phone)
    phone.check("input[value=wallet]")
    phone.click("[data-press]")
    wait_for(phone, "paid")
    take_seats(phone, "VIP")
    channels["wechat"].opened = Unknown("timeout")
    phone.goto("/wallet/top-up/")
    phone.click("main button.primary")
    phone.wait_for_selector("[data-refusal]")
    check(phone, "bad amount")
    phone.fill("#amount", "100")
    phone.click("main button.primary")
    wait_for(phone, "payable")
    check(phone, "top-up")
    for path in ("/orders/", "/tickets/", "/wallet/"):
        phone.goto(path)
        check(phone, path)
    Ticket.objects.update(state="void")
    phone.goto("/tickets/")
    check(phone, "void")
    phone.goto(f"/tickets/{Ticket.objects.get().number}/")
    check(phone, "void ticket")


def test_whole_way_with_the_keyboard(signed_in, channels):  # noqa: F811
    page = signed_in("lin", cash=100_000)
    page.goto(f"{EVENT}?tier=UPPER&quantity=1")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.paybar button')"):
            break
    page.keyboard.press("Enter")
    wait_for(page, "payable")
    page.focus("input[value=wallet]")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('[data-press]')"):
            break
    page.keyboard.press("Enter")
    wait_for(page, "paid")
    assert Order.objects.get().state == "paid"


def test_scripts_and_styles_are_small():
    sizes = {path.name: path.stat().st_size for path in STATIC.iterdir() if path.suffix in (".js", ".css")}
    assert sum(size for name, size in sizes.items() if name.endswith(".js")) < 50_000, sizes
    assert sum(sizes.values()) < 60_000, sizes
