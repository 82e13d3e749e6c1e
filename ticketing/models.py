"""
Who has what is sold: orders, seats, allowances, tickets; what is offered is in `ticketing.offer_models`.

A seat belongs to at most one live order by construction: `Seat.order` names it, and the seat is free exactly when there
is none (a CHECK says so). `OrderSeat` remembers which seats an order asked for, also after they were released.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from basis import lifecycle
from ticketing.offer_models import (  # noqa: F401
    Bilingual,
    Event,
    Invitation,
    Organiser,
    PriceTier,
    Row,
    SalePhase,
    Section,
    Show,
    Venue,
)


class OrderState(models.TextChoices):
    HELD = "held", _("waiting for payment")
    PAYING = "paying", _("being paid")
    PAID = "paid", _("paid")
    CANCELLED = "cancelled", _("cancelled")
    EXPIRED = "expired", _("not paid in time")
    REFUNDED = "refunded", _("refunded")


LIVE_ORDER_STATES = (OrderState.HELD, OrderState.PAYING, OrderState.PAID)
OPEN_ORDER_STATES = (OrderState.HELD, OrderState.PAYING)


class Order(models.Model):
    """A buyer's seats of one tier of a show, from the hold on."""

    number = models.CharField(max_length=32)  # unique; `unique=True` would add an index for LIKE
    # A sale writes as many indexes as it writes rows: those below serve buyer and show, and nobody looks for the orders
    # of a phase or a tier alone.
    buyer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="orders", db_index=False
    )
    client_key = models.CharField(max_length=255)
    show = models.ForeignKey(Show, on_delete=models.PROTECT, related_name="orders", db_index=False)
    phase = models.ForeignKey(SalePhase, on_delete=models.PROTECT, related_name="orders", db_index=False)
    tier = models.ForeignKey(PriceTier, on_delete=models.PROTECT, related_name="orders", db_index=False)
    quantity = models.IntegerField()
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=16, choices=OrderState, default=OrderState.HELD)
    # If money comes after the seats went to others: may equal or better seats of the same price be given instead?
    accept_equal_seats = models.BooleanField(default=False)
    winner = models.CharField(max_length=32, blank=True)
    placed_at = models.DateTimeField()
    hold_until = models.DateTimeField()
    hold_limit = models.DateTimeField()

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        indexes = [
            models.Index(
                fields=["hold_until"], name="ticketing_order_open", condition=Q(state__in=OPEN_ORDER_STATES)
            ),
            models.Index(fields=["buyer", "-id"], name="ticketing_order_buyer"),
            models.Index(fields=["show", "state"], name="ticketing_order_show_state"),
        ]
        constraints = [
            models.UniqueConstraint(name="ticketing_order_number_once", fields=["number"]),
            models.UniqueConstraint(name="ticketing_order_one_per_key", fields=["buyer", "client_key"]),
            models.UniqueConstraint(
                name="ticketing_order_winner_once", fields=["winner"], condition=~Q(winner="")
            ),
            models.CheckConstraint(name="ticketing_order_quantity_positive", condition=Q(quantity__gt=0)),
            models.CheckConstraint(
                name="ticketing_order_winner_means_paid",
                condition=Q(state__in=(OrderState.PAID, OrderState.REFUNDED)) ^ Q(winner=""),
            ),
            models.CheckConstraint(
                name="ticketing_order_hold_within_limit", condition=Q(hold_until__lte=F("hold_limit"))
            ),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def open(self) -> bool:
        return self.state in OPEN_ORDER_STATES


class OrderEvent(lifecycle.LifecycleEvent):
    """An order's history."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="events")

    class Meta:
        verbose_name = _("order event")
        verbose_name_plural = _("order events")


ORDER_LIFECYCLE = lifecycle.Lifecycle(
    name="order",
    subject="order",
    event=OrderEvent,
    moves=lifecycle.moves(
        {
            OrderState.HELD: [OrderState.PAYING, OrderState.PAID, OrderState.CANCELLED, OrderState.EXPIRED],
            OrderState.PAYING: [OrderState.HELD, OrderState.PAID, OrderState.CANCELLED, OrderState.EXPIRED],
            OrderState.EXPIRED: [OrderState.PAID],  # money came late and seats were still to be had
            OrderState.PAID: [OrderState.REFUNDED],
            OrderState.CANCELLED: [],
            OrderState.REFUNDED: [],
        }
    ),
)


class SeatState(models.TextChoices):
    FREE = "F", _("free")
    HELD = "H", _("held")
    SOLD = "S", _("sold")
    BLOCKED = "B", _("not for sale")


class Seat(models.Model):
    """One seat of one show. `row_rank` and `position` repeat the row's: the best free seats are an index away."""

    show = models.ForeignKey(Show, on_delete=models.PROTECT, related_name="seats", db_index=False)
    tier = models.ForeignKey(PriceTier, on_delete=models.PROTECT, related_name="seats", db_index=False)
    row = models.ForeignKey(Row, on_delete=models.PROTECT, related_name="+", db_index=False)
    row_rank = models.IntegerField()
    position = models.IntegerField()
    label = models.CharField(max_length=8)
    state = models.CharField(max_length=1, choices=SeatState, default=SeatState.FREE)
    order = models.ForeignKey(
        Order, null=True, blank=True, on_delete=models.PROTECT, related_name="held_seats"
    )

    class Meta:
        verbose_name = _("seat")
        verbose_name_plural = _("seats")
        # No index may name the state: then a held seat becomes a sold one without a word to any index (a HOT update).
        indexes = [
            models.Index(
                fields=["tier", "row_rank", "row", "position"],
                name="ticketing_seat_free",
                condition=Q(order=None),
            ),
        ]
        constraints = [
            models.UniqueConstraint(name="ticketing_seat_once", fields=["show", "row", "position"]),
            models.CheckConstraint(
                name="ticketing_seat_taken_has_order",
                condition=Q(state__in=("F", "B"), order=None) | Q(state__in=("H", "S"), order__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.row_id}-{self.label}"


class OrderSeat(models.Model):
    """A seat that an order was given, whether or not it still has it."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="order_seats", db_index=False)
    seat = models.ForeignKey(Seat, on_delete=models.PROTECT, related_name="+")
    price_minor = models.BigIntegerField()

    class Meta:
        verbose_name = _("seat of an order")
        verbose_name_plural = _("seats of orders")
        constraints = [models.UniqueConstraint(name="ticketing_orderseat_once", fields=["order", "seat"])]

    def __str__(self) -> str:
        return f"{self.order_id} {self.seat_id}"


class Allowance(models.Model):
    """How many seats a buyer has taken in a phase. One conditional upsert decides whether more may be taken."""

    phase = models.ForeignKey(SalePhase, on_delete=models.PROTECT, related_name="+", db_index=False)
    buyer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    taken = models.IntegerField()

    class Meta:
        verbose_name = _("allowance")
        verbose_name_plural = _("allowances")
        constraints = [
            models.UniqueConstraint(name="ticketing_allowance_once", fields=["phase", "buyer"]),
            models.CheckConstraint(name="ticketing_allowance_not_negative", condition=Q(taken__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.phase_id} {self.buyer_id}: {self.taken}"


class TicketState(models.TextChoices):
    VALID = "valid", _("valid")
    USED = "used", _("used")
    VOID = "void", _("void")


class Ticket(models.Model):
    """The right to one seat on one evening. Its QR payload is signed when it is shown (ticketing.tickets)."""

    number = models.CharField(max_length=32)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="tickets")
    seat = models.ForeignKey(Seat, on_delete=models.PROTECT, related_name="tickets", db_index=False)
    show = models.ForeignKey(Show, on_delete=models.PROTECT, related_name="tickets", db_index=False)
    buyer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="tickets")
    state = models.CharField(max_length=8, choices=TicketState, default=TicketState.VALID)
    issued_at = models.DateTimeField()

    class Meta:
        verbose_name = _("ticket")
        verbose_name_plural = _("tickets")
        constraints = [
            models.UniqueConstraint(name="ticketing_ticket_number_once", fields=["number"]),
            models.UniqueConstraint(
                name="ticketing_ticket_one_per_seat", fields=["seat"], condition=~Q(state=TicketState.VOID)
            ),
        ]

    def __str__(self) -> str:
        return self.number


class RushLane(models.Model):
    """Who drains a tier's submissions, and until when (ticketing.rush.lanes). `fence` grows with every taking."""

    tier = models.OneToOneField(PriceTier, on_delete=models.CASCADE, primary_key=True, related_name="+")
    worker = models.CharField(max_length=64)
    fence = models.BigIntegerField()
    lease_until = models.DateTimeField()

    class Meta:
        verbose_name = _("rush lane")
        verbose_name_plural = _("rush lanes")

    def __str__(self) -> str:
        return f"{self.tier_id} {self.worker} {self.fence}"


# Shows that do not take place keep their tables in a module of their own, and so do refunds.
from ticketing.cancel_models import CancellationEvent, ShowCancellation  # noqa: E402, F401
from ticketing.refund_models import (  # noqa: E402, F401
    RefundedSeat,
    RefundPolicy,
    RefundRequest,
    RefundStep,
)

# So does settlement with organisers.
from ticketing.settlement_models import SettlementMove, ShowSettlement  # noqa: E402, F401
