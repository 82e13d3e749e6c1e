"""From the click to the ticket through the streams, and everything that is refused on the way."""

import pytest

from ticketing.models import Allowance, Order, OrderEvent, Seat, SeatState, Ticket
from ticketing.rush import keys
from ticketing.rush.submission import Pass, Refused, submit
from wallet import ledger


def refused(call, *args, **more):
    with pytest.raises(Refused) as caught:
        call(*args, **more)
    return caught.value.reason


def test_a_submission_becomes_an_order_a_payment_and_tickets(rush, buyer):
    lin = buyer("lin", cash=200_000)
    number = rush.submit(lin, 2)
    assert rush.status(lin, number)["state"] == "queued"
    rush.turn()
    told = rush.status(lin, number)
    order = Order.objects.get(number=number)
    assert (told["state"], told["order"], told["amount"]["amount"]) == ("held", number, 76_000)
    assert len(told["seats"]) == 2
    assert OrderEvent.objects.get(order=order).facts == {"seats": 2}
    assert rush.press(lin, number, told["payment_token"])[:2] == ["queued", ""]
    assert rush.press(lin, number, told["payment_token"])[:2] == ["queued", ""]
    rush.turn()
    verdict, result, _ = rush.press(lin, number, told["payment_token"])
    assert (verdict, '"state":"paid"' in result) == ("done", True)
    order.refresh_from_db()
    assert order.state == "paid"
    assert Ticket.objects.filter(order=order).count() == 2
    assert ledger.balance(f"buyer_cash:{lin.pk}:CNY") == 124_000
    assert (rush.drainer.tally.submissions, rush.drainer.tally.paid) == (1, 1)


def test_the_same_key_gets_the_same_number_and_one_order(rush, buyer):
    lin = buyer("lin")
    number = rush.submit(lin, 2, key="once")
    assert rush.submit(lin, 2, key="once") == number
    rush.turn()
    assert rush.submit(lin, 2, key="once") == number
    assert refused(rush.submit, lin, 1, key="once") == "key_reused"
    assert Order.objects.count() == 1


def test_another_buyer_sees_nothing(rush, buyer):
    told = rush.held(buyer("lin"))
    assert rush.status(buyer("wei"), told["order"]) == {"state": "unknown"}


def test_no_drainer_no_submission(transactional_db, show, clock, buyer):
    tier = show.tiers.first()
    lin = buyer("lin")
    reason = refused(submit, tier_id=tier.pk, buyer_id=lin.pk, client_key="k", quantity=1, now=clock())
    assert reason == "cold"


def test_the_limit_holds_at_the_door_and_across_tiers_in_postgres(rush, buyer, clock):
    lin = buyer("lin")
    rush.held(lin, 3)
    assert refused(rush.submit, lin, 2) == "limit_reached"
    gold = rush.show.tiers.get(code="GOLD")
    number = submit(tier_id=gold.pk, buyer_id=lin.pk, client_key="gold", quantity=2, now=clock())
    rush.turn()
    from ticketing.rush.submission import status

    told = status(gold.pk, number, buyer_id=lin.pk)
    assert (told["state"], told["reason"]) == ("refused", "limit_reached")
    assert Allowance.objects.get(buyer=lin).taken == 3


def test_several_of_one_buyer_in_a_batch_are_judged_in_their_order(rush, buyer):
    lin = buyer("lin")
    from basis import fast

    numbers = []
    for quantity in (3, 2, 1):
        numbers.append(rush.submit(lin, quantity))
        fast.store().delete(keys.count(rush.tier.pk, lin.pk))  # the door forgot
    rush.turn()
    assert [rush.status(lin, number)["state"] for number in numbers] == ["held", "refused", "held"]
    assert Allowance.objects.get(buyer=lin).taken == 4


def test_a_pass_is_burned_once(rush, buyer, clock):
    until = int(clock.now.timestamp() * 1000) + 60_000
    number = rush.submit(buyer("lin"), key="a", admission=Pass("n1", until))
    assert rush.submit(buyer("lin"), key="a", admission=Pass("n1", until)) == number
    assert refused(rush.submit, buyer("lin"), key="b", admission=Pass("n1", until)) == "pass_used"
    assert refused(rush.submit, buyer("lin"), key="c", admission=Pass("n2", until - 90_000)) == "pass_used"


def test_sold_out_is_said_at_the_door_and_seats_come_back(rush, crowd, clock):
    from ticketing import expiry, orders

    seats = Seat.objects.filter(tier=rush.tier).count()
    people = crowd(seats // 4 + 1)
    rush.turn()
    given = [rush.submit(one, 4) for one in people[: seats // 4]]
    assert refused(rush.submit, people[-1], seats % 4 + 1) == "sold_out"
    rush.turn()
    assert {rush.status(one, number)["state"] for one, number in zip(people, given, strict=False)} == {"held"}
    assert not Seat.objects.filter(tier=rush.tier, state=SeatState.FREE).exists()
    orders.cancel(number=given[0], actor="", now=clock())
    rush.held(people[-1], 4)
    clock.advance(minutes=16)
    while expiry.expire_due(now=clock()):
        pass
    assert len(rush.held(people[1], 4)["seats"]) == 4


def test_chosen_seats_are_given_to_the_first_who_chose_them(rush, buyer):
    lin, wei = buyer("lin"), buyer("wei")
    seats = list(Seat.objects.filter(tier=rush.tier).order_by("pk").values_list("pk", flat=True)[:3])
    first, second = rush.submit(lin, seats=seats[:2]), rush.submit(wei, seats=seats[1:])
    rush.turn()
    assert rush.status(lin, first)["state"] == "held"
    assert rush.status(wei, second) == {"state": "refused", "buyer": wei.pk, "reason": "seats_taken"}
    assert sorted(Seat.objects.filter(order__buyer=lin).values_list("pk", flat=True)) == seats[:2]


def test_orders_that_came_the_slow_way_are_seen(rush, buyer, clock):
    from ticketing import orders

    lin, wei = buyer("lin"), buyer("wei")
    rush.held(lin)
    slow = orders.place_order(buyer=wei, client_key="slow", tier_id=rush.tier.pk, quantity=4, now=clock())
    rush.held(buyer("tang"), 4)
    assert Seat.objects.filter(order=slow).count() == 4
