"""What may be paid how: a payment token, the channels and the payment to resume. The views of each kind of purchase."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.tokens import signed_in
from basis.problems import Problem, problem_responses
from basis.shapes import SIGNED_IN, MoneySerializer, UtcField, money, shown
from payments import checkout, entry, stops
from payments.api_shapes import PaymentSerializer
from payments.models import ChannelCode
from payments.purchases import NoSuchPurchase
from risk import gate_web


class UnavailableSerializer(serializers.Serializer[Any]):
    """`busy`: too many wait for it; `not_answering`: its calls fail; `stopped`: by staff, for now."""

    channel = serializers.ChoiceField(choices=ChannelCode.choices)
    reason = serializers.ChoiceField(choices=[entry.BUSY, entry.BROKEN, stops.STOPPED])


class OfferSerializer(serializers.Serializer[Any]):
    """
    `token` is null and `refusal` says why if it cannot be paid. `payment` is the one to resume or the one that paid.
    """

    token = serializers.CharField(allow_null=True)
    amount = MoneySerializer()
    channels = serializers.ListField(child=serializers.ChoiceField(choices=ChannelCode.choices))
    unavailable = UnavailableSerializer(
        many=True, help_text="Those of `channels` that take nobody new just now"
    )
    payment = PaymentSerializer(allow_null=True)
    payable_until = UtcField()
    refusal = serializers.CharField(help_text="`paid`, `refunded`, `cancelled`, `expired`; empty if payable")


def payment_token_schema(operation_id: str, summary: str) -> Any:
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        description=(
            "A token for one payment. All requests before the next payment get the same one, so it needs no "
            "Idempotency-Key."
        ),
        request=None,
        responses={
            200: OfferSerializer,
            **problem_responses(*SIGNED_IN, "not_found", "too_many_requests", "unavailable"),
        },
    )


class PaymentTokenView(APIView):
    """What may be paid how; a subclass says for which kind of purchase."""

    scopes = {"POST": "payments:write"}
    kind = ""

    def post(self, request: Request, number: str) -> Response:
        try:
            offer = checkout.offer(
                kind=self.kind, number=number, buyer_id=signed_in(request).pk, now=timezone.now()
            )
        except NoSuchPurchase as error:
            raise Problem(code="not_found") from error
        if offer.token:
            gate_web.admit_token(request._request, purchase=f"{self.kind}:{number}", now=timezone.now())
        told = {
            "token": offer.token or None,
            "amount": money(offer.quote.amount_minor, offer.quote.currency),
            "channels": offer.channels,
            "unavailable": [{"channel": code, "reason": why} for code, why in offer.greyed.items()],
            "payment": offer.payment,
            "payable_until": offer.quote.payable_until,
            "refusal": offer.quote.refusal,
        }
        return Response(shown(OfferSerializer, told), headers={"Cache-Control": "no-store"})


@extend_schema_view(post=payment_token_schema("topup_payment_token", "The top-up's way to pay"))
class TopUpPaymentTokenView(PaymentTokenView):
    kind = "topup"
