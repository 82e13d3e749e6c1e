"""Successes that were recorded after their day had been compared: the next night's run looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from desk import detect
from desk.models import Case
from payments.models import Discrepancy, Payment, Refund, StatementLine
from payments.reconcile import late, run
from tests.reconcile.conftest import DAY, MORNING_AFTER, later, unsettled
from tests.reconcile.hand import Hand

NOON = datetime(2026, 11, 19, 4, tzinfo=UTC)
NEXT = DAY + timedelta(days=1)
AFTER_NEXT = DAY + timedelta(days=2)
PENDING: dict[str, Any] = {"state": "pending", "outcome": "", "paid_at": None}


@pytest.fixture
def hand(db: None) -> Hand:
    return Hand()


def compared(
    hand: Hand, lines: Sequence[StatementLine] = (), day: date = DAY, at: datetime = MORNING_AFTER
) -> dict[str, Any]:
    hand.load(day, lines)
    return run.reconcile(channel="alipay", day=day, now=at)


def test_a_success_recorded_late_and_never_listed_is_found_by_the_next_run(hand: Hand) -> None:
    paid = hand.pay(NOON, **PENDING)
    compared(hand)
    hand.succeed(paid, NOON, recorded=later(0.2))
    run.look_again(channel="alipay", day=NEXT, now=later(0.3))
    assert not unsettled()  # few looks a day, not one every five minutes
    counts = compared(hand, day=NEXT, at=later(1))
    assert unsettled() == {("missing_there", paid.number)}
    assert (counts["late"], counts["opened"]) == (1, 1)
    found = Discrepancy.objects.get()
    assert (found.day, found.first_seen_day, found.run.day) == (DAY, NEXT, NEXT)
    assert detect.run(now=later(1)).opened
    assert Case.objects.get().kind == "statement_missing_there"


def test_a_refund_done_late_and_never_listed_is_found_by_the_next_run(hand: Hand) -> None:
    paid = hand.pay(NOON)
    refund = hand.refund(paid, NOON, None)
    compared(hand, [hand.of(paid, NOON)])
    hand.finish(refund, NOON + timedelta(hours=1), recorded=later(0.2))
    compared(hand, day=NEXT, at=later(1))
    assert unsettled() == {("refund_missing_there", refund.number)}


def test_what_was_found_late_stays_one_row_and_settles_like_any_other(hand: Hand) -> None:
    paid = hand.pay(NOON, **PENDING)
    compared(hand)
    hand.succeed(paid, NOON, recorded=later(0.2))
    compared(hand, day=NEXT, at=later(1))
    before = list(Discrepancy.objects.values())
    for day in (NEXT, DAY, NEXT):
        run.reconcile(channel="alipay", day=day, now=later(1.1))
    run.look_again(channel="alipay", day=NEXT, now=later(1.2))
    compared(hand, day=AFTER_NEXT, at=later(2))
    assert list(Discrepancy.objects.values()) == before
    hand.load(DAY, [hand.of(paid, NOON)])  # the channel corrects its statement
    run.reconcile(channel="alipay", day=DAY, now=later(2.1))
    assert Discrepancy.objects.get().resolution == "agrees"


def test_one_that_is_listed_opens_nothing(hand: Hand) -> None:
    paid = hand.pay(NOON, **PENDING)
    compared(hand, [hand.of(paid, NOON)])
    assert unsettled() == {("status_differs", paid.number)}
    hand.succeed(paid, NOON, recorded=later(0.2))
    compared(hand, day=NEXT, at=later(1))
    assert not unsettled()


def test_its_booking_is_looked_at_too(hand: Hand) -> None:
    paid = hand.pay(NOON, **PENDING)
    compared(hand)
    hand.succeed(paid, NOON, recorded=later(0.2), booked=False)
    compared(hand, day=NEXT, at=later(1))
    assert unsettled() == {("missing_there", paid.number), ("ledger_differs", paid.number)}


def test_one_that_the_channel_had_revoked_differs(hand: Hand) -> None:
    paid = hand.pay(NOON, **PENDING)
    revoked = {"kind": "refund", "number": "", "amount_minor": -10_000, "status": "revoked"}
    compared(hand, [hand.of(paid, NOON, **revoked)])
    assert not unsettled()
    hand.succeed(paid, NOON, recorded=later(0.2))
    compared(hand, day=NEXT, at=later(1))
    assert unsettled() == {("status_differs", paid.number)}


def test_what_its_own_days_run_saw_or_will_see_is_not_late(hand: Hand) -> None:
    seen, coming = hand.pay(NOON, **PENDING), hand.pay(NOON + timedelta(days=2), **PENDING)
    hand.succeed(seen, NOON, recorded=NOON)
    compared(hand, [hand.of(seen, NOON)])
    hand.succeed(coming, NOON + timedelta(days=2), recorded=NOON + timedelta(days=2))
    assert compared(hand, day=NEXT, at=later(1))["late"] == 0
    assert compared(hand, day=AFTER_NEXT, at=later(2))["late"] == 0
    assert unsettled() == {("missing_there", coming.number)}


def test_one_that_was_being_committed_while_its_day_was_compared_is_late(hand: Hand) -> None:
    paid = hand.pay(NOON, **PENDING)
    compared(hand)
    hand.succeed(paid, NOON, recorded=MORNING_AFTER - late.COMMITTED_WITHIN / 2)
    compared(hand, day=NEXT, at=later(1))
    assert unsettled() == {("missing_there", paid.number)}


def test_after_days_without_a_run_what_was_late_before_them_is_still_found(hand: Hand) -> None:
    paid = hand.pay(NOON, **PENDING)
    compared(hand)
    hand.succeed(paid, NOON, recorded=later(0.2))
    compared(hand, day=DAY + timedelta(days=9), at=later(9))
    assert unsettled() == {("missing_there", paid.number)}


def test_a_run_that_failed_has_not_looked(hand: Hand) -> None:
    paid = hand.pay(NOON, **PENDING)
    compared(hand)
    hand.succeed(paid, NOON, recorded=later(0.2))
    hand.load(NEXT, [])
    with pytest.MonkeyPatch.context() as spoilt:
        spoilt.setattr(run.keep, "keep", None)
        with pytest.raises(TypeError):
            run.reconcile(channel="alipay", day=NEXT, now=later(1))
    assert not unsettled()
    compared(hand, day=AFTER_NEXT, at=later(2))
    assert unsettled() == {("missing_there", paid.number)}


def test_a_dry_run_has_not_looked_either(hand: Hand) -> None:
    paid = hand.pay(NOON, **PENDING)
    compared(hand)
    hand.succeed(paid, NOON, recorded=later(0.2))
    hand.load(NEXT, [])
    told = run.reconcile(channel="alipay", day=NEXT, now=later(1), dry_run=True)
    assert told["found"] == {"missing_there": 1}
    run.reconcile(channel="alipay", day=NEXT, now=later(1.1))
    assert unsettled() == {("missing_there", paid.number)}


def test_money_that_went_to_the_wallet_instead_is_nobodys_line(hand: Hand) -> None:
    paid = hand.pay(NOON)
    refund = hand.refund(paid, NOON, None)
    compared(hand, [hand.of(paid, NOON)])
    Refund.objects.filter(pk=refund.pk).update(
        state="succeeded", destination="wallet", refunded_at=NOON + timedelta(hours=1)
    )
    hand.recorded(Refund.objects.get(pk=refund.pk), later(0.2))
    assert compared(hand, day=NEXT, at=later(1))["late"] == 0
    assert not unsettled()
    assert Payment.objects.count() == 1
