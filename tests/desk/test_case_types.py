"""
Every type of case, through real services: it happens, it is found, it is previewed, resolved, and the audit is clean.
`test_every_type_has_a_test` fails for a type that is missing here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection, transaction

from desk import types
from desk.acts import CannotBeDone
from desk.models import Case, CaseState, TrailEntry
from payments import money, refunds
from payments.channels import registry
from payments.models import Notification, Payment, Refund, Verdict
from risk.trading import assess, marking
from risk.trading.profile import Trading
from risk.trading_models import RiskFinding
from tests.operations.scene import Paper
from ticketing.models import Order, Ticket
from wallet import ledger
from wallet.ledger import Entry, Line
from wallet.models import Hold

CHANNELS = ("alipay", "wechat")


def fresh(thing):
    return type(thing).objects.get(pk=thing.pk)


def refund(payment, clock, *, part: int = 0) -> Refund:
    with transaction.atomic():
        return refunds.request(
            Payment.objects.get(pk=payment.pk),
            amount_minor=part or payment.amount_minor,
            reason="asked",
            key=f"test:{payment.number}",
            now=clock(),
        )


class TestPaymentUnknown:
    def opened(self, till, buyer, pass_time, desk):
        till.house.fault("no_answer", op="open", times=1)
        till.house.fault("http_500", op="query", times=None)
        order = till.order(buyer("lin"))
        payment = till.press(order, "wechat")
        assert payment.state == "unknown"
        pass_time(minutes=1)
        assert desk.look() == []  # the product itself is still asking
        desk.clock.advance(minutes=4)
        case = desk.one("payment_unknown")
        assert (case.subject, case.purchase_number, case.amount_minor, case.channel, case.queue) == (
            *(payment.number, order.number, payment.amount_minor, "wechat", "operations"),
        )
        assert case.suggested == "ask_channel"
        return case, order, payment

    def test_the_channel_is_asked_and_the_money_was_there(self, till, buyer, pass_time, desk):
        case, order, payment = self.opened(till, buyer, pass_time, desk)
        till.house.control("DELETE", "faults")
        till.house.pay("wechat", payment.number)
        shown = desk.preview(case, "ask_channel")
        assert shown.answer == "Paid"
        assert shown.holds
        assert ("order", order.number, "paying", "paid") in [
            (move.kind, move.number, move.before, move.after) for move in shown.moves
        ]
        assert sum(line.amount_minor for line in shown.lines) == 0
        assert shown.moved_minor == payment.amount_minor
        assert (fresh(order).state, fresh(payment).state) == ("paying", "unknown")  # a look changes nothing
        assert ledger.lines_of(f"pay:{payment.number}") == []
        desk.resolve(case, "ask_channel")
        assert (fresh(order).state, fresh(order).winner) == ("paid", payment.number)
        desk.ends_clean(case)
        entry = TrailEntry.objects.get(case=case, action="resolved")
        assert entry.address == "10.0.0.9"

    def test_the_coordinator_asks_by_itself(self, till, buyer, pass_time, desk):
        case, order, payment = self.opened(till, buyer, pass_time, desk)
        assert desk.round().resolved == 0  # still silent: nothing moved, a person sees the case
        assert desk.state(case) == CaseState.OPEN
        till.house.control("DELETE", "faults")
        till.house.pay("wechat", payment.number)
        desk.clock.advance(minutes=11)
        assert desk.round().resolved == 1
        assert fresh(order).state == "paid"
        desk.ends_clean(case)

    def test_two_people_end_it_unpaid(self, till, buyer, pass_time, desk):
        case, order, payment = self.opened(till, buyer, pass_time, desk)
        shown = desk.preview(case, "end_unpaid")
        assert shown.needs_two
        desk.resolve(case, "end_unpaid")
        assert (fresh(payment).state, fresh(order).state) == ("closed", "held")
        till.house.control("DELETE", "faults")
        pass_time(seconds=1)
        desk.ends_clean(case)

    def test_two_people_take_it_as_paid_with_the_channels_number(self, till, buyer, pass_time, desk):
        case, order, payment = self.opened(till, buyer, pass_time, desk)
        with pytest.raises(CannotBeDone, match="input_missing"):
            desk.preview(case, "take_as_paid")
        desk.resolve(case, "take_as_paid", reference="4200001")
        assert fresh(payment).channel_reference == "4200001"
        assert fresh(order).state == "paid"
        pass_time(seconds=1)
        desk.ends_clean(case)


@pytest.mark.parametrize("channel", CHANNELS)
def test_payment_unclosed(till, buyer, pass_time, desk, channel):
    payment = till.press(till.order(buyer("lin")), channel)
    till.house.fault("http_500", op="query", times=None)
    pass_time(minutes=30)
    assert fresh(payment).live
    case = desk.one("payment_unclosed")
    assert desk.resolve(case, "ask_channel")  # the channel is silent: asked again later
    assert desk.state(case) == CaseState.ACTED
    till.house.control("DELETE", "faults")
    pass_time(seconds=1)
    desk.ends_clean(case)
    assert fresh(payment).state == "closed"


class TestAmountDiffers:
    @pytest.mark.parametrize("channel", CHANNELS)
    def test_the_message_was_wrong_and_the_channel_is_right(self, till, buyer, settle_outbox, desk, channel):
        order = till.order(buyer("lin"))
        payment = till.press(order, channel)
        till.pay_at_channel(payment)
        till.notify(payment, "wrong_amount")
        settle_outbox()
        case = desk.one("amount_differs")
        shown = desk.preview(case, "take_what_came")
        assert shown.moved_minor == payment.amount_minor
        desk.resolve(case, "take_what_came")
        assert fresh(order).state == "paid"
        assert Notification.objects.get().verdict == Verdict.APPLIED
        settle_outbox()
        desk.ends_clean(case)

    def test_the_channel_really_took_another_amount(self, till, buyer, pass_time, desk, monkeypatch):
        class Careless(Paper):
            def query(self, number):
                answer = super().query(number)
                return answer if not self.paid else type(answer)("c1", 100, "CNY", desk.clock.now)

        channel = Careless("alipay")
        monkeypatch.setattr(registry, "_channels", lambda: {"alipay": channel})
        order = till.order(buyer("lin"))
        payment = till.press(order, "alipay")
        channel.paid[payment.number] = payment
        pass_time(seconds=30)  # the chase finds another amount and fails
        case = desk.one("amount_differs")
        shown = desk.preview(case, "take_what_came")
        assert ("refund", "new 1", "", "requested") in [
            (move.kind, move.number, move.before, move.after) for move in shown.moves
        ]
        desk.resolve(case, "take_what_came")
        pass_time(seconds=1)
        assert (fresh(payment).outcome, fresh(payment).amount_minor) == ("surplus", 100)
        assert Refund.objects.get().state == "succeeded"
        assert fresh(order).state == "held"  # payable again
        desk.ends_clean(case)
        monkeypatch.undo()


def test_notification_unknown(till, buyer, settle_outbox, desk):
    payment = till.press(till.order(buyer("lin")), "wechat")
    till.deliver("wechat", "PUNKNOWN0000000000001", "unknown_order")
    settle_outbox()
    case = desk.one("notification_unknown")
    again = desk.resolve(case, "apply_again")  # it fits as little as before
    settle_outbox()
    desk.clock.advance(minutes=11)
    assert again
    assert desk.one("notification_unknown").pk == case.pk
    assert desk.state(case) == CaseState.OPEN
    assert desk.preview(case, "explain").nothing
    desk.resolve(case, "explain")
    till.house.control("DELETE", "faults")
    assert desk.look() == []  # explained: the same cause opens no other case
    assert desk.state(case) == CaseState.EXPLAINED
    assert fresh(payment).live
    settle_outbox()
    desk.audit_is_clean()


def test_refund_refused(paid, pass_time, till, desk):
    order, payment = paid()
    till.house.fault("decline", op="refund", times=None)
    refund(payment, desk.clock)
    pass_time(seconds=1)
    case = desk.one("refund_refused")
    assert case.queue == "finance"
    till.house.control("DELETE", "faults")
    shown = desk.preview(case, "send_refund_again")
    assert [message.kind for message in shown.messages] == ["refund.drive"]
    desk.resolve(case, "send_refund_again")
    pass_time(seconds=5)
    assert fresh(order).state == "refunded"
    desk.ends_clean(case)


def test_refund_silent(paid, pass_time, till, desk):
    order, payment = paid("mei2", "wechat")
    till.house.fault("http_500", op="refund", times=None)
    till.house.fault("http_500", op="refund_query", times=None)
    refund(payment, desk.clock)
    pass_time(seconds=1)
    assert desk.look() == []
    desk.clock.advance(hours=2, minutes=1)
    case = desk.one("refund_silent")
    till.house.control("DELETE", "faults")
    desk.resolve(case, "send_refund_again")
    for _ in range(10):
        pass_time(minutes=5)
    assert fresh(order).state == "refunded"
    desk.ends_clean(case)


def test_message_failing(till, buyer, pass_time, desk, monkeypatch, settings):
    order = till.order(buyer("lin"))
    payment = till.press(order, "alipay")
    offered = registry._channels()
    monkeypatch.setattr(registry, "_channels", lambda: {})  # the channel's credentials are gone
    for _ in range(6):
        pass_time(minutes=1)
    case = desk.one("message_failing")
    assert "NoSuchChannel" in case.facts["error"]
    assert (case.subject, case.payment_number) == (f"chase:{payment.number}", payment.number)
    monkeypatch.setattr(registry, "_channels", lambda: offered)
    desk.resolve(case, "try_again")
    pass_time(seconds=1)
    desk.ends_clean(case)
    monkeypatch.undo()


def test_hold_orphaned(buyer, desk):
    person = buyer("lin", cash=1000)
    cash = money.buyer_cash(person.pk, "CNY")
    ledger.reserve(key="h1", account=cash, amount_minor=700, reference="K0", now=desk.clock())
    desk.clock.advance(minutes=16)
    case = desk.one("hold_orphaned")
    shown = desk.preview(case, "release_hold")
    assert [(move.kind, move.before, move.after) for move in shown.moves] == [
        ("hold", "reserved", "released")
    ]
    desk.resolve(case, "release_hold")
    assert Hold.objects.get().state == "released"
    desk.ends_clean(case)


def test_suspense_differs(buyer, desk):
    buyer("lin", cash=1000)
    suspense, opening = money.suspense("CNY"), ledger.account_code("opening")
    ledger.post(Entry("slip", "by_hand", "", (Line(opening, -500), Line(suspense, 500))), at=desk.clock())
    case = desk.one("suspense_differs")
    assert (case.amount_minor, case.facts["holds_minor"]) == (500, 500)
    with pytest.raises(CannotBeDone, match="no_entry"):
        desk.preview(case, "reverse_entry", entry="nothing")
    shown = desk.preview(case, "reverse_entry", entry="slip")
    assert shown.needs_two  # whatever the amount
    assert [(line.account, line.amount_minor) for line in shown.lines] == [(opening, 500), (suspense, -500)]
    desk.resolve(case, "reverse_entry", entry="slip")
    assert ledger.balance(suspense) == 0
    desk.ends_clean(case)


def test_suspense_differs_and_is_booked_out_by_hand(buyer, desk):
    buyer("lin", cash=1000)
    suspense, opening = money.suspense("CNY"), ledger.account_code("opening")
    ledger.post(Entry("slip", "by_hand", "", (Line(opening, -500), Line(suspense, 500))), at=desk.clock())
    case = desk.one("suspense_differs")
    for wrong in ({"debit": "nowhere"}, {"amount": "-5"}, {"amount": "five"}):
        with pytest.raises(CannotBeDone):
            desk.preview(
                case, "book_entry", **{"debit": suspense, "credit": opening, "amount": "500"} | wrong
            )
    desk.resolve(case, "book_entry", debit=suspense, credit=opening, amount="500")
    desk.ends_clean(case)


class TestStateInconsistent:
    """No flow of the product leads there, so it is done to the database by hand, as a bad restore would."""

    def test_a_paid_order_without_its_tickets(self, paid, desk):
        order, _payment = paid()
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM ticketing_ticket")
        case = desk.one("state_inconsistent")
        assert case.facts["why"] == ["it is paid and a seat of it has no ticket"]
        shown = desk.preview(case, "repair")
        assert [(m.kind, m.number, m.after) for m in shown.moves] == [
            ("ticket", "new 1", "valid"),
            ("ticket", "new 2", "valid"),
        ]
        desk.resolve(case, "repair")
        assert Ticket.objects.filter(order=order).count() == 2
        desk.ends_clean(case)

    def test_the_coordinator_repairs_it_alone(self, paid, desk):
        paid()
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM ticketing_ticket")
        assert desk.round().resolved == 1
        desk.round()
        desk.ends_clean(Case.objects.get())

    def test_money_that_nobody_sends_back(self, till, buyer, pass_time, desk):
        order = till.order(buyer("lin"))
        first = till.press(order, "alipay")
        till.house.fault("http_500", op="query", number=first.number, times=None)
        second = till.press(order, "wechat")
        for payment in (first, second):
            till.pay_at_channel(payment)
            till.notify(payment)
        pass_time(seconds=0)
        till.house.control("DELETE", "faults")
        pass_time(seconds=10)
        surplus = Payment.objects.get(outcome="surplus")
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute("DELETE FROM payments_refundevent; DELETE FROM payments_refund")
            cursor.execute("DELETE FROM payments_outboxmessage WHERE kind = 'refund.drive'")
            cursor.execute(
                "DELETE FROM wallet_posting USING wallet_journalentry e WHERE e.id = entry_id AND e.kind = 'refund'"
            )
            cursor.execute("DELETE FROM wallet_journalentry WHERE kind = 'refund'")
            cursor.execute("SET LOCAL session_replication_role = origin")
        assert {case.kind for case in desk.look()} == {"state_inconsistent", "suspense_differs"}
        case = desk.look("state_inconsistent")[0]
        desk.resolve(case, "repair")
        pass_time(minutes=1)
        assert Refund.objects.get().payment_id == surplus.pk
        assert fresh(order).state == "paid"
        desk.look()
        desk.audit_is_clean()

    def test_what_nobody_knows_how_to_repair_is_left_to_people(self, paid, desk):
        order, _payment = paid()
        Order.objects.filter(pk=order.pk).update(state="expired", winner="")
        case = desk.one("state_inconsistent")
        with pytest.raises(CannotBeDone, match="nothing_to_repair"):
            desk.preview(case, "repair")


@pytest.mark.django_db
class TestMerchantSuspect:
    """Findings of risk.trading that weigh enough; tests/risk/test_trading.py tests the findings."""

    @pytest.fixture
    def case(self, desk, clock):
        def of(**odd):
            day = Trading("north", clock().date(), paid=30, took_minor=900_000, **odd)
            assess.assess([day], now=clock())
            return desk.look("merchant_suspect")

        return of

    def test_one_light_finding_makes_no_case(self, case):
        assert case(week_refunded=20, week_paid=30) == []
        assert RiskFinding.objects.get().rule == "refund_rate"

    def test_settlement_is_held_and_the_findings_confirmed(self, case, desk):
        (found,) = case(own_people=9, numbers={"self_dealing": ["K1", "K2"]})
        assert (found.subject, found.queue, found.amount_minor) == ("north", "risk", 900_000)
        assert not marking.is_held("north")
        desk.resolve(found, "hold_settlement")
        assert marking.is_held("north")
        assert {row.state for row in RiskFinding.objects.all()} == {"confirmed"}
        assert desk.look("merchant_suspect") == []
        desk.audit_is_clean()

    def test_a_false_alarm_is_learned_from_and_closes_the_case(self, case, desk):
        (found,) = case(own_people=9, off_show=2)
        desk.resolve(found, "false_alarm")
        assert {row.state for row in RiskFinding.objects.all()} == {"false_alarm"}
        assert not marking.is_held("north")
        assert desk.look("merchant_suspect") == []

    def test_looking_at_what_would_be_done_holds_nothing(self, case, desk):
        (found,) = case(own_people=9)
        desk.preview(found, "hold_settlement")
        assert not marking.is_held("north")
        assert RiskFinding.objects.get().state == "open"


def test_every_type_has_a_test():
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for code in types.TYPES:
        camel = "Test" + "".join(part.capitalize() for part in code.split("_"))
        assert f"test_{code}" in text or camel in text, code
