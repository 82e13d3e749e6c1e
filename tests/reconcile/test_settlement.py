"""Funds statements: what the channel kept and what it sent to our bank leaves its clearing account, once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from operations.audit import books
from operations.audit.checks import Result
from operations.audit.run import audit
from payments.models import Discrepancy, Settlement, Statement, StatementLine
from payments.reconcile import due, run, settle
from tests.reconcile.conftest import DAY, MORNING_AFTER, later
from wallet import ledger

pytestmark = pytest.mark.django_db

Told = tuple[str, int, int]  # kind, fen, fee in thousandths of a fen
FUNDS: list[Told] = [("payment", 10_000, 0), ("fee", -60, 60_000), ("transfer", -9_000, 0)]


def statement(kind: str, lines: list[Told], at: datetime = MORNING_AFTER) -> Statement:
    made = Statement.objects.create(
        channel="alipay",
        kind=kind,
        day=DAY,
        currency="CNY",
        sha256=f"{len(lines)}{lines}"[:64],
        lines=len(lines),
        loaded_at=at,
    )
    facts: dict[str, Any] = {"channel": "alipay", "day": DAY, "currency": "CNY", "happened_at": at}
    StatementLine.objects.bulk_create(
        StatementLine(
            statement=made,
            line_no=nth,
            kind=what,
            number=f"P{nth}" if what == "payment" else "",
            amount_minor=minor,
            fee_milli=fee,
            status="success",
            **facts,
        )
        for nth, (what, minor, fee) in enumerate(lines, start=1)
    )
    return made


def book(now: datetime = MORNING_AFTER) -> None:
    settle.book(Statement.objects.get(kind="funds", replaced_by=None), now=now)


def stated() -> Result:
    (result,) = audit(now=later(1), checks=[books.SETTLEMENTS_ARE_STATED])
    return result


def replaced(old: Statement, lines: list[Told]) -> Statement:
    # As the loader does it: the old one learns its successor before that is there.
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('payments_statement_id_seq')")
        Statement.objects.filter(pk=old.pk).update(replaced_by_id=cursor.fetchone()[0] + 1)
    return statement(old.kind, lines)


def balances() -> dict[str, int]:
    codes = ("clearing:alipay:CNY", "channel_fee:alipay:CNY", "bank::CNY")
    return {code: ledger.balance(code) for code in codes}


def test_fees_and_transfers_leave_the_clearing_account_once() -> None:
    statement("funds", FUNDS)
    for _ in range(2):
        book()
    assert balances() == {
        "clearing:alipay:CNY": 9_060,
        "channel_fee:alipay:CNY": -60,
        "bank::CNY": -9_000,
    }
    assert Settlement.objects.count() == 2


def test_a_statement_that_replaces_another_books_the_difference() -> None:
    old = statement("funds", FUNDS)
    book()
    replaced(old, [("payment", 10_000, 0), ("fee", -50, 50_000)])
    book()
    assert balances() == {"clearing:alipay:CNY": 50, "channel_fee:alipay:CNY": -50, "bank::CNY": 0}
    assert Settlement.objects.count() == 4


def test_fees_told_inside_a_payment_are_settled_too() -> None:
    statement("funds", [("payment", 9_940, 60_000)])
    statement("trade", [("payment", 10_000, 60_000)])
    run.reconcile(channel="alipay", day=DAY, now=MORNING_AFTER)
    assert balances()["channel_fee:alipay:CNY"] == -60
    assert not Discrepancy.objects.filter(klass="funds_differ").exists()


def test_a_day_that_moved_other_sums_than_it_lists_is_a_discrepancy_until_it_agrees() -> None:
    funds = statement("funds", FUNDS)
    statement("trade", [("payment", 10_100, 60_600)])
    run.reconcile(channel="alipay", day=DAY, now=MORNING_AFTER)
    (found,) = Discrepancy.objects.filter(klass="funds_differ")
    assert (found.kind, found.ours_minor, found.theirs_minor, found.state) == (
        "payment",
        10_100,
        10_000,
        "open",
    )
    replaced(funds, [("payment", 10_100, 0), *FUNDS[1:]])
    run.reconcile(channel="alipay", day=DAY, now=later(0.1))
    found.refresh_from_db()
    assert (found.state, found.resolution) == ("resolved", "agrees")


def test_the_audit_knows_what_the_statement_that_counts_says() -> None:
    funds = statement("funds", FUNDS)
    statement("trade", [("payment", 10_000, 60_000)])
    run.reconcile(channel="alipay", day=DAY, now=MORNING_AFTER)
    replaced(funds, [("payment", 10_000, 0), ("fee", -50, 50_000)])
    assert stated().ok  # nobody has booked the newer one yet: it is due
    run.reconcile(channel="alipay", day=DAY, now=later(0.1))
    assert stated().ok
    Settlement.objects.create(
        key="by nobody",
        channel="alipay",
        day=DAY,
        kind="fee",
        statement=funds,
        amount_minor=7,
        currency="CNY",
        booked_at=later(0.2),
    )
    (violation,) = stated().violations
    assert violation.what == f"alipay {DAY} fee CNY"


def test_a_movement_of_no_known_kind_is_a_discrepancy() -> None:
    statement("funds", [("other", -500, 0)])
    statement("trade", [])
    run.reconcile(channel="alipay", day=DAY, now=MORNING_AFTER)
    assert list(Discrepancy.objects.values_list("klass", "kind", "theirs_minor")) == [
        ("funds_differ", "other", -500)
    ]


def test_a_funds_statement_that_comes_after_the_run_makes_the_day_due_again() -> None:
    statement("trade", [])
    assert due.due(limit=5) == [("alipay", DAY)]
    run.reconcile(channel="alipay", day=DAY, now=MORNING_AFTER)
    assert due.due(limit=5) == []
    statement("funds", FUNDS, at=later(0.2))
    assert due.due(limit=5) == [("alipay", DAY)]
    run.reconcile(channel="alipay", day=DAY, now=later(0.3))
    assert due.due(limit=5) == []
