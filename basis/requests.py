"""
The id of a request: taken from a proxy that sent a sane one, else made here; on the answer and on every log
line. And whether its text can be read at all.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from basis import problems
from basis.events import REQUEST_ID

# Strict, because the id is written to logs and headers as it came.
SANE = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII).fullmatch


class RequestIdMiddleware:
    """First in the chain and on every hot path: one dictionary look-up, one context variable, one header."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID")
        request_id = given if given and SANE(given) else secrets.token_hex(12)
        mark = REQUEST_ID.set(request_id)
        try:
            response = self.get_response(request)
        finally:
            REQUEST_ID.reset(mark)
        response.headers["X-Request-ID"] = request_id
        return response


class ReadableMiddleware:
    """
    Refuses a NUL among what a page is sent: it is the one character that Postgres stores in no text, and no person
    types it. The API names the member at fault instead (basis.parsing); channels' messages are kept as they come.
    """

    RAW = ("/api/", "/notify/")

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: Any) -> HttpResponse | None:
        """Here, and not before: a body that is too large has been refused by then."""
        if request.path.startswith(self.RAW) or not _has_nul(request):
            return None
        return problems.answer(request, problems.Problem(code="malformed"))


def _has_nul(request: HttpRequest) -> bool:
    if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
        return True
    sent = request.POST.lists() if request.method == "POST" else ()
    return any("\0" in text for name, texts in sent for text in (name, *texts))


def is_key(text: str) -> bool:
    """Whether a text that was sent can be the key of a row: digits, no more than the database counts."""
    return text.isascii() and text.isdecimal() and len(text) < 19
