"""
Random histories: a buyer who does anything in any order, channels that answer, stay silent, repeat and lose, and time
that passes. Between any two steps nothing is broken; at the end everything comes to rest, final and balanced.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import User
from payments import checkout, notify, outbox, redirect, refunds
from payments.channels import registry
from payments.models import Outcome, Payment, PaymentState, Refund
from risk.payment_tokens import TokenRefused
from tests.conftest import Clock
from tests.races import invariants
from tests.races.outside import Outside
from tests.races.rest import pass_time
from ticketing import expiry, orders, phases, refunding, seats
from ticketing.models import (
    Order,
    OrderEvent,
    OrderState,
    PriceTier,
    RefundPolicy,
    Seat,
    SeatState,
    Show,
)
from wallet import topups
from wallet.models import TopUp

pytestmark = pytest.mark.django_db

CHANNELS = st.sampled_from(["alipay", "wechat"])
# How an operation of a channel may fail, once: before or after it did what it was asked.
TROUBLES = st.tuples(
    CHANNELS,
    st.sampled_from(["open", "query", "close", "refund", "query_refund"]),
    st.sampled_from(["silent_before", "silent_after"]),
)
PICK = st.integers(min_value=0, max_value=7)
EXAMPLES = 30  # half a minute on two cores


class Histories(RuleBasedStateMachine):
    """One hall with six free seats, three buyers, two channels."""

    show: Show  # the fixtures, handed over by the test
    people: list[User]
    seen: Counter[str] = Counter()

    @initialize()
    def begin(self) -> None:
        self.savepoint = transaction.atomic()
        self.savepoint.__enter__()
        self.clock = Clock()
        self.outside = {
            "alipay": Outside("alipay", lambda: self.clock.now, lazy=True),
            "wechat": Outside("wechat", lambda: self.clock.now),
        }
        registry._channels = lambda: self.outside
        self.tier = PriceTier.objects.get(show=type(self).show, code="VIP")
        self.people = type(self).people
        free = (
            Seat.objects.filter(tier=self.tier)
            .order_by("row_rank", "position")
            .values_list("pk", flat=True)[6:]
        )
        Seat.objects.filter(pk__in=list(free)).update(state=SeatState.BLOCKED)
        self.orders: list[str] = []
        self.topups: list[str] = []
        self.messages: list[tuple[str, bytes]] = []
        for who in (0, 1):
            self.orders_seats(who, 2, accept=bool(who))

    # -- the buyers --------------------------------------------------------------------------------------------

    @rule(who=PICK, quantity=st.integers(1, 3), accept=st.booleans())
    def orders_seats(self, who: int, quantity: int, accept: bool) -> None:
        try:
            order = orders.place_order(
                buyer=self.people[who % len(self.people)],
                client_key=f"key {len(self.orders)}",
                tier_id=self.tier.pk,
                quantity=quantity,
                accept_equal_seats=accept,
                now=self.clock(),
            )
        except (seats.SoldOut, phases.LimitReached):
            return
        self.orders.append(order.number)

    @rule(which=PICK, channel=st.sampled_from(["alipay", "wechat", "wallet"]), presses=st.integers(1, 2))
    def presses_pay(self, which: int, channel: str, presses: int) -> None:
        order = Order.objects.get(number=self.orders[which % len(self.orders)])
        self._pay("order", order.number, order.buyer_id, channel, presses)

    @rule(who=PICK, channel=CHANNELS)
    def tops_up(self, who: int, channel: str) -> None:
        person = self.people[who % len(self.people)]
        topup = topups.request_topup(
            buyer_id=person.pk, client_key=f"top {len(self.topups)}", amount_minor=5000, now=self.clock()
        )
        self.topups.append(topup.number)
        self._pay("topup", topup.number, person.pk, channel, 1)

    @rule(which=PICK)
    def cancels(self, which: int) -> None:
        try:
            orders.cancel(number=self.orders[which % len(self.orders)], actor="buyer", now=self.clock())
        except orders.NotCancellable:
            return

    @precondition(lambda self: self._payment(0))
    @rule(which=PICK)
    def looks_at_the_cashier(self, which: int) -> None:
        payment = self._payment(which)
        if payment:
            self.outside[payment.channel].buyer_looks(payment.number)

    @precondition(lambda self: self._payment(0))
    @rule(which=PICK, told=st.sampled_from(["told", "told", "twice", "lost"]))
    def pays_at_the_channel(self, which: int, told: str) -> None:
        payment = self._payment(which)
        if payment is None or not self.outside[payment.channel].buyer_pays(payment.number):
            return
        body = self.outside[payment.channel].message(payment.number)
        self.messages += [(payment.channel, body)] * {"lost": 0, "told": 1, "twice": 2}[told]

    @rule(which=PICK, channel=CHANNELS, then=st.sampled_from(["cancels", "switches", "falls asleep"]))
    def pays_and_then_does_something_else(self, which: int, channel: str, then: str) -> None:
        self.presses_pay(which, channel, 1)
        payment = self._payment(0)
        if payment is None:
            return
        other = self.outside["wechat" if channel == "alipay" else "alipay"]
        if then == "switches":
            self.outside[channel].trouble.setdefault("query", []).append("silent_before")
            self.presses_pay(which, other.code, 1)
            other.buyer_pays(payment.number)
            self.pays_at_the_channel(0, "told")
        elif then == "falls asleep":
            # Never back: a trade whose deadline has passed would take money again, which no channel does.
            self.clock.now = max(self.clock.now, payment.expires_at - timedelta(seconds=1))
        self.outside[channel].buyer_pays(payment.number)
        if then == "falls asleep":
            self.clock.advance(seconds=1600)
            self.the_beat_expires()
        elif then == "cancels":
            self.cancels(which)

    # -- the channels ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.messages)
    @rule(which=PICK)
    def a_notification_arrives(self, which: int) -> None:
        channel, body = self.messages.pop(which % len(self.messages))
        reply = notify.receive(channel=channel, headers={}, body=body, now=self.clock())
        assert reply.status == 200

    @rule(trouble=TROUBLES)
    def a_channel_falls_silent(self, trouble: tuple[str, str, str]) -> None:
        channel, op, how = trouble
        self.outside[channel].trouble.setdefault(op, []).append(how)

    # -- time and staff ----------------------------------------------------------------------------------------

    @rule(lane=st.sampled_from([outbox.NOTIFY, outbox.COMPENSATE]), limit=st.integers(1, 50))
    def a_worker_drains(self, lane: str, limit: int) -> None:
        outbox.drain(clock=self.clock, lane=lane, limit=limit)

    @rule()
    def the_beat_expires(self) -> None:
        expiry.expire_due(now=self.clock())
        topups.close_overdue(now=self.clock())

    @rule(seconds=st.sampled_from([1, 10, 60, 301, 901]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    @rule(which=PICK, part=st.booleans())
    def staff_refund(self, which: int, part: bool) -> None:
        won = list(Payment.objects.filter(outcome=Outcome.WON, purchase_kind="order").order_by("pk"))
        if not won:
            return
        payment = won[which % len(won)]
        key = f"staff:{payment.number}:{part}"
        try:
            with transaction.atomic():
                refunds.request(
                    payment,
                    amount_minor=payment.amount_minor // 2 if part else payment.amount_minor,
                    reason="goodwill",
                    key=key,
                    actor="mei",
                    now=self.clock(),
                )
        except refunds.NotRefundable:
            return

    @rule(which=PICK, how_many=st.integers(1, 2))
    def gives_back(self, which: int, how_many: int) -> None:
        """By the published rule: the VIP tier is taken back for four fifths."""
        paid = list(Order.objects.filter(state=OrderState.PAID).order_by("pk"))
        if not paid:
            return
        order, now = paid[which % len(paid)], self.clock()
        tickets = [ticket.number for ticket in refunding.tickets_of(order)][:how_many]
        expected = refunding.quote(order, now=now, numbers=tickets).back_minor
        try:
            refunding.give_back(
                number=order.number,
                tickets=tickets,
                expected_minor=expected,
                key=f"back {tickets}",
                actor="buyer",
                now=now,
            )
        except refunding.NotRefundable:
            return

    @rule(which=PICK)
    def has_it_in_the_wallet(self, which: int) -> None:
        found = Refund.objects.filter(state__in=redirect.REDIRECTABLE).exclude(payment__channel="wallet")
        stuck = list(found.order_by("pk"))
        if stuck:
            redirect.by_staff(number=stuck[which % len(stuck)].number, actor="mei", now=self.clock())

    # -- what holds --------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_broken(self) -> None:
        if hasattr(self, "orders"):
            assert invariants.broken() == []

    def teardown(self) -> None:
        if not hasattr(self, "orders"):
            return
        try:
            for channel in self.outside.values():
                channel.trouble.clear()
            pass_time(self.clock)
            assert invariants.broken() == []
            net = {code: channel.net_minor for code, channel in self.outside.items()}
            assert invariants.unfinished(net) == []
            assert not Order.objects.filter(state__in=[OrderState.HELD, OrderState.PAYING]).exists()
            self.seen.update(f"order {state}" for state in Order.objects.values_list("state", flat=True))
            self.seen.update(
                f"payment {out or state}" for state, out in Payment.objects.values_list("state", "outcome")
            )
            self.seen.update(f"to {to}" for to in Refund.objects.values_list("destination", flat=True))
            self.seen.update(f"refund {reason}" for reason in Refund.objects.values_list("reason", flat=True))
            late = OrderEvent.objects.filter(reason__startswith="paid_late").values_list("reason", flat=True)
            self.seen.update(late)
        finally:
            transaction.set_rollback(True)
            self.savepoint.__exit__(None, None, None)

    # -- within ------------------------------------------------------------------------------------------------

    def _pay(self, kind: str, number: str, buyer_id: int, channel: str, presses: int) -> None:
        offer = checkout.offer(kind=kind, number=number, buyer_id=buyer_id, now=self.clock())
        answers = set()
        for _ in range(presses):
            try:
                payment = checkout.pay(
                    kind=kind,
                    number=number,
                    buyer_id=buyer_id,
                    channel=channel,
                    token=offer.token,
                    return_url="",
                    now=self.clock(),
                )
            except (checkout.NotPayable, checkout.TokenUsedElsewhere, TokenRefused):
                return
            answers.add(payment.number)
        assert len(answers) == 1, "two presses of one page are one payment"

    def _payment(self, which: int) -> Payment | None:
        found = list(
            Payment.objects.exclude(channel="wallet").exclude(state=PaymentState.SUCCEEDED).order_by("-pk")
        )
        return found[which % len(found)] if found else None


# What has to have happened: histories in which nothing happens would prove nothing.
WANTED = (
    "order paid",
    "order expired",
    "order cancelled",
    "payment won",
    "payment surplus",
    "payment closed",
    "refund by_rule",
)


def histories(chance: int) -> None:
    """One round of EXAMPLES histories; the same number gives the same ones."""
    run_state_machine_as_test(
        seed(chance)(Histories),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_random_histories_never_break_and_always_come_to_rest(show, buyer, monkeypatch):
    for handle in ("lin", "mei", "bo"):
        User.objects.create_user(handle)
    Histories.show = show
    RefundPolicy.objects.all().delete()
    RefundPolicy.objects.create(show=show).steps.create(hours_before=1, percent_back=80)
    Histories.people = [buyer("lin", cash=400_000), buyer("mei", cash=200_000, bonus=150_000), buyer("bo")]
    # Each history undoes `_channels` by setting it again; the patch here puts the product's own back at the end.
    monkeypatch.setattr(registry, "_channels", registry._channels)
    # As everywhere with hypothesis: CI repeats the same histories, everybody else looks at new ones.
    begun, first = time.monotonic(), 1 if os.environ.get("CI") else random.randrange(1_000_000)
    # What is rare does not come in every round: one without it tells nothing, eight of them would.
    for chance in range(first, first + 8):
        histories(chance)
        print(f"round {chance}: {time.monotonic() - begun:.1f} s: {dict(sorted(Histories.seen.items()))}")
        if all(Histories.seen[wanted] for wanted in WANTED):
            break
    assert [wanted for wanted in WANTED if not Histories.seen[wanted]] == []
    assert TopUp.objects.count() == 0  # every history was rolled back
