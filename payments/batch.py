"""
Wallet payments of a rush, hundreds in one transaction: the facts of `payments.checkout.pay` at the wallet, as sets.

Only the plain case is here: an order that nobody else is paying right now. A purchase with a payment in flight at a
channel is answered `payment_in_progress`; its buyer takes the way of `checkout`, which can ask that channel first.

Locks, as everywhere: the purchases by id, then payments, then accounts by id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from django.conf import settings
from django.db import transaction
from django.db.backends.utils import CursorWrapper

from basis import columns, numbers, prepared
from basis.built import Built
from payments import money, stops
from payments.models import LIVE_STATES, ChannelCode, Outcome, Payment
from payments.purchases import Quote
from risk import payment_tokens


@dataclass(frozen=True, slots=True)
class Press:
    """One press on Pay: a purchase's number, who pressed, with which token."""

    number: str
    buyer_id: int
    token: str


@dataclass(frozen=True, slots=True)
class Pressed:
    """
    What became of a press. `state`: `paid` or `failed` with the payment's number, or `refused` without one. `reason`
    is the failed payment's refusal, or why there is none: `no_such_purchase`, `payment_in_progress`, `not_payable`,
    `channel_stopped`, `token_<why>`.
    """

    state: str
    payment: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Winner:
    """A purchase that is paid now, by the payment of this number."""

    purchase: object
    payment: str


class BatchHandler(Protocol):
    """What the owner of a kind of purchase does for many; see payments.purchases.PurchaseHandler for one."""

    def lock_all(self, numbers: Sequence[str]) -> Mapping[str, object]:
        """Lock the purchases in the order of their ids and answer those that exist, by number."""
        ...

    def quote_locked(self, purchase: object, *, now: datetime) -> Quote: ...

    def settle_all(self, winners: Sequence[Winner], *, now: datetime) -> None:
        """Money came for each of these; all were payable under the caller's locks. Deliver."""
        ...

    def credit(self, currency: str) -> str:
        """The ledger account that their money is credited to."""
        ...


_handlers: dict[str, BatchHandler] = {}


def register(kind: str, handler: BatchHandler) -> None:
    """Called once per kind, when the application starts."""
    _handlers[kind] = handler


@dataclass(frozen=True, slots=True)
class _Try:
    """A press that becomes a payment."""

    press: Press
    purchase: object
    quote: Quote
    nonce: str
    payment: str


@dataclass(frozen=True, slots=True)
class _Look:
    """
    What presses are judged by: who is `busy` with a payment in flight, by which payment others are `won`, and whether
    staff have `stopped` paying from wallets.
    """

    kind: str
    handler: BatchHandler
    busy: set[str]
    won: Mapping[str, str]
    stopped: bool
    now: datetime


def pay_all(kind: str, presses: Sequence[Press], *, now: datetime) -> list[Pressed]:
    """Pay purchases from their buyers' wallets, in this order, in the caller's transaction; an answer per press."""
    handler = _handlers[kind]
    first = {
        press.number: press for press in reversed(presses)
    }  # of several presses for one purchase the first one
    purchases = handler.lock_all(sorted(first))
    stopped = bool(stops.refusal(kind, ChannelCode.WALLET))
    look = _Look(kind, handler, *_others(kind, list(purchases)), stopped, now)
    answers: dict[str, Pressed] = {}
    tries = []
    for press in dict.fromkeys(first[press.number] for press in presses):
        found = _judge(press, purchases.get(press.number), look)
        if isinstance(found, _Try):
            tries.append(found)
        else:
            answers[press.number] = found
    tries, burned = _burn(kind, tries, now)
    answers |= burned | _pay(kind, handler, tries, now)
    stranger = Pressed("refused", reason="no_such_purchase")
    return [
        answers[press.number] if press.buyer_id == first[press.number].buyer_id else stranger
        for press in presses
    ]


PAYMENT = Built(Payment, alias="payment")
FOUND = f"SELECT {PAYMENT.columns} FROM payments_payment payment WHERE number = %s"  # noqa: S608


def pay_one(kind: str, press: Press, *, now: datetime) -> Payment | None:
    """
    Pay one purchase from its buyer's wallet, where nothing stands in the way: a batch of one, in its own transaction.
    The payment, also one that an earlier press has made; None: nothing was written, `checkout.pay` knows why.
    """
    if kind not in _handlers:
        return None
    with transaction.atomic():
        (pressed,) = pay_all(kind, [press], now=now)
    row = prepared.row(FOUND, [pressed.payment]) if pressed.payment else None
    return PAYMENT.of(row) if row else None


def one_or_many(things: Sized) -> CursorWrapper:
    """A prepared statement for one; for many, Postgres has to know how many there are."""
    return prepared.cursor(wanted=len(things) == 1)


def _judge(press: Press, purchase: object | None, look: _Look) -> _Try | Pressed:
    if purchase is None:
        return Pressed("refused", reason="no_such_purchase")
    quote = look.handler.quote_locked(purchase, now=look.now)
    if quote.buyer_id != press.buyer_id:
        return Pressed("refused", reason="no_such_purchase")
    if press.number in look.won:
        return Pressed("paid", look.won[press.number])
    if press.number in look.busy:
        return Pressed("refused", reason="payment_in_progress")
    if look.stopped:
        return Pressed("refused", reason="channel_stopped")
    try:
        nonce = payment_tokens.check(
            press.token,
            buyer_id=press.buyer_id,
            subject=f"{look.kind}:{press.number}",
            amount_minor=quote.amount_minor,
            now=look.now,
        )
    except payment_tokens.TokenRefused as refusal:
        return Pressed("refused", reason=f"token_{refusal.reason}")
    if quote.refusal:
        return Pressed("refused", reason="not_payable")
    return _Try(press, purchase, quote, nonce, numbers.new_number(numbers.PAYMENT, look.now))


OTHERS = """
SELECT purchase_number, number, state, outcome FROM payments_payment
 WHERE purchase_kind = %s AND purchase_number = ANY(%s::text[])
"""


def _others(kind: str, purchase_numbers: list[str]) -> tuple[set[str], dict[str, str]]:
    """Purchases that a live payment is after, and those that are paid, with the payment that won."""
    with one_or_many(purchase_numbers) as cursor:
        cursor.execute(OTHERS, [kind, columns.texts(purchase_numbers)])
        rows = cursor.fetchall()
    busy, won = set(), {}
    for purchase, number, state, outcome in rows:
        if outcome == Outcome.WON:
            won[purchase] = number
        elif state in LIVE_STATES:
            busy.add(purchase)
    return busy, won


def _burn(kind: str, tries: list[_Try], now: datetime) -> tuple[list[_Try], dict[str, Pressed]]:
    """Burn the tokens; the tries that may go on, and what became of those whose token was burned before."""
    earlier = payment_tokens.burn_all(
        [
            payment_tokens.Burn(one.nonce, f"{kind}:{one.press.number}", one.quote.buyer_id, one.payment)
            for one in tries
        ],
        now=now,
    )
    if not earlier:
        return tries, {}
    known = {payment.number: payment for payment in Payment.objects.filter(number__in=earlier.values())}
    answers = {}
    for one in tries:
        if one.nonce in earlier:
            payment = known.get(earlier[one.nonce])
            refusal = payment.refusal if payment else "token_used"
            answers[one.press.number] = Pressed("failed", earlier[one.nonce], refusal or "token_used")
    return [one for one in tries if one.nonce not in earlier], answers


def _pay(kind: str, handler: BatchHandler, tries: list[_Try], now: datetime) -> dict[str, Pressed]:
    if not tries:
        return {}
    takings = [
        money.Taking(
            one.payment, one.press.number, one.quote.buyer_id, one.quote.amount_minor, one.quote.currency
        )
        for one in tries
    ]
    credits = {one.quote.currency: handler.credit(one.quote.currency) for one in tries}
    # The purchase, the payment and its history before the accounts: that is the order of locks.
    shares = money.lock_and_share(takings)
    poor = {share.taking.payment for share in shares if not share.lines}
    _record(kind, [one for one in tries if one.payment not in poor], now, succeeded=True)
    _record(kind, [one for one in tries if one.payment in poor], now, succeeded=False)
    handler.settle_all(
        [Winner(one.purchase, one.payment) for one in tries if one.payment not in poor], now=now
    )
    money.take_all_from_wallets([share for share in shares if share.lines], credits=credits, at=now)
    return {
        one.press.number: Pressed("failed", one.payment, "insufficient_funds")
        if one.payment in poor
        else Pressed("paid", one.payment)
        for one in tries
    }


RECORD = """
WITH paid AS (
  INSERT INTO payments_payment (number, purchase_kind, purchase_number, buyer_id, channel, amount_minor, currency,
                                subject, state, outcome, created_at, expires_at, opening_at, cashier_kind, cashier_url,
                                channel_reference, refusal, paid_at)
  SELECT d.number, %(kind)s, d.purchase, d.buyer_id, %(channel)s::text, d.amount, d.currency, d.subject,
         %(state)s::text, %(outcome)s::text, %(now)s, d.expires_at, %(now)s, '', '',
         CASE WHEN %(outcome)s::text <> '' THEN d.number ELSE '' END, %(refusal)s,
         CASE WHEN %(outcome)s::text <> '' THEN %(now)s::timestamptz END
    FROM unnest(%(numbers)s::text[], %(purchases)s::text[], %(buyers)s::bigint[], %(amounts)s::bigint[],
                %(currencies)s::text[], %(subjects)s::text[], %(expires)s::timestamptz[])
         WITH ORDINALITY AS d(number, purchase, buyer_id, amount, currency, subject, expires_at, nth)
   ORDER BY d.nth
  RETURNING id, number
)
INSERT INTO payments_paymentevent (payment_id, from_state, to_state, at, reason, actor, facts)
SELECT paid.id, step.from_state, step.to_state, %(now)s, step.reason, '',
       CASE WHEN step.nth = 1 THEN jsonb_build_object('channel', %(channel)s::text)
            WHEN %(outcome)s::text <> '' THEN jsonb_build_object('channel_reference', paid.number,
                                                           'outcome', %(outcome)s::text)
            ELSE '{}'::jsonb END
  FROM paid CROSS JOIN (VALUES (1, '', 'created', 'pressed_pay'), (2, 'created', %(state)s::text, %(channel)s::text))
       AS step(nth, from_state, to_state, reason)
 ORDER BY paid.id, step.nth
"""


def _record(kind: str, tries: Sequence[_Try], now: datetime, *, succeeded: bool) -> None:
    """The payments with their histories, which begin and end in this moment."""
    if not tries:
        return
    quotes = [one.quote for one in tries]
    window = now + settings.PAYMENT_WINDOW
    with one_or_many(tries) as cursor:
        cursor.execute(
            RECORD,
            {
                "kind": kind,
                "channel": str(ChannelCode.WALLET),
                "now": now,
                "state": "succeeded" if succeeded else "failed",
                "outcome": str(Outcome.WON) if succeeded else "",
                "refusal": "" if succeeded else "insufficient_funds",
                "numbers": columns.texts(one.payment for one in tries),
                "purchases": columns.texts(one.press.number for one in tries),
                "buyers": columns.wholes(quote.buyer_id for quote in quotes),
                "amounts": columns.wholes(quote.amount_minor for quote in quotes),
                "currencies": columns.texts(quote.currency for quote in quotes),
                "subjects": columns.texts(quote.subject[:120] for quote in quotes),
                "expires": columns.texts(
                    min(max(quote.payable_until, window), quote.limit_until).isoformat() for quote in quotes
                ),
            },
        )
