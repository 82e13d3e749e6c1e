"""Cases from statements: real sales, a channel's statement that says something else, reconciled, resolved, clean."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from desk import statement_types, types
from payments import outbox
from payments.models import Discrepancy, OutboxMessage
from payments.reconcile import run
from payments.reconcile_models import Klass
from payments.statement_models import StatementLine
from payments.statements import fetch
from tests.reconcile.hand import Hand


@pytest.fixture
def statement(desk, settings, tmp_path):
    """`statement(payment, "agrees", changed…)`: the day's statement with one line, compared."""
    settings.STATEMENTS_DIR = tmp_path
    hand = Hand()

    def compare(*lines: StatementLine, days: int = 0) -> None:
        day = timezone.localtime(desk.clock.now).date()
        hand.load(day, lines)
        run.reconcile(channel="alipay", day=day, now=desk.clock() + timedelta(days=1))
        for more in range(1, days + 1):
            hand.load(day + timedelta(days=more), [])
            run.reconcile(
                channel="alipay", day=day + timedelta(days=more), now=desk.clock() + timedelta(days=more + 1)
            )

    compare.hand = hand  # type: ignore[attr-defined]
    return compare


def line(statement, payment, desk, **changed):
    return statement.hand.of(payment, desk.clock.now, **{"reference": payment.channel_reference} | changed)


def test_statement_differs(paid, statement, desk):
    _order, payment = paid()
    statement(line(statement, payment, desk, amount_minor=payment.amount_minor + 1))
    case = desk.one("statement_differs")
    assert (case.facts["class"], case.amount_minor, case.payment_number) == (
        "amount_differs",
        1,
        payment.number,
    )
    shown = desk.preview(case, "explain_difference")
    assert [(m.kind, m.before, m.after) for m in shown.moves] == [("discrepancy", "open", "explained")]
    desk.resolve(case, "explain_difference")
    found = Discrepancy.objects.get()
    assert (found.state, found.resolved_by, found.resolution) == ("explained", "staff:mei", "explained")
    statement(line(statement, payment, desk, amount_minor=payment.amount_minor + 1))
    desk.ends_clean(case)  # running it again opens nothing again


def test_statement_missing_here(paid, statement, desk):
    _order, payment = paid()
    stray = {"number": "PSTRAY00000000000001", "payment_number": "PSTRAY00000000000001", "reference": "c9"}
    statement(line(statement, payment, desk), line(statement, payment, desk, **stray))
    case = desk.one("statement_missing_here")
    assert case.amount_minor == payment.amount_minor
    desk.resolve(case, "set_right")
    desk.ends_clean(case)


def test_statement_missing_there(paid, statement, desk):
    _order, payment = paid()
    statement(days=3)
    case = desk.one("statement_missing_there")
    assert case.payment_number == payment.number
    desk.resolve(case, "explain_difference")
    desk.ends_clean(case)


def test_statement_status(till, buyer, statement, desk, pass_time):
    payment = till.press(till.order(buyer("lin")), "alipay")
    till.pay_at_channel(payment)
    statement(line(statement, payment, desk, reference="c1"))
    case = desk.one("statement_status")
    assert case.suggested == "ask_channel"
    desk.resolve(case, "ask_channel")
    payment.refresh_from_db()
    assert payment.state == "succeeded"
    statement(line(statement, payment, desk, reference=payment.channel_reference))
    desk.ends_clean(case)


def test_statement_ledger(paid, statement, desk):
    """The entry of a payment is lost, as after a bad restore; no step of the product forgets one."""
    _order, payment = paid()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM wallet_posting p USING wallet_journalentry e WHERE e.id = entry_id")
        cursor.execute("DELETE FROM wallet_journalentry")
        cursor.execute("SET LOCAL session_replication_role = origin")
    statement(line(statement, payment, desk))
    case = desk.one("statement_ledger")
    assert [check.code for check in desk.preview(case, "set_right").checks if not check.holds] == [
        "payments_are_booked"
    ]
    shown = desk.preview(case, "book_missing")
    assert (shown.needs_two, shown.holds, shown.moved_minor) == (True, True, payment.amount_minor)
    desk.resolve(case, "book_missing")
    statement(line(statement, payment, desk))
    desk.ends_clean(case)


@pytest.fixture
def asked(desk):
    """`asked(why)`: yesterday's statement of Alipay was asked for in the morning, and did not come."""

    def ask(why: str) -> OutboxMessage:
        day = timezone.localtime(desk.clock.now).date() - timedelta(days=1)
        desk.clock.now = fetch._on_next_day(day, fetch.ASK_FROM)
        about = {"channel": "alipay", "kind": "trade", "day": day.isoformat()}
        now = desk.clock()
        key = f"statement:alipay:trade:{day}"
        outbox.put("statement.fetch", key=key, payload=about, due_at=now, now=now)
        OutboxMessage.objects.filter(key=key).update(
            last_error=why, attempts=1, due_at=now + timedelta(minutes=5)
        )
        desk.clock.advance(minutes=1)
        return OutboxMessage.objects.get(key=key)

    return ask


def test_statement_late(asked, statement, desk):
    message = asked("NotFetched: not ready: STATEMENT_CREATING")
    assert desk.look() == []
    desk.clock.advance(hours=2)
    case = desk.one("statement_late")
    assert (case.subject, case.channel, case.queue) == (message.key, "alipay", "finance")
    assert case.facts["error"].endswith("STATEMENT_CREATING")
    OutboxMessage.objects.update(done_at=desk.clock())  # given up: a case all the same
    assert desk.one("statement_late") == case
    desk.resolve(case, "ask_statement")
    message.refresh_from_db()
    assert (message.done_at, message.attempts, message.due_at) == (None, 0, desk.clock.now)
    assert desk.round().resolved == 0  # nobody asks again by himself: that is what the schedule is for
    statement.hand.load(
        timezone.localtime(desk.clock.now).date() - timedelta(days=1), []
    )  # somebody uploads it
    desk.ends_clean(case)


def test_statement_refused(asked, statement, desk):
    message = asked("Spoilt: line 8: totals: 3.0 ≠ 2")
    case = desk.one("statement_refused")
    assert case.facts["error"] == message.last_error
    day = timezone.localtime(desk.clock.now).date() - timedelta(days=1)
    statement.hand.load(day, [], covers=["payment"])
    assert desk.one("statement_refused") == case  # half of it is not enough
    desk.resolve(case, "ask_statement")
    statement.hand.load(day, [])
    desk.ends_clean(case)


def test_every_class_of_discrepancy_belongs_to_a_type():
    covered = [name for one in statement_types.ALL for name in one.parameters["classes"]]
    assert sorted(covered) == sorted(str(klass) for klass in Klass)
    assert {one.code for one in statement_types.ALL} <= set(types.TYPES)
