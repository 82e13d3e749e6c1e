"""
What can happen on a night at the desk: one scene for every type of case. Whatever a channel can cause, the sandbox
causes, over HTTP: it is silent, refuses, tells another amount, names payments that nobody knows, spoils the file of a
statement, or writes another one than its books. What no channel causes happens in our own services to a sale that was
made at the sandbox.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from desk import wishes
from desk.models import Case, CaseState
from payments import disputes, money, refunds, tasks, withdrawals
from payments.channels import registry
from payments.models import Discrepancy, OutboxMessage, Payment, Refund, Statement
from payments.withdrawal_models import Withdrawal
from risk.trading import marking
from tests.conftest import Clock
from tests.desk import wanting
from tests.desk.conftest import Desk
from tests.payments.conftest import Till
from tests.reconcile.night import Night
from ticketing import settling
from ticketing.models import Event, Order, Ticket
from ticketing.tasks import judge_todays_trading
from wallet import ledger
from wallet.ledger import Entry, Line

WHY = "the channel's own papers say so"


@dataclass
class World:
    """What a scene can be made of. `night("alipay")`: a day of sales at that channel, and the mornings after it."""

    till: Till
    buyer: Callable[..., Any]
    paid: Callable[..., Any]
    pass_time: Callable[..., None]
    desk: Desk
    night: Callable[[str], Night]
    url: str
    settings: Any

    def work_off(self) -> None:
        """The workers give everything of a cancelled show back."""
        for _ in range(12):
            self.pass_time(seconds=20)

    def fine_weather(self) -> None:
        self.till.house.control("DELETE", "faults")

    def told(self, channel: str, number: str, variant: str) -> None:
        """The sandbox posts a notification to our door."""
        where = f"{self.url}/notify/{channel}/"
        asked = {"channel": channel, "number": number, "variant": variant, "url": where}
        answer = self.till.house.control("POST", "notify", asked)
        assert answer["status"] in (200, 204), answer
        self.catch_up()
        self.desk.work()

    def catch_up(self) -> None:
        """Pages go by the machine's clock: what they asked for is due by it."""
        self.desk.clock.now = max(self.desk.clock.now, datetime.now(UTC))


@dataclass
class Scene:
    """What happened, and what a person does about it. `state` is what becomes of the case."""

    case: Case
    way: str
    inputs: dict[str, str] = field(default_factory=dict)
    state: str = CaseState.RESOLVED
    then: Callable[[], None] = lambda: None
    truth: Callable[[], bool] = lambda: True

    @property
    def is_wished(self) -> bool:
        """Somebody asked for it elsewhere already: the case waits for a second person from its first moment."""
        return not self.way


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


def dispute_open(world: World) -> Scene:
    """A buyer's bank took the money back at the channel, and wrote a letter."""
    order, payment = world.paid()
    now = world.desk.clock()
    disputes.file(
        payment_number=payment.number,
        kind="chargeback",
        source="alipay",
        reference="CB1",
        actor="mei",
        opened_at=now,
        now=now,
    )
    case = world.desk.one("dispute_open")
    return Scene(
        case,
        "dispute_lost",
        {"reference": "CB1"},
        truth=lambda: Order.objects.get(pk=order.pk).state == "refunded",
    )


# -- money on its way out --------------------------------------------------------------------------------------------


def withdrawal_stuck(world: World) -> Scene:
    """The channel paid it out, its answer was lost, and for hours it does not answer."""
    world.till.house.fault("http_500_after_success", op="transfer", times=1)
    world.till.house.fault("http_500", op="transfer_query", times=None)
    buyer = world.buyer("lin", cash=10_000)
    one = _withdrawn(world, "buyer", str(buyer.pk), 5_000)
    world.pass_time(seconds=1)
    world.pass_time(hours=2, minutes=1)
    case = world.desk.one("withdrawal_stuck")
    return Scene(
        case,
        "mark_paid_out",
        {"reference": "3126112200000001"},
        then=world.fine_weather,
        truth=lambda: Withdrawal.objects.get(pk=one.pk).state == "paid",
    )


def withdrawal_unapproved(world: World) -> Scene:
    """An organiser's large one, of what was sold at the channel and settled, that nobody looked at."""
    world.settings.WITHDRAWAL_TWO_PEOPLE_FROM_MINOR = 10_000
    order, _payment = world.paid()
    show = world.till.show
    world.desk.clock.now = show.starts_at + world.settings.SETTLEMENT_AFTER
    settling.settle_due(now=world.desk.clock.advance(minutes=1))
    one = _withdrawn(world, "merchant", show.event.organiser.code, order.amount_minor // 2)
    world.desk.clock.advance(hours=1, minutes=1)
    case = world.desk.one("withdrawal_unapproved")
    return Scene(
        case,
        "reject_withdrawal",
        truth=lambda: Withdrawal.objects.get(pk=one.pk).state == "refused",
    )


def _withdrawn(world: World, kind: str, owner: str, amount: int) -> Withdrawal:
    return withdrawals.request(
        owner_kind=kind,
        owner=owner,
        payee=withdrawals.Payee("alipay", "13812345678", "林薇"),
        amount_minor=amount,
        client_key="k",
        actor="mei",
        now=world.desk.clock(),
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
        *(statement_missing_here, statement_missing_there, statement_differs, statement_status),
        *(statement_ledger, statement_late, statement_refused),
    )
}
