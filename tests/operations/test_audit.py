"""The audit finds nothing where all is well, and finds each thing that is broken on purpose, by name."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from operations import audit, seeding
from operations.audit import report
from operations.audit.checks import LISTED
from tests.operations.breaks import BREAKS
from tests.operations.broken import Break
from tests.operations.scene import Scene


def ask(scene: Scene) -> dict[str, audit.Result]:
    return {result.check.name: result for result in audit.audit(now=scene.now)}


def test_a_sale_in_which_everything_has_happened_is_clean(scene: Scene, undone: None) -> None:
    scene.has_every_state()
    results = ask(scene)
    assert {name: result.violations for name, result in results.items() if not result.ok} == {}
    # A check that looked at nothing has shown nothing.
    assert [name for name, result in results.items() if result.checked == 0] == []


def test_every_check_has_a_breaking_test() -> None:
    names = [check.name for check in audit.ALL]
    assert len(names) == len(set(names))
    assert {each.check for each in BREAKS} == set(names)
    assert {check.invariant for check in audit.ALL} == set(range(1, 8))


@pytest.mark.parametrize("each", BREAKS, ids=[f"{each.check} {each.how}" for each in BREAKS])
def test_it_is_caught_by_name(each: Break, scene: Scene, undone: None) -> None:
    with connection.cursor() as cursor:
        # No trigger and no foreign key fires: this is what only a superuser with a bad day can do.
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table, constraint in each.without:
            kind = "INDEX" if constraint.startswith("!") else ""
            cursor.execute(
                f"DROP INDEX {constraint[1:]}"
                if kind
                else f"ALTER TABLE {table} DROP CONSTRAINT {constraint}"
            )
        cursor.execute(each.sql, names_in(scene))
        assert cursor.rowcount > 0, "nothing was broken"
    results = ask(scene)
    failed = {name for name, result in results.items() if not result.ok}
    assert failed == {each.check, *each.also}
    found = results[each.check]
    assert found.found == len(found.violations) == each.violations
    named = names_in(scene)[each.names] if each.names else ""
    assert any(named in violation.what for violation in found.violations)
    assert all(violation.why for violation in found.violations)


def names_in(scene: Scene) -> dict[str, Any]:
    """Every number of the scene by its name, for the statements that break it."""
    return {
        **{f"o_{name}": order.number for name, order in scene.orders.items()},
        **{f"p_{name}": payment.number for name, payment in scene.payments.items()},
        **{f"r_{name}": refund.number for name, refund in scene.refunds.items()},
        **{f"t_{name}": topup.number for name, topup in scene.topups.items()},
        "long_ago": scene.now - timedelta(minutes=10),
    }


def test_violations_are_listed_up_to_a_bound_and_counted_beyond(scene: Scene, undone: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ticketing_allowance SET taken = taken + 1")
        for n in range(LISTED):
            cursor.execute(
                "INSERT INTO payments_outboxmessage (key, kind, payload, due_at, attempts, last_error, created_at)"
                " VALUES (%s, 'x', '{}', %s, 0, '', %s)",
                [f"m{n:02d}", scene.now - timedelta(hours=1), scene.now],
            )
        cursor.execute(
            "INSERT INTO payments_outboxmessage (key, kind, payload, due_at, attempts, last_error, created_at)"
            " VALUES ('zz', 'x', '{}', %s, 0, '', %s)",
            [scene.now - timedelta(hours=1), scene.now],
        )
    told = report.as_json(list(ask(scene).values()))
    assert told["ok"] is False
    moving = next(check for check in told["checks"] if check["name"] == "7.messages_move")
    assert set(moving) == {"name", "ok", "checked", "violations"}
    assert len(moving["violations"]) == LISTED + 1
    assert moving["violations"][-1]["total"] == LISTED + 1


def test_the_grace_forgives_what_is_only_just_due(scene: Scene, undone: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE ticketing_order SET hold_until = %s WHERE number = %s",
            [scene.now - timedelta(seconds=60), scene.orders["held"].number],
        )
    assert ask(scene)["7.open_orders_end"].ok
    strict = audit.audit(now=scene.now, grace=timedelta(seconds=30))
    assert [result.check.name for result in strict if not result.ok] == ["7.open_orders_end"]


def run(*arguments: str) -> tuple[int, str]:
    told, code = StringIO(), 0
    try:
        call_command("audit", *arguments, stdout=told)
    except SystemExit as ended:
        code = int(str(ended.code))
    return code, told.getvalue()


@pytest.mark.django_db
def test_the_command_says_it_as_json_and_by_its_exit_code(clock: Callable[[], Any]) -> None:
    show = seeding.seed_show(code="tiny", now=clock(), rows_per_section=1)
    seeding.seed_sold(show=show, seats=300, now=clock())
    code, told = run("--json")
    assert code == 0
    answer = json.loads(told)
    assert set(answer) == {"ok", "checks"}
    assert answer["ok"] is True
    assert len(answer["checks"]) == len(audit.ALL)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ticketing_allowance SET taken = 0")
    code, told = run("--json")
    assert (code, json.loads(told)["ok"]) == (1, False)
    code, told = run()
    assert code == 1
    assert "WRONG" in told
    assert "more: " in told


@pytest.mark.django_db(transaction=True)
def test_it_sees_one_moment_of_a_sale_that_goes_on(clock: Callable[[], Any]) -> None:
    show = seeding.seed_show(code="tiny", now=clock(), rows_per_section=1)
    seeding.seed_sold(show=show, seats=100, now=clock())
    heard: list[str] = []

    def sell_more() -> None:
        seeding.seed_sold(show=show, seats=200, now=clock(), buyers=seeding.seed_buyers(300, now=clock()))
        connection.close()

    def told(result: audit.Result) -> None:
        if not heard:
            seller = threading.Thread(target=sell_more)
            seller.start()
            seller.join()
        heard.append(result.check.name)

    results = {result.check.name: result for result in audit.audit(now=clock(), told=told)}
    assert [name for name, result in results.items() if not result.ok] == []
    assert results["3.tickets_are_paid_for"].checked == 100
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SHOW transaction_read_only")
        assert cursor.fetchone() == ("off",), "what the audit set ended with its transaction"
    assert {r.check.name: r.checked for r in audit.audit(now=clock())}["3.tickets_are_paid_for"] == 200
