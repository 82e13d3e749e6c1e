"""/api/v1/wallet: balances, entries, top-ups. How a top-up is paid is a matter of payments."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from basis.idempotency import idempotent
from basis.pagination import newest_first
from basis.problems import Problem, problem_responses
from basis.shapes import (
    KEYED,
    PAGE_PARAMETERS,
    SIGNED_IN,
    MoneyField,
    StrictInput,
    StrictInteger,
    UtcField,
    money,
    page_of,
)
from wallet import listings, topups
from wallet.models import AccountKind, Posting, TopUpState


class WalletSerializer(serializers.Serializer[Any]):
    """`cash` and `bonus` include what is `held`; `available` is what can be spent now."""

    cash = MoneyField("cash_minor")
    bonus = MoneyField("bonus_minor")
    held = MoneyField("held_minor")
    available = MoneyField("available_minor")
    currency = serializers.CharField()


class EntrySerializer(serializers.Serializer[Any]):
    """One line of the ledger: above zero came in, below zero went out."""

    id = serializers.IntegerField()
    at = UtcField(source="entry.at")
    kind = serializers.CharField(source="entry.kind")
    account = serializers.SerializerMethodField()
    amount = serializers.SerializerMethodField()
    reference = serializers.CharField(source="entry.reference", help_text="The order or top-up it belongs to")

    def get_account(self, posting: Posting) -> str:
        return "bonus" if posting.account.kind == AccountKind.BUYER_BONUS else "cash"

    def get_amount(self, posting: Posting) -> dict[str, Any]:
        return money(posting.amount_minor, posting.account.currency)


class TopUpSerializer(serializers.Serializer[Any]):
    """`payment` is the one that paid it."""

    number = serializers.CharField()
    state = serializers.ChoiceField(choices=TopUpState.choices)
    amount = MoneyField()
    created_at = UtcField()
    payable_until = UtcField()
    payment = serializers.SerializerMethodField()

    def get_payment(self, topup: topups.TopUp) -> str | None:
        return topup.winner or None


class RequestTopUpSerializer(StrictInput):
    amount = StrictInteger(
        min_value=topups.TOPUP_MIN_MINOR, max_value=topups.TOPUP_MAX_MINOR, help_text="In fen"
    )


class WalletView(APIView):
    scopes = {"GET": "wallet:read"}

    @extend_schema(
        operation_id="wallet",
        summary="What I have",
        responses={200: WalletSerializer, **problem_responses(*SIGNED_IN)},
    )
    def get(self, request: Request) -> Response:
        return Response(WalletSerializer(listings.balances(_buyer(request))).data)


class EntriesView(APIView):
    scopes = {"GET": "wallet:read"}

    @extend_schema(
        operation_id="wallet_entries",
        summary="What came and went, newest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("EntryPage", EntrySerializer), **problem_responses("invalid", *SIGNED_IN)},
    )
    def get(self, request: Request) -> Response:
        return newest_first(listings.postings_of(_buyer(request)), EntrySerializer, request)


class TopUpsView(APIView):
    scopes = {"GET": "wallet:read", "POST": "wallet:write"}

    @extend_schema(
        operation_id="topups",
        summary="My top-ups, newest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("TopUpPage", TopUpSerializer), **problem_responses("invalid", *SIGNED_IN)},
    )
    def get(self, request: Request) -> Response:
        return newest_first(listings.topups_of(_buyer(request)), TopUpSerializer, request)

    @extend_schema(
        operation_id="topups_request",
        summary="Ask to put money into the wallet",
        description="Then fetch its payment token and pay it like an order, at any channel but the wallet.",
        request=RequestTopUpSerializer,
        responses={201: TopUpSerializer, **problem_responses(*KEYED, *SIGNED_IN)},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        data = RequestTopUpSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        try:
            topup = topups.request_topup(
                buyer_id=_buyer(request),
                client_key=request.headers["Idempotency-Key"],
                amount_minor=data.validated_data["amount"],
                now=timezone.now(),
            )
        except topups.KeyReused as error:
            detail = _("A top-up of another amount was made with this key. Take a new key for a new top-up.")
            raise Problem(code="idempotency_key_reused", detail=detail) from error
        headers = {"Location": f"/api/v1/wallet/topups/{topup.number}"}
        return Response(TopUpSerializer(topup).data, status=201, headers=headers)


class TopUpView(APIView):
    scopes = {"GET": "wallet:read"}

    @extend_schema(
        operation_id="topup",
        summary="A top-up of mine",
        responses={200: TopUpSerializer, **problem_responses(*SIGNED_IN, "not_found")},
    )
    def get(self, request: Request, number: str) -> Response:
        topup = listings.topups_of(_buyer(request)).filter(number=number).first()
        if topup is None:
            raise Problem(code="not_found")
        return Response(TopUpSerializer(topup).data)


def _buyer(request: Request) -> int:
    buyer_id = request.user.pk
    if buyer_id is None:
        raise Problem(code="not_authenticated")
    return int(buyer_id)
