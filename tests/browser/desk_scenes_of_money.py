"""Scenes at the desk about money that is contested, leaves, or is owed."""

from __future__ import annotations

from payments import disputes, money, withdrawals
from payments.withdrawal_models import Withdrawal
from tests.browser.desk_world import Scene, World, refund_of
from ticketing import settling
from ticketing.models import Order
from ticketing.settlement_models import ShowSettlement


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


def organiser_owes(world: World) -> Scene:
    """Settled, withdrawn, and then the buyer got his money back."""
    _order, payment = world.paid()
    show, clock = world.till.show, world.desk.clock
    code = show.event.organiser.code
    clock.now = show.starts_at + world.settings.SETTLEMENT_AFTER
    settling.settle_due(now=clock.advance(minutes=1))
    _withdrawn(world, "merchant", code, money.balance_of(money.merchant(code, "CNY")))
    world.pass_time(seconds=1)
    refund_of(payment, clock)
    world.pass_time(seconds=5)
    settling.settle_due(now=clock.advance(minutes=10))
    clock.advance(days=1, minutes=1)
    case = world.desk.one("organiser_owes")
    borne = {
        "debit": "opening::CNY",
        "credit": f"merchant:{code}:CNY",
        "amount": str(case.amount_minor),
    }

    def then() -> None:
        settling.settle_due(now=clock.advance(minutes=10))

    return Scene(
        case,
        "book_entry",
        borne,
        then=then,
        truth=lambda: ShowSettlement.objects.get().standing == "settled",
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
