"""Choosing seats oneself."""

from tests.pages.conftest import hidden, text_of
from ticketing import availability
from ticketing.models import Order, PriceTier, Seat

SECTION = "/shows/small/sections/C1/"


def free_in(section, n):
    return list(
        Seat.objects.filter(row__section__code=section, state="F")
        .order_by("position")
        .values_list("pk", flat=True)[:n]
    )


def choose(visitor, seats, path=SECTION, **data):
    key = hidden(visitor.page(path), "client_key")
    return visitor.client.post(path, {"client_key": key, "seat": seats} | data)


def test_sections_lead_to_rows_and_seats(visit):
    stranger = visit()
    page = stranger.page("/shows/small/sections/")
    assert f'href="{SECTION}"' in page
    page = stranger.page(SECTION)
    assert page.count('name="seat"') == 40
    assert "第 1 排" in page


def test_chosen_seats_are_held(visit):
    lin = visit("lin")
    seats = free_in("C1", 2)
    answer = choose(lin, seats)
    assert answer.status_code == 303
    order = Order.objects.get()
    assert sorted(order.held_seats.values_list("pk", flat=True)) == sorted(seats)


def test_taken_seat_keeps_the_other_choices(visit):
    lin, mei = visit("lin"), visit("mei")
    first, second, third = free_in("C1", 3)
    assert choose(mei, [second]).status_code == 303
    answer = choose(lin, [first, second, third], accept_equal_seats="on")
    page = text_of(answer)
    assert answer.status_code == 409
    assert 'data-refusal="seats_taken"' in page
    assert f'value="{first}" data-price="98000" checked' in page
    assert f'value="{third}" data-price="98000" checked' in page
    assert f'value="{second}" data-price="98000" disabled' in page
    assert 'name="accept_equal_seats" checked' in page
    assert Order.objects.filter(buyer=lin.user).count() == 0


def test_pressing_twice_orders_once_and_other_seats_are_another_order(visit):
    lin = visit("lin")
    first, second = free_in("C1", 2)
    key = hidden(lin.page(SECTION), "client_key")
    urls = {lin.client.post(SECTION, {"client_key": key, "seat": [first]}).url for _ in range(3)}
    assert len(urls) == 1
    other = lin.client.post(SECTION, {"client_key": key, "seat": [second]}).url
    assert other not in urls


def test_nothing_chosen_and_seats_from_elsewhere_are_refused(visit):
    lin = visit("lin")
    assert 'data-refusal="bad_quantity"' in text_of(choose(lin, []))
    assert choose(lin, free_in("D1", 1)).status_code == 400
    assert choose(lin, ["9" * 30, "x", "-1"]).status_code == 400
    assert choose(lin, free_in("C1", 7)).status_code == 400
    assert Order.objects.count() == 0


def test_two_prices_at_once_are_refused(visit):
    lin = visit("lin")
    first, second = free_in("C1", 2)
    Seat.objects.filter(pk=second).update(tier=PriceTier.objects.get(code="VIP"))
    answer = choose(lin, [first, second])
    assert 'data-refusal="several_tiers"' in text_of(answer)


def test_stranger_signs_in_and_finds_the_choice_again(visit):
    seats = free_in("C1", 2)
    answer = choose(visit(), seats)
    assert answer.status_code == 302
    assert answer.url.startswith("/sign-in/?next=")
    page = visit("lin").page(f"{SECTION}?seat={seats[0]}&seat={seats[1]}")
    assert page.count(" checked") == 2


def test_unknown_places_are_not_found(visit):
    for path in ("/shows/none/sections/", "/shows/small/sections/Z9/", "/shows/none/sections/C1/"):
        assert visit().get(path).status_code == 404


def test_section_page_asks_the_database_a_fixed_number_of_times(
    visit, monkeypatch, django_assert_num_queries
):
    monkeypatch.setattr(availability, "FRESH_S", 60)
    stranger = visit()
    stranger.page(SECTION)
    with django_assert_num_queries(5):  # show, section, seats with rows and tiers, phases, tiers
        stranger.get(SECTION)
