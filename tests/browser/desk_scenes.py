"""What can happen on a night at the desk: one scene for every type of case, at the sandbox or in our own services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from desk import detect
from desk.models import Case, CaseState
from payments import money, refunds
from payments.channels import registry
from payments.models import Discrepancy, Payment, Refund, Statement, StatementLine
from payments.reconcile import run
from risk.trading import assess, marking
from risk.trading.profile import Trading
from tests.conftest import Clock
from tests.desk.conftest import Desk
from tests.payments.conftest import Till
from tests.reconcile.hand import Hand
from ticketing.models import Order, Ticket
from wallet import ledger
from wallet.ledger import Entry, Line


@dataclass
class World:
    """What a scene can be made of."""

    till: Till
    buyer: Callable[..., Any]
    paid: Callable[..., Any]
    pass_time: Callable[..., None]
    desk: Desk
    monkeypatch: pytest.MonkeyPatch

    def fine_weather(self) -> None:
        self.till.house.control("DELETE", "faults")


@dataclass
class Scene:
    """What happened, and what a person does about it. `state` is what becomes of the case."""

    case: Case
    way: str
    inputs: dict[str, str] = field(default_factory=dict)
    state: str = CaseState.RESOLVED
    then: Callable[[], None] = lambda: None
    truth: Callable[[], bool] = lambda: True


def refund_of(payment: Payment, clock: Clock) -> Refund:
    with transaction.atomic():
        return refunds.request(
            Payment.objects.get(pk=payment.pk),
            amount_minor=payment.amount_minor,
            reason="asked",
            key=f"test:{payment.number}",
            now=clock(),
        )


# -- what happens ------------------------------------------------------------------------------------------------


def payment_unknown(world: World) -> Scene:
    world.till.house.fault("no_answer", op="open", times=1)
    world.till.house.fault("http_500", op="query", times=None)
    order = world.till.order(world.buyer("lin"))
    payment = world.till.press(order, "wechat")
    world.desk.clock.advance(minutes=6)
    case = world.desk.one("payment_unknown")
    world.fine_weather()
    world.till.house.pay("wechat", payment.number)
    return Scene(case, "ask_channel", truth=lambda: Order.objects.get(pk=order.pk).state == "paid")


def payment_unclosed(world: World) -> Scene:
    payment = world.till.press(world.till.order(world.buyer("lin")), "alipay")
    world.till.house.fault("http_500", op="query", times=None)
    world.pass_time(minutes=30)
    case = world.desk.one("payment_unclosed")

    def then() -> None:
        world.fine_weather()
        world.pass_time(seconds=1)

    return Scene(case, "ask_channel", then=then, truth=lambda: not Payment.objects.get(pk=payment.pk).live)


def amount_differs(world: World) -> Scene:
    order = world.till.order(world.buyer("lin"))
    payment = world.till.press(order, "alipay")
    world.till.pay_at_channel(payment)
    world.till.notify(payment, "wrong_amount")
    world.pass_time(seconds=1)
    case = world.desk.one("amount_differs")
    return Scene(case, case.suggested, truth=lambda: Order.objects.get(pk=order.pk).state == "paid")


def notification_unknown(world: World) -> Scene:
    world.till.deliver("wechat", "PUNKNOWN0000000000001", "unknown_order")
    world.pass_time(seconds=1)
    return Scene(world.desk.one("notification_unknown"), "explain", state=CaseState.EXPLAINED)


def refund_refused(world: World) -> Scene:
    order, payment = world.paid()
    world.till.house.fault("decline", op="refund", times=None)
    refund_of(payment, world.desk.clock)
    world.pass_time(seconds=1)
    case = world.desk.one("refund_refused")
    world.fine_weather()
    return Scene(
        case,
        "send_refund_again",
        then=lambda: world.pass_time(seconds=5),
        truth=lambda: Order.objects.get(pk=order.pk).state == "refunded",
    )


def refund_silent(world: World) -> Scene:
    order, payment = world.paid("lin", "wechat")
    for op in ("refund", "refund_query"):
        world.till.house.fault("http_500", op=op, times=None)
    refund_of(payment, world.desk.clock)
    world.pass_time(seconds=1)
    world.desk.clock.advance(hours=2, minutes=1)
    case = world.desk.one("refund_silent")
    world.fine_weather()

    def then() -> None:
        world.pass_time(seconds=1)
        world.pass_time(minutes=5)

    return Scene(
        case, "send_refund_again", then=then, truth=lambda: Order.objects.get(pk=order.pk).state == "refunded"
    )


def message_failing(world: World) -> Scene:
    world.till.press(world.till.order(world.buyer("lin")), "alipay")
    with world.monkeypatch.context() as without:
        without.setattr(registry, "_channels", dict)  # the channel's credentials are gone
        for _ in range(6):
            world.pass_time(minutes=1)
        case = world.desk.one("message_failing")
    return Scene(case, "try_again", then=lambda: world.pass_time(seconds=1))


def hold_orphaned(world: World) -> Scene:
    cash = money.buyer_cash(world.buyer("lin", cash=1000).pk, "CNY")
    ledger.reserve(key="h1", account=cash, amount_minor=700, reference="K0", now=world.desk.clock())
    world.desk.clock.advance(minutes=16)
    return Scene(world.desk.one("hold_orphaned"), "release_hold")


def suspense_differs(world: World) -> Scene:
    world.buyer("lin", cash=1000)
    lines = (Line(ledger.account_code("opening"), -500), Line(money.suspense("CNY"), 500))
    ledger.post(Entry("slip", "by_hand", "", lines), at=world.desk.clock())
    case = world.desk.one("suspense_differs")
    return Scene(
        case,
        "reverse_entry",
        {"entry": "slip"},
        truth=lambda: ledger.balance(money.suspense("CNY")) == 0,
    )


def state_inconsistent(world: World) -> Scene:
    order, _payment = world.paid()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ticketing_ticket")  # as a bad restore would
    case = world.desk.one("state_inconsistent")
    return Scene(case, "repair", truth=lambda: Ticket.objects.filter(order=order).count() == 2)


def merchant_suspect(world: World) -> Scene:
    day = Trading("north", world.desk.clock().date(), paid=30, took_minor=900_000, own_people=9)
    assess.assess([day], now=world.desk.clock())
    case = world.desk.one("merchant_suspect")
    return Scene(case, "hold_settlement", truth=lambda: marking.is_held("north"))


def statement(world: World, kind: str, day: date, lines: list[StatementLine]) -> Case:
    """The channel's statement of a day, compared with our books; the case of the one difference."""
    made = Statement.objects.create(
        channel="alipay", kind=kind, day=day, currency="CNY", sha256=f"{kind}{day}", lines=len(lines),
        loaded_at=world.desk.clock(),
    )  # fmt: skip
    for place, line in enumerate(lines, start=1):
        line.statement, line.line_no, line.day = made, place, day
    StatementLine.objects.bulk_create(lines)
    run.reconcile(channel="alipay", day=day, now=world.desk.clock())
    detect.run(now=world.desk.clock())
    [found] = Discrepancy.objects.filter(state="open")
    return Case.objects.get(subject=str(found.pk), subject_kind="discrepancy")


def differences_settled() -> bool:
    return not Discrepancy.objects.filter(state="open").exists()


def statement_missing_here(world: World) -> Scene:
    at = datetime(2026, 11, 19, 4, tzinfo=UTC)
    stranger = StatementLine(
        channel="alipay", kind="payment", number="PSTRANGER00000000001", payment_number="PSTRANGER00000000001",
        reference="c1", amount_minor=100, fee_milli=600, currency="CNY", status="success", happened_at=at,
    )  # fmt: skip
    case = statement(world, "trade", date(2026, 11, 19), [stranger])
    return Scene(case, "explain_difference", truth=differences_settled)


def _day_of(payment: Payment) -> date:
    return timezone.localtime(payment.paid_at or payment.created_at).date()


def statement_missing_there(world: World) -> Scene:
    _order, payment = world.paid()
    return Scene(statement(world, "trade", _day_of(payment), []), "set_right", truth=differences_settled)


def statement_differs(world: World) -> Scene:
    _order, payment = world.paid()
    line = Hand().of(payment, payment.paid_at, amount_minor=payment.amount_minor - 100, fee_milli=455_400)
    line.reference = payment.channel_reference
    case = statement(world, "trade", _day_of(payment), [line])
    return Scene(case, "explain_difference", truth=differences_settled)


def statement_status(world: World) -> Scene:
    order = world.till.order(world.buyer("lin"))
    payment = world.till.press(order, "alipay")
    at = payment.created_at
    world.till.pay_at_channel(payment)
    line = Hand().of(payment, at, reference=world.till.house.trade(payment.number)["reference"])
    case = statement(world, "trade", _day_of(payment), [line])

    def then() -> None:
        run.reconcile(channel="alipay", day=_day_of(payment), now=world.desk.clock())

    return Scene(case, "ask_channel", then=then, truth=lambda: Order.objects.get(pk=order.pk).state == "paid")


def statement_ledger(world: World) -> Scene:
    at = datetime(2026, 11, 19, 4, tzinfo=UTC)
    world.buyer("lin")
    other = StatementLine(
        channel="alipay", kind="other", amount_minor=-500, fee_milli=0, currency="CNY", status="success",
        happened_at=at,
    )  # fmt: skip
    Statement.objects.create(
        channel="alipay", kind="trade", day=date(2026, 11, 19), currency="CNY", sha256="none", lines=0,
        loaded_at=at,
    )  # fmt: skip
    case = statement(world, "funds", date(2026, 11, 19), [other])
    return Scene(case, "explain_difference", truth=differences_settled)


SCENES: dict[str, Callable[[World], Scene]] = {
    scene.__name__: scene
    for scene in (
        *(payment_unknown, payment_unclosed, amount_differs, notification_unknown, refund_refused),
        *(refund_silent, message_failing, hold_orphaned, suspense_differs, state_inconsistent),
        *(merchant_suspect,),
        *(statement_missing_here, statement_missing_there, statement_differs, statement_status),
        *(statement_ledger, merchant_suspect),
    )
}
