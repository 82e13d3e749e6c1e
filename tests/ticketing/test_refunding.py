"""Tickets go back: by the published rule, by staff, seat by seat; what is refused changes nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from operations import audit
from payments import money
from payments.models import Refund
from payments.money import giving_back
from ticketing import phases, refund_terms, refunding
from ticketing.models import Order, OrderState, RefundRequest, Seat, SeatState, Ticket, TicketState
from ticketing.timeline import timeline
from wallet import statement
from wallet.ledger import Line

pytestmark = pytest.mark.django_db
PRICE = 38_000


@pytest.fixture(autouse=True)
def clean(clock):
    """The invariants hold when the test is over."""
    yield
    results = audit.audit(now=clock())
    assert {r.check.name: r.violations for r in results if not r.ok} == {}


def has(buyer):
    return statement.balances(buyer.pk, currency="CNY").available_minor


def valid(order):
    return Ticket.objects.filter(order=order, state=TicketState.VALID).count()


class TestByTheRule:
    @pytest.mark.parametrize(("days", "percent"), [(20, 100), (10, 80), (3, 50)])
    def test_what_goes_back_depends_on_the_time(
        self, show, buyer, paid, back, clock, settle_outbox, days, percent
    ):
        lin = buyer("lin", cash=100_000)
        order = paid(lin)
        clock.now = show.starts_at - timedelta(days=days)
        request = back.by_buyer(order)
        settle_outbox()
        assert request.amount_minor == PRICE * percent // 100
        assert request.kept_minor == PRICE - request.amount_minor
        assert has(lin) == 100_000 - 2 * PRICE + request.amount_minor
        order.refresh_from_db()
        assert (order.state, valid(order)) == (OrderState.PAID, 1)
        assert Seat.objects.filter(order=order, state=SeatState.SOLD).count() == 1
        assert phases.taken(order.phase_id, lin.pk) == 1

    def test_all_of_it_ends_the_order_and_the_fee_stays(self, show, buyer, paid, back, clock, settle_outbox):
        lin = buyer("lin", cash=100_000)
        order = paid(lin)
        clock.now = show.starts_at - timedelta(days=10)
        back.by_buyer(order, key="a")
        back.by_buyer(order, key="b")
        order.refresh_from_db()
        assert order.state == OrderState.PAID, "its money is on its way"
        settle_outbox()
        order.refresh_from_db()
        assert (order.state, valid(order)) == (OrderState.REFUNDED, 0)
        assert has(lin) == 100_000 - 2 * PRICE * 20 // 100
        assert [line.code for line in timeline(order)][-1] == "order.refunded.refunded_less_fee"
        assert not Seat.objects.filter(order=order).exists()

    def test_the_seat_can_be_sold_again(self, buyer, paid, back, settle_outbox):
        lin, mei = buyer("lin", cash=100_000), buyer("mei", cash=100_000)
        order = paid(lin)
        given = Ticket.objects.get(number=back.tickets(order)[0]).seat_id
        back.by_buyer(order, tickets=[back.tickets(order)[0]])
        from ticketing import orders

        seat = Seat.objects.get(pk=given)
        assert seat.state == SeatState.FREE
        again = orders.place_order(
            buyer=mei, client_key="x", tier_id=seat.tier_id, quantity=1, seat_ids=[given], now=back.clock()
        )
        assert again.held_seats.get().pk == given
        settle_outbox()

    def test_or_is_kept_from_sale(self, buyer, paid, back, ladder):
        ladder((24, 100), seats_after="kept")
        order = paid(buyer("lin", cash=100_000))
        request = back.by_buyer(order)
        seat = request.seats.get().order_seat.seat
        assert (seat.state, seat.order_id) == (SeatState.BLOCKED, None)

    def test_a_shows_own_rule_comes_before_its_events(self, show, buyer, paid, back, ladder):
        from ticketing.models import RefundPolicy

        ladder((24, 50))
        own = RefundPolicy.objects.create(show=show)
        own.steps.create(hours_before=24, percent_back=90)
        assert back.by_buyer(paid(buyer("lin", cash=100_000))).amount_minor == PRICE * 90 // 100

    def test_the_same_key_gives_back_once(self, buyer, paid, back, settle_outbox):
        lin = buyer("lin", cash=100_000)
        order = paid(lin)
        tickets = back.tickets(order)[:1]
        first = back.by_buyer(order, tickets=tickets)
        again = back.by_buyer(order, tickets=tickets, expected_minor=first.amount_minor)
        assert again == first
        with pytest.raises(refunding.KeyReused):
            back.by_buyer(order, tickets=back.tickets(order))
        settle_outbox()
        assert Refund.objects.count() == 1

    @pytest.mark.parametrize(
        ("reason", "wrong"),
        [
            ("no_such_ticket", {"tickets": ["TNOBODYS"]}),
            ("no_tickets", {"tickets": []}),
            ("terms_changed", {"expected_minor": PRICE + 1}),
        ],
    )
    def test_bad_input_changes_nothing(self, buyer, paid, back, reason, wrong):
        order = paid(buyer("lin", cash=100_000))
        with pytest.raises(refunding.NotRefundable) as refused:
            back.by_buyer(order, **wrong)
        assert refused.value.reason == reason
        assert_untouched(order)

    def test_another_orders_ticket_is_not_given_back(self, buyer, paid, back):
        order, other = paid(buyer("lin", cash=100_000)), paid(buyer("mei", cash=100_000))
        with pytest.raises(refunding.NotRefundable, match="no_such_ticket"):
            back.by_buyer(order, tickets=[*back.tickets(order), *back.tickets(other)])
        assert_untouched(order)
        assert_untouched(other)

    def test_too_late(self, show, buyer, paid, back, clock):
        order = paid(buyer("lin", cash=100_000))
        clock.now = show.starts_at - timedelta(hours=47)
        with pytest.raises(refunding.NotRefundable, match="too_late"):
            back.by_buyer(order)
        assert_untouched(order)

    def test_without_a_rule(self, show, buyer, paid, back):
        from ticketing.models import RefundPolicy

        RefundPolicy.objects.all().delete()
        order = paid(buyer("lin", cash=100_000))
        with pytest.raises(refunding.NotRefundable, match="no_rule"):
            back.by_buyer(order)
        assert_untouched(order)

    def test_a_used_ticket_admits_and_is_not_given_back(self, buyer, paid, back):
        order = paid(buyer("lin", cash=100_000))
        used = back.tickets(order)[0]
        Ticket.objects.filter(number=used).update(state=TicketState.USED)
        with pytest.raises(refunding.NotRefundable, match="ticket_used"):
            back.by_buyer(order, tickets=[used])
        assert not RefundRequest.objects.exists()

    def test_twice_with_other_keys(self, buyer, paid, back):
        order = paid(buyer("lin", cash=100_000))
        ticket = back.tickets(order)[:1]
        back.by_buyer(order, tickets=ticket, key="a")
        with pytest.raises(refunding.NotRefundable, match="ticket_void"):
            back.by_buyer(order, tickets=ticket, key="b")
        assert RefundRequest.objects.count() == 1

    def test_an_unpaid_order_has_nothing_to_give_back(self, show, buyer, clock, back):
        from ticketing import orders
        from ticketing.models import PriceTier

        tier = PriceTier.objects.get(show=show, code="UPPER").pk
        order = orders.place_order(buyer=buyer("lin"), client_key="x", tier_id=tier, quantity=1, now=clock())
        with pytest.raises(refunding.NotRefundable, match="not_paid"):
            back.by_buyer(order, tickets=["T00000000"])


def assert_untouched(order: Order) -> None:
    order.refresh_from_db()
    assert order.state == OrderState.PAID
    assert valid(order) == Seat.objects.filter(order=order, state=SeatState.SOLD).count() == order.quantity
    assert not RefundRequest.objects.filter(order=order).exists()
    assert not Refund.objects.exists()


class TestByStaff:
    def test_in_full(self, buyer, paid, back, settle_outbox):
        lin = buyer("lin", cash=100_000)
        order = paid(lin)
        back.by_staff(order, 2 * PRICE, n=2)
        settle_outbox()
        order.refresh_from_db()
        assert (order.state, valid(order), has(lin)) == (OrderState.REFUNDED, 0, 100_000)

    def test_money_alone_leaves_the_tickets(self, buyer, paid, back, settle_outbox):
        lin = buyer("lin", cash=100_000)
        order = paid(lin)
        back.by_staff(order, 5_000, key="a")
        back.by_staff(order, 6_000, key="b")
        settle_outbox()
        order.refresh_from_db()
        assert (order.state, valid(order), has(lin)) == (OrderState.PAID, 2, 100_000 - 2 * PRICE + 11_000)

    def test_what_was_kept_can_be_given_later(self, show, buyer, paid, back, clock, settle_outbox):
        lin = buyer("lin", cash=100_000)
        order = paid(lin, quantity=1)
        clock.now = show.starts_at - timedelta(days=10)
        kept = back.by_buyer(order).kept_minor
        settle_outbox()
        order.refresh_from_db()
        assert order.state == OrderState.REFUNDED
        back.by_staff(order, kept, key="late")
        settle_outbox()
        assert has(lin) == 100_000

    def test_all_the_money_without_tickets_ends_the_order(self, buyer, paid, back, settle_outbox):
        order = paid(buyer("lin", cash=100_000))
        back.by_staff(order, 2 * PRICE)
        settle_outbox()
        order.refresh_from_db()
        assert (order.state, valid(order)) == (OrderState.REFUNDED, 0)

    @pytest.mark.parametrize("amount", [0, -1, 2 * PRICE + 1])
    def test_never_more_than_was_paid(self, buyer, paid, back, amount):
        order = paid(buyer("lin", cash=100_000))
        with pytest.raises(refunding.NotRefundable, match="too_much"):
            back.by_staff(order, amount, n=1)
        assert_untouched(order)

    def test_never_more_than_is_left(self, buyer, paid, back):
        order = paid(buyer("lin", cash=100_000))
        back.by_staff(order, PRICE, key="a")
        with pytest.raises(refunding.NotRefundable, match="too_much"):
            back.by_staff(order, PRICE + 1, key="b")
        assert Refund.objects.count() == 1

    def test_two_people_above_the_limit(self, buyer, paid, back, settings):
        settings.REFUND_ALONE_MAX_MINOR = PRICE
        order = paid(buyer("lin", cash=100_000))
        back.by_staff(order, PRICE, n=1, key="a")
        with pytest.raises(refunding.NotRefundable, match="needs_approval"):
            back.by_staff(order, 1, key="b")  # a limit in parts is a limit all the same
        with pytest.raises(refunding.NotRefundable, match="same_person"):
            back.by_staff(order, PRICE, n=1, key="c", approved_by="mei")
        assert back.by_staff(order, PRICE, n=1, key="d", approved_by="wei").approved_by == "wei"

    def test_a_stale_preview_is_refused(self, buyer, paid, back):
        order = paid(buyer("lin", cash=100_000))
        seen = refunding.fingerprint_of(order, back.payment_of(order))
        back.by_buyer(order)
        with pytest.raises(refunding.NotRefundable, match="stale"):
            back.by_staff(order, 100, fingerprint=seen)
        assert RefundRequest.objects.count() == 1

    def test_another_amount_by_the_same_key(self, buyer, paid, back):
        order = paid(buyer("lin", cash=100_000))
        first = back.by_staff(order, 100)
        assert back.by_staff(order, 100) == first
        with pytest.raises(refunding.KeyReused):
            back.by_staff(order, 200)


class TestTheWallet:
    def test_bonus_and_cash_go_back_as_they_were_taken(self, buyer, paid, back, settle_outbox):
        """Without looking at what earlier refunds gave back, both refunds would go to cash."""
        lin = buyer("lin", cash=PRICE, bonus=PRICE)
        order = paid(lin)
        back.by_buyer(order, key="a")
        settle_outbox()
        back.by_buyer(order, key="b")
        settle_outbox()
        held = statement.balances(lin.pk, currency="CNY")
        assert (held.cash_minor, held.bonus_minor) == (PRICE, PRICE)

    def test_the_naive_split_mixes_bonus_and_cash(self, buyer, paid, back, settle_outbox, monkeypatch):
        """The harm that the guard above prevents, found by the audit."""
        lin = buyer("lin", cash=PRICE, bonus=PRICE)
        order = paid(lin)

        def naive(payment, amount_minor):
            return [Line(money.buyer_cash(payment.buyer_id, "CNY"), amount_minor)]

        monkeypatch.setattr(giving_back, "_split_as_taken", naive)
        back.by_buyer(order, key="a")
        settle_outbox()
        with transaction.atomic():
            back.by_buyer(order, key="b")
            settle_outbox()
            wrong = [r.check.name for r in audit.audit(now=back.clock()) if not r.ok]
            transaction.set_rollback(True)
        assert wrong == ["5.wallets_get_back_what_they_paid"]


class TestTheRecord:
    @pytest.mark.parametrize("table", ["ticketing_refundrequest", "ticketing_refundedseat"])
    def test_it_is_append_only(self, buyer, paid, back, table):
        back.by_buyer(paid(buyer("lin", cash=100_000)))
        for change in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}"):
            with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
                connection.cursor().execute(change)

    def test_the_timeline_tells_it(self, buyer, paid, back, settle_outbox):
        order = paid(buyer("lin", cash=100_000))
        back.by_buyer(order)
        back.by_staff(order, 100, key="s")
        settle_outbox()
        order.refresh_from_db()
        told = [(line.code, line.actor) for line in timeline(order)]
        assert ("tickets.void.given_back", "buyer") in told
        assert ("refund.requested.by_rule", "buyer") in told
        assert ("refund.requested.by_staff", "staff") in told


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ([(48, 50), (24, 50)], False),
        ([(48, 50), (24, 60)], True),
        ([(48, 50), (48, 20)], True),
        ([], True),
    ],
)
def test_a_ladder_goes_down(steps, fault):
    assert bool(refund_terms.faults(steps)) == fault


def test_a_rule_is_frozen_once_its_sale_has_opened(show, clock, ladder):
    policy = ladder((24, 100))
    first = show.phases.order_by("opens_at").first()
    assert not refund_terms.is_frozen(policy, now=first.opens_at - timedelta(seconds=1))
    assert refund_terms.is_frozen(policy, now=first.opens_at)


@pytest.mark.parametrize(
    ("price", "percent", "back"), [(999, 50, 500), (1, 80, 1), (100, 33, 33), (101, 100, 101)]
)
def test_what_does_not_divide_is_the_buyers(price, percent, back):
    assert refund_terms.back_minor(price, percent) == back
