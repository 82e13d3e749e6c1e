"""What changes while submissions stand in the line: accounts, lists, the show, its price, its sale."""

import json
from datetime import timedelta

import pytest

from basis import fast
from risk import policy
from risk.models import ListEntry
from ticketing.models import Order, PriceTier, Seat
from ticketing.rush import keys
from ticketing.rush.submission import Refused


def told(rush, buyer, number):
    status = rush.status(buyer, number)
    return status["state"], status.get("reason", "")


def shut(lin):
    type(lin).objects.filter(pk=lin.pk).update(is_active=False)


def denied(lin):
    ListEntry.objects.create(kind="deny", subject="buyer", value=str(lin.pk), reason="resells")
    policy.forget()


@pytest.mark.parametrize("how", [shut, denied])
def test_an_account_that_is_shut_meanwhile_gets_no_seats(rush, crowd, how):
    lin, wei, tang = crowd(3)
    rush.held(tang)  # the lane is no longer careful
    first, second = rush.submit(lin, 2), rush.submit(wei)
    how(lin)
    rush.turn()
    assert told(rush, lin, first) == ("refused", "not_eligible")
    assert told(rush, wei, second) == ("held", "")
    assert not Order.objects.filter(buyer=lin).exists()
    assert Seat.objects.filter(tier=rush.tier, state="H").count() == 2


def test_an_account_that_is_shut_meanwhile_pays_nothing(rush, crowd):
    lin, wei = crowd(2, cash=100_000)
    first, second = rush.held(lin), rush.held(wei)
    for buyer, one in ((lin, first), (wei, second)):
        rush.press(buyer, one["order"], one["payment_token"])
    shut(lin)
    rush.turn()
    assert Order.objects.get(number=first["order"]).state == "held"
    assert Order.objects.get(number=second["order"]).state == "paid"
    result = json.loads(fast.store().get(keys.payment(rush.tier.pk, first["order"])))
    assert (result["state"], result["reason"]) == ("refused", "not_payable")


def test_a_drainer_that_comes_after_the_sale_answers_what_was_left(rush, crowd, clock):
    (lin,) = crowd(1)
    rush.drainer.leave()
    number = rush.submit(lin)
    until = rush.show.phases.order_by("closes_at").last().closes_at
    clock.now = until + timedelta(minutes=30)
    rush.turn(late := rush.another("late"))
    assert told(rush, lin, number) == ("held", "")
    rush.turn(late)
    assert not late.lanes  # nothing is left: the tier is nobody's again


def test_what_was_accepted_before_the_show_was_taken_down_is_refused_and_the_door_is_shut(rush, crowd):
    lin, wei = crowd(2)
    number = rush.submit(lin)
    rush.show.event.published = False
    rush.show.event.save()
    rush.turn()
    assert told(rush, lin, number) == ("refused", "not_on_sale")
    rush.turn()
    with pytest.raises(Refused, match="cold"):
        rush.submit(wei)
    assert fast.store().xlen(keys.orders(rush.tier.pk)) == 0
    assert not Order.objects.exists()


def test_a_show_that_was_cancelled_sells_nothing_also_where_its_switch_is_lifted(rush, crowd, clock):
    (lin,) = crowd(1)
    type(rush.show).objects.filter(pk=rush.show.pk).update(cancelled_at=clock())
    _looked_at_again(rush)
    number = rush.submit(lin)
    rush.turn()
    assert told(rush, lin, number) == ("refused", "sale_stopped")


def test_a_price_that_staff_change_is_what_the_next_buyer_pays(rush, crowd):
    lin, wei = crowd(2)
    before = rush.held(lin)["amount"]["amount"]
    PriceTier.objects.filter(pk=rush.tier.pk).update(price_minor=before + 100)
    _looked_at_again(rush)
    assert rush.held(wei)["amount"]["amount"] == before + 100


def _looked_at_again(rush):
    rush.drainer.lanes[rush.tier.pk].looked_at = float("-inf")
    rush.turn()
