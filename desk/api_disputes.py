"""/api/v1/desk/disputes: file what a buyer, a bank or a channel objects to, and say who was right."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.tokens import signed_in
from basis.problems import Problem, define, problem_responses
from basis.shapes import SIGNED_IN, MoneyField, StrictInput, StrictInteger, StrictText, UtcField
from desk.api import BODY, StaffView
from payments import disputes
from payments.dispute_models import DisputeKind

define("not_paid", status=404, title=_("There is no paid payment of this number"))
define("more_than_paid", status=400, title=_("The dispute is about more than the payment took"))
define("filed_otherwise", status=409, title=_("This dispute is filed already, with other facts"))
define("no_such_dispute", status=404, title=_("There is no such dispute"))
define("decided_before", status=409, title=_("The dispute is decided already"))

FILING = {
    disputes.NotPaid: "not_paid",
    disputes.MoreThanPaid: "more_than_paid",
    disputes.FiledOtherwise: "filed_otherwise",
}
DECIDING = {
    disputes.NoReason: "reason_missing",
    disputes.NoSuchDispute: "no_such_dispute",
    disputes.DecidedBefore: "decided_before",
}


class DisputeFileSerializer(StrictInput):
    payment = StrictText(max_length=32)
    objection = serializers.ChoiceField(choices=DisputeKind.choices, source="kind")
    told_by = StrictText(max_length=16, required=False, default=disputes.STAFF)
    reference = StrictText(max_length=64)
    amount_minor = StrictInteger(min_value=1, required=False)
    note = StrictText(max_length=500, required=False, default="")
    opened_at = serializers.DateTimeField(required=False)


class DisputeDecideSerializer(StrictInput):
    upheld = serializers.BooleanField()
    reason = StrictText(max_length=500)


class DisputeSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="pk")
    payment = serializers.CharField(source="payment.number")
    objection = serializers.ChoiceField(choices=DisputeKind.choices, source="kind")
    told_by = serializers.CharField(source="source")
    reference = serializers.CharField()
    amount = MoneyField()
    state = serializers.CharField()
    opened_at = UtcField()


class DisputesView(StaffView):
    right = "payments.add_dispute"

    @extend_schema(
        operation_id="desk_file_dispute",
        summary="File a dispute against a payment",
        description="The same number from the same source answers the dispute that was filed first.",
        request=DisputeFileSerializer,
        responses={
            201: DisputeSerializer,
            **problem_responses(*BODY, "forbidden", *FILING.values(), *SIGNED_IN),
        },
    )
    def post(self, request: Request) -> Response:
        data = DisputeFileSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        told, now = dict(data.validated_data), timezone.now()
        opened_at = min(told.pop("opened_at", now), now)
        try:
            dispute = disputes.file(
                payment_number=told.pop("payment"),
                source=told.pop("told_by"),
                **told,
                actor=signed_in(request).get_username(),
                opened_at=opened_at,
                now=now,
            )
        except tuple(FILING) as error:
            raise Problem(code=FILING[type(error)]) from error
        return Response(DisputeSerializer(dispute).data, status=201)


class DisputeDecisionView(StaffView):
    right = "payments.change_dispute"

    @extend_schema(
        operation_id="desk_decide_dispute",
        summary="Say who was right",
        request=DisputeDecideSerializer,
        responses={
            200: DisputeSerializer,
            **problem_responses(*BODY, "forbidden", *DECIDING.values(), *SIGNED_IN),
        },
    )
    def post(self, request: Request, dispute_id: int) -> Response:
        data = DisputeDecideSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        try:
            dispute = disputes.decide(
                dispute_id=dispute_id,
                **data.validated_data,
                actor=signed_in(request).get_username(),
                now=timezone.now(),
            )
        except tuple(DECIDING) as error:
            raise Problem(code=DECIDING[type(error)]) from error
        return Response(DisputeSerializer(dispute).data)
