"""
Two questions of a load balancer. `/livez`: does the process answer at all? `/readyz`: may it get traffic?

Postgres decides, so without it the process is not ready. Redis only accelerates: without it the answer is
still 200, with `"redis": "away"` for whoever watches.
"""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from basis import events, fast

log = events.get_logger(__name__)

ALIVE = b"ok\n"


def livez(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(ALIVE, content_type="text/plain")


def readyz(_request: HttpRequest) -> JsonResponse:
    """200 while Postgres answers, 503 while it does not; each dependency's own answer is in the body."""
    postgres, redis = _ask_postgres(), _ask_redis()
    ready = postgres == "ok"
    state = "ready" if ready and redis == "ok" else "degraded" if ready else "unavailable"
    response = JsonResponse(
        {"status": state, "postgres": postgres, "redis": redis}, status=200 if ready else 503
    )
    response.headers["Cache-Control"] = "no-store"
    if not ready:
        response.headers["Retry-After"] = "2"
    return response


def _ask_postgres() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return "ok" if cursor.fetchone() == (1,) else "away"
    except DatabaseError as error:
        log.warning("readyz.postgres_away", error=type(error).__name__)
        return "away"


def _ask_redis() -> str:
    try:
        return "ok" if fast.store().ping() else "away"
    except fast.FastStoreAway as error:
        log.warning("readyz.redis_away", error=type(error).__name__)
        return "away"
