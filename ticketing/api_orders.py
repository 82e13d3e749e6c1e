"""/api/v1/orders: hold seats, look, cancel, follow."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.tokens import signed_in
from basis.idempotency import idempotent
from basis.pagination import newest_first
from basis.problems import Problem, define, problem_responses
from basis.shapes import (
    ID_MAX,
    KEYED,
    PAGE_PARAMETERS,
    SIGNED_IN,
    MoneyField,
    StrictInput,
    StrictInteger,
    StrictText,
    StrictTruth,
    UtcField,
    page_of,
    shown,
    taken_in,
)
from payments.api_tokens import PaymentTokenView, payment_token_schema
from risk.gate_web import GATED, gated
from ticketing import admission, listings, orders, phases, seats
from ticketing.models import Order, OrderState
from ticketing.timeline import timeline

SEATS_LISTED_MAX = 100
PASS = "Admission-Pass"  # noqa: S105 (a header's name)
TURN = OpenApiParameter(
    PASS,
    str,
    OpenApiParameter.HEADER,
    description="Where the show has a waiting room: the pass that its queue gave",
)
# Early birds come back with the same key; this is how long we tell them to wait at most.
RETRY_AFTER_MAX_S = 3600

define("no_such_tier", status=404, title=_("The show has no such price tier"))
define("bad_quantity", status=400, title=_("An order cannot have this many seats"))
define("not_on_sale", status=409, title=_("The show is not on sale now"))
define("pass_needed", status=403, title=_("Wait for your turn: this needs an admission pass"))
define("pass_used", status=409, title=_("The admission pass was used or has ended"))
define("sale_stopped", status=503, title=_("The sale is stopped for now"), retryable=True)
define("not_eligible", status=403, title=_("This sale is not open to you"))
define("limit_reached", status=409, title=_("You have as many seats as one buyer may"))
define("sold_out", status=409, title=_("Too few seats are left"))
define("seats_taken", status=409, title=_("Some of these seats are taken"))
define("not_cancellable", status=409, title=_("The order cannot be cancelled any more"))


class GivenSeatSerializer(serializers.Serializer[Any]):
    section = serializers.CharField()
    row = serializers.CharField()
    seat = serializers.CharField()


class OrderSerializer(serializers.Serializer[Any]):
    """`seats` are those the order has or, once it is over, had. `payment` is the one that paid it."""

    number = serializers.CharField()
    state = serializers.ChoiceField(choices=OrderState.choices)
    show = serializers.CharField(source="tier.show.code")  # placing an order has fetched it that way
    tier = serializers.CharField(source="tier.code")
    quantity = serializers.IntegerField()
    amount = MoneyField()
    seats = serializers.SerializerMethodField()
    placed_at = UtcField()
    hold_until = UtcField()
    accept_equal_seats = serializers.BooleanField()
    payment = serializers.SerializerMethodField()

    @extend_schema_field(GivenSeatSerializer(many=True))
    def get_seats(self, order: Order) -> list[dict[str, str]]:
        places = listings.places_of(order)
        return [{"section": place.section, "row": place.row, "seat": place.seat} for place in places]

    def get_payment(self, order: Order) -> str | None:
        return order.winner or None


class PlaceOrderSerializer(StrictInput):
    """The best `quantity` seats of a tier, or exactly `seats`, all of that tier."""

    show = StrictText(max_length=50)
    tier = StrictText(max_length=12, help_text="The tier's code")
    quantity = StrictInteger(required=False)
    seats = serializers.ListField(
        child=StrictInteger(min_value=1, max_value=ID_MAX),
        required=False,
        allow_empty=False,
        max_length=SEATS_LISTED_MAX,
        help_text="Ids from the section's seats",
    )
    accept_equal_seats = StrictTruth(
        required=False,
        default=False,
        help_text="If the money comes after the hold was over and the seats are gone: take equal or better seats "
        "of the same price instead of a refund",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        chosen, quantity = attrs.get("seats"), attrs.get("quantity")
        if chosen is None and quantity is None:
            raise serializers.ValidationError(
                {"quantity": [_("Say how many seats, or which ones in `seats`.")]}
            )
        if chosen is not None and quantity is not None:
            raise serializers.ValidationError({"quantity": [_("Send `quantity` or `seats`, not both.")]})
        return attrs


class OrdersView(APIView):
    scopes = {"GET": "orders:read", "POST": "orders:write"}

    @extend_schema(
        operation_id="orders",
        summary="My orders, newest first",
        parameters=PAGE_PARAMETERS,
        responses={200: page_of("OrderPage", OrderSerializer), **problem_responses("invalid", *SIGNED_IN)},
    )
    def get(self, request: Request) -> Response:
        return newest_first(listings.orders_of(signed_in(request)), OrderSerializer, request)

    @extend_schema(
        operation_id="orders_place",
        summary="Hold seats",
        description="The seats are the buyer's until `hold_until`; a payment in flight prolongs that within a bound.",
        request=PlaceOrderSerializer,
        parameters=[TURN],
        responses={
            201: OrderSerializer,
            **problem_responses(
                *(*KEYED, *SIGNED_IN, "bad_quantity", "not_eligible", "no_such_tier", "not_on_sale"),
                *("limit_reached", "sold_out", "seats_taken", "sale_stopped", "pass_needed", "pass_used"),
                *GATED,
            ),
        },
    )
    @gated("order")
    @idempotent
    def post(self, request: Request) -> Response:
        wanted = taken_in(PlaceOrderSerializer, request.data)
        order = _place(request, wanted, now=timezone.now())
        return Response(shown(OrderSerializer, order), status=201, headers={"Location": _address(order)})


def _place(request: Request, wanted: dict[str, Any], *, now: datetime) -> Order:
    tier = listings.published_tier(wanted["show"], wanted["tier"])
    if tier is None:
        raise Problem(code="no_such_tier", detail=_("Take the codes of show and tier from the show's page."))
    buyer, key = signed_in(request), request.headers["Idempotency-Key"]
    try:
        admitted = admission.shown(request.headers.get(PASS, ""), show=wanted["show"], buyer_id=buyer.pk)
        with admission.used(admitted, tier_id=tier.pk, client_key=key, now=now):
            order = orders.place_order(
                buyer=buyer,
                client_key=key,
                tier_id=tier.pk,
                tier=tier,
                quantity=wanted.get("quantity", 0),
                seat_ids=wanted.get("seats", ()),
                accept_equal_seats=wanted["accept_equal_seats"],
                now=now,
            )
    except REFUSALS as error:
        raise refusal(error, now=now) from error
    return order


REFUSALS = (
    admission.PassNeeded,
    admission.PassUsed,
    orders.BadQuantity,
    orders.KeyReused,
    *orders.REFUSED,
)
STOPPED_RETRY_S = 30


def refusal(error: Exception, *, now: datetime) -> Problem:
    """What the API says when an order cannot be placed."""
    match error:
        case admission.PassNeeded():
            return Problem(
                code="pass_needed",
                detail=_("Join the show's queue; when it is your turn, it gives you the pass."),
            )
        case admission.PassUsed():
            return Problem(
                code="pass_used", detail=_("Queue again, and take a new Idempotency-Key with the new pass.")
            )
        case orders.NoSuchTier():
            return Problem(code="no_such_tier")
        case orders.BadQuantity():
            return _bad_quantity()
        case orders.KeyReused():
            return Problem(
                code="idempotency_key_reused",
                detail=_(
                    "An order with other values was placed with this key. Take a new key for a new order."
                ),
            )
        case phases.NotOnSale():
            return _not_on_sale(error, now)
        case phases.SaleStopped():
            return sale_stopped()
        case phases.NotEligible():
            return Problem(
                code="not_eligible", detail=_("Wait for the sale that is open to everyone."), rule=error.rule
            )
        case phases.LimitReached():
            return _limit_reached(error)
        case seats.SeatsTaken():
            return Problem(
                code="seats_taken",
                detail=_("Nothing was held. Load the section's seats again and choose others."),
                seats=error.seat_ids,
            )
    return Problem(code="sold_out", detail=_("Ask for fewer seats or another tier; unpaid seats come back."))


def _bad_quantity() -> Problem:
    most = settings.ORDER_QUANTITY_MAX
    detail = _("An order is for 1 to %(most)d seats.") % {"most": most}
    fault = {"pointer": "/quantity", "code": "bad_quantity", "detail": detail}
    return Problem(code="bad_quantity", detail=detail, errors=[fault], most=most)


def sale_stopped() -> Problem:
    return Problem(
        code="sale_stopped",
        detail=_(
            "Nothing was taken. Orders that hold seats can be paid; the same request may be repeated later."
        ),
        retry_after=STOPPED_RETRY_S,
    )


def _not_on_sale(error: phases.NotOnSale, now: datetime) -> Problem:
    if error.opens_at is None:
        return Problem(code="not_on_sale", detail=_("The sale is over."), opens_at=None)
    seconds = int((error.opens_at - now).total_seconds()) + 1
    return Problem(
        code="not_on_sale",
        detail=_("The sale has not opened yet; come back at `opens_at`."),
        opens_at=UtcField().to_representation(error.opens_at),
        # Not a decision: the same key may be used again when the sale is open.
        retryable=True,
        retry_after=min(seconds, RETRY_AFTER_MAX_S),
    )


def _limit_reached(error: phases.LimitReached) -> Problem:
    detail = _("One buyer may have %(limit)d seats of this sale; you may take %(left)d more.")
    return Problem(
        code="limit_reached",
        detail=detail % {"limit": error.limit, "left": max(0, error.left)},
        limit=error.limit,
        left=max(0, error.left),
    )


def _address(order: Order) -> str:
    return f"/api/v1/orders/{order.number}"


def own_order(request: Request, number: str) -> Order:
    """
    :raises Problem: `not_found`, also if it is another buyer's
    """
    order = listings.order_of(signed_in(request), number)
    if order is None:
        raise Problem(code="not_found")
    return order


class OrderView(APIView):
    scopes = {"GET": "orders:read"}

    @extend_schema(
        operation_id="order",
        summary="An order of mine",
        responses={200: OrderSerializer, **problem_responses(*SIGNED_IN, "not_found")},
    )
    def get(self, request: Request, number: str) -> Response:
        return Response(shown(OrderSerializer, own_order(request, number)))


class CancelView(APIView):
    scopes = {"POST": "orders:write"}

    @extend_schema(
        operation_id="order_cancel",
        summary="Give the seats back",
        description="Only before it is paid. Money that is on its way all the same is refunded by itself.",
        request=None,
        responses={
            200: OrderSerializer,
            **problem_responses(*KEYED, *SIGNED_IN, "not_found", "not_cancellable"),
        },
    )
    @idempotent
    def post(self, request: Request, number: str) -> Response:
        order = own_order(request, number)
        try:
            cancelled = orders.cancel(number=number, actor=f"buyer:{order.buyer_id}", now=timezone.now())
        except orders.NotCancellable as error:
            detail = _("It is paid or closed already; its page says which.")
            raise Problem(code="not_cancellable", detail=detail, state=str(error)) from error
        order.state, order.winner = cancelled.state, cancelled.winner
        return Response(shown(OrderSerializer, order))


class LineSerializer(serializers.Serializer[Any]):
    """One fact. `code` is stable, `text` is for people, `reference` is the number to quote."""

    at = UtcField()
    code = serializers.CharField()
    text = serializers.CharField()
    reference = serializers.CharField()
    actor = serializers.CharField()


class TimelineSerializer(serializers.Serializer[Any]):
    items = LineSerializer(many=True)


class TimelineView(APIView):
    scopes = {"GET": "orders:read"}

    @extend_schema(
        operation_id="order_timeline",
        summary="The order's way, oldest first",
        responses={200: TimelineSerializer, **problem_responses(*SIGNED_IN, "not_found")},
    )
    def get(self, request: Request, number: str) -> Response:
        return Response(TimelineSerializer({"items": timeline(own_order(request, number))}).data)


@extend_schema_view(post=payment_token_schema("order_payment_token", "The order's way to pay"))
class OrderPaymentTokenView(PaymentTokenView):
    kind = orders.PURCHASE
