"""
What can happen on a night at the desk: one scene for every type of case. Whatever a channel can cause, the sandbox
causes, over HTTP: it is silent, refuses, tells another amount, names payments that nobody knows, spoils the file of a
statement, or writes another one than its books. What no channel causes happens in our own services to a sale that was
made at the sandbox.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection

from desk import wishes
from desk.models import CaseState
from payments import money, tasks
from payments.channels import registry
from payments.models import Discrepancy, OutboxMessage, Payment, Refund, Statement
from risk.trading import marking
from tests.browser.desk_scenes_of_money import (
    dispute_open,
    organiser_owes,
    withdrawal_stuck,
    withdrawal_unapproved,
)
from tests.browser.desk_world import WHY, Scene, World, refund_of
from tests.desk import wanting
from ticketing.models import Event, Order, Ticket
from ticketing.tasks import judge_todays_trading
from wallet import ledger
from wallet.ledger import Entry, Line

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
    world.told("alipay", payment.number, "wrong_amount")
    case = world.desk.one("amount_differs")
    return Scene(case, case.suggested, truth=lambda: Order.objects.get(pk=order.pk).state == "paid")


def notification_unknown(world: World) -> Scene:
    world.told("wechat", "PUNKNOWN0000000000001", "unknown_order")
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
    """The channel's credentials are gone for a while: what is to be asked cannot be asked."""
    world.till.press(world.till.order(world.buyer("lin")), "alipay")
    where, world.settings.SANDBOX_URL = world.settings.SANDBOX_URL, ""
    registry._channels.cache_clear()
    for _ in range(6):
        world.pass_time(minutes=1)
    case = world.desk.one("message_failing")
    world.settings.SANDBOX_URL = where
    registry._channels.cache_clear()
    told = OutboxMessage.objects.filter(key=case.subject)
    return Scene(
        case,
        "try_again",
        then=lambda: world.pass_time(seconds=1),
        truth=lambda: told.get().last_error == "",
    )


def hold_orphaned(world: World) -> Scene:
    """Something set money aside for an order that was paid at the channel instead, and died before it let go."""
    order, _payment = world.paid()
    cash = money.buyer_cash(world.buyer("lin", cash=1000).pk, "CNY")
    ledger.reserve(key="h1", account=cash, amount_minor=700, reference=order.number, now=world.desk.clock())
    world.desk.clock.advance(minutes=16)
    return Scene(world.desk.one("hold_orphaned"), "release_hold")


def suspense_differs(world: World) -> Scene:
    """A slip booked by hand into the account where surplus from the channels waits."""
    world.paid()
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
    """Money taken at the channel for an event that nobody can see any more."""
    night = world.night("alipay")
    night.sold()
    night.sold()
    Event.objects.update(published=False)
    assert judge_todays_trading() >= 1
    organiser = Event.objects.get().organiser.code
    case = world.desk.one("merchant_suspect")
    return Scene(case, "hold_settlement", truth=lambda: marking.is_held(organiser))


def takes_two(world: World, right: str) -> tuple[Order, Payment]:
    """An order that is paid, and costs more than one person may refund."""
    wanting.takes_two(world.settings, world.desk, right, people=("bo",))
    return world.paid()


def refund_wanted(world: World) -> Scene:
    """A refund above what one person may give; asked for by root."""
    order, _payment = takes_two(world, "refund_order")
    wish = wanting.whole_refund(order, now=world.desk.clock())
    asked = wanting.ask(world.desk, wish, by="root", reason=WHY)
    return Scene(
        asked.case,
        "",
        then=lambda: world.pass_time(seconds=5),
        truth=lambda: Order.objects.get(pk=order.pk).state == "refunded",
    )


def show_to_cancel(world: World) -> Scene:
    """A show that does not take place; asked for by root."""
    _order, payment = takes_two(world, "cancel_show")
    wish = wishes.cancellation_of(code=world.till.show.code, said_zh="台风", said_en="A typhoon")
    asked = wanting.ask(world.desk, wish, by="root", reason=WHY)
    return Scene(
        asked.case,
        "",
        then=world.work_off,
        truth=lambda: Refund.objects.get(payment=payment).state == "succeeded",
    )


# -- the morning after: statements -----------------------------------------------------------------------------------


def differences_settled() -> bool:
    return Discrepancy.objects.exists() and not Discrepancy.objects.filter(state="open").exists()


def statement_missing_here(world: World) -> Scene:
    night = world.night("alipay")
    night.sold()
    night.plant("invented", "NOSUCH1")
    night.morning(days=1)
    night.beat()
    return Scene(world.desk.one("statement_missing_here"), "explain_difference", truth=differences_settled)


def statement_missing_there(world: World) -> Scene:
    """It might stand on the next day's statement: it is a case once that one is here."""
    night = world.night("wechat")
    night.plant("missing", night.sold().number)
    night.morning(days=1)
    night.beat()
    assert world.desk.look() == []
    night.morning(days=2)
    night.beat()
    return Scene(world.desk.one("statement_missing_there"), "set_right", truth=differences_settled)


def statement_differs(world: World) -> Scene:
    night = world.night("wechat")
    night.plant("amount", night.sold().number)
    night.morning(days=1)
    night.beat()
    return Scene(world.desk.one("statement_differs"), "explain_difference", truth=differences_settled)


def statement_status(world: World) -> Scene:
    """The buyer paid, every notification was lost, and the statement is the first that we hear of it."""
    night = world.night("alipay")
    untold = night.sold(told=False)
    night.morning(days=1)
    night.beat()
    case = world.desk.one("statement_status")

    def then() -> None:
        world.desk.work()
        night.beat()

    return Scene(
        case,
        "ask_channel",
        then=then,
        truth=lambda: differences_settled() and Payment.objects.get(pk=untold.pk).state == "succeeded",
    )


def statement_ledger(world: World) -> Scene:
    """What moved on the channel's account is not what was sold."""
    night = world.night("alipay")
    night.plant("amount", night.sold().number, where="funds")
    night.morning(days=1)
    night.beat()
    return Scene(world.desk.one("statement_ledger"), "explain_difference", truth=differences_settled)


def statement_late(world: World) -> Scene:
    """The channel is still writing it, in the afternoon."""
    return _not_here(world, "not_ready", "statement_late", times=99)


def statement_refused(world: World) -> Scene:
    """The day's statement is a page of HTML, however often it is fetched."""
    return _not_here(world, "junk", "statement_refused")


def _not_here(world: World, what: str, kind: str, **args: Any) -> Scene:
    night = world.night("alipay")
    night.sold()
    night.plant(what, where="trade", **args)
    night.morning(days=1)
    for _ in range(3):
        tasks.fetch_statements()
        world.desk.clock.advance(hours=1, minutes=1)
    case = world.desk.one(kind)
    world.till.house.control("DELETE", "bills/differences")
    here = Statement.objects.filter(channel="alipay", kind="trade", day=night.today)

    def then() -> None:
        tasks.fetch_statements()

    return Scene(case, "ask_statement", then=then, truth=here.exists)


SCENES: dict[str, Callable[[World], Scene]] = {
    scene.__name__: scene
    for scene in (
        *(payment_unknown, payment_unclosed, amount_differs, notification_unknown, refund_refused),
        *(refund_silent, message_failing, hold_orphaned, suspense_differs, state_inconsistent),
        *(merchant_suspect, refund_wanted, show_to_cancel, withdrawal_stuck, withdrawal_unapproved),
        dispute_open,
        organiser_owes,
        *(statement_missing_here, statement_missing_there, statement_differs, statement_status),
        *(statement_ledger, statement_late, statement_refused),
    )
}
