"""
The id of a request: taken from a proxy that sent a sane one, else made here; on the answer and on every log
line.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

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
