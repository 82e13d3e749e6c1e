"""Orders, seats and tickets for the staff: to look at, whatever their rights."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from basis import numbers, staff
from basis.staff import HistoryAdmin, HistoryInline, LookOnlyAdmin, LookOnlyInline
from payments.admin import PAYMENTS, REFUNDS, PaymentAdmin, RefundAdmin
from payments.models import Payment
from ticketing import refund_admin  # noqa: F401  (registers refunds and their rules)
from ticketing.models import Allowance, Order, OrderEvent, OrderSeat, Row, Seat, Show, Ticket
from ticketing.orders import PURCHASE
from wallet.admin import amount

staff.shows_numbers(numbers.ORDER, "ticketing_order")
staff.shows_numbers(numbers.TICKET, "ticketing_ticket")

ORDERS = {"held": staff.WAITING, "paying": staff.WAITING, "paid": staff.GOOD, "refunded": staff.LOOK}
SEATS = {"H": staff.WAITING, "S": staff.GOOD, "B": staff.BAD}
TICKETS = {"valid": staff.GOOD, "used": staff.WAITING, "void": staff.BAD}


class OfShow(admin.SimpleListFilter):
    """Payments and refunds know no shows; their orders do. `path` leads from the listed thing to the purchase."""

    title = _("show")
    parameter_name = "of_show"
    path = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            (code, code) for code in Show.objects.order_by("-starts_at").values_list("code", flat=True)[:50]
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        orders = Order.objects.filter(show__code=self.value()).values("number")
        wanted = {f"{self.path}purchase_kind": PURCHASE, f"{self.path}purchase_number__in": orders}
        return queryset.filter(**wanted)


class Tried(admin.SimpleListFilter):
    """Orders for which somebody began to pay."""

    title = _("payment begun")
    parameter_name = "tried"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("yes"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        begun = Payment.objects.filter(purchase_kind=PURCHASE, purchase_number=OuterRef("number"))
        return queryset.filter(Exists(begun)) if self.value() else queryset


class RefundsOfShow(OfShow):
    path = "payment__"


PaymentAdmin.list_filter = (*PaymentAdmin.list_filter, OfShow)  # type: ignore[assignment]
RefundAdmin.list_filter = (*RefundAdmin.list_filter, RefundsOfShow)  # type: ignore[assignment]


def place(seat: Seat) -> str:
    """Section, row and seat; needs them selected."""
    return f"{seat.row.section.code}-{seat.row.label}-{seat.label}"


class OrderHistory(HistoryInline):
    model = OrderEvent


class OrderSeatInline(LookOnlyInline):
    model = OrderSeat
    fields = ("where", "now", "price")

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrderSeat]:
        return super().get_queryset(request).select_related("seat__row__section", "seat__tier")

    @admin.display(description=_("seat"))
    def where(self, given: OrderSeat) -> SafeString | str:
        return staff.thing(given.seat, place(given.seat))

    @admin.display(description=_("now"))
    def now(self, given: OrderSeat) -> SafeString | str:
        if given.seat.order_id != given.order_id:
            return str(_("given up"))
        return staff.label(given.seat.state, given.seat.get_state_display(), SEATS)

    @admin.display(description=_("price"))
    def price(self, given: OrderSeat) -> str:
        return amount(given.price_minor, given.seat.tier.currency)


class TicketInline(LookOnlyInline):
    model = Ticket
    fields = ("ticket", "where", "is_now", "issued_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Ticket]:
        return super().get_queryset(request).select_related("seat__row__section")

    @admin.display(description=_("ticket"))
    def ticket(self, ticket: Ticket) -> SafeString | str:
        return staff.thing(ticket)

    @admin.display(description=_("seat"))
    def where(self, ticket: Ticket) -> str:
        return place(ticket.seat)

    @admin.display(description=_("state"))
    def is_now(self, ticket: Ticket) -> SafeString:
        return staff.label(ticket.state, ticket.get_state_display(), TICKETS)


@admin.register(Order)
class OrderAdmin(LookOnlyAdmin):
    list_display = ("number", "is_now", "who", "show", "tier", "quantity", "amount", "placed", "paid_by")
    list_filter = ("state", staff.since("placed_at"), "show", Tried)
    list_select_related = ("buyer", "show", "tier")
    search_fields = ("number__exact", "winner__exact", "buyer__handle__exact")
    fields = (
        *("number", "is_now", "who", "show", "phase", "tier", "quantity", "amount", "accept_equal_seats"),
        *("placed", "hold_until", "hold_limit", "paid_by", "tries", "give_back", "entries", "client_key"),
    )
    inlines = (OrderHistory, OrderSeatInline, TicketInline)

    @admin.display(description=_("state"), ordering="state")
    def is_now(self, order: Order) -> SafeString:
        return staff.label(order.state, order.get_state_display(), ORDERS)

    @admin.display(description=_("buyer"))
    def who(self, order: Order) -> SafeString | str:
        return staff.thing(order.buyer)

    @admin.display(description=_("amount"), ordering="amount_minor")
    def amount(self, order: Order) -> str:
        return amount(order.amount_minor, order.currency)

    @admin.display(description=_("placed at"), ordering="placed_at")
    def placed(self, order: Order) -> str:
        return staff.moment(order.placed_at)

    @admin.display(description=_("paid by"), ordering="winner")
    def paid_by(self, order: Order) -> SafeString | str:
        return staff.number(order.winner)

    @admin.display(description=_("payments and refunds"))
    def tries(self, order: Order) -> SafeString | str:
        found = Payment.objects.filter(purchase_kind=PURCHASE, purchase_number=order.number)
        return staff.listed(
            line
            for payment in found.order_by("pk").prefetch_related("refunds")
            for line in _payment_lines(payment)
        )

    @admin.display(description=_("ledger"))
    def entries(self, order: Order) -> SafeString | str:
        return staff.page("wallet_journalentry", _("all entries"), q=order.number)

    @admin.display(description=_("give back"))
    def give_back(self, order: Order) -> SafeString | str:
        if not order.winner:
            return staff.NOTHING
        made = staff.page("ticketing_refundrequest", _("refunds of orders"), q=order.number)
        address = reverse("admin:ticketing_refund_order", args=[order.number])
        link = '<a href="{}" class="text-primary-600">{}</a> · {}'
        return format_html(link, address, _("Refund…"), made)


def _payment_lines(payment: Payment) -> list[SafeString]:
    outcome = payment.get_outcome_display() if payment.outcome else ""
    lines = [
        format_html(
            "{} {} {} {} {}",
            staff.thing(payment),
            staff.label(payment.state, payment.get_state_display(), PAYMENTS),
            payment.get_channel_display(),
            amount(payment.amount_minor, payment.currency),
            outcome,
        )
    ]
    lines += [
        format_html(
            "↳ {} {} {}",
            staff.thing(refund),
            staff.label(refund.state, refund.get_state_display(), REFUNDS),
            amount(refund.amount_minor, refund.currency),
        )
        for refund in payment.refunds.all()
    ]
    return lines


@admin.register(OrderEvent)
class OrderEventAdmin(HistoryAdmin):
    subject = "order"


@admin.register(OrderSeat)
class OrderSeatAdmin(LookOnlyAdmin):
    list_display = ("id", "of", "where", "price")
    list_select_related = ("order", "seat__row__section", "seat__tier")
    search_fields = ("order__number__exact",)
    fields = ("of", "where", "price")

    @admin.display(description=_("order"))
    def of(self, given: OrderSeat) -> SafeString | str:
        return staff.thing(given.order)

    @admin.display(description=_("seat"))
    def where(self, given: OrderSeat) -> SafeString | str:
        return staff.thing(given.seat, place(given.seat))

    @admin.display(description=_("price"), ordering="price_minor")
    def price(self, given: OrderSeat) -> str:
        return amount(given.price_minor, given.seat.tier.currency)


@admin.register(Row)
class RowAdmin(LookOnlyAdmin):
    list_display = ("section", "label", "rank", "seats")
    list_filter = ("section__venue",)
    list_select_related = ("section",)
    ordering = ("rank", "pk")
    fields = list_display


@admin.register(Seat)
class SeatAdmin(LookOnlyAdmin):
    list_display = ("where", "is_now", "tier", "show", "of")
    list_filter = ("state", "show", "row__section__zone")
    list_select_related = ("row__section", "tier", "show", "order")
    search_fields = ("order__number__exact", "row__section__code__exact")
    ordering = ("pk",)
    fields = ("where", "is_now", "tier", "show", "of", "tickets")

    @admin.display(description=_("seat"))
    def where(self, seat: Seat) -> str:
        return place(seat)

    @admin.display(description=_("state"), ordering="state")
    def is_now(self, seat: Seat) -> SafeString:
        return staff.label(seat.state, seat.get_state_display(), SEATS)

    @admin.display(description=_("order"))
    def of(self, seat: Seat) -> SafeString | str:
        return staff.thing(seat.order) if seat.order else staff.NOTHING

    @admin.display(description=_("tickets"))
    def tickets(self, seat: Seat) -> SafeString | str:
        return staff.listed(staff.thing(ticket) for ticket in seat.tickets.order_by("pk"))


@admin.register(Ticket)
class TicketAdmin(LookOnlyAdmin):
    list_display = ("number", "is_now", "of", "where", "show", "who", "issued_at")
    list_filter = ("state", staff.since("issued_at"), "show")
    list_select_related = ("order", "seat__row__section", "show", "buyer")
    search_fields = ("number__exact", "order__number__exact", "buyer__handle__exact")
    fields = list_display

    @admin.display(description=_("state"), ordering="state")
    def is_now(self, ticket: Ticket) -> SafeString:
        return staff.label(ticket.state, ticket.get_state_display(), TICKETS)

    @admin.display(description=_("order"))
    def of(self, ticket: Ticket) -> SafeString | str:
        return staff.thing(ticket.order)

    @admin.display(description=_("seat"))
    def where(self, ticket: Ticket) -> SafeString | str:
        return staff.thing(ticket.seat, place(ticket.seat))

    @admin.display(description=_("buyer"))
    def who(self, ticket: Ticket) -> SafeString | str:
        return staff.thing(ticket.buyer)


@admin.register(Allowance)
class AllowanceAdmin(LookOnlyAdmin):
    list_display = ("phase", "who", "taken")
    list_filter = ("phase__show", "phase__kind")
    list_select_related = ("phase", "buyer")
    search_fields = ("buyer__handle__exact",)
    fields = list_display

    @admin.display(description=_("buyer"))
    def who(self, allowance: Allowance) -> SafeString | str:
        return staff.thing(allowance.buyer)
