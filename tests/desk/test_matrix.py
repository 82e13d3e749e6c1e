"""The matrix has no cell without a meaning, the page says what the code says, and no history lands outside of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from desk import matrix, types
from payments.channels import registry
from payments.models import Payment, Refund
from tests.conftest import Clock
from tests.races.test_histories import Histories
from ticketing.models import Order

ROOT = Path(__file__).resolve().parents[2]


def test_every_cell_has_a_meaning_and_every_case_in_it_a_type():
    cells = list(matrix.cells())
    assert len(cells) == len(matrix.ORDERS) * len(matrix.PAYMENTS) * len(matrix.REFUNDS)
    for cell in cells:
        found = matrix.meaning(*cell)
        assert found.why, cell
        assert (found.kind in types.TYPES) == (found.verdict != matrix.OK), cell


def test_no_rule_is_in_vain():
    used = {next(rule for rule in matrix.RULES if rule.fits(*cell)) for cell in matrix.cells()}
    assert [rule.meaning.why for rule in matrix.RULES if rule not in used] == []


def test_the_page_says_what_the_code_says():
    done = subprocess.run(
        [sys.executable, "scripts/list-matrix", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def outside() -> list[str]:
    """Orders in a cell that no flow of the product may lead to, by the matrix and by the detector, which agree."""
    states = dict(Order.objects.values_list("number", "state"))
    refunds: dict[int, list[Refund]] = {}
    for refund in Refund.objects.all():
        refunds.setdefault(refund.payment_id, []).append(refund)
    wrong = []
    for payment in Payment.objects.filter(purchase_kind="order"):
        cell = (
            states[payment.purchase_number],
            matrix.payment_class(payment.state, payment.outcome),
            matrix.refund_class(refunds.get(payment.pk, []), payment.amount_minor),
        )
        if matrix.meaning(*cell).kind == matrix.INCONSISTENT:
            wrong.append(f"{payment.number}: {' × '.join(cell)}")
    with connection.cursor() as cursor:
        cursor.execute(matrix.DETECTOR)
        wrong += [f"{row[0]}: {row[8]}" for row in cursor.fetchall()]
    return wrong


class InsideTheMatrix(Histories):
    @invariant()
    def every_order_has_a_place(self) -> None:
        if hasattr(self, "orders"):
            assert outside() == []


@pytest.fixture
def clock() -> Clock:
    """The histories' own time, not the channels'."""
    return Clock()


@pytest.mark.django_db
def test_random_histories_never_land_outside(show, buyer, monkeypatch):
    Histories.show = show
    Histories.people = [buyer("lin", cash=400_000), buyer("mei", cash=200_000, bonus=150_000), buyer("bo")]
    monkeypatch.setattr(registry, "_channels", registry._channels)
    run_state_machine_as_test(
        InsideTheMatrix,
        settings=settings(
            max_examples=8,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
