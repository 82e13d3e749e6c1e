"""The matrix has no cell without a meaning, the page says what the code says, and no history lands outside of it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from desk import cells, types
from desk.matrix import DETECTOR, MATRICES
from payments import outbox, purchases, strays
from payments.channels import registry
from payments.models import Payment, Refund
from tests.conftest import Clock
from tests.races.test_histories import Histories
from ticketing.models import Order
from wallet.models import TopUp

ROOT = Path(__file__).resolve().parents[2]


def test_everything_that_can_be_paid_has_a_matrix():
    """What a channel took under a number of nobody's (payments.strays) is no purchase: it has no state of its own."""
    assert set(purchases._handlers) - {strays.STRAY} == set(MATRICES)


@pytest.mark.parametrize("kind", MATRICES)
def test_every_cell_has_a_meaning_and_every_case_in_it_a_type(kind):
    matrix = MATRICES[kind]
    found = {cell: matrix.meaning(*cell) for cell in matrix.cells()}
    assert len(found) == len(matrix.states) * len(cells.PAYMENTS) * len(cells.REFUNDS)
    for cell, meaning in found.items():
        assert meaning.why, cell
        assert (meaning.kind in types.TYPES) == (meaning.verdict != cells.OK), cell


@pytest.mark.parametrize("kind", MATRICES)
def test_no_rule_is_in_vain(kind):
    matrix = MATRICES[kind]
    used = {next(rule for rule in matrix.rules if rule.fits(*cell)) for cell in matrix.cells()}
    assert [rule.meaning.why for rule in matrix.rules if rule not in used] == []


def test_the_page_says_what_the_code_says():
    done = subprocess.run(
        [sys.executable, "scripts/list-matrix", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.django_db
def test_the_detector_finds_exactly_the_cells_that_no_flow_leads_to():
    """Every cell of a top-up, put down by hand."""
    now, matrix, wanted = datetime.now(UTC), MATRICES["topup"], set()
    for nth, cell in enumerate(matrix.cells()):
        number = f"T{nth:019d}"
        in_a_cell(number, *cell, now=now)
        if matrix.meaning(*cell).kind == cells.INCONSISTENT:
            wanted.add(number)
    with connection.cursor() as cursor:
        cursor.execute(DETECTOR)
        found = {row[0]: row[8] for row in cursor.fetchall()}
    assert set(found) == wanted


def in_a_cell(number: str, state: str, word: str, refund: str, *, now: datetime) -> None:
    """A top-up in this state with one payment and its refunds, driven by messages; if it is credited, paid by one."""
    TopUp.objects.create(
        number=number, buyer_id=1, client_key=number, amount_minor=1000, currency="CNY", state=state,
        created_at=now, payable_until=now,
    )  # fmt: skip
    payment = a_payment(number, word, now=now, amount_minor=1000)
    if refund != cells.NONE:
        done = refund in (cells.PART, cells.FULL)
        Refund.objects.create(
            number=f"R{payment.number}", payment=payment, key=number, currency="CNY", reason="asked",
            amount_minor=400 if refund == cells.PART else 1000, created_at=now,
            state="succeeded" if done else refund, refunded_at=now if done else None,
            destination="wallet" if refund == "redirected" else "origin",
        )  # fmt: skip
        outbox.put("refund.drive", key=f"refund:R{payment.number}", payload={}, due_at=now, now=now)
    if state == "credited" and word != "won":
        a_payment(number, "won", now=now, amount_minor=1000)


def a_payment(purchase: str, word: str, *, now: datetime, amount_minor: int) -> Payment:
    success = word in cells.SUCCESSES
    number = f"P{Payment.objects.count():019d}"
    outbox.put("payment.chase", key=f"chase:{number}", payload={}, due_at=now, now=now)
    return Payment.objects.create(
        number=number, purchase_kind="topup", purchase_number=purchase, buyer_id=1, channel="alipay",
        amount_minor=amount_minor, currency="CNY", subject="x", created_at=now, expires_at=now,
        state="succeeded" if success else word, outcome=word if success else "", paid_at=now if success else None,
    )  # fmt: skip


def outside() -> list[str]:
    """Purchases in a cell that no flow of the product may lead to, by the matrix and by the detector, which agree."""
    states = {
        "order": dict(Order.objects.values_list("number", "state")),
        "topup": dict(TopUp.objects.values_list("number", "state")),
    }
    refunds: dict[int, list[Refund]] = {}
    for refund in Refund.objects.all():
        refunds.setdefault(refund.payment_id, []).append(refund)
    wrong = []
    for payment in Payment.objects.all():
        cell = (
            states[payment.purchase_kind][payment.purchase_number],
            cells.payment_class(payment.state, payment.outcome),
            cells.refund_class(refunds.get(payment.pk, []), payment.amount_minor),
        )
        if MATRICES[payment.purchase_kind].meaning(*cell).kind == cells.INCONSISTENT:
            wrong.append(f"{payment.number}: {' × '.join(cell)}")
    with connection.cursor() as cursor:
        cursor.execute(DETECTOR)
        wrong += [f"{row[0]}: {row[8]}" for row in cursor.fetchall()]
    return wrong


class InsideTheMatrix(Histories):
    @invariant()
    def every_purchase_has_a_place(self) -> None:
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
