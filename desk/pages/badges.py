"""The numbers beside the desk's entries in the sidebar."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils import timezone

from desk import inbox
from desk.models import RequestState, ResolutionRequest

MANY = 999


def waiting_cases(request: HttpRequest) -> str:
    return _short(inbox.summary(now=timezone.now()).count)


def waiting_approvals(request: HttpRequest) -> str:
    """What waits for a second person, without what this person asked for."""
    found = ResolutionRequest.objects.filter(state=RequestState.WAITING).exclude(maker_id=request.user.pk)
    return _short(found[: MANY + 1].count())


def _short(count: int) -> str:
    if not count:
        return ""
    return f"{MANY}+" if count > MANY else str(count)
