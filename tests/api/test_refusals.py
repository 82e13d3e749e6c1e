"""Every code with which the sale refuses, and that a refusal leaves no trace."""

from datetime import timedelta

import pytest
from django.utils import timezone

from payments.channels import registry
from payments.models import Payment
from tests.api.conftest import problem, token_for
from ticketing.models import Event, Invitation, Order, PriceTier, SalePhase, Seat, SeatState

pytestmark = pytest.mark.django_db


def order_for(show, /, **changes):
    return {"show": show.code, "tier": "UPPER", "quantity": 1} | changes


@pytest.fixture
def untouched(show):
    """After the test nothing is held and no order exists but those that it names."""
    yield
    assert not Order.objects.exists()
    assert not Seat.objects.exclude(state=SeatState.FREE).exists()


# -- orders
@pytest.mark.usefixtures("untouched")
class TestOrdersThatAreRefused:
    def test_no_such_tier(self, show, lin):
        problem(lin.post("/orders", order_for(show, tier="MOON")), 404, "no_such_tier")
        problem(lin.post("/orders", order_for(show, show="elsewhere")), 404, "no_such_tier")

    def test_not_published(self, show, lin, stranger):
        Event.objects.update(published=False)
        problem(lin.post("/orders", order_for(show)), 404, "no_such_tier")
        for path in ("", "/availability", "/sections/A1/seats"):
            problem(stranger.get(f"/shows/{show.code}{path}"), 404, "not_found")
        problem(stranger.get("/events/river-of-stars"), 404, "not_found")
        assert stranger.get("/events").json()["items"] == []

    @pytest.mark.parametrize("quantity", [0, -1, 7, 10**30])
    def test_bad_quantity(self, show, lin, quantity):
        body = problem(lin.post("/orders", order_for(show, quantity=quantity)), 400, "bad_quantity")
        assert body["errors"][0]["pointer"] == "/quantity"
        assert body["most"] == 6

    def test_bad_number_of_chosen_seats(self, show, lin):
        ids = list(Seat.objects.filter(tier__code="UPPER").values_list("pk", flat=True)[:7])
        answer = lin.post("/orders", {"show": show.code, "tier": "UPPER", "seats": ids})
        problem(answer, 400, "bad_quantity")

    def test_not_on_sale_yet(self, show, lin):
        opens_at = timezone.now() + timedelta(minutes=10)
        SalePhase.objects.filter(kind="general").update(opens_at=opens_at)
        key = "early-bird"
        answer = lin.post("/orders", order_for(show), key=key)
        body = problem(answer, 409, "not_on_sale")
        assert body["opens_at"] == opens_at.isoformat().replace("+00:00", "Z")
        assert body["retryable"] is True
        assert 590 <= int(answer["Retry-After"]) <= 601
        # It was no decision: the same key works when the sale is open.
        SalePhase.objects.filter(kind="general").update(opens_at=timezone.now() - timedelta(seconds=1))
        assert lin.post("/orders", order_for(show), key=key).status_code == 201
        Seat.objects.update(state=SeatState.FREE, order=None)
        _forget_orders()

    def test_sale_over(self, show, lin):
        SalePhase.objects.filter(kind="general").delete()
        body = problem(lin.post("/orders", order_for(show)), 409, "not_on_sale")
        assert (body["opens_at"], body["retryable"]) == (None, False)

    def test_not_eligible(self, show, lin):
        SalePhase.objects.filter(kind="general").update(eligibility="invited")
        body = problem(lin.post("/orders", order_for(show)), 403, "not_eligible")
        assert body["rule"] == "invited"

    def test_account_too_young(self, show, lin):
        SalePhase.objects.filter(kind="general").update(eligibility="account_age", account_age_days=30)
        assert problem(lin.post("/orders", order_for(show)), 403, "not_eligible")["rule"] == "account_age"

    def test_limit(self, show, lin):
        body = problem(lin.post("/orders", order_for(show, quantity=5)), 409, "limit_reached")
        assert (body["limit"], body["left"]) == (4, 4)


def _forget_orders():
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table in ("orderevent", "orderseat", "order"):
            cursor.execute(f"DELETE FROM ticketing_{table}")
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_limit_counts_what_the_buyer_has(show, lin, place):
    place(lin, quantity=3)
    body = problem(lin.post("/orders", order_for(show, quantity=2)), 409, "limit_reached")
    assert (body["limit"], body["left"]) == (4, 1)
    assert Order.objects.count() == 1


def test_invited_buyers_may(show, lin):
    SalePhase.objects.filter(kind="general").update(eligibility="invited")
    Invitation.objects.create(phase=SalePhase.objects.get(kind="general"), buyer=lin.user)
    assert lin.post("/orders", order_for(show)).status_code == 201


def test_sold_out(show, lin, mei):
    keep = list(Seat.objects.filter(tier__code="VIP").values_list("pk", flat=True)[:1])
    Seat.objects.filter(tier__code="VIP").exclude(pk__in=keep).update(state=SeatState.BLOCKED)
    problem(lin.post("/orders", order_for(show, tier="VIP", quantity=2)), 409, "sold_out")
    assert lin.post("/orders", order_for(show, tier="VIP")).status_code == 201
    problem(mei.post("/orders", order_for(show, tier="VIP")), 409, "sold_out")


def test_seats_taken(show, lin, mei):
    ids = list(Seat.objects.filter(tier__code="VIP").order_by("pk").values_list("pk", flat=True)[:3])
    wanted = {"show": show.code, "tier": "VIP"}
    assert lin.post("/orders", wanted | {"seats": ids[:2]}).status_code == 201
    assert problem(mei.post("/orders", wanted | {"seats": ids[1:]}), 409, "seats_taken")["seats"]
    other_tier = PriceTier.objects.get(show=show, code="UPPER")
    foreign = Seat.objects.filter(tier=other_tier).first().pk
    body = problem(mei.post("/orders", wanted | {"seats": [foreign]}), 409, "seats_taken")
    assert body["seats"] == [foreign]
    problem(mei.post("/orders", wanted | {"seats": [2**63 - 1]}), 409, "seats_taken")
    assert Order.objects.count() == 1
    assert Seat.objects.filter(state=SeatState.HELD).count() == 2


def test_not_cancellable(lin, pay):
    number = pay(lin)["purchase"]["number"]
    body = problem(lin.post(f"/orders/{number}/cancel"), 409, "not_cancellable")
    assert body["state"] == "paid"
    assert lin.get(f"/orders/{number}").json()["state"] == "paid"


# -- payments
def test_not_payable(lin, place):
    number = place(lin)["number"]
    token = token_for(lin, number)
    lin.post(f"/orders/{number}/cancel")
    answer = lin.post("/payments", {"order": number, "channel": "wallet", "token": token})
    assert problem(answer, 409, "not_payable")["reason"] == "cancelled"
    offer = lin.post(f"/orders/{number}/payment-token", key=None).json()
    assert (offer["token"], offer["refusal"]) == (None, "cancelled")
    assert not Payment.objects.exists()


def test_expired_order_is_not_payable(lin, place):
    number = place(lin)["number"]
    token = token_for(lin, number)
    Order.objects.update(hold_until=timezone.now() - timedelta(seconds=1))
    answer = lin.post("/payments", {"order": number, "channel": "wallet", "token": token})
    assert problem(answer, 409, "not_payable")["reason"] == "expired"


def test_paid_order_answers_its_payment(lin, pay, place):
    number = place(lin)["number"]
    token = token_for(lin, number)
    payment = pay(lin, number)
    answer = lin.post("/payments", {"order": number, "channel": "wallet", "token": token})
    assert (answer.status_code, answer.json()["number"]) == (200, payment["number"])


def test_channel_not_offered(lin, place):
    number = place(lin)["number"]
    assert registry.offered() == []
    body = {"order": number, "channel": "alipay", "token": token_for(lin, number)}
    problem(lin.post("/payments", body), 409, "channel_not_offered")
    topup = lin.post("/wallet/topups", {"amount": 100}).json()["number"]
    token = token_for(lin, topup, "wallet/topups")
    answer = lin.post("/payments", {"topup": topup, "channel": "wallet", "token": token})
    problem(answer, 409, "channel_not_offered")
    assert not Payment.objects.exists()


def test_token_refused(lin, mei, place):
    number, other = place(lin)["number"], place(lin)["number"]
    good, foreign = token_for(lin, number), token_for(mei, place(mei)["number"])
    forged = good[:-2] + ("AA" if good[-2:] != "AA" else "BB")
    for token, reason in [
        ("x", "malformed"),
        ("a.b", "malformed"),
        ("é.ü", "malformed"),
        (forged, "forged"),
        (token_for(lin, other), "foreign"),
        (foreign, "foreign"),
    ]:
        answer = lin.post("/payments", {"order": number, "channel": "wallet", "token": token})
        assert problem(answer, 409, "token_refused")["reason"] == reason
    assert not Payment.objects.exists()


def test_too_little_in_the_wallet_is_a_failed_payment(program, place):
    poor = program("poor", cash=100)
    number = place(poor)["number"]
    body = {"order": number, "channel": "wallet", "token": token_for(poor, number)}
    answer = poor.post("/payments", body)
    assert answer.status_code == 201
    assert (answer.json()["state"], answer.json()["refusal"]) == ("failed", "insufficient_funds")
    # The same token repeats the answer; a new one is a new try.
    assert poor.post("/payments", body).json()["number"] == answer.json()["number"]
    assert token_for(poor, number) != body["token"]
    assert poor.get(f"/orders/{number}").json()["state"] == "held"


@pytest.mark.parametrize("amount", [0, -1, 5_000_001, 10**40])
def test_topup_out_of_bounds(lin, amount):
    body = problem(lin.post("/wallet/topups", {"amount": amount}), 400, "invalid")
    assert body["errors"][0]["pointer"] == "/amount"
    assert lin.get("/wallet/topups").json()["items"] == []


# -- addresses
def test_nothing_here(lin, stranger, show):
    for path in (
        "/events/none",
        "/shows/none",
        "/shows/none/availability",
        f"/shows/{show.code}/sections/Z9/seats",
        f"/shows/{show.code}/sections/%00/seats",
        f"/shows/{show.code}/sections/东/seats",
        "/nowhere",
    ):
        problem(stranger.get(path), 404, "not_found")
    for path in (
        "/orders/K00",
        "/payments/P00",
        "/wallet/topups/W00",
        "/tickets/T00",
        "/orders/K00/timeline",
    ):
        problem(lin.get(path), 404, "not_found")


def test_wrong_method_names_the_right_ones(lin, stranger):
    answer = lin.post("/wallet")
    problem(answer, 405, "method_not_allowed")
    assert "GET" in answer["Allow"]
    problem(stranger.post("/events"), 405, "method_not_allowed")


def test_every_code_is_described(stranger):
    listed = stranger.get("/api/problems/").json()["items"]
    codes = {one["code"] for one in listed}
    assert codes >= {
        *("not_on_sale", "not_eligible", "limit_reached", "sold_out", "seats_taken", "bad_quantity"),
        *("no_such_tier", "not_cancellable", "not_payable", "channel_not_offered", "token_refused"),
        *("token_used_elsewhere", "idempotency_key_reused", "idempotency_in_flight", "scope_missing"),
    }
    for one in listed:
        assert stranger.get(f"/api/problems/{one['code']}").json() == one
    assert stranger.get("/api/problems/none").status_code == 404
