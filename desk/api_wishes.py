"""/api/v1/desk: ask for what one person may not do alone. It is approved and rejected like any other request."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from basis.idempotency import idempotent
from basis.problems import Problem, define, problem_responses
from basis.shapes import KEYED, SIGNED_IN, StrictInput, StrictInteger, StrictText
from desk import wishes
from desk.api import DeskRequestSerializer, StaffView, answered, key_of, person, sent_as
from desk.models import ResolutionRequest
from ticketing import cancelling, refunding
from ticketing.models import Order
from ticketing.refund_models import SeatsAfter

define("no_such_order", status=404, title=_("There is no such order"))
define("no_such_show", status=404, title=_("There is no such show"))
define("asked_before", status=409, title=_("This was asked for already and is not decided yet"))


class DeskRefundSerializer(StrictInput):
    """
    `tickets` become void, none: money alone. `fingerprint` is that of a preview on the refund page, if there was one.
    """

    tickets = serializers.ListField(
        child=StrictText(max_length=32), required=False, default=list, max_length=20
    )
    amount_minor = StrictInteger(min_value=1)
    seats_after = serializers.ChoiceField(choices=SeatsAfter.choices, required=False, default=SeatsAfter.FREE)
    reason = StrictText(max_length=200)
    fingerprint = StrictText(max_length=64, required=False, allow_blank=True, default="")


class RefundWishesView(StaffView):
    right = "ticketing.refund_order"

    @extend_schema(
        operation_id="desk_request_refund",
        summary="Ask for a refund that takes two people",
        request=DeskRefundSerializer,
        responses={
            201: DeskRequestSerializer,
            **problem_responses(
                *KEYED,
                *SIGNED_IN,
                *("forbidden", "no_such_order", "cannot_be_done", "would_break", "asked_before"),
                *("reason_missing", "one_person_is_enough", "no_checker"),
            ),
        },
    )
    @idempotent
    def post(self, request: Request, number: str) -> Response:
        sent = sent_as(request, DeskRefundSerializer)
        reason, now = sent.pop("reason"), timezone.now()
        order = Order.objects.filter(number=number).first()
        if order is None:
            raise Problem(code="no_such_order")

        def ask() -> ResolutionRequest:
            wish = wishes.refund_of(order=order, now=now, **sent)
            return wishes.ask(wish, reason=reason, by=person(request), key=key_of(request), now=now)

        asked: Any = asked_or_problem(lambda: answered(ask))
        return Response(DeskRequestSerializer(asked).data, status=201)


class DeskCancellationSerializer(StrictInput):
    """`said_zh` and `said_en` are told to buyers."""

    reason = StrictText(max_length=200)
    said_zh = StrictText(max_length=300, required=False, allow_blank=True, default="")
    said_en = StrictText(max_length=300, required=False, allow_blank=True, default="")


class CancellationWishesView(StaffView):
    right = "ticketing.cancel_show"

    @extend_schema(
        operation_id="desk_request_cancellation",
        summary="Ask for the end of a show",
        description="Approved by another person, its sale stops and every paid order gets all its money back.",
        request=DeskCancellationSerializer,
        responses={
            201: DeskRequestSerializer,
            **problem_responses(
                *KEYED,
                *SIGNED_IN,
                *("forbidden", "no_such_show", "cannot_be_done", "would_break", "asked_before"),
                *("reason_missing", "one_person_is_enough", "no_checker"),
            ),
        },
    )
    @idempotent
    def post(self, request: Request, code: str) -> Response:
        sent = sent_as(request, DeskCancellationSerializer)
        reason, now = sent.pop("reason"), timezone.now()

        def ask() -> ResolutionRequest:
            wish = wishes.cancellation_of(code=code, **sent)
            return wishes.ask(wish, reason=reason, by=person(request), key=key_of(request), now=now)

        asked: Any = asked_or_problem(lambda: answered(ask))
        return Response(DeskRequestSerializer(asked).data, status=201)


def asked_or_problem(ask: Any) -> Any:
    """
    :raises Problem: what a wish is refused for besides what every request is
    """
    try:
        return ask()
    except wishes.AskedBefore as error:
        raise Problem(code="asked_before") from error
    except cancelling.NoSuchShow as error:
        raise Problem(code="no_such_show") from error
    except refunding.NotRefundable as error:
        raise Problem(code="cannot_be_done", detail=str(error)) from error
