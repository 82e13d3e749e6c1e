"""
Every error has one shape: RFC 9457, a stable code, the field named, and nothing that is not the caller's
business.
"""

import ast
import json
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DatabaseError, IntegrityError, OperationalError
from django.http import Http404
from django.test import Client
from django.urls import get_resolver, include, path
from django_ratelimit.exceptions import Ratelimited
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied as ApiPermissionDenied
from rest_framework.exceptions import Throttled
from rest_framework.response import Response
from rest_framework.views import APIView

from basis import problems
from basis.fast import FastStoreAway

pytestmark = pytest.mark.urls(__name__)


class Item(serializers.Serializer):
    seat = serializers.IntegerField()


class Body(serializers.Serializer):
    quantity = serializers.IntegerField(min_value=1, max_value=6)
    items = Item(many=True, required=False)

    def validate(self, data):
        if data["quantity"] == 5:
            raise serializers.ValidationError("Not five.", code="five")
        return data


class Parsing(APIView):
    public = True
    authentication_classes = []

    def post(self, request):
        Body(data=request.data).is_valid(raise_exception=True)
        return Response({"ok": True})


class Raising(APIView):
    public = True
    authentication_classes = []
    error: BaseException = Http404()

    def get(self, request):
        raise Raising.error


class SignedInOnly(APIView):
    def get(self, request):
        return Response({})

    post = get


def raising_page(request):
    raise Raising.error


urlpatterns = [
    path("api/parse", Parsing.as_view()),
    path("api/raise", Raising.as_view()),
    path("api/mine", SignedInOnly.as_view()),
    path("page", raising_page),
    path("api/page", raising_page),
    path("api/problems/", include("basis.problems")),
]
handler400, handler403 = problems.handler400, problems.handler403
handler404, handler500 = problems.handler404, problems.handler500


@pytest.fixture
def caller():
    return Client(
        raise_request_exception=False, headers={"X-Request-ID": "req-00000001", "Accept-Language": "en"}
    )


def post(caller, body, content_type="application/json"):
    return caller.post(
        "/api/parse", body if isinstance(body, str) else json.dumps(body), content_type=content_type
    )


def raised(caller, monkeypatch, error, url="/api/raise"):
    monkeypatch.setattr(Raising, "error", error)
    return caller.get(url)


def test_the_shape(caller, settings):
    response = caller.get("/api/nowhere")
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert response.json() == {
        "type": f"{settings.PUBLIC_URL}/api/problems/not_found",
        "title": "There is nothing here",
        "status": 404,
        "detail": "There is nothing here",
        "code": "not_found",
        "request_id": "req-00000001",
        "retryable": False,
    }


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, [("/quantity", "required")]),
        ({"quantity": 0}, [("/quantity", "min_value")]),
        ({"quantity": "six"}, [("/quantity", "invalid")]),
        ({"quantity": 5}, [("", "five")]),
        ({"quantity": 1, "items": [{"seat": 1}, {"seat": "x"}]}, [("/items/1/seat", "invalid")]),
        ({"quantity": 9, "items": [{}]}, [("/quantity", "max_value"), ("/items/0/seat", "required")]),
        ([1, 2], [("", "invalid")]),
    ],
)
def test_every_value_at_fault_is_named(caller, body, pointers):
    response = post(caller, body)
    assert response.status_code == 400
    answer = response.json()
    assert answer["code"] == "invalid"
    assert [(error["pointer"], error["code"]) for error in answer["errors"]] == pointers
    assert all(error["detail"] for error in answer["errors"])


@pytest.mark.parametrize(
    "body", ["{", '{"quantity": NaN}', "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "{}}"]
)
def test_what_cannot_be_read_is_malformed(caller, body):
    response = post(caller, body)
    assert (response.status_code, response.json()["code"]) == (400, "malformed")


def test_only_json_is_taken(caller):
    response = post(caller, "quantity=1", content_type="application/x-www-form-urlencoded")
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


def test_a_wrong_method_is_told_the_right_ones(caller):
    response = caller.delete("/api/parse")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in response["Allow"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer kp_unknown"}])
def test_401_says_how_to_sign_in(caller, headers, db):
    response = caller.get("/api/mine", headers=headers)
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["code"] == ("bad_token" if headers else "not_authenticated")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Http404("secret path"), 404, "not_found"),
        (PermissionDenied("secret"), 403, "forbidden"),
        (ApiPermissionDenied(), 403, "forbidden"),
        (ApiPermissionDenied("CSRF Failed: CSRF token missing."), 403, "csrf_failed"),
        (Throttled(wait=7.2), 429, "too_many_requests"),
        (Ratelimited(), 429, "too_many_requests"),
        (RequestDataTooBig("secret"), 413, "too_large"),
        (DjangoValidationError({"phone": "No."}), 400, "invalid"),
        (OperationalError("secret host"), 503, "unavailable"),
        (DatabaseError("secret host"), 503, "unavailable"),
        (FastStoreAway("secret host"), 503, "unavailable"),
        (IntegrityError("secret row"), 500, "internal"),
        (RuntimeError("secret 13812345678"), 500, "internal"),
        (problems.Problem(code="idempotency_in_flight", retry_after=1), 409, "idempotency_in_flight"),
    ],
)
def test_each_exception_becomes_its_problem(caller, monkeypatch, error, status, code):
    response = raised(caller, monkeypatch, error)
    answer = response.json()
    assert (response.status_code, answer["status"], answer["code"]) == (status, status, code)
    assert "secret" not in response.content.decode()
    assert answer["retryable"] == (code in {"too_many_requests", "unavailable", "idempotency_in_flight"})
    assert ("Retry-After" in response) == answer["retryable"]


def test_unexpected_errors_reach_djangos_signal_and_its_test_client(monkeypatch):
    monkeypatch.setattr(Raising, "error", RuntimeError("boom"))
    with pytest.raises(RuntimeError, match="boom"):
        Client().get("/api/raise")


def test_the_message_is_in_the_readers_language(caller, monkeypatch):
    from django.utils.translation import gettext_lazy

    error = problems.Problem(code="conflict", detail=gettext_lazy("Sunday"))
    chinese = Client(headers={"Accept-Language": "zh-hans"})
    assert raised(chinese, monkeypatch, error).json()["detail"] == "星期日"
    assert raised(caller, monkeypatch, error).json()["detail"] == "Sunday"


def test_members_and_retry_after_travel(caller, monkeypatch):
    error = problems.Problem(
        code="conflict", retry_after=3, retryable=True, order="K1", status=409, errors=[]
    )
    response = raised(caller, monkeypatch, error)
    assert response["Retry-After"] == "3"
    assert response.json()["order"] == "K1"
    assert response.json()["retryable"] is True


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Http404(), 404),
        (PermissionDenied(), 403),
        (Ratelimited(), 429),
        (OperationalError("x"), 503),
        (ValueError("x"), 500),
    ],
)
def test_pages_get_a_page_and_api_paths_a_problem(caller, monkeypatch, error, status):
    # Without the `db` fixture a query fails here: the page must come also while the database is away.
    page = raised(caller, monkeypatch, error, url="/page")
    assert page.status_code == status
    assert page["Content-Type"].startswith("text/html")
    assert "<h1>" in page.content.decode()
    api = raised(caller, monkeypatch, error, url="/api/page")
    assert (api.status_code, api["Content-Type"]) == (status, "application/problem+json")


def test_csrf_failures_keep_the_shape(rf):
    assert (
        problems.csrf_failure(rf.post("/api/x"), reason="no cookie").headers["Content-Type"]
        == problems.MEDIA_TYPE
    )
    page = problems.csrf_failure(rf.post("/x"), reason="no cookie")
    assert (page.status_code, page["Content-Type"].split(";")[0]) == (403, "text/html")


def test_the_type_of_a_problem_leads_to_its_description(caller, settings):
    listed = caller.get("/api/problems/").json()["items"]
    assert {"not_found", "internal", "scope_missing"} <= {item["code"] for item in listed}
    for item in listed:
        address = item["type"].removeprefix(settings.PUBLIC_URL)
        assert caller.get(address).json() == item
        page = caller.get(address, headers={"Accept": "text/html,*/*"})
        assert item["title"] in page.content.decode().replace("&#x27;", "'")
    assert caller.get("/api/problems/nothing_like_it").status_code == 404


def test_a_code_has_one_meaning():
    with pytest.raises(ValueError, match="another meaning"):
        problems.define("not_found", status=410, title="Gone")


def test_a_subclass_defines_its_code(caller, monkeypatch):
    class Closed(problems.Problem):
        """The window has closed."""

        code, status, title = "test_window_closed", 409, "The window has closed"

    monkeypatch.setitem(problems.KINDS, "test_window_closed", problems.KINDS["test_window_closed"])
    response = raised(caller, monkeypatch, Closed())
    assert response.json()["detail"] == "The window has closed"
    assert response.status_code == 409
    problems.KINDS.pop("test_window_closed")


def test_responses_for_the_api_description():
    described = problems.problem_responses("not_found", "conflict", "idempotency_in_flight")
    assert set(described) == {(404, problems.MEDIA_TYPE), (409, problems.MEDIA_TYPE)}
    assert described[409, problems.MEDIA_TYPE].description == "`conflict` · `idempotency_in_flight`"


def test_every_code_that_the_product_raises_is_defined():
    """A code nobody defined would have no page, no fixed status and no title."""
    get_resolver("config.urls").url_patterns  # noqa: B018  # imports every view, and with it every `define`
    raised_codes = {
        (source.name, keyword.value.value)
        for app in ("basis", "accounts", "wallet", "risk", "payments", "ticketing", "desk", "operations")
        for source in Path(settings.BASE_DIR, app).rglob("*.py")
        for call in ast.walk(ast.parse(source.read_text()))
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", getattr(call.func, "attr", "")) == "Problem"
        for keyword in call.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }
    assert len(raised_codes) > 10
    assert {(source, code) for source, code in raised_codes if code not in problems.KINDS} == set()
