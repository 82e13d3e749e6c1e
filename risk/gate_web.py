"""The gate at the edge of the API: reads the request's features, and turns a refusal into a problem."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from basis import door, events
from basis.addresses import of as address_of
from basis.problems import Problem
from basis.quota import Quota
from basis.sealed import blind_indexes
from risk import gate
from risk.features import ORDER, PAYMENT_TOKEN, SIGN_IN, Features
from risk.gate import Answer, Limited

PASS_HEADER = "X-Challenge-Pass"  # noqa: S105  # a header's name
DEVICE_HEADER, DEVICE_COOKIE = "X-Device-Mark", "device"
DEVICE = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII).fullmatch
ANSWER_AT = "/api/v1/challenge"

# What a gated operation may answer besides its own.
GATED = (*door.CODES, "too_many_requests", "unavailable")

DENIALS = {
    "listed": _("Your account or network may not do this. Write to our service with the request's id."),
    "looks_automated": _("This looks automated. Use the site in a browser, signed in, and press once."),
}


class GateRefusal(Problem):
    """What the gate says when it does not let pass; on a 429 with the limit that refused."""

    def __init__(self, answer: Answer, **more: Any) -> None:
        super().__init__(**more)
        self.answer = answer

    def headers(self) -> dict[str, str]:
        return super().headers() | rate_headers(self.answer.limited)


def rate_headers(limited: Limited | None) -> dict[str, str]:
    """What an answer says of the limit that was asked."""
    if limited is None:
        return {}
    window_s = max(1, round(limited.window_s))
    return Quota(limited.name, limited.limit, window_s, limited.reset_s, limited.remaining).headers()


def admit(
    request: HttpRequest, *, purpose: str, show: str = "", limited: bool = True, now: datetime
) -> Answer:
    """
    Let the request pass, or:

    :raises GateRefusal: `too_many_requests`, `unavailable`, `denied` or `challenge_required`
    """
    features = features_of(request, purpose, show, now=now)
    answer = gate.check(features, passed=passed_of(request, purpose), limited=limited, now=now)
    return refuse_unless_passed(answer)


def admit_token(request: HttpRequest, *, purchase: str, now: datetime) -> Answer:
    """
    Let a payment token be handed out for `purchase` ("order:K1…"), or:

    :raises GateRefusal: `too_many_requests` or `unavailable`
    """
    features = features_of(request, PAYMENT_TOKEN, now=now)
    return refuse_unless_passed(gate.limit_tokens(features, purchase=purchase, now=now))


def refuse_unless_passed(answer: Answer) -> Answer:
    """
    :raises GateRefusal: it did not pass
    """
    match answer.outcome:
        case gate.LIMITED:
            text = _("Too many at once. Nothing is lost; try again in %(seconds)d s.")
            detail = text % {"seconds": answer.retry_after_s}
            raise GateRefusal(answer, code=answer.code, detail=detail, retry_after=answer.retry_after_s)
        case gate.AWAY:
            raise GateRefusal(answer, code="unavailable", retry_after=answer.retry_after_s)
        case gate.DENIED:
            raise GateRefusal(answer, code="denied", detail=DENIALS[answer.code], reason=answer.code)
        case gate.CHALLENGED if answer.challenge is not None:
            raise GateRefusal(answer, code="challenge_required", detail=ASKED, **_shown(answer))
    return answer


ASKED = _(
    "Do the work in `challenge`, post it to `answer_to`, and repeat the request with the pass it earns."
)


def _shown(answer: Answer) -> dict[str, Any]:
    asked = answer.challenge
    if asked is None:
        return {}
    return {
        "challenge": {
            "kind": asked.kind,
            "algorithm": "sha256",
            "difficulty": asked.difficulty,
            "token": asked.token,
            "expires_at": asked.expires_at.isoformat().replace("+00:00", "Z"),
        },
        "answer_to": ANSWER_AT,
        "pass_header": PASS_HEADER,
    }


# -- features of a request
# ---------------------------------------------------------------------------------------------------
def features_of(request: HttpRequest, purpose: str, show: str = "", *, now: datetime) -> Features:
    """What a request says of itself; nothing is asked of a store."""
    user = getattr(request, "user", None)
    known = user is not None and user.is_authenticated
    mark = device_mark(request)
    device, *before = blind_indexes(mark, "list:device") if mark else [""]
    return Features(
        purpose=purpose,
        show=show if re.fullmatch(r"[A-Za-z0-9_-]{1,50}", show) else "",
        buyer_id=user.pk if known else None,  # type: ignore[union-attr]
        address=address_of(request),
        device=device,
        device_before=tuple(before),
        agent=request.headers.get("User-Agent", "")[:300],
        language=request.headers.get("Accept-Language", "")[:100],
        account_age=now - user.joined_at if known else None,  # type: ignore[union-attr]
        request_id=events.request_id(),
    )


def device_mark(request: HttpRequest) -> str:
    """The random text that pages keep in a cookie, and that programs may send."""
    mark = request.COOKIES.get(DEVICE_COOKIE) or request.headers.get(DEVICE_HEADER, "")
    return mark if DEVICE(mark) else ""


def passed_of(request: HttpRequest, purpose: str) -> str:
    return request.headers.get(PASS_HEADER, "") or request.COOKIES.get(pass_cookie(purpose), "")


def pass_cookie(purpose: str) -> str:
    return f"pass_{purpose}"


# -- the line in front of a view's method
# ------------------------------------------------------------------------------------
def gated(purpose: str, *, limited: bool = True) -> Callable[[Any], Any]:
    """Around a method of an API view, outside of `@idempotent`: a refusal costs no row and decides nothing."""

    def around(method: Any) -> Any:
        @functools.wraps(method)
        def wrapper(view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            # A show in the address needs no body, of whatever kind.
            show, now = kwargs.get("code") or _show_in(request.data), timezone.now()  # noqa: TID251
            answer = admit(request._request, purpose=purpose, show=show, limited=limited, now=now)
            response = method(view, request, *args, **kwargs)
            for name, value in rate_headers(answer.limited).items():
                response.headers[name] = value
            return response

        return wrapper

    return around


def _show_in(data: Any) -> str:
    show = data.get("show", "") if isinstance(data, dict) else ""
    return show if isinstance(show, str) else ""


def guard(request: HttpRequest, purpose: str) -> None:
    """For `basis.door`: what stands beside risk asks there without knowing it."""
    admit(request, purpose=purpose, now=timezone.now())  # noqa: TID251


__all__ = ["ORDER", "SIGN_IN", "address_of", "admit", "gated", "guard"]
