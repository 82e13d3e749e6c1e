"""Weighted entry: who goes first, who is admitted, what the buyer sees, what becomes of those who leave the queue."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from basis import fast
from payments import asking, breaker, checkout, entry, entry_calls, entry_order, entry_pace
from payments.channels import registry
from payments.channels.port import Absent, Closed, Started, Unknown
from payments.entry_models import ChannelSetting, ChannelTurn
from payments.entry_order import Candidate
from payments.models import Payment, PaymentState
from tests.conftest import T0
from ticketing import orders
from ticketing.models import PriceTier


class Bank:
    """A channel whose answers the test chooses, in place of an adapter; what it was asked stays on record."""

    code = "alipay"

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.asked: list[str] = []
        self.answers = True

    def open(self, trade: Any) -> Any:
        self.opened.append(trade.number)
        return Started("redirect", f"https://bank/{trade.number}") if self.answers else Unknown("timeout")

    def query(self, number: str) -> Any:
        self.asked.append(number)
        return Absent()

    def close(self, number: str) -> Any:
        return Closed()


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    found = Bank()
    monkeypatch.setattr(registry, "_channels", lambda: {"alipay": found})
    yield found
    breaker._here.__init__()


def bounded(**fields: Any) -> ChannelSetting:
    ChannelSetting.objects.all().delete()
    setting = ChannelSetting(
        **{"channel": "alipay", "calls_per_second": 0.2, "in_flight": 2, "max_wait_s": 60} | fields
    )
    setting.full_clean()
    setting.save()
    entry.settings_held.pin({"alipay": setting})
    entry._seen.clear()
    return setting


@pytest.fixture
def press(show, buyer, clock, bank):
    """`press("lin")`: lin orders a seat and presses Pay at the bank."""

    def go(handle: str, channel: str = "alipay", order: Any = None, **user: Any) -> Payment:
        who = buyer(handle)
        if user:
            type(who).objects.filter(pk=who.pk).update(**user)
        tier = PriceTier.objects.get(show=show, code="UPPER").pk
        order = order or orders.place_order(
            buyer=who, client_key=f"k{clock().timestamp()}", tier_id=tier, quantity=1, now=clock()
        )
        offer = checkout.offer(kind="order", number=order.number, buyer_id=who.pk, now=clock())
        return checkout.pay(
            kind="order",
            number=order.number,
            buyer_id=who.pk,
            channel=channel,
            token=offer.token,
            return_url="http://shop/",
            now=clock(),
        )

    return go


def order_of(payment: Payment) -> Any:
    from ticketing.models import Order

    return Order.objects.get(number=payment.purchase_number)


def work_off(clock, *, seconds: float = 30) -> int:
    """As the worker does, in one thread: threads would not see the test's transaction."""
    made, until = 0, clock() + timedelta(seconds=seconds)
    while clock() < until and entry.waiting("alipay").exists():
        slot = entry_pace.take(entry.setting_of("alipay"))
        if isinstance(slot, int):
            fast.store().flushdb()  # the store's own second, skipped
            clock.advance(milliseconds=slot)
            continue
        turn = entry.next_turn("alipay", now=clock())
        if turn is None:
            slot.unused()
            break
        entry_calls._open(turn, slot, clock)
        made += 1
    return made


# -- the order, pure
# ----------------------------------------------------------------------------------------------------
SETTING = ChannelSetting(channel="x", calls_per_second=10, in_flight=5, max_wait_s=60)


def test_weights_put_forward_and_none_takes_all_of_the_lightest_ones_time():
    plain = entry_order.head_start_s(Candidate(), SETTING)
    vip = entry_order.head_start_s(Candidate(vip_level=2), SETTING)
    rich = entry_order.head_start_s(Candidate(wallet_minor=10**9), SETTING)
    big = entry_order.head_start_s(Candidate(amount_minor=250_000), SETTING)
    large = entry_order.head_start_s(Candidate(is_large=True), SETTING)
    all_of_it = entry_order.head_start_s(Candidate(9, True, 10**9, 10**9), SETTING)
    assert (plain, vip, rich, big, large, all_of_it) == (0, 16, 8, 4, 15, 55)


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["vip_s", "large_s", "wallet_s", "amount_s"])
@pytest.mark.parametrize("weight", [0, -60, 10**9])
def test_whatever_staff_weigh_nobody_waits_longer_than_promised(field, weight):
    setting = ChannelSetting(channel="x", calls_per_second=10, in_flight=5, max_wait_s=60, **{field: weight})
    for who in (Candidate(), Candidate(9, True, 10**9, 10**9), Candidate(-1, False, -5, 0)):
        due = entry_order.due_at(who, setting, now=T0)
        assert T0 + timedelta(seconds=5) <= due <= T0 + timedelta(seconds=60)
    if weight < 0:
        with pytest.raises(IntegrityError), transaction.atomic():
            setting.save()


def test_waiting_outweighs_weight():
    early = entry_order.due_at(Candidate(), SETTING, now=T0)
    late_vip = entry_order.due_at(Candidate(vip_level=2), SETTING, now=T0 + timedelta(seconds=17))
    sooner_vip = entry_order.due_at(Candidate(vip_level=2), SETTING, now=T0 + timedelta(seconds=15))
    assert sooner_vip < early < late_vip


@pytest.mark.parametrize("seed", range(5))
def test_nobody_who_was_admitted_is_served_after_his_deadline(seed):
    """An overload of two to one, served at the rate that was promised over: every deadline is kept."""
    chance, now = random.Random(seed), T0
    queue: list[tuple[datetime, int]] = []
    served = refused = 0
    for step in range(6000):  # ten minutes in tenths of a second; 9 a second are served, 18 come
        now = T0 + timedelta(seconds=step / 10)
        for _ in range(chance.choice([1, 2, 2, 2])):
            who = Candidate(
                chance.choice([0, 0, 0, 1, 4]), chance.random() < 0.1, 0, chance.randrange(800_000)
            )
            start, due = entry_order.head_start_s(who, SETTING), entry_order.due_at(who, SETTING, now=now)
            if entry_order.has_room((due for due, _n in queue), due, SETTING, head_start=start, now=now):
                queue.append((due, step))
                queue.sort()
            else:
                refused += 1
        if queue and step % 10:  # nine calls a second
            due, _n = queue.pop(0)
            assert now <= due + timedelta(seconds=1)
            served += 1
    assert refused > 1000
    assert served > 5000


# -- at the till
# --------------------------------------------------------------------------------------------------------
def test_without_a_setting_the_channel_is_called_at_once(press, bank):
    assert [press(name).state for name in ("a1", "a2", "a3")] == [PaymentState.PENDING] * 3
    assert not ChannelTurn.objects.exists()


def test_over_the_capacity_payments_wait_for_the_bank_and_the_heavy_go_first(press, bank, clock):
    bounded()
    first = [press("a1")]
    assert first[0].state == PaymentState.PENDING
    plain, vip, later = press("b1"), press("b2", vip_level=3), press("b3", is_large_customer=True)
    assert [p.state for p in (plain, vip, later)] == [PaymentState.CREATED] * 3
    assert [p.cashier_url for p in (plain, vip, later)] == [""] * 3
    assert [entry.place_of(p).ahead for p in (vip, later, plain)] == [0, 1, 2]
    assert work_off(clock) == 3
    assert bank.opened == [p.number for p in (*first, vip, later, plain)]
    assert Payment.objects.get(pk=plain.pk).state == PaymentState.PENDING


def test_a_second_press_repeats_the_answer_and_queues_nothing_twice(press, bank, clock):
    bounded()
    press("a1")
    waiting = press("b1")
    clock.advance(seconds=20)  # past the lease after which a lost call is made again
    again = press("b1", order=order_of(waiting))
    assert again.number == waiting.number
    assert ChannelTurn.objects.count() == 1
    assert len(bank.opened) == 1


def test_who_chooses_another_way_leaves_the_queue_without_a_word_to_the_bank(press, bank, clock, buyer):
    bounded()
    press("a1")
    waiting = press("b1")
    buyer("b1", cash=500_000)
    paid = press("b1", channel="wallet", order=order_of(waiting))
    assert paid.state == PaymentState.SUCCEEDED
    gone = Payment.objects.get(pk=waiting.pk)
    assert (gone.state, ChannelTurn.objects.get().left_at is not None) == (PaymentState.CLOSED, True)
    assert waiting.number not in bank.opened + bank.asked
    assert work_off(clock) == 0


def test_a_payment_that_waits_is_not_asked_about_and_ends_with_its_time(press, bank, clock, settle_outbox):
    bounded()
    press("a1")
    waiting = press("b1")
    clock.advance(seconds=30)
    assert asking.ask(waiting.number, source="query", now=clock()).state == PaymentState.CREATED
    assert waiting.number not in bank.asked
    clock.now = waiting.expires_at
    assert asking.ask(waiting.number, source="query", now=clock()).state == PaymentState.CLOSED
    assert order_of(waiting).state == "held" or order_of(waiting).state == "expired"


def test_a_turn_whose_worker_died_is_taken_again(press, bank, clock):
    bounded()
    press("a1")
    waiting = press("b1")
    assert entry.next_turn("alipay", now=clock()).payment_id == waiting.pk  # and the worker dies here
    assert entry.take_back_lost(now=clock()) == 0
    clock.advance(seconds=31)
    assert entry.take_back_lost(now=clock()) == 1
    fast.store().flushdb()
    assert work_off(clock) == 1
    assert bank.opened.count(waiting.number) == 1
    clock.advance(seconds=60)
    assert entry.take_back_lost(now=clock()) == 0


def test_a_full_queue_greys_the_channel_and_refuses_before_anything_is_recorded(press, bank, clock):
    bounded(max_wait_s=10, calls_per_second=0.37, in_flight=1)
    waiting = [press("a1"), press("b1"), press("b2")][1:]
    count = Payment.objects.count()
    with pytest.raises(checkout.ChannelNotOffered) as error:
        press("b3")
    assert error.value.reason == entry.BUSY
    entry._seen.clear()
    assert entry.refusals(["wallet", "alipay"], now=clock()) == {"alipay": entry.BUSY}
    assert Payment.objects.count() == count
    assert press("b2", order=order_of(waiting[1])).number == waiting[1].number  # who is in gets his answer
    assert press("b4", vip_level=9).state == PaymentState.CREATED  # and some room is kept for the heaviest


def test_failures_open_the_breaker_then_one_call_tries_it(press, bank, clock, monkeypatch):
    setting = bounded(calls_per_second=1000, in_flight=50, breaker_failures=3, breaker_open_s=60)
    bank.answers = False
    for name in ("a1", "a2", "a3"):
        press(name)
    assert breaker.state("alipay") == breaker.OPEN
    with pytest.raises(checkout.ChannelNotOffered) as error:
        press("a4")
    assert error.value.reason == entry.BROKEN
    entry._seen.clear()
    assert entry.refusals(["alipay"], now=clock()) == {"alipay": entry.BROKEN}
    fast.store().delete(breaker._keys("alipay")[0])  # its second is over
    assert breaker.state("alipay") == breaker.HALF_OPEN
    probe = entry_pace.take(setting)
    assert isinstance(probe, entry_pace.Slot)
    assert entry_pace.take(setting) == 1000  # nobody else until the probe has reported
    probe.end(ok=True)
    assert breaker.state("alipay") == breaker.CLOSED


def test_a_failing_probe_opens_it_again_and_the_store_may_be_away(settings):
    for away in (False, True):
        if away:
            settings.REDIS_URL = "unix:///nonexistent/kaipiao.sock"
            fast.store.cache_clear()
        try:
            for _ in range(3):
                breaker.report("b", ok=False, failures=3, open_s=0.05)
            assert breaker.state("b") == breaker.OPEN
            __import__("time").sleep(0.08)
            assert [breaker.may_call("b"), breaker.may_call("b")] == [True, False]
            breaker.report("b", ok=False, failures=3, open_s=60)
            assert breaker.state("b") == breaker.OPEN
            breaker.forget("b")
        finally:
            fast.store.cache_clear()


def test_never_more_calls_than_the_channel_bears_also_without_the_store(settings):
    setting = ChannelSetting(channel="y", calls_per_second=5, in_flight=3, max_wait_s=60, breaker_failures=0)
    for away in (False, True):
        if away:
            settings.REDIS_URL = "unix:///nonexistent/kaipiao.sock"
            fast.store.cache_clear()
        try:
            slots = [entry_pace.take(setting) for _ in range(5)]
            taken = [slot for slot in slots if isinstance(slot, entry_pace.Slot)]
            assert len(taken) == 3  # in flight
            for slot in taken:
                slot.end(ok=True)
            more = [entry_pace.take(setting) for _ in range(5)]
            assert sum(isinstance(slot, entry_pace.Slot) for slot in more) == 2  # of five a second
        finally:
            fast.store.cache_clear()


@pytest.mark.django_db(transaction=True)
def test_the_worker_opens_a_queue_with_threads_at_the_channels_pace(press, bank, clock):
    import time

    from django.utils import timezone

    bounded(calls_per_second=0.2)
    many = [press(f"c{n}") for n in range(7)]
    queued = ChannelTurn.objects.count()
    assert queued >= 5
    bounded(calls_per_second=20, in_flight=4)
    made = entry_calls.run(
        "alipay", clock=timezone.now, sleep=time.sleep, until=timezone.now() + timedelta(seconds=20)
    )
    assert made == queued
    assert sorted(bank.opened) == sorted(payment.number for payment in many)


def test_the_page_says_waiting_for_the_bank_and_the_place(press, bank, clock, buyer):
    from django.utils import timezone

    clock.now = timezone.now()
    bounded()
    press("a1"), press("b1")
    waiting = press("b2")
    client = Client(headers={"Accept-Language": "en"})
    client.force_login(buyer("b2"))
    page = client.get(f"/orders/{waiting.purchase_number}/").content.decode()
    assert 'data-stage="queued"' in page
    assert 'data-ahead="1"' in page
    assert client.get(f"/orders/{waiting.purchase_number}/status.json").json()["stage"] == "queued"
    body = client.get(f"/api/v1/payments/{waiting.number}").json()
    assert (body["state"], body["cashier"], body["queue"]["ahead"]) == ("created", None, 1)
