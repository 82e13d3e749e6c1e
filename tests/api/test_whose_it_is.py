"""A buyer sees his own and nobody else's; a token opens what it was issued for and nothing after its end."""

import pytest
from django.test import Client
from django.utils import timezone

from accounts import tokens
from accounts.models import ApiToken
from tests.api.conftest import Program, problem, token_for
from ticketing.models import Order, OrderState

pytestmark = pytest.mark.django_db

READS = {
    "orders:read": [
        "/orders",
        "/orders/{order}",
        "/orders/{order}/timeline",
        "/orders/{order}/refund-requests",
    ],
    "payments:read": ["/payments", "/payments/{payment}"],
    "wallet:read": ["/wallet", "/wallet/entries", "/wallet/topups", "/wallet/topups/{topup}"],
    "tickets:read": ["/tickets", "/tickets/{ticket}"],
}
WRITES = {
    "orders:write": ["/orders", "/orders/{order}/cancel", "/orders/{order}/refund-requests"],
    "payments:write": [
        "/payments",
        "/payments/{payment}/check",
        "/orders/{order}/payment-token",
        "/orders/{order}/refunds/{order}/to-wallet",
        "/wallet/topups/{topup}/payment-token",
    ],
    "wallet:write": ["/wallet/topups"],
}
OWN = [path for paths in READS.values() for path in paths if "{" in path]
OWN_WRITES = [path for paths in WRITES.values() for path in paths if "{" in path]


@pytest.fixture
def lins(lin, pay, place):
    """The numbers of what lin has."""
    payment = pay(lin)
    return {
        "order": payment["purchase"]["number"],
        "held": place(lin)["number"],
        "payment": payment["number"],
        "topup": lin.post("/wallet/topups", {"amount": 100}).json()["number"],
        "ticket": lin.get("/tickets").json()["items"][0]["number"],
    }


def test_anothers_is_not_found(lins, lin, mei):
    for path in OWN:
        assert lin.get(path.format(**lins)).status_code == 200
        body = problem(mei.get(path.format(**lins)), 404, "not_found")
        # Not even a hint that it exists: the answer is that for a number that was never given.
        nobody = mei.get(path.format(**dict.fromkeys(lins, "K0000000000000000000"))).json()
        assert body | {"request_id": ""} == nobody | {"request_id": ""}


def test_anothers_cannot_be_moved(lins, mei):
    numbers = lins | {"order": lins["held"]}
    for path in OWN_WRITES:
        problem(mei.post(path.format(**numbers)), 404, "not_found")
    assert Order.objects.get(number=lins["held"]).state == OrderState.HELD


def test_anothers_purchase_cannot_be_paid(lins, lin, mei):
    body = {"order": lins["held"], "channel": "wallet", "token": token_for(lin, lins["held"])}
    problem(mei.post("/payments", body), 404, "not_found")
    body = {"topup": lins["topup"], "channel": "wallet", "token": "x.y"}
    assert mei.post("/payments", body).status_code in (404, 409)
    assert mei.get("/wallet").json()["cash"]["amount"] == 200_000


def test_lists_hold_only_ones_own(lins, mei):
    for path in ("/orders", "/payments", "/tickets", "/wallet/topups"):
        assert mei.get(path).json() == {"items": [], "next": None, "previous": None}
    assert [entry["amount"]["amount"] for entry in mei.get("/wallet/entries").json()["items"]] == [200_000]


EVERY = [("get", scope, path) for scope, paths in READS.items() for path in paths]
EVERY += [("post", scope, path) for scope, paths in WRITES.items() for path in paths]


def test_a_token_without_the_scope(lins, program):
    small = {scope: program("lin", scopes=set(tokens.SCOPES) - {scope}) for scope in READS | WRITES}
    for method, scope, path in EVERY:
        body = problem(getattr(small[scope], method)(path.format(**lins)), 403, "scope_missing")
        assert body["scope"] == scope, path
    assert Order.objects.get(number=lins["held"]).state == OrderState.HELD


def test_a_revoked_token(lins, lin):
    ApiToken.objects.update(revoked_at=timezone.now())
    for method, _, path in EVERY:
        answer = getattr(lin, method)(path.format(**lins))
        problem(answer, 401, "bad_token")
        assert answer["WWW-Authenticate"].startswith("Bearer"), path


def test_nobody(lins, stranger):
    for method, _, path in EVERY:
        problem(getattr(stranger, method)(path.format(**lins)), 401, "not_authenticated")


def test_a_browser_session_may_everything_with_its_csrf_token(lin, show):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(lin.user)
    page = Program(lin.user, client=browser)
    assert page.get("/orders").status_code == 200
    body = {"show": show.code, "tier": "UPPER", "quantity": 1}
    problem(page.post("/orders", body), 403, "csrf_failed")
    assert not Order.objects.exists()


def test_a_bad_token_does_not_close_what_is_public(show):
    visitor = Program(None, secret="kp_" + "x" * 40)
    assert visitor.get(f"/shows/{show.code}/availability").status_code == 200
