"""The request's id and the two health questions."""

from unittest.mock import Mock

import pytest
from django.db import OperationalError, connection
from django.test import RequestFactory
from redis.exceptions import ConnectionError as RedisAway

from basis import health
from basis.events import request_id
from basis.requests import RequestIdMiddleware


def answer_to(**headers):
    from django.http import HttpResponse

    return RequestIdMiddleware(lambda _request: HttpResponse(request_id()))(
        RequestFactory().get("/", headers=headers)
    )


def test_a_sane_id_is_kept():
    response = answer_to(**{"X-Request-ID": "edge-0123456789"})
    assert response["X-Request-ID"] == response.content.decode() == "edge-0123456789"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "short",
        "a" * 65,
        "with space 1234",
        "line\nbreak-1234",
        "<script>alert</script>",
        "汉字汉字汉字汉字",
    ],
)
def test_another_id_is_replaced(given):
    response = answer_to(**{"X-Request-ID": given})
    assert len(response["X-Request-ID"]) == 24
    assert response["X-Request-ID"] == response.content.decode()


def test_the_id_ends_with_its_request():
    answer_to()
    assert request_id() == ""


def test_livez_asks_nobody(django_assert_num_queries, db):
    with django_assert_num_queries(0):
        assert health.livez(RequestFactory().get("/livez")).content == b"ok\n"


def readyz(monkeypatch, *, redis=None, postgres=None):
    with monkeypatch.context() as changed:
        changed.setattr(health.fast, "store", lambda: Mock(ping=Mock(return_value=True, side_effect=redis)))
        if postgres:
            changed.setattr(connection, "cursor", Mock(side_effect=postgres))
        return health.readyz(RequestFactory().get("/readyz"))


def test_readyz_names_each_answer(db, monkeypatch, django_assert_num_queries):
    with django_assert_num_queries(1):
        response = readyz(monkeypatch)
    assert (response.status_code, response.content) == (
        200,
        b'{"status": "ready", "postgres": "ok", "redis": "ok"}',
    )


def test_without_redis_we_are_degraded_and_still_ready(db, monkeypatch):
    response = readyz(monkeypatch, redis=RedisAway("gone"))
    assert (response.status_code, response.content) == (
        200,
        b'{"status": "degraded", "postgres": "ok", "redis": "away"}',
    )


def test_without_postgres_we_are_not_ready(db, monkeypatch):
    response = readyz(monkeypatch, postgres=OperationalError("gone"))
    assert response.status_code == 503
    assert response["Retry-After"] == "2"
