"""
A sale in which everything has happened: orders, payments, refunds and top-ups in every state, made by the product's
own functions. The channels are played by `Paper`, which answers what the scene tells it to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.test import override_settings

from accounts.models import User
from operations import seeding
from payments import asking, checkout, disputes, money, outbox, paying_out, redirect, refunds, withdrawals
from payments.channels import payouts, port
from payments.models import (
    Notification,
    Payment,
    PaymentState,
    Refund,
    RefundState,
    Statement,
    StatementLine,
    Verdict,
)
from payments.reconcile.run import reconcile
from payments.withdrawal_models import Withdrawal
from ticketing import cancelling, expiry, orders, refunding, settling
from ticketing.models import Order, OrderState, PriceTier, Show
from wallet import ledger, topups
from wallet.ledger import Entry, Line, account_code
from wallet.models import AccountFold, AccountKind, Posting, TopUp, TopUpState


@dataclass
class Paper:
    """A channel on paper: trades are paid when the scene says so, refunds end as the scene says."""

    code: str
    paid: dict[str, Payment] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    stubborn: bool = False  # neither closes a trade nor tells about it
    refund_answers: dict[str, str] = field(default_factory=dict)  # by payment; "done" where none is named

    def open(self, trade: port.Trade) -> port.OpenResult:
        return port.Started("qr", f"https://channel.example/{trade.number}")

    def query(self, number: str) -> port.QueryResult:
        if self.stubborn:
            return port.Unknown("silence")
        if number in self.paid:
            payment = self.paid[number]
            return port.Paid(f"c{number}", payment.amount_minor, payment.currency, payment.created_at)
        return port.Closed() if number in self.closed else port.Waiting()

    def close(self, number: str) -> port.CloseResult:
        if number in self.paid:
            return port.AlreadyPaid()
        self.closed.add(number)
        return port.Closed()

    def refund(self, order: port.RefundOrder) -> port.RefundResult:
        match self.refund_answers.get(order.payment_number, "done"):
            case "done":
                return port.Refunded(
                    f"r{order.number}", order.amount_minor, datetime.fromisoformat("2026-11-20T05:00Z")
                )
            case "refused":
                return port.Declined("no_money")
            case _:
                return port.RefundAccepted()

    query_refund = refund

    def send(self, transfer: payouts.Transfer) -> payouts.SendResult:
        if transfer.account.endswith("9"):
            return payouts.TransferWorking()
        return payouts.TransferDone(
            f"o{transfer.number}", transfer.amount_minor, datetime.fromisoformat("2026-11-20T05:00Z")
        )

    def ask(self, transfer: payouts.Transfer) -> payouts.AskResult:
        return (
            payouts.TransferReturned("CARD") if transfer.account.endswith("0") else payouts.TransferWorking()
        )


@dataclass
class Scene:
    """The cast and the numbers that the tests break."""

    channels: dict[str, Paper]
    now: datetime
    show: Show = field(init=False)
    buyers: list[User] = field(init=False)
    orders: dict[str, Order] = field(default_factory=dict)
    payments: dict[str, Payment] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    topups: dict[str, TopUp] = field(default_factory=dict)
    withdrawn: dict[str, Withdrawal] = field(default_factory=dict)

    def tick(self, **by: float) -> datetime:
        self.now += timedelta(**by) if by else timedelta(milliseconds=1)
        return self.now

    def drain(self) -> None:
        for _ in range(20):
            done = sum(
                outbox.drain(clock=self.tick, lane=lane) for lane in (outbox.NOTIFY, outbox.COMPENSATE)
            )
            if not done:
                return
        raise AssertionError("the outbox does not come to rest")

    def play(self) -> None:
        self.show = seeding.seed_show(code="scene", now=self.tick(), rows_per_section=1)
        ids = seeding.seed_buyers(20, 400_000, now=self.tick())
        self.buyers = [User.objects.get(pk=key) for key in ids]
        self._early()
        self._refunds()
        self._given_back()
        self._late()
        self._wallets()
        self._show_over()
        self._show_cancelled()
        self._withdrawals()
        self._open()
        self._settled()
        self._ledger()
        self._disputed()

    def _disputed(self) -> None:
        """A buyer objects to what he paid at Alipay."""
        disputes.file(
            payment_number=self.payments["paid_alipay"].number,
            kind="complaint",
            source="alipay",
            reference="C1",
            actor="alipay",
            opened_at=self.now,
            now=self.now,
        )

    # -- what a buyer does -------------------------------------------------------------------------------------

    def order(self, name: str, quantity: int = 2, **more: Any) -> Order:
        tier = PriceTier.objects.get(show=self.show, code="UPPER")
        order = orders.place_order(
            buyer=self.buyers[len(self.orders)],
            client_key=name,
            tier_id=tier.pk,
            quantity=quantity,
            now=self.tick(),
            **more,
        )
        self.orders[name] = order
        return order

    def pay(self, name: str, order: Order | TopUp, channel: str) -> Payment:
        kind = "order" if isinstance(order, Order) else "topup"
        offer = checkout.offer(kind=kind, number=order.number, buyer_id=order.buyer_id, now=self.tick())
        self.payments[name] = checkout.pay(
            kind=kind,
            number=order.number,
            buyer_id=order.buyer_id,
            channel=channel,
            token=offer.token,
            return_url="",
            now=self.tick(),
        )
        return self.payments[name]

    def money_comes(self, payment: Payment) -> None:
        self.channels[payment.channel].paid[payment.number] = payment
        asking.ask(payment.number, source="query", now=self.tick())

    def refund(self, name: str, payment: Payment, answer: str) -> None:
        if payment.channel != "wallet":
            self.channels[payment.channel].refund_answers[payment.number] = answer
        payment.refresh_from_db()
        with transaction.atomic():
            self.refunds[name] = refunds.request(
                payment,
                amount_minor=payment.amount_minor,
                reason="asked",
                key=f"scene:{name}",
                now=self.tick(),
            )
        self.drain()

    # -- the acts ----------------------------------------------------------------------------------------------

    def _early(self) -> None:
        for channel in ("wallet", "alipay", "wechat"):
            payment = self.pay(f"paid_{channel}", self.order(f"paid_{channel}"), channel)
            if channel != "wallet":
                self.money_comes(payment)
        cancelled = self.order("cancelled")
        self.pay("closed", cancelled, "wechat")
        orders.cancel(number=cancelled.number, actor="buyer", now=self.tick())
        self.drain()

    def _refunds(self) -> None:
        for name, channel, answer in (
            ("refunded", "alipay", "done"),
            ("refunded_wallet", "wallet", "done"),
            ("on_its_way", "wechat", "accepted"),
            ("refused", "alipay", "refused"),
        ):
            payment = self.pay(name, self.order(name), channel)
            if channel != "wallet":
                self.money_comes(payment)
            self.refund(name, payment, answer)

    def _given_back(self) -> None:
        """Seats that went back one by one, for all or a part of their price; refunds that went to the wallet."""
        self.pay("given_back", self.order("given_back"), "wallet")
        self.refunds["given_back"] = self.give_back("given_back", seats=1)
        self.money_comes(self.pay("less_fee", self.order("less_fee"), "alipay"))
        self.refunds["less_fee"] = self.give_back("less_fee", seats=2, keeping=7_600)
        self.drain()
        for name, answer in (("to_wallet", "refused"), ("redirected", "accepted")):
            payment = self.pay(name, self.order(name), "alipay")
            self.money_comes(payment)
            self.refund(name, payment, "refused")
            self.channels["alipay"].refund_answers[payment.number] = answer
            redirect.accept(
                number=self.refunds[name].number, buyer_id=payment.buyer_id, now=self.tick(minutes=3)
            )
            self.drain()

    def give_back(self, name: str, seats: int, keeping: int = 0) -> Refund:
        order = self.orders[name]
        order.refresh_from_db()
        lines = refunding.quote(order, now=self.tick()).lines[:seats]
        request = refunding.by_staff(
            number=order.number,
            tickets=[line.ticket.number for line in lines],
            amount_minor=sum(line.price_minor for line in lines) - keeping,
            reason="a scene",
            key=name,
            actor="staff",
            now=self.tick(),
        )
        return Refund.objects.get(number=request.refund_number)

    def _late(self) -> None:
        """Money after the end: once for nothing, once for the same seats; and once twice."""
        expired, same, gone = self.order("expired"), self.order("paid_late"), self.order("surplus")
        late, gone_late = self.pay("paid_late", same, "alipay"), self.pay("surplus", gone, "wechat")
        twice = self.order("paid_twice")
        first = self.pay("twice_first", twice, "alipay")
        self.channels["alipay"].stubborn = True
        second = self.pay("twice_second", twice, "wechat")
        self.channels["alipay"].stubborn = False
        self.money_comes(second)
        self.money_comes(first)
        self.drain()
        orders.cancel(number=gone.number, actor="buyer", now=self.tick())
        self.money_comes(gone_late)
        for channel in self.channels.values():
            channel.stubborn = True
        # Enough for every hold to end, too little for any other deadline of the scene.
        self.tick(minutes=26)
        expiry.expire_due(now=self.tick())
        for channel in self.channels.values():
            channel.stubborn = False
        self.money_comes(late)
        self.drain()
        assert Order.objects.get(pk=expired.pk).state == OrderState.EXPIRED

    def _wallets(self) -> None:
        self.topups["closed"] = self.topup("closed")
        self.tick(minutes=31)
        topups.close_overdue(now=self.tick())
        self.drain()
        self.topups["credited"] = self.topup("credited")
        self.money_comes(self.pay("topup", self.topups["credited"], "alipay"))
        self.topups["open"] = self.topup("open")

    def topup(self, key: str) -> TopUp:
        return topups.request_topup(
            buyer_id=self.buyers[0].pk, client_key=key, amount_minor=10_000, now=self.tick()
        )

    def _withdrawals(self) -> None:
        """One on its way, one paid out, one that came back, one of an organiser that waits for a second person."""
        for name, card in (
            ("sent", "6222020000001239"),
            ("paid", "6222020000001235"),
            ("back", "6222020000001230"),
        ):
            self.withdraw(name, "buyer", str(self.buyers[0].pk), card, 1_000)
        self.drain()
        paying_out.told(self.withdrawn["back"].number, now=self.tick())
        self.drain()
        self.withdraw("waiting", "merchant", self.show.event.organiser.code, "6222020000001235", 30_000)

    def withdraw(self, name: str, kind: str, owner: str, card: str, amount: int) -> None:
        with override_settings(WITHDRAWAL_TWO_PEOPLE_FROM_MINOR=20_000):
            self.withdrawn[name] = withdrawals.request(
                owner_kind=kind,
                owner=owner,
                payee=withdrawals.Payee("bank", card, "Lin"),
                amount_minor=amount,
                client_key=name,
                actor="mei",
                now=self.tick(),
            )

    def _open(self) -> None:
        self.order("held")
        switched = self.order("paying")
        self.channels["wechat"].stubborn = True
        self.pay("superseded", switched, "wechat")
        self.pay("live", switched, "alipay")
        self.channels["wechat"].stubborn = False
        told = Notification.objects.create(
            channel="alipay", event_id="e1", received_at=self.now, body=b"a=1", verdict=Verdict.ACCEPTED
        )
        outbox.put(
            "notify.apply",
            key=f"notify:{told.pk}",
            payload={"notification": told.pk},
            due_at=self.now,
            now=self.now,
        )
        Notification.objects.create(
            channel="wechat", event_id="e2", received_at=self.now, body=b"{}", verdict=Verdict.PARKED
        )

    def _settled(self) -> None:
        """A day of Alipay's statements: one payment that nobody here knows, what it kept, what it sent to our bank."""
        day = (self.now - timedelta(days=1)).date()
        told = {
            "trade": [("payment", "P0NOBODY", 9_900, 59_400)],
            "funds": [
                ("payment", "P0NOBODY", 9_900, 0),
                ("fee", "", -120, 120_000),
                ("transfer", "", -5_000, 0),
            ],
        }
        for kind, lines in told.items():
            facts: dict[str, Any] = {"channel": "alipay", "day": day, "currency": "CNY"}
            statement = Statement.objects.create(kind=kind, lines=len(lines), loaded_at=self.now, **facts)
            for nth, (what, number, amount, fee) in enumerate(lines, start=1):
                StatementLine.objects.create(
                    statement=statement,
                    line_no=nth,
                    kind=what,
                    number=number,
                    amount_minor=amount,
                    fee_milli=fee,
                    status="success",
                    happened_at=self.now,
                    **facts,
                )
        reconcile(channel="alipay", day=day, now=self.tick())

    def _show_cancelled(self) -> None:
        """A show that does not take place, and whose buyer has his money back."""
        tonight = self.show
        self.show = seeding.seed_show(code="gone", now=self.tick(), rows_per_section=1)
        self.pay("cancelled_show", self.order("cancelled_show"), "wallet")
        cancelling.cancel(code="gone", reason="storm", actor="mei", approved_by="bo", now=self.tick())
        self.drain()
        self.tick(minutes=2)
        self.drain()
        self.show = tonight

    def _show_over(self) -> None:
        """Another show of the same organiser, sold, over, settled; and a seat refunded after that."""
        tonight = self.show
        self.show = seeding.seed_show(code="over", now=self.tick(), rows_per_section=1)
        self.pay("settled", self.order("settled"), "wallet")
        Show.objects.filter(pk=self.show.pk).update(starts_at=self.now - timedelta(days=4))
        settling.settle_due(now=self.tick())
        self.refunds["after_settled"] = self.give_back("settled", seats=1)
        self.drain()
        settling.settle_due(now=self.tick())
        self.show = tonight

    def _ledger(self) -> None:
        cash = money.buyer_cash(self.buyers[0].pk, "CNY")
        bonus = money.buyer_bonus(self.buyers[0].pk, "CNY")
        ledger.reserve(
            key="hold", account=cash, amount_minor=500, reference=self.orders["held"].number, now=self.tick()
        )
        lines = (Line(account_code(AccountKind.PROMOTION), -700), Line(bonus, 700))
        ledger.post(Entry("gift", "red_packet", "", lines), at=self.tick())
        wrong = (Line(account_code(AccountKind.OPENING), -900), Line(cash, 900))
        ledger.post(Entry("mistake", "opening", "", wrong), at=self.tick())
        ledger.reverse("mistake", by="mistake-undone", at=self.tick())
        guarantee = Posting.objects.filter(account__kind=AccountKind.GUARANTEE)
        AccountFold.objects.create(
            account_id=guarantee[0].account_id,
            before_txid=max(guarantee.values_list("txid", flat=True)) + 1,
            balance_minor=sum(guarantee.values_list("amount_minor", flat=True)),
            folded_at=self.now,
        )

    def has_every_state(self) -> None:
        """The scene is worth its name only if nothing is missing."""
        for model, column, states in (
            (Order, "state", OrderState),
            (Payment, "state", PaymentState),
            (Refund, "state", RefundState),
            (TopUp, "state", TopUpState),
        ):
            there = set(model.objects.values_list(column, flat=True))
            missing = set(states.values) - there
            assert missing <= {"created", "unknown", "failed", "requested"}, (model, missing)
