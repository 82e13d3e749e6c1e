"""The API's description: committed, current, served, and true of every answer."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from tests.api.conftest import Program

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.yaml"
GENERATE = "manage.py spectacular --lang en --validate --fail-on-warn --file docs/openapi.yaml"
# How many requests of each kind are made up for each operation: always the same few, unless a thorough run asks for
# more, which are others every time.
THOROUGH = os.environ.get("API_EXAMPLES", "")
EXAMPLES = int(THOROUGH or "8")


@pytest.mark.django_db
def test_the_committed_description_is_the_generated_one(tmp_path):
    generated = tmp_path / "openapi.yaml"
    call_command("spectacular", "--lang", "en", "--validate", "--fail-on-warn", "--file", str(generated))
    assert generated.read_text() == COMMITTED.read_text(), f"the API changed; run: {GENERATE}"


@pytest.mark.django_db
def test_it_is_served_with_a_console_that_needs_no_network(stranger):
    served = stranger.get("/api/schema/", **{"Accept-Language": "en"})
    assert yaml.safe_load(served.content) == yaml.safe_load(COMMITTED.read_text())
    page = stranger.get("/api/docs/").content.decode()
    assert "/static/drf_spectacular_sidecar/" in page
    assert "cdn" not in page
    assert "https://" not in page


def test_every_operation_says_what_it_needs():
    described = yaml.safe_load(COMMITTED.read_text())
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            where = f"{method.upper()} {path}"
            assert operation["summary"], where
            public = operation.get("security") in (None, [], [{}])
            assert public or "401" in operation["responses"], (
                f"{where}: say auth=[] if it is public, else describe 401"
            )
            if method == "post" and "Idempotency-Key" in str(operation.get("parameters")):
                assert {"400", "409", "422"} <= set(operation["responses"]), where


@pytest.fixture
def described(db):
    """The served description, over the WSGI application itself; its requests share the test's transaction."""
    schemathesis = pytest.importorskip("schemathesis")
    from config.wsgi import application

    with one_transaction():
        return schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)


@contextmanager
def one_transaction():
    """Requests inside leave the test's connection open, as Django's own test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


@pytest.mark.django_db
@pytest.mark.timeout(600)
def test_any_request_gets_an_answer_that_is_described(described, show, lin, pay, place):
    """Made-up requests, good and bad, with numbers that exist and that do not: no 5xx, and nothing undescribed."""
    from schemathesis import GenerationMode

    known = numbers_of(lin, show, pay, place)
    sent = 0
    for found in described.get_all_operations():
        operation = found.ok()
        if "/auth/" not in operation.path:  # signing in is slow on purpose; tests/accounts has it
            sent += try_out(operation, GenerationMode.POSITIVE, known, lin)
            sent += try_out(operation, GenerationMode.NEGATIVE, known, lin)
    assert sent > 20 * EXAMPLES


def try_out(operation, mode, known, lin):
    """Send `EXAMPLES` made-up requests; how many were sent."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st
    from hypothesis.errors import Unsatisfiable

    sent = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=not THOROUGH,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
    def check(case, real):
        if real:
            put_in(case, known)
        sent.append(case)
        validate(case, lin)

    try:
        check()
    except Unsatisfiable:
        assert mode.is_negative, (
            operation.label
        )  # where there is nothing to send, nothing can be wrong with it
    return len(sent)


def numbers_of(lin: Program, show, pay, place):
    """What lin has, by the names of path parameters and body members."""
    payment = pay(lin)
    return {
        "slug": show.event.slug,
        "code": show.code,
        "section": "A1",
        "orders": place(lin)["number"],
        "payments": payment["number"],
        "topups": lin.post("/wallet/topups", {"amount": 10}).json()["number"],
        "tickets": lin.get("/tickets").json()["items"][0]["number"],
        "show": show.code,
        "tier": "UPPER",
    }


def put_in(case, known):
    """Real numbers in place of made-up ones, so that more than "not found" is reached."""
    kind = next(
        (kind for kind in ("topups", "orders", "payments", "tickets") if f"/{kind}/" in case.path), ""
    )
    for name in case.path_parameters or {}:
        # Staff's things are not a buyer's: there is no real number of them here.
        case.path_parameters[name] = known.get(name) or known.get(kind, "NOTHING0")
    if isinstance(case.body, dict):
        for name in ("show", "tier"):
            if name in case.body:
                case.body[name] = known[name]


def validate(case, lin):
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    def no_defect(ctx, response, case):
        # Nobody drains the rush here: a submission is told to come back, which is no defect.
        if response.status_code == 503 and "retry-after" in response.headers:
            return None
        return not_a_server_error(ctx, response, case)

    # Any address may answer 406; that is said once (docs/api-errors.md), not at every operation.
    case.headers.pop("Accept", None)
    checks = [
        no_defect,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    with one_transaction():
        case.call_and_validate(headers={"Authorization": f"Bearer {lin.secret}"}, checks=checks)
