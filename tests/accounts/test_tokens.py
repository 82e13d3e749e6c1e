"""Tokens: one query, denied first, revoked at once."""

from datetime import timedelta

import pytest
from django.urls import path
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from accounts.models import ApiToken, User
from accounts.tokens import SCOPES, UnknownScope, digest_of, issue_token, issue_tokens_in_bulk, revoke_token

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Orders(APIView):
    scopes = {"GET": "orders:read", "POST": "orders:write"}

    def get(self, request):
        return Response({"user": request.user.handle})

    post = delete = get


class Undeclared(APIView):
    def get(self, request):
        return Response({})


class Open(APIView):
    public = True

    def get(self, request):
        return Response({})


urlpatterns = [
    path("api/orders", Orders.as_view()),
    path("api/undeclared", Undeclared.as_view()),
    path("api/open", Open.as_view()),
]


@pytest.fixture
def lin():
    return User.objects.create_user("lin", phone="13812345678")


def client(secret):
    return APIClient(headers={"Authorization": f"Bearer {secret}"})


def issued(lin, *scopes, **fields):
    return issue_token(user=lin, name="till", scopes=scopes or ["orders:read"], now=timezone.now(), **fields)


def test_a_secret_opens_one_account_and_is_kept_nowhere(lin):
    token, secret = issued(lin)
    assert secret.startswith("kp_")
    assert len(secret) == 43
    assert client(secret).get("/api/orders").json() == {"user": "lin"}
    token.refresh_from_db()
    stored = " ".join(str(value) for value in ApiToken.objects.values_list().get())
    assert secret not in stored
    assert (token.prefix, token.digest) == (secret[:8], digest_of(secret))


def test_one_query_and_one_write_a_day(lin, django_assert_num_queries):
    _token, secret = issued(lin)
    caller = client(secret)
    with django_assert_num_queries(2):
        caller.get("/api/orders")
    with django_assert_num_queries(1):
        caller.get("/api/orders")
    ApiToken.objects.update(last_used_on=timezone.now().date() - timedelta(days=1))
    with django_assert_num_queries(2):
        caller.get("/api/orders")


def test_a_token_of_another_form_costs_no_query(django_assert_num_queries):
    with django_assert_num_queries(0):
        for secret in ("", "x", "kp_short", "kp_" + "é" * 40, "xx_" + "a" * 40):
            assert client(secret.encode().decode("latin-1")).get("/api/orders").status_code == 401


@pytest.mark.parametrize("spoil", ["unknown", "revoked", "expired", "inactive"])
def test_what_opens_nothing_is_told_apart_by_nobody(lin, spoil):
    token, secret = issued(lin)
    match spoil:
        case "unknown":
            ApiToken.objects.all().delete()
        case "revoked":
            assert revoke_token(token_id=token.pk, user=lin, now=timezone.now())
        case "expired":
            past = timezone.now() - timedelta(days=1)
            ApiToken.objects.update(created_at=past - timedelta(days=1), expires_at=past)
        case "inactive":
            User.objects.update(is_active=False)
    answer = client(secret).get("/api/orders", headers={"Accept-Language": "en"})
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_token")
    assert answer.json()["detail"] == "The token is unknown, expired or revoked."
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("scopes", "method", "url", "status"),
    [
        (["orders:read"], "get", "/api/orders", 200),
        (["orders:read"], "head", "/api/orders", 200),
        (["orders:read"], "post", "/api/orders", 403),
        (["orders:write"], "post", "/api/orders", 200),
        (["orders:write"], "get", "/api/orders", 403),
        (["orders:read", "orders:write"], "delete", "/api/orders", 403),
        (["orders:read"], "options", "/api/orders", 403),
        (sorted(SCOPES), "get", "/api/undeclared", 403),
        (["tickets:read"], "get", "/api/open", 200),
    ],
)
def test_a_token_may_what_it_was_issued_for(lin, scopes, method, url, status):
    _token, secret = issued(lin, *scopes)
    answer = getattr(client(secret), method)(url)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "scope_missing"


def test_a_session_may_all_that_its_buyer_may(lin):
    browser = APIClient()
    browser.force_login(lin)
    assert browser.get("/api/orders").status_code == 200
    assert browser.get("/api/undeclared").status_code == 200


@pytest.mark.parametrize(
    ("url", "status"), [("/api/orders", 401), ("/api/undeclared", 401), ("/api/open", 200)]
)
def test_nobody_may_only_what_is_public(url, status):
    assert APIClient().get(url).status_code == status


def test_a_scope_that_does_not_exist_is_refused(lin):
    with pytest.raises(UnknownScope):
        issued(lin, "orders:everything")
    assert ApiToken.objects.count() == 0


def test_tokens_in_bulk(django_assert_max_num_queries):
    users = User.objects.bulk_create([User.objects.build(handle=f"buyer{number}") for number in range(300)])
    with django_assert_max_num_queries(1):
        secrets = issue_tokens_in_bulk(users, ["orders:read"], timezone.now())
    assert client(secrets[7]).get("/api/orders").json() == {"user": "buyer7"}
    assert len(set(secrets)) == 300


def test_only_the_owner_revokes(lin):
    token, secret = issued(lin)
    assert not revoke_token(token_id=token.pk, user=User.objects.create_user("wei"), now=timezone.now())
    assert client(secret).get("/api/orders").status_code == 200
