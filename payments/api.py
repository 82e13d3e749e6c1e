"""/api/v1/payments: how a purchase is paid, whatever was bought."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.tokens import signed_in
from basis import events, fast
from basis.idempotency import idempotent
from basis.pagination import newest_first
from basis.problems import Problem, define, problem_responses
from basis.quota import Quota
from basis.shapes import (
    KEYED,
    PAGE_PARAMETERS,
    SIGNED_IN,
    StrictChoice,
    StrictInput,
    StrictText,
    page_of,
    shown,
    taken_in,
)
from payments import asking, checkout, entry, listings, settle, stops
from payments.api_shapes import PAGES, PaymentSerializer
from payments.channels import registry
from payments.models import (
    ChannelCode,
    Payment,
)
from payments.purchases import NoSuchPurchase
from risk.payment_tokens import TokenRefused

log = events.get_logger(__name__)

CHECK_EVERY_MS = 2000
TOKEN_LENGTH_MAX = 512

define("not_payable", status=409, title=_("This cannot be paid now"))
define("channel_not_offered", status=409, title=_("This way to pay is not offered"))
define("token_refused", status=409, title=_("The payment token is not valid for this"))
define("token_used_elsewhere", status=409, title=_("The payment token was used at another channel"))


class PaySerializer(StrictInput):
    """What to pay (`order` or `topup`), where, and with which payment token."""

    order = StrictText(max_length=32, required=False)
    topup = StrictText(max_length=32, required=False)
    channel = StrictChoice(choices=ChannelCode.choices)
    token = StrictText(max_length=TOKEN_LENGTH_MAX, trim_whitespace=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        named = [kind for kind in PAGES if kind in attrs]
        if len(named) != 1:
            raise serializers.ValidationError({"order": [_("Name one purchase: `order` or `topup`.")]})
        return attrs | {"kind": named[0], "number": attrs[named[0]]}


class PaymentsView(APIView):
    scopes = {"GET": "payments:read", "POST": "payments:write"}

    @extend_schema(
        operation_id="payments",
        summary="My payments, newest first",
        parameters=PAGE_PARAMETERS,
        responses={
            200: page_of("PaymentPage", PaymentSerializer),
            **problem_responses("invalid", *SIGNED_IN),
        },
    )
    def get(self, request: Request) -> Response:
        return newest_first(listings.payments_of(signed_in(request).pk), PaymentSerializer, request)

    @extend_schema(
        operation_id="payments_pay",
        summary="Pay",
        description=(
            "However often it is sent with one payment token, one payment comes of it: 201 for the request that made "
            "it, 200 with the same payment for every other. While the channel is still being called the state is "
            "`created`: ask `GET payments/{number}` again."
        ),
        request=PaySerializer,
        responses={
            201: PaymentSerializer,
            200: PaymentSerializer,
            **problem_responses(
                *(*KEYED, *SIGNED_IN, "not_found", "not_payable", "channel_not_offered", "token_refused"),
                "token_used_elsewhere",
            ),
        },
    )
    @idempotent
    def post(self, request: Request) -> Response:
        wanted = taken_in(PaySerializer, request.data)
        now = timezone.now()
        payment = _pay(request, wanted, now=now)
        # What this very request recorded carries its time; everything else repeats an earlier press.
        new = payment.created_at == now
        headers = {"Location": f"/api/v1/payments/{payment.number}"}
        told = shown(PaymentSerializer, payment, new=new)
        return Response(told, status=201 if new else 200, headers=headers)


def _pay(request: Request, wanted: dict[str, Any], *, now: datetime) -> Payment:
    kind, number = wanted["kind"], wanted["number"]
    try:
        return checkout.pay(
            kind=kind,
            number=number,
            buyer_id=signed_in(request).pk,
            channel=wanted["channel"],
            token=wanted["token"],
            return_url=settings.PUBLIC_URL + PAGES[kind].format(number=number),
            now=now,
        )
    except REFUSALS as error:
        raise refusal(error) from error


REFUSALS = (
    NoSuchPurchase,
    checkout.NotPayable,
    checkout.ChannelNotOffered,
    checkout.TokenUsedElsewhere,
    TokenRefused,
)
SHUT_RETRY_S = 5
SHUT = {
    entry.BUSY: _("Too many are waiting for this channel. Choose another one, or try again in a moment."),
    entry.BROKEN: _("This channel does not answer just now. Choose another one, or try again in a moment."),
    stops.STOPPED: _(
        "This is stopped for now. Nothing was taken. Choose another channel, or try again later."
    ),
}
UNPAYABLE = {
    "paid": _("It is paid already."),
    "refunded": _("It was refunded; place a new order."),
    "cancelled": _("It was cancelled; place a new order."),
    "expired": _("The time to pay is over; start again."),
}


def refusal(error: Exception) -> Problem:
    """What the API says when a purchase cannot be paid."""
    match error:
        case NoSuchPurchase():
            return Problem(code="not_found")
        case checkout.NotPayable():
            return Problem(code="not_payable", detail=UNPAYABLE.get(error.reason, ""), reason=error.reason)
        case checkout.ChannelNotOffered() if error.reason:
            return Problem(
                code="channel_not_offered",
                detail=SHUT[error.reason],
                reason=error.reason,
                retryable=True,  # not a decision: the same key may be used again
                retry_after=SHUT_RETRY_S,
            )
        case checkout.ChannelNotOffered():
            return Problem(
                code="channel_not_offered", detail=_("Choose one of the payment token's `channels`.")
            )
        case checkout.TokenUsedElsewhere():
            return Problem(
                code="token_used_elsewhere",
                detail=_("Fetch a new payment token to pay another way; the earlier payment is then closed."),
                payment=error.payment.number,
            )
        case TokenRefused():
            return Problem(
                code="token_refused",
                detail=_("Fetch a new payment token and pay with that."),
                reason=error.reason,
            )
    raise error


def own_payment(request: Request, number: str) -> Payment:
    """
    :raises Problem: `not_found`, also if it is another buyer's
    """
    payment = listings.payment_of(signed_in(request).pk, number)
    if payment is None:
        raise Problem(code="not_found")
    return payment


class PaymentView(APIView):
    scopes = {"GET": "payments:read"}

    @extend_schema(
        operation_id="payment",
        summary="A payment of mine",
        responses={200: PaymentSerializer, **problem_responses(*SIGNED_IN, "not_found")},
    )
    def get(self, request: Request, number: str) -> Response:
        return Response(shown(PaymentSerializer, own_payment(request, number)))


class CheckView(APIView):
    scopes = {"POST": "payments:write"}

    @extend_schema(
        operation_id="payment_check",
        summary="Ask the channel now",
        description=(
            "Channels are asked on a schedule anyway; this is for a buyer who says he has paid. At most once in two "
            "seconds a payment. Needs no Idempotency-Key: asking changes nothing that is not a fact already."
        ),
        request=None,
        responses={
            200: PaymentSerializer,
            **problem_responses(*SIGNED_IN, "not_found", "channel_not_offered", "too_many_requests"),
        },
    )
    def post(self, request: Request, number: str) -> Response:
        payment = own_payment(request, number)
        if payment.live:
            payment = _asked(payment, now=timezone.now())
        return Response(shown(PaymentSerializer, payment))


def _asked(payment: Payment, *, now: datetime) -> Payment:
    try:
        if not fast.store().set(f"payment-check:{{{payment.number}}}", 1, nx=True, px=CHECK_EVERY_MS):
            raise Problem(
                code="too_many_requests",
                detail=_("The channel was asked a moment ago. Wait two seconds."),
                retry_after=CHECK_EVERY_MS // 1000,
                quota=Quota("check", 1, CHECK_EVERY_MS // 1000, CHECK_EVERY_MS // 1000),
            )
        return asking.ask(payment.number, source="check", now=now)
    except fast.FastStoreAway:
        return payment  # Nobody counts, so nobody asks out of turn: the schedule asks.
    except registry.NoSuchChannel as error:
        raise Problem(code="channel_not_offered", detail=_("The channel is switched off for now.")) from error
    except settle.AmountDiffers as error:
        log.error("payment.amount_differs", payment=payment.number, why=str(error))
        return payment
