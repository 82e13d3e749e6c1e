"""
Every state that an order, one of its payments and that payment's refunds can be in together, and what it means: all is
well, on its way (and a case once it rests too long), or a case at once. docs/matrix.md is written from here
(`scripts/list-matrix`), and the detector of `state_inconsistent` asks the database for exactly the cells named so here.

The rules are tried from the top; the first that fits a cell gives its meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from payments.models import LIVE_STATES, Outcome, PaymentState, Refund, RefundState
from ticketing.models import OPEN_ORDER_STATES, OrderState

INCONSISTENT = "state_inconsistent"

# A payment is known by its state, a success by its outcome.
SUCCESSES = (str(Outcome.WON), str(Outcome.SURPLUS))
PAYMENTS = (*(str(state) for state in PaymentState if state != PaymentState.SUCCEEDED), *SUCCESSES)
LIVE = tuple(str(state) for state in LIVE_STATES)
OVER = (str(PaymentState.FAILED), str(PaymentState.CLOSED))

# The refunds of one payment, together: the first of these that is true of any of them, else how much is back.
NONE, PART, FULL = "none", "part", "full"
REFUNDS = (NONE, *(str(state) for state in RefundState if state != RefundState.SUCCEEDED), PART, FULL)
ON_ITS_WAY = tuple(str(s) for s in RefundState if s not in (RefundState.SUCCEEDED, RefundState.REFUSED))
# Of several refunds the first of these speaks for all.
LOUDEST = (str(RefundState.REFUSED), *ON_ITS_WAY)
ORDERS = tuple(str(state) for state in OrderState)
OPEN = tuple(str(state) for state in OPEN_ORDER_STATES)

OK, MOVES, CASE = "consistent", "moves", "case"


@dataclass(frozen=True, slots=True)
class Meaning:
    """`verdict`: consistent; moves (a case of `kind` once it rests too long); case (of `kind`, at once)."""

    verdict: str
    kind: str
    why: str


@dataclass(frozen=True, slots=True)
class Rule:
    orders: tuple[str, ...]
    payments: tuple[str, ...]
    refunds: tuple[str, ...]
    meaning: Meaning

    def fits(self, order: str, payment: str, refund: str) -> bool:
        return order in self.orders and payment in self.payments and refund in self.refunds


def _ok(why: str) -> Meaning:
    return Meaning(OK, "", why)


def _moves(kind: str, why: str) -> Meaning:
    return Meaning(MOVES, kind, why)


def _wrong(why: str, kind: str = INCONSISTENT) -> Meaning:
    return Meaning(CASE, kind, why)


WON, SURPLUS = (str(Outcome.WON),), (str(Outcome.SURPLUS),)
PAID, REFUNDED = (str(OrderState.PAID),), (str(OrderState.REFUNDED),)
CLOSED = tuple(state for state in ORDERS if state not in (*OPEN, *PAID, *REFUNDED))
NOTHING_TAKEN = (*LIVE, *OVER)
SOME_REFUND = tuple(state for state in REFUNDS if state != NONE)

RULES: tuple[Rule, ...] = (
    # -- nothing was taken
    Rule(ORDERS, NOTHING_TAKEN, SOME_REFUND, _wrong("a refund of a payment that took nothing")),
    Rule(
        (str(OrderState.HELD),),
        LIVE,
        REFUNDS,
        _wrong("a payment is in flight, yet the order is not being paid"),
    ),
    Rule(
        ORDERS, (str(PaymentState.UNKNOWN),), REFUNDS, _moves("payment_unknown", "the channel is being asked")
    ),
    Rule(
        ORDERS,
        (str(PaymentState.CREATED),),
        REFUNDS,
        _moves("payment_unknown", "the trade is about to be opened"),
    ),
    Rule(
        (str(OrderState.PAYING),),
        (str(PaymentState.PENDING),),
        REFUNDS,
        _moves("payment_unclosed", "the buyer is at the cashier"),
    ),
    Rule(
        ORDERS,
        (str(PaymentState.PENDING),),
        REFUNDS,
        _moves("payment_unclosed", "nobody wants the payment any more: its trade is being closed"),
    ),
    Rule(ORDERS, OVER, REFUNDS, _ok("the payment ended without money")),
    # -- the payment that paid the order
    Rule((*OPEN, *CLOSED), WON, REFUNDS, _wrong("a payment won, yet the order is not paid")),
    Rule(PAID, WON, (NONE,), _ok("paid, and the tickets are the buyer's")),
    Rule(PAID, WON, (PART,), _ok("paid, and a part of it is back with the buyer")),
    Rule(PAID, WON, (FULL,), _wrong("the money is back in full, yet the order is not refunded")),
    Rule(REFUNDED, WON, (FULL,), _ok("refunded in full")),
    Rule(REFUNDED, WON, (NONE,), _wrong("the order is refunded, yet the money is not back")),
    # Whether what is kept was kept by the refund rule is asked of the order alone, below.
    Rule(REFUNDED, WON, (PART,), _ok("every seat was given back, and a part of the price is kept")),
    # -- money that no order needs
    Rule(ORDERS, SURPLUS, (NONE, PART), _wrong("money that nobody needs, and that is not on its way back")),
    Rule(ORDERS, SURPLUS, (FULL,), _ok("money that was not needed is back with the buyer")),
    # -- refunds on their way
    Rule(ORDERS, SUCCESSES, ON_ITS_WAY, _moves("refund_silent", "the money is on its way back")),
    Rule(
        ORDERS,
        SUCCESSES,
        (str(RefundState.REFUSED),),
        _wrong("the channel refused to send the money back", "refund_refused"),
    ),
)


def meaning(order: str, payment: str, refund: str) -> Meaning:
    """
    What this state means.

    :raises LookupError: nobody gave it a meaning; a test sees to it that there is no such cell
    """
    for rule in RULES:
        if rule.fits(order, payment, refund):
            return rule.meaning
    raise LookupError(f"{order} × {payment} × {refund}")


def cells() -> Iterator[tuple[str, str, str]]:
    """Every combination."""
    return product(ORDERS, PAYMENTS, REFUNDS)


def payment_class(state: str, outcome: str) -> str:
    return outcome or state


def refund_class(refunds: list[Refund], taken_minor: int) -> str:
    """The refunds of one payment in one word of `REFUNDS`."""
    states = {refund.state for refund in refunds}
    for state in LOUDEST:
        if state in states:
            return state
    back = sum(refund.amount_minor for refund in refunds if refund.state == RefundState.SUCCEEDED)
    if not back:
        return NONE
    return FULL if back >= taken_minor else PART


# -- what an order alone must not be -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lone:
    """What is wrong with an order whatever the pairs say; `condition` is SQL about `o`."""

    why: str
    condition: str


HAS_LIVE = """EXISTS (SELECT 1 FROM payments_payment p WHERE p.purchase_kind = 'order'
 AND p.purchase_number = o.number AND p.state IN ('created', 'pending', 'unknown'))"""
HAS_WON = """EXISTS (SELECT 1 FROM payments_payment p WHERE p.purchase_kind = 'order'
 AND p.purchase_number = o.number AND p.outcome = 'won')"""
LONE: tuple[Lone, ...] = (
    Lone(
        "it is refunded, yet what is not back with the buyer was not kept by its refund rule",
        """o.state = 'refunded' AND EXISTS (SELECT 1 FROM payments_payment p WHERE p.number = o.winner
 AND p.amount_minor > coalesce((SELECT sum(r.amount_minor) FROM payments_refund r
                                 WHERE r.payment_id = p.id AND r.state = 'succeeded'), 0)
                    + coalesce((SELECT sum(g.kept_minor) FROM ticketing_refundrequest g
                                 WHERE g.order_id = o.id), 0))""",
    ),
    Lone("it is being paid and no payment of it is in flight", f"o.state = 'paying' AND NOT {HAS_LIVE}"),
    Lone("it is paid and no payment paid it", f"o.state IN ('paid', 'refunded') AND NOT {HAS_WON}"),
    Lone(
        "it is paid and a seat of it has no ticket",
        """o.state = 'paid'
 AND EXISTS (SELECT 1 FROM ticketing_seat seat WHERE seat.order_id = o.id
              AND NOT EXISTS (SELECT 1 FROM ticketing_ticket t
                               WHERE t.seat_id = seat.id AND t.order_id = o.id AND t.state <> 'void'))
 AND NOT EXISTS (SELECT 1 FROM payments_refund r JOIN payments_payment p ON p.id = r.payment_id
                  WHERE p.number = o.winner)""",
    ),
    Lone(
        "a payment of it is in flight and nothing will ask the channel",
        """EXISTS (SELECT 1 FROM payments_payment p WHERE p.purchase_kind = 'order'
 AND p.purchase_number = o.number AND p.state IN ('created', 'pending', 'unknown')
 AND NOT EXISTS (SELECT 1 FROM payments_outboxmessage m WHERE m.key = 'chase:' || p.number AND m.done_at IS NULL))""",
    ),
    Lone(
        "a refund of it is not done and nothing drives it",
        """EXISTS (SELECT 1 FROM payments_refund r JOIN payments_payment p ON p.id = r.payment_id
 WHERE p.purchase_kind = 'order' AND p.purchase_number = o.number AND r.state <> 'succeeded'
 AND NOT EXISTS (SELECT 1 FROM payments_outboxmessage m WHERE m.key = 'refund:' || r.number AND m.done_at IS NULL))""",
    ),
)


# -- the same, asked of the database -----------------------------------------------------------------------------


def _refund_word() -> str:
    loud = " ".join(f"WHEN bool_or(r.state = '{state}') THEN '{state}'" for state in LOUDEST)
    back = "coalesce(sum(r.amount_minor) FILTER (WHERE r.state = 'succeeded'), 0)"
    return (
        f"CASE {loud} WHEN {back} = 0 THEN '{NONE}' WHEN {back} >= payment.amount_minor THEN '{FULL}'"
        f" ELSE '{PART}' END"
    )


def _wrong_cells() -> str:
    found = [cell for cell in cells() if meaning(*cell).kind == INCONSISTENT]
    return ", ".join(f"('{order}', '{payment}', '{refund}')" for order, payment, refund in found)


PAIRS = f"""
SELECT o.id AS order_id, o.state AS order_state, payment.number AS payment_number, payment.channel,
       payment.amount_minor, coalesce(nullif(payment.outcome, ''), payment.state) AS payment_word,
       {_refund_word()} AS refund_word
  FROM ticketing_order o
  JOIN payments_payment payment ON payment.purchase_kind = 'order' AND payment.purchase_number = o.number
  LEFT JOIN payments_refund r ON r.payment_id = payment.id
 GROUP BY o.id, payment.id
"""
_LONE_ROWS = " UNION ALL ".join(
    f"SELECT o.id, '', '', '{lone.why}' FROM ticketing_order o WHERE {lone.condition}" for lone in LONE
)
DETECTOR = f"""
WITH pair AS ({PAIRS}), found (order_id, payment_number, channel, why) AS (
  SELECT order_id, payment_number, channel, order_state || ' × ' || payment_word || ' × ' || refund_word FROM pair
   WHERE (order_state, payment_word, refund_word) IN ({_wrong_cells()})
  UNION ALL {_LONE_ROWS}
)
SELECT o.number AS subject, max(found.channel) AS channel, 'order' AS purchase_kind, o.number AS purchase_number,
       max(found.payment_number) AS payment_number, o.amount_minor, o.currency,
       (SELECT max(at) FROM ticketing_orderevent event WHERE event.order_id = o.id) AS since,
       string_agg(found.why, '; ' ORDER BY found.why) AS cause,
       jsonb_build_object('why', jsonb_agg(found.why ORDER BY found.why)) AS facts
  FROM found JOIN ticketing_order o ON o.id = found.order_id
 GROUP BY o.id
"""
