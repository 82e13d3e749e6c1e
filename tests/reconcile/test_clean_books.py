"""
Books that agree never make an open discrepancy, in whatever order their days are loaded and however near midnight
things happen; and comparing everything again changes nothing.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payments.models import Discrepancy
from payments.reconcile import run
from tests.reconcile.hand import Hand

MIDNIGHT = datetime(2026, 11, 18, 16, tzinfo=UTC)  # the 19th begins in Shanghai
DAYS = [date(2026, 11, 18) + timedelta(days=n) for n in range(6)]
NEAR = st.sampled_from([0, 1, 2]).flatmap(
    lambda day: st.integers(-1200, 1200).map(lambda s: day * 86_400 + s)
)
ANY = st.integers(0, 3 * 86_400 - 1)
SLIP = st.integers(-600, 600)  # the channel's clock against ours
REFUND = st.none() | st.tuples(st.integers(60, 86_400), st.integers(0, 2 * 86_400), st.booleans())
EVENTS = st.lists(st.tuples(NEAR | ANY, SLIP, st.integers(1, 10**7), REFUND), max_size=6)


def shanghai_day(at: datetime) -> date:
    return (at + timedelta(hours=8)).date()


@pytest.mark.django_db
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, order=st.permutations(DAYS))
def test_clean_books_are_found_clean(events: list[tuple], order: list[date]) -> None:
    with transaction.atomic():
        hand, lines = Hand(), {day: [] for day in DAYS}
        for seconds, slip, amount, back in events:
            at = MIDNIGHT + timedelta(seconds=seconds)
            listed = at + timedelta(seconds=slip)
            payment = hand.pay(at, amount)
            lines[shanghai_day(listed)].append(hand.of(payment, listed))
            if back:
                asked, done = at + timedelta(seconds=back[0]), at + timedelta(seconds=back[0] + back[1])
                refund = hand.refund(payment, asked, done, amount)
                # Some channels list a refund when it was sent, some when it was done.
                when = asked if back[2] else done
                if shanghai_day(when) in lines:
                    lines[shanghai_day(when)].append(hand.of(refund, when))
        for nth, day in enumerate(order):
            hand.load(day, lines[day])
            run.reconcile(channel="alipay", day=day, now=MIDNIGHT + timedelta(days=2, minutes=nth))
            assert not Discrepancy.objects.filter(state="open").exists()
        assert not Discrepancy.objects.filter(state="carried").exists()
        before = list(Discrepancy.objects.order_by("pk").values())
        for day in DAYS[1:3]:
            run.reconcile(channel="alipay", day=day, now=MIDNIGHT + timedelta(days=3))
        run.look_again(channel="alipay", day=DAYS[-1], now=MIDNIGHT + timedelta(days=30))
        assert list(Discrepancy.objects.order_by("pk").values()) == before
        transaction.set_rollback(True)
