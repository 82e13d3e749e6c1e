"""
Every state that a purchase (an order, a top-up), one of its payments and that payment's refunds can be in together, and
what it means: all is well, on its way (and a case once it rests too long), or a case at once. docs/matrix.md is written
from here (`scripts/list-matrix`), and the detector of `state_inconsistent` asks the database for exactly the cells
named so here.

The rules are tried from the top; the first that fits a cell gives its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping

from desk.cells import (
    FULL,
    LIVE,
    NONE,
    ON_ITS_WAY,
    OVER,
    PART,
    REFUNDS,
    SUCCESSES,
    Lone,
    Matrix,
    Rule,
    moves,
    ok,
    wrong,
)
from payments.models import Outcome, PaymentState, RefundState
from ticketing.models import OPEN_ORDER_STATES, OrderState
from wallet.topups import TopUpState

WON, SURPLUS = (str(Outcome.WON),), (str(Outcome.SURPLUS),)
NOTHING_TAKEN = (*LIVE, *OVER)
SOME_REFUND = tuple(state for state in REFUNDS if state != NONE)


def _asked(states: tuple[str, ...]) -> tuple[Rule, ...]:
    """Payments that the channel has not answered about."""
    return (
        Rule(
            states,
            (str(PaymentState.UNKNOWN),),
            REFUNDS,
            moves("payment_unknown", "the channel is being asked"),
        ),
        Rule(
            states,
            (str(PaymentState.CREATED),),
            REFUNDS,
            moves("payment_unknown", "the trade is about to be opened"),
        ),
    )


def _open_trade(states: tuple[str, ...], why: str) -> Rule:
    return Rule(states, (str(PaymentState.PENDING),), REFUNDS, moves("payment_unclosed", why))


def _not_needed(states: tuple[str, ...]) -> tuple[Rule, ...]:
    """Money that no purchase needs."""
    return (
        Rule(
            states, SURPLUS, (NONE, PART), wrong("money that nobody needs, and that is not on its way back")
        ),
        Rule(states, SURPLUS, (FULL,), ok("money that was not needed is back with the buyer")),
    )


def _going_back(states: tuple[str, ...], payments: tuple[str, ...]) -> tuple[Rule, ...]:
    refused = wrong("the channel refused to send the money back", "refund_refused")
    return (
        Rule(states, payments, ON_ITS_WAY, moves("refund_silent", "the money is on its way back")),
        Rule(states, payments, (str(RefundState.REFUSED),), refused),
    )


AT_THE_CASHIER = "the buyer is at the cashier"
BEING_CLOSED = "nobody wants the payment any more: its trade is being closed"
NOTHING_WAS_TAKEN = wrong("a refund of a payment that took nothing")
ENDED = ok("the payment ended without money")


def _undriven(kind: str) -> tuple[Lone, ...]:
    """Whatever is not final has a message that drives it."""
    return (
        Lone(
            "a payment of it is in flight and nothing will ask the channel",
            f"""EXISTS (SELECT 1 FROM payments_payment p WHERE p.purchase_kind = '{kind}'
 AND p.purchase_number = o.number AND p.state IN ('created', 'pending', 'unknown')
 AND NOT EXISTS (SELECT 1 FROM payments_outboxmessage m WHERE m.key = 'chase:' || p.number AND m.done_at IS NULL))""",
        ),
        Lone(
            "a refund of it is not done and nothing drives it",
            f"""EXISTS (SELECT 1 FROM payments_refund r JOIN payments_payment p ON p.id = r.payment_id
 WHERE p.purchase_kind = '{kind}' AND p.purchase_number = o.number AND r.state <> 'succeeded'
 AND NOT EXISTS (SELECT 1 FROM payments_outboxmessage m WHERE m.key = 'refund:' || r.number AND m.done_at IS NULL))""",
        ),
    )


# -- orders ------------------------------------------------------------------------------------------------------

ORDERS = tuple(str(state) for state in OrderState)
OPEN = tuple(str(state) for state in OPEN_ORDER_STATES)
PAID, REFUNDED = (str(OrderState.PAID),), (str(OrderState.REFUNDED),)
CLOSED = tuple(state for state in ORDERS if state not in (*OPEN, *PAID, *REFUNDED))

ORDER_RULES: tuple[Rule, ...] = (
    # -- nothing was taken
    Rule(ORDERS, NOTHING_TAKEN, SOME_REFUND, NOTHING_WAS_TAKEN),
    Rule(
        (str(OrderState.HELD),),
        LIVE,
        REFUNDS,
        wrong("a payment is in flight, yet the order is not being paid"),
    ),
    *_asked(ORDERS),
    _open_trade((str(OrderState.PAYING),), AT_THE_CASHIER),
    _open_trade(ORDERS, BEING_CLOSED),
    Rule(ORDERS, OVER, REFUNDS, ENDED),
    # -- the payment that paid the order
    Rule((*OPEN, *CLOSED), WON, REFUNDS, wrong("a payment won, yet the order is not paid")),
    Rule(PAID, WON, (NONE,), ok("paid, and the tickets are the buyer's")),
    Rule(PAID, WON, (PART,), ok("paid, and a part of it is back with the buyer")),
    Rule(PAID, WON, (FULL,), wrong("the money is back in full, yet the order is not refunded")),
    Rule(REFUNDED, WON, (FULL,), ok("refunded in full")),
    Rule(REFUNDED, WON, (NONE,), wrong("the order is refunded, yet the money is not back")),
    # Whether what is kept was kept by the refund rule is asked of the order alone, below.
    Rule(REFUNDED, WON, (PART,), ok("every seat was given back, and a part of the price is kept")),
    *_not_needed(ORDERS),
    *_going_back(ORDERS, SUCCESSES),
)

HAS_LIVE = """EXISTS (SELECT 1 FROM payments_payment p WHERE p.purchase_kind = 'order'
 AND p.purchase_number = o.number AND p.state IN ('created', 'pending', 'unknown'))"""
HAS_WON = """EXISTS (SELECT 1 FROM payments_payment p WHERE p.purchase_kind = '{kind}'
 AND p.purchase_number = o.number AND p.outcome = 'won')"""
ORDER = Matrix(
    kind="order",
    name="order",
    states=ORDERS,
    rules=ORDER_RULES,
    lone=(
        Lone(
            "it is refunded, yet what is not back with the buyer was not kept by its refund rule",
            """o.state = 'refunded' AND EXISTS (SELECT 1 FROM payments_payment p WHERE p.number = o.winner
 AND p.amount_minor > coalesce((SELECT sum(r.amount_minor) FROM payments_refund r
                                 WHERE r.payment_id = p.id AND r.state = 'succeeded'), 0)
                    + coalesce((SELECT sum(g.kept_minor) FROM ticketing_refundrequest g
                                 WHERE g.order_id = o.id), 0))""",
        ),
        Lone("it is being paid and no payment of it is in flight", f"o.state = 'paying' AND NOT {HAS_LIVE}"),
        Lone(
            "it is paid and no payment paid it",
            f"o.state IN ('paid', 'refunded') AND NOT {HAS_WON.format(kind='order')}",
        ),
        Lone(
            "it is paid and a seat of it has no ticket",
            """o.state = 'paid'
 AND EXISTS (SELECT 1 FROM ticketing_seat seat WHERE seat.order_id = o.id
              AND NOT EXISTS (SELECT 1 FROM ticketing_ticket t
                               WHERE t.seat_id = seat.id AND t.order_id = o.id AND t.state <> 'void'))
 AND NOT EXISTS (SELECT 1 FROM payments_refund r JOIN payments_payment p ON p.id = r.payment_id
                  WHERE p.number = o.winner)""",
        ),
        *_undriven("order"),
    ),
    table="ticketing_order",
    history="ticketing_orderevent",
    history_key="order_id",
)


# -- top-ups -----------------------------------------------------------------------------------------------------

TOPUPS = tuple(str(state) for state in TopUpState)
CREDITED = (str(TopUpState.CREDITED),)
NOT_CREDITED = tuple(state for state in TOPUPS if state not in CREDITED)

TOPUP = Matrix(
    kind="topup",
    name="top-up",
    states=TOPUPS,
    rules=(
        Rule(TOPUPS, NOTHING_TAKEN, SOME_REFUND, NOTHING_WAS_TAKEN),
        *_asked(TOPUPS),
        _open_trade((str(TopUpState.OPEN),), AT_THE_CASHIER),
        _open_trade(TOPUPS, BEING_CLOSED),
        Rule(TOPUPS, OVER, REFUNDS, ENDED),
        # Money that comes late is credited all the same: a closed top-up that is paid is not closed any more.
        Rule(NOT_CREDITED, WON, REFUNDS, wrong("a payment won, yet the top-up is not credited")),
        Rule(CREDITED, WON, (NONE,), ok("the money is in the wallet")),
        Rule(CREDITED, WON, SOME_REFUND, wrong("the money is in the wallet, and is sent back besides")),
        *_not_needed(TOPUPS),
        *_going_back(TOPUPS, SURPLUS),
    ),
    lone=(
        Lone(
            "it is credited and no payment paid it",
            f"o.state = 'credited' AND NOT {HAS_WON.format(kind='topup')}",
        ),
        *_undriven("topup"),
    ),
    table="wallet_topup",
    history="wallet_topupevent",
    history_key="topup_id",
)

MATRICES: Mapping[str, Matrix] = {matrix.kind: matrix for matrix in (ORDER, TOPUP)}
"""One for every kind of purchase that can be paid (payments.purchases)."""
DETECTOR = " UNION ALL ".join(matrix.detector() for matrix in MATRICES.values())
