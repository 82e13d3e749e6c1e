"""
One key, one execution, one answer; also for threads that press at the same moment, and for processes that
die.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.test import Client
from django.urls import path
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from accounts.models import User
from basis import idempotency
from basis.idempotency import forget, idempotent
from basis.models import IdempotencyRecord
from basis.problems import Problem

pytestmark = pytest.mark.urls(__name__)

THREADS = 16


class Counted(APIView):
    """Counts its executions; `entered` and `may_leave` let a test hold one inside."""

    authentication_classes = []
    permission_classes = []
    executed = 0
    outcome: object = None
    entered = threading.Event()
    may_leave = threading.Event()
    counting = threading.Lock()

    def initialize_request(self, request, *args, **kwargs):
        found = super().initialize_request(request, *args, **kwargs)
        found.user = request.user_of_test if hasattr(request, "user_of_test") else Counted.user
        return found

    @idempotent
    def post(self, request, **kwargs):
        return self._work(request)

    def _work(self, request):
        with Counted.counting:
            Counted.executed += 1
            number = Counted.executed
        Counted.entered.set()
        assert Counted.may_leave.wait(10)
        if isinstance(Counted.outcome, Exception):
            raise Counted.outcome
        return Response(
            {"number": number, "text": "林 ≥ 1"}, status=201, headers={"Location": f"/things/{number}"}
        )


class Unguarded(Counted):
    """The twin: the same work without the claim."""

    def post(self, request, **kwargs):
        return self._work(request)


urlpatterns = [
    path("api/things", Counted.as_view()),
    path("api/things/<int:thing>/parts", Counted.as_view()),
    path("api/unguarded", Unguarded.as_view()),
]


@pytest.fixture(autouse=True)
def fresh(request):
    Counted.executed, Counted.outcome = 0, None
    Counted.entered, Counted.may_leave = threading.Event(), threading.Event()
    Counted.may_leave.set()


@pytest.fixture
def lin(db):
    Counted.user = User.objects.create_user("lin")
    return Counted.user


@pytest.fixture
def lin_for_all(django_db_setup, django_db_blocker):
    """
    Lin, committed, as threads need her. Swept by rows, since append-only tables refuse the usual TRUNCATE.
    """
    with django_db_blocker.unblock():
        Counted.user = User.objects.create_user("lin")
        yield Counted.user
        IdempotencyRecord.objects.all().delete()
        User.objects.all().delete()


def press(key="k-1", body=None, url="/api/things", **kwargs):
    client = APIClient(raise_request_exception=False)
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(url, {"seat": 1} if body is None else body, format="json", headers=headers, **kwargs)


def test_a_repetition_gets_the_same_answer(lin):
    first, again = press(), press()
    assert (first.status_code, again.status_code, Counted.executed) == (201, 201, 1)
    assert first.content == again.content
    assert again["Location"] == first["Location"] == "/things/1"
    assert again["Content-Type"] == first["Content-Type"] == "application/json"
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"


def test_query_counts(lin, django_assert_num_queries):
    with django_assert_num_queries(2):  # claim, outcome
        press()
    with django_assert_num_queries(2):  # claim refused, look
        press()
    with django_assert_num_queries(2):
        assert press(body={"seat": 2}).status_code == 422
    Counted.outcome = RuntimeError("boom")
    with django_assert_num_queries(2):  # claim, release
        assert press(key="k-2").status_code == 500


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "idempotency_key_missing"),
        ("", "idempotency_key_missing"),
        ("a b", "idempotency_key_invalid"),
        ("x" * 256, "idempotency_key_invalid"),
        ("schlüssel", "idempotency_key_invalid"),
        ("tab\tkey", "idempotency_key_invalid"),
        ("\x7f", "idempotency_key_invalid"),
    ],
)
def test_a_key_is_required_and_sane(lin, key, code):
    answer = press(key=key)
    assert (answer.status_code, answer.json()["code"], Counted.executed) == (400, code, 0)
    assert IdempotencyRecord.objects.count() == 0


@pytest.mark.parametrize("key", ["x", "~" * 255, "!", '"quoted"'])
def test_the_bounds_of_a_key_are_keys(lin, key):
    assert press(key=key).status_code == 201


def test_another_body_is_refused_and_the_first_answer_stays(lin):
    press(body={"seat": 1})
    other = press(body={"seat": 2})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert press(body={"seat": 1})["Idempotent-Replayed"] == "true"
    assert Counted.executed == 1


def test_white_space_and_key_order_do_not_matter():
    assert idempotency.fingerprint({"a": 1, "b": [1, 2]}) == idempotency.fingerprint({"b": [1, 2], "a": 1})


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1}, {"a": "1"}), ({"a": 1}, {"a": True}), ([1, 2], [2, 1]), ({}, []), ({"a": None}, {})],
)
def test_every_value_matters(one, other):
    assert idempotency.fingerprint(one) != idempotency.fingerprint(other)


def test_keys_belong_to_a_user_and_a_route_with_its_arguments(lin):
    press()
    press(url="/api/things/1/parts")
    press(url="/api/things/2/parts")
    Counted.user = User.objects.create_user("wei")
    press()
    assert Counted.executed == 4


def test_nobody_is_no_principal(lin):
    from django.contrib.auth.models import AnonymousUser

    Counted.user = AnonymousUser()
    assert press().status_code == 401
    assert Counted.executed == 0


def test_a_body_that_cannot_be_read_claims_nothing(lin):
    answer = Client().post(
        "/api/things", "{", content_type="application/json", headers={"Idempotency-Key": "k"}
    )
    assert answer.status_code == 400
    assert IdempotencyRecord.objects.count() == 0


def test_a_decision_against_the_caller_is_kept(lin):
    Counted.outcome = Problem(code="conflict", detail="Sold out.")
    first = press()
    Counted.outcome = None  # seats came back; the answer to this key does not change
    again = press()
    assert (first.status_code, again.status_code, Counted.executed) == (409, 409, 1)
    assert again.json() == first.json()
    assert again["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "outcome",
    [
        Problem(code="invalid"),
        Problem(code="not_authenticated"),
        Problem(code="forbidden"),
        Problem(code="not_found"),
        Problem(code="too_many_requests", retry_after=1),
        Problem(code="conflict", retryable=True),
        Problem(code="unavailable"),
        OperationalError("gone"),
        RuntimeError("boom"),
    ],
)
def test_what_decided_nothing_may_be_tried_again_with_the_same_key(lin, outcome):
    Counted.outcome = outcome
    assert press().status_code >= 400
    assert IdempotencyRecord.objects.count() == 0
    Counted.outcome = None
    assert press().status_code == 201
    assert Counted.executed == 2


def test_an_outcome_that_cannot_be_stored_still_reaches_the_caller(lin, monkeypatch):
    def away(_claimed, _response):
        raise DatabaseError("gone")

    with monkeypatch.context() as broken:
        broken.setattr(idempotency, "_store", away)
        assert press().status_code == 201
    answer = press()
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_flight")


def claimed_by_a_dead_process(lin, *, claimed_until):
    return IdempotencyRecord.objects.create(
        principal=f"user:{lin.pk}",
        route="POST api/things",
        key="k-1",
        fingerprint=idempotency.fingerprint({"seat": 1}),
        claimed_until=claimed_until,
        created_at=timezone.now(),
    )


def test_a_dead_process_holds_its_key_until_the_lease_ends(lin):
    row = claimed_by_a_dead_process(lin, claimed_until=timezone.now() + timedelta(seconds=5))
    answer = press()
    assert (answer.status_code, answer["Retry-After"], Counted.executed) == (409, "1", 0)
    assert answer.json()["retryable"] is True
    IdempotencyRecord.objects.filter(pk=row.pk).update(claimed_until=timezone.now())
    assert press(body={"seat": 2}).status_code == 422
    assert press().status_code == 201
    assert press()["Idempotent-Replayed"] == "true"
    assert Counted.executed == 1


def test_whoever_lost_his_lease_writes_nothing(lin):
    """He wakes up after another took over: his outcome must not replace the other's."""
    now = timezone.now()
    late = idempotency.Claim(f"user:{lin.pk}", "POST api/things", "k-1", "f" * 64, now)
    claimed_by_a_dead_process(lin, claimed_until=now)
    press()
    idempotency._record(late, Response({"number": "late"}, status=201))
    idempotency._record(late, None)
    assert press().json()["number"] == 1


def test_forget_deletes_the_old_in_batches(lin, django_assert_num_queries):
    now = timezone.now()
    for number in range(7):
        press(key=f"old-{number}")
    IdempotencyRecord.objects.update(created_at=now - timedelta(hours=49))
    press(key="young")
    with django_assert_num_queries(6):  # 3 looks, 3 deletes: 3 + 3 + 1
        assert forget(older_than=timedelta(hours=48), now=now, batch=3) == 7
    assert list(IdempotencyRecord.objects.values_list("key", flat=True)) == ["young"]


def test_the_api_description_names_the_header():
    from drf_spectacular.generators import SchemaGenerator

    described = SchemaGenerator(patterns=urlpatterns).get_schema(public=True)
    for url in ("/api/things", "/api/things/{thing}/parts"):
        named = [parameter["name"] for parameter in described["paths"][url]["post"]["parameters"]]
        assert "Idempotency-Key" in named
    assert "parameters" not in described["paths"]["/api/unguarded"]["post"]


# -- the race, and its twin without the guard
# -------------------------------------------------------------------------
def press_at_once(url):
    """All threads at the barrier; whoever executes is held inside until every other has had his answer."""
    barrier = threading.Barrier(THREADS)
    answers = []

    def one(_number):
        try:
            barrier.wait(10)
            answers.append(press(url=url))
        finally:
            connection.close()

    Counted.may_leave.clear()
    with ThreadPoolExecutor(THREADS) as pool:
        done = [pool.submit(one, number) for number in range(THREADS)]
        assert Counted.entered.wait(10)
        deadline = timezone.now() + timedelta(seconds=5)
        while len(answers) < THREADS - 1 and Counted.executed < THREADS and timezone.now() < deadline:
            threading.Event().wait(0.01)
        Counted.may_leave.set()
        for future in done:
            future.result(10)
    return sorted(answer.status_code for answer in answers)


def test_without_the_claim_every_press_is_executed(lin_for_all):
    """If this fails, the test below proves nothing."""
    assert press_at_once("/api/unguarded") == [201] * THREADS
    assert Counted.executed == THREADS


def test_sixteen_presses_at_once_are_executed_once(lin_for_all):
    assert press_at_once("/api/things") == [201] + [409] * (THREADS - 1)
    assert Counted.executed == 1
    assert press()["Idempotent-Replayed"] == "true"


def test_an_expired_lease_is_taken_over_by_one(lin_for_all):
    claimed_by_a_dead_process(lin_for_all, claimed_until=timezone.now() - timedelta(seconds=1))
    assert press_at_once("/api/things") == [201] + [409] * (THREADS - 1)
    assert Counted.executed == 1
