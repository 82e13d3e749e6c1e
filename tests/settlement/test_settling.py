"""What a show took goes to its organiser once it is over, to the fen, and comes back when it is refunded later."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from payments import checkout, refunds
from payments.models import Payment, Refund
from risk.trading import marking
from ticketing import orders, settling
from ticketing.models import PriceTier, SettlementMove, Show
from ticketing.settlement_models import Standing

pytestmark = pytest.mark.django_db

# Two seats at 380 yuan are 76,000 fen; five per cent of it are 3,800.
TOOK, FEE, NET = 76_000, 3_800, 72_200


def test_before_its_time_nothing_moves(settle, sold):
    sold("lin")
    settle.is_over()
    settle.clock.now -= timedelta(hours=1)
    assert settle.round() == settling.Round()
    assert (settle.merchant, settle.guarantee) == (0, TOOK)


def test_a_show_that_is_over_is_settled_once(settle, sold):
    sold("lin")
    settle.is_over()
    assert settle.round().paid_out == 1
    assert (settle.merchant, settle.fees, settle.guarantee) == (NET, FEE, 0)
    assert settle.round() == settling.Round()
    assert settle.moves() == [(TOOK, FEE, NET)]
    record = settle.record()
    assert (record.standing, record.orders, record.paid_minor) == (Standing.SETTLED, 1, TOOK)
    assert settle.broken() == {}


def test_another_round_at_the_same_time_does_nothing(settle, sold):
    sold("lin")
    settle.is_over()
    with transaction.atomic():
        settle.round()
        assert settling.settle_due(now=settle.clock()) == settling.Round()


def test_what_went_back_before_is_not_settled(settle, sold, back, settle_outbox):
    order = sold("lin")
    back.by_staff(order, 38_000, n=1)
    settle_outbox()
    settle.is_over()
    settle.round()
    assert (settle.merchant, settle.fees, settle.guarantee) == (36_100, 1_900, 0)


class TestWaiting:
    def test_while_the_organiser_is_held(self, settle, sold):
        sold("lin")
        settle.is_over()
        marking.hold(merchant=settle.organiser.code, actor="mei", reason="odd", now=settle.clock())
        assert settle.round().waiting == 1
        assert settle.record().waits_for == ["held"]
        assert (settle.merchant, settle.guarantee) == (0, TOOK)
        marking.lift(merchant=settle.organiser.code, actor="mei", reason="fine", now=settle.clock())
        assert settle.round().paid_out == 1
        assert settle.record().waits_for == []

    def test_while_a_cancelled_shows_money_goes_back(self, settle, sold):
        sold("lin")
        settle.is_over()
        Show.objects.filter(pk=settle.show.pk).update(cancelled_at=settle.clock())
        settle.round()
        assert settle.record().waits_for == ["cancelled"]

    def test_while_a_refund_is_on_its_way(self, settle, sold, back, settle_outbox):
        order = sold("lin", 3)
        settle.is_over()
        back.by_staff(order, 38_000, n=1)
        settle.round()
        assert settle.record().waits_for == ["refunds_under_way"]
        assert settle.merchant == 0
        settle_outbox()
        settle.round()
        assert settle.merchant == NET

    def test_while_a_statement_differs(self, settle, sold):
        order = sold("lin")
        settle.is_over()
        payment = Payment.objects.get(number=order.winner)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(
                "INSERT INTO payments_discrepancy (key, run_id, channel, day, klass, kind, number, payment_id,"
                " currency, state, resolution, reason, resolved_by, facts, first_seen_day, found_at) VALUES ("
                "'x', 1, 'alipay', now(), 'amount_differs', 'payment', %s, %s, 'CNY', 'open', '', '', '', '{}', now(),"
                " now())",
                [payment.number, payment.pk],
            )
            cursor.execute("SET LOCAL session_replication_role = origin")
        settle.round()
        assert settle.record().waits_for == ["discrepancy"]

    def test_while_a_case_about_its_money_is_open(self, settle, sold):
        from desk.models import Case

        order = sold("lin")
        settle.is_over()
        now = settle.clock()
        case = Case.objects.create(
            number="C1",
            kind="refund_refused",
            subject_kind="refund",
            subject="R1",
            queue="finance",
            purchase_kind="order",
            purchase_number=order.number,
            currency="CNY",
            since=now,
            opened_at=now,
            due_at=now,
        )
        settle.round()
        assert settle.record().waits_for == ["case"]
        Case.objects.filter(pk=case.pk).update(state="resolved", closed_at=now)
        settle.round()
        assert settle.merchant == NET


class TestLaterRefunds:
    def test_the_organiser_gives_back_his_share_and_we_ours(self, settle, sold, back, settle_outbox):
        order = sold("lin")
        settle.is_over()
        settle.round()
        back.by_staff(order, 38_000, n=1)
        assert settle.round().came_back == 1
        assert settle.moves()[1:] == [(-38_000, -1_900, -36_100)]
        assert (settle.merchant, settle.fees, settle.guarantee) == (36_100, 1_900, 0)
        settle_outbox()
        assert settle.round() == settling.Round()
        assert settle.broken() == {}

    def test_he_gives_what_he_has_and_owes_the_rest_until_more_comes(self, settle, sold, back, settle_outbox):
        """The account is never below zero; what is missing stays visible and is taken from what comes next."""
        first, second = sold("lin"), sold("mei")
        settle.is_over()
        settle.round()
        settle.spend(2 * NET - 30_000)
        back.by_staff(first, TOOK, n=2)
        assert settle.round().owing == 1
        assert settle.merchant == 0
        assert settle.record().standing == Standing.OWING
        owed = settling.owing_minor(settle.organiser.code, "CNY")
        assert owed == settle.guarantee * -1 > 0
        assert settle.broken() == {}
        settle.spend(-100_000)
        settle.round()
        assert settle.record().standing == Standing.SETTLED
        assert (settle.guarantee, settling.owing_minor(settle.organiser.code, "CNY")) == (0, 0)
        assert settle.merchant == 100_000 - (NET - 30_000)
        assert second.state == "paid"
        settle_outbox()
        assert settle.broken() == {}

    def test_it_comes_back_while_the_organiser_is_held(self, settle, sold, back):
        order = sold("lin")
        settle.is_over()
        settle.round()
        marking.hold(merchant=settle.organiser.code, actor="mei", reason="odd", now=settle.clock())
        back.by_staff(order, TOOK, n=2)
        assert settle.round().came_back == 1
        assert settle.merchant == 0

    def test_the_fee_of_a_settled_show_stays(self, settle, sold, back):
        order = sold("lin")
        settle.is_over()
        settle.round()
        settle.fee(1_000)
        back.by_staff(order, 38_000, n=1)
        settle.round()
        assert settle.fees == 1_900
        assert settle.record().fee_bps == 500

    def test_the_fee_of_a_waiting_show_follows_the_organiser(self, settle, sold):
        sold("lin")
        settle.is_over()
        marking.hold(merchant=settle.organiser.code, actor="mei", reason="odd", now=settle.clock())
        settle.round()
        settle.fee(1_000)
        marking.lift(merchant=settle.organiser.code, actor="mei", reason="fine", now=settle.clock())
        settle.round()
        assert settle.fees == 7_600


def test_a_surplus_payment_is_nobodys_settlement(settle, sold):
    """Only what won an order is the organiser's; money that goes back never was."""
    order = sold("lin")
    Payment.objects.filter(number=order.winner).update(outcome="surplus")
    settle.is_over()
    assert settle.round().paid_out == 0


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({"gross_minor": 1, "fee_minor": 0, "net_minor": 1}, "within_taken|more than its show took"),
        ({"gross_minor": -1_000, "fee_minor": 0, "net_minor": -1_000}, "another fee"),
        ({"gross_minor": -1_000, "fee_minor": -50, "net_minor": -900}, "adds_up"),
        ({"gross_minor": -1_000, "fee_minor": 50, "net_minor": -1_050}, "one_way"),
        ({"gross_minor": -76_001, "fee_minor": -3_800, "net_minor": -72_201}, "more than its show took"),
        ({"gross_minor": -1_000, "fee_minor": -50, "net_minor": -950, "nth": 3}, "not its next one"),
    ],
)
def test_the_database_refuses_a_move_that_is_not_right(settle, sold, values, refused):
    sold("lin")
    settle.is_over()
    settle.round()
    record = settle.record()
    facts = {"nth": 2, "paid_minor": TOOK, "refunded_minor": 0, "at": settle.clock()} | values
    with pytest.raises(IntegrityError, match=refused), transaction.atomic():
        SettlementMove.objects.create(settlement=record, **facts)


def test_moves_are_never_edited_and_fees_never_changed_afterwards(settle, sold):
    sold("lin")
    settle.is_over()
    settle.round()
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        SettlementMove.objects.update(at=settle.clock())
    with pytest.raises(IntegrityError, match="keeps its fee"), transaction.atomic():
        type(settle.record()).objects.update(fee_bps=1)


def test_money_that_comes_after_the_settlement_is_settled_too(settle, sold):
    sold("lin")
    sale = settle.clock.now
    settle.is_over()
    settle.round()
    over, settle.clock.now = settle.clock.now, sale
    sold("mei", 1)
    settle.clock.now = over
    assert settle.round().paid_out == 1
    assert settle.moves()[1:] == [(38_000, 1_900, 36_100)]


def test_a_round_asks_the_database_as_often_for_many_shows_as_for_one(settle, sold, paid, buyer, clock):
    from ticketing import sample

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked, transaction.atomic():
            assert settle.round().paid_out == Show.objects.count()
            transaction.set_rollback(True)
        return len(asked)

    sold("lin")
    began, sale = settle.show.starts_at, clock.now
    settle.is_over()
    alone = queries()
    clock.now = sale
    for code in ("second", "third"):
        another = sample.make_show(code=code, now=clock(), rows_per_section=1)
        pay_for(another, buyer(code, cash=1_000_000), clock)
    Show.objects.update(starts_at=began)
    settle.is_over()
    assert queries() == alone


def pay_for(show, person, clock):
    tier = PriceTier.objects.get(show=show, code="UPPER")
    order = orders.place_order(buyer=person, client_key=show.code, tier_id=tier.pk, quantity=1, now=clock())
    offer = checkout.offer(kind="order", number=order.number, buyer_id=person.pk, now=clock())
    bought = {"kind": "order", "number": order.number, "buyer_id": person.pk}
    checkout.pay(**bought, channel="wallet", token=offer.token, return_url="", now=clock())


def test_a_late_full_refund_by_the_channel_side_leaves_nothing(settle, sold, settle_outbox):
    order = sold("lin")
    settle.is_over()
    settle.round()
    payment = Payment.objects.get(number=order.winner)
    with transaction.atomic():
        refunds.request(payment, amount_minor=TOOK, reason="asked", key="late", now=settle.clock())
    settle_outbox()
    settle.round()
    assert (settle.merchant, settle.fees, settle.guarantee) == (0, 0, 0)
    assert Refund.objects.get().state == "succeeded"
    assert settle.broken() == {}
