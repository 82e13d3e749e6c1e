"""
One Idempotency-Key, one execution, one answer (docs/adr/0006).

    class OrdersView(APIView):
        @idempotent
        def post(self, request): ...

1. The claim is one `INSERT … ON CONFLICT DO NOTHING`, committed on its own before anything else happens.
   Whoever inserted the row executes; everybody else reads it: 409 while it is in flight, 422 if the body
   differs, else the stored answer with `Idempotent-Replayed: true`.
2. A final outcome (2xx, and a 4xx that is a decision, such as "sold out") is stored. What decided nothing
   (400, 401, 403, 404, 429, 5xx, anything retryable) releases the claim, so that the same key may be tried
   again.
3. A process that died holds its claim until the lease ends (`IDEMPOTENCY_LEASE`); then the key may be
   **executed again**. That is safe only because the domain below is idempotent by natural keys: order number,
   payment number, one winner per order. This layer saves work and repeats answers; it is not what keeps money
   right. The lease must therefore be longer than the slowest request (the statement timeout bounds those).
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpResponse, QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from basis import events, prepared
from basis.models import IdempotencyRecord
from basis.problems import Problem

log = events.get_logger(__name__)

KEY_LENGTH_MAX = 255
ROUTE_LENGTH_MAX = 200
STORED_HEADERS = ("Content-Type", "Location", "ETag", "Cache-Control")
# Statuses that say nothing about the thing asked for: nothing was executed, or the answer may differ in a
# moment.
UNDECIDED = frozenset({400, 401, 403, 404, 405, 406, 408, 413, 415, 423, 425, 429})
FORGET_BATCH = 1000

KEY_HEADER = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    required=True,
    description="1 to 255 visible ASCII characters, made by the client, new for every new intent.",
)

ViewMethod = TypeVar("ViewMethod", bound=Callable[..., Any])


@dataclass(frozen=True)
class Claim:
    """
    Whose request this is, and until when. `claimed_until` fences: a claim that was taken over can write
    nothing.
    """

    principal: str
    route: str
    key: str
    fingerprint: str
    claimed_until: datetime

    def rows(self) -> Any:
        return IdempotencyRecord.objects.filter(
            principal=self.principal,
            route=self.route,
            key=self.key,
            claimed_until=self.claimed_until,
            status=None,
        )


def idempotent(method: ViewMethod) -> ViewMethod:
    """Make a DRF view method execute once per (user, route, Idempotency-Key). The user must be signed in."""

    @functools.wraps(method)
    def wrapper(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        wanted = _wanted(request, now=timezone.now())
        claimed = claim(wanted, now=timezone.now())
        if isinstance(claimed, HttpResponse):
            return claimed
        return _execute(claimed, lambda: method(view, request, *args, **kwargs), view)

    return extend_schema(parameters=[KEY_HEADER])(wrapper)  # type: ignore[return-value]


def claim(wanted: Claim, *, now: datetime) -> Claim | HttpResponse:
    """
    The claim, if this request is the one to execute; else the stored answer.

    :raises Problem: `idempotency_in_flight` or `idempotency_key_reused`
    """
    if _inserted(wanted, now=now):
        return wanted
    record = IdempotencyRecord.objects.filter(
        principal=wanted.principal, route=wanted.route, key=wanted.key
    ).first()
    if record is None:
        raise in_flight()  # Released between the two statements: the client asks again and gets its turn.
    if record.fingerprint != wanted.fingerprint:
        raise Problem(
            code="idempotency_key_reused",
            detail=_("This Idempotency-Key was used with other values. Take a new key for a new intent."),
        )
    if record.status is not None:
        return _replayed(record)
    if record.claimed_until > now or not _taken_over(record, wanted):
        raise in_flight()
    log.warning("idempotency.taken_over", route=wanted.route, key=wanted.key)
    return wanted


def forget(*, older_than: timedelta, now: datetime, batch: int = FORGET_BATCH) -> int:
    """
    Delete the records older than `older_than`, `batch` at a time, so that no delete holds many rows; their
    number.
    """
    forgotten = 0
    while True:
        old = (
            IdempotencyRecord.objects.filter(created_at__lt=now - older_than)
            .order_by("created_at")
            .values("pk")
        )
        deleted, _per_model = IdempotencyRecord.objects.filter(
            pk__in=list(old[:batch].values_list("pk", flat=True))
        ).delete()
        forgotten += deleted
        if deleted < batch:
            return forgotten


def in_flight() -> Problem:
    return Problem(
        code="idempotency_in_flight",
        detail=_("The same request is still being worked on. Ask again in a moment; do not take a new key."),
        retry_after=1,
    )


# -- who, where, what
# -------------------------------------------------------------------------------------------------
def _wanted(request: Request, *, now: datetime) -> Claim:
    if not request.user.is_authenticated:
        # Two strangers with the same key would read each other's answers.
        raise NotAuthenticated
    return Claim(
        principal=f"user:{request.user.pk}",
        route=_route(request),
        key=_key(request),
        fingerprint=fingerprint(request.data, request.META.get("QUERY_STRING", "")),
        claimed_until=now + settings.IDEMPOTENCY_LEASE,
    )


def _key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key")
    if not key:
        raise Problem(
            code="idempotency_key_missing",
            detail=_("Send an Idempotency-Key header, so that a repeated request is not executed twice."),
        )
    if len(key) > KEY_LENGTH_MAX or not all("!" <= character <= "~" for character in key):
        raise Problem(
            code="idempotency_key_invalid",
            detail=_("An Idempotency-Key is 1 to 255 visible ASCII characters."),
        )
    return key


def _route(request: Request) -> str:
    """
    Method, path template and its arguments. A long one is cut and ends in its hash, so it stays one of its
    kind.
    """
    found = getattr(request._request, "resolver_match", None)
    if found is None:
        route = f"{request.method} {request.path}"
    else:
        arguments = " ".join(f"{name}={value}" for name, value in sorted(found.kwargs.items()))
        route = f"{request.method} {found.route} {arguments}".rstrip()
    if len(route) <= ROUTE_LENGTH_MAX:
        return route
    return route[: ROUTE_LENGTH_MAX - 65] + " " + hashlib.sha256(route.encode()).hexdigest()


def fingerprint(data: Any, query: str = "") -> str:
    """SHA-256 of the canonical body: key order and white space do not matter, every value does."""
    if isinstance(data, QueryDict):
        data = dict(sorted(data.lists()))
    canonical = json.dumps([data, query], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


# -- the row
# ----------------------------------------------------------------------------------------------------------
# The commits of the claim and of the outcome do not wait for the disk: one wait a request, the domain's own, is
# enough. A log is written in order, so whatever the domain commits takes its claim along; an outcome that a crash of
# the server loses leaves a claim, which is case 3 above. Inside a caller's transaction nothing changes.
IN_NO_HURRY = """(
  SELECT set_config('synchronous_commit', CASE WHEN %s THEN 'off' ELSE current_setting('synchronous_commit') END, true)
) AS in_no_hurry"""

INSERT = f"""
INSERT INTO basis_idempotencyrecord
    (principal, route, key, fingerprint, status, body, headers, claimed_until, created_at)
SELECT %s, %s, %s, %s, NULL, '', '{{}}', %s, %s FROM {IN_NO_HURRY}
ON CONFLICT (principal, route, key) DO NOTHING
"""  # noqa: S608 (only our own text goes in)
UPDATE = f"""
UPDATE basis_idempotencyrecord SET status = %s, body = %s, headers = %s FROM {IN_NO_HURRY}
 WHERE principal = %s AND route = %s AND key = %s AND claimed_until = %s AND status IS NULL
"""  # noqa: S608 (only our own text goes in)


def _inserted(wanted: Claim, *, now: datetime) -> bool:
    """
    One statement decides who executes. Django's `ignore_conflicts` would not say whether the row is ours.
    """
    row = (wanted.principal, wanted.route, wanted.key, wanted.fingerprint, wanted.claimed_until, now)
    with prepared.cursor() as cursor:
        cursor.execute(INSERT, [*row, not connection.in_atomic_block])
        return bool(cursor.rowcount == 1)


def _taken_over(record: IdempotencyRecord, wanted: Claim) -> bool:
    """Compare-and-set on the lease that was seen: of several who find it expired, one goes on."""
    expired = IdempotencyRecord.objects.filter(pk=record.pk, status=None, claimed_until=record.claimed_until)
    return bool(expired.update(claimed_until=wanted.claimed_until) == 1)


def _execute(claimed: Claim, run: Callable[[], Any], view: Any) -> HttpResponse:
    """
    Run the view method; its exceptions become answers here, because a decision that was refused is kept, too.
    """
    try:
        response = run()
    except Exception as error:
        try:
            response = view.handle_exception(error)
        except Exception:
            _record(claimed, None)
            raise
    _record(claimed, response)
    return response


def _record(claimed: Claim, response: Any) -> None:
    """
    Store the outcome, or release the claim.

    A database that is away now does not undo what was executed: the answer still goes out, and a repetition
    waits for the lease and finds the domain's natural keys.
    """
    try:
        if response is not None and _is_decision(response):
            _store(claimed, response)
        else:
            claimed.rows().delete()
    except DatabaseError as error:
        log.error("idempotency.not_recorded", route=claimed.route, error=type(error).__name__)


def _store(claimed: Claim, response: Any) -> None:
    outcome = (response.status_code, _body(response), json.dumps(_kept_headers(response)))
    whose = (claimed.principal, claimed.route, claimed.key, claimed.claimed_until)
    with prepared.cursor() as cursor:
        cursor.execute(UPDATE, [*outcome, not connection.in_atomic_block, *whose])


def _is_decision(response: Any) -> bool:
    if response.status_code >= 500 or response.status_code in UNDECIDED:
        return False
    data = getattr(response, "data", None)
    return not (isinstance(data, dict) and response.status_code >= 400 and data.get("retryable"))


def _body(response: Any) -> str:
    if isinstance(response, Response):
        return JSONRenderer().render(response.data).decode()
    return str(response.content.decode())


def _kept_headers(response: Any) -> dict[str, str]:
    kept = {name: response.headers[name] for name in STORED_HEADERS if name in response.headers}
    if isinstance(response, Response):
        # DRF sets the type when it renders, which is later than now.
        kept["Content-Type"] = response.content_type or JSONRenderer.media_type
    return kept


def _replayed(record: IdempotencyRecord) -> HttpResponse:
    response = HttpResponse(record.body, status=record.status, headers=record.headers)
    response.headers["Idempotent-Replayed"] = "true"
    return response
