"""
Every error of the API, as RFC 9457 `application/problem+json`; docs/api-errors.md explains them to callers.

An anticipated error is raised by name: `raise Problem(code="sold_out", detail=_("…"))`, or as a subclass that
an app defines beside the code raising it. Each code is defined once, with `define`, so that clients can rely
on its meaning, its status and whether trying again helps. What nobody anticipated becomes `internal` and
reaches the log.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.signals import got_request_exception
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    ProgrammingError,
)
from django.db import InternalError as DatabaseInternalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.template.loader import render_to_string
from django.urls import path
from django.utils.translation import gettext as translate
from django.utils.translation import gettext_lazy as _
from django_ratelimit.exceptions import Ratelimited
from drf_spectacular.utils import OpenApiResponse
from rest_framework import exceptions, serializers
from rest_framework.response import Response

from basis import events
from basis.fast import FastStoreAway
from basis.quota import Quota

log = events.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
API_PREFIX = "/api/"
AUTHENTICATE = 'Bearer realm="kaipiao"'
RETRY_AFTER_S = 2
RETRYABLE_STATUSES = frozenset({429, 503})


# -- the codes
# ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Kind:
    """
    What a code means, always and everywhere: its status, its title, and whether the same request may be
    repeated.
    """

    code: str
    status: int
    title: Any
    retryable: bool = False

    @property
    def uri(self) -> str:
        return f"{settings.PUBLIC_URL}/api/problems/{self.code}"


KINDS: dict[str, Kind] = {}


def define(code: str, *, status: int, title: Any, retryable: bool = False) -> Kind:
    """
    Define a code of the API. Call it at import time, beside what raises it.

    :raises ValueError: the code is taken with another meaning
    """
    kind = Kind(code=code, status=status, title=title, retryable=retryable)
    known = KINDS.setdefault(code, kind)
    if (known.status, known.retryable) != (status, retryable):
        raise ValueError(f"problem code {code} is already defined with another meaning")
    return known


define("malformed", status=400, title=_("The request cannot be read"))
define("invalid", status=400, title=_("Some values are not valid"))
define("idempotency_key_missing", status=400, title=_("This request needs an Idempotency-Key"))
define("idempotency_key_invalid", status=400, title=_("The Idempotency-Key is not valid"))
define("not_authenticated", status=401, title=_("Sign in first"))
define("bad_token", status=401, title=_("The token is not valid"))
define("forbidden", status=403, title=_("You may not do this"))
define("csrf_failed", status=403, title=_("The form has expired; load the page again"))
define("not_found", status=404, title=_("There is nothing here"))
define("method_not_allowed", status=405, title=_("This address does not know this method"))
define("not_acceptable", status=406, title=_("The answer is only available as JSON"))
define("conflict", status=409, title=_("This is not possible now"))
define(
    "idempotency_in_flight", status=409, title=_("The same request is still being worked on"), retryable=True
)
define("too_large", status=413, title=_("The request is too large"))
define("unsupported_media_type", status=415, title=_("Send JSON"))
define("idempotency_key_reused", status=422, title=_("The Idempotency-Key belongs to another request"))
define("too_many_requests", status=429, title=_("Too many requests; wait a moment"), retryable=True)
define("internal", status=500, title=_("Something went wrong on our side"))
define("unavailable", status=503, title=_("Temporarily unavailable; try again"), retryable=True)


# -- raising one
# ----------------------------------------------------------------------------------------------------
class Problem(exceptions.APIException):
    """
    An anticipated error, answered as problem+json.

    A subclass may fix `code`, `status`, `title` and `detail` as class attributes; it then defines the code.
    `detail` is for people, translated, and never holds what the caller may not know. `errors` names the
    values at fault: `{"pointer": "/quantity", "code": "max_value", "detail": "…"}`. Other keywords become
    members of the answer.
    """

    code = "conflict"
    status = 0
    title: Any = ""
    detail: Any = ""
    retry_after: int | None = None
    retryable: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__ and cls.status:
            define(cls.code, status=cls.status, title=cls.title or cls.detail, retryable=cls.retryable)

    def __init__(
        self,
        *,
        code: str = "",
        detail: Any = "",
        status: int = 0,
        retry_after: int | None = None,
        retryable: bool | None = None,
        errors: Iterable[Mapping[str, Any]] = (),
        quota: Quota | None = None,
        **members: Any,
    ) -> None:
        self.code = code or self.code
        kind = KINDS.get(self.code)
        self.status = status or (kind.status if kind else self.status) or 409
        self.status_code = self.status
        self.detail = detail or self.detail or (kind.title if kind else self.code)
        self.retry_after = self.retry_after if retry_after is None else retry_after
        self.retryable = (kind.retryable if kind else self.retryable) if retryable is None else retryable
        self.errors = list(errors)
        self.quota = quota
        self.members = members

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.detail}"

    def get_codes(self) -> str:
        return self.code

    def body(self) -> dict[str, Any]:
        """The members of the answer. Standard members win over `members` of the same name."""
        kind = KINDS.get(self.code) or Kind(self.code, self.status, HTTPStatus(self.status).phrase)
        body = dict(self.members) | {
            "type": kind.uri,
            "title": str(kind.title),
            "status": self.status,
            "detail": str(self.detail),
            "code": self.code,
            "request_id": events.request_id(),
            "retryable": self.retryable,
        }
        if self.errors:
            body["errors"] = [{**error, "detail": str(error["detail"])} for error in self.errors]
        return body

    def headers(self) -> dict[str, str]:
        headers = {"Cache-Control": "no-store"}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.quota is not None:
            headers |= self.quota.headers()
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = AUTHENTICATE
        return headers


# -- who wants to know
# ------------------------------------------------------------------------------------------------
Watcher = Callable[["Problem", Any], None]
_watchers: list[Watcher] = []


def watch(watcher: Watcher) -> None:
    """Call `watcher(problem, request)` for everything that the API refuses. It must not fail, and be quick."""
    if watcher not in _watchers:
        _watchers.append(watcher)


# -- from exception to problem
# --------------------------------------------------------------------------------------
def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's exception handler. It answers every exception: nothing leaves the API in another shape."""
    problem = problem_of(error)
    if problem.status >= 500:
        _report(error, problem, context.get("request"))
    for watcher in _watchers:
        watcher(problem, context.get("request"))
    response = Response(
        problem.body(), status=problem.status, headers=problem.headers(), content_type=MEDIA_TYPE
    )
    if isinstance(error, exceptions.MethodNotAllowed) and context.get("view") is not None:
        response.headers["Allow"] = ", ".join(context["view"].allowed_methods)
    return response


def problem_of(error: BaseException | None) -> Problem:
    """The problem that says to a client what `error` means, and not more."""
    match error:
        case Problem():
            return error
        case exceptions.ValidationError() | DjangoValidationError():
            return Problem(code="invalid", errors=_field_errors(serializers.as_serializer_error(error)))
        case exceptions.APIException():
            return _framework_problem(error)
        case Ratelimited():
            return Problem(code="too_many_requests", retry_after=60)
        case Http404():
            return Problem(code="not_found")
        case PermissionDenied():
            return Problem(code="forbidden")
        case RequestDataTooBig():
            return Problem(code="too_large")
        case SuspiciousOperation() | BadRequest() | UnreadablePostError():
            return Problem(code="malformed")
    if _is_outage(error):
        return Problem(code="unavailable", retry_after=RETRY_AFTER_S)
    return Problem(code="internal")


def _framework_problem(error: exceptions.APIException) -> Problem:
    match error:
        case exceptions.ParseError():
            return Problem(code="malformed", detail=error.detail)
        case exceptions.AuthenticationFailed():
            return Problem(code="bad_token", detail=error.detail)
        case exceptions.NotAuthenticated():
            return Problem(code="not_authenticated")
        case exceptions.PermissionDenied():
            csrf = str(error.detail).startswith("CSRF Failed")
            return Problem(code="csrf_failed" if csrf else "forbidden", detail="" if csrf else error.detail)
        case exceptions.NotFound():
            return Problem(code="not_found")
        case exceptions.MethodNotAllowed():
            return Problem(code="method_not_allowed", detail=error.detail)
        case exceptions.NotAcceptable():
            return Problem(code="not_acceptable")
        case exceptions.UnsupportedMediaType():
            return Problem(code="unsupported_media_type", detail=error.detail)
        case exceptions.Throttled():
            return Problem(
                code="too_many_requests", retry_after=max(1, round(getattr(error, "wait", None) or 1))
            )
    status = error.status_code
    return Problem(code="internal" if status >= 500 else "conflict", status=status, detail=error.detail)


def _is_outage(error: BaseException | None) -> bool:
    """
    A lost connection, a full pool, a lock or statement timeout, a deadlock: the same request may work in a
    moment.
    """
    if isinstance(
        error, IntegrityError | DataError | ProgrammingError | NotSupportedError | DatabaseInternalError
    ):
        return False  # Asking again gives the same answer: a defect of ours.
    return isinstance(error, DatabaseError | InterfaceError | FastStoreAway)


def _field_errors(detail: Any) -> list[dict[str, Any]]:
    return list(_pointed(detail, ""))


def _pointed(detail: Any, pointer: str) -> Iterator[dict[str, Any]]:
    """DRF's nested errors, flat, each with the JSON pointer (RFC 6901) of the value at fault."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            whole = name in ("non_field_errors", "__all__")
            yield from _pointed(inner, pointer if whole else f"{pointer}/{_escaped(str(name))}")
    elif isinstance(detail, list | tuple):
        for position, inner in enumerate(detail):
            nested = isinstance(inner, Mapping | list | tuple)
            yield from _pointed(inner, f"{pointer}/{position}" if nested else pointer)
    else:
        yield {"pointer": pointer, "code": getattr(detail, "code", None) or "invalid", "detail": str(detail)}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _report(error: BaseException | None, problem: Problem, request: Any) -> None:
    """
    Log what the client is not told, and tell Django's signal, as error trackers and its test client expect.
    """
    log.error("request.failed", code=problem.code, error=type(error).__name__, exc_info=error)
    if problem.code == "internal":
        got_request_exception.send(sender=None, request=getattr(request, "_request", request))


# -- outside of DRF
# ---------------------------------------------------------------------------------------------------
def handler400(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    too_large = isinstance(exception, RequestDataTooBig)
    return answer(request, Problem(code="too_large" if too_large else "malformed"))


def handler403(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    limited = isinstance(exception, Ratelimited)
    return answer(request, problem_of(exception) if limited else Problem(code="forbidden"))


def handler404(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer(request, Problem(code="not_found"))


def handler500(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """
    Django calls it while the exception is being handled; it has reached the signal already, so here is the
    log.
    """
    error = exception or sys.exc_info()[1]
    problem = problem_of(error)
    if problem.status < 500:
        # An anticipated problem that a page let through is a defect of the page.
        problem = Problem(code="internal")
    log.error("request.failed", code=problem.code, error=type(error).__name__, exc_info=error)
    return answer(request, problem)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    log.warning("csrf.refused", reason=reason, path=request.path)
    return answer(request, Problem(code="csrf_failed"))


def answer(request: HttpRequest, problem: Problem) -> HttpResponse:
    """`problem` for whoever asks: problem+json below /api/, a small page elsewhere."""
    if request.path.startswith(API_PREFIX):
        return JsonResponse(
            problem.body(), status=problem.status, headers=problem.headers(), content_type=MEDIA_TYPE
        )
    return HttpResponse(_page(request, problem), status=problem.status, headers=problem.headers())


PAGES = {400: "400", 403: "403", 404: "404"}


def _page(request: HttpRequest, problem: Problem) -> str:
    """
    No context processors: they would ask the database for the user, and the database may be what is away.
    """
    template = f"errors/{PAGES.get(problem.status, '500')}.html"
    nonce = getattr(request, "csp_nonce", "")
    return render_to_string(template, {"problem": problem.body(), "nonce": str(nonce), "home": "/"})


# -- the list of codes
# ------------------------------------------------------------------------------------------------
def listing(request: HttpRequest) -> HttpResponse:
    """Every code of the API. What `type` in a problem points to is one of these."""
    return JsonResponse({"items": [_described(KINDS[code]) for code in sorted(KINDS)]})


def described(request: HttpRequest, code: str) -> HttpResponse:
    kind = KINDS.get(code)
    if kind is None:
        raise Http404
    if "text/html" in request.headers.get("Accept", ""):
        return HttpResponse(_described_page(request, kind))
    return JsonResponse(_described(kind))


def _described(kind: Kind) -> dict[str, Any]:
    return {
        "type": kind.uri,
        "code": kind.code,
        "status": kind.status,
        "title": str(kind.title),
        "retryable": kind.retryable,
    }


def _described_page(request: HttpRequest, kind: Kind) -> str:
    again = translate("The same request may be repeated.") if kind.retryable else ""
    problem = _described(kind) | {"detail": again}
    nonce = str(getattr(request, "csp_nonce", ""))
    return render_to_string(
        "errors/problem.html", {"problem": problem, "nonce": nonce, "home": "/api/problems/"}
    )


urlpatterns = [
    path("", listing, name="problems"),
    path("<str:code>", described, name="problem"),
]


# -- for the API description
# ----------------------------------------------------------------------------------------
class ProblemErrorSerializer(serializers.Serializer[Any]):
    """One value at fault."""

    pointer = serializers.CharField(help_text="JSON pointer (RFC 6901); empty: the whole body")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """RFC 9457 problem details. `code` is stable; `detail` is for people, in the language of the request."""

    type = serializers.URLField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    request_id = serializers.CharField(allow_blank=True)
    retryable = serializers.BooleanField()
    # DRF's serializers have a property of this name; the member's name is ours to choose, and it is `errors`.
    errors = ProblemErrorSerializer(many=True, required=False)  # type: ignore[assignment]


def problem_responses(*codes: str) -> dict[tuple[int, str], OpenApiResponse]:
    """
    For `extend_schema(responses={200: …, **problem_responses("not_found", "sold_out")})`; codes must be
    defined.
    """
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(KINDS[code].status, []).append(code)
    return {
        (status, MEDIA_TYPE): OpenApiResponse(
            ProblemSerializer, description=" · ".join(f"`{one}`" for one in named)
        )
        for status, named in sorted(by_status.items())
    }
