"""/api/v1/auth/ over HTTP, as a browser and as a program."""

from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.core.cache import cache
from django.test import Client
from django.urls import include, path
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisAway
from rest_framework.test import APIClient

from accounts import throttle
from accounts.models import ApiToken, User
from accounts.tokens import issue_token

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
urlpatterns = [path("api/v1/auth/", include("accounts.urls"))]

PASSWORD = "seven blue elephants"


@pytest.fixture(autouse=True)
def quick_and_unlimited(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cache.clear()
    throttle._local.clear()


@pytest.fixture
def lin():
    return User.objects.create_user("lin", PASSWORD, phone="13812345678", email="lin@example.com", name="林")


@pytest.fixture
def api():
    return APIClient()


def call(client, method, path, body=None, **headers):
    return getattr(client, method)(f"/api/v1/auth/{path}", body, format="json", headers=headers)


def sign_in(client, identifier="13812345678", password=PASSWORD):
    return call(client, "post", "session", {"identifier": identifier, "password": password})


def with_token(lin, *scopes, **fields):
    _token, secret = issue_token(user=lin, name="till", scopes=scopes, now=timezone.now(), **fields)
    return APIClient(headers={"Authorization": f"Bearer {secret}"})


# -- register ----------------------------------------------------------------------------------------------------------
def test_register_then_sign_in(api):
    answer = call(api, "post", "register", {"phone": "+86 13812345678", "password": PASSWORD, "name": "林"})
    assert answer.status_code == 201
    assert answer.json()["phone"] == "138****5678"
    assert "sessionid" not in answer.cookies
    assert sign_in(api).json()["id"] == answer.json()["id"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/password"}),
        ({"password": PASSWORD}, {"/phone"}),
        ({"phone": "1", "email": "x", "password": "1"}, {"/phone", "/email", "/password"}),
        ({"phone": "13812345678", "password": "1\u0000" + "x" * 20}, {"/password"}),
        ({"phone": ["13812345678"], "password": PASSWORD}, {"/phone"}),
        ({"phone": "13812345678", "password": "x" * 129}, {"/password"}),
        ({"phone": "13812345678", "password": PASSWORD, "language": "fr"}, {"/language"}),
    ],
)
def test_register_names_every_value_at_fault(api, body, pointers):
    answer = call(api, "post", "register", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert {error["pointer"] for error in answer.json()["errors"]} == pointers
    assert User.objects.count() == 0


def test_registering_twice_points_to_signing_in(api, lin):
    answer = call(api, "post", "register", {"phone": "13812345678", "password": PASSWORD})
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [("/phone", "taken")]


# -- session ----------------------------------------------------------------------------------------------------------
def test_sign_in_and_out(lin):
    browser = APIClient(enforce_csrf_checks=True)
    answer = sign_in(browser)
    assert answer.status_code == 200
    assert answer.cookies["sessionid"]["httponly"]
    assert call(browser, "get", "me").json()["handle"] == "lin"
    assert call(browser, "delete", "session").json()["code"] == "csrf_failed"
    csrf = answer.cookies["csrftoken"].value
    assert call(browser, "delete", "session", **{"X-CSRFToken": csrf}).status_code == 204
    assert call(browser, "get", "me").status_code == 401


def test_signing_in_again_with_an_old_cookie_needs_no_csrf(lin):
    browser = APIClient(enforce_csrf_checks=True)
    sign_in(browser)
    assert sign_in(browser).status_code == 200


@pytest.mark.parametrize(
    ("identifier", "password"),
    [("13812345678", "wrong"), ("13900000000", PASSWORD), ("no", "no"), ("\ud7ff", "x")],
)
def test_a_refusal_does_not_say_what_was_wrong(api, lin, identifier, password):
    answer = sign_in(api, identifier, password)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_credentials")
    body = answer.json() | {"request_id": ""}
    assert body == sign_in(api, "nobody@example.com", "x").json() | {"request_id": ""}


def test_forms_from_other_sites_cannot_sign_anybody_in(lin):
    answer = Client().post("/api/v1/auth/session", {"identifier": "lin", "password": PASSWORD})
    assert answer.status_code == 415
    answer = Client().post("/api/v1/auth/session", '{"identifier":"lin"}', content_type="text/plain")
    assert answer.status_code == 415


def test_guessing_is_slowed_for_one_identifier(api, lin):
    answers = [
        sign_in(api, password="wrong").status_code for _number in range(throttle.SIGN_IN_PER_IDENTIFIER.most)
    ]
    assert set(answers) == {401}
    refused = sign_in(api)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert 1 <= int(refused["Retry-After"]) <= throttle.SIGN_IN_PER_IDENTIFIER.seconds
    assert sign_in(api, "lin").status_code == 200


def test_guessing_is_slowed_also_without_the_cache(api, lin, monkeypatch):
    with monkeypatch.context() as away:

        def gone(*args, **kwargs):
            raise RedisAway("gone")

        away.setattr(throttle, "get_usage", gone)
        assert sign_in(api).status_code == 200
        answers = [
            sign_in(api, password="wrong").status_code
            for _number in range(2 * throttle.SIGN_IN_PER_IDENTIFIER.most)
        ]
    assert 401 in answers
    assert answers[-1] == 429


def test_one_address_cannot_try_everybody(api, monkeypatch):
    monkeypatch.setattr(throttle, "SIGN_IN_PER_ADDRESS", throttle.Rate(3, 300))
    answers = [sign_in(api, f"1390000000{number}").status_code for number in range(4)]
    assert answers == [401, 401, 401, 429]
    refused = sign_in(api, "13900000009")
    assert refused["RateLimit-Policy"].endswith(";q=3;w=300")
    assert refused["RateLimit"].endswith(f";r=0;t={refused['Retry-After']}")
    elsewhere = APIClient(REMOTE_ADDR="10.0.0.9")
    assert sign_in(elsewhere).status_code == 401


def test_behind_the_edge_everybody_has_his_own_bound(monkeypatch, settings):
    """The edge's address is everybody's: with one bound for all, a crowd could not sign in to a sale."""
    settings.BEHIND_PROXY = True
    monkeypatch.setattr(throttle, "SIGN_IN_PER_ADDRESS", throttle.Rate(1, 300))
    given = ["198.51.100.1", "198.51.100.2", "198.51.100.1", "2001:db8::a:1:1:1", "2001:db8::b:2:2:2"]
    answers = [
        sign_in(APIClient(HTTP_X_REAL_IP=at), f"1390000000{i}").status_code for i, at in enumerate(given)
    ]
    assert answers == [401, 401, 429, 401, 429]


# -- me ---------------------------------------------------------------------------------------------------------------
def test_me_is_masked_and_cheap(lin, django_assert_num_queries):
    program = with_token(lin, "account:read")
    program.get("/api/v1/auth/me")
    with django_assert_num_queries(2):  # the token with its user; the contacts
        answer = program.get("/api/v1/auth/me")
    assert answer.json() == {
        "id": lin.pk,
        "handle": "lin",
        "name": "林",
        "phone": "138****5678",
        "email": "l***@example.com",
        "language": "zh-hans",
        "is_staff": False,
        "joined_at": answer.json()["joined_at"],
    }
    browser = APIClient()
    browser.force_login(lin)
    with django_assert_num_queries(2):  # session, user
        browser.get("/api/v1/auth/me")


# -- tokens -----------------------------------------------------------------------------------------------------------
def test_issue_list_and_revoke(lin):
    browser = APIClient()
    browser.force_login(lin)
    made = call(browser, "post", "tokens", {"name": "till", "scopes": ["account:read"]})
    assert made.status_code == 201
    program = APIClient(headers={"Authorization": f"Bearer {made.json()['secret']}"})
    assert call(program, "get", "me").status_code == 200
    (listed,) = call(browser, "get", "tokens").json()["items"]
    assert listed["prefix"] == made.json()["secret"][:8]
    assert not {"secret", "digest"} & set(listed)
    for _twice in range(2):
        assert call(browser, "delete", f"tokens/{listed['id']}").status_code == 204
    assert call(program, "get", "me").status_code == 401


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scopes": ["account:read"]}, "/name"),
        ({"name": "x", "scopes": []}, "/scopes"),
        ({"name": "x", "scopes": ["account:read", "all"]}, "/scopes/1"),
        ({"name": "x", "scopes": "account:read"}, "/scopes"),
        ({"name": "x", "scopes": ["account:read"], "expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
    ],
)
def test_a_token_asked_for_wrongly(lin, body, pointer):
    browser = APIClient()
    browser.force_login(lin)
    answer = call(browser, "post", "tokens", body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer)
    assert ApiToken.objects.count() == 0


def test_a_token_hands_on_no_more_than_it_holds(lin):
    tomorrow = timezone.now() + timedelta(days=1)
    small = with_token(lin, "account:write", "orders:read", expires_at=tomorrow)
    wanted = {"name": "x", "scopes": ["orders:read"], "expires_at": tomorrow.isoformat()}
    assert call(small, "post", "tokens", wanted).status_code == 201
    assert call(small, "post", "tokens", wanted | {"scopes": ["orders:write"]}).status_code == 403
    assert call(small, "post", "tokens", wanted | {"expires_at": None}).status_code == 403


def test_somebody_elses_token_is_not_there(lin):
    token, _secret = issue_token(
        user=User.objects.create_user("wei"), name="x", scopes=[], now=timezone.now()
    )
    browser = APIClient()
    browser.force_login(lin)
    assert call(browser, "delete", f"tokens/{token.pk}").status_code == 404
    assert call(browser, "get", "tokens").json()["items"] == []
    token.refresh_from_db()
    assert token.revoked_at is None


def test_live_tokens_are_bounded(lin, monkeypatch):
    monkeypatch.setattr("accounts.api.TOKENS_LIVE_MAX", 1)
    browser = APIClient()
    browser.force_login(lin)
    wanted = {"name": "x", "scopes": ["account:read"]}
    assert call(browser, "post", "tokens", wanted).status_code == 201
    assert call(browser, "post", "tokens", wanted).json()["code"] == "too_many_tokens"


def test_no_password_leaves_the_process(api, caplog):
    call(api, "post", "register", {"phone": "13812345678", "password": PASSWORD})
    sign_in(api)
    sign_in(api, password="wrong elephants")
    assert "elephants" not in caplog.text
    assert authenticate(username="13812345678", password=PASSWORD)


def test_every_address_is_described_with_its_problems():
    from drf_spectacular.generators import SchemaGenerator

    described = SchemaGenerator(patterns=urlpatterns).get_schema(public=True)["paths"]
    assert set(described) == {
        f"/api/v1/auth/{name}" for name in ("register", "session", "me", "tokens", "tokens/{token_id}")
    }
    for methods in described.values():
        for operation in methods.values():
            answers = [answer for answer in operation["responses"].values() if "content" in answer]
            assert any("application/problem+json" in answer["content"] for answer in answers)
    assert {"token": []} in described["/api/v1/auth/me"]["get"]["security"]
