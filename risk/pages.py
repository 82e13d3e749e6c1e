"""
The gate in front of pages: a wait that repeats the press, a refusal that says what to do, and the challenge's page,
which works with JavaScript (work in the background) and without (a puzzle).
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from risk import challenge, gate_web, policy
from risk.features import ORDER, SIGN_IN
from risk.gate_web import DEVICE_COOKIE, GateRefusal

PURPOSES = frozenset({ORDER, SIGN_IN})
# What a buyer had chosen goes with him to the challenge and back; nothing secret does.
KEPT = ("show", "tier", "quantity", "seat", "accept_equal_seats", "next")
REPEATED_MAX = 150
DEVICE_AGE = timedelta(days=400)

View = Callable[..., HttpResponse]


def gated(purpose: str, *, needs_buyer: bool = True, limited: bool = True) -> Callable[[View], View]:
    """Around a page: posts pass the gate, everything else gets a device mark if it has none."""

    def around(view: View) -> View:
        @functools.wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            asks = request.method == "POST" and (request.user.is_authenticated or not needs_buyer)
            try:
                if asks:
                    show = str(request.POST.get("show") or kwargs.get("code") or "")
                    now = timezone.now()
                    gate_web.admit(request, purpose=purpose, show=show, limited=limited, now=now)
            except GateRefusal as refusal:
                return _refused(request, purpose, refusal)
            response = view(request, *args, **kwargs)
            _mark_device(request, response)
            return response

        return wrapper

    return around


def _mark_device(request: HttpRequest, response: HttpResponse) -> None:
    if not gate_web.device_mark(request):
        _cookie(response, DEVICE_COOKIE, secrets.token_urlsafe(18), int(DEVICE_AGE.total_seconds()))


def _cookie(response: HttpResponse, name: str, value: str, age_s: int) -> None:
    response.set_cookie(
        name, value, max_age=age_s, httponly=True, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE
    )


def _refused(request: HttpRequest, purpose: str, refusal: GateRefusal) -> HttpResponse:
    if refusal.code == "challenge_required":
        kept = [(name, value) for name in KEPT for value in request.POST.getlist(name)[:100]]
        back = f"{request.path}?{urlencode(kept)}"
        response: HttpResponse = HttpResponseRedirect(
            f"{reverse('challenge')}?{urlencode({'for': purpose, 'next': back})}", status=303
        )
        _mark_device(request, response)
        return response
    again = _repeatable(request) if refusal.status in (429, 503) and purpose != SIGN_IN else []
    return wait_page(request, refusal, again)


def wait_page(
    request: HttpRequest, refusal: GateRefusal, again: list[tuple[str, str]] | None = None
) -> HttpResponse:
    """What the gate said, as a page. A page that was only looked at comes again by itself when the wait is over."""
    context = {
        "code": refusal.code,
        "text": refusal.detail,
        "wait_s": refusal.retry_after or 0,
        "again": again,
        "comes_again": request.method == "GET" and refusal.retry_after,
        "request_id": refusal.body()["request_id"],
    }
    response = render(request, "pages/gate.html", context, status=refusal.status)
    for name, value in refusal.headers().items():
        response.headers[name] = value
    return response


def _repeatable(request: HttpRequest) -> list[tuple[str, str]]:
    """The fields of the post, to press again with: the same order, by the same key."""
    fields = [(name, value) for name, values in request.POST.lists() for value in values]
    return [field for field in fields if field[0] != "csrfmiddlewaretoken"][:REPEATED_MAX]


# -- the challenge's page
# ---------------------------------------------------------------------------------------------------
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def challenge_page(request: HttpRequest) -> HttpResponse:
    """Asks for work and for the puzzle at once; whichever is answered first opens the way back."""
    purpose = request.POST.get("for") or request.GET.get("for", "")
    purpose = purpose if purpose in PURPOSES else ORDER
    if request.method != "POST":
        return _challenge(request, purpose)
    now = timezone.now()
    try:
        earned = challenge.take_answer(
            request.POST.get("token", ""),
            request.POST.get("answer", ""),
            subject=_subject(request, purpose),
            pass_life=timedelta(minutes=policy.current().pass_minutes),
            now=now,
        )
    except challenge.ChallengeRefused as refused:
        return _challenge(request, purpose, WRONG.get(refused.reason, ""), status=409)
    back = _back(request)
    response: HttpResponse = (
        JsonResponse({"go": back})
        if request.headers.get("Accept") == "application/json"
        else HttpResponseRedirect(back, status=303)
    )
    age_s = int((earned.expires_at - now).total_seconds())
    _cookie(response, gate_web.pass_cookie(earned.purpose), earned.text, age_s)
    return response


WRONG = {"wrong": "wrong", "too_soon": "too_soon", "expired": "expired", "used": "expired"}


def _challenge(request: HttpRequest, purpose: str, wrong: str = "", *, status: int = 200) -> HttpResponse:
    now = timezone.now()
    subject = _subject(request, purpose)
    held = policy.current()
    work = challenge.ask_work(subject=subject, purpose=purpose, difficulty=held.difficulty, now=now)
    puzzle, picture = challenge.ask_puzzle(subject=subject, purpose=purpose, now=now)
    context = {
        "purpose": purpose,
        "work": work,
        "puzzle": puzzle,
        "rows": picture.rows,
        "asked": picture.asked,
        "answers": range(challenge.SEATS + 1),
        "wait_s": int(challenge.PUZZLE_WAIT.total_seconds()),
        "wrong": SAID[wrong]() if wrong else "",
        "next": _back(request),
    }
    response = render(request, "pages/challenge.html", context, status=status)
    _mark_device(request, response)
    return response


SAID: dict[str, Callable[[], str]] = {
    "wrong": lambda: _("That was not the number. Here is another row."),
    "too_soon": lambda: _("That was faster than one can count. Please look again."),
    "expired": lambda: _("That took too long. Here is another row."),
}


def _subject(request: HttpRequest, purpose: str) -> str:
    return challenge.subject_of(gate_web.features_of(request, purpose, now=timezone.now()))


def _back(request: HttpRequest) -> str:
    """A page of ours to go back to; never another site."""
    wanted = request.POST.get("next") or request.GET.get("next", "")
    ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if ours and wanted.startswith("/") else "/"


__all__ = ["challenge_page", "gated"]
