"""The coordinator drives what was forgotten, never hurries what is under way, and two at once do it once."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, connections

from accounts.models import User
from desk import approve, coordinate, detect, resolve
from desk.models import Case, CaseState, Resolution, TrailEntry
from desk.trail import Person
from payments import money
from payments.models import OutboxMessage, Payment
from ticketing.models import Order, OrderState
from wallet import ledger
from wallet.ledger import Entry, Line
from wallet.models import JournalEntry


def test_a_quiet_house_costs_nothing_and_changes_nothing(paid, desk):
    paid()
    assert desk.round() == coordinate.Round(0, 0, 0, 0, 0)
    assert not Case.objects.exists()


def test_a_payment_that_nobody_asks_about_is_asked_again(till, buyer, desk, settle_outbox):
    payment = till.press(till.order(buyer("lin")), "wechat")
    till.pay_at_channel(payment)
    OutboxMessage.objects.all().delete()  # lost, as in a restore of another moment
    assert desk.round().driven == 1
    settle_outbox()
    assert Payment.objects.get(pk=payment.pk).state == "succeeded"
    assert TrailEntry.objects.get(action="driven").subject == payment.number
    desk.audit_is_clean()


def test_orders_end_though_their_beat_does_not(till, buyer, desk):
    order = till.order(buyer("lin"))
    desk.clock.now = order.hold_until + timedelta(seconds=30)
    assert desk.round().ended == 0  # the beat has its two minutes
    desk.clock.advance(minutes=2)
    assert desk.round().ended == 1
    assert Order.objects.get(pk=order.pk).state == OrderState.EXPIRED


def test_a_case_weighs_more_with_money_and_age(buyer, desk):
    person = buyer("lin", cash=100_000)
    cash = money.buyer_cash(person.pk, "CNY")
    for key, amount in (("small", 100), ("large", 50_000)):
        ledger.reserve(key=key, account=cash, amount_minor=amount, reference="K0", now=desk.clock())
    desk.clock.advance(minutes=20)
    small, large = sorted(desk.look("hold_orphaned"), key=lambda case: case.amount_minor)
    assert large.weight - small.weight == pytest.approx(62, abs=1)  # ln(500) in tenths
    desk.clock.advance(hours=20)
    assert detect.reweigh(now=desk.clock()) == 2
    assert detect.reweigh(now=desk.clock()) == 0
    older = Case.objects.get(pk=small.pk)
    assert older.weight == detect.weight_of(100, older.since, desk.clock.now)


def test_the_dear_detector_is_asked_in_turn(paid, desk):
    paid()
    desk.round()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ticketing_ticket")
    assert desk.round().opened == 0
    assert [case.kind for case in desk.look()] == ["state_inconsistent"]


@pytest.mark.django_db(transaction=True)
def test_two_checkers_at_once_do_it_once(clock):
    """Both have looked, both press: one of them is told that it is decided, and the entry is undone once."""
    money.open_system_accounts(channels=["alipay"], currency="CNY", now=clock())
    suspense, opening = money.suspense("CNY"), ledger.account_code("opening")
    ledger.post(Entry("slip", "by_hand", "", (Line(opening, -500), Line(suspense, 500))), at=clock())
    people = [User.objects.create_superuser(name) for name in ("mei", "bo", "an")]
    detect.run(now=clock())
    case = Case.objects.get()
    given = {"case_number": case.number, "resolution": "reverse_entry", "inputs": {"entry": "slip"}}
    shown = resolve.preview(**given, now=clock())
    asked = approve.request(
        **given, fingerprint=shown.fingerprint, reason="a slip", by=Person(people[0]), key="k", now=clock()
    )
    together, answers = threading.Barrier(2), []

    def press(person: User) -> None:
        together.wait()
        try:
            approve.approve(request_id=asked.pk, by=Person(person), now=clock())
            answers.append("done")
        except (approve.NotWaiting, resolve.StalePreview) as error:
            answers.append(type(error).__name__)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=press, args=[person]) for person in people[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["NotWaiting", "done"]
    assert Resolution.objects.count() == JournalEntry.objects.filter(reverses__key="slip").count() == 1
    assert Case.objects.get().state == CaseState.ACTED
    assert Permission.objects.filter(codename="approve_resolution").exists()
