"""The staff's pages of reconciliation: what was found, where, and what it is about."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from payments.models import Discrepancy, ReconcileRun
from payments.reconcile import run
from tests.reconcile.conftest import DAY, MORNING_AFTER
from tests.reconcile.hand import Hand

NOON = datetime(2026, 11, 19, 4, tzinfo=UTC)


@pytest.fixture
def staff(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("boss", "a long enough password"))
    client.cookies["django_language"] = "en"
    return client


def test_the_pages_lead_from_the_run_to_the_payment(staff: Client) -> None:
    hand = Hand()
    paid = [hand.pay(NOON) for _ in range(30)]
    hand.load(DAY, [hand.of(one, NOON, amount_minor=9_000, fee_milli=1) for one in paid])
    run.reconcile(channel="alipay", day=DAY, now=MORNING_AFTER)
    runs = staff.get(reverse("admin:payments_reconcilerun_changelist")).content.decode()
    assert "amount differs: 30" in runs
    assert "klass=amount_differs" in runs
    where = reverse("admin:payments_discrepancy_changelist")
    query = {"klass": "amount_differs", "channel": "alipay", "day": DAY.isoformat()}
    with CaptureQueriesContext(connection) as asked:
        listed = staff.get(where, query).content.decode()
    assert len(asked) <= 12
    assert paid[0].number in listed
    assert "¥100.00" in listed
    assert "¥90.00" in listed
    found = Discrepancy.objects.filter(klass="fee_differs").first()
    assert found is not None
    page = staff.get(reverse("admin:payments_discrepancy_change", args=[found.pk])).content.decode()
    assert "taken 0.00001, by contract 0.54000" in page
    assert reverse("admin:payments_payment_change", args=[found.payment_id]) in page
    only = ReconcileRun.objects.get()
    assert staff.get(reverse("admin:payments_reconcilerun_change", args=[only.pk])).status_code == 200
    assert staff.get(reverse("admin:payments_discrepancy_add")).status_code == 403
