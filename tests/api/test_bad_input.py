"""Bad bodies: 400 with the member named, and nothing changed."""

import json

import pytest
from django.test import Client

from payments.models import Payment
from tests.api.conftest import problem, token_for
from ticketing.models import Order, OrderState, Seat, SeatState
from wallet.models import TopUp

pytestmark = pytest.mark.django_db

WRONG_TEXTS = [None, 1, 1.5, True, [], ["UPPER"], {}, "", " ", "a\0b", "东" * 600]
WRONG_INTEGERS = ["1", 1.0, 1.5, True, None, [], {}, "", "一"]
BIG = 10**40


def pointers(answer):
    return {fault["pointer"] for fault in problem(answer, 400, "invalid")["errors"]}


@pytest.fixture
def nothing_changed(show, lin, place):
    """One order and one top-up before, the same after."""
    order = place(lin)
    topup = lin.post("/wallet/topups", {"amount": 500}).json()
    yield order, topup
    assert list(Order.objects.values_list("number", "state")) == [(order["number"], OrderState.HELD)]
    assert list(TopUp.objects.values_list("number", "state")) == [(topup["number"], "open")]
    assert not Payment.objects.exists()
    assert Seat.objects.exclude(state=SeatState.FREE).count() == 1
    assert lin.get("/wallet").json()["cash"]["amount"] == 200_000


def test_members_of_an_order(nothing_changed, show, lin):
    good = {"show": show.code, "tier": "UPPER", "quantity": 1}
    table = [("show", value) for value in WRONG_TEXTS]
    table += [("tier", value) for value in [*WRONG_TEXTS, "M" * 13]]
    table += [("quantity", value) for value in WRONG_INTEGERS]
    table += [("accept_equal_seats", value) for value in [None, 0, 1, "true", "yes", [], {}]]
    for member, value in table:
        assert pointers(lin.post("/orders", good | {member: value})) == {f"/{member}"}, (member, value)
    for member in ("show", "tier", "quantity"):
        left = {name: value for name, value in good.items() if name != member}
        assert pointers(lin.post("/orders", left)) == {f"/{member}"}
    assert pointers(lin.post("/orders", {})) == {"/show", "/tier"}
    assert pointers(lin.post("/orders", good | {"quantitty": 2, "ring/1": 1})) == {"/quantitty", "/ring~11"}


def test_seats_of_an_order(nothing_changed, show, lin):
    good = {"show": show.code, "tier": "UPPER"}
    for value in (None, "1", 5, {}, []):
        assert pointers(lin.post("/orders", good | {"seats": value})) == {"/seats"}, value
    for value in ("1", 1.0, True, None, -1, 0, BIG, [1]):
        assert pointers(lin.post("/orders", good | {"seats": [1, value]})) == {"/seats/1"}, value
    assert pointers(lin.post("/orders", good | {"seats": list(range(1, 200))})) == {"/seats"}
    assert pointers(lin.post("/orders", good | {"seats": [1], "quantity": 1})) == {"/quantity"}


def test_members_of_a_payment(nothing_changed, lin):
    order, topup = nothing_changed
    good = {"order": order["number"], "channel": "wallet", "token": token_for(lin, order["number"])}
    table = [("order", value) for value in [*WRONG_TEXTS, "K" * 33]]
    table += [("channel", value) for value in [*WRONG_TEXTS, "bitcoin", "\u202e"]]
    table += [("token", value) for value in [None, 1, True, [], {}, "", "a\0b", "x" * 513]]
    for member, value in table:
        assert pointers(lin.post("/payments", good | {member: value})) == {f"/{member}"}, (member, value)
    for member in good:
        left = {name: value for name, value in good.items() if name != member}
        assert pointers(lin.post("/payments", left)) == {f"/{member}"}
    assert pointers(lin.post("/payments", good | {"topup": topup["number"]})) == {"/order"}
    assert pointers(lin.post("/payments", good | {"amount": 1})) == {"/amount"}


def test_members_of_a_topup(nothing_changed, lin):
    for value in [*WRONG_INTEGERS, 0, -5, BIG, -BIG]:
        assert pointers(lin.post("/wallet/topups", {"amount": value})) == {"/amount"}, value
    assert pointers(lin.post("/wallet/topups", {})) == {"/amount"}
    assert pointers(lin.post("/wallet/topups", {"amount": 100, "currency": "USD"})) == {"/currency"}


BODIES = [
    b"{",
    b"{'show': 1}",
    b'{"amount": 1}}',
    b"\xff\xfe",
    b'{"amount": NaN}',
    b'{"amount": Infinity}',
    b"[" * 30_000,
    b'{"a":' * 10_000,
    b'{"amount": ' + b"9" * 20_000 + b"}",
    b'{"amount": "\\ud800"}',
    b'{"\\udfff": 1}',
    b"amount=1",
]


@pytest.mark.parametrize("path", ["/orders", "/payments", "/wallet/topups"])
def test_bodies_that_are_no_json(nothing_changed, lin, path):
    for body in BODIES:
        problem(lin.post(path, body), 400, "malformed")
    for body in (b"[]", b'"text"', b"1", b"true", b"null"):
        assert pointers(lin.post(path, body)) == {""}, body


def test_a_body_that_is_too_large(nothing_changed, lin):
    big = json.dumps({"show": "x" * 70_000}).encode()
    problem(lin.post("/orders", big), 413, "too_large")


def test_another_content_type(nothing_changed, lin):
    headers = {"Authorization": f"Bearer {lin.secret}", "Idempotency-Key": "form"}
    answer = Client().post("/api/v1/wallet/topups", {"amount": 1}, headers=headers)
    problem(answer, 415, "unsupported_media_type")


def test_keys(nothing_changed, show, lin):
    order, _ = nothing_changed
    for path in ("/orders", "/payments", "/wallet/topups", f"/orders/{order['number']}/cancel"):
        problem(lin.post(path, {}, key=None), 400, "idempotency_key_missing")
        for key in ("a b", "k" * 256, "é"):
            problem(lin.post(path, {}, key=key), 400, "idempotency_key_invalid")


def test_cursors_and_limits(lin, show, stranger):
    for path in ("/orders", "/payments", "/tickets", "/wallet/entries", "/wallet/topups"):
        for limit in ("0", "-1", "201", "x", "", "1e3", "٣", "9" * 30):
            assert pointers(lin.get(f"{path}?limit={limit}")) == {"/limit"}, (path, limit)
        for cursor in ("x", "%00", "cD0x", "cD0lMDA=", "cD1hYmM=", "é"):
            answer = lin.get(f"{path}?cursor={cursor}")
            assert answer.status_code in (200, 400), (path, cursor)
            if answer.status_code == 400:
                assert pointers(answer) == {"/cursor"}
    assert pointers(stranger.get("/events?cursor=x")) == {"/cursor"}


def test_refusals_come_in_the_readers_language(lin):
    english = lin.post("/wallet/topups", {"amount": 0}, **{"Accept-Language": "en"}).json()
    assert english["title"] == "Some values are not valid"
