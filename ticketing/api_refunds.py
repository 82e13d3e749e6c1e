"""/api/v1/orders/{number}/refund-requests: give tickets back; and take a refund that is stuck into the wallet."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.tokens import signed_in
from basis.idempotency import idempotent
from basis.problems import Problem, define, problem_responses
from basis.shapes import (
    KEYED,
    SIGNED_IN,
    MoneyField,
    MoneySerializer,
    StrictInput,
    StrictInteger,
    StrictText,
    UtcField,
)
from basis.shapes import money as shown_money
from payments import redirect
from payments.api_shapes import RefundSerializer
from payments.models import Refund
from ticketing import listings, refund_terms, refunding
from ticketing.api_events import PublicView
from ticketing.api_orders import own_order
from ticketing.models import Order, RefundRequest
from ticketing.refund_models import AskedBy

TICKETS_MAX = 100
AMOUNT_MAX = 10**12

define("not_refundable", status=409, title=_("This cannot be given back"))
define("refund_terms_changed", status=409, title=_("Another amount goes back by now"))
define("refund_not_offered", status=409, title=_("The refund goes its usual way"))

WHY = {
    "not_paid": _("Only a paid order can be given back."),
    "no_rule": _("The organiser takes no tickets of this show back."),
    "too_late": _("The time to give tickets back is over."),
    "show_cancelled": _("The show does not take place: all of the money goes back by itself."),
    "no_tickets": _("Name the tickets to give back; the order has none left, or none were named."),
    "no_such_ticket": _("A ticket is not of this order."),
    "ticket_used": _("A ticket was used already."),
    "ticket_void": _("A ticket is void already."),
    "too_much": _("That much is not left of the payment."),
}


class RefundStepSerializer(serializers.Serializer[Any]):
    """Until `until`, `percent_back` of a ticket's price goes back."""

    until = UtcField()
    percent_back = serializers.IntegerField()


class RefundRuleSerializer(serializers.Serializer[Any]):
    """The published refund rule; no steps: tickets are not taken back. `text` is for people."""

    show = serializers.CharField()
    steps = RefundStepSerializer(many=True)
    text = serializers.ListField(child=serializers.CharField())


class RefundableTicketSerializer(serializers.Serializer[Any]):
    """What giving this ticket back brings now."""

    ticket = serializers.CharField(source="ticket.number")
    section = serializers.CharField(source="ticket.seat.row.section.code")
    row = serializers.CharField(source="ticket.seat.row.label")
    seat = serializers.CharField(source="ticket.seat.label")
    price = MoneySerializer()
    back = MoneySerializer()
    kept = MoneySerializer()


class RefundRequestSerializer(serializers.Serializer[Any]):
    """Tickets that were given back, or money that staff sent back; `refund` says how far the money is."""

    tickets = serializers.SerializerMethodField()
    amount = MoneyField()
    kept = MoneyField("kept_minor")
    asked_by = serializers.ChoiceField(choices=AskedBy.choices)
    made_at = UtcField()
    refund = serializers.SerializerMethodField()

    def get_tickets(self, request: RefundRequest) -> list[str]:
        return [seat.ticket.number for seat in request.seats.all()]

    @extend_schema_field(RefundSerializer(allow_null=True))
    def get_refund(self, request: RefundRequest) -> Any:
        refund = self.context["refunds"].get(request.refund_number)
        return RefundSerializer(refund).data if refund else None


class RefundsOfOrderSerializer(serializers.Serializer[Any]):
    """`refusal` says why nothing can be given back now; empty if it can."""

    refusal = serializers.CharField()
    tickets = RefundableTicketSerializer(many=True)
    items = RefundRequestSerializer(many=True)


class GiveBackSerializer(StrictInput):
    """Give these tickets back for `back`, which is the sum of what they bring; another sum by now is refused."""

    tickets = serializers.ListField(
        child=StrictText(max_length=32), allow_empty=False, max_length=TICKETS_MAX, help_text="Ticket numbers"
    )
    back = StrictInteger(min_value=0, max_value=AMOUNT_MAX, help_text="Minor units, as told by the GET")


class RefundRuleView(PublicView):
    @extend_schema(
        operation_id="refund_rule",
        summary="Until when tickets of a show can be given back, and for how much",
        responses={200: RefundRuleSerializer, **problem_responses("not_found")},
        auth=[],
    )
    def get(self, request: Request, code: str) -> Response:
        show = listings.published_show(code)
        if show is None:
            raise Problem(code="not_found")
        terms = refund_terms.terms_to_show(show)
        shown = {
            "show": show.code,
            "steps": terms.steps if terms else [],
            "text": refund_terms.sentences(terms),
        }
        return Response(RefundRuleSerializer(shown).data)


class RefundRequestsView(APIView):
    scopes = {"GET": "orders:read", "POST": "orders:write"}

    @extend_schema(
        operation_id="order_refunds",
        summary="What of an order can be given back now, and what was",
        responses={200: RefundsOfOrderSerializer, **problem_responses(*SIGNED_IN, "not_found")},
    )
    def get(self, request: Request, number: str) -> Response:
        order = own_order(request, number)
        offered = refunding.quote(order, now=timezone.now())
        given = list(order.refund_requests.order_by("pk").prefetch_related("seats__ticket"))
        shown = {
            "refusal": offered.refusal,
            "tickets": [] if offered.refusal else [_shown(line, order) for line in offered.lines],
            "items": given,
        }
        return Response(RefundsOfOrderSerializer(shown, context=_context(given)).data)

    @extend_schema(
        operation_id="order_give_back",
        summary="Give tickets back",
        description=(
            "By the show's published refund rule. The tickets are void at once; the money goes back the way it came."
        ),
        request=GiveBackSerializer,
        responses={
            201: RefundRequestSerializer,
            **problem_responses(*KEYED, *SIGNED_IN, "not_found", "not_refundable", "refund_terms_changed"),
        },
    )
    @idempotent
    def post(self, request: Request, number: str) -> Response:
        order = own_order(request, number)
        data = GiveBackSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        try:
            made = refunding.give_back(
                number=order.number,
                tickets=sorted(set(data.validated_data["tickets"])),
                expected_minor=data.validated_data["back"],
                key=request.headers["Idempotency-Key"],
                actor=f"buyer:{order.buyer_id}",
                now=timezone.now(),
            )
        except (refunding.NotRefundable, refunding.KeyReused) as error:
            raise _problem(error, order) from error
        return Response(RefundRequestSerializer(made, context=_context([made])).data, status=201)


class ToWalletView(APIView):
    scopes = {"POST": "payments:write"}

    @extend_schema(
        operation_id="refund_to_wallet",
        summary="Take a refund that its channel does not carry out into the wallet",
        description=(
            "Only while `wallet_offer` of the refund is true. The channel is asked a last time before; if it has "
            "refunded after all, that is the refund."
        ),
        request=None,
        responses={
            200: RefundSerializer,
            **problem_responses(*KEYED, *SIGNED_IN, "not_found", "refund_not_offered"),
        },
    )
    @idempotent
    def post(self, request: Request, number: str, refund: str) -> Response:
        order = own_order(request, number)
        mine = Refund.objects.filter(number=refund, payment__purchase_number=order.number)
        if not mine.exists():
            raise Problem(code="not_found")
        try:
            taken = redirect.accept(number=refund, buyer_id=signed_in(request).pk, now=timezone.now())
        except redirect.NoSuchRefund as error:
            raise Problem(code="not_found") from error
        except redirect.NotOffered as error:
            detail = _("It is done, or its channel works on it.")
            raise Problem(code="refund_not_offered", detail=detail, state=error.state) from error
        return Response(RefundSerializer(taken).data)


def _shown(line: refunding.Line, order: Order) -> dict[str, Any]:
    amounts = {"price": line.price_minor, "back": line.back_minor, "kept": line.kept_minor}
    return {
        "ticket": line.ticket,
        **{name: shown_money(minor, order.currency) for name, minor in amounts.items()},
    }


def _context(given: list[RefundRequest]) -> dict[str, Any]:
    numbers = [request.refund_number for request in given]
    return {"refunds": {refund.number: refund for refund in Refund.objects.filter(number__in=numbers)}}


def _problem(error: refunding.NotRefundable | refunding.KeyReused, order: Order) -> Problem:
    if isinstance(error, refunding.KeyReused):
        return Problem(code="idempotency_key_reused")
    if error.reason == "terms_changed":
        return Problem(
            code="refund_terms_changed",
            detail=_("Nothing was given back. Ask again what goes back, and decide anew."),
            back=shown_money(int(error.detail), order.currency),
        )
    return Problem(code="not_refundable", detail=WHY.get(error.reason, ""), reason=error.reason)
