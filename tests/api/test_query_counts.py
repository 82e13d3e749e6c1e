"""Hot paths and what they may cost. A number that grows needs a reason, and this table says where it is paid."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from basis import fast
from tests.api.conftest import token_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def queries():
    """`with queries(n)`: exactly n statements, savepoints and transactions aside."""

    class Counted(CaptureQueriesContext):
        def __init__(self, expected):
            super().__init__(connection)
            self.expected = expected

        def __exit__(self, *error):
            super().__exit__(*error)
            if error[0] is None:
                said = [query["sql"] for query in self.captured_queries]
                said = [sql for sql in said if not sql.startswith(("SAVEPOINT", "RELEASE"))]
                listed = "\n".join(f"{i:2} {sql[:160]}" for i, sql in enumerate(said, 1))
                assert len(said) == self.expected, f"{len(said)} queries:\n{listed}"

    return Counted


def test_place_order(show, lin, place, queries):
    place(lin)  # what a process looks up once and keeps is not of this count
    body = {"show": show.code, "tier": "UPPER", "quantity": 2}
    with queries(10):
        assert lin.post("/orders", body).status_code == 201


def test_place_order_again(show, lin, queries):
    body = {"show": show.code, "tier": "UPPER", "quantity": 2}
    lin.post("/orders", body, key="again")
    with queries(3):
        assert lin.post("/orders", body, key="again").status_code == 201


def test_payment_token(lin, place, queries):
    number = place(lin)["number"]
    with queries(3):
        lin.post(f"/orders/{number}/payment-token", key=None)


def test_pay_from_wallet(lin, place, queries):
    number = place(lin)["number"]
    body = {"order": number, "channel": "wallet", "token": token_for(lin, number)}
    with queries(12):
        assert lin.post("/payments", body).status_code == 201


def test_press_again(lin, place, queries):
    number = place(lin)["number"]
    body = {"order": number, "channel": "wallet", "token": token_for(lin, number)}
    lin.post("/payments", body)
    with queries(7):  # the order is locked first, so that the first press needs no look before
        assert lin.post("/payments", body).status_code == 200


def test_reads(lin, place, pay, queries):
    payment = pay(lin, place(lin, quantity=4)["number"])
    number = payment["purchase"]["number"]
    ticket = lin.get("/tickets").json()["items"][0]["number"]
    costs = {
        f"/orders/{number}": 3,
        "/orders": 3,
        f"/payments/{payment['number']}": 3,
        "/payments": 3,
        "/wallet": 2,
        "/wallet/entries": 2,
        "/tickets": 2,
        f"/tickets/{ticket}": 2,
        f"/orders/{number}/timeline": 7,
    }
    for path, cost in costs.items():
        with queries(cost):
            assert lin.get(path).status_code == 200


def test_what_everybody_sees(show, stranger, queries):
    costs = {
        f"/shows/{show.code}/availability": 2,
        f"/shows/{show.code}/sections/A1/seats": 1,
        f"/shows/{show.code}": 4,
        "/events": 2,
    }
    for path, cost in costs.items():
        fast.store().flushdb()
        with queries(cost):
            assert stranger.get(path).status_code == 200
    stranger.get(f"/shows/{show.code}/availability")
    with queries(0):
        assert stranger.get(f"/shows/{show.code}/availability").status_code == 200
