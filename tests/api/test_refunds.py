"""Tickets given back over the API: for what was told, once a key; another buyer's order is not there."""

import pytest
from django.utils import timezone

from payments.models import Refund, RefundState
from tests.api.conftest import problem
from ticketing.models import Order, RefundPolicy, RefundRequest, Ticket, TicketState

pytestmark = pytest.mark.django_db
PRICE = 38_000


@pytest.fixture
def order(lin, pay, place):
    return pay(lin, place(lin, quantity=2)["number"])["purchase"]["number"]


def test_ask_give_back_and_look(lin, order, show):
    told = lin.get(f"/orders/{order}/refund-requests").json()
    assert (told["refusal"], told["items"]) == ("", [])
    assert [one["back"]["amount"] for one in told["tickets"]] == [PRICE, PRICE]
    ticket = told["tickets"][0]["ticket"]
    body = {"tickets": [ticket], "back": PRICE}
    answer = lin.post(f"/orders/{order}/refund-requests", body, key="k1")
    assert answer.status_code == 201, answer.content
    given = answer.json()
    assert (given["tickets"], given["amount"]["amount"], given["kept"]["amount"]) == ([ticket], PRICE, 0)
    assert given["refund"]["state"] == "requested"
    again = lin.post(f"/orders/{order}/refund-requests", body, key="k1")
    assert (again.status_code, again.json()) == (201, given)
    assert Refund.objects.count() == 1
    after = lin.get(f"/orders/{order}/refund-requests").json()
    assert [one["tickets"] for one in after["items"]] == [[ticket]]
    assert len(after["tickets"]) == 1
    assert lin.get(f"/tickets/{ticket}").json()["state"] == "void"
    assert len(lin.get(f"/orders/{order}").json()["seats"]) == 1


def test_what_is_refused_changes_nothing(lin, mei, order, place, pay):
    address, ticket = f"/orders/{order}/refund-requests", Ticket.objects.first().number
    problem(mei.get(address), 404, "not_found")
    problem(mei.post(address, {"tickets": [ticket], "back": PRICE}), 404, "not_found")
    problem(lin.post(address, {"tickets": [ticket], "back": PRICE}, key=None), 400, "idempotency_key_missing")
    changed = problem(lin.post(address, {"tickets": [ticket], "back": 1}), 409, "refund_terms_changed")
    assert changed["back"]["amount"] == PRICE
    refused = problem(lin.post(address, {"tickets": ["TNOBODYS"], "back": 0}), 409, "not_refundable")
    assert refused["reason"] == "no_such_ticket"
    for body in ({}, {"tickets": [], "back": 0}, {"tickets": ticket, "back": 0}, {"tickets": [ticket]}):
        problem(lin.post(address, body), 400, "invalid")
    for bad in (-1, "1", 1.5, None, True):
        problem(lin.post(address, {"tickets": [ticket], "back": bad}), 400, "invalid")
    held = place(lin)["number"]
    assert lin.get(f"/orders/{held}/refund-requests").json()["refusal"] == "not_paid"
    unpaid = lin.post(f"/orders/{held}/refund-requests", {"tickets": [ticket], "back": PRICE})
    assert problem(unpaid, 409, "not_refundable")["reason"] == "not_paid"
    assert not RefundRequest.objects.exists()
    assert not Ticket.objects.exclude(state=TicketState.VALID).exists()


def test_another_body_by_the_same_key(lin, order):
    address = f"/orders/{order}/refund-requests"
    mine = [one["ticket"] for one in lin.get(address).json()["tickets"]]
    assert lin.post(address, {"tickets": mine[:1], "back": PRICE}, key="k").status_code == 201
    other = lin.post(address, {"tickets": mine[1:], "back": PRICE}, key="k")
    problem(other, 422, "idempotency_key_reused")


def test_scopes(program, order):
    reader = program("lin", scopes=["orders:read"])
    assert reader.get(f"/orders/{order}/refund-requests").status_code == 200
    answer = reader.post(f"/orders/{order}/refund-requests", {"tickets": ["T"], "back": 0})
    problem(answer, 403, "scope_missing")


def test_the_rule_is_published(stranger, show):
    rule = stranger.get(f"/shows/{show.code}/refund-rule", **{"Accept-Language": "en"}).json()
    assert [step["percent_back"] for step in rule["steps"]] == [100, 80, 50]
    assert "100%" in rule["text"][0]
    assert stranger.get("/shows/nowhere/refund-rule").status_code == 404


def test_no_rule_is_said_too(stranger, show):
    RefundPolicy.objects.all().delete()
    assert stranger.get(f"/shows/{show.code}/refund-rule").json()["steps"] == []


def test_into_the_wallet_only_when_it_is_offered(lin, mei, order):
    ticket = Ticket.objects.first().number
    given = lin.post(f"/orders/{order}/refund-requests", {"tickets": [ticket], "back": PRICE}).json()
    number = given["refund"]["number"]
    address = f"/orders/{order}/refunds/{number}/to-wallet"
    problem(lin.post(address), 409, "refund_not_offered")
    # As if it had been paid at a channel that refused.
    payment = Refund.objects.get(number=number).payment
    type(payment).objects.filter(pk=payment.pk).update(channel="alipay")
    Refund.objects.filter(number=number).update(state=RefundState.REFUSED, offered_at=timezone.now())
    problem(mei.post(address), 404, "not_found")
    problem(lin.post(f"/orders/{order}/refunds/RNOBODYS/to-wallet"), 404, "not_found")
    taken = lin.post(address, key="w").json()
    assert (taken["state"], taken["destination"], taken["wallet_offer"]) == ("redirected", "wallet", False)
    assert lin.post(address, key="w").json() == taken
    assert Order.objects.get(number=order).state == "paid"
