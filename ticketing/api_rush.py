"""
/api/v1/rush: submit, ask, pay; answered at the edge during a rush and here otherwise, by the same scripts.

A submission is accepted at once and decided a moment later: 202 with a receipt, whose address says what became of it.
"""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.tokens import signed_in
from basis import fast
from basis.problems import Problem, problem_responses
from basis.shapes import (
    ID_MAX,
    SIGNED_IN,
    MoneySerializer,
    StrictInput,
    StrictInteger,
    StrictText,
    StrictTruth,
)
from risk import signing, switches
from risk.gate_web import GATED, gated
from ticketing import admission, api_orders, listings, phases
from ticketing.models import Show
from ticketing.rush import pressing, receipts, submission
from ticketing.rush.receipts import Receipt

KEY = "Idempotency-Key"
RETRY_S = 1

REASONS = {
    "sold_out": "sold_out",
    "limit_reached": "limit_reached",
    "not_open": "not_on_sale",
    "closed": "not_on_sale",
    "stopped": "sale_stopped",
    "bad_quantity": "bad_quantity",
    "pass_used": "pass_used",
    "key_reused": "idempotency_key_reused",
    "cold": "unavailable",
}
HIDDEN = {"buyer", "mark", "at", "pass"}  # ours to know
RETRIED = {"not_open", "cold"}


class SubmissionSerializer(StrictInput):
    """The best `quantity` seats of a tier, or exactly `seats`, all of that tier."""

    show = StrictText(max_length=50)
    tier = StrictText(max_length=12)
    quantity = StrictInteger(required=False, min_value=1, max_value=100)
    seats = serializers.ListField(
        child=StrictInteger(min_value=1, max_value=ID_MAX),
        required=False,
        allow_empty=False,
        max_length=api_orders.SEATS_LISTED_MAX,
    )
    accept_equal_seats = StrictTruth(required=False, default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("seats" in attrs) == ("quantity" in attrs):
            raise serializers.ValidationError({"quantity": [_("Send `quantity` or `seats`, not both.")]})
        return attrs


class PlaceSerializer(serializers.Serializer[Any]):
    section = serializers.CharField()
    row = serializers.CharField()
    seat = serializers.CharField()


class StandingSerializer(serializers.Serializer[Any]):
    """`queued`: ask again after `poll_after_ms`. `held`: pay with `payment_token`. `refused`: `reason` says why."""

    state = serializers.CharField()
    receipt = serializers.CharField()
    order = serializers.CharField(required=False)
    poll_after_ms = serializers.IntegerField(required=False)
    seats = PlaceSerializer(many=True, required=False)
    amount = MoneySerializer(required=False)
    hold_until = serializers.DateTimeField(required=False)
    payment_token = serializers.CharField(required=False)
    reason = serializers.CharField(required=False)


class PressSerializer(StrictInput):
    token = StrictText(max_length=512)


class PressedSerializer(serializers.Serializer[Any]):
    """`queued`: ask again. `paid` and `failed` name the payment; `refused` and `failed` have a reason."""

    state = serializers.CharField()
    payment = serializers.CharField(required=False)
    reason = serializers.CharField(required=False)
    poll_after_ms = serializers.IntegerField(required=False)


KEYED = [OpenApiParameter(KEY, str, OpenApiParameter.HEADER, required=True)]


class RushOrdersView(APIView):
    scopes = {"POST": "orders:write"}

    @extend_schema(
        operation_id="rush_submit",
        summary="Submit an order in a rush",
        description="Accepted is not yet held: ask the address in Location. The same key gets the same receipt.",
        request=SubmissionSerializer,
        parameters=[*KEYED, api_orders.TURN],
        responses={
            202: StandingSerializer,
            **problem_responses(
                *(
                    "invalid",
                    "idempotency_key_missing",
                    *SIGNED_IN,
                    "no_such_tier",
                    "pass_needed",
                ),
                *dict.fromkeys((*REASONS.values(), *GATED)),
            ),
        },
    )
    @gated("order")
    def post(self, request: Request) -> Response:
        data = SubmissionSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        wanted, buyer = data.validated_data, signed_in(request)
        key = request.headers.get(KEY, "")
        if not key:
            raise Problem(code="idempotency_key_missing")
        if not (len(key) <= 255 and key.isascii() and key.isprintable()):
            raise Problem(code="idempotency_key_invalid")
        tier = listings.published_tier(wanted["show"], wanted["tier"])
        if tier is None:
            raise Problem(code="no_such_tier")
        try:
            number = submission.submit(
                tier_id=tier.pk,
                buyer_id=buyer.pk,
                client_key=key,
                quantity=wanted.get("quantity", 0),
                seat_ids=wanted.get("seats", ()),
                accept_equal_seats=wanted["accept_equal_seats"],
                admission=_admission(request, wanted["show"], buyer.pk),
                now=timezone.now(),
            )
        except submission.Refused as refusal:
            if refusal.reason == "cold":
                _check_on_sale(wanted["show"])
            if refusal.reason == "stopped" or switches.stopped(switches.SALE, wanted["show"]):
                raise api_orders.sale_stopped() from refusal
            raise _problem(refusal) from refusal
        except fast.FastStoreAway as away:
            raise Problem(code="unavailable", retry_after=RETRY_S) from away
        return _accepted(Receipt(tier.pk, number, buyer.pk))


def _admission(request: Request, show: str, buyer_id: int) -> submission.Pass | None:
    """
    The buyer's pass, where the show has a waiting room.

    :raises Problem: `pass_needed`
    """
    text = request.headers.get(api_orders.PASS, "")
    try:
        found = admission.shown(text, show=show, buyer_id=buyer_id)
    except admission.PassNeeded as error:
        raise api_orders.refusal(error, now=timezone.now()) from error
    return submission.Pass(found.nonce, found.expires_s * 1000) if found else None


def _check_on_sale(show: str) -> None:
    """
    A tier without a drainer is either out of its time, or to be tried again in a second.

    :raises Problem: `not_on_sale`
    """
    now = timezone.now()
    try:
        phases.open_phase(Show.objects.get(code=show).pk, now=now)
    except phases.NotOnSale as error:
        raise api_orders.refusal(error, now=now) from error


def _problem(refusal: submission.Refused) -> Problem:
    retry = RETRY_S if refusal.reason in RETRIED else None
    facts: dict[str, Any] = (
        {"left": int(refusal.detail)} if refusal.reason in ("limit_reached", "sold_out") else {}
    )
    return Problem(code=REASONS[refusal.reason], retry_after=retry, **facts)


def _accepted(receipt: Receipt) -> Response:
    text = receipts.sign(receipt)
    body = {"state": "queued", "receipt": text, "order": receipt.order, "poll_after_ms": pressing.POLL_MIN_MS}
    headers = {
        "Location": f"/api/v1/rush/orders/{text}",
        "Retry-After": str(RETRY_S),
        "Cache-Control": "no-store",
    }
    return Response(body, status=202, headers=headers)


def _receipt(text: str) -> Receipt:
    try:
        return receipts.read(text)
    except signing.NotOurs as error:
        raise Problem(code="not_found") from error


def _shown(told: dict[str, Any], **more: Any) -> Response:
    body = {name: value for name, value in told.items() if name not in HIDDEN} | more
    if told["state"] == "queued":
        body["poll_after_ms"] = pressing.poll_after_ms(told, now=timezone.now())
    status = 202 if told["state"] == "queued" else 404 if told["state"] == "unknown" else 200
    return Response(body, status=status, headers={"Cache-Control": "no-store"})


class RushOrderView(APIView):
    """The receipt is the right to ask."""

    public = True
    authentication_classes: list[type[BaseAuthentication]] = []

    @extend_schema(
        operation_id="rush_status",
        auth=[],
        summary="What became of a submission",
        description="404 with the state `unknown` means that it was lost: submit again with the same key.",
        responses={200: StandingSerializer, 202: StandingSerializer, **problem_responses("not_found")},
    )
    def get(self, request: Request, receipt: str) -> Response:
        found = _receipt(receipt)
        return _shown(submission.status(found.tier_id, found.order, buyer_id=found.buyer_id), receipt=receipt)


class RushPaymentView(APIView):
    """The receipt is the right to ask, the token in it the right to pay."""

    public = True
    # An old cookie must neither cost a query nor make the check against forged requests refuse the press.
    authentication_classes: list[type[BaseAuthentication]] = []

    @extend_schema(
        operation_id="rush_pay",
        auth=[],
        summary="Pay a held order from the wallet, in a rush",
        request=PressSerializer,
        responses={
            200: PressedSerializer,
            202: PressedSerializer,
            **problem_responses("malformed", "invalid", "not_found", "unavailable"),
        },
    )
    def post(self, request: Request, receipt: str) -> Response:
        found = _receipt(receipt)
        data = PressSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        try:
            verdict, told = pressing.press(found, data.validated_data["token"], now=timezone.now())
        except fast.FastStoreAway as away:
            raise Problem(code="unavailable", retry_after=RETRY_S) from away
        if verdict == "cold":
            raise Problem(code="unavailable", retry_after=RETRY_S)
        return _shown(json.loads(told) if told else {"state": "queued"})

    @extend_schema(
        operation_id="rush_payment",
        auth=[],
        summary="What became of the payment",
        responses={200: PressedSerializer, 202: PressedSerializer, **problem_responses("not_found")},
    )
    def get(self, request: Request, receipt: str) -> Response:
        return _shown(pressing.status(_receipt(receipt)))
