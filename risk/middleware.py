"""
Measure and shed at the application (M9). A group without a `ThresholdSetting` costs a look into a dictionary; one that
is measured costs two clocks and a lock; one command or two a second and process go to the fast store.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db import DatabaseError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _

from basis import problems
from basis.problems import Problem
from basis.quota import Quota
from risk import load, policy
from risk.load import Meter, Shed

meter = Meter()


class LoadMiddleware:
    """Second in the chain: what is shed has cost no session, no query and no template."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        group = load.group_of(request.method or "", request.path)
        held = _policy() if group else None
        if held is None or group not in held.measured:
            return self.get_response(request)
        started = time.monotonic()
        shed = meter.enter(group, held.thresholds.get(group), at=started)
        if shed is not None:
            return problems.answer(request, _problem(str(group), shed))
        try:
            return self.get_response(request)
        finally:
            meter.leave(group, took_s=time.monotonic() - started, second=int(time.time()))


def _policy() -> policy.Policy | None:
    try:
        return policy.current()
    except DatabaseError:
        return None  # The view says what it can do without its database.


def _problem(group: str, shed: Shed) -> Problem:
    at_once = shed.by == "concurrency"
    detail = _("Very many people are here at once. Nothing is lost; try again in a moment.")
    return Problem(
        code="unavailable" if at_once else "too_many_requests",
        detail=detail,
        retry_after=shed.retry_after_s,
        quota=Quota(group, int(shed.bound), None if at_once else 1, shed.retry_after_s),
    )
