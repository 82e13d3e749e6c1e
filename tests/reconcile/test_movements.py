"""What a channel lists must have moved with it: compared by number, over midnight too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from payments.models import Discrepancy, Payment, ReconcileRun
from payments.reconcile import due, funds, run
from tests.reconcile.conftest import DAY, MORNING_AFTER, later
from tests.reconcile.hand import Hand

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 19, 4, tzinfo=UTC)
LAST_MINUTE = datetime(2026, 11, 19, 15, 59, 30, tzinfo=UTC)
AFTER_MIDNIGHT = LAST_MINUTE + timedelta(minutes=1)
NEXT = DAY + timedelta(days=1)
BY_PAYMENT = {"refunds_by": "payment"}


@pytest.fixture
def hand() -> Hand:
    return Hand()


def compare(hand: Hand, day: Any = DAY, at: datetime = MORNING_AFTER) -> None:
    run.reconcile(channel=hand.channel, day=day, now=at)


def differ(state: str = "open") -> set[tuple[str, str, int, int]]:
    rows = Discrepancy.objects.filter(klass="funds_differ", state=state)
    return set(rows.values_list("kind", "number", "ours_minor", "theirs_minor"))


def test_two_that_make_up_for_each_other_are_two_differences(hand: Hand) -> None:
    """Their sum agrees: a comparison of sums would see nothing."""
    one, two, right = hand.pay(NOON), hand.pay(NOON), hand.pay(NOON)
    hand.load(DAY, [hand.of(each, NOON) for each in (one, two, right)])
    moved = [hand.moved(one, NOON, amount_minor=9_000), hand.moved(two, NOON, amount_minor=11_000)]
    hand.load(DAY, [*moved, hand.moved(right, NOON)], "funds")
    compare(hand)
    assert differ() == {("payment", one.number, 10_000, 9_000), ("payment", two.number, 10_000, 11_000)}
    assert Discrepancy.objects.get(number=one.number).payment == one
    before = list(Discrepancy.objects.order_by("pk").values())
    compare(hand, at=later(0.1))
    run.look_again(channel="alipay", day=NEXT, now=later(0.2))
    assert list(Discrepancy.objects.order_by("pk").values()) == before
    hand.load(DAY, [hand.moved(each, NOON) for each in (one, two, right)], "funds")
    run.look_again(channel="alipay", day=NEXT, now=later(0.3))
    assert set(Discrepancy.objects.values_list("resolution", flat=True)) == {"agrees"}


def test_what_moved_beyond_midnight_is_looked_for_there(hand: Hand) -> None:
    paid, lost = hand.pay(LAST_MINUTE), hand.pay(LAST_MINUTE)
    hand.load(DAY, [hand.of(each, LAST_MINUTE) for each in (paid, lost)])
    hand.load(DAY, [], "funds")
    compare(hand)
    waiting = {("payment", each.number, 10_000, 0) for each in (paid, lost)}
    assert (differ("carried"), differ()) == (waiting, set())
    hand.load(NEXT, [])
    hand.load(NEXT, [hand.moved(paid, AFTER_MIDNIGHT)], "funds")
    compare(hand, NEXT, later(1))
    assert (differ("carried"), differ()) == (set(), {("payment", lost.number, 10_000, 0)})
    assert Discrepancy.objects.get(number=paid.number).resolution == "agrees"


def test_a_neighbour_that_never_comes_ends_the_waiting(hand: Hand) -> None:
    paid = hand.pay(LAST_MINUTE)
    hand.load(DAY, [hand.of(paid, LAST_MINUTE)])
    hand.load(DAY, [], "funds")
    compare(hand)
    run.look_again(channel="alipay", day=NEXT, now=later(4))
    assert (differ("carried"), differ()) == (set(), {("payment", paid.number, 10_000, 0)})


def test_far_from_midnight_nothing_is_waited_for(hand: Hand) -> None:
    paid = hand.pay(NOON)
    hand.load(DAY, [hand.of(paid, NOON)])
    hand.load(DAY, [], "funds")
    compare(hand)
    assert differ() == {("payment", paid.number, 10_000, 0)}


@pytest.mark.parametrize("by", ["number", "payment"])
def test_several_refunds_of_one_payment_in_a_day(hand: Hand, by: str) -> None:
    paid = hand.pay(NOON)
    refunds = [hand.refund(paid, NOON, NOON, part) for part in (1_000, 2_000, 3_000)]
    hand.load(DAY, [hand.of(paid, NOON), *(hand.of(each, NOON) for each in refunds)])
    named = {"number": ""} if by == "payment" else {"payment_number": ""}
    moved = [hand.moved(each, NOON, **named) for each in refunds]
    hand.load(DAY, [hand.moved(paid, NOON), *moved], "funds", refunds_by=by)
    compare(hand)
    assert not Discrepancy.objects.exists()
    moved = [hand.moved(each, NOON, **named) for each in refunds[:2]]
    hand.load(DAY, [hand.moved(paid, NOON), *moved], "funds", refunds_by=by)
    compare(hand, at=later(0.1))
    one = (
        ("refund", refunds[2].number, -3_000, 0)
        if by == "number"
        else ("refund", paid.number, -6_000, -3_000)
    )
    assert differ() == {one}


def test_a_fee_that_was_kept_must_be_the_one_that_is_listed(hand: Hand) -> None:
    right, dear, monthly = hand.pay(NOON), hand.pay(NOON), hand.pay(NOON)
    hand.load(DAY, [hand.of(each, NOON) for each in (right, dear, monthly)])
    moved = [hand.moved(each, NOON) for each in (right, dear, monthly)]
    # The fee of the third is taken some other day, together with others: no line names it.
    fees = [hand.fee_of(right, NOON, 60), hand.fee_of(dear, NOON, 62)]
    hand.load(DAY, [*moved, *fees], "funds", **BY_PAYMENT)
    compare(hand)
    assert differ() == {("fee", dear.number, 60, 62)}


def test_a_statement_that_the_channel_forgot_is_one_difference(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(funds, "MANY", 3)
    paid = [hand.pay(NOON) for _ in range(4)]
    hand.load(DAY, [hand.of(each, NOON) for each in paid])
    hand.load(DAY, [], "funds")
    compare(hand)
    compare(hand, at=later(0.1))
    assert differ() == {("payment", "", 40_000, 0)}
    hand.load(DAY, [hand.moved(each, NOON) for each in paid[:3]], "funds")
    run.look_again(channel="alipay", day=NEXT, now=later(0.2))
    assert differ() == set()
    compare(hand, at=later(0.3))
    assert differ() == {("payment", paid[3].number, 10_000, 0)}


def test_a_statement_whose_load_began_before_the_day_was_compared_is_booked_after_it(hand: Hand) -> None:
    """A large file is loaded for minutes and says when that began; the run in between did not see it."""
    hand.load(DAY, [])
    compare(hand, at=later(1))
    made = hand.load(DAY, [], "funds")
    assert made.loaded_at < ReconcileRun.objects.get().started_at
    assert due.due(limit=5) == [("alipay", DAY)]
    compare(hand, at=later(1.1))
    assert due.due(limit=5) == []


def test_movements_of_a_day_without_trades_wait_for_them(hand: Hand) -> None:
    paid: Payment = hand.pay(NOON)
    hand.load(DAY, [hand.moved(paid, NOON)], "funds")
    assert due.due(limit=5) == []
    hand.load(DAY, [hand.of(paid, NOON)])
    assert due.due(limit=5) == [("alipay", DAY)]
    compare(hand)
    assert due.due(limit=5) == []
    assert not Discrepancy.objects.exists()
