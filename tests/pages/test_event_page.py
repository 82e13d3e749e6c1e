"""The event page: what it says in each phase of a sale, and what an order from it does."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.test import Client

from tests.pages.conftest import hidden, text_of
from ticketing import cancelling, sample, seats_left
from ticketing.models import Event, Order, SalePhase, Seat

EVENT = "/events/river-of-stars/"
DAY = timedelta(days=1)


def set_general(**times):
    SalePhase.objects.filter(kind=SalePhase.Kind.GENERAL).update(**times)


def fill(tier):
    Seat.objects.filter(tier__code=tier).update(state="B")


def post(visitor, **data):
    page = visitor.page(EVENT)
    return visitor.client.post(
        EVENT,
        {"client_key": hidden(page, "client_key"), "show": "small", "tier": "UPPER", "quantity": "1"} | data,
    )


def test_list_shows_published_events_and_empty_state(visit):
    stranger = visit()
    assert "星河巡回演唱会" in stranger.page("/")
    Event.objects.update(published=False)
    assert "暂时没有在售的演出" in stranger.page("/")
    assert stranger.get(EVENT).status_code == 404


def test_open_sale_shows_tiers_with_seats_left(visit):
    page = visit().page(EVENT)
    assert 'data-sale="open"' in page
    assert "余 400 张" in page  # 10 sections of UPPER, one row of 40 each
    assert "¥380" in page
    assert re.search(r'name="tier" value="VIP"[^>]* checked', page)  # the best that is left


def test_a_cancelled_show_is_told_in_its_place_and_another_one_is_shown_first(visit, show, clock):
    """Two shows at the same time of day looked alike, and the cancelled one listed its prices as sold out."""
    other = sample.make_show(code="later", now=clock(), rows_per_section=1)
    cancelling.cancel(code=show.code, reason="typhoon", actor="mei", approved_by="bo", now=clock())
    stranger = visit()
    assert f'href="?show={other.code}" aria-current="true"' in stranger.page(EVENT)
    page = stranger.page(f"{EVENT}?show={show.code}")
    assert re.search(rf'href="\?show={show.code}" aria-current="true">[^<]*<small>已取消</small>', page)
    assert 'data-sale="cancelled"' in page
    assert 'name="tier"' not in page
    assert "已售罄" not in page


def test_coming_sale_counts_down_by_the_servers_clock(visit):
    opens_at = datetime.now(UTC) + timedelta(hours=2)
    set_general(opens_at=opens_at, closes_at=opens_at + DAY)
    page = visit().page(EVENT)
    assert 'data-sale="coming"' in page
    assert f'data-deadline="{int(opens_at.timestamp() * 1000)}"' in page
    assert 'role="timer"' in page
    assert "立即抢票" not in page  # the button
    assert '<noscript><meta http-equiv="refresh"' in page


def test_over_and_unplanned_sales_have_no_button(visit):
    set_general(opens_at=datetime.now(UTC) - DAY / 2, closes_at=datetime.now(UTC) - DAY / 4)
    page = visit().page(EVENT)
    assert 'data-sale="over"' in page
    assert "立即抢票" not in page
    SalePhase.objects.all().delete()
    assert 'data-sale="none"' in visit().page(EVENT)


def test_sold_out_show_says_so(visit):
    Seat.objects.update(state="B")
    page = visit().page(EVENT)
    assert 'data-sale="sold_out"' in page
    assert "立即抢票" not in page


def test_stranger_signs_in_first_and_comes_back_with_the_choice(visit):
    answer = post(visit(), tier="GOLD", quantity="2")
    assert answer.status_code == 302
    assert answer.url.startswith("/sign-in/?next=")
    assert Order.objects.count() == 0
    page = visit("lin").page(f"{EVENT}?show=small&tier=GOLD&quantity=2")
    assert re.search(r'value="GOLD"[^>]* checked', page)
    assert re.search(r'name="quantity" value="2" checked', page)


def test_order_holds_seats_and_redirects(visit):
    lin = visit("lin")
    url = lin.order("GOLD", 2, accept_equal_seats="on")
    order = Order.objects.get()
    assert url == f"/orders/{order.number}/"
    assert (order.buyer, order.quantity, order.accept_equal_seats) == (lin.user, 2, True)


def test_pressing_twice_orders_once(visit):
    lin = visit("lin")
    key = hidden(lin.page(EVENT), "client_key")
    answers = [post(lin, client_key=key) for _ in range(4)]
    assert {answer.url for answer in answers} == {f"/orders/{Order.objects.get().number}/"}


def test_going_back_and_choosing_otherwise_is_told_apart(visit):
    lin = visit("lin")
    key = hidden(lin.page(EVENT), "client_key")
    post(lin, client_key=key)
    answer = post(lin, client_key=key, quantity="2")
    assert answer.status_code == 409
    assert 'data-refusal="key_reused"' in text_of(answer)
    assert hidden(text_of(answer), "client_key") != key
    assert Order.objects.count() == 1


def test_sold_out_tier_suggests_others_and_keeps_the_input(visit):
    lin = visit("lin")
    fill("GOLD")
    answer = post(lin, tier="GOLD", quantity="2", accept_equal_seats="on")
    page = unescape(text_of(answer))
    assert answer.status_code == 409
    assert 'data-refusal="sold_out"' in page
    assert "?show=small&tier=SILVER&quantity=2" in page
    assert "tier=GOLD" not in page
    assert re.search(r'name="quantity" value="2" checked', page)
    assert re.search(r'name="accept_equal_seats" checked', page)
    assert Order.objects.count() == 0


def test_limit_reached_leads_to_the_orders(visit):
    lin = visit("lin")
    lin.order("UPPER", 3)
    answer = post(lin, quantity="2")
    assert answer.status_code == 409
    assert 'data-refusal="limit_reached"' in text_of(answer)
    assert "还可购 1 张" in text_of(answer)
    lin.order("UPPER", 1)
    page = lin.page(EVENT)
    assert "data-limit" in page
    assert "尚未付款" in page


@pytest.mark.parametrize(
    ("data", "code", "status"),
    [
        ({"quantity": "0"}, "bad_quantity", 400),
        ({"quantity": "-1"}, "bad_quantity", 400),
        ({"quantity": "1e9"}, "bad_quantity", 400),
        ({"quantity": "²"}, "bad_quantity", 400),
        ({"quantity": "7"}, "bad_quantity", 400),
        ({"tier": "NONE"}, "no_such_tier", 400),
        ({"tier": ""}, "no_such_tier", 400),
    ],
)
def test_nonsense_is_refused_in_words(visit, data, code, status):
    answer = post(visit("lin"), **data)
    assert answer.status_code == status
    assert f'data-refusal="{code}"' in text_of(answer)
    assert Order.objects.count() == 0


def test_closed_sale_refuses_a_late_press(visit):
    lin = visit("lin")
    key = hidden(lin.page(EVENT), "client_key")
    later = datetime.now(UTC) + DAY
    set_general(opens_at=later, closes_at=later + DAY)
    answer = lin.client.post(EVENT, {"client_key": key, "show": "small", "tier": "UPPER", "quantity": "1"})
    assert answer.status_code == 409
    assert 'data-refusal="not_on_sale"' in text_of(answer)
    assert "开售" in text_of(answer)


@pytest.mark.parametrize("rule", ["invited", "account_age"])
def test_sale_for_others_says_whom_it_is_for(visit, rule):
    set_general(eligibility=rule, account_age_days=365)
    answer = post(visit("lin"))
    assert answer.status_code == 403
    assert 'data-refusal="not_eligible"' in text_of(answer)


def test_language_switch_keeps_the_page(visit):
    lin = visit("lin")
    path = f"{EVENT}?show=small&tier=GOLD&quantity=2"
    answer = lin.client.post("/i18n/setlang/", {"language": "en", "next": path})
    assert answer.url == path
    page = lin.page(path)
    assert "Take these seats" in page
    assert '<html lang="en">' in page
    assert re.search(r'value="GOLD"[^>]* checked', page)


def test_form_needs_its_csrf_token(show):
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(EVENT, {"tier": "UPPER"}).status_code == 403
    assert Order.objects.count() == 0


def test_event_page_asks_the_database_a_fixed_number_of_times(visit, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(seats_left, "KEEP_MS", 60_000)
    monkeypatch.setattr(seats_left, "YOUNG_MS", 50_000)  # as on a machine that is never busy
    stranger, lin = visit(), visit("lin")
    stranger.page(EVENT)
    with django_assert_num_queries(4):  # event, shows, phases, tiers (counts are a second old at most)
        stranger.get(EVENT)
    lin.page(EVENT)
    with django_assert_num_queries(8):  # and session, user, the unpaid order, the allowance
        lin.get(EVENT)


def test_pages_with_something_personal_are_kept_by_no_cache(visit):
    for path in ("/", EVENT, "/sign-in/"):
        assert "no-store" in visit().get(path).headers["Cache-Control"]


def test_pages_obey_their_own_security_policy(visit):
    answer = visit("lin").get(EVENT)
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    page = text_of(answer)
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", page)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))
    assert not re.search(r'(src|href)="(https?:)?//', page)
