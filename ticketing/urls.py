"""The buyer's pages."""

from django.urls import path, register_converter

from ticketing.pages import (
    events,
    orders,
    presses,
    queue,
    refunds,
    seats,
    sign,
    submissions,
    tickets,
    wallet,
    withdrawals,
)


class Number:
    """An order's, ticket's or top-up's number (basis.numbers); anything else is not found before it is looked for."""

    regex = "[0-9A-Z]{8,32}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(Number, "number")

urlpatterns = [
    path("", events.events, name="events"),
    path("events/<slug:slug>/", events.event, name="event"),
    path("shows/<slug:code>/queue/", queue.queue, name="queue"),
    path("shows/<slug:code>/queue/leave/", queue.leave, name="queue-leave"),
    path("shows/<slug:code>/sections/", seats.sections, name="sections"),
    path("shows/<slug:code>/sections/<slug:section>/", seats.section, name="section"),
    path("sign-in/", sign.sign_in, name="sign-in"),
    path("sign-up/", sign.sign_up, name="sign-up"),
    path("sign-out/", sign.sign_out, name="sign-out"),
    path("orders/", orders.orders, name="orders"),
    path("orders/<number:number>/", orders.order, name="order"),
    path("orders/<number:number>/status.json", presses.status, {"kind": "order"}, name="order-status"),
    path("orders/<number:number>/pay/", presses.pay, {"kind": "order"}, name="order-pay"),
    path("orders/<number:number>/check/", presses.check, {"kind": "order"}, name="order-check"),
    path("orders/<number:number>/give-back/", refunds.give_back, name="order-give-back"),
    path(
        "orders/<number:number>/refunds/<number:refund>/to-wallet/",
        refunds.to_wallet,
        name="refund-to-wallet",
    ),
    path("orders/<number:number>/cancel/", orders.cancel, name="order-cancel"),
    path("submissions/<str:receipt>/", submissions.submitted, name="submission"),
    path("wallet/", wallet.wallet, name="wallet"),
    path("wallet/withdraw/", withdrawals.withdraw, name="withdraw"),
    path("wallet/withdrawals/<number:number>/", withdrawals.withdrawal, name="withdrawal"),
    path("wallet/top-up/", wallet.new_topup, name="topup-new"),
    path("wallet/top-ups/<number:number>/", wallet.topup, name="topup"),
    path(
        "wallet/top-ups/<number:number>/status.json", presses.status, {"kind": "topup"}, name="topup-status"
    ),
    path("wallet/top-ups/<number:number>/pay/", presses.pay, {"kind": "topup"}, name="topup-pay"),
    path("wallet/top-ups/<number:number>/check/", presses.check, {"kind": "topup"}, name="topup-check"),
    path("tickets/", tickets.tickets, name="tickets"),
    path("tickets/<number:number>/", tickets.ticket, name="ticket"),
]
