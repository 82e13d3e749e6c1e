"""One key, one execution, one answer: at every endpoint that changes something."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from basis.models import IdempotencyRecord
from payments.models import Payment
from tests.api.conftest import problem, token_for
from ticketing.models import Order
from wallet import ledger
from wallet.models import TopUp

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["order", "cancel", "payment", "topup"])
def changing(request, show, lin, place):
    """(path, body, another body) of each endpoint that changes something."""
    order = {"show": show.code, "tier": "UPPER", "quantity": 1}
    match request.param:
        case "order":
            return "/orders", order, order | {"quantity": 2}
        case "cancel":
            return f"/orders/{place(lin)['number']}/cancel", None, {"why": "changed my mind"}
        case "topup":
            return "/wallet/topups", {"amount": 100}, {"amount": 101}
    number = place(lin)["number"]
    body = {"order": number, "channel": "wallet", "token": token_for(lin, number)}
    return "/payments", body, body | {"channel": "alipay"}


def counts():
    return (
        Order.objects.filter(state="cancelled").count(),
        Order.objects.count(),
        Payment.objects.count(),
        TopUp.objects.count(),
    )


def test_a_repetition_answers_the_same(changing, lin):
    path, body, _ = changing
    first = lin.post(path, body, key="once")
    assert first.status_code in (200, 201)
    after = counts()
    again = lin.post(path, body, key="once")
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again["Idempotent-Replayed"] == "true"
    assert again.get("Location") == first.get("Location")
    assert counts() == after


def test_another_body_under_the_key_is_refused(changing, lin):
    path, body, other = changing
    assert lin.post(path, body, key="once").status_code in (200, 201)
    after = counts()
    problem(lin.post(path, other, key="once"), 422, "idempotency_key_reused")
    assert counts() == after


def test_in_flight_says_when_to_ask_again(changing, lin):
    path, body, _ = changing
    lin.post(path, body, key="once")
    after = counts()
    IdempotencyRecord.objects.filter(key="once").update(
        status=None, claimed_until=timezone.now() + timedelta(seconds=30)
    )
    answer = lin.post(path, body, key="once")
    assert problem(answer, 409, "idempotency_in_flight")["retryable"] is True
    assert int(answer["Retry-After"]) >= 1
    assert counts() == after


def test_a_process_that_died_leaves_a_key_that_finds_its_own_work(changing, lin):
    """The claim ran out and the request is executed again: the domain answers what it did the first time."""
    path, body, _ = changing
    first = lin.post(path, body, key="once").json()
    after = counts()
    IdempotencyRecord.objects.filter(key="once").update(status=None, claimed_until=timezone.now())
    again = lin.post(path, body, key="once")
    assert again.status_code in (200, 201)
    assert again.json()["number"] == first["number"]
    assert counts() == after


def test_a_key_that_the_domain_remembers_longer(show, lin):
    """After the stored answers are forgotten, the order's own key still stands."""
    body = {"show": show.code, "tier": "UPPER", "quantity": 1}
    first = lin.post("/orders", body, key="old").json()
    topup = lin.post("/wallet/topups", {"amount": 5}, key="old").json()
    IdempotencyRecord.objects.all().delete()
    assert lin.post("/orders", body, key="old").json()["number"] == first["number"]
    assert lin.post("/wallet/topups", {"amount": 5}, key="old").json()["number"] == topup["number"]
    IdempotencyRecord.objects.all().delete()
    problem(lin.post("/orders", body | {"quantity": 2}, key="old"), 422, "idempotency_key_reused")
    problem(lin.post("/wallet/topups", {"amount": 6}, key="old"), 422, "idempotency_key_reused")


def test_two_buyers_may_have_the_same_key(show, lin, mei):
    body = {"show": show.code, "tier": "UPPER", "quantity": 1}
    first = lin.post("/orders", body, key="same").json()
    other = mei.post("/orders", body, key="same").json()
    assert first["number"] != other["number"]
    assert mei.get(f"/orders/{first['number']}").status_code == 404


# -- at the same moment
PRESSES = 12


def together(work):
    """Run `work(i)` in threads that start at one moment."""
    barrier = threading.Barrier(PRESSES)

    def run(i):
        barrier.wait(20)
        try:
            return work(i)
        finally:
            connection.close()

    with ThreadPoolExecutor(PRESSES) as pool:
        return list(pool.map(run, range(PRESSES)))


@pytest.mark.django_db(transaction=True)
def test_incident_2_many_presses_one_deduction(lin, place):
    number = place(lin)["number"]
    body = {"order": number, "channel": "wallet", "token": token_for(lin, number)}
    answers = together(lambda i: lin.post("/payments", body, key=f"press-{i}"))
    assert sorted(answer.status_code for answer in answers) == [200] * (PRESSES - 1) + [201]
    assert len({answer.json()["number"] for answer in answers}) == 1
    assert Payment.objects.count() == 1
    assert ledger.balance(f"buyer_cash:{lin.user.pk}:CNY") == 200_000 - 38_000


@pytest.mark.django_db(transaction=True)
def test_one_key_at_the_same_moment_is_one_order(show, lin):
    body = {"show": show.code, "tier": "UPPER", "quantity": 1}
    answers = together(lambda _: lin.post("/orders", body, key="one"))
    for answer in answers:
        assert answer.status_code == 201 or problem(answer, 409, "idempotency_in_flight")
    assert Order.objects.count() == 1
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1


@pytest.mark.django_db(transaction=True)
def test_incident_1_presses_while_the_channel_is_slow(lin, place, channels):
    """One trade; the press that waits for the channel is 201, the others answer at once with the same payment."""
    number = place(lin)["number"]
    body = {"order": number, "channel": "wechat", "token": token_for(lin, number)}
    channels.fault("slow", op="open", seconds=1.0)
    answers = together(lambda i: lin.post("/payments", body, key=f"press-{i}"))
    assert sorted(answer.status_code for answer in answers) == [200] * (PRESSES - 1) + [201]
    assert len({answer.json()["number"] for answer in answers}) == 1
    [opened] = [answer.json() for answer in answers if answer.status_code == 201]
    assert opened["state"] == "pending"
    assert opened["cashier"]["kind"] == "qr"
    assert {answer.json()["state"] for answer in answers if answer.status_code == 200} <= {
        "created",
        "pending",
    }
    assert lin.get(f"/payments/{opened['number']}").json() == opened
