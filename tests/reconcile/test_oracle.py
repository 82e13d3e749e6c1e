"""
Random days against a plain oracle: payments and refunds in any state, their lines on any day near theirs, listed twice,
altered, revoked or not at all, and lines of nobody; some successes of ours are recorded only between two runs. The
oracle looks at one number after the other, in Python; what the sets find must be the same, and again when it is all
compared a second time in another order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payments.models import Discrepancy, Payment, Refund, StatementLine
from payments.reconcile import run
from tests.reconcile.hand import Hand

MIDNIGHT = datetime(2026, 11, 18, 16, tzinfo=UTC)  # the 19th begins in Shanghai
DAYS = [date(2026, 11, 18) + timedelta(days=n) for n in range(5)]
TONIGHT = DAYS[-1] + timedelta(days=1)  # nothing happened on it; its run finds what was recorded late
NOW = MIDNIGHT + timedelta(days=4)
CARRY = timedelta(hours=72)

# How a line may differ from what our books say.
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "amount": st.sampled_from([-1, 100]),
        "currency": st.just("USD"),
        "reference": st.just("another"),
        "fee": st.sampled_from([400, -400, 600, -5_000]),  # thousandths of a fen; half a fen may be rounded
        "status": st.sampled_from(["failed", "processing"]),
        "of": st.just("POTHER"),
        "discount": st.just(3_000),  # of ours at the channel; the fee is taken of either sum
        "fee_of_rest": st.booleans(),
    },
)
LINES = st.lists(st.tuples(st.integers(-900, 900), CHANGES), max_size=3)
WHEN = st.integers(0, 2).flatmap(
    lambda day: st.integers(-900, 900).map(lambda s: (day + 1) * 86_400 + s)
) | st.integers(1_000, 3 * 86_400 - 1_000)
RECORDED = st.integers(-3, len(DAYS) - 1)  # after so many runs; at once, if below one
PAYMENTS = st.tuples(
    WHEN, st.sampled_from(["succeeded", "succeeded", "pending", "closed"]), LINES, st.booleans(), RECORDED
)
REFUNDS = st.tuples(st.integers(60, 3_000), st.booleans(), LINES, RECORDED)
PARTS = st.lists(REFUNDS, max_size=2)
EVENTS = st.lists(st.tuples(PAYMENTS, PARTS), min_size=1, max_size=8)
STRAYS = st.lists(st.tuples(WHEN, st.sampled_from(["payment", "refund"])), max_size=2)


@dataclass
class Told:
    """One number, what we know of it and every line that names it."""

    kind: str
    number: str
    ours: Payment | Refund | None
    done: bool = False
    revoked: bool = False
    lines: list[StatementLine] = field(default_factory=list)
    parts: list[Told] = field(default_factory=list)  # the payment's refunds


def oracle(told: Told) -> Counter[str]:
    """The classes in which it must be found."""
    found: Counter[str] = Counter()
    refund = told.kind == "refund"
    if told.revoked and told.done:
        found["status_differs"] += 1
    if not told.lines:
        if told.done and not told.revoked:
            found["refund_missing_there" if refund else "missing_there"] += 1
        return found
    known = getattr(told.ours, "channel_reference", None) if not refund else None
    lines = sorted(told.lines, key=lambda one: (one.reference != known, one.day, one.line_no))
    found["duplicate"] += len(lines) - 1
    line = lines[0]
    if told.ours is None:
        found["refund_missing_here" if refund else "missing_here"] += 1
        return found
    moved, coming = line.status == "success", line.status == "processing"
    if line.currency != told.ours.currency:
        found["currency_differs"] += 1
    elif abs(line.amount_minor) != told.ours.amount_minor:
        found["refund_amount_differs" if refund else "amount_differs"] += 1
    old = line.happened_at < NOW - CARRY
    if refund and coming and not told.done:
        found["refund_status_differs" if old else "crossing"] += 1
    elif moved != told.done and not coming:
        found["refund_status_differs" if refund else "status_differs"] += 1
    if refund and line.payment_number != told.ours.payment.number:  # type: ignore[union-attr]
        found["refund_of_other"] += 1
    if not refund and told.done and line.reference != known:
        found["reference_differs"] += 1
    if moved and off([line]) and (line.fee_milli or not refund) and not (refund and right_together(told)):
        found["fee_differs"] += 1
    return found


def off(lines: list[StatementLine]) -> bool:
    """Whether a fee is another than the contract's share of what was ordered, and of what a discount left of it."""
    kept = sum(line.fee_milli for line in lines) * 1000
    ordered = sum(line.amount_minor for line in lines)
    left = ordered - sum(line.discount_minor for line in lines)
    return abs(kept - ordered * 6000) > 500_000 and abs(kept - left * 6000) > 500_000


def right_together(told: Told) -> bool:
    """Whether the fees that went back with all refunds of the payment are right in sum."""
    counting = [min(part.lines, key=lambda one: (one.day, one.line_no)) for part in told.parts if part.lines]
    return not off([line for line in counting if line.status == "success"])


class Days:
    """Our books and the channel's days, made of what hypothesis drew."""

    def __init__(self) -> None:
        self.hand = Hand()
        self.lines: dict[date, list[StatementLine]] = {day: [] for day in DAYS}
        self.told: list[Told] = []
        self.late: list[tuple[int, Payment | Refund, datetime]] = []

    def happened(self, event: Any) -> None:
        (seconds, state, lines, revoked, recorded), back = event
        at = MIDNIGHT - timedelta(days=1) + timedelta(seconds=seconds)
        done = state == "succeeded"
        late = done and not back and recorded > 0
        state = "pending" if late else state
        unpaid = {"state": state, "outcome": "", "paid_at": None}
        payment = self.hand.pay(at, 10_000, **({} if done and not late else unpaid))
        if late:
            self.late.append((recorded, payment, at))
        revoked = revoked and not lines
        self.tell(Told("payment", payment.number, payment, done, revoked), lines, at)
        if revoked:
            undone = self.hand.of(
                payment, at, kind="refund", number="", amount_minor=-10_000, status="revoked"
            )
            self.lines[_day(at)].append(undone)
        parts: list[Told] = []
        for after, ended, lines, recorded in back if done else []:
            asked = at + timedelta(seconds=after)
            late = ended and recorded > 0
            refund = self.hand.refund(payment, asked, asked if ended and not late else None)
            if late:
                self.late.append((recorded, refund, asked))
            parts.append(Told("refund", refund.number, refund, ended, parts=parts))
            self.tell(parts[-1], lines, asked)

    def stray(self, seconds: int, kind: str) -> None:
        number = f"STRAY{len(self.told):08d}"
        at = MIDNIGHT - timedelta(days=1) + timedelta(seconds=seconds)
        minor = 500 if kind == "payment" else -500
        line = StatementLine(
            channel="alipay", kind=kind, number=number, payment_number=number, reference=number, amount_minor=minor,
            fee_milli=0, currency="CNY", status="success", happened_at=at,
        )  # fmt: skip
        self.lines[_day(at)].append(line)
        self.told.append(Told(kind, number, None, lines=[line]))

    def tell(self, told: Told, lines: list[Any], at: datetime) -> None:
        assert told.ours is not None
        self.told.append(told)
        for slip, change in lines:
            when = at + timedelta(seconds=slip)
            line = self.hand.of(told.ours, when)
            sign = 1 if told.kind == "payment" else -1
            line.amount_minor += sign * change.get("amount", 0)
            line.discount_minor = sign * change.get("discount", 0)
            of_what = line.amount_minor - (line.discount_minor if change.get("fee_of_rest") else 0)
            line.fee_milli = of_what * 6 + change.get("fee", 0)
            line.currency = change.get("currency", line.currency)
            line.reference = change.get("reference", line.reference)
            if told.kind == "refund":
                line.status = change.get("status", line.status)
                line.payment_number = change.get("of", line.payment_number)
            self.lines[_day(when)].append(line)
            told.lines.append(line)

    def load(self) -> None:
        for day in [*DAYS, TONIGHT]:
            self.hand.load(day, self.lines.get(day, []))

    def record(self, runs: int, now: datetime) -> None:
        """What we learn only after so many runs."""
        for after, thing, at in self.late:
            if after == runs and isinstance(thing, Payment):
                self.hand.succeed(thing, at, recorded=now)
            elif after == runs:
                self.hand.finish(thing, at, recorded=now)
            if after == runs:
                thing.refresh_from_db()

    def expected(self) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for told in self.told:
            for klass, times in oracle(told).items():
                if times:
                    found[klass, told.number] += times
        return found


def _day(at: datetime) -> date:
    return (at + timedelta(hours=8)).date()


def unsettled() -> Counter[tuple[str, str]]:
    rows = Discrepancy.objects.filter(state__in=["open", "carried"])
    return Counter(rows.values_list("klass", "number"))


@pytest.mark.django_db
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, strays=STRAYS, order=st.permutations(DAYS))
def test_the_sets_find_what_a_person_with_a_pencil_finds(
    events: list[Any], strays: list[Any], order: list[date]
) -> None:
    with transaction.atomic():
        days = Days()
        for event in events:
            days.happened(event)
        for stray in strays:
            days.stray(*stray)
        days.load()
        for runs, day in enumerate([*order, TONIGHT]):
            days.record(runs, NOW + timedelta(microseconds=runs))
            run.reconcile(channel="alipay", day=day, now=NOW + timedelta(microseconds=runs))
        assert unsettled() == days.expected()
        before = list(Discrepancy.objects.order_by("pk").values())
        for day in order[:2]:
            run.reconcile(channel="alipay", day=day, now=NOW)
        run.look_again(channel="alipay", day=DAYS[-1], now=NOW)
        assert list(Discrepancy.objects.order_by("pk").values()) == before
        transaction.set_rollback(True)
