"""One order's way, paid from the wallet, from the hold to the ticket and the ledger."""

from payments import checkout, money
from payments.models import Outcome, PaymentState
from ticketing import orders, tickets
from ticketing.models import Order, OrderState, PriceTier, Seat, SeatState, Ticket
from wallet import ledger


def tier_of(show, code):
    return PriceTier.objects.get(show=show, code=code)


def test_wallet_order_end_to_end(show, buyer, clock):
    lin = buyer("lin", cash=200_000)
    tier = tier_of(show, "UPPER")
    order = orders.place_order(buyer=lin, client_key="k1", tier_id=tier.pk, quantity=2, now=clock())
    assert order.state == OrderState.HELD
    assert Seat.objects.filter(order=order, state=SeatState.HELD).count() == 2
    offer = checkout.offer(kind="order", number=order.number, buyer_id=lin.pk, now=clock())
    payment = checkout.pay(
        kind="order",
        number=order.number,
        buyer_id=lin.pk,
        channel="wallet",
        token=offer.token,
        return_url="",
        now=clock(),
    )
    assert (payment.state, payment.outcome) == (PaymentState.SUCCEEDED, Outcome.WON)
    order = Order.objects.get(pk=order.pk)
    assert (order.state, order.winner) == (OrderState.PAID, payment.number)
    assert Ticket.objects.filter(order=order).count() == 2
    assert ledger.balance(money.buyer_cash(lin.pk, "CNY")) == 200_000 - 76_000
    assert ledger.balance(money.guarantee("CNY")) == 76_000
    again = checkout.pay(
        kind="order",
        number=order.number,
        buyer_id=lin.pk,
        channel="wallet",
        token=offer.token,
        return_url="",
        now=clock(),
    )
    assert again.number == payment.number
    ticket = Ticket.objects.select_related("show", "seat__row__section").filter(order=order).first()
    claims = tickets.verify(tickets.payload(ticket), tickets.public_key())
    assert claims.ticket == ticket.number
