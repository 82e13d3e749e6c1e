"""Disputes: filed once however often they are told, decided once with a reason, on the page and over the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import User
from operations import seeding
from payments import disputes
from payments.dispute_models import Dispute, DisputeState
from payments.models import Payment
from tests.conftest import Clock


@pytest.fixture
def payment(show: Any, clock: Clock) -> Payment:
    seeding.seed_sold(show=show, seats=4, now=clock())
    found = Payment.objects.first()
    assert found is not None
    return found


@pytest.fixture
def clerk() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("risk-clerk", is_staff=True))
    return client


def may(client: Client, *rights: str) -> None:
    user = User.objects.get(handle="risk-clerk")
    user.user_permissions.add(*Permission.objects.filter(codename__in=rights))


def filed(payment: Payment, clock: Clock, **other: Any) -> Dispute:
    told: dict[str, Any] = {
        "payment_number": payment.number, "kind": "chargeback", "source": "alipay", "reference": "C1",
        "actor": "alipay", "opened_at": clock(), "now": clock(),
    }  # fmt: skip
    return disputes.file(**told | other)


def test_told_twice_is_filed_once(payment: Payment, clock: Clock) -> None:
    first = filed(payment, clock)
    assert filed(payment, clock, note="again") == first
    assert (Dispute.objects.count(), first.amount_minor, first.state) == (1, payment.amount_minor, "open")
    with pytest.raises(disputes.FiledOtherwise):
        filed(payment, clock, kind="fraud")
    assert filed(payment, clock, source="wechat") != first


def test_what_cannot_be_disputed_is_refused(payment: Payment, clock: Clock) -> None:
    for amount in (0, -1, payment.amount_minor + 1):
        with pytest.raises(disputes.MoreThanPaid):
            filed(payment, clock, amount_minor=amount)
    with pytest.raises(disputes.NotPaid):
        filed(payment, clock, payment_number="P0NOBODY")
    assert not Dispute.objects.exists()


def test_it_is_decided_once_with_a_reason(payment: Payment, clock: Clock) -> None:
    one = filed(payment, clock)
    with pytest.raises(disputes.NoReason):
        disputes.decide(dispute_id=one.pk, upheld=True, actor="mei", reason=" ", now=clock())
    done = disputes.decide(
        dispute_id=one.pk, upheld=False, actor="mei", reason="was at the gate", now=clock()
    )
    assert (done.state, done.decided_by) == (DisputeState.DISMISSED, "mei")
    with pytest.raises(disputes.DecidedBefore):
        disputes.decide(dispute_id=one.pk, upheld=True, actor="bo", reason="no", now=clock())


def test_staff_file_and_decide_on_the_pages(payment: Payment, clerk: Client) -> None:
    form = {"payment_number": payment.number, "kind": "complaint", "source": "staff", "reference": "letter 7"}
    address = reverse("admin:payments_dispute_file")
    may(clerk, "view_dispute")
    assert clerk.post(address, form).status_code == 403
    may(clerk, "add_dispute", "change_dispute")
    refused = clerk.post(address, {**form, "payment_number": "P0NOBODY"})
    assert refused.status_code == 200
    assert not Dispute.objects.exists()
    assert clerk.post(address, {**form, "yuan": "1.50"}).status_code == 302
    one = Dispute.objects.get()
    assert (one.amount_minor, one.filed_by) == (150, "risk-clerk")
    page = reverse("admin:payments_dispute_change", args=[one.pk])
    assert 'name="upheld"' in clerk.get(page).content.decode()
    decide = reverse("admin:payments_dispute_decide", args=[one.pk])
    clerk.post(decide, {"upheld": "1", "reason": "no such show"})
    one.refresh_from_db()
    assert (one.state, one.decided_by) == ("upheld", "risk-clerk")
    assert 'name="upheld"' not in clerk.get(page).content.decode()


def test_a_program_of_the_staff_files_over_the_api(payment: Payment, clerk: Client) -> None:
    sent = {"payment": payment.number, "objection": "fraud", "told_by": "wechat", "reference": "W-1"}

    def post(address: str, body: dict[str, Any]) -> Any:
        return clerk.post(f"/api/v1/desk/disputes{address}", body, content_type="application/json")

    assert post("", sent).status_code == 403
    may(clerk, "view_case", "add_dispute", "change_dispute")
    answer = post("", sent)
    assert answer.status_code == 201, answer.content
    assert post("", sent).json()["id"] == answer.json()["id"]
    assert post("", {**sent, "objection": "complaint"}).json()["code"] == "filed_otherwise"
    assert post("", {**sent, "payment": "P0NOBODY"}).json()["code"] == "not_paid"
    decision = f"/{answer.json()['id']}/decide"
    assert post(decision, {"upheld": True, "reason": "a stolen phone"}).json()["state"] == "upheld"
    assert post("/9999/decide", {"upheld": True, "reason": "x"}).json()["code"] == "no_such_dispute"
    assert post(decision, {"upheld": True, "reason": "again"}).json()["code"] == "decided_before"
