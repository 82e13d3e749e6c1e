"""/api/v1/wallet/withdrawals: a buyer's cash to an account outside. Bonus never leaves."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.tokens import signed_in
from basis.idempotency import idempotent
from basis.pagination import newest_first
from basis.problems import Problem, define, problem_responses
from basis.shapes import (
    KEYED,
    PAGE_PARAMETERS,
    SIGNED_IN,
    MoneyField,
    StrictChoice,
    StrictInput,
    StrictInteger,
    StrictText,
    UtcField,
    page_of,
)
from payments import withdrawals
from payments.withdrawal_models import Owner, PayeeKind, Withdrawal, WithdrawalState

AMOUNT_MAX = 10**12

define("not_withdrawable", status=409, title=_("This cannot be withdrawn now"))
define("withdrawals_stopped", status=503, title=_("Withdrawals are stopped for now"), retryable=True)

WHY = {
    "amount": _("This is less than the least amount of a withdrawal."),
    "bad_account": _("This is no account of its kind, or its holder has no name."),
    "over_daily_limit": _("This is more than may still be withdrawn today."),
    "insufficient": _("There is less cash than that. Bonus cannot be withdrawn."),
    "no_channel": _("There is no way to pay money out now."),
}


class PayeeSerializer(serializers.Serializer[Any]):
    """The account is masked."""

    kind = serializers.ChoiceField(choices=PayeeKind.choices, source="payee_kind")
    account = serializers.CharField(source="payee_shown")


class WithdrawalSerializer(serializers.Serializer[Any]):
    """`refusal` is the channel's code of why it was refused or came back; the money is in the wallet again."""

    number = serializers.CharField()
    state = serializers.ChoiceField(choices=WithdrawalState.choices)
    amount = MoneyField()
    to = PayeeSerializer(source="*")
    created_at = UtcField()
    ended_at = UtcField(allow_null=True)
    refusal = serializers.SerializerMethodField()

    def get_refusal(self, one: Withdrawal) -> str | None:
        return one.refusal or None


class WantedPayeeSerializer(StrictInput):
    """`alipay`: a login (phone or mail). `bank`: a card's number. `name` is the holder's, as registered there."""

    kind = StrictChoice(choices=PayeeKind.choices)
    account = StrictText(max_length=100)
    name = StrictText(max_length=60)


class RequestWithdrawalSerializer(StrictInput):
    amount = StrictInteger(min_value=1, max_value=AMOUNT_MAX, help_text="In fen")
    to = WantedPayeeSerializer()


class WithdrawalsView(APIView):
    scopes = {"GET": "wallet:read", "POST": "wallet:write"}

    @extend_schema(
        operation_id="withdrawals",
        summary="My withdrawals, newest first",
        parameters=PAGE_PARAMETERS,
        responses={
            200: page_of("WithdrawalPage", WithdrawalSerializer),
            **problem_responses("invalid", *SIGNED_IN),
        },
    )
    def get(self, request: Request) -> Response:
        return newest_first(_mine(request), WithdrawalSerializer, request)

    @extend_schema(
        operation_id="withdrawals_request",
        summary="Take cash out of the wallet",
        description="The amount is set aside at once and sent; follow its `state`. Refused money is back by itself.",
        request=RequestWithdrawalSerializer,
        responses={
            201: WithdrawalSerializer,
            **problem_responses(*KEYED, *SIGNED_IN, "not_withdrawable", "withdrawals_stopped"),
        },
    )
    @idempotent
    def post(self, request: Request) -> Response:
        data = RequestWithdrawalSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        buyer = signed_in(request)
        try:
            made = withdrawals.request(
                owner_kind=Owner.BUYER,
                owner=str(buyer.pk),
                payee=withdrawals.Payee(**data.validated_data["to"]),
                amount_minor=data.validated_data["amount"],
                client_key=request.headers["Idempotency-Key"],
                actor=f"buyer:{buyer.pk}",
                now=timezone.now(),
            )
        except withdrawals.NotWithdrawable as error:
            if error.reason == "stopped":
                raise Problem(code="withdrawals_stopped") from error
            raise Problem(
                code="not_withdrawable", detail=WHY.get(error.reason), reason=error.reason
            ) from error
        except withdrawals.KeyReused as error:
            detail = _("Another withdrawal was made with this key. Take a new key for a new one.")
            raise Problem(code="idempotency_key_reused", detail=detail) from error
        headers = {"Location": f"/api/v1/wallet/withdrawals/{made.number}"}
        return Response(WithdrawalSerializer(made).data, status=201, headers=headers)


class WithdrawalView(APIView):
    scopes = {"GET": "wallet:read"}

    @extend_schema(
        operation_id="withdrawal",
        summary="A withdrawal of mine",
        responses={200: WithdrawalSerializer, **problem_responses(*SIGNED_IN, "not_found")},
    )
    def get(self, request: Request, number: str) -> Response:
        found = _mine(request).filter(number=number).first()
        if found is None:
            raise Problem(code="not_found")
        return Response(WithdrawalSerializer(found).data)


def _mine(request: Request) -> Any:
    return Withdrawal.objects.filter(owner_kind=Owner.BUYER, owner=str(signed_in(request).pk))
