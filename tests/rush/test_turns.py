"""A show that is sold by turns: no way to an order leads past the waiting room, and pages stand in the rush's line."""

from __future__ import annotations

import re
import time

import pytest
from django.test import Client
from django.utils import timezone

from basis import fast
from risk import pacing, signing, steering, waiting_room
from risk.models import ListEntry
from risk.room_models import Room
from tests.api.conftest import program  # noqa: F401  (a fixture)
from ticketing import admission, orders
from ticketing.models import Order, PriceTier, SalePhase, Seat, SeatState
from ticketing.pace import stock_of
from ticketing.rush import keys

EVENT, QUEUE = "/events/river-of-stars/", "/shows/small/queue/"


@pytest.fixture
def room(rush):
    """The small show, on sale now, behind an open waiting room; a drainer has its tiers."""
    rush.clock.now = timezone.now()
    rush.turn()
    waiting_room._epochs.clear()
    Room.objects.create(show="small", opens_at=timezone.now(), pace_min=100)
    made = steering.open_room(show="small", actor="ops", now=timezone.now())
    admission.in_front.forget()
    return made


def pass_for(buyer, nonce="n1", life_s=60):
    until = int(timezone.now().timestamp()) + life_s
    return {"Admission-Pass": signing.sign_pass(signing.Pass("small", buyer.pk, 1, until, nonce))}


WANTED = {"show": "small", "tier": "UPPER", "quantity": 1}


# -- programs ----------------------------------------------------------------------------------------------------------
def test_the_ordinary_way_needs_the_buyers_own_pass(room, program):  # noqa: F811
    lin, wei = program("lin"), program("wei")
    for headers in ({}, pass_for(wei.user), {"Admission-Pass": "v1.nonsense"}):
        answer = lin.post("/orders", WANTED, key="k1", **headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "pass_needed")
    assert not Order.objects.exists()
    placed = lin.post("/orders", WANTED, key="k1", **pass_for(lin.user))
    assert placed.status_code == 201
    assert lin.post("/orders", WANTED, key="k1").json() == placed.json()  # a repetition needs no turn


def test_a_pass_is_good_for_one_order_a_tier_whichever_way(room, rush, program):  # noqa: F811
    lin = program("lin")
    mine = pass_for(lin.user)
    assert lin.post("/orders", WANTED, key="k1", **mine).status_code == 201
    assert lin.post("/orders", WANTED, key="k2", **mine).json()["code"] == "pass_used"
    assert lin.post("/rush/orders", WANTED, key="k3", **mine).json()["code"] == "pass_used"
    assert lin.post("/orders", WANTED | {"tier": "GOLD"}, key="k4", **mine).status_code == 201
    again = pass_for(lin.user, nonce="n2")
    assert lin.post("/rush/orders", WANTED, key="k5", **again).status_code == 202
    assert lin.post("/orders", WANTED, key="k6", **again).json()["code"] == "pass_used"
    over = pass_for(lin.user, nonce="n3", life_s=-1)
    assert lin.post("/orders", WANTED, key="k7", **over).json()["code"] == "pass_used"


def test_a_refused_order_gives_the_pass_back(room, program):  # noqa: F811
    lin = program("lin")
    mine = pass_for(lin.user)
    assert lin.post("/orders", WANTED | {"quantity": 99}, key="k1", **mine).json()["code"] == "bad_quantity"
    assert lin.post("/orders", WANTED, key="k2", **mine).status_code == 201


def test_who_leaves_at_his_turn_has_no_pass_any_more(room, program):  # noqa: F811
    lin, wei = program("lin"), program("wei")
    steering.adjust(show="small", actor="ops", now=timezone.now(), max_inside=1)
    for one in (lin, wei):
        one.post("/shows/small/queue", key=None)
    admitted(room)
    given = {"Admission-Pass": lin.get("/shows/small/queue").json()["pass"]["token"]}
    assert [lin.delete("/shows/small/queue").status_code for _ in range(2)] == [204, 204]
    for way in ("/orders", "/rush/orders"):
        assert lin.post(way, WANTED, **given).json()["code"] == "pass_used"
    admitted(room)
    assert wei.get("/shows/small/queue").json()["status"] == "admitted"
    assert lin.post("/shows/small/queue", key=None).json()["number"] == 3


def test_leaving_keeps_what_the_turn_was_used_for(room, program):  # noqa: F811
    lin = program("lin")
    lin.post("/shows/small/queue", key=None)
    admitted(room)
    given = {"Admission-Pass": lin.get("/shows/small/queue").json()["pass"]["token"]}
    placed = lin.post("/orders", WANTED, key="k1", **given)
    assert lin.delete("/shows/small/queue").status_code == 204
    assert Order.objects.get().state == "held"
    assert lin.post("/orders", WANTED, key="k1", **given).json() == placed.json()
    assert lin.post("/orders", WANTED | {"tier": "GOLD"}, **given).json()["code"] == "pass_used"


def test_without_the_store_a_pass_is_still_a_pass(room, program, settings):  # noqa: F811
    lin = program("lin")
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    fast.store.cache_clear()
    try:
        assert lin.post("/orders", WANTED, key="k1").json()["code"] == "pass_needed"
        assert lin.post("/orders", WANTED, key="k1", **pass_for(lin.user)).status_code == 201
    finally:
        fast.store.cache_clear()


def test_starting_over_makes_the_passes_void_too(room, rush, program):  # noqa: F811
    """A rehearsal's pass must not buy before the sale's own draw."""
    lin = program("lin")
    standing = waiting_room.join(show="small", buyer_id=lin.user.pk, now=timezone.now())
    number = waiting_room.number_of("small", lin.user.pk, standing)
    mine = pass_for(lin.user, nonce=signing.nonce_of(number))
    steering.start_over(show="small", actor="ops", now=timezone.now())
    steering.collect(show="small", actor="ops", now=timezone.now())
    admission.in_front.forget()
    for path in ("/orders", "/rush/orders"):
        answer = lin.post(path, WANTED, key="k1", **mine)
        assert (answer.status_code, answer.json()["code"]) == (403, "pass_needed")
    assert not Order.objects.exists()


def test_closing_an_opened_room_lets_nobody_past_it(room, program):  # noqa: F811
    lin = program("lin")
    steering.close(show="small", actor="ops", now=timezone.now())
    admission.in_front.forget()
    assert lin.post("/orders", WANTED, key="k1").json()["code"] == "pass_needed"
    steering.start_over(show="small", actor="ops", now=timezone.now())
    admission.in_front.forget()
    assert lin.post("/orders", WANTED, key="k1").status_code == 201


def test_who_is_on_the_list_gets_no_number(room, program):  # noqa: F811
    from risk import policy

    lin, wei = program("lin"), program("wei")
    ListEntry.objects.create(
        kind="deny",
        subject="buyer",
        value=str(lin.user.pk),
        reason="resale",
    )
    policy._held.policy = policy.read()
    assert lin.post("/shows/small/queue", {}, key=None).json()["code"] == "denied"
    assert lin.post("/rush/orders", WANTED, key="k1", **pass_for(lin.user)).json()["code"] == "denied"
    assert wei.post("/shows/small/queue", {}, key=None).status_code == 202


# -- pages -------------------------------------------------------------------------------------------------------------
@pytest.fixture
def lin(buyer):
    """Lin's browser; `lin.user` is who she is."""
    client = Client()
    client.user = buyer("lin", cash=1_000_000)
    client.force_login(client.user, backend="accounts.signin.PhoneOrEmailBackend")
    return client


def come_in(client, room):
    """Join, be let in, and look at the queue's page once more, which puts the pass into the cookie."""
    assert client.post(QUEUE).status_code == 303
    for _ in range(8):
        now = timezone.now()
        Room.objects.filter(pk=room.pk).update(pace_min=2000)
        pacing.step(show=room.show, stock=stock_of(room), now=now)
        if 'data-stage="admitted"' in client.get(QUEUE).content.decode():
            return
        time.sleep(0.05)
    raise AssertionError("not let in")


def press(client, **more):
    page = client.get(f"{EVENT}?show=small").content.decode()
    key = re.search(r'name="client_key" value="([^"]+)"', page)[1]
    return client.post(EVENT, {"show": "small", "tier": "UPPER", "quantity": "2", "client_key": key} | more)


def test_without_a_turn_the_page_leads_to_the_queue(room, lin):
    for client in (Client(), lin):
        page = client.get(f"{EVENT}?show=small").content.decode()
        assert 'data-turn="needed"' in page
        assert f'href="{QUEUE}"' in page
        assert '<button class="primary"' not in page
    assert press(lin)["Location"] == QUEUE
    section = Seat.objects.filter(tier__code="UPPER").select_related("row__section").first().row.section.code
    seats = f"/shows/small/sections/{section}/"
    assert 'data-turn="needed"' in lin.get(seats).content.decode()
    seat = Seat.objects.filter(row__section__code=section).first()
    assert lin.post(seats, {"seat": seat.pk, "client_key": "c"})["Location"] == QUEUE
    assert not Order.objects.exists()


def test_from_the_queue_through_the_rush_to_the_order(room, rush, lin, buyer):
    come_in(lin, room)
    assert 'data-turn="admitted"' in lin.get(f"{EVENT}?show=small").content.decode()
    went = press(lin)
    assert went.status_code == 303
    waiting = lin.get(went["Location"])
    assert 'data-stage="queued"' in waiting.content.decode()
    stranger = Client()
    stranger.force_login(buyer("wei"), backend="accounts.signin.PhoneOrEmailBackend")
    assert stranger.get(went["Location"]).status_code == 404
    assert lin.get(went["Location"].replace("~", "~1", 1)).status_code == 404
    rush.turn()
    order = Order.objects.get()
    assert lin.get(went["Location"])["Location"] == f"/orders/{order.number}/"
    assert order.buyer_id == lin.user.pk
    again = press(lin)  # another rendering of the form is another order, and the pass was used
    assert (again.status_code, 'data-refusal="pass_used"' in again.content.decode()) == (409, True)


def test_chosen_seats_stand_in_the_same_line(room, rush, lin):
    come_in(lin, room)
    seat = Seat.objects.filter(tier=rush.tier, state=SeatState.FREE).select_related("row__section").last()
    page = f"/shows/small/sections/{seat.row.section.code}/"
    went = lin.post(page, {"seat": seat.pk, "client_key": "c"})
    assert "/submissions/" in went["Location"]
    rush.turn()
    assert lin.get(went["Location"]).status_code == 303
    seat.refresh_from_db()
    assert seat.order_id == Order.objects.get().pk


def test_what_the_line_refuses_is_said_in_words(room, rush, lin, buyer):
    come_in(lin, room)
    wei = buyer("wei")
    seat = Seat.objects.filter(tier=rush.tier, state=SeatState.FREE).select_related("row__section").first()
    went = lin.post(f"/shows/small/sections/{seat.row.section.code}/", {"seat": seat.pk, "client_key": "c"})
    orders.place_order(
        buyer=wei, client_key="k", tier_id=rush.tier.pk, quantity=0, seat_ids=[seat.pk], now=timezone.now()
    )
    rush.turn()
    page = lin.get(went["Location"]).content.decode()
    assert 'data-stage="refused"' in page
    assert 'data-refusal="seats_taken"' in page
    # What was refused has used nothing: the same turn chooses again.
    assert press(lin).status_code == 303
    rush.turn()
    assert Order.objects.filter(buyer=lin.user).count() == 1


def test_the_queue_says_what_the_turn_was_used_for(room, rush, lin):
    """No circle of "your turn" and "used already": the order, another price, or the end of the line."""
    come_in(lin, room)
    assert "data-ordered" not in lin.get(QUEUE).content.decode()
    went = press(lin)
    page = lin.get(QUEUE).content.decode()
    assert "data-ordered" in page
    assert went["Location"] in page
    assert 'name="again"' in page
    rush.turn()
    assert lin.post(QUEUE, {"again": "1"}).status_code == 303
    page = lin.get(QUEUE).content.decode()
    assert 'data-stage="waiting"' in page
    for tier in ("UPPER", "GOLD"):  # the cookie still holds the old pass; it is worth nothing any more
        assert press(lin, tier=tier).status_code == 409
    assert Order.objects.count() == 1
    Room.objects.filter(pk=room.pk).update(pace_min=2000)
    time.sleep(0.05)
    pacing.step(show=room.show, stock=stock_of(room), now=timezone.now())
    assert 'data-stage="admitted"' in lin.get(QUEUE).content.decode()
    assert press(lin).status_code == 303
    rush.turn()
    assert Order.objects.count() == 2


def test_an_order_placed_one_by_one_is_shown_too(room, lin):
    come_in(lin, room)
    tier = PriceTier.objects.get(show__code="small", code="UPPER")
    fast.store().delete(keys.sale(tier.pk))
    order = press(lin)["Location"]
    assert order in lin.get(QUEUE).content.decode()


def test_whoever_may_not_buy_makes_room(room, rush, lin, buyer):
    """Only one may be inside; the sale is not open to who is: the next one is let in at once."""
    come_in(lin, room)
    wei = Client()
    wei.user = buyer("wei")
    wei.force_login(wei.user, backend="accounts.signin.PhoneOrEmailBackend")
    assert wei.post(QUEUE).status_code == 303
    Room.objects.filter(pk=room.pk).update(max_inside=1)
    assert admitted(room) == 0
    press(lin)
    SalePhase.objects.filter(show__code="small").update(eligibility=SalePhase.Eligibility.INVITED)
    for lane in rush.drainer.lanes.values():
        lane.looked_at = float("-inf")
    rush.clock.now = timezone.now()
    rush.turn()
    assert not Order.objects.exists()
    assert 'data-stage="over"' in lin.get(QUEUE).content.decode()
    assert admitted(room) == 1


def admitted(room):
    time.sleep(0.1)
    return pacing.step(show=room.show, stock=stock_of(room), now=timezone.now()).admitted


def test_a_submission_that_the_store_lost_is_said_to_be_lost(room, rush, lin):
    come_in(lin, room)
    went = press(lin)
    fast.store().flushdb()
    assert 'data-stage="lost"' in lin.get(went["Location"]).content.decode()


def test_without_a_drainer_the_page_orders_one_by_one(room, lin):
    come_in(lin, room)
    tier = PriceTier.objects.get(show__code="small", code="UPPER")
    fast.store().delete(keys.sale(tier.pk))
    went = press(lin)
    order = Order.objects.get()
    assert went["Location"] == f"/orders/{order.number}/"
    assert lin.get(went["Location"]).status_code == 200
