"""/api/v1/shows/{code}/queue: join the waiting room of a show, ask where one stands, leave."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.tokens import signed_in
from basis.problems import Problem, define, problem_responses
from basis.shapes import SIGNED_IN
from risk import room_answers, waiting_room
from risk.gate_web import GATED, gated
from risk.signing import QueueNumber
from ticketing import admission
from ticketing.models import PriceTier

define("queue_closed", status=409, title=_("The waiting room is closed"))
define("queue_full", status=429, title=_("The waiting room is full; try again in a moment"), retryable=True)
define("not_in_queue", status=404, title=_("You are not in the waiting room of this show"))
define("sold_out", status=409, title=_("Too few seats are left"))
FULL_RETRY_S = 30


class WaitSerializer(serializers.Serializer[Any]):
    low = serializers.IntegerField()
    high = serializers.IntegerField()


class PassSerializer(serializers.Serializer[Any]):
    token = serializers.CharField(help_text="Send it as Admission-Pass with the order")
    expires_at = serializers.DateTimeField()


class QueueSerializer(serializers.Serializer[Any]):
    """The members in camelCase are those of other waiting rooms' JSON modes."""

    inWaitingRoom = serializers.BooleanField()
    waitTime = serializers.IntegerField(help_text="Minutes; an upper estimate")
    waitTimeKnown = serializers.BooleanField()
    waitTimeFormatted = serializers.CharField()
    queueIsFull = serializers.BooleanField()
    queueAll = serializers.BooleanField(help_text="Nobody is let in at present")
    lastUpdated = serializers.DateTimeField()
    refreshIntervalSeconds = serializers.FloatField(help_text="Ask again after so long; it is spread by us")
    show = serializers.CharField()
    status = serializers.ChoiceField(
        choices=["waiting", "admitted", "missed", "over", "sold_out", "closed"],
    )
    state = serializers.ChoiceField(choices=["closed", "draw", "open", "paused", "draining"])
    number = serializers.IntegerField()
    token = serializers.CharField(help_text="The signed number; send it as Queue-Number with every poll")
    place = serializers.IntegerField(allow_null=True, help_text="null before the draw")
    ahead = serializers.IntegerField(allow_null=True)
    waiting = serializers.IntegerField()
    wait_seconds = WaitSerializer(allow_null=True)
    outlook = serializers.ChoiceField(choices=["good", "tight", "unlikely", "none", "unknown"])


QueueSerializer._declared_fields["pass"] = PassSerializer(allow_null=True)  # a keyword of Python

NUMBER = OpenApiParameter(
    room_answers.HEADER, str, OpenApiParameter.HEADER, description="The signed number, if any"
)
REFUSALS = (*SIGNED_IN, "not_found", "unavailable")


class QueueView(APIView):
    """Joining again finds the same place, so it needs no Idempotency-Key."""

    scopes = {"GET": "orders:read", "POST": "orders:write", "DELETE": "orders:write"}
    public = False
    shown: QueueNumber | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.shown = shown_by(request, kwargs["code"])
        # Asking with a signed number needs nothing else, as at the edge; joining and asking without one need a buyer.
        self.public = request.method in ("GET", "HEAD") and self.shown is not None
        super().initial(request, *args, **kwargs)

    @extend_schema(
        operation_id="queue_join",
        summary="Join a show's waiting room, or find one's place in it",
        request=None,
        parameters=[NUMBER],
        responses={
            202: QueueSerializer,
            200: QueueSerializer,
            **problem_responses(
                *dict.fromkeys((*REFUSALS, *GATED)), "queue_closed", "sold_out", "queue_full"
            ),
        },
    )
    # Who would not get past the rules with an order gets no number, so no pass, so nothing out of the edge. Limits on
    # orders count orders.
    @gated("order", limited=False)
    def post(self, request: Request, code: str) -> Response:
        buyer_id, now = signed_in(request).pk, timezone.now()
        try:
            standing = waiting_room.join(show=code, buyer_id=buyer_id, shown=self.shown, now=now)
        except tuple(_PROBLEMS) as error:
            raise _problem(error) from error
        return answer(code, buyer_id, standing, now=now)

    @extend_schema(
        operation_id="queue_poll",
        summary="Where one stands; when it is one's turn, the admission pass",
        parameters=[NUMBER],
        responses={
            202: QueueSerializer,
            200: QueueSerializer,
            **problem_responses(*REFUSALS, "not_in_queue"),
        },
    )
    def get(self, request: Request, code: str) -> Response:
        buyer_id = self.shown.buyer_id if self.shown else signed_in(request).pk
        now = timezone.now()
        try:
            standing = waiting_room.poll(show=code, buyer_id=buyer_id, shown=self.shown, now=now)
        except tuple(_PROBLEMS) as error:
            raise _problem(error) from error
        return answer(code, buyer_id, standing, now=now)

    @extend_schema(
        operation_id="queue_leave",
        summary="Leave the waiting room: the place is given up, and so is an admission pass that was not used",
        description=(
            "Again, or without a place, nothing happens. Orders stay. Joining once more is at the end of the line. A "
            "`Queue-Number` that is not the buyer's own is refused, and nobody's place is left."
        ),
        parameters=[NUMBER],
        request=None,
        responses={204: None, **problem_responses(*REFUSALS, "not_in_queue")},
    )
    def delete(self, request: Request, code: str) -> Response:
        buyer_id, now = signed_in(request).pk, timezone.now()
        named = room_answers.shown_number(
            code, request.headers.get(room_answers.HEADER), request.GET.get("number")
        )
        if named is not None and named.buyer_id != buyer_id:
            raise Problem(code="not_in_queue")
        tiers = PriceTier.objects.filter(show__code=code).values_list("pk", flat=True)
        try:
            admission.leave(show=code, buyer_id=buyer_id, shown=self.shown, tier_ids=list(tiers), now=now)
        except waiting_room.NoRoom as error:
            raise Problem(code="not_found") from error
        response = Response(status=204, headers={"Cache-Control": "no-store"})
        forget(response, code)
        return response


def answer(code: str, buyer_id: int, standing: waiting_room.Standing, *, now: datetime) -> Response:
    body = room_answers.of(code, buyer_id, standing, now=now)
    response = Response(body, status=room_answers.status_of(standing))
    response.headers["Cache-Control"] = "no-store"
    if response.status_code == 202:
        response.headers["Retry-After"] = str(math.ceil(standing.interval_ms / 1000))
    remember(response, code, body)
    return response


def remember(response: Any, code: str, body: dict[str, Any]) -> None:
    """Cookies for the browser's other tabs, and for pages without JavaScript."""
    kept = {"secure": settings.SESSION_COOKIE_SECURE, "httponly": True, "samesite": "Lax"}
    name = room_answers.QUEUE_COOKIE.format(show=code)
    response.set_cookie(name, body["token"], max_age=room_answers.COOKIE_AGE_S, **kept)
    if body["pass"]:
        response.set_cookie(
            room_answers.PASS_COOKIE.format(show=code), body["pass"]["token"], max_age=3600, **kept
        )


def forget(response: Any, code: str) -> None:
    """Whoever has left has neither number nor pass."""
    for name in (room_answers.QUEUE_COOKIE, room_answers.PASS_COOKIE):
        response.delete_cookie(name.format(show=code), samesite="Lax")


def shown_by(request: Any, code: str) -> QueueNumber | None:
    """The signed number that came with a request: header, address or cookie."""
    cookie = request.COOKIES.get(room_answers.QUEUE_COOKIE.format(show=code))
    return room_answers.shown_number(
        code, request.headers.get(room_answers.HEADER), request.GET.get("number"), cookie
    )


_PROBLEMS: dict[type[Exception], str] = {
    waiting_room.NoRoom: "not_found",
    waiting_room.NotInside: "not_in_queue",
    waiting_room.RoomClosed: "queue_closed",
    waiting_room.RoomFull: "queue_full",
    waiting_room.SoldOut: "sold_out",
}


def _problem(error: Exception) -> Problem:
    code = _PROBLEMS[type(error)]
    if code == "queue_full":
        return Problem(code=code, retry_after=FULL_RETRY_S, queueIsFull=True)
    return Problem(code=code)
